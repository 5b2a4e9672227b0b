//! What is known of resources beside their rows: last applied digests, suspensions, flaps, approvals.

use chrono::{DateTime, TimeDelta, Utc};

use super::bulk::{self, Values};
use super::error::{Error, Result};
use super::scan::pick;
use super::sql::{self, Row, execute, fetch};
use super::tx::{Snapshot, Tx};
use crate::change::{Kind, ResourceId};

const READ: &str = "read what was last applied";

/// It as one snapshot has it. Names are kind and name.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub applied: Vec<(String, String, String)>,
    pub suspensions: Vec<Suspension>,
    /// Kind, name, digest of the wish, turns in a row.
    pub flaps: Vec<(String, String, String, i64)>,
    pub approvals: Vec<String>,
}

/// A stop to applying. Kind and name are empty for "everything".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    pub kind: String,
    pub name: String,
    pub actor: String,
    pub reason: String,
    pub suspended_at: DateTime<Utc>,
}

/// Reads it but for what was last applied to sessions: those may be a million. The index of all others is asked for by
/// its very condition; to look through the table for them takes 80 ms.
pub async fn read(snapshot: &mut Snapshot) -> Result<Ledger> {
    let mut ledger = Ledger { suspensions: suspensions(snapshot).await?, ..Ledger::default() };
    let failed = Error::query(READ);
    let others = fetch!(snapshot.conn(), "SELECT kind, name, digest FROM reconcile_applied WHERE kind <> 'session'");
    for row in others.map_err(&failed)? {
        let text = |column| row.get(column).map_err(&failed);
        ledger.applied.push((text("kind")?, text("name")?, text("digest")?));
    }
    for row in fetch!(snapshot.conn(), "SELECT kind, name, digest, turns FROM reconcile_flaps").map_err(&failed)? {
        let text = |column| row.get(column).map_err(&failed);
        let (kind, name, digest) = (text("kind")?, text("name")?, text("digest")?);
        ledger.flaps.push((kind, name, digest, row.get("turns").map_err(&failed)?));
    }
    let approved = fetch!(
        snapshot.conn(),
        "SELECT digest FROM reconcile_approvals WHERE approved_at > $1",
        good_since(sql::now())
    );
    for row in approved.map_err(&failed)? {
        ledger.approvals.push(row.get("digest").map_err(&failed)?);
    }
    Ok(ledger)
}

/// What was last applied to the named resources of the kind: name and digest.
pub async fn applied_to(snapshot: &mut Snapshot, kind: Kind, names: &[String]) -> Result<Vec<(String, String)>> {
    let failed = Error::query(READ);
    let rows = pick!(
        snapshot.conn(),
        "SELECT name, digest FROM reconcile_applied WHERE name = ANY($1) AND kind = $2",
        "SELECT name, digest FROM reconcile_applied WHERE name IN (SELECT value FROM json_each($1)) AND kind = $2",
        names,
        kind.name,
    );
    let one = |row: &Row| Ok((row.get("name")?, row.get("digest")?));
    rows.map_err(&failed)?.iter().map(one).collect::<std::result::Result<_, _>>().map_err(failed)
}

pub async fn suspensions(snapshot: &mut Snapshot) -> Result<Vec<Suspension>> {
    let failed = Error::query("read what is suspended");
    let rows = fetch!(
        snapshot.conn(),
        "SELECT kind, name, actor, reason, suspended_at FROM reconcile_suspensions ORDER BY kind, name"
    );
    let rows = rows.map_err(&failed)?;
    let suspension = |row: &super::sql::Row| {
        Ok(Suspension {
            kind: row.get("kind")?,
            name: row.get("name")?,
            actor: row.get("actor")?,
            reason: row.get("reason")?,
            suspended_at: row.get("suspended_at")?,
        })
    };
    rows.iter().map(suspension).collect::<std::result::Result<_, _>>().map_err(failed)
}

/// A resource, and the digest of the wish that was applied to it.
pub type Applied<'a> = (&'a ResourceId, &'a str);

