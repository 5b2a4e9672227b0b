//! Hosts: made, rotated, revoked and verified, without a GUID being shown; and claimed, which shows it, once.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OfSession;
use crate::change::rfc3339;
use crate::failure::{Failure, Result};
use crate::http::answer::{Answer, Outcome};
use crate::http::api::Office;
use crate::http::body::{Nothing, Told};
use crate::http::fields::{CreatedBy, ExpiresIn, ForceNew, Guid, Reason, RotatedBy, Session};
use crate::http::gate::Caller;
use crate::http::peer::Peer;
use crate::resource::host::by_hand::{Intent, Wish};
use crate::store::sql::now;
use crate::turn::by_hand::Done;

/// A host for a session. Where there is one, it gets a new GUID in place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateHost)]
pub struct Create {
    #[schema(inline)]
    session: Session,
    #[schema(inline)]
    created_by: Option<CreatedBy>,
    #[schema(inline)]
    reason: Option<Reason>,
    #[schema(inline)]
    expires_in: Option<ExpiresIn>,
    #[schema(inline)]
    force_new: Option<ForceNew>,
}

/// A new GUID for the host that is there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateHost)]
pub struct Rotate {
    #[schema(inline)]
    reason: Reason,
    #[schema(inline)]
    rotated_by: Option<RotatedBy>,
    #[schema(inline)]
    expires_in: Option<ExpiresIn>,
}

/// An end to the GUID that is there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RevokeHost)]
pub struct Revoke {
    #[schema(inline)]
    reason: Reason,
}

/// The GUID that somebody has shown.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VerifyHost)]
pub struct Verify {
    #[schema(inline)]
    guid: Guid,
}

/// A GUID that waits for whoever claims it.
#[derive(Serialize, ToSchema)]
pub struct Waiting {
    session: i64,
    /// `create` or `rotate`.
    done: &'static str,
    /// Which GUID of this session it is.
    attempt: String,
    /// Until when it can be claimed.
    claim_until: String,
}

/// What was done with a host.
#[derive(Serialize, ToSchema)]
pub struct Revoked {
    session: i64,
    revoked: bool,
    /// Whether this has changed anything.
    changed: bool,
}

/// Whether a GUID opens a session at this moment.
#[derive(Serialize, ToSchema)]
pub struct Verdict {
    valid: bool,
}

/// A GUID, this once.
#[derive(Serialize, ToSchema)]
#[schema(as = ClaimedHost)]
pub struct Claimed<'g> {
    session: i64,
    guid: &'g str,
}

/// Carries out an intent that mints, and tells of the GUID all but the GUID.
async fn mint(office: &Office, intent: &Intent, status: StatusCode) -> Outcome {
    // The hand-off begins to count later than this, so that it is there until then at the least.
    let until =
        TimeDelta::from_std(office.world.config.claim_life).ok().and_then(|life| now().checked_add_signed(life));
    let done = carry_out(office, intent).await?;
    let minted = done.as_ref().and_then(|done| Some((done.action.name(), done.attempt?)));
    let (done, attempt) =
        minted.ok_or_else(|| Failure::conflict(format!("no GUID was made for session {}", intent.session)))?;
    let claim_until = until.map(rfc3339).unwrap_or_default();
    Answer::new(status, &Waiting { session: intent.session.0, done, attempt: attempt.to_string(), claim_until })
}

async fn carry_out(office: &Office, intent: &Intent) -> Result<Option<Done>> {
    office.world.prepare().await?;
    office.world.by_hand(intent).await
}

/// Makes a host, or rotates the one that is there. Its GUID waits to be claimed.
#[utoipa::path(post, path = "/api/v1/hosts", tag = "act", operation_id = "create_host",
    request_body = Create, responses(
        (status = 201, description = "A GUID waits to be claimed", body = Waiting),
        (status = 404, description = "There is no such session"),
    )
)]
pub async fn create(State(office): State<Arc<Office>>, caller: Caller, Told(asked): Told<Create>) -> Outcome {
    let Create { session, created_by, reason, expires_in, force_new } = asked;
    let person = created_by.map(|person| person.0);
    let wish = Wish::Create {
        expires_in: expires_in.map(|life| life.0),
        force_new: force_new.is_some_and(|force_new| force_new.0),
    };
    let intent = Intent {
        session: session.0,
        actor: caller.acting_for(person.as_deref()),
        by: person.unwrap_or_else(|| caller.actor()),
        reason: reason.map(|reason| reason.0),
        wish,
    };
    mint(&office, &intent, StatusCode::CREATED).await
}

