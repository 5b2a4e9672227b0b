//! Turns that were asked for, and how those who asked are answered.
//!
//! A request is a row from the moment it is made, so that any replica may be asked, and a crash loses none: a turn
//! answers those that it found before it read anything else.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;

use super::bulk::{self, Values};
use super::error::{Error, Result};
use super::sql::{Id, Row, execute, fetch};
use super::turns::Turn;
use super::tx::{Snapshot, Tx};

/// Rows at once, answered or not.
const MOST: i64 = 10_000;

/// A turn that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub id: Id,
    pub by: String,
    pub reason: Option<String>,
    pub at: DateTime<Utc>,
    /// `None`: not yet.
    pub answer: Option<Answer>,
}

/// The turn that answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub run: Id,
    pub finished_at: DateTime<Utc>,
    /// As [`Turn::outcome`].
    pub outcome: String,
    pub detail: Detail,
}

/// What else is told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detail {
    pub holder: String,
    pub started_at: DateTime<Utc>,
    pub revision: String,
    pub summary: Value,
}

/// Keeps a request by the transaction's actor, and forgets those that were answered before `limit`. `false`: there are
/// too many already.
pub async fn ask(tx: &mut Tx, id: Id, reason: Option<&str>, limit: DateTime<Utc>) -> Result<bool> {
    let (now, actor) = (tx.now(), tx.context().actor.clone());
    execute!(tx.conn(), "DELETE FROM reconcile_requests WHERE handled_at < $1", limit)
        .map_err(Error::query("forget old requests"))?;
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_requests (request_id, asked_by, reason, asked_at)
         SELECT $1, $2, $3, $4 WHERE (SELECT COUNT(*) FROM reconcile_requests) < $5",
        id,
        actor,
        reason,
        now,
        MOST,
    )
    .map(|rows| rows == 1)
    .map_err(Error::query("keep a request"))
}

/// Those that no turn has answered.
pub async fn open(snapshot: &mut Snapshot) -> Result<Vec<Id>> {
    let failed = Error::query("read the requests for turns");
    let rows =
        fetch!(snapshot.conn(), "SELECT request_id FROM reconcile_requests WHERE handled_at IS NULL ORDER BY asked_at");
    let id = |row: &Row| row.get("request_id");
    rows.map_err(failed)?.iter().map(id).collect::<std::result::Result<_, _>>().map_err(failed)
}

/// Answers these with the turn.
pub async fn answered(tx: &mut Tx, ids: &[Id], turn: &Turn) -> Result<()> {
    let Turn { run, holder, started_at, finished_at, revision, outcome, summary, good_at: _, held: _ } = turn;
    let detail = Detail {
        holder: holder.clone(),
        started_at: *started_at,
        revision: revision.clone(),
        summary: summary.clone(),
    };
    let failed = Error::query("answer the requests for turns");
    let detail = serde_json::to_string(&detail).map_err(|error| failed(sqlx::Error::Encode(error.into())))?;
    let count = ids.len();
    let columns = [
        ("request_id", Values::Ids(ids.to_vec())),
        ("handled_run", Values::Ids(vec![*run; count])),
        ("handled_at", Values::Times(vec![*finished_at; count])),
        ("outcome", Values::Texts(vec![outcome; count])),
        ("detail", Values::MaybeJson(vec![Some(&detail); count])),
    ];
    let rows = bulk::write(
        tx.conn(),
        "UPDATE reconcile_requests SET handled_run = n.handled_run, handled_at = n.handled_at, outcome = n.outcome,
             detail = n.detail
         FROM {rows} WHERE reconcile_requests.request_id = n.request_id AND reconcile_requests.handled_at IS NULL",
        &columns,
    );
    rows.await.map(drop).map_err(failed)
}

/// One; `None`: there is none of this id, or it was forgotten.
pub async fn find(snapshot: &mut Snapshot, id: Id) -> Result<Option<Asked>> {
    let failed = Error::query("read a request");
    let rows = fetch!(
        snapshot.conn(),
        "SELECT asked_by, reason, asked_at, handled_run, handled_at, outcome, detail
         FROM reconcile_requests WHERE request_id = $1",
        id
    );
    rows.map_err(failed)?.first().map(|row| asked(id, row)).transpose().map_err(failed)
}

fn asked(id: Id, row: &Row) -> std::result::Result<Asked, sqlx::Error> {
    let (run, finished_at): (Option<Id>, Option<DateTime<Utc>>) = (row.get("handled_run")?, row.get("handled_at")?);
    let (outcome, detail): (Option<String>, Option<Json<Detail>>) = (row.get("outcome")?, row.get("detail")?);
    let answer = run.zip(finished_at).zip(outcome).zip(detail);
    let answer =
        answer.map(|(((run, finished_at), outcome), Json(detail))| Answer { run, finished_at, outcome, detail });
    Ok(Asked { id, by: row.get("asked_by")?, reason: row.get("reason")?, at: row.get("asked_at")?, answer })
}
