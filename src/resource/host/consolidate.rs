//! Consolidating: of several active hosts of one session, a legacy of other tools, the newest stays.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::KIND;
use crate::change::{ResourceId, rfc3339};
use crate::resource::session::SessionId;
use crate::store::error::{Error, Result};
use crate::store::sql::{Conn, Row, execute, fetch};
use crate::store::{Entry, Tx, journal};

/// One active host of a session that has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    pub session: SessionId,
    pub host_session_id: i64,
    pub created_at: DateTime<Utc>,
    /// The newest of its session: it stays.
    pub stays: bool,
}

/// The active hosts of every session that has several, the newest first.
pub async fn find(conn: &mut Conn) -> Result<Vec<Duplicate>> {
    let rows = fetch!(
        conn,
        "SELECT session_id, host_session_id, created_at FROM host_sessions
         WHERE is_active AND session_id IN
             (SELECT session_id FROM host_sessions WHERE is_active GROUP BY session_id HAVING COUNT(*) > 1)
         ORDER BY session_id, created_at DESC, host_session_id DESC"
    );
    let failed = Error::query("look for sessions with several active hosts");
    let mut found: Vec<Duplicate> = Vec::new();
    for row in rows.map_err(&failed)? {
        let (session, host_session_id, created_at) = columns(&row).map_err(&failed)?;
        let stays = found.last().is_none_or(|last| last.session != session);
        found.push(Duplicate { session, host_session_id, created_at, stays });
    }
    Ok(found)
}

fn columns(row: &Row) -> std::result::Result<(SessionId, i64, DateTime<Utc>), sqlx::Error> {
    Ok((SessionId(row.get("session_id")?), row.get("host_session_id")?, row.get("created_at")?))
}

/// Deactivates a host that does not stay, with a line in the journal.
pub async fn deactivate(duplicate: &Duplicate, tx: &mut Tx) -> Result<()> {
    let touched = execute!(
        tx.conn(),
        "UPDATE host_sessions SET is_active = FALSE WHERE host_session_id = $1 AND is_active",
        duplicate.host_session_id,
    );
    if touched.map_err(Error::query("deactivate a host"))? != 1 {
        return Err(Error::Conflict { what: format!("host session {}", duplicate.host_session_id) });
    }
    let picture = |active: bool| {
        json!({ "host_session_id": duplicate.host_session_id, "active": active,
                "created_at": rfc3339(duplicate.created_at) })
    };
    let entry = Entry {
        id: ResourceId::new(KIND, duplicate.session),
        actor: None,
        action: "consolidate",
        before: Some(picture(true).to_string()),
        after: Some(picture(false).to_string()),
        reason: Some("another active host of this session is newer".to_owned()),
        origin: None,
    };
    journal::write(tx, &entry).await
}
