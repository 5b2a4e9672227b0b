//! What others are told: what a turn did, which the transactions of its changes have put down, and what it found, put
//! down here where it is new; then made into messages, one for each receiver.
//!
//! Nothing is lost by a crash: what is put down is there with what it tells of, or not at all, and goes from there into
//! messages in one transaction. A message may arrive twice, under the same id.

mod delivery;
mod message;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Request, Turned, World};
use crate::change::{Obstacle, Origin, moment};
use crate::config::Receiver;
use crate::failure::{Failure, Result};
use crate::notice::{Event, Notice};
use crate::plan::Planned;
use crate::store::Tx;
use crate::store::enforced::Unfollowed;
use crate::store::outbox::{self, Delivery, Posted};
use crate::store::sql::{Id, now};

/// Notices that one turn makes into messages, at most; the next one goes on.
const MOST: i64 = 20_000;
/// Notices in one message, at most.
const TOGETHER: usize = 100;
/// Messages on their way to one receiver, at most: whoever takes none for so long is not told of what comes after.
const BACKLOG: i64 = 10_000;
/// Resources that are remembered as told of, at most, and told of in one turn.
const REMEMBERED: usize = 1_000;
/// Resources whose drift is told of one by one.
const DRIFTS: usize = 100;
/// An outage of the database that was shorter nobody need be told of.
const OUTAGE: TimeDelta = TimeDelta::seconds(30);

/// What is told of a turn as a whole is about this.
const TURN: &str = "turn";

impl World {
    /// Remembers that the database does not answer, where nothing can be put down: it is told of afterwards.
    pub fn note_outage(&self, failure: &Failure) {
        if !self.config.receivers.is_empty() {
            self.outage.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert((now(), failure.line()));
        }
    }

    /// Another has carried turns through since, and has told of what was in their way.
    pub fn leave_outage(&self) {
        *self.outage.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
    }

    /// Puts down what is new in what a turn has found, and makes messages of all that is put down. `before` is what was
    /// noted of files that could not be followed.
    pub(super) async fn tell_of_turn(
        &self,
        tx: &mut Tx,
        request: &Request,
        turned: &Turned,
        before: Option<&Unfollowed>,
    ) -> Result<()> {
        if self.config.receivers.is_empty() {
            // Another applier may have receivers, and gives up its messages after the same time.
            let limit = tx.now() - delivery::LIFE;
            return Ok(outbox::clear(tx, limit).await?);
        }
        let mut notices = self.turns_again(tx).await?;
        notices.extend(files(before, turned));
        // The plan for one target tells nothing of the others, not even that they are well.
        if request.target.is_none() {
            notices.extend(troubles(tx, turned).await?);
            notices.extend(fills(tx, turned).await?);
            notices.extend(drifts(tx, turned).await?);
        }
        outbox::post(tx, &notices).await?;
        self.make_messages(tx).await
    }

    /// The same of a turn that came to nothing.
    pub(super) async fn tell_of_failure(&self, tx: &mut Tx, failure: &Failure) -> Result<()> {
        if self.config.receivers.is_empty() {
            return Ok(());
        }
        let line = json!(failure.line());
        if outbox::told(tx, TURN).await? != line {
            outbox::tell(tx, TURN, &line).await?;
            outbox::post(tx, &[notice(Event::Failure, TURN, failure.line())]).await?;
        }
        self.make_messages(tx).await
    }

    /// That turns come to something again.
    async fn turns_again(&self, tx: &mut Tx) -> Result<Vec<Notice>> {
        let mut notices = Vec::new();
        if let Some(line) = outbox::told(tx, TURN).await?.as_str() {
            notices.push(notice(Event::Recovery, TURN, format!("turns are carried through again, after: {line}")));
            outbox::tell(tx, TURN, &Json::Null).await?;
        }
        let outage = self.outage.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some((since, line)) = outage.filter(|(since, _)| now() - *since >= OUTAGE) {
            let text = format!("turns are carried through again; since {} there were none: {line}", moment(since));
            notices.push(notice(Event::Recovery, TURN, text));
        }
        Ok(notices)
    }

    /// Makes messages of what is put down: for each receiver and event, in the order in which it happened.
    async fn make_messages(&self, tx: &mut Tx) -> Result<()> {
        let posted = outbox::take(tx, MOST).await?;
        for receiver in &self.config.receivers {
            let mut room = BACKLOG - outbox::count(tx, &receiver.name).await?;
            for message in messages(receiver, &posted, tx.now()) {
                if room <= 0 {
                    let name = &receiver.name;
                    tracing::warn!("{name} has taken none of {BACKLOG} messages, and is not told of more");
                    break;
                }
                outbox::dispatch(tx, &message).await?;
                room -= 1;
            }
        }
        Ok(())
    }
}

