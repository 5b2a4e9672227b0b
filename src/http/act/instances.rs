//! Instances: provisioned, tried again, forgotten, and their credentials claimed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::OfInstance;
use crate::change::Width;
use crate::http::answer::{Answer, Outcome};
use crate::http::api::Office;
use crate::http::body::{Nothing, Told};
use crate::http::fields::Name;
use crate::http::gate::Caller;
use crate::http::peer::Peer;
use crate::http::problem::Problem;
use crate::resource::instance::InstanceId;
use crate::resource::instance::by_hand::{Intent, Wish};

/// What cannot be undone wants the instance's name typed again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ForgetInstance)]
pub struct Forget {
    #[schema(inline)]
    name: Name,
}

/// What was done with an instance.
#[derive(Serialize, ToSchema)]
#[schema(as = HandledInstance)]
pub struct Handled {
    instance: String,
    /// `false`: it was so already.
    changed: bool,
    /// What is left of it, where it was forgotten.
    left: Option<String>,
}

/// Credentials, this once.
#[derive(Serialize, ToSchema)]
#[schema(as = ClaimedInstance)]
pub struct Claimed<'c> {
    instance: String,
    /// As they were put into the hand-off.
    #[schema(value_type = Object)]
    credentials: &'c RawValue,
}

async fn handle(office: &Office, caller: &Caller, id: InstanceId, wish: Wish, left: Option<String>) -> Outcome {
    let done = office.world.instance_by_hand(&Intent { id, by: caller.actor(), wish }).await?;
    Answer::new(StatusCode::OK, &Handled { instance: id.to_string(), changed: done.is_some(), left })
}

/// Releases an instance, and dispatches its task.
#[utoipa::path(post, path = "/api/v1/instances/{id}/provision", tag = "act", operation_id = "provision_instance",
    params(("id" = String, Path, description = "The instance's UUID", format = "uuid")),
    request_body = Nothing, responses((status = 200, description = "Its task is dispatched", body = Handled))
)]
pub async fn provision(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfInstance(id): OfInstance,
    Told(Nothing {}): Told<Nothing>,
) -> Outcome {
    handle(&office, &caller, id, Wish::Provision, None).await
}

/// Gives an instance that failed a new password and a new task.
#[utoipa::path(post, path = "/api/v1/instances/{id}/retry", tag = "act", operation_id = "retry_instance",
    params(("id" = String, Path, description = "The instance's UUID", format = "uuid")),
    request_body = Nothing, responses((status = 200, description = "A new task is dispatched", body = Handled))
)]
pub async fn retry(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfInstance(id): OfInstance,
    Told(Nothing {}): Told<Nothing>,
) -> Outcome {
    handle(&office, &caller, id, Wish::Retry, None).await
}

/// Gives an instance's place back. Its database stays where it is.
#[utoipa::path(post, path = "/api/v1/instances/{id}/forget", tag = "act", operation_id = "forget_instance",
    params(("id" = String, Path, description = "The instance's UUID", format = "uuid")),
    request_body = Forget, responses((status = 200, description = "Its place is free", body = Handled))
)]
pub async fn forget(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfInstance(id): OfInstance,
    Told(asked): Told<Forget>,
) -> Outcome {
    let Forget { name } = asked;
    let left = office.world.left_behind(id).await?;
    left.confirm(&name.0)?;
    handle(&office, &caller, id, Wish::Forget, Some(left.text(Width::UNLIMITED).trim_end().to_owned())).await
}

/// The credentials that wait for their reader: exactly once.
#[utoipa::path(post, path = "/api/v1/instances/{id}/claim", tag = "act", operation_id = "claim_instance",
    params(("id" = String, Path, description = "The instance's UUID", format = "uuid")),
    request_body = Nothing, responses((status = 200, description = "The credentials", body = Claimed))
)]
pub async fn claim(
    State(office): State<Arc<Office>>,
    caller: Caller,
    peer: Peer,
    OfInstance(id): OfInstance,
    Told(Nothing {}): Told<Nothing>,
) -> Outcome {
    let attempt = office.tries.begin(Some(&caller.name), peer);
    let credentials = attempt.judge(office.world.claim_credentials(id, Some(caller.actor())).await)?;
    let read = serde_json::from_str(credentials.expose());
    let what = "what lay in the hand-off are no credentials";
    let read = read.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what))?;
    Answer::once(&credentials, &Claimed { instance: id.to_string(), credentials: read }, &())
}
