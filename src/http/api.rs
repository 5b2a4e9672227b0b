//! `/api/v1`: what commands print as JSON, to be read over HTTP; and, in [`act`], what they do.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value as Json;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::act;
use super::board::Board;
use super::glance::Glance;
use super::metrics::Wrong;
use super::problem::Problem;
use super::resources::ending;
use super::route::{self, Route};
use super::routes::{TEXT, answer};
use super::tries::Tries;
use crate::change::{ResourceId, quoted};
use crate::failure::Result;
use crate::kinds::parse_id;
use crate::plan::render;
use crate::turn::status::{Status, server_json};
use crate::turn::{self, Request, World};

/// How long what the database said is good for, unless something happens here: however many ask, it is asked no more
/// often.
const FRESH: Duration = Duration::from_secs(1);
/// GUIDs that are checked at once.
const CHECKS: usize = 8;
/// Wrong GUIDs, and claims of what is not there, that one token may make from one address within a minute before it is
/// told no more whether they are wrong.
const WRONG: u32 = 5;
/// Lines of the journal in an answer: unless asked for otherwise, and at most.
const LINES: (i64, i64) = (50, 10_000);

/// What the answers are made from.
pub struct Office {
    pub world: Arc<World>,
    pub board: Arc<Board>,
    glance: Arc<Glance>,
    /// Of GUIDs, and of claims.
    pub tries: Tries,
    /// Places for GUIDs that are checked.
    pub checks: Semaphore,
    plans: Arc<Semaphore>,
}

/// `plans` has a place for each plan that may be made at once.
pub fn router(world: Arc<World>, board: Arc<Board>, glance: Arc<Glance>, plans: Arc<Semaphore>) -> Router {
    let act = act::router(&world, &board);
    let tries = Tries::new(Wrong::Secret, WRONG, Arc::clone(&board));
    let office = Office { world, board, glance, tries, checks: Semaphore::new(CHECKS), plans };
    route::router(routes()).merge(act).with_state(Arc::new(office))
}

/// Those that look.
pub fn routes() -> [Route<Arc<Office>>; 6] {
    [
        Route::get("/api/v1/status", status),
        Route::get("/api/v1/servers", servers),
        Route::get("/api/v1/plan", plan),
        Route::get("/api/v1/explain/{kind}/{name}", explain),
        Route::get("/api/v1/history", history),
        Route::get("/api/v1/requests/{id}", act::reconcile::request),
    ]
}

impl Office {
    /// One of the few places for plans. `None`: there will be none any more.
    async fn plan(&self) -> Option<SemaphorePermit<'_>> {
        self.plans.acquire().await.ok()
    }
}

/// As the command would print it.
fn printed(asked: Result<Json>) -> Response {
    known(&asked, Json::clone)
}

/// The same of what is known, as far as it is asked for.
fn known<T>(asked: &Result<T>, json: impl Fn(&T) -> Json) -> Response {
    match asked {
        Ok(known) => answer(StatusCode::OK, "application/json", format!("{:#}\n", json(known))),
        Err(failure) => Problem::of(failure).answer(),
    }
}

/// What `reconcile status` prints: as text where that alone is asked for, otherwise as JSON.
#[utoipa::path(get, path = "/api/v1/status", tag = "look", responses(
    (status = 200, description = "How things stand", content((Json = "application/json"), (String = "text/plain")))
))]
pub async fn status(State(office): State<Arc<Office>>, headers: HeaderMap) -> Response {
    let asked = &*office.glance.status(FRESH).await;
    match (headers.get(ACCEPT), asked) {
        (Some(accept), Ok(status)) if accept == "text/plain" => answer(StatusCode::OK, TEXT, status.text()),
        _ => known(asked, Status::json),
    }
}

/// The part of the status that tells of the servers.
#[utoipa::path(get, path = "/api/v1/servers", tag = "look", responses(
    (status = 200, description = "The servers, by name", body = [Json])
))]
pub async fn servers(State(office): State<Arc<Office>>) -> Response {
    let servers = |status: &Status| server_json(status.known.as_ref().map_or(&[], |known| &known.servers));
    known(&*office.glance.status(FRESH).await, servers)
}

/// What `reconcile explain KIND/NAME --format json` prints.
#[utoipa::path(get, path = "/api/v1/explain/{kind}/{name}", tag = "look",
    params(
        ("kind" = String, Path, description = "session, host, server or instance"),
        ("name" = String, Path, description = "The resource's number, name or UUID"),
    ),
    responses(
        (status = 200, description = "Why it is as it is", body = Json),
        (status = 409, description = "The state files have problems"),
    )
)]
pub async fn explain(
    State(office): State<Arc<Office>>,
    address: std::result::Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let address = address.map(|Path((kind, name))| format!("{kind}/{name}"));
    match parse_id(address.as_deref().unwrap_or_default()) {
        Ok(id) => {
            let Some(_one) = office.plan().await else { return ending().answer() };
            printed(office.world.explain(&id).await.map(|explanation| explanation.json()))
        }
        Err(what) => Problem::new(StatusCode::NOT_FOUND, what).answer(),
    }
}

/// What `reconcile --plan --format json` prints.
#[utoipa::path(get, path = "/api/v1/plan", tag = "look", responses(
    (status = 200, description = "What the next turn would do", body = Json),
    (status = 409, description = "The state files have problems"),
))]
pub async fn plan(State(office): State<Arc<Office>>) -> Response {
    let Some(_one) = office.plan().await else { return ending().answer() };
    let planned = office.world.preview(&Request::everything()).await;
    printed(planned.map(|planned| render::json(&planned.plan)))
}

/// What `reconcile history --format json` prints.
#[utoipa::path(get, path = "/api/v1/history", tag = "look",
    params(
        ("id" = Option<String>, Query, description = "The lines of one resource: KIND/NAME", pattern = "^(sessions?|hosts?)/[1-9][0-9]{0,17}$"),
        ("limit" = Option<i64>, Query, description = "The newest so many: 50 unless told otherwise", minimum = 1, maximum = 10000),
    ),
    responses(
        (status = 200, description = "The journal, newest first", body = [Json]),
        (status = 400, description = "A parameter is wrong"),
    )
)]
pub async fn history(State(office): State<Arc<Office>>, RawQuery(query): RawQuery) -> Response {
    match read(query.as_deref().unwrap_or_default()) {
        Ok((resource, most)) => {
            let lines = office.world.history(resource, most).await;
            printed(lines.map(|lines| turn::history::json(&lines)))
        }
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
