//! The rows of `host_sessions`: read in a snapshot, written in a guarded transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::mint::{Receipt, handoff_key};
use super::{Adjust, KIND, Keep, Mint, Observed, Over, Revoke, Step, add};
use crate::change::ResourceId;
use crate::port::handoff::{HandOffError, Probe, Record, Unknown, Whereabouts};
use crate::resource::session::{self, SessionId};
use crate::resource::{Recorded, Resource};
use crate::store::bulk::{self, Values};
use crate::store::error::{Error, Result};
use crate::store::sql::{Id, Row, execute, fetch};
use crate::store::{Entry, Snapshot, Tx, journal};

const READ: &str = "read hosts";
const WRITE: &str = "write a host";

/// Every session's host, or the one that is asked for. Which GUIDs still wait for their reader, the hand-off knows: see
/// [`ask`].
pub async fn observe(
    snapshot: &mut Snapshot,
    only: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<BTreeMap<SessionId, Observed>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT h.session_id, h.host_session_id, h.key_id, h.created_at, h.is_active, h.expires_at, h.revoked_at,
             h.revoked_by, h.rotation, h.generation, h.attempt, h.previous_hash, h.previous_valid_until,
             r.minted_at, r.claimed_at, r.store, r.expires_at AS handed_off_until, r.overlap_until
         FROM host_sessions h LEFT JOIN reconcile_handoffs r ON r.attempt = h.attempt
         WHERE $1 IS NULL OR h.session_id = $1
         ORDER BY h.session_id, h.is_active DESC, h.created_at DESC, h.host_session_id DESC",
        only.map(|id| id.0),
    );
    let mut hosts: BTreeMap<SessionId, Observed> = BTreeMap::new();
    for row in rows.map_err(Error::query(READ))? {
        let (session, host) = observed(&row, now).map_err(Error::query(READ))?;
        let active = i64::from(host.is_active);
        hosts.entry(session).and_modify(|first| first.active_rows += active).or_insert(host);
    }
    Ok(hosts)
}

/// How many active hosts were made with each key, by its id; `None`: before keys had ids, or by another tool.
pub async fn by_key(snapshot: &mut Snapshot) -> Result<BTreeMap<Option<String>, usize>> {
    let rows =
        fetch!(snapshot.conn(), "SELECT key_id, COUNT(*) AS hosts FROM host_sessions WHERE is_active GROUP BY key_id");
    let one = |row: &Row| Ok((row.get("key_id")?, usize::try_from(row.get::<i64>("hosts")?).unwrap_or_default()));
    let rows = rows.map_err(Error::query(READ))?;
    rows.iter().map(one).collect::<std::result::Result<_, _>>().map_err(Error::query(READ))
}

/// How the database knows one GUID.
#[derive(Clone, Debug)]
pub struct Deed {
    pub host_session_id: i64,
    /// Base64 of the GUID's hash.
    pub hash: String,
    pub minted_at: DateTime<Utc>,
}

/// The row that holds the GUID of this attempt; `None`: another GUID has taken its place.
pub async fn deed(snapshot: &mut Snapshot, attempt: Id) -> Result<Option<Deed>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT h.host_session_id, h.host_guid_hash, r.minted_at
         FROM host_sessions h JOIN reconcile_handoffs r ON r.attempt = h.attempt WHERE h.attempt = $1",
        attempt,
    );
    let deed = |row: &Row| {
        let (hash, minted_at) = (row.get("host_guid_hash")?, row.get("minted_at")?);
        Ok(Deed { host_session_id: row.get("host_session_id")?, hash, minted_at })
    };
    rows.map_err(Error::query(READ))?.first().map(deed).transpose().map_err(Error::query(READ))
}

/// Asks the handoff, without side effects, where the GUIDs are that nobody has claimed.
///
/// Errors: it does not answer; then where they are is unknown.
pub async fn ask(hosts: &mut BTreeMap<SessionId, Observed>, handoff: &Probe) -> std::result::Result<(), HandOffError> {
    let unclaimed = hosts.iter().filter(|(_, host)| host.claimed_at.is_none());
    let (sessions, asked): (Vec<_>, Vec<_>) = unclaimed
        .filter_map(|(session, host)| Some((*session, (handoff_key(*session, host.attempt?), host.handoff.clone()))))
        .unzip();
    let (found, answer) = handoff.whereabouts(&asked).await;
    for (session, whereabouts) in sessions.into_iter().zip(found) {
        if let Some(host) = hosts.get_mut(&session) {
            host.whereabouts = whereabouts;
        }
    }
    answer
}

