//! The window: one page that shows how everything stands, and from which those who may act can act.
//!
//! Whole pages are made here, for browsers with scripts and without alike. The script, where it runs, asks for the same
//! page when something has happened, and puts in what is different; what it does for people, the API does.

mod data;
mod events;
mod frame;
mod history;
mod outside;
mod overview;
mod plan;
mod resources;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use data::{Query, View};
use maud::Markup;
use tokio::sync::Semaphore;

use super::board::Board;
use super::gate::Caller;
use super::lookout::Lookout;
use super::problem::Problem;
use super::resources::ending;
use super::routes::answer;
use crate::turn::World;
use crate::turn::list::Page;

/// Nothing but what this daemon serves, nothing written into the page itself, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Lines of the journal on the page.
const LINES: i64 = 20;
/// Streams of news at once.
const STREAMS: usize = 16;

/// What goes into each page beside its data: name, type, content.
const ASSETS: [(&str, &str, &str); 3] = [
    ("page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("page.js")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// What the pages are made from.
struct House {
    world: Arc<World>,
    board: Arc<Board>,
    lookout: Arc<Lookout>,
    streams: Arc<Semaphore>,
}

pub fn router(world: Arc<World>, board: Arc<Board>, lookout: Arc<Lookout>) -> Router {
    let house = House { world, board, lookout, streams: Arc::new(Semaphore::new(STREAMS)) };
    Router::new()
        .route("/", get(async || html(frame::sign_in())))
        .route("/assets/{name}", get(asset))
        .route("/page/", get(page))
        .route("/page/events", get(events))
        .with_state(Arc::new(house))
}

fn html(page: Markup) -> Response {
    let mut answer = Response::new(Body::from(page.into_string()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, content_type, content)) => answer(StatusCode::OK, content_type, (*content).to_owned()),
        None => Problem::new(StatusCode::NOT_FOUND, "there is no such asset").answer(),
    }
}

async fn page(
    State(house): State<Arc<House>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Query::read(query.as_deref().unwrap_or_default());
    // Counted before it is looked at, so that what happens meanwhile is news to the page.
    let news = *house.board.news().borrow();
    let (role, reason) = house.board.role();
    let Some(survey) = house.lookout.survey().await else { return ending().answer() };
    let list = match house.lookout.page(&survey, &query.asked).await {
        Some(list) => list,
        // Why there is none, the survey tells.
        None => Ok(Page { rows: Vec::new(), next: None }),
    };
    let lines = house.world.history(query.of.clone(), LINES).await;
    let page = move || {
        let view =
            View { survey: &survey, query: &query, list: &list, lines: &lines, caller: &caller, role, reason, news };
        frame::page(&view)
    };
    // Of a million resources, a search takes longer than other requests should wait for a thread.
    tokio::task::spawn_blocking(page).await.map_or_else(|_| ending().answer(), html)
}

async fn events(State(house): State<Arc<House>>) -> Response {
    match Arc::clone(&house.streams).try_acquire_owned() {
        Ok(place) => events::answer(Arc::clone(&house.board), place),
        Err(_) => {
            let what = format!("{STREAMS} pages are told of news already; this one must ask for itself");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).answer()
        }
    }
}
