//! What was done under a key of its asker's, and what was answered, so that asking again does it no second time.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;

use super::error::{Error, Result};
use super::sql::{Id, Row, execute, fetch};
use super::tx::Tx;

/// Keys of one token that are kept, at most: the newest.
const MOST: i64 = 10_000;

/// A key, as its asker uses it.
pub struct Key<'k> {
    pub token: &'k str,
    pub word: &'k str,
    /// Of the request: method, path and body. 64 hexadecimal digits.
    pub digest: &'k str,
}

/// How a key stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It was free, and is ours under this attempt.
    Ours(Id),
    /// It was used for another request.
    Other,
    /// Somebody is on it.
    UnderWay,
    Done(Done),
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Done {
    pub status: i64,
    pub location: Option<String>,
    /// Without what was secret.
    pub answer: Value,
}

/// Limits in time.
pub struct Limits {
    /// What began before this is forgotten.
    pub kept: DateTime<Utc>,
    /// What began before this, and has no answer, was broken off.
    pub broken_off: DateTime<Utc>,
}

/// Takes the key for the attempt where it is free, or says how it stands; and forgets what need not be kept.
pub async fn take(tx: &mut Tx, key: &Key<'_>, attempt: Id, limits: &Limits) -> Result<Standing> {
    let failed = Error::query("take an idempotency key");
    let Key { token, word, digest } = key;
    forget(tx, token, limits.kept).await?;
    let now = tx.now();
    let taken = execute!(
        tx.conn(),
        "INSERT INTO reconcile_idempotency (token, word, digest, attempt, begun_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (token, word) DO UPDATE SET attempt = excluded.attempt, begun_at = excluded.begun_at
         WHERE reconcile_idempotency.status IS NULL AND reconcile_idempotency.digest = excluded.digest
             AND reconcile_idempotency.begun_at < $6",
        token,
        word,
        digest,
        attempt,
        now,
        limits.broken_off,
    );
    if taken.map_err(failed)? == 1 {
        return Ok(Standing::Ours(attempt));
    }
    let rows = fetch!(
        tx.conn(),
        "SELECT digest, status, location, answer FROM reconcile_idempotency WHERE token = $1 AND word = $2",
        token,
        word,
    );
    // It was there a moment ago; whoever gave it back has done nothing under it.
    rows.map_err(failed)?.first().map_or(Ok(Standing::UnderWay), |row| standing(row, digest)).map_err(failed)
}

fn standing(row: &Row, digest: &str) -> std::result::Result<Standing, sqlx::Error> {
    let (known, status): (String, Option<i64>) = (row.get("digest")?, row.get("status")?);
    if known != digest {
        return Ok(Standing::Other);
    }
    let Some(status) = status else { return Ok(Standing::UnderWay) };
    let answer: Option<Json<Value>> = row.get("answer")?;
    let answer = answer.map(|Json(answer)| answer).unwrap_or_default();
    Ok(Standing::Done(Done { status, location: row.get("location")?, answer }))
}

async fn forget(tx: &mut Tx, token: &str, limit: DateTime<Utc>) -> Result<()> {
    let failed = Error::query("forget old idempotency keys");
    execute!(tx.conn(), "DELETE FROM reconcile_idempotency WHERE begun_at < $1", limit).map_err(failed)?;
    execute!(
        tx.conn(),
        "DELETE FROM reconcile_idempotency WHERE token = $1 AND begun_at <=
             (SELECT begun_at FROM reconcile_idempotency WHERE token = $1 ORDER BY begun_at DESC LIMIT 1 OFFSET $2)",
        token,
        MOST - 1,
    )
    .map(drop)
    .map_err(failed)
}

/// Keeps the answer. What another attempt has taken over meanwhile is left to it.
pub async fn done(tx: &mut Tx, key: &Key<'_>, attempt: Id, done: &Done) -> Result<()> {
    let (Key { token, word, digest: _ }, Done { status, location, answer }) = (key, done);
    execute!(
        tx.conn(),
        "UPDATE reconcile_idempotency SET status = $1, location = $2, answer = $3
         WHERE token = $4 AND word = $5 AND attempt = $6",
        status,
        location.as_deref(),
        Json(answer),
        token,
        word,
        attempt,
    )
    .map(drop)
    .map_err(Error::query("keep what was done under an idempotency key"))
}

/// Gives the key back: nothing was done under it.
pub async fn free(tx: &mut Tx, key: &Key<'_>, attempt: Id) -> Result<()> {
    let Key { token, word, digest: _ } = key;
    execute!(
        tx.conn(),
        "DELETE FROM reconcile_idempotency WHERE token = $1 AND word = $2 AND attempt = $3",
        token,
        word,
        attempt,
    )
    .map(drop)
    .map_err(Error::query("give an idempotency key back"))
}
