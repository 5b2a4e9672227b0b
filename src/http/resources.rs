//! `/api/v1/resources`: every resource and its state, searched, filtered and in pages.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::asked::Asked;
use super::lookout::Lookout;
use super::problem::Problem;
use super::route::Route;
use super::routes::answer;

pub fn routes() -> [Route<Arc<Lookout>>; 1] {
    [Route::get("/api/v1/resources", resources)]
}

/// What `reconcile list` lists: every resource and its state, declared or not.
#[utoipa::path(get, path = "/api/v1/resources", tag = "look",
    params(
        ("kind" = Option<String>, Query, description = "Of what kind", pattern = "^(sessions?|hosts?|servers?|instances?)?$"),
        ("state" = Option<String>, Query, description = "In which state, or in any of several, between commas",
            pattern = "^((failed|blocked|drifted|pending|unmanaged|suspended|in_sync|protected)(,(failed|blocked|drifted|pending|unmanaged|suspended|in_sync|protected))*)?$"),
        ("q" = Option<String>, Query, description = "A text that its address or its title holds", max_length = 200),
        ("after" = Option<String>, Query, description = "KIND/NAME: those that come after it, as `next` of an answer has it",
            pattern = "^((sessions?|hosts?)/(0|-?[1-9][0-9]{0,17})|servers?/[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?|instances?/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$"),
        ("limit" = Option<i64>, Query, description = "So many: 50 unless told otherwise", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, description = "So many of them, and after which to go on", body = serde_json::Value),
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
    let inventory = match &survey.inventory {
        Ok(inventory) => inventory,
        Err(failure) => return Problem::of(failure).answer(),
    };
    match lookout.page(&survey, &asked).await {
        Some(Ok(page)) => answer(StatusCode::OK, "application/json", format!("{:#}\n", page.json(inventory))),
        Some(Err(failure)) => Problem::of(&failure).answer(),
        None => ending().answer(),
    }
}

/// What is said while the daemon takes no more work.
pub fn ending() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is about to end")
}