/// That the files can no longer be followed, or can be followed again.
fn files(before: Option<&Unfollowed>, turned: &Turned) -> Option<Notice> {
    // While reconciliation was paused, that was told as a failure of the turn.
    let before = before.filter(|before| before.enforced.is_some());
    match (before, &turned.enforced) {
        (None, Some(enforced)) => Some(notice(Event::Failure, TURN, enforced.line())),
        (Some(before), Some(enforced)) if before.trouble != enforced.failure.of_files() => {
            Some(notice(Event::Failure, TURN, enforced.line()))
        }
        (Some(before), None) => {
            Some(notice(Event::Recovery, TURN, format!("the files are followed again, after: {}", before.trouble)))
        }
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn notice(event: Event, about: impl Into<String>, text: impl Into<String>) -> Notice {
    Notice { event, about: about.into(), actor: None, reason: None, text: text.into() }
}

/// What the receiver is told: its events, those of one kind together.
fn messages(receiver: &Receiver, posted: &[Posted], now: DateTime<Utc>) -> Vec<Delivery> {
    let mut messages = Vec::new();
    for event in &receiver.events {
        let of_this: Vec<&Posted> = posted.iter().filter(|posted| posted.event == *event).collect();
        messages.extend(of_this.chunks(TOGETHER).map(|together| Delivery {
            id: Id(Uuid::now_v7()),
            target: receiver.name.clone(),
            event: *event,
            items: together.iter().map(|posted| message::item(posted)).collect(),
            made_at: now,
            attempts: 0,
        }));
    }
    messages
}

/// What is blocked or has failed and was not so before, and what was so and is no more.
async fn troubles(tx: &mut Tx, turned: &Turned) -> Result<Vec<Notice>> {
    const TOPIC: &str = "trouble";
    let mut found: BTreeMap<String, (Event, String)> = BTreeMap::new();
    // What somebody has suspended is as somebody wants it.
    for blocked in turned.plan.blocked.iter().filter(|blocked| blocked.obstacle != Obstacle::Suspended) {
        found.insert(blocked.id.to_string(), (Event::Blocked, format!("{}; {}", blocked.reason, blocked.hint)));
    }
    let failed = turned.report.undone().map(|(id, why)| (id.to_string(), (Event::Failure, why.to_owned())));
    found.extend(failed);
    for held in &turned.plan.held {
        found.insert(format!("plan/{}", held.digest), (Event::Blocked, held.line()));
    }
    let before = outbox::told(tx, TOPIC).await?;
    // What waits was not tried, so that nothing of it that had failed is over.
    let waits = turned.plan.changes.iter().filter(|planned| planned.held.is_some());
    for about in waits.map(|planned| planned.change.id.to_string()) {
        if before.get(&about).and_then(Json::as_str) == Some(Event::Failure.word()) {
            found.entry(about).or_insert_with(|| (Event::Failure, String::new()));
        }
    }
    let kept: BTreeMap<String, &str> =
        found.iter().take(REMEMBERED).map(|(about, (event, _))| (about.clone(), event.word())).collect();
    let state = json!(kept);
    if before == state || (before.is_null() && kept.is_empty()) {
        return Ok(Vec::new());
    }
    outbox::tell(tx, TOPIC, &state).await?;
    let was = |about: &str| before.get(about).and_then(Json::as_str);
    let is_new = |(about, (event, _)): &(&String, &(Event, String))| was(about) != Some(event.word());
    let mut notices: Vec<Notice> = found
        .iter()
        .take(REMEMBERED)
        .filter(is_new)
        .map(|(about, (event, text))| notice(*event, about, text))
        .collect();
    let gone = before.as_object().into_iter().flatten().filter(|(about, _)| !found.contains_key(*about));
    notices.extend(gone.map(|(about, what)| {
        let text = if what == Event::Blocked.word() { "it is no longer blocked" } else { "it no longer fails" };
        notice(Event::Recovery, about, text)
    }));
    Ok(notices)
}

/// The servers that have come to the next level.
async fn fills(tx: &mut Tx, turned: &Turned) -> Result<Vec<Notice>> {
    const TOPIC: &str = "pool_fill";
    let levels = turned.plan.fills.iter().filter_map(|fill| Some((fill.server.to_string(), fill.level()?)));
    let state = json!(levels.collect::<BTreeMap<_, _>>());
    let before = outbox::told(tx, TOPIC).await?;
    if before == state || (before.is_null() && state.as_object().is_some_and(serde_json::Map::is_empty)) {
        return Ok(Vec::new());
    }
    outbox::tell(tx, TOPIC, &state).await?;
    let was = |about: &str| before.get(about).and_then(Json::as_i64).unwrap_or(0);
    let rises = turned.plan.fills.iter().filter(|fill| fill.level() > Some(was(&fill.server.to_string())));
    Ok(rises.filter_map(|fill| Some(notice(Event::PoolFill, fill.server.to_string(), fill.note()?))).collect())
}

/// What somebody else has changed. The same again in the turn after is the same.
async fn drifts(tx: &mut Tx, turned: &Turned) -> Result<Vec<Notice>> {
    const TOPIC: &str = "drift";
    let all = turned.plan.changes.iter().filter(|planned| planned.change.origin == Origin::Drift);
    let drifted: Vec<String> = all.clone().take(DRIFTS).map(|planned| planned.change.id.to_string()).collect();
    let count = all.clone().count();
    let state = if count == 0 { Json::Null } else { json!({ "count": count, "first": drifted }) };
    if outbox::told(tx, TOPIC).await? == state {
        return Ok(Vec::new());
    }
    outbox::tell(tx, TOPIC, &state).await?;
    let became = |planned: &Planned| match planned.held {
        None => "it was changed by somebody else, and is put right",
        Some(_) => "it was changed by somebody else; that it is put right waits for approval",
    };
    let told = |planned: &Planned| notice(Event::Drift, planned.change.id.to_string(), became(planned));
    let mut notices: Vec<Notice> = all.take(DRIFTS).map(told).collect();
    if count > DRIFTS {
        notices.push(notice(Event::Drift, TURN, format!("{} more were changed by somebody else", count - DRIFTS)));
    }
    Ok(notices)
}
