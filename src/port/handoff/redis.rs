//! The hand-off for several machines: keys in Redis with an end to their life, taken by GETDEL.
//!
//! Secrets travel in pipelines. Whether one outlives a power cut of the server, or memory pressure there, is up to the
//! server's settings: what was lost is seen by whoever looks, as nothing to take.

#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use redis::{Pipeline, Value};
use zeroize::Zeroizing;

use super::{Entry, HandOffError, expiry};
use crate::port::redis::{FENCING, Owned, RedisError, TOGETHER, owned_script};
use crate::secret::Secret;

/// How long it is known who put under a name last: longer than any applier is paused, and then goes on where it was.
const FENCED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where the fencing number of whoever put under `key` last is kept.
pub(in crate::port) fn fence(store: &Owned, key: &str) -> String {
    store.redis().key(&format!("{FENCING}{key}"))
}

/// Lets each of `keys` wait for `life` from now on, where it would wait for less; answers which of them are there.
pub(in crate::port) async fn lengthen(store: &Owned, keys: &[&str], life: Duration) -> Result<Vec<bool>, RedisError> {
    let script = owned_script!("lengthen.lua");
    let call = |key: &&str| {
        let mut call = store.call(&script, key);
        call.arg(millis(life));
        call
    };
    let calls: Vec<_> = keys.iter().map(call).collect();
    let answered = |answer: Result<Value, RedisError>| match answer? {
        Value::Int(there) => Ok(there == 1),
        _ => Err(store.redis().unexpected()),
    };
    store.run(&script, &calls, TOGETHER).await.into_iter().map(answered).collect()
}

/// Until when each of `keys` waits, by PTTL alone: no secret is read. Also without keys it is asked whose the store is.
pub(super) async fn waiting(store: &Owned, keys: &[String]) -> Result<Vec<Option<DateTime<Utc>>>, HandOffError> {
    if keys.is_empty() {
        store.look().await?;
    }
    let mut waiting = Vec::with_capacity(keys.len());
    for keys in keys.chunks(TOGETHER) {
        let mut commands = Pipeline::with_capacity(keys.len());
        for key in keys {
            commands.cmd("PTTL").arg(store.redis().key(key));
        }
        for answer in store.ask(&commands).await? {
            waiting.push(until(store, answer)?);
        }
    }
    Ok(waiting)
}

/// The highest fencing number beside one of `keys`; what is none counts for nothing.
pub(super) async fn highest_fence(store: &Owned, keys: &[String]) -> Result<i64, HandOffError> {
    /// A number has fewer digits.
    const DIGITS: u32 = 20;
    let mut highest = 0;
    for keys in keys.chunks(TOGETHER) {
        let mut commands = Pipeline::with_capacity(keys.len());
        for key in keys {
            commands.cmd("GETRANGE").arg(fence(store, key)).arg(0).arg(DIGITS);
        }
        for answer in store.ask(&commands).await? {
            if let Value::BulkString(number) = answer {
                let number = std::str::from_utf8(&number).ok().and_then(|number| number.parse().ok());
                highest = number.map_or(highest, |number: i64| highest.max(number));
            }
        }
    }
    Ok(highest)
}

/// Puts each secret, or the reason why it was not put; the answers are in the order of `entries`.
pub(super) async fn put(store: &Owned, entries: &[Entry]) -> Vec<Result<(), HandOffError>> {
    let script = owned_script!("put.lua");
    let lives: Vec<_> = entries.iter().map(|entry| expiry(entry.life)).collect();
    let in_range = entries.iter().zip(&lives).filter(|(_, life)| life.is_ok());
    let call = |(Entry { key, secret, life }, _): (&Entry, _)| {
        let mut call = store.call(&script, key);
        call.arg(millis(*life)).arg(secret.expose());
        call
    };
    let calls: Vec<_> = in_range.map(call).collect();
    let mut answers = store.run(&script, &calls, TOGETHER).await.into_iter();
    let mut answer = || answers.next().unwrap_or_else(|| Err(store.redis().unexpected())).map(drop);
    lives.into_iter().map(|life| life.and_then(|_| Ok(answer()?))).collect()
}

/// As [`put`], but not over what an applier with a higher number has put.
pub(super) async fn put_fenced(store: &Owned, entries: &[Entry], fencing: i64) -> Vec<Result<(), HandOffError>> {
    let puts: Vec<Put<'_>> =
        entries.iter().map(|Entry { key, secret, life }| (key.as_str(), secret.expose(), millis(*life))).collect();
    fenced(store, &puts, fencing).await
}

/// Removes what waits under each of `keys`, and lets no applier with a lower number put anything there any more.
pub(super) async fn clear_fenced(store: &Owned, keys: &[String], fencing: i64) -> Vec<Result<(), HandOffError>> {
    let clears: Vec<Put<'_>> = keys.iter().map(|key| (key.as_str(), "", 0)).collect();
    fenced(store, &clears, fencing).await
}

