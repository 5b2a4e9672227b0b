//! The older shape: one request makes a host's GUID, or replaces it, and answers it.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use crate::change::{ResourceId, rfc3339};
use crate::failure::Failure;
use crate::http::answer::{Answer, Outcome};
use crate::http::api::Office;
use crate::http::body::{CreatedByName, Field, SessionNumber, Told};
use crate::http::gate::Caller;
use crate::resource::host::by_hand::{Intent, Wish};
use crate::store::sql::now;

/// For which session, and who asks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Generate {
    session_id: Field<SessionNumber>,
    created_by: Field<CreatedByName>,
}

/// Makes the session's host, or replaces its GUID in place, and answers the GUID: this once.
pub async fn generate(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Generate>) -> Outcome {
    let Generate { session_id, created_by } = asked;
    let (session, person) = (session_id.0, created_by.0);
    let intent = Intent {
        session,
        actor: caller.acting_for(Some(&person)),
        by: person.clone(),
        reason: None,
        wish: Wish::Create { expires_in: None, force_new: false },
    };
    let id: ResourceId = intent.id();
    office.rates.admit(&caller, &id)?;
    office.world.prepare().await?;
    let done = office.world.by_hand(&intent).await?;
    let replaced = || Failure::conflict(format!("another request has replaced the new GUID of session {session}"));
    let attempt = done.and_then(|done| done.attempt).ok_or_else(replaced)?;
    // Through the same hand-off as every other GUID: if this daemon ends here, it can still be claimed.
    let (guid, is_current) = office.world.claim_own(session, attempt, &intent.actor).await?;
    let deed = office.world.deed(attempt).await?.filter(|_| is_current).ok_or_else(replaced)?;
    let hash: String = deed.hash.chars().take(16).chain("...".chars()).collect();
    let mut told = json!({
        "sessionId": session.0, "createdBy": person, "createdAt": rfc3339(deed.minted_at), "hash": hash,
        "hostSessionId": deed.host_session_id,
    });
    // One member more, put in by hand: the secret is not to pass through anything that is printed or kept.
    let rest = format!("{told:#}\n").replacen('{', ",", 1);
    if let Some(kept) = told.as_object_mut() {
        kept.insert("claimedBy".to_owned(), json!(caller.actor()));
        kept.insert("claimedAt".to_owned(), json!(rfc3339(now())));
    }
    Ok(Answer::once("{\n  \"hostGuid\": \"", &guid, &format!("\"{rest}"), told))
}
