//! `/api/v1/resources`: every declared resource and how it stands, searched, filtered and in pages.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::asked::Asked;
use super::lookout::Lookout;
use super::problem::Problem;
use super::route::Route;
use super::routes::answer;
use crate::turn::survey::Survey;

pub fn routes() -> [Route<Arc<Lookout>>; 1] {
    [Route::get("/api/v1/resources", resources)]
}

/// Every declared resource, and how it stands.
#[utoipa::path(get, path = "/api/v1/resources", tag = "look",
    params(
        ("kind" = Option<String>, Query, description = "Of what kind", pattern = "^(session|host|server|instance)?$"),
        ("state" = Option<String>, Query, description = "How it stands", pattern = "^(in_sync|changed|drift|blocked|suspended)?$"),
        ("q" = Option<String>, Query, description = "A text that its address or its title holds", max_length = 200),
        ("after" = Option<String>, Query, description = "KIND/NAME: those that come after it"),
        ("limit" = Option<i64>, Query, description = "So many: 50 unless told otherwise", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, description = "So many of them, how many there are, and after which to go on", body = serde_json::Value),
        (status = 400, description = "A parameter is wrong"),
        (status = 409, description = "The state files have problems"),
    )
)]
pub async fn resources(State(lookout): State<Arc<Lookout>>, RawQuery(query): RawQuery) -> Response {
    let asked = match Asked::read(query.as_deref().unwrap_or_default()) {
        Ok(asked) => asked,
        Err(what) => return Problem::new(StatusCode::BAD_REQUEST, what).answer(),
    };
    let Some(survey) = lookout.survey().await else { return ending().answer() };
    // Of a million resources, a search takes longer than other requests should wait for a thread.
    tokio::task::spawn_blocking(move || found(&survey, &asked)).await.unwrap_or_else(|_| ending().answer())
}

fn found(survey: &Survey, asked: &Asked) -> Response {
    match &survey.inventory {
        Ok(inventory) => {
            let sheet = inventory.sheet(&asked.filter, asked.after.as_ref(), asked.limit);
            answer(StatusCode::OK, "application/json", format!("{:#}\n", sheet.json()))
        }
        Err(failure) => Problem::of(failure).answer(),
    }
}

/// What is said while the daemon takes no more work.
pub fn ending() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is about to end")
}
