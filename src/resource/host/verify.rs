//! Using a GUID: claiming it, once, and verifying it, as often as its session is opened.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::KIND;
use crate::change::ResourceId;
use crate::port::guid::HostGuid;
use crate::port::handoff::Record;
use crate::port::keys::KeyRing;
use crate::resource::session::{self, SessionId};
use crate::store::error::{Error, Result};
use crate::store::sql::{Id, Row, execute, fetch};
use crate::store::{Entry, Tx, journal};

/// What is needed to judge a GUID.
pub struct Standing {
    host_session_id: i64,
    pub attempt: Option<Id>,
    pub claimed_at: Option<DateTime<Utc>>,
    pub claimed_by: Option<String>,
    pub is_active: bool,
    pub revoked_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    /// What is recorded of the handoff of the present GUID.
    pub handoff: Record,
    hash: String,
    key_id: Option<String>,
    previous: Option<(String, Option<String>)>,
    previous_until: Option<DateTime<Utc>>,
    overlap_until: Option<DateTime<Utc>>,
    session: session::Observed,
}

/// The hosts of a session, the active one first; legacy sessions may have several.
pub async fn standing(session: SessionId, tx: &mut Tx) -> Result<Vec<Standing>> {
    let rows = fetch!(
        tx.conn(),
        "SELECT h.host_session_id, h.attempt, h.is_active, h.revoked_at, h.expires_at, h.host_guid_hash,
             h.key_id, h.previous_hash, h.previous_key_id, h.previous_valid_until,
             r.claimed_at, r.claimed_by, r.overlap_until, r.store, r.expires_at AS handed_off_until,
             s.title, s.status, s.created_by, s.starts_at, s.expires_at AS session_expires_at
         FROM host_sessions h JOIN sessions s ON s.session_id = h.session_id
              LEFT JOIN reconcile_handoffs r ON r.attempt = h.attempt
         WHERE h.session_id = $1
         ORDER BY h.is_active DESC, h.created_at DESC, h.host_session_id DESC",
        session.0,
    );
    let rows = rows.map_err(Error::query("read a host"))?;
    rows.iter().map(row).collect::<std::result::Result<_, _>>().map_err(Error::query("read a host"))
}

fn row(row: &Row) -> std::result::Result<Standing, sqlx::Error> {
    let previous_hash: Option<String> = row.get("previous_hash")?;
    let previous_key: Option<String> = row.get("previous_key_id")?;
    Ok(Standing {
        host_session_id: row.get("host_session_id")?,
        attempt: row.get("attempt")?,
        claimed_at: row.get("claimed_at")?,
        claimed_by: row.get("claimed_by")?,
        is_active: row.get("is_active")?,
        revoked_at: row.get("revoked_at")?,
        expires_at: row.get("expires_at")?,
        handoff: Record { store: row.get("store")?, until: row.get("handed_off_until")? },
        hash: row.get("host_guid_hash")?,
        key_id: row.get("key_id")?,
        previous: previous_hash.map(|hash| (hash, previous_key)),
        previous_until: row.get("previous_valid_until")?,
        overlap_until: row.get("overlap_until")?,
        session: session::Observed {
            title: row.get("title")?,
            status: row.get("status")?,
            created_by: row.get("created_by")?,
            starts_at: row.get("starts_at")?,
            expires_at: row.get("session_expires_at")?,
        },
    })
}

impl Standing {
    /// Whether `guid` is the one that this row holds now, whatever else may be wrong with it.
    pub fn holds(&self, guid: &HostGuid, keys: &KeyRing) -> bool {
        keys.matches(self.key_id.as_deref(), &self.hash, guid)
    }

    /// Whether `guid` opens the session at this moment: the hash of the present GUID, or of the one before it while that
    /// stays valid; and the row active, unrevoked and unexpired; and the session open.
    pub fn opens(&self, guid: &HostGuid, keys: &KeyRing, now: DateTime<Utc>) -> bool {
        let present = self.holds(guid, keys) && self.expires_at.is_none_or(|expires| now < expires);
        let before = self.previous.as_ref().is_some_and(|(hash, key)| keys.matches(key.as_deref(), hash, guid))
            && self.previous_until.is_none_or(|until| now < until);
        (present || before) && self.is_active && self.revoked_at.is_none() && self.session.is_live(now)
    }

    /// Notes that the GUID was used.
    pub async fn used(&self, tx: &mut Tx) -> Result<()> {
        let now = tx.now();
        execute!(
            tx.conn(),
            "UPDATE host_sessions SET last_used_at = $1 WHERE host_session_id = $2",
            now,
            self.host_session_id,
        )
        .map(drop)
        .map_err(Error::query("note the use of a host"))
    }

    /// Records that the GUID was taken, and ends the one before it, but for its overlap. Whoever does the same meanwhile
    /// waits until this transaction is over. `false`: somebody was first, or the row holds another GUID by now.
    pub async fn claimed(&self, session: SessionId, attempt: Id, tx: &mut Tx) -> Result<bool> {
        let failed = Error::query("record a claim");
        let (now, actor) = (tx.now(), tx.context().actor.clone());
        let kept = self.overlap_until.map_or(now, |overlap| overlap.max(now));
        let until = self.previous_until.map_or(kept, |until| until.min(kept));
        let held = execute!(
            tx.conn(),
            "UPDATE host_sessions SET previous_valid_until = CASE WHEN previous_hash IS NOT NULL THEN $1 END
             WHERE host_session_id = $2 AND attempt = $3 AND is_active AND revoked_at IS NULL",
            until,
            self.host_session_id,
            attempt,
        );
        if held.map_err(&failed)? != 1 {
            return Ok(false);
        }
        let first = execute!(
            tx.conn(),
            "UPDATE reconcile_handoffs SET claimed_at = $1, claimed_by = $2 WHERE attempt = $3 AND claimed_at IS NULL",
            now,
            actor,
            attempt,
        );
        if first.map_err(&failed)? != 1 {
            return Ok(false);
        }
        let entry = Entry {
            id: ResourceId::new(KIND, session),
            actor: None,
            action: "claim",
            before: None,
            after: Some(json!({ "attempt": attempt.to_string() }).to_string()),
            reason: None,
            origin: None,
        };
        journal::write(tx, &entry).await?;
        Ok(true)
    }
}

/// Journals that somebody wanted a GUID that was taken already: one of the two readers was not meant to have it.
pub async fn incident(session: SessionId, why: &str, tx: &mut Tx) -> Result<()> {
    let id = ResourceId::new(KIND, session);
    let entry = Entry {
        id,
        actor: None,
        action: "incident",
        before: None,
        after: None,
        reason: Some(why.to_owned()),
        origin: None,
    };
    journal::write(tx, &entry).await
}
