//! How things stand, and the words that start and stop applying.

mod text;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::World;
use crate::change::{EVERYTHING, Failed, ResourceId, one_line, quoted, rfc3339};
use crate::desired::git::Place;
use crate::failure::{Failure, Result};
use crate::resource::{host, instance, server};
use crate::store::enforced::{self, Unfollowed};
use crate::store::lease::{self, Seen};
use crate::store::ledger::{self, Suspension};
use crate::store::outbox::{self, Waiting as Undelivered};
use crate::store::turns::{self, Turn, Waiting};
use crate::store::{Authority, Entry, failures, journal};

/// Failures that `status` names.
const WORST: i64 = 3;

/// Of each sort that can be many, the JSON form has so many.
const MOST: usize = 100;

/// What `status` tells.
#[derive(Debug)]
pub struct Status {
    pub environment: String,
    pub catalog: String,
    /// `sqlite` or `postgres`.
    pub driver: &'static str,
    /// The Git repository that holds the state directory, or why it is not believed.
    pub repository: Option<String>,
    /// `None`: there is no schema of ours yet.
    pub known: Option<Known>,
}

#[derive(Debug)]
pub struct Known {
    pub lease: Seen,
    pub last: Option<Turn>,
    /// The files cannot be followed; what is enforced instead.
    pub unfollowed: Option<Unfollowed>,
    pub suspensions: Vec<Suspension>,
    /// What runs fail at: the worst of them, and how many there are.
    pub failures: (Vec<failures::Named>, i64),
    /// What waits in the hand-off for its reader: address, and until when.
    pub waiting: Vec<(String, DateTime<Utc>)>,
    /// Why the hand-off cannot be asked.
    pub handoff_trouble: Option<String>,
    pub servers: Vec<server::Observed>,
    /// Instances in each phase, in the order of the phases.
    pub phases: Vec<(String, i64)>,
    /// Messages that their receivers have not taken yet.
    pub notifications: Vec<Undelivered>,
}

impl World {
    pub async fn status(&self) -> Result<Status> {
        let (environment, database) = (self.guard.environment(), &self.database);
        let state = self.config.state.clone();
        let repository = tokio::task::spawn_blocking(move || Place::told(&state)).await.unwrap_or_default();
        let told = |known| Status {
            environment: environment.to_string(),
            catalog: database.catalog().to_string(),
            driver: database.driver(),
            repository: repository.clone(),
            known,
        };
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(told(None)) };
        let mut known = Known {
            lease: lease::seen(&mut snapshot).await?,
            last: turns::last(&mut snapshot).await?,
            unfollowed: enforced::read(&mut snapshot).await?,
            suspensions: ledger::suspensions(&mut snapshot).await?,
            failures: failures::worst(&mut snapshot, WORST).await?,
            waiting: Vec::new(),
            handoff_trouble: None,
            servers: server::rows::observe(&mut snapshot).await?.into_values().collect(),
            phases: instance::rows::by_phase(&mut snapshot).await?,
            notifications: outbox::waiting(&mut snapshot).await?,
        };
        let hosts = host::rows::unclaimed(&mut snapshot).await?;
        let instances = instance::rows::may_wait(&mut snapshot).await?;
        snapshot.finish().await?;
        let keys: Vec<String> = hosts.iter().chain(&instances).map(|(_, key)| key.clone()).collect();
        match self.probe().waiting(&keys).await {
            Ok(found) => {
                let named = hosts.into_iter().chain(instances).zip(found);
                known.waiting = named.filter_map(|((address, _), until)| Some((address, until?))).collect();
            }
            Err(error) => known.handoff_trouble = Some(error.to_string()),
        }
        Ok(told(Some(known)))
    }

    /// Lets the daemon apply what waits under this digest.
    ///
    /// Errors: it is no digest, or that of nothing that waits now.
    pub async fn approve(&self, digest: &str, reason: &str, actor: Option<String>) -> Result<()> {
        if digest.len() != 32 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::invalid(format!("{} is not a plan's digest", quoted(digest)))
                .hint("`reconcile status` shows the digest of what waits: 32 hexadecimal digits"));
        }
        let digest = digest.to_ascii_lowercase();
        self.require().await?;
        self.waits(&digest).await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(actor)).await?;
        ledger::approve(&mut tx, &digest, reason).await?;
        journal::write(&mut tx, &entry(None, "approve", None, Some(json!({ "digest": digest })), reason)).await?;
        Ok(self.database.commit_aloud(tx).await?)
    }

    /// Errors: the last run has left nothing under this digest to wait.
    async fn waits(&self, digest: &str) -> Result<()> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Err(self.absent()) };
        let waiting = turns::last(&mut snapshot).await?.map(|turn| turn.held).unwrap_or_default();
        snapshot.finish().await?;
        if waiting.iter().any(|one| one.digest == digest) {
            return Ok(());
        }
        let failure = Failure::conflict(format!("{digest} is not the plan that waits now"));
        if waiting.is_empty() {
            return Err(failure.hint("nothing waits for approval; a plan waits when a run has found it too large"));
        }
        let hints = waiting.iter().map(|Waiting { digest, why }| format!("what waits now is {digest}: {why}"));
        Err(failure.hints(hints).hint("look at it with `reconcile --plan` before you approve it"))
    }

    /// Stops applying, for one resource or for all. Gives whether it was not suspended for this reason already: who
    /// asks twice is not two who asked.
    pub async fn suspend(&self, id: Option<&ResourceId>, reason: &str, actor: Option<String>) -> Result<bool> {
        let (kind, name) = names(id);
        self.require().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(actor)).await?;
        let is_new = ledger::suspend(&mut tx, kind, name, reason).await?;
        if is_new {
            journal::write(&mut tx, &entry(id, "suspend", None, None, reason)).await?;
        }
        match is_new {
            true => self.database.commit_aloud(tx).await?,
            false => tx.commit().await?,
        }
        Ok(is_new)
    }

    /// Starts applying again. Gives whether anything was suspended.
    pub async fn resume(&self, id: Option<&ResourceId>, reason: &str, actor: Option<String>) -> Result<bool> {
        let (kind, name) = names(id);
        self.require().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(actor)).await?;
        let was = ledger::resume(&mut tx, kind, name).await?;
        if was {
            journal::write(&mut tx, &entry(id, "resume", None, None, reason)).await?;
        }
        match was {
            true => self.database.commit_aloud(tx).await?,
            false => tx.commit().await?,
        }
        Ok(was)
    }
}

