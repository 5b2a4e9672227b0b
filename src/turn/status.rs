//! How things stand, and the words that start and stop applying.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::World;
use crate::change::{Failed, ResourceId, hanging, moment, one_line, printable, quoted, rfc3339};
use crate::desired::git::Place;
use crate::failure::{Failure, Result};
use crate::kinds::ALL;
use crate::resource::{host, instance, server};
use crate::store::lease::{self, Seen};
use crate::store::ledger::{self, Suspension};
use crate::store::outbox::{self, Waiting};
use crate::store::turns::{self, Turn};
use crate::store::{Authority, Entry, failures, journal};

/// Failures that `status` names.
const WORST: i64 = 3;

/// Lines of each sort in `status`: all of it is to fit on a screen.
const SHOWN: usize = 3;

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
    pub notifications: Vec<Waiting>,
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

    /// Lets the daemon apply the plan with this digest.
    ///
    /// Errors: no plan can have this digest.
    pub async fn approve(&self, digest: &str, reason: &str, actor: Option<String>) -> Result<()> {
        if digest.len() != 32 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::invalid(format!("{} is not a plan's digest", quoted(digest)))
                .hint("`reconcile status` shows the digest of the plan that is held back: 32 hexadecimal digits"));
        }
        let digest = digest.to_ascii_lowercase();
        self.require().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(actor)).await?;
        ledger::approve(&mut tx, &digest, reason).await?;
        journal::write(&mut tx, &entry(None, "approve", None, Some(json!({ "digest": digest })), reason)).await?;
        Ok(self.database.commit_aloud(tx).await?)
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

/// What concerns everything stands under the first kind of the register, with a star for a name.
pub(super) fn everything() -> ResourceId {
    ResourceId::new(ALL[0], "*")
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
    }
}

impl Status {
    /// For a terminal.
    pub fn text(&self) -> String {
        let Self { environment, catalog, driver, repository, known } = self;
        let mut text = format!("environment {environment} · catalog {catalog} · {driver}\n");
        if let Some(repository) = repository {
            text.push_str(&format!("{}\n", hanging("  repository ", &printable(repository), 13)));
        }
        let Some(known) = known else {
            text.push_str("  nothing was applied yet: there is no schema\n");
            return text;
        };
        let Known { lease, last, suspensions, failures, waiting, handoff_trouble, servers, phases, notifications } =
            known;
        let mut line = |name: &str, about: String| {
            text.push_str(&hanging(&format!("  {name:<10} "), &about, 13));
            text.push('\n');
        };
        line(
            "applier",
            match &lease.holder {
                Some(holder) => format!("{} (fencing {})", printable(holder), lease.fencing),
                None => "nobody".to_owned(),
            },
        );
        match last {
            None => line("last turn", "none yet".to_owned()),
            Some(turn) => {
                let revision = printable(&turn.revision);
                line("last turn", format!("{} @ {revision}: {}", moment(turn.finished_at), printable(&turn.outcome)));
                if let Some(summary) = turn.summary.as_str().filter(|summary| !summary.is_empty()) {
                    line("its plan", printable(summary));
                }
                line("last good", turn.good_at.map_or_else(|| "never".to_owned(), moment));
            }
        }
        for (kind, name, failed) in &failures.0 {
            line("failed", format!("{}/{}: {}", printable(kind), printable(name), failed.sentence()));
        }
        if let more @ 1.. = failures.1 - failures.0.len() as i64 {
            line("failed", format!("and {more} more; `reconcile --plan` names them"));
        }
        for suspension in suspensions.iter().take(SHOWN) {
            let Suspension { kind, name, actor, reason, suspended_at } = suspension;
            let what = if kind.is_empty() { "everything".to_owned() } else { format!("{kind}/{}", printable(name)) };
            let (actor, reason) = (printable(actor), printable(reason));
            line("suspended", format!("{what} by {actor} since {}: {reason}", moment(*suspended_at)));
        }
        and_more(suspensions.len()).into_iter().for_each(|more| line("suspended", more));
        for server in worst(servers).take(SHOWN) {
            line("server", pool_line(server));
        }
        and_more(servers.len()).into_iter().for_each(|more| line("server", more));
        if !phases.is_empty() {
            let counts: Vec<String> = phases.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
            line("instances", counts.join(", "));
        }
        if let Some(trouble) = handoff_trouble {
            line("handoff", format!("cannot be asked: {}", printable(trouble)));
        }
        if let Some(waits) = waits(waiting) {
            line("handoff", waits);
        }
        for Waiting { target, messages, last_error } in notifications.iter().take(SHOWN) {
            let count = if *messages == 1 { "1 message waits".to_owned() } else { format!("{messages} messages wait") };
            let why = last_error.as_ref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
            line("notify", format!("{}: {count}{why}", printable(target)));
        }
        and_more(notifications.len()).into_iter().for_each(|more| line("notify", more));
        text
    }

