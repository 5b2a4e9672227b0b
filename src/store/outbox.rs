//! What others are to be told: put down in the transaction that makes it true, and kept until they have it.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::types::Json as Column;

use super::bulk::{self, Values};
use super::error::{Error, Result};
use super::sql::{Id, Row, execute, fetch};
use super::tx::{Snapshot, Tx};
use crate::notice::{Event, Notice};

const READ: &str = "read what others are to be told";
const WRITE: &str = "note what others are to be told";

/// A notice as it stands.
#[derive(Clone, Debug)]
pub struct Posted {
    pub at: DateTime<Utc>,
    pub event: Event,
    pub about: String,
    pub actor: String,
    pub reason: Option<String>,
    pub text: String,
}

/// One message to one receiver.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The same however often it is sent. Of version 7, so that ids are in the order in which messages were made.
    pub id: Id,
    pub target: String,
    pub event: Event,
    /// A list of what happened.
    pub items: Json,
    pub made_at: DateTime<Utc>,
    /// How often it was sent, or was about to be.
    pub attempts: i64,
}

/// What is on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub target: String,
    pub messages: i64,
    /// Why one of them was not taken.
    pub last_error: Option<String>,
}

/// Puts notices down, in this very transaction.
pub async fn post(tx: &mut Tx, notices: &[Notice]) -> Result<()> {
    let (now, actor, count) = (tx.now(), tx.context().actor.clone(), notices.len());
    let actor_of = |notice: &Notice| notice.actor.clone().unwrap_or_else(|| actor.clone());
    let actors: Vec<String> = notices.iter().map(actor_of).collect();
    let rows = bulk::append(
        tx.conn(),
        "reconcile_outbox",
        &[
            ("at", Values::Times(vec![now; count])),
            ("event", Values::Texts(notices.iter().map(|notice| notice.event.word()).collect())),
            ("about", Values::Texts(notices.iter().map(|notice| notice.about.as_str()).collect())),
            ("actor", Values::Texts(actors.iter().map(String::as_str).collect())),
            ("reason", Values::MaybeTexts(notices.iter().map(|notice| notice.reason.as_deref()).collect())),
            ("text", Values::Texts(notices.iter().map(|notice| notice.text.as_str()).collect())),
        ],
    )
    .await;
    rows.map_err(Error::query(WRITE))
}

/// Takes out the oldest, at most so many. A notice that a transaction beside this one puts down is not lost: what is
/// removed is what is given.
pub async fn take(tx: &mut Tx, most: i64) -> Result<Vec<Posted>> {
    let failed = Error::query(READ);
    let rows = fetch!(
        tx.conn(),
        "DELETE FROM reconcile_outbox WHERE outbox_id IN
             (SELECT outbox_id FROM reconcile_outbox ORDER BY outbox_id LIMIT $1)
         RETURNING outbox_id, at, event, about, actor, reason, text",
        most,
    );
    let one = |row: &Row| {
        let number: i64 = row.get("outbox_id")?;
        let posted = Posted {
            at: row.get("at")?,
            event: row.word("event", Event::read)?,
            about: row.get("about")?,
            actor: row.get("actor")?,
            reason: row.get("reason")?,
            text: row.get("text")?,
        };
        Ok((number, posted))
    };
    let rows: std::result::Result<Vec<_>, sqlx::Error> = rows.map_err(&failed)?.iter().map(one).collect();
    let mut rows = rows.map_err(failed)?;
    rows.sort_by_key(|(number, _)| *number);
    Ok(rows.into_iter().map(|(_, posted)| posted).collect())
}

/// Throws away what nobody wants to be told, and the messages from before `limit`, which nobody will send any more.
pub async fn clear(tx: &mut Tx, limit: DateTime<Utc>) -> Result<()> {
    execute!(tx.conn(), "DELETE FROM reconcile_outbox").map_err(Error::query(WRITE))?;
    execute!(tx.conn(), "DELETE FROM reconcile_deliveries WHERE made_at < $1", limit)
        .map(drop)
        .map_err(Error::query(WRITE))
}

/// What was told of a topic; `Null`: nothing yet.
pub async fn told(tx: &mut Tx, topic: &str) -> Result<Json> {
    let failed = Error::query(READ);
    let rows = fetch!(tx.conn(), "SELECT state FROM reconcile_told WHERE topic = $1", topic).map_err(&failed)?;
    let Some(row) = rows.first() else { return Ok(Json::Null) };
    let Column(state) = row.get("state").map_err(failed)?;
    Ok(state)
}

/// Keeps what is told of a topic from now on.
pub async fn tell(tx: &mut Tx, topic: &str, state: &Json) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_told (topic, state) VALUES ($1, $2)
         ON CONFLICT (topic) DO UPDATE SET state = excluded.state",
        topic,
        Column(state),
    )
    .map(drop)
    .map_err(Error::query(WRITE))
}

