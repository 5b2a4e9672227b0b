//! The older shape: one request makes a host's GUID, or replaces it, and answers it.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::rfc3339;
use crate::failure::Failure;
use crate::http::answer::{Answer, Outcome};
use crate::http::api::Office;
use crate::http::body::Told;
use crate::http::fields::{CreatedByName, SessionNumber};
use crate::http::gate::Caller;
use crate::resource::host::by_hand::{Intent, Wish};
use crate::store::sql::now;

/// Who asks where nobody says.
const NOBODY: &str = "API User";

/// For which session, and who asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Generate {
    #[schema(inline)]
    session_id: SessionNumber,
    /// `API User`, unless said otherwise.
    #[schema(inline)]
    created_by: Option<CreatedByName>,
}

/// A GUID, the first time; asked again under the same key, who has it, and since when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Generated<'g> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host_guid: Option<&'g str>,
    session_id: i64,
    created_by: String,
    created_at: String,
    /// The first 16 characters of the GUID's hash, and `...`.
    hash: String,
    host_session_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_at: Option<String>,
}

/// Makes the session's host, or replaces its GUID in place, and answers the GUID: this once.
#[utoipa::path(post, path = "/api/hostprovisioner/generate", tag = "older", request_body = Generate, responses(
    (status = 200, description = "The GUID", body = Generated),
    (status = 404, description = "There is no such session"),
))]
pub async fn generate(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Generate>) -> Outcome {
    let Generate { session_id, created_by } = asked;
    let (session, person) = (session_id.0, created_by.map_or_else(|| NOBODY.to_owned(), |person| person.0));
    let intent = Intent {
        session,
        actor: caller.acting_for(Some(&person)),
        by: person.clone(),
        reason: None,
        wish: Wish::Create { expires_in: None, force_new: false },
    };
    office.world.prepare().await?;
    let done = office.world.by_hand(&intent).await?;
    let replaced = || Failure::conflict(format!("another request has replaced the new GUID of session {session}"));
    let attempt = done.and_then(|done| done.attempt).ok_or_else(replaced)?;
    // Through the same hand-off as every other GUID: if this daemon ends here, it can still be claimed.
    let (guid, is_current) = office.world.claim_own(session, attempt, &intent.actor).await?;
    let deed = office.world.deed(attempt).await?.filter(|_| is_current).ok_or_else(replaced)?;
    let told = |host_guid, claimed_by, claimed_at| Generated {
        host_guid,
        session_id: session.0,
        created_by: person.clone(),
        created_at: rfc3339(deed.minted_at),
        hash: deed.hash.chars().take(16).chain("...".chars()).collect(),
        host_session_id: deed.host_session_id,
        claimed_by,
        claimed_at,
    };
    let kept = told(None, Some(caller.actor()), Some(rfc3339(now())));
    Answer::once(&guid, &told(Some(guid.expose()), None, None), &kept)
}
