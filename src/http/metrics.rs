//! The metrics: fed by what a turn has come to, in one place.
//!
//! How many series there are is bounded: labels are kinds, actions, outcomes and classes, of which the program has few,
//! and the names of at most [`SERVERS`] servers. No label holds a secret, or the name of a resource but a server.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::process::{Process, seconds_now};
use crate::change::ResourceId;
use crate::failure::Failure;
use crate::turn::status::Known;
use crate::turn::{Turned, Work};

/// Servers with series of their own, at most: the first by name.
const SERVERS: usize = 1000;
/// Upper bounds of the histogram of turns, in seconds: a saved file, up to databases made by the dozen.
const BUCKETS: [f64; 13] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

pub(super) type Word = (&'static str, &'static str);
type Real = Gauge<f64, AtomicU64>;
/// A gauge without labels that is not there before it is known.
pub(super) type Maybe<G> = Family<[Word; 0], G>;
type ByServer<G> = Family<[(&'static str, String); 1], G>;

/// How a turn ended, as a label: fixed words, so that each series is there from the start.
#[derive(Clone, Copy)]
enum Ended {
    Done,
    Partial,
    Held,
    /// The last good state was applied: the files cannot be followed.
    LastGood,
    Failed,
}

impl Ended {
    const ALL: [Self; 5] = [Self::Done, Self::Partial, Self::Held, Self::LastGood, Self::Failed];

    fn label(self) -> [Word; 1] {
        let word = match self {
            Ended::Done => "done",
            Ended::Partial => "partial",
            Ended::Held => "held",
            Ended::LastGood => "last_good",
            Ended::Failed => "failed",
        };
        [("outcome", word)]
    }
}

/// Why a connection gave way to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Its peer had too many.
    Peer,
    /// All together were too many.
    All,
}

impl Dropped {
    fn label(self) -> [Word; 1] {
        let word = match self {
            Dropped::Peer => "peer",
            Dropped::All => "all",
        };
        [("reason", word)]
    }
}

/// What was tried in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Token,
    /// A GUID, or a claim.
    Secret,
}

impl Wrong {
    fn label(self) -> [Word; 1] {
        let word = match self {
            Wrong::Token => "token",
            Wrong::Secret => "secret",
        };
        [("what", word)]
    }
}

