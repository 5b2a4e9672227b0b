//! Two replicas, interleaved: one is paused at each request in turn, for longer than its lease; the other takes over and
//! does the work; then the first is woken. The world ends as if one alone had worked, and the woken one wrote nothing.
//!
//! Of each story's requests a few are taken, evenly spread, and the first and the last among them; the first is paused
//! before the server sees the request. In the long form as many are taken as there are rounds, and each of them a second
//! time, after the server has answered.

use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::cut::{Blow, Cut, Moment};
use crate::fixture::harm::Harm;
use crate::fixture::process::Running;
use crate::fixture::{Database, World};

mod hosts;

const LIMIT: Duration = Duration::from_secs(60);
/// The other takes over after the lease, and is done within this time; or it waits for a lock that the paused one holds.
const WAITS: Duration = Duration::from_secs(4);
const TURN: &[&str] = &["--once"];

/// What is told of one story.
pub struct Story<'a> {
    pub world: &'a World,
    /// On which the first is paused.
    pub wire: &'a Cut,
    /// How many of its requests are taken, where nobody asks for more.
    pub most: usize,
    /// Makes work for the round of this number.
    pub prepare: &'a dyn Fn(u32),
    /// Whether the round's work is done.
    pub is_done: &'a dyn Fn(u32) -> bool,
    /// All that a replica that was replaced must leave as it is.
    pub picture: &'a dyn Fn(u32) -> String,
    /// The world is as one alone would have left it.
    pub look: &'a dyn Fn(u32),
}

impl Story<'_> {
    /// Gives in how many rounds the other has done the work while the first stood still.
    pub fn tell(&self) -> usize {
        (self.prepare)(0);
        self.wire.count();
        self.world.run(TURN).expect_code(0);
        let requests = self.wire.requests();
        (self.look)(0);
        let mut harm = Harm::of("a replica is paused", u32::try_from(self.most).unwrap_or(u32::MAX));
        let calls = chosen(requests, harm.most() as usize);
        let mut moments: Vec<(usize, Moment)> = calls.iter().map(|call| (*call, Moment::Before)).collect();
        if harm.is_long() {
            moments.extend(calls.iter().map(|call| (*call, Moment::After)));
        }
        let mut done = 0;
        for (call, moment) in &moments {
            if !harm.again() {
                break;
            }
            done += usize::from(self.round(harm.rounds, *call, *moment));
        }
        println!("paused at {} of {requests} requests; taken over at {done} of {}", calls.len(), moments.len());
        done
    }

    fn round(&self, round: u32, call: usize, moment: Moment) -> bool {
        (self.prepare)(round);
        self.wire.arm(call, moment, Blow::Pause);
        let first = self.world.spawn(TURN);
        self.wire.victim(&first);
        if !falls(self.wire, &first, self.is_done, round) {
            first.finish(LIMIT).expect_code(0);
            self.settles(round, call);
            return false;
        }
        let second = self.world.spawn(TURN);
        let begun = Instant::now();
        while begun.elapsed() < WAITS && !(self.is_done)(round) {
            thread::sleep(Duration::from_millis(50));
        }
        if !(self.is_done)(round) {
            // The first holds a lock. Woken, it may finish, or find that it was replaced meanwhile.
            self.wire.go_on();
            self.ends(first, round, call);
            self.ends(second, round, call);
            self.settles(round, call);
            return false;
        }
        self.ends(second, round, call);
        let before = (self.picture)(round);
        self.wire.go_on();
        self.ends(first, round, call);
        assert_eq!((self.picture)(round), before, "round {round}: the first was paused {moment:?} call {call}");
        self.settles(round, call);
        true
    }

    fn settles(&self, round: u32, call: usize) {
        self.wire.count();
        let turn = self.world.run(TURN);
        assert_eq!(turn.code, 0, "round {round}, after call {call}: {}", turn.text());
        (self.look)(round);
        let plan = self.world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("No changes."), "round {round}, after call {call}: {plan}");
    }

    /// It may have failed, because it was replaced or kept waiting; but in good order.
    fn ends(&self, program: Running, round: u32, call: usize) {
        let output = program.finish(LIMIT);
        assert!(matches!(output.code, 0 | 1 | 4), "round {round}, call {call}: {}", output.text());
        assert!(!output.stderr.contains("panicked"), "round {round}, call {call}: {}", output.text());
    }
}

/// Waits until the program is paused; `false` when its work is done without.
fn falls(wire: &Cut, program: &Running, is_done: &dyn Fn(u32) -> bool, round: u32) -> bool {
    let begun = Instant::now();
    while !wire.fell() {
        assert!(begun.elapsed() < LIMIT, "neither paused nor done: {}{}", program.stdout(), program.stderr());
        if is_done(round) && begun.elapsed() > WAITS {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Which of so many requests are taken, 1 for the first.
fn chosen(calls: usize, most: usize) -> Vec<usize> {
    let count = most.clamp(2, calls.max(2));
    let mut chosen: Vec<usize> = (0..count).map(|place| 1 + place * (calls - 1) / (count - 1)).collect();
    chosen.dedup();
    chosen
}

#[test]
fn what_is_chosen_is_spread_from_the_first_to_the_last() {
    assert_eq!(chosen(9, 3), [1, 5, 9]);
    assert_eq!(chosen(4, 12), [1, 2, 3, 4]);
    assert_eq!(chosen(41, 5), [1, 11, 21, 31, 41]);
}

fn one(world: &World, query: &str) -> String {
    world.sql(query).trim().to_owned()
}

/// A world whose replicas fall silent soon.
pub fn begun(database: Database) -> World {
    let mut world = World::on(database);
    world.env("RECONCILE_LEASE", "1s");
    world
}