/// Notes what was last applied to resources.
pub async fn applied(tx: &mut Tx, done: &[Applied<'_>]) -> Result<()> {
    let columns = columns(tx, done);
    let rows = bulk::write(
        tx.conn(),
        "INSERT INTO reconcile_applied (kind, name, digest, applied_at)
         SELECT kind, name, digest, applied_at FROM {rows} WHERE TRUE
         ON CONFLICT (kind, name) DO UPDATE SET digest = excluded.digest, applied_at = excluded.applied_at",
        &columns,
    )
    .await;
    rows.map(drop).map_err(Error::query(NOTE))
}

/// The same for resources of which another wish is noted, at half the cost.
pub async fn newly_applied(tx: &mut Tx, done: &[Applied<'_>]) -> Result<()> {
    let columns = columns(tx, done);
    let rows = bulk::write(
        tx.conn(),
        "UPDATE reconcile_applied SET digest = n.digest, applied_at = n.applied_at FROM {rows}
         WHERE reconcile_applied.kind = n.kind AND reconcile_applied.name = n.name",
        &columns,
    );
    rows.await.map(drop).map_err(Error::query(NOTE))
}

/// The same for resources of which nothing is noted.
pub async fn first_applied(tx: &mut Tx, done: &[Applied<'_>]) -> Result<()> {
    let columns = columns(tx, done);
    bulk::append(tx.conn(), "reconcile_applied", &columns).await.map_err(Error::query(NOTE))
}

const NOTE: &str = "note what was applied";

fn columns<'a>(tx: &Tx, done: &[Applied<'a>]) -> [(&'static str, Values<'a>); 4] {
    [
        ("kind", Values::Texts(done.iter().map(|(id, _)| id.kind.name).collect())),
        ("name", Values::Texts(done.iter().map(|(id, _)| id.name.as_str()).collect())),
        ("digest", Values::Texts(done.iter().map(|(_, digest)| *digest).collect())),
        ("applied_at", Values::Times(vec![tx.now(); done.len()])),
    ]
}

/// Notes of drifts how many turns in a row they had to be put right.
pub async fn flapped(tx: &mut Tx, drifts: &[(Applied<'_>, i64)]) -> Result<()> {
    let columns = drift_columns(drifts);
    let rows = bulk::write(
        tx.conn(),
        "INSERT INTO reconcile_flaps (kind, name, digest, turns) SELECT kind, name, digest, turns FROM {rows} WHERE TRUE
         ON CONFLICT (kind, name) DO UPDATE SET digest = excluded.digest, turns = excluded.turns",
        &columns,
    );
    rows.await.map(drop).map_err(Error::query(FLAP))
}

/// Notes of drifts of which nothing is noted that they had to be put right once.
pub async fn first_flapped(tx: &mut Tx, drifts: &[Applied<'_>]) -> Result<()> {
    let drifts: Vec<_> = drifts.iter().map(|applied| (*applied, 1)).collect();
    bulk::append(tx.conn(), "reconcile_flaps", &drift_columns(&drifts)).await.map_err(Error::query(FLAP))
}

const FLAP: &str = "note a flap";

fn drift_columns<'a>(drifts: &[(Applied<'a>, i64)]) -> [(&'static str, Values<'a>); 4] {
    [
        ("kind", Values::Texts(drifts.iter().map(|((id, _), _)| id.kind.name).collect())),
        ("name", Values::Texts(drifts.iter().map(|((id, _), _)| id.name.as_str()).collect())),
        ("digest", Values::Texts(drifts.iter().map(|((_, digest), _)| *digest).collect())),
        ("turns", Values::Ints(drifts.iter().map(|(_, turns)| *turns).collect())),
    ]
}

/// Forgets flaps: the resources stayed as they were put.
pub async fn calmed(tx: &mut Tx, ids: &[&ResourceId]) -> Result<()> {
    let rows = bulk::write(
        tx.conn(),
        "DELETE FROM reconcile_flaps WHERE (kind, name) IN (SELECT kind, name FROM {rows})",
        &[
            ("kind", Values::Texts(ids.iter().map(|id| id.kind.name).collect())),
            ("name", Values::Texts(ids.iter().map(|id| id.name.as_str()).collect())),
        ],
    )
    .await;
    rows.map(drop).map_err(Error::query("forget a flap"))
}

/// Approvals are good that were given since: like a saved plan's, their time is a day. The same changes planned again
/// after months are not what somebody looked at.
fn good_since(now: DateTime<Utc>) -> DateTime<Utc> {
    const LIFE: TimeDelta = TimeDelta::days(1);
    now.checked_sub_signed(LIFE).unwrap_or_default()
}

/// Lets the daemon apply the plan with this digest, within a day. Approvals that are good no more are forgotten.
pub async fn approve(tx: &mut Tx, digest: &str, reason: &str) -> Result<()> {
    let (now, actor) = (tx.now(), tx.context().actor.clone());
    let failed = Error::query("record the approval");
    execute!(tx.conn(), "DELETE FROM reconcile_approvals WHERE approved_at <= $1", good_since(now)).map_err(&failed)?;
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_approvals (digest, actor, reason, approved_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (digest) DO NOTHING",
        digest,
        actor,
        reason,
        now,
    )
    .map(drop)
    .map_err(failed)
}

/// An approval is good for one plan.
pub async fn spend_approval(tx: &mut Tx, digest: &str) -> Result<()> {
    execute!(tx.conn(), "DELETE FROM reconcile_approvals WHERE digest = $1", digest)
        .map(drop)
        .map_err(Error::query("spend the approval"))
}

/// Stops applying, for one resource or (both empty) for all. Gives whether it was not suspended for this reason already.
pub async fn suspend(tx: &mut Tx, kind: &str, name: &str, reason: &str) -> Result<bool> {
    let (now, actor) = (tx.now(), tx.context().actor.clone());
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_suspensions (kind, name, actor, reason, suspended_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (kind, name) DO UPDATE SET actor = excluded.actor, reason = excluded.reason,
             suspended_at = excluded.suspended_at
         WHERE reconcile_suspensions.reason <> excluded.reason",
        kind,
        name,
        actor,
        reason,
        now,
    )
    .map(|rows| rows > 0)
    .map_err(Error::query("suspend"))
}

/// Starts applying again. Gives whether anything was suspended.
pub async fn resume(tx: &mut Tx, kind: &str, name: &str) -> Result<bool> {
    execute!(tx.conn(), "DELETE FROM reconcile_suspensions WHERE kind = $1 AND name = $2", kind, name)
        .map(|rows| rows > 0)
        .map_err(Error::query("resume"))
}