/// Sends a message on its way.
pub async fn dispatch(tx: &mut Tx, delivery: &Delivery) -> Result<()> {
    let Delivery { id, target, event, items, made_at, attempts } = delivery;
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_deliveries (delivery_id, target, event, items, made_at, attempts, due_at)
         VALUES ($1, $2, $3, $4, $5, $6, $5)",
        id,
        target,
        event.word(),
        Column(items),
        made_at,
        attempts,
    )
    .map(drop)
    .map_err(Error::query(WRITE))
}

/// How many messages are on their way to the receiver.
pub async fn count(tx: &mut Tx, target: &str) -> Result<i64> {
    let failed = Error::query(READ);
    let rows = fetch!(tx.conn(), "SELECT COUNT(*) AS messages FROM reconcile_deliveries WHERE target = $1", target);
    let rows = rows.map_err(&failed)?;
    rows.first().map_or(Ok(0), |row| row.get("messages")).map_err(failed)
}

/// The messages that are due, of each receiver the oldest, at most so many of each; and when the next one is. Due is also
/// what is put off beyond `latest`: by a clock that has been set back since.
pub async fn due(
    snapshot: &mut Snapshot,
    now: DateTime<Utc>,
    latest: DateTime<Utc>,
    most: i64,
) -> Result<(Vec<Delivery>, Option<DateTime<Utc>>)> {
    let failed = Error::query(READ);
    let rows = fetch!(
        snapshot.conn(),
        "SELECT delivery_id, target, event, items, made_at, attempts FROM reconcile_deliveries
         WHERE delivery_id IN (
             SELECT delivery_id FROM (
                 SELECT delivery_id, ROW_NUMBER() OVER (PARTITION BY target ORDER BY delivery_id) AS place
                 FROM reconcile_deliveries WHERE due_at <= $1 OR due_at > $2
             ) AS due WHERE place <= $3
         ) ORDER BY delivery_id",
        now,
        latest,
        most,
    );
    let one = |row: &Row| {
        let Column(items) = row.get("items")?;
        Ok(Delivery {
            id: row.get("delivery_id")?,
            target: row.get("target")?,
            event: row.word("event", Event::read)?,
            items,
            made_at: row.get("made_at")?,
            attempts: row.get("attempts")?,
        })
    };
    let due: std::result::Result<Vec<_>, sqlx::Error> = rows.map_err(&failed)?.iter().map(one).collect();
    let due = due.map_err(&failed)?;
    let rows = fetch!(
        snapshot.conn(),
        "SELECT due_at FROM reconcile_deliveries WHERE due_at > $1 ORDER BY due_at LIMIT 1",
        now
    );
    let rows = rows.map_err(&failed)?;
    let next = rows.first().map(|row| row.get("due_at")).transpose().map_err(failed)?;
    Ok((due, next))
}

/// Notes that the message is about to be sent once more, and when to try again if nothing comes of it. `false`: somebody
/// else has it in hand, or it is gone.
pub async fn attempt(tx: &mut Tx, delivery: &Delivery, again_at: DateTime<Utc>) -> Result<bool> {
    execute!(
        tx.conn(),
        "UPDATE reconcile_deliveries SET attempts = attempts + 1, due_at = $1 WHERE delivery_id = $2 AND attempts = $3",
        again_at,
        delivery.id,
        delivery.attempts,
    )
    .map(|rows| rows == 1)
    .map_err(Error::query(WRITE))
}

/// Notes why it was not taken.
pub async fn refused(tx: &mut Tx, id: Id, why: &str) -> Result<()> {
    execute!(tx.conn(), "UPDATE reconcile_deliveries SET last_error = $1 WHERE delivery_id = $2", why, id)
        .map(drop)
        .map_err(Error::query(WRITE))
}

/// It is with its receiver, or will never be.
pub async fn done(tx: &mut Tx, id: Id) -> Result<()> {
    execute!(tx.conn(), "DELETE FROM reconcile_deliveries WHERE delivery_id = $1", id)
        .map(drop)
        .map_err(Error::query(WRITE))
}

/// What is on its way, receiver by receiver.
pub async fn waiting(snapshot: &mut Snapshot) -> Result<Vec<Waiting>> {
    let failed = Error::query(READ);
    let rows = fetch!(
        snapshot.conn(),
        "SELECT target, COUNT(*) AS messages, MAX(last_error) AS last_error FROM reconcile_deliveries
         GROUP BY target ORDER BY target"
    );
    let one = |row: &Row| {
        Ok(Waiting { target: row.get("target")?, messages: row.get("messages")?, last_error: row.get("last_error")? })
    };
    rows.map_err(&failed)?.iter().map(one).collect::<std::result::Result<_, sqlx::Error>>().map_err(failed)
}
