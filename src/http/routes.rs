//! What can be asked, and what is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use tokio::sync::{Mutex, Semaphore};

use super::board::Board;
use super::gate::{self, Gate};
use super::lookout::Lookout;
use super::page::Language;
use super::problem::Problem;
use super::{api, limits, me, resources, window};
use crate::turn::World;
use crate::turn::status::Known;

/// How long the database is asked for what the metrics tell of it. They are told without, when it is silent.
const LOOK: Duration = Duration::from_secs(3);
/// How long what it said is good for: several scrapers cost it no more than one.
const FRESH: Duration = Duration::from_secs(5);

/// Plans at once: one takes as much memory as a turn.
const PLANS: usize = 1;

/// What every answer is made from.
struct House {
    world: Arc<World>,
    board: Arc<Board>,
    /// What the database said of itself, and when it was asked.
    seen: Mutex<Option<(tokio::time::Instant, Option<Known>)>>,
}

pub fn router(world: Arc<World>, board: Arc<Board>, is_loopback: bool) -> Router {
    let gate = Arc::new(Gate::new(Arc::clone(&world), is_loopback));
    let plans = Arc::new(Semaphore::new(PLANS));
    let api = api::router(Arc::clone(&world), Arc::clone(&plans));
    let lookout = Lookout::new(Arc::clone(&world), Arc::clone(&board), plans);
    let window = window::router(Arc::clone(&world), Arc::clone(&board), Arc::clone(&lookout));
    let house = Arc::new(House { world, board, seen: Mutex::default() });
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(house)
        .merge(api)
        .merge(me::router())
        .merge(resources::router(lookout))
        .merge(window)
        .fallback(missing)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(gate, gate::hold))
        .layer(axum::middleware::from_fn(limits::hold))
}

/// An answer of its own type.
pub fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

async fn health(State(house): State<Arc<House>>) -> Response {
    let (status, text) = match house.board.is_alive() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the daemon's loop hangs\n"),
    };
    answer(status, "text/plain; charset=utf-8", text.to_owned())
}

async fn readiness(State(house): State<Arc<House>>) -> Response {
    let (is_ready, words) = house.board.readiness();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer(status, "application/json", format!("{words:#}\n"))
}

async fn metrics(State(house): State<Arc<House>>, headers: HeaderMap) -> Response {
    let mut seen = house.seen.lock().await;
    if seen.as_ref().is_none_or(|(at, _)| at.elapsed() >= FRESH) {
        let status = tokio::time::timeout(LOOK, house.world.status()).await;
        let known = status.ok().and_then(Result::ok).and_then(|status| status.known);
        *seen = Some((tokio::time::Instant::now(), known));
    }
    let page = house.board.metrics.page(seen.as_ref().and_then(|(_, known)| known.as_ref()));
    drop(seen);
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
