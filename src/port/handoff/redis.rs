//! The hand-off for several machines: keys in Redis with an end to their life, taken by GETDEL.
//!
//! Secrets travel in pipelines. Whether one outlives a power cut of the server, or memory pressure there, is up to the
//! server's settings: what was lost is seen by whoever looks, as nothing to take.

#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use redis::{Pipeline, Script, Value};
use zeroize::Zeroizing;

use super::{Entry, HandOffError, expiry};
use crate::port::redis::{Redis, RedisError, TOGETHER};
use crate::secret::Secret;

/// How long it is known who put under a name last: longer than any applier is paused, and then goes on where it was.
const FENCED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where the fencing number of whoever put under `key` last is kept.
pub(in crate::port) fn fence(redis: &Redis, key: &str) -> String {
    redis.key(&format!("reconcile:fencing:{key}"))
}

/// Lets each of `keys` wait for `life` from now on, where it would wait for less; answers which of them are there.
pub(in crate::port) async fn lengthen(redis: &Redis, keys: &[&str], life: Duration) -> Result<Vec<bool>, RedisError> {
    let mut looks = Pipeline::with_capacity(keys.len());
    for key in keys {
        looks.cmd("PTTL").arg(redis.key(key));
    }
    let mut there = Vec::with_capacity(keys.len());
    let mut longer = Pipeline::new();
    let mut short = Vec::new();
    for (place, answer) in redis.ask(&looks).await?.into_iter().enumerate() {
        let Value::Int(left) = redis.checked(answer)? else { return Err(redis.unexpected()) };
        there.push(left != -2);
        if u64::try_from(left).is_ok_and(|left| left < millis(life)) {
            longer.cmd("PEXPIRE").arg(redis.key(keys[place])).arg(millis(life));
            short.push(place);
        }
    }
    if !longer.is_empty() {
        // Whoever was faster may have taken it in between.
        for (place, answer) in short.into_iter().zip(redis.act(&longer).await?) {
            there[place] = redis.checked(answer)? == Value::Int(1);
        }
    }
    Ok(there)
}

/// Until when each of `keys` waits, by PTTL alone: no secret is read.
pub(super) async fn waiting(redis: &Redis, keys: &[String]) -> Result<Vec<Option<DateTime<Utc>>>, HandOffError> {
    let mut waiting = Vec::with_capacity(keys.len());
    for keys in keys.chunks(TOGETHER) {
        let mut commands = Pipeline::with_capacity(keys.len());
        for key in keys {
            commands.cmd("PTTL").arg(redis.key(key));
        }
        for answer in redis.ask(&commands).await? {
            waiting.push(until(redis, answer)?);
        }
    }
    Ok(waiting)
}

/// Puts each secret, or the reason why it was not put; the answers are in the order of `entries`.
pub(super) async fn put(redis: &Redis, entries: &[Entry]) -> Vec<Result<(), HandOffError>> {
    let mut done = Vec::with_capacity(entries.len());
    for entries in entries.chunks(TOGETHER) {
        done.extend(put_together(redis, entries).await);
    }
    done
}

async fn put_together(redis: &Redis, entries: &[Entry]) -> Vec<Result<(), HandOffError>> {
    let mut commands = Pipeline::with_capacity(entries.len());
    let lives: Vec<_> =
        entries.iter().map(|Entry { key: _, secret: _, life }| expiry(*life).map(|_| millis(*life))).collect();
    for (Entry { key, secret, life: _ }, life) in entries.iter().zip(&lives) {
        if let Ok(life) = life {
            commands.cmd("SET").arg(redis.key(key)).arg(secret.expose()).arg("PX").arg(*life);
        }
    }
    let answers = if commands.is_empty() { Ok(Vec::new()) } else { redis.act(&commands).await };
    let mut answers = answers.map(Vec::into_iter);
    let mut answer = || match &mut answers {
        Ok(answers) => redis.checked(answers.next().unwrap_or_default()).map(drop),
        Err(error) => Err(error.clone()),
    };
    lives.into_iter().map(|life| life.and_then(|_| Ok(answer()?))).collect()
}

/// As [`put`], but not over what an applier with a higher number has put.
pub(super) async fn put_fenced(redis: &Redis, entries: &[Entry], fencing: i64) -> Vec<Result<(), HandOffError>> {
    let puts: Vec<Put<'_>> =
        entries.iter().map(|Entry { key, secret, life }| (key.as_str(), secret.expose(), millis(*life))).collect();
    fenced(redis, &puts, fencing).await
}

/// Removes what waits under each of `keys`, and lets no applier with a lower number put anything there any more.
pub(super) async fn clear_fenced(redis: &Redis, keys: &[String], fencing: i64) -> Vec<Result<(), HandOffError>> {
    let clears: Vec<Put<'_>> = keys.iter().map(|key| (key.as_str(), "", 0)).collect();
    fenced(redis, &clears, fencing).await
}

/// A name, what is to wait there, and for how many milliseconds; 0: nothing is to wait.
type Put<'a> = (&'a str, &'a str, u64);

