//! Killed anywhere: the real program is killed at random moments of its work, and one clean turn ends in the world of a
//! program that nobody ever killed.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::fixture::harm::Harm;
use crate::fixture::process::Running;
use crate::fixture::worker::Worker;
use crate::fixture::{Database, World};
use crate::instances::{Estate, LIMIT};

mod looks;
mod wanted;

use looks::Found;
use wanted::Wanted;

/// Rounds of the short form, for each database.
const FEW: u32 = 12;

/// A world in which the program is killed: two pool servers, Redis, and a worker who takes what he is sent.
struct Life {
    world: World,
    estate: Estate,
    worker: Worker,
    dice: fastrand::Rng,
    wanted: Wanted,
    /// How long a turn with work to do takes: the kills fall within.
    turn: Duration,
    /// Kills that left work to the next turn.
    struck: u32,
}

impl Life {
    fn begin(database: Database, dice: fastrand::Rng) -> Self {
        let mut world = World::on(database);
        world.env("RECONCILE_INTERVAL", "1s").env("RECONCILE_INSTANCE_CREDENTIALS_LIFE", "7d");
        let estate = Estate::of(&mut world, 2);
        let worker = Worker::start(&estate.redis.url());
        estate.declare_servers(&world, "max_instances: 20");
        let wanted = Wanted::default();
        let mut life = Self { world, estate, worker, dice, wanted, turn: Duration::ZERO, struck: 0 };
        life.wanted.begin(&mut life.dice);
        life.wanted.write(&life.world);
        let begun = Instant::now();
        life.world.run(&["--once"]).expect_code(0);
        life.turn = begun.elapsed();
        life.is_as_if_nobody_had_been_killed().assert_nothing();
        life
    }

    /// New wishes, a program that is killed over them, a clean turn, and a look at everything.
    fn round(&mut self, harm: &mut Harm) {
        self.wanted.change(&mut self.dice, &self.world, &self.estate);
        let victim = if harm.rounds.is_multiple_of(2) { self.daemon() } else { self.once() };
        std::thread::sleep(self.turn.mul_f64(self.dice.f64()));
        victim.signal(Signal::KILL);
        let code = victim.finish(LIMIT).code;
        assert!(code == 128 + 9 || code == 0, "neither killed nor done before: {code}");
        // That a dead holder is waited for is seen in some of the rounds; in all of them it would only take long.
        if self.dice.u8(..4) > 0 {
            self.world.sql("UPDATE reconcile_lease SET holder = NULL");
        }
        let clean = self.world.run(&["--once"]).expect_code(0).stdout;
        self.struck += u32::from(!clean.contains("No changes."));
        let found = self.is_as_if_nobody_had_been_killed();
        harm.lost += found.lost();
        harm.doubled += found.doubled();
        harm.unexplained += found.unexplained();
        harm.is_made_good(&found.to_string());
    }

    fn once(&self) -> Running {
        self.wanted.write(&self.world);
        self.world.spawn(&["--once"])
    }

    /// A daemon that begins over the new wishes, or that meets them when it has nothing else to do.
    fn daemon(&mut self) -> Running {
        if self.dice.bool() {
            self.wanted.write(&self.world);
            return self.world.spawn(&["-v"]);
        }
        let mut daemon = self.world.spawn(&["-v"]);
        daemon.wait_for("watching desired-state", LIMIT);
        self.wanted.write(&self.world);
        daemon
    }

    /// What is not as it should be, now that a clean turn was taken.
    fn is_as_if_nobody_had_been_killed(&mut self) -> Found {
        let mut found = Found::default();
        // Whatever the worker still has to say, another turn hears; there is nothing else for it to do.
        self.worker.wait_for(": done", self.wanted.tasks(), LIMIT);
        let second = self.world.run(&["--once"]).expect_code(0).stdout;
        if ["  + ", "  ~ ", "  ± ", "  ! "].iter().any(|sign| second.lines().any(|line| line.starts_with(sign))) {
            found.odd(format!("the turn after the clean one: {second}"));
        }
        let plan = self.world.run(&["--plan"]).expect_code(0).stdout;
        if !plan.contains("No changes.") {
            found.odd(format!("the plan afterwards: {plan}"));
        }
        looks::at_rows(&self.wanted, &self.world, &mut found);
        looks::at_pools(&self.wanted, &self.world, &self.estate, &mut found);
        looks::at_tasks(&self.wanted, &self.world, &self.estate, &self.worker, &mut found);
        looks::at_guids(&mut self.wanted, &mut self.dice, &self.world, &mut found);
        looks::at_the_journal(&self.wanted, &self.world, &mut found);
        found
    }
}

fn killed(name: &'static str, database: Database) {
    let mut harm = Harm::of(name, FEW);
    let mut life = Life::begin(database, harm.dice());
    while harm.again() {
        life.round(&mut harm);
    }
    // Chance decides where they fall; that nearly none falls into the work is not by chance.
    assert!(harm.rounds < FEW || life.struck * 6 >= harm.rounds, "{} of {} struck", life.struck, harm.rounds);
}

#[test]
fn the_program_is_killed_anywhere_with_sqlite() {
    killed("kill -9, SQLite", Database::Sqlite);
}

#[test]
fn the_program_is_killed_anywhere_with_postgres() {
    killed("kill -9, PostgreSQL", Database::Postgres);
}
