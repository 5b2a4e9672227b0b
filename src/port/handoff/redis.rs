//! The hand-off in Redis: each secret a key with an expiry, taken by one `GETDEL` of which Redis lets one win.
//!
//! Many go in pipelines of [`CHUNK`] commands, a round trip each; what only looks asks for the life that is left, and
//! never for the value.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use zeroize::Zeroizing;

use super::{Entry, HandOffError};
use crate::port::redis::{Redis, RedisError};
use crate::secret::Secret;

/// Commands in one round trip.
const CHUNK: usize = 1000;

/// What was left of a secret's life when it was taken.
pub(super) struct Left {
    life: Duration,
    at: Instant,
}

pub(super) async fn put(redis: &Redis, entries: &[Entry]) -> Vec<Result<(), HandOffError>> {
    let mut done = Vec::with_capacity(entries.len());
    for chunk in entries.chunks(CHUNK) {
        let mut batch = ::redis::pipe();
        for Entry { key, secret, life } in chunk {
            // Redis counts in whole milliseconds, from one up.
            let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX >> 1).max(1);
            batch.cmd("SET").arg(redis.key(key)).arg(secret.expose()).arg("PX").arg(life).ignore();
        }
        let put = redis.run::<()>("keep secrets for their readers", &batch).await;
        done.extend(chunk.iter().map(|_| put.clone().map_err(HandOffError::from)));
    }
    done
}

pub(super) async fn waiting(redis: &Redis, keys: &[String]) -> Result<Vec<Option<DateTime<Utc>>>, RedisError> {
    let mut found = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(CHUNK) {
        let mut batch = ::redis::pipe();
        for key in chunk {
            batch.cmd("PTTL").arg(redis.key(key));
        }
        let left: Vec<i64> = redis.run("say which secrets wait", &batch).await?;
        let now = Utc::now();
        found.extend(left.into_iter().map(|left| until(now, left)));
    }
    Ok(found)
}

/// What `PTTL` answers: -2 where there is no key, -1 where it never expires, else milliseconds.
fn until(now: DateTime<Utc>, left: i64) -> Option<DateTime<Utc>> {
    match left {
        -1 => Some(DateTime::<Utc>::MAX_UTC),
        0.. => now.checked_add_signed(TimeDelta::try_milliseconds(left)?),
        _ => None,
    }
}

pub(super) async fn take(redis: &Redis, key: &str) -> Result<Option<(Secret, Option<Left>)>, RedisError> {
    let mut batch = ::redis::pipe();
    let name = redis.key(key);
    batch.atomic().cmd("PTTL").arg(&name).cmd("GETDEL").arg(&name);
    let (left, value): (i64, Option<String>) = redis.run("hand a secret to its reader", &batch).await?;
    let life = u64::try_from(left).ok().map(|left| Left { life: Duration::from_millis(left), at: Instant::now() });
    Ok(value.map(|value| (Secret::new(value), life)))
}

/// Puts a secret back for what is left of its life, unless a newer one has its name by now.
pub(super) async fn restore(redis: &Redis, key: &str, secret: &Secret, left: Option<Left>) -> Result<(), RedisError> {
    let mut batch = ::redis::pipe();
    let command = batch.cmd("SET").arg(redis.key(key)).arg(secret.expose()).arg("NX");
    if let Some(Left { life, at }) = left {
        let rest = life.saturating_sub(at.elapsed()).as_millis();
        match u64::try_from(rest) {
            Ok(rest) if rest > 0 => command.arg("PX").arg(rest).ignore(),
            _ => return Ok(()),
        };
    } else {
        command.ignore();
    }
    redis.run::<()>("put a secret back", &batch).await
}

pub(super) async fn read(redis: &Redis, key: &str) -> Result<Option<Secret>, RedisError> {
    let mut batch = ::redis::pipe();
    batch.cmd("GET").arg(redis.key(key));
    let (value,): (Option<String>,) = redis.run("show a secret to its dispatcher", &batch).await?;
    Ok(value.map(Zeroizing::new).map(|mut value| Secret::new(std::mem::take(&mut *value))))
}

pub(super) async fn discard(redis: &Redis, key: &str) -> Result<(), RedisError> {
    let mut batch = ::redis::pipe();
    batch.cmd("DEL").arg(redis.key(key)).ignore();
    redis.run("remove a secret", &batch).await
}
