//! `/api/v1`: what commands print as JSON, to be read over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value as Json;
use tokio::sync::Semaphore;

use super::problem::Problem;
use super::routes::answer;
use crate::change::{ResourceId, quoted};
use crate::failure::Result;
use crate::kinds::parse_id;
use crate::plan::render;
use crate::turn::{Request, World, history};

/// Lines of the journal in an answer: unless asked for otherwise, and at most.
const LINES: (i64, i64) = (50, 10_000);

/// What the answers are made from.
struct Office {
    world: Arc<World>,
    plans: Arc<Semaphore>,
}

/// `plans` has a place for each plan that may be made at once.
pub fn router(world: Arc<World>, plans: Arc<Semaphore>) -> Router {
    let office = Office { world, plans };
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/plan", get(plan))
        .route("/api/v1/history", get(lines))
        .with_state(Arc::new(office))
}

/// As the command would print it.
fn printed(asked: Result<Json>) -> Response {
    match asked {
        Ok(json) => answer(StatusCode::OK, "application/json", format!("{json:#}\n")),
        Err(failure) => Problem::of(&failure).answer(),
    }
}

async fn status(State(office): State<Arc<Office>>) -> Response {
    printed(office.world.status().await.map(|status| status.json()))
}

async fn plan(State(office): State<Arc<Office>>) -> Response {
    let Ok(_one) = office.plans.acquire().await else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is about to end").answer();
    };
    let planned = office.world.preview(&Request::everything()).await;
    printed(planned.map(|(plan, _)| render::json(&plan)))
}

async fn lines(State(office): State<Arc<Office>>, RawQuery(query): RawQuery) -> Response {
    match read(query.as_deref().unwrap_or_default()) {
        Ok((resource, most)) => printed(office.world.history(resource, most).await.map(|lines| history::json(&lines))),
        Err(what) => Problem::new(StatusCode::BAD_REQUEST, what).answer(),
    }
}

/// `?id=KIND/NAME&limit=N`, or what is wrong with it.
fn read(query: &str) -> std::result::Result<(Option<ResourceId>, i64), String> {
    let (mut resource, mut most) = (None, LINES.0);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "id" => resource = Some(parse_id(&value)?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LINES.1).contains(limit));
                most = limit.ok_or_else(|| format!("limit must be a number from 1 to {}", LINES.1))?;
            }
            _ => return Err(format!("there is no parameter {}; there are id and limit", quoted(&name))),
        }
    }
    Ok((resource, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_refused_with_its_reason() {
        assert_eq!(read(""), Ok((None, 50)));
        let (resource, most) = read("id=session%2F215&limit=7").unwrap();
        assert_eq!((resource.unwrap().to_string().as_str(), most), ("session/215", 7));
        for wrong in
            ["limit=0", "limit=10001", "limit=", "limit=many", "id=215", "id=nothing/215", "ids=session/1", "x"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
