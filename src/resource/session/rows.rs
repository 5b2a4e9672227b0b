//! The rows of `sessions`: read in a snapshot, written in a guarded transaction.

use std::collections::BTreeMap;

use super::{Observed, SessionId, Step};
use crate::resource::Recorded;
use crate::store::error::{Error, Result};
use crate::store::sql::{Conn, Row, execute, fetch};
use crate::store::{Snapshot, Tx};

/// Every session there is, by id, or the one that is asked for.
pub async fn observe(snapshot: &mut Snapshot, only: Option<SessionId>) -> Result<BTreeMap<SessionId, Observed>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT session_id, title, status, created_by, starts_at, expires_at FROM sessions
         WHERE $1 IS NULL OR session_id = $1 ORDER BY session_id",
        only.map(|id| id.0),
    );
    let rows = rows.map_err(Error::query("read sessions"))?;
    rows.iter().map(observed).collect::<std::result::Result<_, _>>().map_err(Error::query("read sessions"))
}

/// The ids next to one that is not there, two on each side at most, in order.
pub async fn nearest(snapshot: &mut Snapshot, id: SessionId) -> Result<Vec<SessionId>> {
    let failed = Error::query("look for the nearest sessions");
    let below = fetch!(
        snapshot.conn(),
        "SELECT session_id FROM sessions WHERE session_id < $1 ORDER BY session_id DESC LIMIT 2",
        id.0,
    );
    let above = fetch!(
        snapshot.conn(),
        "SELECT session_id FROM sessions WHERE session_id > $1 ORDER BY session_id LIMIT 2",
        id.0,
    );
    let rows = below.map_err(&failed)?.into_iter().chain(above.map_err(&failed)?);
    let ids = rows.map(|row| row.get("session_id").map(SessionId));
    let mut ids = ids.collect::<std::result::Result<Vec<_>, _>>().map_err(&failed)?;
    ids.sort();
    Ok(ids)
}

fn observed(row: &Row) -> std::result::Result<(SessionId, Observed), sqlx::Error> {
    let session = Observed {
        title: row.get("title")?,
        status: row.get("status")?,
        created_by: row.get("created_by")?,
        starts_at: row.get("starts_at")?,
        expires_at: row.get("expires_at")?,
    };
    Ok((SessionId(row.get("session_id")?), session))
}

/// Writes one session. The row that the plan saw is the expectation.
pub async fn record(step: &Step, tx: &mut Tx) -> Result<Recorded> {
    let mut touched = write(step, tx).await?;
    if touched == 0 && respelt(step, tx).await? {
        touched = write(step, tx).await?;
    }
    Ok(if touched == 1 { Recorded::Done } else { Recorded::Conflict })
}

/// SQLite keeps times as text, and others may spell a moment in another way than we do. Such a row is what the plan
/// saw, and yet compares differently: its times are brought to our spelling. `false`: the row has really changed.
async fn respelt(step: &Step, tx: &mut Tx) -> Result<bool> {
    let (Conn::Sqlite(_), Some(was)) = (tx.conn(), &step.before) else { return Ok(false) };
    let failed = Error::query("read a session");
    let rows = fetch!(
        tx.conn(),
        "SELECT session_id, title, status, created_by, starts_at, expires_at FROM sessions WHERE session_id = $1",
        step.id.0,
    );
    let found = rows.map_err(&failed)?.first().map(observed).transpose().map_err(&failed)?;
    if found.is_none_or(|(_, now)| now != *was) {
        return Ok(false);
    }
    let respelt = execute!(
        tx.conn(),
        "UPDATE sessions SET starts_at = $1, expires_at = $2 WHERE session_id = $3",
        was.starts_at,
        was.expires_at,
        step.id.0,
    );
    Ok(respelt.map_err(Error::query("write a session"))? == 1)
}

async fn write(step: &Step, tx: &mut Tx) -> Result<u64> {
    let Step { id, before, after } = step;
    let Observed { title, status, created_by, starts_at, expires_at } = after;
    let now = tx.now();
    let touched = match before {
        None => execute!(
            tx.conn(),
            "INSERT INTO sessions (session_id, title, status, created_by, starts_at, expires_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (session_id) DO NOTHING",
            id.0,
            title,
            status,
            created_by,
            starts_at,
            expires_at,
            now,
        ),
        Some(was) => execute!(
            tx.conn(),
            "UPDATE sessions SET title = $1, status = $2, created_by = $3, starts_at = $4, expires_at = $5,
                 updated_at = $6
             WHERE session_id = $7 AND title = $8 AND status = $9 AND created_by = $10
               AND starts_at IS NOT DISTINCT FROM $11 AND expires_at IS NOT DISTINCT FROM $12",
            title,
            status,
            created_by,
            starts_at,
            expires_at,
            now,
            id.0,
            &was.title,
            &was.status,
            &was.created_by,
            was.starts_at,
            was.expires_at,
        ),
    };
    touched.map_err(Error::query("write a session"))
}
