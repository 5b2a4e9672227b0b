//! The journal: what was done, when, by whom, from which commit, and why.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;

use super::bulk::{self, Values};
use super::error::{Error, Result};
use super::sql::{Id, Row, execute, fetch};
use super::tx::{Context, Snapshot, Tx};
use crate::change::{Origin, ResourceId};

/// A line to be written. Never holds a secret.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: ResourceId,
    /// `None`: the actor of the run.
    pub actor: Option<String>,
    pub action: &'static str,
    /// As JSON text.
    pub before: Option<String>,
    /// As JSON text.
    pub after: Option<String>,
    pub reason: Option<String>,
    /// `None`: what its transaction says, a command or nobody.
    pub origin: Option<Origin>,
}

/// A line as it stands.
#[derive(Clone, Debug)]
pub struct Line {
    pub journal_id: i64,
    pub at: DateTime<Utc>,
    pub environment: String,
    pub run: Id,
    pub actor: String,
    pub revision: String,
    pub kind: String,
    pub name: String,
    pub action: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
    /// `intended`, `drift` or `manual`; `None`: none of these, or not known of an older line.
    pub origin: Option<String>,
}

/// Adds a line, in this very transaction.
pub async fn write(tx: &mut Tx, entry: &Entry) -> Result<()> {
    write_all(tx, std::slice::from_ref(entry)).await
}

/// Adds lines in their order, in this very transaction.
pub async fn write_all(tx: &mut Tx, entries: &[Entry]) -> Result<()> {
    let (at, Context { run, environment, actor, revision }) = (tx.now(), tx.context().clone());
    let count = entries.len();
    let otherwise = tx.is_manual().then_some(Origin::Manual);
    let origin = |entry: &Entry| entry.origin.or(otherwise).map(Origin::name);
    let json = |picture: fn(&Entry) -> Option<&str>| Values::MaybeJson(entries.iter().map(picture).collect());
    let rows = bulk::append(
        tx.conn(),
        "reconcile_journal",
        &[
            ("at", Values::Times(vec![at; count])),
            ("environment", Values::Texts(vec![&environment; count])),
            ("run", Values::Ids(vec![run; count])),
            (
                "actor",
                Values::Texts(entries.iter().map(|entry| entry.actor.as_ref().unwrap_or(&actor).as_str()).collect()),
            ),
            ("revision", Values::Texts(vec![&revision; count])),
            ("kind", Values::Texts(entries.iter().map(|entry| entry.id.kind.name).collect())),
            ("name", Values::Texts(entries.iter().map(|entry| entry.id.name.as_str()).collect())),
            ("action", Values::Texts(entries.iter().map(|entry| entry.action).collect())),
            ("before", json(|entry| entry.before.as_deref())),
            ("after", json(|entry| entry.after.as_deref())),
            ("reason", Values::MaybeTexts(entries.iter().map(|entry| entry.reason.as_deref()).collect())),
            ("origin", Values::MaybeTexts(entries.iter().map(origin).collect())),
        ],
    )
    .await;
    rows.map_err(Error::query("write the journal"))
}

/// Which lines to read.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub resource: Option<ResourceId>,
    /// The newest so many; at most what an `i64` counts.
    pub most: i64,
}

/// The newest lines, newest first.
pub async fn read(snapshot: &mut Snapshot, filter: &Filter) -> Result<Vec<Line>> {
    let kind = filter.resource.as_ref().map(|id| id.kind.name);
    let name = filter.resource.as_ref().map(|id| id.name.as_str());
    let rows = fetch!(
        snapshot.conn(),
        "SELECT journal_id, at, environment, run, actor, revision, kind, name, action, before, after, reason,
             origin
         FROM reconcile_journal
         WHERE ($1 IS NULL OR kind = $1) AND ($2 IS NULL OR name = $2)
         ORDER BY journal_id DESC LIMIT $3",
        kind,
        name,
        filter.most,
    );
    let rows = rows.map_err(Error::query("read the journal"))?;
    rows.iter().map(line).collect::<std::result::Result<_, _>>().map_err(Error::query("read the journal"))
}

fn line(row: &Row) -> std::result::Result<Line, sqlx::Error> {
    let json = |column| row.get::<Option<Json<Value>>>(column).map(|json| json.map(|Json(value)| value));
    Ok(Line {
        journal_id: row.get("journal_id")?,
        at: row.get("at")?,
        environment: row.get("environment")?,
        run: row.get("run")?,
        actor: row.get("actor")?,
        revision: row.get("revision")?,
        kind: row.get("kind")?,
        name: row.get("name")?,
        action: row.get("action")?,
        before: json("before")?,
        after: json("after")?,
        reason: row.get("reason")?,
        origin: row.get("origin")?,
    })
}

/// Forgets lines from before `limit`. Gives how many.
pub async fn prune(tx: &mut Tx, limit: DateTime<Utc>) -> Result<u64> {
    execute!(tx.conn(), "DELETE FROM reconcile_journal WHERE at < $1", limit).map_err(Error::query("prune the journal"))
}
