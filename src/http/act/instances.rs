//! Instances: provisioned, tried again, forgotten, and their credentials claimed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::OfInstance;
use crate::change::{ResourceId, rfc3339};
use crate::http::answer::{Answer, Outcome};
use crate::http::api::Office;
use crate::http::body::{Field, Name, Nothing, Told};
use crate::http::gate::Caller;
use crate::resource::instance::by_hand::{Intent, Wish};
use crate::resource::instance::{InstanceId, KIND};
use crate::store::sql::now;

/// What cannot be undone wants the instance's name typed again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    name: Field<Name>,
}

/// What was done with an instance.
#[derive(Serialize)]
struct Handled {
    instance: String,
    /// `false`: it was so already.
    changed: bool,
    /// What is left of it, where it was forgotten.
    left: Option<String>,
}

async fn handle(office: &Office, caller: &Caller, id: InstanceId, wish: Wish, left: Option<String>) -> Outcome {
    let done = office.world.instance_by_hand(&Intent { id, by: caller.actor(), wish }).await?;
    Answer::new(StatusCode::OK, &Handled { instance: id.to_string(), changed: done.is_some(), left })
}

/// Releases an instance, and dispatches its task.
pub async fn provision(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfInstance(id): OfInstance,
    Told(Nothing {}): Told<Nothing>,
) -> Outcome {
    handle(&office, &caller, id, Wish::Provision, None).await
}

/// Gives an instance that failed a new password and a new task.
pub async fn retry(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfInstance(id): OfInstance,
    Told(Nothing {}): Told<Nothing>,
) -> Outcome {
    handle(&office, &caller, id, Wish::Retry, None).await
}

/// Gives an instance's place back. Its database stays where it is.
pub async fn forget(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfInstance(id): OfInstance,
    Told(asked): Told<Forget>,
) -> Outcome {
    let Forget { name } = asked;
    let left = office.world.left_behind(id).await?;
    left.confirm(&name.0)?;
    handle(&office, &caller, id, Wish::Forget, Some(left.text().split_whitespace().collect::<Vec<_>>().join(" "))).await
}

/// The credentials that wait for their reader: exactly once.
pub async fn claim(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfInstance(id): OfInstance,
    Told(Nothing {}): Told<Nothing>,
) -> Outcome {
    let address = ResourceId::new(KIND, id);
    office.rates.admit(&caller, &address)?;
    let claimed = office.world.claim_credentials(id, Some(caller.actor())).await;
    let credentials = office.rates.judge(&address, claimed)?;
    let before = format!("{{\n  \"instance\": \"{id}\",\n  \"credentials\": ");
    let kept = json!({ "instance": id.to_string(), "claimed_by": caller.actor(), "claimed_at": rfc3339(now()) });
    Ok(Answer::once(&before, &credentials, "\n}\n", kept))
}