fn observed(row: &Row, now: DateTime<Utc>) -> std::result::Result<(SessionId, Observed), sqlx::Error> {
    let previous: Option<String> = row.get("previous_hash")?;
    let previous_until: Option<DateTime<Utc>> = row.get("previous_valid_until")?;
    let minted_at: Option<DateTime<Utc>> = row.get("minted_at")?;
    let is_active: bool = row.get("is_active")?;
    let host = Observed {
        host_session_id: row.get("host_session_id")?,
        key_id: row.get("key_id")?,
        is_active,
        expires_at: row.get("expires_at")?,
        revoked_at: row.get("revoked_at")?,
        revoked_by: row.get("revoked_by")?,
        rotation: row.get("rotation")?,
        generation: row.get("generation")?,
        attempt: row.get("attempt")?,
        minted_at: minted_at.map_or_else(|| row.get("created_at"), Ok)?,
        claimed_at: row.get("claimed_at")?,
        previous_valid: previous.is_some() && previous_until.is_none_or(|until| now < until),
        active_rows: i64::from(is_active),
        handoff: Record { store: row.get("store")?, until: row.get("handed_off_until")? },
        whereabouts: Whereabouts::Unknown(Unknown::Unrecorded),
        overlap_until: row.get("overlap_until")?,
    };
    Ok((SessionId(row.get("session_id")?), host))
}

/// Writes steps, each with what minting has left for it. The generation that the plan saw is the expectation: every new
/// GUID raises it. The outcomes are in the order of the steps.
pub async fn record(steps: &[(&Step, Option<&Receipt>)], tx: &mut Tx) -> Result<Vec<Recorded>> {
    let mut outcomes = Vec::with_capacity(steps.len());
    let mut minted = Vec::new();
    for (step, receipt) in steps {
        let touched = match (step, receipt) {
            (Step::Mint(mint), Some(receipt)) => {
                let touched = record_mint(mint, receipt, tx).await?;
                minted.extend((touched == 1).then_some((mint, *receipt)));
                touched
            }
            (Step::Mint(_), None) => 0,
            (Step::Adjust(adjust), _) => record_adjust(adjust, tx).await?,
            (Step::Revoke(revoke), _) => record_revoke(revoke, tx).await?,
        };
        outcomes.push(if touched == 1 { Recorded::Done } else { Recorded::Conflict });
    }
    record_handoffs(&minted, tx).await?;
    Ok(outcomes)
}

/// The row of the host alone.
async fn record_mint(mint: &Mint, receipt: &Receipt, tx: &mut Tx) -> Result<u64> {
    if let Some(title) = &mint.create_session {
        create_session(mint.session, title, tx).await?;
    }
    match &mint.over {
        None => insert(mint, receipt, None, tx).await,
        Some(over) if mint.replace => match retire(over, tx).await? {
            1 => match insert(mint, receipt, Some(over), tx).await? {
                // Nothing of this transaction may stay: the old row would be gone, and no new one there.
                0 => Err(Error::Conflict { what: format!("the host of session {}", mint.session) }),
                inserted => Ok(inserted),
            },
            _ => Ok(0),
        },
        Some(over) if matches!(mint.keep, Keep::Former { .. }) && !is_unclaimed(over, tx).await? => Ok(0),
        Some(over) => update(mint, receipt, over, tx).await,
    }
}

/// Whether nobody has claimed the GUID of the row, which stays locked: a reader who took it from its store just before
/// that was asked may have recorded its claim since.
async fn is_unclaimed(over: &Over, tx: &mut Tx) -> Result<bool> {
    let held = execute!(
        tx.conn(),
        "UPDATE host_sessions SET generation = generation WHERE host_session_id = $1 AND generation = $2",
        over.host_session_id,
        over.generation,
    );
    if held.map_err(Error::query(WRITE))? != 1 {
        return Ok(false);
    }
    let claimed = fetch!(
        tx.conn(),
        "SELECT 1 AS there FROM host_sessions h JOIN reconcile_handoffs r ON r.attempt = h.attempt
         WHERE h.host_session_id = $1 AND r.claimed_at IS NOT NULL",
        over.host_session_id,
    );
    Ok(claimed.map_err(Error::query(READ))?.is_empty())
}