fn names(id: Option<&ResourceId>) -> (&str, &str) {
    id.map_or(("", ""), |id| (id.kind.name, id.name.as_str()))
}

/// How the journal names what concerns all resources.
pub(super) fn everything() -> ResourceId {
    ResourceId::new(EVERYTHING, EVERYTHING.name)
}

/// A line of the journal about one resource, or about everything.
pub(super) fn entry(
    id: Option<&ResourceId>,
    action: &'static str,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
    reason: &str,
) -> Entry {
    let text = |picture: Option<serde_json::Value>| picture.map(|picture| picture.to_string());
    Entry {
        id: id.cloned().unwrap_or_else(everything),
        actor: None,
        action,
        before: text(before),
        after: text(after),
        reason: Some(reason.to_owned()),
        origin: None,
    }
}

impl Status {
    pub fn json(&self) -> serde_json::Value {
        let Self { environment, catalog, driver, repository, known } = self;
        let Some(known) = known else {
            return json!({
                "environment": environment, "catalog": catalog, "driver": driver, "repository": repository,
                "schema_missing": true,
            });
        };
        let Known { lease, last, unfollowed, suspensions, failures, .. } = known;
        let Known { waiting, handoff_trouble, servers, phases, notifications, .. } = known;
        let last = last.as_ref().map(|turn| {
            json!({
                "run": turn.run.to_string(), "holder": turn.holder, "started_at": rfc3339(turn.started_at),
                "finished_at": rfc3339(turn.finished_at), "revision": turn.revision, "outcome": turn.outcome,
                "summary": turn.summary, "good_at": turn.good_at.map(rfc3339), "held": turn.held,
            })
        });
        let suspension = |row: &Suspension| {
            let of_all = row.kind.is_empty();
            let word = |word: &str| if of_all { EVERYTHING.name.to_owned() } else { word.to_owned() };
            json!({ "kind": word(&row.kind), "name": word(&row.name), "actor": row.actor, "reason": row.reason,
                    "suspended_at": rfc3339(row.suspended_at) })
        };
        let notification = |waiting: &Undelivered| {
            let Undelivered { target, messages, last_error } = waiting;
            json!({ "target": target, "messages": messages, "last_error": last_error })
        };
        let handoff = |(address, until): &(String, _)| json!({ "address": address, "until": rfc3339(*until) });
        let phases: serde_json::Map<_, _> =
            phases.iter().map(|(phase, count)| (phase.clone(), serde_json::Value::from(*count))).collect();
        json!({
            "environment": environment,
            "catalog": catalog,
            "driver": driver,
            "repository": repository,
            "schema_missing": false,
            "lease": { "holder": lease.holder, "fencing": lease.fencing },
            "last_turn": last,
            "files": unfollowed.as_ref().map(Unfollowed::json),
            "failures": failures.0.iter().map(failure_json).collect::<Vec<_>>(),
            "failures_count": failures.1,
            "suspended": suspensions.iter().take(MOST).map(suspension).collect::<Vec<_>>(),
            "suspended_count": suspensions.len(),
            "hand_offs": waiting.iter().take(MOST).map(handoff).collect::<Vec<_>>(),
            "hand_offs_count": waiting.len(),
            "hand_off_trouble": handoff_trouble,
            "servers": server_json(servers),
            "instances": phases,
            "notifications": notifications.iter().take(MOST).map(notification).collect::<Vec<_>>(),
        })
    }
}

/// One failure, as the API and `status` give it.
pub fn failure_json((kind, name, failed): &failures::Named) -> serde_json::Value {
    let Failed { first_at, last_at, times, message } = failed;
    json!({ "kind": kind, "name": name, "first_at": rfc3339(*first_at), "last_at": rfc3339(*last_at), "times": times,
            "message": one_line(message) })
}

/// The part of it that tells of the servers.
pub fn server_json(servers: &[server::Observed]) -> serde_json::Value {
    let one = |server: &server::Observed| {
        json!({
            "name": server.profile.name.to_string(), "allocated": server.allocated,
            "max_instances": server.profile.max_instances, "state": server.profile.status.word(),
            "health": server.health.condition.word(), "health_since": server.health.since.map(rfc3339),
            "last_error": server.health.last_error,
        })
    };
    servers.iter().map(one).collect()
}