/// A name, what is to wait there, and for how many milliseconds; 0: nothing is to wait.
type Put<'a> = (&'a str, &'a str, u64);

async fn fenced(store: &Owned, puts: &[Put<'_>], fencing: i64) -> Vec<Result<(), HandOffError>> {
    let script = owned_script!("put_fenced.lua");
    let call = |(key, secret, life): &Put<'_>| {
        let mut call = store.call(&script, key);
        call.key(fence(store, key)).arg(*life).arg(*secret).arg(fencing).arg(millis(FENCED));
        call
    };
    let calls: Vec<_> = puts.iter().map(call).collect();
    let answered = |((key, ..), answer): (&Put<'_>, Result<Value, RedisError>)| match answer? {
        Value::Int(0) => Ok(()),
        Value::Int(theirs) => Err(HandOffError::Fenced { key: (*key).to_owned(), theirs, ours: fencing }),
        _ => Err(store.redis().unexpected().into()),
    };
    puts.iter().zip(store.run(&script, &calls, TOGETHER).await).map(answered).collect()
}

/// Removes `secret` from under `key`, unless another one waits there by now.
pub(super) async fn withdraw(store: &Owned, key: &str, secret: &Secret) -> Result<(), HandOffError> {
    let script = owned_script!("withdraw.lua");
    let mut call = store.call(&script, key);
    call.arg(secret.expose());
    store.run_one(&script, call).await?;
    Ok(())
}

/// A secret that was taken, and until when it would have waited.
pub(super) struct Lease {
    store: Owned,
    key: String,
    /// `None` for one that would have waited for ever.
    until: Option<DateTime<Utc>>,
}

/// Takes what waits under `key`, exactly once whoever races.
pub(super) async fn take(store: &Owned, key: &str) -> Result<Option<(Secret, Lease)>, HandOffError> {
    let script = owned_script!("take.lua");
    let unexpected = || store.redis().unexpected();
    // As one, so that the life is this secret's and not that of one put in between.
    let Value::Array(taken) = store.run_one(&script, store.call(&script, key)).await? else {
        return Err(unexpected().into());
    };
    let [life, secret] = <[Value; 2]>::try_from(taken).map_err(|_| unexpected())?;
    let until = until(store, life)?;
    let Some(secret) = text(store, secret, key)? else { return Ok(None) };
    let until = until.filter(|until| *until != DateTime::<Utc>::MAX_UTC);
    Ok(Some((secret, Lease { store: store.clone(), key: key.to_owned(), until })))
}

/// What waits under `key`, which stays there.
pub(super) async fn read(store: &Owned, key: &str) -> Result<Option<Secret>, HandOffError> {
    let script = owned_script!("read.lua");
    text(store, store.run_one(&script, store.call(&script, key)).await?, key)
}

pub(super) async fn discard(store: &Owned, key: &str) -> Result<(), HandOffError> {
    let script = owned_script!("../redis/remove.lua");
    store.run_one(&script, store.call(&script, key)).await?;
    Ok(())
}

impl Lease {
    /// Puts `secret` back for the rest of its life, unless a newer one has its key by now.
    pub(super) async fn restore(self, secret: &Secret) -> Result<(), HandOffError> {
        let Self { store, key, until } = self;
        let rest = match until.map(|until| u64::try_from((until - Utc::now()).num_milliseconds())) {
            None => 0,
            Some(Ok(rest @ 1..)) => rest,
            Some(_) => return Ok(()),
        };
        let script = owned_script!("restore.lua");
        let mut call = store.call(&script, &key);
        call.arg(rest).arg(secret.expose());
        store.run_one(&script, call).await?;
        Ok(())
    }
}

/// The life that PTTL answers, as its end; `MAX_UTC` for what somebody gave no end.
fn until(store: &Owned, answer: Value) -> Result<Option<DateTime<Utc>>, RedisError> {
    let redis = store.redis();
    match redis.checked(answer)? {
        Value::Int(-2) => Ok(None),
        Value::Int(-1) => Ok(Some(DateTime::<Utc>::MAX_UTC)),
        Value::Int(millis) => {
            let rest = TimeDelta::try_milliseconds(millis).ok_or_else(|| redis.unexpected())?;
            Ok(Some(Utc::now().checked_add_signed(rest).unwrap_or(DateTime::<Utc>::MAX_UTC)))
        }
        _ => Err(redis.unexpected()),
    }
}

/// A secret out of an answer.
fn text(store: &Owned, answer: Value, key: &str) -> Result<Option<Secret>, HandOffError> {
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let text =
                std::str::from_utf8(&bytes).map_err(|_| HandOffError::NotText { key: store.redis().key(key) })?;
            // Copied to a buffer of just its length: one with room to spare would be moved, and leave a copy behind.
            Ok(Some(Secret::new(text.to_owned())))
        }
        _ => Err(store.redis().unexpected().into()),
    }
}

/// In milliseconds, which are Redis' smallest, and at least one.
fn millis(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1)
}
