//! `/api/v1/resources`: every declared resource and how it stands, searched, filtered and in pages.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::asked::Asked;
use super::lookout::Lookout;
use super::problem::Problem;
use super::routes::answer;
use crate::turn::survey::Survey;

pub fn router(lookout: Arc<Lookout>) -> Router {
    Router::new().route("/api/v1/resources", get(resources)).with_state(lookout)
}

async fn resources(State(lookout): State<Arc<Lookout>>, RawQuery(query): RawQuery) -> Response {
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