    pub fn json(&self) -> serde_json::Value {
        let Self { environment, catalog, driver, repository, known } = self;
        let Some(known) = known else {
            return json!({
                "environment": environment, "catalog": catalog, "driver": driver, "repository": repository,
                "schema_missing": true,
            });
        };
        let Known { lease, last, suspensions, failures, waiting, handoff_trouble, servers, phases, notifications } =
            known;
        let last = last.as_ref().map(|turn| {
            json!({
                "run": turn.run.to_string(), "holder": turn.holder, "started_at": rfc3339(turn.started_at),
                "finished_at": rfc3339(turn.finished_at), "revision": turn.revision, "outcome": turn.outcome,
                "summary": turn.summary, "good_at": turn.good_at.map(rfc3339),
            })
        });
        let suspension = |row: &Suspension| {
            json!({ "kind": row.kind, "name": row.name, "actor": row.actor, "reason": row.reason,
                    "suspended_at": rfc3339(row.suspended_at) })
        };
        let notification = |waiting: &Waiting| {
            let Waiting { target, messages, last_error } = waiting;
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

/// The secrets that wait, as one line: who would read a thousand?
fn waits(waiting: &[(String, DateTime<Utc>)]) -> Option<String> {
    let first = waiting.iter().map(|(_, until)| *until).min().map(moment)?;
    Some(match waiting {
        [(address, _)] => format!("{address} waits to be claimed until {first}"),
        many => format!("{} secrets wait to be claimed, the first until {first}", many.len()),
    })
}

/// The servers, those first that are not well, then by how full they are.
fn worst(servers: &[server::Observed]) -> impl Iterator<Item = &server::Observed> {
    let rank = |server: &&server::Observed| {
        let max = server.profile.max_instances.max(1);
        (server.health.last_error.is_none(), -(server.allocated.saturating_mul(100) / max))
    };
    let mut sorted: Vec<&server::Observed> = servers.iter().collect();
    sorted.sort_by_key(rank);
    sorted.into_iter()
}

/// What there is no room for.
fn and_more(all: usize) -> Option<String> {
    all.checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!("and {more} more"))
}

/// `postgres-pool-1  ██████████░░░░░░░░░░  25/50  healthy`
fn pool_line(server: &server::Observed) -> String {
    const CELLS: i64 = 20;
    let (fill, max) = (server.allocated, server.profile.max_instances.max(1));
    // Of what is not empty at least one cell shows, and of what is not full at least one does not.
    let cells = (fill * CELLS / max).clamp(i64::from(fill > 0), if fill < max { CELLS - 1 } else { CELLS });
    let bar: String = (0..CELLS).map(|cell| if cell < cells { '█' } else { '░' }).collect();
    let condition = server.health.condition.word();
    let mut line = format!("{} {bar} {fill}/{max} {condition}", server.profile.name);
    if server.profile.status == server::Status::Maintenance {
        line.push_str(", in maintenance");
    }
    if let Some(error) = &server.health.last_error {
        line.push_str(&format!(": {}", printable(error)));
    }
    line
}
