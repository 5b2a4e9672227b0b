//! Stopping and starting: suspend, resume, approve.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::http::answer::{Answer, Outcome};
use crate::http::api::Office;
use crate::http::body::{Digest, Field, Reason, Resource, Told};
use crate::http::gate::Caller;

/// What is stopped or started, and why. Without a resource: everything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    resource: Option<Field<Resource>>,
    reason: Field<Reason>,
}

/// What is suspended from now on.
#[derive(Serialize)]
struct Suspended {
    /// `null`: everything.
    resource: Option<String>,
    suspended: bool,
    /// Whether this has changed anything.
    changed: bool,
}

/// Stops applying: for one resource, or for all.
pub async fn suspend(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Switch>) -> Outcome {
    let Switch { resource, reason } = asked;
    let resource = resource.map(|resource| resource.0);
    office.world.suspend(resource.as_ref(), &reason.0, Some(caller.actor())).await?;
    let resource = resource.map(|id| id.to_string());
    Answer::new(StatusCode::OK, &Suspended { resource, suspended: true, changed: true })
}

/// Starts applying again.
pub async fn resume(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Switch>) -> Outcome {
    let Switch { resource, reason } = asked;
    let resource = resource.map(|resource| resource.0);
    let changed = office.world.resume(resource.as_ref(), &reason.0, Some(caller.actor())).await?;
    let resource = resource.map(|id| id.to_string());
    Answer::new(StatusCode::OK, &Suspended { resource, suspended: false, changed })
}

/// Which plan may be applied although the change budget holds it back, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    digest: Field<Digest>,
    reason: Field<Reason>,
}

/// The plan that the next turn may apply.
#[derive(Serialize)]
struct Approved {
    digest: String,
    approved: bool,
}

/// Lets the daemon apply the plan with this digest.
pub async fn approve(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Approve>) -> Outcome {
    let Approve { digest, reason } = asked;
    office.world.approve(&digest.0, &reason.0, Some(caller.actor())).await?;
    Answer::new(StatusCode::OK, &Approved { digest: digest.0.to_ascii_lowercase(), approved: true })
}
