//! The API that acts. It has no way of its own to change anything: each request does what a command does, by the same
//! function, which plans, asks the guard, and writes the journal, where the token's name stands as the actor.

pub mod hosts;
pub mod instances;
pub mod ledger;
pub mod legacy;
pub mod reconcile;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use tokio::sync::Semaphore;

use super::api::Office;
use super::board::Board;
use super::gate::LEGACY;
use super::once::{self, Again, Once};
use super::problem::Problem;
use super::route::{self, Route};
use crate::change::quoted;
use crate::resource::instance::InstanceId;
use crate::resource::session::SessionId;
use crate::turn::World;

pub fn router(world: &Arc<World>, board: &Arc<Board>) -> Router<Arc<Office>> {
    let places = Arc::new(Semaphore::new(once::ACTIONS));
    let held = |again: Again, routes: Router<Arc<Office>>| {
        let once = Once::new(Arc::clone(world), Arc::clone(board), Arc::clone(&places), again);
        routes.route_layer(from_fn_with_state(Arc::new(once), once::hold))
    };
    held(Again::Told, route::router(deeds()))
        .merge(held(Again::Refused, route::router(claims())))
        .merge(route::router(questions()))
}

/// Those that act: the same answer is true whenever it is given again, for it tells what was done.
pub fn deeds() -> [Route<Arc<Office>>; 11] {
    [
        Route::post("/api/v1/reconcile", reconcile::reconcile),
        Route::post("/api/v1/suspend", ledger::suspend),
        Route::post("/api/v1/resume", ledger::resume),
        Route::post("/api/v1/approve", ledger::approve),
        Route::post("/api/v1/hosts", hosts::create),
        Route::post("/api/v1/hosts/{session}/rotate", hosts::rotate),
        Route::post("/api/v1/hosts/{session}/revoke", hosts::revoke),
        Route::post("/api/v1/instances/{id}/provision", instances::provision),
        Route::post("/api/v1/instances/{id}/retry", instances::retry),
        Route::post("/api/v1/instances/{id}/forget", instances::forget),
        Route::post(LEGACY, legacy::generate),
    ]
}

/// Those that give a secret away, once.
pub fn claims() -> [Route<Arc<Office>>; 2] {
    [
        Route::post("/api/v1/hosts/{session}/claim", hosts::claim),
        Route::post("/api/v1/instances/{id}/claim", instances::claim),
    ]
}

/// Those that change nothing that anybody asked for: each answer is true at its own moment alone, so no key keeps one.
pub fn questions() -> [Route<Arc<Office>>; 1] {
    [Route::post("/api/v1/hosts/{session}/verify", hosts::verify)]
}

/// The session that the path names.
pub struct OfSession(pub SessionId);

impl<S: Send + Sync> FromRequestParts<S> for OfSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = name(parts, state).await?;
        let id = name.parse().ok().filter(|id: &i64| *id > 0 && name.bytes().all(|digit| digit.is_ascii_digit()));
        id.map(|id| Self(SessionId(id))).ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, format!("there is no session {}", quoted(&name)))
                .hint("a session is named by its number, which is above zero")
        })
    }
}

/// The instance that the path names.
pub struct OfInstance(pub InstanceId);

impl<S: Send + Sync> FromRequestParts<S> for OfInstance {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = name(parts, state).await?;
        uuid::Uuid::try_parse(&name).map(|id| Self(InstanceId(id))).map_err(|_| {
            Problem::new(StatusCode::NOT_FOUND, format!("there is no instance {}", quoted(&name)))
                .hint("an instance is named by its UUID")
        })
    }
}

/// The one part of the path that is not fixed.
async fn name<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let Path(name) = Path::from_request_parts(parts, state)
        .await
        .map_err(|_| Problem::new(StatusCode::NOT_FOUND, "the path names nothing that can be: it is no text"))?;
    Ok(name)
}