/// What was handed off, and that whatever was handed off for these sessions before can no longer be claimed.
async fn record_handoffs(minted: &[(&Mint, &Receipt)], tx: &mut Tx) -> Result<()> {
    let names: Vec<String> = minted.iter().map(|(mint, _)| mint.session.to_string()).collect();
    let names = || ("name", Values::Texts(names.iter().map(String::as_str).collect()));
    let kinds = || ("kind", Values::Texts(vec![KIND.name; minted.len()]));
    let gone = bulk::write(
        tx.conn(),
        "DELETE FROM reconcile_handoffs WHERE (kind, name) IN (SELECT kind, name FROM {rows})",
        &[kinds(), names()],
    )
    .await;
    gone.map_err(Error::query("forget older hand-offs"))?;
    let overlap_until = |mint: &Mint, receipt: &Receipt| match mint.keep {
        Keep::UntilClaimed(overlap) | Keep::For(overlap) => add(receipt.minted_at, overlap),
        Keep::Former { overlap_until } => overlap_until,
        Keep::Nothing => None,
    };
    let until = minted.iter().map(|(mint, receipt)| overlap_until(mint, receipt)).collect();
    let new = bulk::write(
        tx.conn(),
        "INSERT INTO reconcile_handoffs (attempt, kind, name, minted_at, expires_at, overlap_until, store)
         SELECT attempt, kind, name, minted_at, expires_at, overlap_until, store FROM {rows}",
        &[
            ("attempt", Values::Ids(minted.iter().map(|(_, receipt)| receipt.attempt).collect())),
            kinds(),
            names(),
            ("minted_at", Values::Times(minted.iter().map(|(_, receipt)| receipt.minted_at).collect())),
            ("expires_at", Values::Times(minted.iter().map(|(_, receipt)| receipt.handed_off_until).collect())),
            ("overlap_until", Values::MaybeTimes(until)),
            ("store", Values::MaybeTexts(minted.iter().map(|(_, receipt)| receipt.store.as_deref()).collect())),
        ],
    )
    .await;
    new.map(drop).map_err(Error::query("record a hand-off"))
}

/// The session that `missing_session: create` asks for, with a line of its own in the journal.
async fn create_session(id: SessionId, title: &str, tx: &mut Tx) -> Result<()> {
    let after = session::Observed {
        title: title.to_owned(),
        status: session::Status::Active.word().to_owned(),
        created_by: session::DEFAULT_CREATOR.to_owned(),
        starts_at: None,
        expires_at: None,
    };
    let step = session::Step { id, before: None, after };
    if session::rows::record(&[&step], tx).await? == [Recorded::Done] {
        let entry = Entry {
            id: ResourceId::new(session::Session::KIND, id),
            actor: None,
            action: "create",
            before: None,
            after: Some(json!({ "title": title, "status": step.after.status }).to_string()),
            reason: Some("missing_session: create".to_owned()),
            origin: None,
        };
        journal::write(tx, &entry).await?;
    }
    Ok(())
}

async fn insert(mint: &Mint, receipt: &Receipt, old: Option<&Over>, tx: &mut Tx) -> Result<u64> {
    let rotation = mint.rotation.unwrap_or(old.map_or(0, |old| old.rotation));
    let generation = old.map_or(1, |old| old.generation.saturating_add(1));
    execute!(
        tx.conn(),
        "INSERT INTO host_sessions (session_id, host_guid_hash, key_id, created_at, created_by, is_active, expires_at,
             rotation, generation, attempt)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
         WHERE EXISTS (SELECT 1 FROM sessions WHERE session_id = $1)
           AND NOT EXISTS (SELECT 1 FROM host_sessions WHERE session_id = $1 AND (is_active OR $11))
         ON CONFLICT DO NOTHING",
        mint.session.0,
        &receipt.hash.hash,
        &receipt.hash.key_id,
        receipt.minted_at,
        &mint.by,
        mint.is_active,
        mint.expiry.and_then(|expiry| expiry.after(receipt.minted_at)),
        rotation,
        generation,
        receipt.attempt,
        old.is_none(),
    )
    .map_err(Error::query(WRITE))
}

