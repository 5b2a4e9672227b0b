//! Stopping and starting: suspend, resume, approve.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::answer::{Answer, Outcome};
use crate::http::api::Office;
use crate::http::body::Told;
use crate::http::fields::{Digest, Reason, Resource};
use crate::http::gate::Caller;

/// What is stopped or started, and why. Without a resource: everything.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    #[schema(inline)]
    resource: Option<Resource>,
    #[schema(inline)]
    reason: Reason,
}

/// What is suspended from now on.
#[derive(Serialize, ToSchema)]
pub struct Suspended {
    /// `null`: everything.
    resource: Option<String>,
    suspended: bool,
    /// Whether this has changed anything.
    changed: bool,
}

/// Stops applying: for one resource, or for all.
#[utoipa::path(post, path = "/api/v1/suspend", tag = "act", request_body = Switch, responses(
    (status = 200, description = "It is suspended", body = Suspended)
))]
pub async fn suspend(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Switch>) -> Outcome {
    let Switch { resource, reason } = asked;
    let resource = resource.map(|resource| resource.0);
    let changed = office.world.suspend(resource.as_ref(), &reason.0, Some(caller.actor())).await?;
    let resource = resource.map(|id| id.to_string());
    Answer::new(StatusCode::OK, &Suspended { resource, suspended: true, changed })
}

/// Starts applying again.
#[utoipa::path(post, path = "/api/v1/resume", tag = "act", request_body = Switch, responses(
    (status = 200, description = "It is applied again", body = Suspended)
))]
pub async fn resume(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Switch>) -> Outcome {
    let Switch { resource, reason } = asked;
    let resource = resource.map(|resource| resource.0);
    let changed = office.world.resume(resource.as_ref(), &reason.0, Some(caller.actor())).await?;
    let resource = resource.map(|id| id.to_string());
    Answer::new(StatusCode::OK, &Suspended { resource, suspended: false, changed })
}

/// Which plan may be applied although the change budget holds it back, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    #[schema(inline)]
    digest: Digest,
    #[schema(inline)]
    reason: Reason,
}

/// The plan that the next turn may apply.
#[derive(Serialize, ToSchema)]
pub struct Approved {
    digest: String,
    approved: bool,
}

/// Lets the daemon apply the plan with this digest.
#[utoipa::path(post, path = "/api/v1/approve", tag = "act", request_body = Approve, responses(
    (status = 200, description = "The next turn with this plan applies it", body = Approved)
))]
pub async fn approve(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Approve>) -> Outcome {
    let Approve { digest, reason } = asked;
    office.world.approve(&digest.0, &reason.0, Some(caller.actor())).await?;
    Answer::new(StatusCode::OK, &Approved { digest: digest.0.to_ascii_lowercase(), approved: true })
}