/// All series of one daemon.
pub struct Metrics {
    registry: Registry,
    /// Held while several series are changed together, and while a page is written.
    whole: Mutex<()>,
    environment: String,
    catalog: String,
    info: Family<[(&'static str, String); 4], Gauge>,
    turns: Family<[Word; 1], Counter>,
    duration: Histogram,
    changes: Family<[Word; 2], Counter>,
    blocked: Family<[Word; 2], Gauge>,
    failing: Gauge,
    drift: Gauge,
    files: Gauge,
    problems: Gauge,
    enforced: Gauge,
    paused: Gauge,
    rows: Counter,
    reused: Counter,
    last_success: Maybe<Real>,
    lease_held: Gauge,
    fencing: Gauge,
    places: ByServer<Gauge>,
    taken: ByServer<Gauge>,
    ratio: ByServer<Real>,
    handoffs: Maybe<Gauge>,
    notifications: Maybe<Gauge>,
    callers: Callers,
    process: Process,
}

/// Of those who ask: their connections, and what they try in vain.
struct Callers {
    connections: Gauge,
    dropped: Family<[Word; 1], Counter>,
    wrong: Family<[Word; 1], Counter>,
}

impl Callers {
    fn on(shelf: &mut Shelf) -> Self {
        let callers = Self {
            connections: shelf.add("reconcile_http_connections", "Connections that are open", Gauge::default()),
            dropped: shelf.add(
                "reconcile_http_connections_dropped",
                "Connections that gave way to others: their peer had too many (peer), or all had (all)",
                Family::default(),
            ),
            wrong: shelf.add(
                "reconcile_http_wrong_tries",
                "Tokens that are none (token); GUIDs that open nothing, and claims of what is not there (secret)",
                Family::default(),
            ),
        };
        for why in [Dropped::Peer, Dropped::All] {
            drop(callers.dropped.get_or_create(&why.label()));
        }
        for what in [Wrong::Token, Wrong::Secret] {
            drop(callers.wrong.get_or_create(&what.label()));
        }
        callers
    }
}

/// Adds series to a registry, and gives them back.
pub(super) struct Shelf(Registry);

impl Shelf {
    pub(super) fn add<M: Metric + Clone>(&mut self, name: &'static str, about: &'static str, metric: M) -> M {
        self.0.register(name, about, metric.clone());
        metric
    }
}

impl Metrics {
    pub fn new(environment: &str, catalog: &str) -> Self {
        let mut shelf = Shelf(Registry::default());
        let started: Real = shelf.add("process_start_time_seconds", "When the process began", Real::default());
        started.set(seconds_now());
        let metrics = Self {
            whole: Mutex::default(),
            environment: environment.to_owned(),
            catalog: catalog.to_owned(),
            info: shelf.add(
                "reconcile_info",
                "The program, what it works on, and the revision last planned",
                Family::default(),
            ),
            turns: shelf.add("reconcile_turns", "Turns, by how they ended", Family::default()),
            duration: shelf.add("reconcile_turn_duration_seconds", "How long turns took", Histogram::new(BUCKETS)),
            changes: shelf.add("reconcile_changes", "Changes applied", Family::default()),
            blocked: shelf.add("reconcile_blocked", "Differences that the last run left open", Family::default()),
            failing: shelf.add("reconcile_failing", "Resources that the last run failed at", Gauge::default()),
            drift: shelf.add("reconcile_drift", "Changes by others that the last turn found", Gauge::default()),
            files: shelf.add("reconcile_files", "State files", Gauge::default()),
            problems: shelf.add(
                "reconcile_parse_problems",
                "Problems of the state files, as last read",
                Gauge::default(),
            ),
            enforced: shelf.add(
                "reconcile_last_good_enforced",
                "Whether the last good state is enforced, because the files cannot be followed",
                Gauge::default(),
            ),
            paused: shelf.add(
                "reconcile_paused",
                "Whether nothing is reconciled: the files cannot be followed, and no last good state is known",
                Gauge::default(),
            ),
            rows: shelf.add("reconcile_rows_compared", "Rows of sessions compared with the files", Counter::default()),
            reused: shelf.add("reconcile_files_reused", "Files not read again, being unchanged", Counter::default()),
            last_success: shelf.add(
                "reconcile_last_success_timestamp_seconds",
                "When a turn last ended well, by whichever daemon",
                Family::default(),
            ),
            lease_held: shelf.add("reconcile_lease_held", "Whether this daemon applies", Gauge::default()),
            fencing: shelf.add("reconcile_lease_fencing", "The number under which it does, else 0", Gauge::default()),
            places: shelf.add("reconcile_pool_places", "Instances that a server may have", Family::default()),
            taken: shelf.add("reconcile_pool_places_taken", "Instances that a server has", Family::default()),
            ratio: shelf.add("reconcile_pool_used_ratio", "The taken share of a server's places", Family::default()),
            handoffs: shelf.add("reconcile_handoffs_waiting", "Secrets that wait for their reader", Family::default()),
            notifications: shelf.add(
                "reconcile_notifications_waiting",
                "Messages that their receivers have not taken yet",
                Family::default(),
            ),
            callers: Callers::on(&mut shelf),
            process: Process::on(&mut shelf),
            registry: shelf.0,
        };
        for ended in Ended::ALL {
            // To be there with 0 is to be seen when it rises.
            drop(metrics.turns.get_or_create(&ended.label()));
        }
        metrics.tell_info("");
        metrics
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_info(&self, revision: &str) {
        let labels = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("environment", self.environment.clone()),
            ("catalog", self.catalog.clone()),
            ("revision", revision.to_owned()),
        ];
        self.info.clear();
        self.info.get_or_create(&labels).set(1);
    }

    fn ended(&self, ended: Ended, took: Duration) {
        self.turns.get_or_create(&ended.label()).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// A run that was carried through, all of it or but for what waits.
    pub fn turned(&self, turned: &Turned, took: Duration) {
        let _whole = self.lock();
        let Turned { plan, report, warnings: _, work: Work { files, reused, rows }, enforced } = turned;
        let undone: BTreeSet<&ResourceId> = report.undone().map(|(id, _)| id).collect();
        let done = plan.changes.iter().filter(|planned| planned.held.is_none()).map(|planned| &planned.change);
        for change in done.filter(|change| undone.is_empty() || !undone.contains(&change.id)) {
            let labels = [("kind", change.id.kind.name), ("action", change.action.name())];
            self.changes.get_or_create(&labels).inc();
        }
        self.failing.set(count(undone.len() as u64));
        let ended = match (undone.is_empty(), plan.held.is_empty(), enforced) {
            (_, false, _) => Ended::Held,
            (true, true, None) => Ended::Done,
            (true, true, Some(_)) => Ended::LastGood,
            (false, true, _) => Ended::Partial,
        };
        self.ended(ended, took);
        if matches!(ended, Ended::Done) {
            self.last_success.get_or_create(&[]).set(seconds_now());
        }
        self.tell_info(&plan.header.revision.label());
        self.blocked.clear();
        for blocked in &plan.blocked {
            let labels = [("kind", blocked.id.kind.name), ("reason_class", blocked.obstacle.name())];
            self.blocked.get_or_create(&labels).inc();
        }
        self.drift.set(count(plan.summary().drift));
        self.files.set(count(*files as u64));
        self.tell_of_files(enforced.as_ref().map(|enforced| &enforced.failure));
        self.rows.inc_by(*rows);
        self.reused.inc_by(*reused as u64);
    }

    /// There was no turn, or it broke off.
    pub fn failed(&self, failure: &Failure, took: Duration) {
        let _whole = self.lock();
        self.ended(Ended::Failed, took);
        if failure.is_paused {
            self.tell_of_files(Some(failure));
        }
    }

    /// What is wrong with the files, if anything; and whether something is enforced all the same.
    fn tell_of_files(&self, failure: Option<&Failure>) {
        let problems = failure.and_then(Failure::problems).map_or(0, |problems| problems.len() as u64);
        let is_paused = failure.is_some_and(|failure| failure.is_paused);
        self.problems.set(count(problems));
        self.paused.set(i64::from(is_paused));
        self.enforced.set(i64::from(failure.is_some() && !is_paused));
    }

    /// So many connections are open.
    pub fn connections(&self, open: usize) {
        self.callers.connections.set(count(open as u64));
    }

    /// A connection gave way.
    pub fn dropped(&self, why: Dropped) {
        self.callers.dropped.get_or_create(&why.label()).inc();
    }

    /// Something was tried in vain.
    pub fn wrong(&self, what: Wrong) {
        self.callers.wrong.get_or_create(&what.label()).inc();
    }

    /// Whether the lease is ours, and its fencing number.
    pub fn lease(&self, fencing: Option<i64>) {
        let _whole = self.lock();
        self.lease_held.set(i64::from(fencing.is_some()));
        self.fencing.set(fencing.unwrap_or(0));
        if fencing.is_none() {
            // What is blocked is told by whoever applies.
            self.blocked.clear();
            self.drift.set(0);
            self.tell_of_files(None);
        }
    }

    /// What the database says now, whoever applies.
    fn look(&self, known: &Known) {
        if let Some(at) = known.last.as_ref().and_then(|turn| turn.good_at) {
            // Milliseconds since 1970 are exact in a double for longer than anybody waits.
            self.last_success.get_or_create(&[]).set(at.timestamp_millis() as f64 / 1e3);
        }
        self.places.clear();
        self.taken.clear();
        self.ratio.clear();
        for server in known.servers.iter().take(SERVERS) {
            let labels = [("server", server.profile.name.to_string())];
            let (taken, places) = (server.allocated, server.profile.max_instances);
            self.places.get_or_create(&labels).set(places);
            self.taken.get_or_create(&labels).set(taken);
            self.ratio.get_or_create(&labels).set(taken as f64 / places.max(1) as f64);
        }
        self.handoffs.clear();
        if known.handoff_trouble.is_none() {
            self.handoffs.get_or_create(&[]).set(count(known.waiting.len() as u64));
        }
        self.notifications.get_or_create(&[]).set(known.notifications.iter().map(|waiting| waiting.messages).sum());
    }

    /// All series as OpenMetrics text, with what the database says now where it answers.
    ///
    /// Errors: none that the text's memory does not give.
    pub fn page(&self, known: Option<&Known>) -> Result<String, std::fmt::Error> {
        let _whole = self.lock();
        if let Some(known) = known {
            self.look(known);
        }
        self.process.look();
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        // A family without labels is written with an empty list of them.
        Ok(text.replace("{} ", " "))
    }
}

/// A count as a gauge takes it.
pub(super) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
