//! What can be asked, and what is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use tokio::sync::Semaphore;

use super::board::{Board, Readiness};
use super::gate::{self, Gate, OPENAPI};
use super::glance::Glance;
use super::lookout::Lookout;
use super::page::Language;
use super::problem::Problem;
use super::route::{self, Route};
use super::{api, billing, limits, me, openapi, resources, window};
use crate::turn::World;

/// How long what it said is good for: several scrapers cost it no more than one.
const FRESH: Duration = Duration::from_secs(5);

/// Plans at once: one takes as much memory as a turn.
const PLANS: usize = 1;

/// For people to read.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// What every answer is made from.
pub struct House {
    board: Arc<Board>,
    glance: Arc<Glance>,
}

/// What each listener answers.
pub struct Routers {
    /// Everything.
    pub all: Router,
    /// Health, readiness and the metrics alone.
    pub probes: Router,
}

pub fn routers(world: Arc<World>, board: Arc<Board>) -> Routers {
    let gate = Arc::new(Gate::new(Arc::clone(&world), Arc::clone(&board)));
    let plans = Arc::new(Semaphore::new(PLANS));
    let glance = Arc::new(Glance::new(Arc::clone(&world), Arc::clone(&board)));
    let api = api::router(Arc::clone(&world), Arc::clone(&board), Arc::clone(&glance), Arc::clone(&plans));
    let webhooks = route::router(billing::routes()).with_state(Arc::clone(&world));
    let lookout = Lookout::new(Arc::clone(&world), Arc::clone(&board), plans);
    let window = window::router(world, Arc::clone(&board), Arc::clone(&lookout));
    let house = Arc::new(House { board, glance });
    let probes = route::router(probes()).with_state(Arc::clone(&house));
    let all = route::router(routes())
        .with_state(house)
        .merge(probes.clone())
        .merge(api)
        .merge(webhooks)
        .merge(route::router(me::routes()))
        .merge(route::router(resources::routes()).with_state(lookout))
        .merge(window);
    Routers { all: held(all, Arc::clone(&gate)), probes: held(probes, gate) }
}

/// Behind the limits and the gate, which see every request.
fn held(router: Router, gate: Arc<Gate>) -> Router {
    router
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(gate, gate::hold))
        .layer(axum::middleware::from_fn(limits::hold))
}

/// Those that whatever watches over the daemon asks for.
pub fn probes() -> [Route<Arc<House>>; 3] {
    [Route::get("/healthz", health), Route::get("/readyz", readiness), Route::get("/metrics", metrics)]
}

/// What describes the others.
pub fn routes() -> [Route<Arc<House>>; 1] {
    [Route::get(OPENAPI, openapi::describe)]
}

/// An answer of its own type.
pub fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Whether the daemon's loop turns.
#[utoipa::path(get, path = "/healthz", tag = "health", responses(
    (status = 200, description = "It turns", body = String, content_type = "text/plain"),
    (status = 503, description = "It hangs", body = String, content_type = "text/plain"),
))]
pub async fn health(State(house): State<Arc<House>>) -> Response {
    let (status, text) = match house.board.is_alive() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the daemon's loop hangs\n"),
    };
    answer(status, TEXT, text.to_owned())
}

/// Whether what is done can be relied on, or why not.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It can", body = Readiness),
    (status = 503, description = "It cannot", body = Readiness),
))]
pub async fn readiness(State(house): State<Arc<House>>) -> Response {
    let readiness = house.board.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Words and a flag are always written.
    let text = serde_json::to_string_pretty(&readiness).unwrap_or_default();
    answer(status, "application/json", format!("{text}\n"))
}

/// The metrics, as OpenMetrics where that is asked for, or as Prometheus' own text.
///
/// On loopback no token is needed.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "All series", content(
        (String = "text/plain"), (String = "application/openmetrics-text")
    )),
))]
pub async fn metrics(State(house): State<Arc<House>>, headers: HeaderMap) -> Response {
    let status = house.glance.status(FRESH).await;
    let known = status.as_ref().as_ref().ok().and_then(|status| status.known.as_ref());
    let page = house.board.metrics.page(known);
    let Ok(page) = page else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written").answer();
    };
    let language = Language::wanted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default());
    answer(StatusCode::OK, language.content_type(), language.write(page))
}

async fn missing(request: Request) -> Response {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no {}", request.uri().path())).answer()
}

async fn wrong_method(request: Request) -> Response {
    let what = format!("{} does not take {}", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, what).answer()
}
