//! What runs failed at: for each resource the last failure, since when, and how often.

use super::bulk::{self, Values};
use super::error::{Error, Result};
use super::sql::{Row, fetch};
use super::tx::{Snapshot, Tx};
use crate::change::{Failed, ResourceId};

/// Rows in one statement, at most.
const PART: usize = 5_000;

/// Kind, name, and the last failure of one resource.
pub type Named = (String, String, Failed);

/// All of them.
pub async fn read(snapshot: &mut Snapshot) -> Result<Vec<Named>> {
    let rows = fetch!(snapshot.conn(), "SELECT kind, name, first_at, last_at, times, message FROM reconcile_failures");
    failures(rows)
}

/// Those that failed most often, `most` at most, and how many there are in all.
pub async fn worst(snapshot: &mut Snapshot, most: i64) -> Result<(Vec<Named>, i64)> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT kind, name, first_at, last_at, times, message FROM reconcile_failures
         ORDER BY times DESC, first_at, kind, name LIMIT $1",
        most
    );
    let worst = failures(rows)?;
    let failed = Error::query(READ);
    let count = fetch!(snapshot.conn(), "SELECT COUNT(*) AS count FROM reconcile_failures").map_err(&failed)?;
    let count = count.first().map_or(Ok(0), |row| row.get("count")).map_err(failed)?;
    Ok((worst, count))
}

const READ: &str = "read what failed";

fn failures(rows: std::result::Result<Vec<Row>, sqlx::Error>) -> Result<Vec<Named>> {
    let failed = Error::query(READ);
    let one = |row: &Row| {
        let failed = Failed {
            first_at: row.get("first_at")?,
            last_at: row.get("last_at")?,
            times: row.get("times")?,
            message: row.get("message")?,
        };
        Ok((row.get("kind")?, row.get("name")?, failed))
    };
    rows.map_err(&failed)?.iter().map(one).collect::<std::result::Result<_, _>>().map_err(failed)
}

/// Records that one more run failed at these, and with what.
pub async fn add(tx: &mut Tx, failed: &[(&ResourceId, String)]) -> Result<()> {
    let now = tx.now();
    for part in failed.chunks(PART) {
        let columns = [
            ("kind", Values::Texts(part.iter().map(|(id, _)| id.kind.name).collect())),
            ("name", Values::Texts(part.iter().map(|(id, _)| id.name.as_str()).collect())),
            ("at", Values::Times(vec![now; part.len()])),
            ("message", Values::Texts(part.iter().map(|(_, message)| message.as_str()).collect())),
        ];
        bulk::write(
            tx.conn(),
            "INSERT INTO reconcile_failures (kind, name, first_at, last_at, times, message)
             SELECT kind, name, at, at, 1, message FROM {rows} WHERE TRUE
             ON CONFLICT (name, kind) DO UPDATE SET last_at = excluded.last_at, message = excluded.message,
                 times = reconcile_failures.times + 1",
            &columns,
        )
        .await
        .map_err(Error::query("record what failed"))?;
    }
    Ok(())
}

/// Forgets failures: the resources were applied, are in sync, or are managed no more.
pub async fn clear(tx: &mut Tx, ids: &[&ResourceId]) -> Result<()> {
    for part in ids.chunks(PART) {
        let columns = [
            ("kind", Values::Texts(part.iter().map(|id| id.kind.name).collect())),
            ("name", Values::Texts(part.iter().map(|id| id.name.as_str()).collect())),
        ];
        bulk::write(
            tx.conn(),
            "DELETE FROM reconcile_failures WHERE (kind, name) IN (SELECT kind, name FROM {rows})",
            &columns,
        )
        .await
        .map_err(Error::query("forget a failure"))?;
    }
    Ok(())
}
