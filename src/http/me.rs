//! `/api/v1/me`: whose token it is that asks, and what it allows.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::gate::Caller;
use super::route::Route;
use super::routes::answer;

pub fn routes() -> [Route<()>; 1] {
    [Route::get("/api/v1/me", me)]
}

/// Whose token it is that asks.
#[utoipa::path(get, path = "/api/v1/me", tag = "look", responses(
    (status = 200, description = "Name and scope", body = serde_json::Value)
))]
pub async fn me(Caller { name, scope }: Caller) -> Response {
    let who = json!({ "name": name, "scope": scope.word() });
    answer(StatusCode::OK, "application/json", format!("{who:#}\n"))
}
