//! The commits that were applied, under the name of a lineage: what tells whether a run would go back.

use chrono::{DateTime, Utc};

use super::error::{Error, Result};
use super::sql::{Row, execute, fetch};
use super::tx::{Snapshot, Tx};

const READ: &str = "read which commit was last applied";
const RECORD: &str = "record which commit was applied";

/// So many commits are remembered of each lineage.
const KEPT: i64 = 1_000;

/// A commit that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The full commit id, as its repository names it.
    pub commit: String,
    /// Whether the files that were applied were those of the commit.
    pub is_clean: bool,
    /// When it was committed; `None` where the commit's time is none.
    pub committed_at: Option<DateTime<Utc>>,
    pub applied_at: DateTime<Utc>,
    /// The first commit of its history; `None` where it was not to be seen.
    pub root: Option<String>,
}

/// The commit that was last applied under `name`, where one was.
pub async fn last(snapshot: &mut Snapshot, name: &str) -> Result<Option<Applied>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT commit_id, is_clean, committed_at, applied_at, root FROM reconcile_lineage WHERE lineage = $1
         ORDER BY number DESC LIMIT 1",
        name
    );
    let applied = |row: &Row| {
        Ok(Applied {
            commit: row.get("commit_id")?,
            is_clean: row.get("is_clean")?,
            committed_at: row.get("committed_at")?,
            applied_at: row.get("applied_at")?,
            root: row.get("root")?,
        })
    };
    let failed = Error::query(READ);
    rows.map_err(&failed)?.first().map(applied).transpose().map_err(failed)
}

/// Whether the commit is among those that are remembered as applied under `name`.
pub async fn was_applied(snapshot: &mut Snapshot, name: &str, commit: &str) -> Result<bool> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT 1 AS there FROM reconcile_lineage WHERE lineage = $1 AND commit_id = $2",
        name,
        commit
    );
    rows.map(|rows| !rows.is_empty()).map_err(Error::query(READ))
}

/// Records that the commit was applied after all others, and forgets those that were applied long before it.
pub async fn record(tx: &mut Tx, name: &str, applied: &Applied) -> Result<()> {
    let Applied { commit, is_clean, committed_at, applied_at, root } = applied;
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_lineage (lineage, commit_id, number, committed_at, applied_at, is_clean, root)
         SELECT $1, $2, COALESCE(MAX(number), 0) + 1, $3, $4, $5, $6 FROM reconcile_lineage WHERE lineage = $1
         ON CONFLICT (lineage, commit_id) DO UPDATE SET number = excluded.number,
             committed_at = excluded.committed_at, applied_at = excluded.applied_at, is_clean = excluded.is_clean,
             root = excluded.root",
        name,
        commit,
        committed_at,
        applied_at,
        is_clean,
        root,
    )
    .map_err(Error::query(RECORD))?;
    execute!(
        tx.conn(),
        "DELETE FROM reconcile_lineage WHERE lineage = $1 AND number <=
             (SELECT number FROM reconcile_lineage WHERE lineage = $1 ORDER BY number DESC LIMIT 1 OFFSET $2)",
        name,
        KEPT,
    )
    .map(drop)
    .map_err(Error::query(RECORD))
}
