//! What is protected: kept until a file lifts it, whatever becomes of the line that asked for it.

use chrono::{DateTime, Utc};

use super::bulk::{self, Values};
use super::error::{Error, Result};
use super::scan::{Cells, Column, Selection, pick, scan};
use super::sql::{Row, fetch};
use super::tx::{Snapshot, Tx};
use crate::change::{Kind, ResourceId};

const READ: &str = "read what is protected";

/// One resource that nobody may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    pub kind: String,
    pub name: String,
    /// Whose run recorded it.
    pub actor: String,
    pub protected_at: DateTime<Utc>,
}

/// Those of sessions, which may be a million: their names alone.
const SESSIONS: Selection =
    Selection { table: "reconcile_protections", columns: &[Column::Text("name")], filter: "kind = 'session'" };

/// All but those of sessions.
pub async fn others(snapshot: &mut Snapshot) -> Result<Vec<Protection>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT kind, name, actor, protected_at FROM reconcile_protections WHERE kind <> 'session'"
    );
    all(rows)
}

/// The names of all sessions that are protected, in no order.
pub async fn sessions(snapshot: &mut Snapshot, mut each: impl FnMut(&[u8])) -> Result<()> {
    let each = |cells: &mut Cells<'_>| {
        each(cells.text()?);
        Ok(())
    };
    scan(snapshot.conn(), &SESSIONS, each).await.map_err(Error::query(READ))
}

/// Those of the named resources of a kind.
pub async fn among(snapshot: &mut Snapshot, kind: Kind, names: &[String]) -> Result<Vec<Protection>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let rows = pick!(
        snapshot.conn(),
        "SELECT kind, name, actor, protected_at FROM reconcile_protections WHERE name = ANY($1) AND kind = $2",
        "SELECT kind, name, actor, protected_at FROM reconcile_protections
         WHERE name IN (SELECT value FROM json_each($1)) AND kind = $2",
        names,
        kind.name,
    );
    all(rows)
}

fn all(rows: std::result::Result<Vec<Row>, sqlx::Error>) -> Result<Vec<Protection>> {
    let failed = Error::query(READ);
    let one = |row: &Row| {
        let (kind, name) = (row.get("kind")?, row.get("name")?);
        Ok(Protection { kind, name, actor: row.get("actor")?, protected_at: row.get("protected_at")? })
    };
    rows.map_err(&failed)?.iter().map(one).collect::<std::result::Result<_, _>>().map_err(failed)
}

/// Whether the resource is protected at this very moment: for a writer that has planned before.
pub async fn is_protected(tx: &mut Tx, id: &ResourceId) -> Result<bool> {
    let rows = fetch!(
        tx.conn(),
        "SELECT 1 AS there FROM reconcile_protections WHERE name = $1 AND kind = $2",
        id.name.as_str(),
        id.kind.name,
    );
    rows.map(|rows| !rows.is_empty()).map_err(Error::query(READ))
}

/// Protects resources. What is protected already stays as it was recorded.
pub async fn record(tx: &mut Tx, ids: &[&ResourceId]) -> Result<()> {
    let (at, actor) = (tx.now(), tx.context().actor.clone());
    let rows = bulk::write(
        tx.conn(),
        "INSERT INTO reconcile_protections (kind, name, actor, protected_at)
         SELECT kind, name, actor, protected_at FROM {rows} WHERE TRUE
         ON CONFLICT (name, kind) DO NOTHING",
        &[
            ("kind", Values::Texts(ids.iter().map(|id| id.kind.name).collect())),
            ("name", Values::Texts(ids.iter().map(|id| id.name.as_str()).collect())),
            ("actor", Values::Texts(vec![&actor; ids.len()])),
            ("protected_at", Values::Times(vec![at; ids.len()])),
        ],
    )
    .await;
    rows.map(drop).map_err(Error::query("record what is protected"))
}

/// Ends the protection of resources.
pub async fn lift(tx: &mut Tx, ids: &[&ResourceId]) -> Result<()> {
    let rows = bulk::write(
        tx.conn(),
        "DELETE FROM reconcile_protections WHERE (kind, name) IN (SELECT kind, name FROM {rows})",
        &[
            ("kind", Values::Texts(ids.iter().map(|id| id.kind.name).collect())),
            ("name", Values::Texts(ids.iter().map(|id| id.name.as_str()).collect())),
        ],
    )
    .await;
    rows.map(drop).map_err(Error::query("lift protection"))
}
