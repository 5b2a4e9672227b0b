//! Outages: whatever the daemon stands on goes away while it runs, and comes back. Meanwhile it does not crash, asks at
//! most once a second and does not grow; within two periods of its timer afterwards it has caught up, with nothing lost
//! and without help.

use std::fs;
use std::time::{Duration, Instant};

use crate::daemon::{LATE, end, found, prepare, settle, turns};
use crate::fixture::World;
use crate::fixture::harm::Harm;
use crate::fixture::process::{Output, Running};

mod clock;
mod descriptors;
mod disk;
mod names;
mod postgres;
mod redis;

/// The timer of these daemons.
const PERIOD: Duration = Duration::from_secs(2);
/// Two periods of it, and a turn on a machine that has much else to do.
const CAUGHT_UP: Duration = Duration::from_secs(6);
/// By how much a daemon may grow in some seconds of trouble, in KiB: what its allocator keeps, far less than if each
/// attempt left a connection, a task or a picture of the database behind.
const GROWTH: u64 = 6 * 1024;

/// A world with one session declared and its schema made, its timer short.
fn short(world: &mut World) {
    prepare(world);
    world.env("RECONCILE_INTERVAL", &format!("{}s", PERIOD.as_secs()));
}

/// A daemon that is watched while it is in trouble.
struct Watched {
    daemon: Running,
    /// Its row in the table of harms.
    _harm: Harm,
}

impl Watched {
    /// A daemon whose first turn is over, and was a good one.
    #[track_caller]
    fn start(world: &World) -> Self {
        Self::of(world.spawn(&["-v"]))
    }

    /// As [`Watched::start`], one that was started in a way of its own. It tells of every turn.
    #[track_caller]
    fn of(mut daemon: Running) -> Self {
        daemon.wait_for("watching desired-state", LATE);
        daemon.wait_for("the turn is over", LATE);
        Self { daemon, _harm: harm() }
    }

    /// Goes through so much time of trouble, of which it has told: it stays, tries now and then, and does not grow.
    #[track_caller]
    fn endures(&self, time: Duration) {
        let (begun, before, small) = (Instant::now(), turns(&self.daemon), memory(&self.daemon));
        std::thread::sleep(time);
        let (took, tried, large) = (begun.elapsed(), turns(&self.daemon) - before, memory(&self.daemon));
        println!("{tried} attempts in {took:?}; {small} KiB, then {large} KiB");
        assert!(tried >= 1, "it has given up:\n{}", self.daemon.stderr());
        // One that is due at the very beginning, and one in each second from then on.
        assert!(tried as f64 <= took.as_secs_f64() + 1.0, "{tried} in {took:?}:\n{}", self.daemon.stderr());
        assert!(large <= small + GROWTH, "from {small} KiB to {large} KiB:\n{}", self.daemon.stderr());
    }

    /// The trouble is over now: the sessions come to have these titles by themselves.
    #[track_caller]
    fn catches_up(&self, world: &World, titles: &[&str]) {
        settle(CAUGHT_UP, &titles.join(" "), || found(world));
    }

    /// Ends it in order.
    #[track_caller]
    fn end(self) -> Output {
        end(self.daemon)
    }
}

/// One round of harm, named after the part that the test stands in.
fn harm() -> Harm {
    const PARTS: &[(&str, &str)] = &[
        ("outage::clock", "outage: the clock steps"),
        ("outage::descriptors", "outage: file descriptors"),
        ("outage::disk", "outage: full disk"),
        ("outage::names", "outage: names"),
        ("outage::postgres", "outage: PostgreSQL"),
        ("outage::redis", "outage: Redis"),
    ];
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let part = PARTS.iter().find(|(part, _)| test.starts_with(part));
    let mut harm = Harm::of(part.map_or("outage", |(_, name)| name), 1);
    harm.again();
    harm
}

/// KiB that a program holds in memory.
fn memory(program: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("a running program");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("how much memory it holds");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

/// What the journal has of sessions, oldest first.
fn journal(world: &World) -> String {
    world.sql("SELECT action, name FROM reconcile_journal WHERE kind = 'session' ORDER BY journal_id")
}
