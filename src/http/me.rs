//! `/api/v1/me`: whose token it is that asks, and what it allows.

use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::json;

use super::gate::Caller;
use super::routes::answer;

pub fn router() -> Router {
    Router::new().route("/api/v1/me", get(me))
}

async fn me(Extension(Caller { name, scope }): Extension<Caller>) -> Response {
    let who = json!({ "name": name, "scope": scope.word() });
    answer(StatusCode::OK, "application/json", format!("{who:#}\n"))
}