/// The old row of `--force-new`: kept, but it opens nothing any more. Its generation is raised, so that a step that was
/// planned on it finds another row than it expects.
async fn retire(over: &Over, tx: &mut Tx) -> Result<u64> {
    execute!(
        tx.conn(),
        "UPDATE host_sessions SET is_active = FALSE, previous_hash = NULL, previous_key_id = NULL,
             previous_valid_until = NULL, generation = generation + 1
         WHERE host_session_id = $1 AND generation = $2 AND (revoked_at IS NOT NULL) = $3",
        over.host_session_id,
        over.generation,
        over.is_revoked,
    )
    .map_err(Error::query(WRITE))
}

async fn update(mint: &Mint, receipt: &Receipt, over: &Over, tx: &mut Tx) -> Result<u64> {
    let earliest = |until: Option<DateTime<Utc>>| match (until, over.expires_at) {
        (Some(until), Some(expires)) => Some(until.min(expires)),
        (until, expires) => until.or(expires),
    };
    let (keeps, until) = match mint.keep {
        Keep::Nothing | Keep::Former { .. } => (false, None),
        Keep::For(overlap) => (true, earliest(add(receipt.minted_at, overlap))),
        Keep::UntilClaimed(_) => (true, over.expires_at),
    };
    let former = matches!(mint.keep, Keep::Former { .. });
    execute!(
        tx.conn(),
        "UPDATE host_sessions SET
             previous_hash = CASE WHEN $12 THEN previous_hash WHEN $1 THEN host_guid_hash END,
             previous_key_id = CASE WHEN $12 THEN previous_key_id WHEN $1 THEN key_id END,
             previous_valid_until = CASE WHEN $12 THEN previous_valid_until ELSE $2 END,
             host_guid_hash = $3, key_id = $4, attempt = $5, is_active = $6, expires_at = $7, rotation = $8,
             generation = generation + 1, revoked_at = NULL, revoked_by = NULL
         WHERE host_session_id = $9 AND generation = $10 AND (revoked_at IS NOT NULL) = $11",
        keeps,
        until,
        &receipt.hash.hash,
        &receipt.hash.key_id,
        receipt.attempt,
        mint.is_active,
        mint.expiry.and_then(|expiry| expiry.after(receipt.minted_at)),
        mint.rotation.unwrap_or(over.rotation),
        over.host_session_id,
        over.generation,
        over.is_revoked,
        former,
    )
    .map_err(Error::query(WRITE))
}

async fn record_adjust(adjust: &Adjust, tx: &mut Tx) -> Result<u64> {
    let Adjust { over, rotation, is_active, expires_at } = adjust;
    execute!(
        tx.conn(),
        "UPDATE host_sessions SET rotation = $1, is_active = $2, expires_at = $3
         WHERE host_session_id = $4 AND generation = $5 AND rotation = $6 AND revoked_at IS NULL
           AND ($2 = FALSE OR NOT EXISTS (SELECT 1 FROM host_sessions other
                WHERE other.session_id = host_sessions.session_id AND other.is_active AND other.host_session_id <> $4))",
        rotation,
        is_active,
        expires_at,
        over.host_session_id,
        over.generation,
        over.rotation,
    )
    .map_err(Error::query(WRITE))
}

async fn record_revoke(revoke: &Revoke, tx: &mut Tx) -> Result<u64> {
    let Revoke { over, by } = revoke;
    let now = tx.now();
    execute!(
        tx.conn(),
        "UPDATE host_sessions SET is_active = FALSE, revoked_at = $1, revoked_by = $2, previous_hash = NULL,
             previous_key_id = NULL, previous_valid_until = NULL
         WHERE host_session_id = $3 AND generation = $4 AND revoked_at IS NULL",
        now,
        by,
        over.host_session_id,
        over.generation,
    )
    .map_err(Error::query(WRITE))
}

/// The GUIDs that nobody has claimed: the host's address, and the hand-off's name for it.
pub async fn unclaimed(snapshot: &mut Snapshot) -> Result<Vec<(String, String)>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT h.session_id, h.attempt FROM host_sessions h JOIN reconcile_handoffs r ON r.attempt = h.attempt
         WHERE r.claimed_at IS NULL AND h.is_active ORDER BY h.session_id"
    );
    let failed = Error::query("read the hand-offs");
    let one = |row: &Row| {
        let session = SessionId(row.get("session_id")?);
        Ok((ResourceId::new(KIND, session).to_string(), handoff_key(session, row.get("attempt")?)))
    };
    rows.map_err(failed)?.iter().map(one).collect::<std::result::Result<_, _>>().map_err(failed)
}