/// Replaces the GUID of the host that is there. The new one waits to be claimed.
#[utoipa::path(post, path = "/api/v1/hosts/{session}/rotate", tag = "act", operation_id = "rotate_host",
    params(("session" = i64, Path, description = "The session's number", minimum = 1)),
    request_body = Rotate, responses((status = 200, description = "A new GUID waits to be claimed", body = Waiting))
)]
pub async fn rotate(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfSession(session): OfSession,
    Told(asked): Told<Rotate>,
) -> Outcome {
    let Rotate { reason, rotated_by, expires_in } = asked;
    let person = rotated_by.map(|person| person.0);
    let intent = Intent {
        session,
        actor: caller.acting_for(person.as_deref()),
        by: person.unwrap_or_else(|| caller.actor()),
        reason: Some(reason.0),
        wish: Wish::Rotate { expires_in: expires_in.map(|life| life.0) },
    };
    mint(&office, &intent, StatusCode::OK).await
}

/// Ends the GUID that is there, until the host is rotated.
#[utoipa::path(post, path = "/api/v1/hosts/{session}/revoke", tag = "act", operation_id = "revoke_host",
    params(("session" = i64, Path, description = "The session's number", minimum = 1)),
    request_body = Revoke, responses((status = 200, description = "It opens nothing any more", body = Revoked))
)]
pub async fn revoke(
    State(office): State<Arc<Office>>,
    caller: Caller,
    OfSession(session): OfSession,
    Told(asked): Told<Revoke>,
) -> Outcome {
    let Revoke { reason } = asked;
    let (by, actor) = (caller.actor(), caller.actor());
    let intent = Intent { session, by, actor, reason: Some(reason.0), wish: Wish::Revoke };
    let changed = carry_out(&office, &intent).await?.is_some();
    Answer::new(StatusCode::OK, &Revoked { session: session.0, revoked: true, changed })
}

/// Whether a GUID opens the session at this moment. A no has no reason.
#[utoipa::path(post, path = "/api/v1/hosts/{session}/verify", tag = "act", operation_id = "verify_host",
    params(("session" = i64, Path, description = "The session's number", minimum = 1)),
    request_body = Verify, responses((status = 200, description = "Yes or no", body = Verdict))
)]
pub async fn verify(
    State(office): State<Arc<Office>>,
    caller: Caller,
    peer: Peer,
    OfSession(session): OfSession,
    Told(asked): Told<Verify>,
) -> Outcome {
    let Verify { guid } = asked;
    let attempt = office.tries.begin(Some(&caller.name), peer);
    let valid = match &guid.0 {
        Some(guid) => {
            // However many try at once, each is checked in its turn.
            let _place = office.checks.acquire().await;
            office.world.verify(session, guid).await?
        }
        None => false,
    };
    if !valid {
        attempt.wrong()?;
    }
    Answer::new(StatusCode::OK, &Verdict { valid })
}

/// The GUID that waits for its reader: exactly once.
#[utoipa::path(post, path = "/api/v1/hosts/{session}/claim", tag = "act", operation_id = "claim_host",
    params(("session" = i64, Path, description = "The session's number", minimum = 1)),
    request_body = Nothing, responses((status = 200, description = "The GUID", body = Claimed))
)]
pub async fn claim(
    State(office): State<Arc<Office>>,
    caller: Caller,
    peer: Peer,
    OfSession(session): OfSession,
    Told(Nothing {}): Told<Nothing>,
) -> Outcome {
    let attempt = office.tries.begin(Some(&caller.name), peer);
    let guid = attempt.judge(office.world.claim(session, Some(caller.actor())).await)?;
    Answer::once(&guid, &Claimed { session: session.0, guid: guid.expose() }, &())
}