async fn fenced(redis: &Redis, puts: &[Put<'_>], fencing: i64) -> Vec<Result<(), HandOffError>> {
    let script = Script::new(include_str!("put.lua"));
    let mut done = Vec::with_capacity(puts.len());
    for puts in puts.chunks(TOGETHER) {
        match fenced_together(redis, &script, puts, fencing).await {
            Ok(answers) => done.extend(answers),
            Err(error) => done.extend(puts.iter().map(|_| Err(error.clone().into()))),
        }
    }
    done
}

async fn fenced_together(
    redis: &Redis,
    script: &Script,
    puts: &[Put<'_>],
    fencing: i64,
) -> Result<Vec<Result<(), HandOffError>>, RedisError> {
    let mut commands = Pipeline::with_capacity(puts.len() + 1);
    // In the same pipeline, so that the server knows the script without another round trip.
    commands.load_script(script);
    for (key, secret, life) in puts {
        let mut invocation = script.prepare_invoke();
        invocation.key(redis.key(key)).key(fence(redis, key)).arg(*secret).arg(*life);
        commands.invoke_script(invocation.arg(fencing).arg(millis(FENCED)));
    }
    let mut answers = redis.act(&commands).await?.into_iter();
    redis.checked(answers.next().unwrap_or_default())?;
    let answered = |((key, ..), answer): (&Put<'_>, Value)| match redis.checked(answer)? {
        Value::Int(0) => Ok(()),
        Value::Int(theirs) => Err(HandOffError::Fenced { key: (*key).to_owned(), theirs, ours: fencing }),
        _ => Err(redis.unexpected().into()),
    };
    Ok(puts.iter().zip(answers).map(answered).collect())
}

/// Removes `secret` from under `key`, unless another one waits there by now.
pub(super) async fn withdraw(redis: &Redis, key: &str, secret: &Secret) -> Result<(), HandOffError> {
    let script = Script::new(include_str!("withdraw.lua"));
    let mut commands = Pipeline::with_capacity(2);
    commands.load_script(&script);
    commands.invoke_script(script.prepare_invoke().key(redis.key(key)).arg(secret.expose()));
    for answer in redis.act(&commands).await? {
        redis.checked(answer)?;
    }
    Ok(())
}

/// A secret that was taken, and until when it would have waited.
pub(super) struct Lease {
    redis: Redis,
    key: String,
    /// `None` for one that would have waited for ever.
    until: Option<DateTime<Utc>>,
}

/// Takes what waits under `key`, exactly once whoever races.
pub(super) async fn take(redis: &Redis, key: &str) -> Result<Option<(Secret, Lease)>, HandOffError> {
    let name = redis.key(key);
    // As one, so that the life is this secret's and not that of one put in between.
    let mut commands = Pipeline::new();
    commands.cmd("MULTI").cmd("PTTL").arg(&name).cmd("GETDEL").arg(&name).cmd("EXEC");
    let mut answers = redis.act(&commands).await?;
    let done = answers.pop().unwrap_or_default();
    for queued in answers {
        redis.checked(queued)?;
    }
    let Value::Array(done) = redis.checked(done)? else { return Err(redis.unexpected().into()) };
    let [life, secret] = <[Value; 2]>::try_from(done).map_err(|_| redis.unexpected())?;
    let until = until(redis, life)?;
    let Some(secret) = text(redis, secret, &name)? else { return Ok(None) };
    let until = until.filter(|until| *until != DateTime::<Utc>::MAX_UTC);
    Ok(Some((secret, Lease { redis: redis.clone(), key: name, until })))
}

/// What waits under `key`, which stays there.
pub(super) async fn read(redis: &Redis, key: &str) -> Result<Option<Secret>, HandOffError> {
    let name = redis.key(key);
    let answer = one(redis.ask(Pipeline::new().cmd("GET").arg(&name)).await?);
    text(redis, answer, &name)
}

pub(super) async fn discard(redis: &Redis, key: &str) -> Result<(), HandOffError> {
    let answer = one(redis.act(Pipeline::new().cmd("DEL").arg(redis.key(key))).await?);
    redis.checked(answer)?;
    Ok(())
}

impl Lease {
    /// Puts `secret` back for the rest of its life, unless a newer one has its key by now.
    pub(super) async fn restore(self, secret: &Secret) -> Result<(), HandOffError> {
        let Self { redis, key, until } = self;
        let mut command = Pipeline::new();
        command.cmd("SET").arg(key).arg(secret.expose()).arg("NX");
        if let Some(until) = until {
            let Ok(rest @ 1..) = u64::try_from((until - Utc::now()).num_milliseconds()) else { return Ok(()) };
            command.arg("PX").arg(rest);
        }
        let answer = one(redis.act(&command).await?);
        redis.checked(answer)?;
        Ok(())
    }
}

/// The life that PTTL answers, as its end; `MAX_UTC` for what somebody gave no end.
fn until(redis: &Redis, answer: Value) -> Result<Option<DateTime<Utc>>, RedisError> {
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
fn text(redis: &Redis, answer: Value, name: &str) -> Result<Option<Secret>, HandOffError> {
    match redis.checked(answer)? {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let text = std::str::from_utf8(&bytes).map_err(|_| HandOffError::NotText { key: name.to_owned() })?;
            // Copied to a buffer of just its length: one with room to spare would be moved, and leave a copy behind.
            Ok(Some(Secret::new(text.to_owned())))
        }
        _ => Err(redis.unexpected().into()),
    }
}

fn one(mut answers: Vec<Value>) -> Value {
    answers.pop().unwrap_or_default()
}

/// In milliseconds, which are Redis' smallest, and at least one.
fn millis(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1)
}
