//! The API that acts. It has no way of its own to change anything: each request does what a command does, by the same
//! function, which plans, asks the guard, and writes the journal, where the token's name stands as the actor.

mod hosts;
mod instances;
mod ledger;
mod legacy;
mod reconcile;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::api::Office;
use super::gate::LEGACY;
use super::once::{self, Once};
use super::problem::Problem;
use crate::change::quoted;
use crate::resource::instance::InstanceId;
use crate::resource::session::SessionId;
use crate::turn::World;

pub fn router(world: &Arc<World>) -> Router<Arc<Office>> {
    let once = Arc::new(Once::new(Arc::clone(world)));
    Router::new()
        .route(LEGACY, post(legacy::generate))
        .route("/api/v1/reconcile", post(reconcile::reconcile))
        .route("/api/v1/requests/{id}", get(reconcile::request))
        .route("/api/v1/suspend", post(ledger::suspend))
        .route("/api/v1/resume", post(ledger::resume))
        .route("/api/v1/approve", post(ledger::approve))
        .route("/api/v1/hosts", post(hosts::create))
        .route("/api/v1/hosts/{session}/rotate", post(hosts::rotate))
        .route("/api/v1/hosts/{session}/revoke", post(hosts::revoke))
        .route("/api/v1/hosts/{session}/verify", post(hosts::verify))
        .route("/api/v1/hosts/{session}/claim", post(hosts::claim))
        .route("/api/v1/instances/{id}/provision", post(instances::provision))
        .route("/api/v1/instances/{id}/retry", post(instances::retry))
        .route("/api/v1/instances/{id}/forget", post(instances::forget))
        .route("/api/v1/instances/{id}/claim", post(instances::claim))
        .route_layer(from_fn_with_state(once, once::hold))
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
