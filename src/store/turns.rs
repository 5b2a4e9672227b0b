//! The last turn, as whoever applied it saw it: what `status` tells without asking the applier.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;

use super::error::{Error, Result};
use super::sql::{Id, execute, fetch};
use super::tx::{Snapshot, Tx};

/// One turn, in short.
#[derive(Clone, Debug)]
pub struct Turn {
    pub run: Id,
    pub holder: String,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub revision: String,
    /// `done`, `held back`, `failed: …`.
    pub outcome: String,
    pub summary: Value,
    /// When the last turn ended well.
    pub good_at: Option<DateTime<Utc>>,
    /// What waits for a person.
    pub held: Vec<Waiting>,
}

/// Changes that wait for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What `approve` is told.
    pub digest: String,
    /// How much it is, and the limit.
    pub why: String,
}

/// Replaces the record of the last run, with what waits.
pub async fn write(tx: &mut Tx, turn: &Turn) -> Result<()> {
    write_beside(tx, turn).await?;
    execute!(tx.conn(), "UPDATE reconcile_turns SET held = $1 WHERE turn_id = 1", Json(&turn.held))
        .map(drop)
        .map_err(Error::query(WRITE))
}

/// Replaces the record of the last run, and leaves what waits as it was.
pub async fn write_beside(tx: &mut Tx, turn: &Turn) -> Result<()> {
    let Turn { run, holder, started_at, finished_at, revision, outcome, summary, good_at, held: _ } = turn;
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_turns
             (turn_id, run, holder, started_at, finished_at, revision, outcome, summary, good_at)
         VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (turn_id) DO UPDATE SET run = excluded.run, holder = excluded.holder,
             started_at = excluded.started_at, finished_at = excluded.finished_at, revision = excluded.revision,
             outcome = excluded.outcome, summary = excluded.summary,
             good_at = COALESCE(excluded.good_at, reconcile_turns.good_at)",
        run,
        holder,
        started_at,
        finished_at,
        revision,
        outcome,
        Json(summary),
        good_at,
    )
    .map(drop)
    .map_err(Error::query(WRITE))
}

const WRITE: &str = "record the run";

/// The last turn, where there was one.
pub async fn last(snapshot: &mut Snapshot) -> Result<Option<Turn>> {
    let failed = Error::query("read the last turn");
    let rows = fetch!(
        snapshot.conn(),
        "SELECT run, holder, started_at, finished_at, revision, outcome, summary, good_at, held
         FROM reconcile_turns"
    );
    let rows = rows.map_err(&failed)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let Json(summary) = row.get("summary").map_err(&failed)?;
    let Json(held) = row.get("held").map_err(&failed)?;
    Ok(Some(Turn {
        run: row.get("run").map_err(&failed)?,
        holder: row.get("holder").map_err(&failed)?,
        started_at: row.get("started_at").map_err(&failed)?,
        finished_at: row.get("finished_at").map_err(&failed)?,
        revision: row.get("revision").map_err(&failed)?,
        outcome: row.get("outcome").map_err(&failed)?,
        summary,
        good_at: row.get("good_at").map_err(&failed)?,
        held,
    }))
}
