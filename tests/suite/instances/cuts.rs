//! Power cuts: every call to a pool server and to Redis is cut before and after, in turn, by killing the program; what
//! follows ends in the world of an uncut run.
//!
//! What is called does not depend on where our own books are, so the two databases share the calls: SQLite has the odd
//! ones, PostgreSQL the even ones. `tests/harm cuts` cuts each of them on both.

use super::{Estate, LIMIT, QUEUE, counters_are_right, declare, id, is_settled, key, one, phase};
use crate::fixture::cut::{Blow, Cut, Moment, Wire};
use crate::fixture::harm::Harm;
use crate::fixture::{Database, World, both};

/// An estate of one server, and the wires on which `reconcile` reaches it and Redis.
struct Wired {
    estate: Estate,
    pool: Cut,
    redis: Cut,
}

impl Wired {
    fn of(world: &mut World) -> Self {
        let estate = Estate::of(world, 1);
        let pool = Cut::before(Wire::Postgres, estate.pools[0].port);
        let redis = Cut::before(Wire::Redis, estate.redis.port);
        world.env(&estate.pools[0].variable(), &estate.pools[0].admin_url_through(pool.port));
        world.env("RECONCILE_REDIS_URL", &estate.redis.url_through(redis.port));
        estate.declare_servers(world, "max_instances: 900");
        Self { estate, pool, redis }
    }

    /// Cuts the command at its calls on this wire, one after the other, until one run comes to its end uncut. Of those
    /// that only look, as a plan does, the first and the last are cut. Each time a new instance is prepared, and looked at
    /// when one more turn was taken and the command was given again.
    fn cut_everywhere(&self, world: &World, wire: &Cut, moment: Moment, story: &Story<'_>) {
        let mut harm = Harm::of("a call is cut", u32::MAX);
        let is_long = harm.is_long();
        let share = usize::from(world.database() == Database::Sqlite);
        let is_ours = |call: usize| is_long || call % 2 == share;
        (story.prepare)(0);
        wire.count();
        world.run(&["--plan"]).expect_code(0);
        let looks = wire.requests();
        let calls = (1..=200).filter(|call| *call == 1 || *call >= looks).filter(|call| is_ours(*call));
        for call in calls {
            if !harm.again() {
                return;
            }
            let number = u32::try_from(call).unwrap();
            (story.prepare)(number);
            let command = (story.command)(number);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            wire.arm(call, moment, Blow::Kill);
            let program = world.spawn(&command);
            wire.victim(&program);
            let output = program.finish(LIMIT);
            let fell = wire.fell();
            assert_eq!(output.code, if fell { 128 + 9 } else { 0 }, "{moment:?} call {call}: {}", output.text());
            wire.count();
            // That a dead holder is waited for has its own tests.
            world.sql("UPDATE reconcile_lease SET holder = NULL");
            let turn = world.run(TURN);
            assert_eq!(turn.code, 0, "after a cut {moment:?} call {call}: {}", turn.text());
            if command != TURN {
                let again = world.run(&command);
                assert_eq!(again.code, 0, "after a cut {moment:?} call {call}: {}", again.text());
            }
            (story.look)(number);
            counters_are_right(world);
            is_settled(world);
            if !fell {
                assert!(call > story.least, "{} calls alone", call - 1);
                return;
            }
        }
        panic!("there is no end of calls");
    }

    /// The one task of the instance lies in the queue, under the id that is recorded, and nothing else is left.
    fn is_dispatched(&self, world: &World, number: u32) {
        assert_eq!(phase(world, number), "provisioning");
        self.estate.is_allocated(world, number);
        let messages = self.estate.messages();
        let of_this: Vec<_> = messages.iter().filter(|(_, body)| body[0][0] == id(number).as_str()).collect();
        let task =
            one(world, &format!("SELECT task_id FROM reconcile_allocations WHERE instance_id = '{}'", id(number)));
        assert_eq!(of_this.len(), 1);
        assert_eq!(of_this[0].0["headers"]["id"], task.as_str());
        let keys = self.estate.redis.keys();
        let left: Vec<&String> = keys.iter().filter(|key| *key != QUEUE && !key.contains(&task)).collect();
        assert!(!left.contains(&&key(number)), "{left:?}");
        // The mark of the task stays, for whoever is late; but not for ever.
        let mark = keys.iter().find(|key| key.contains(&task)).expect("the mark of its task");
        assert!(self.estate.redis.ask::<i64>(&["TTL", mark]) > 0, "it would stay for ever");
    }
}

const TURN: &[&str] = &["--once"];

/// What is cut.
struct Story<'a> {
    prepare: &'a dyn Fn(u32),
    /// What is cut, and then given again.
    command: &'a dyn Fn(u32) -> Vec<String>,
    look: &'a dyn Fn(u32),
    /// It makes more calls than this.
    least: usize,
}

fn turn(_: u32) -> Vec<String> {
    vec!["--once".to_owned()]
}

fn provision(number: u32) -> Vec<String> {
    vec!["instance".to_owned(), "provision".to_owned(), id(number)]
}

/// From nothing to the task in its queue.
fn allocation(world: &World, wired: &Wired, wire: &Cut, moment: Moment) {
    let prepare = |number| {
        declare(world, [number], "provision: at_once");
        // As at the first use of the server.
        wired.estate.pools[0].psql("postgres", "DROP ROLE IF EXISTS reconcile_pool");
    };
    let look = |number| wired.is_dispatched(world, number);
    let least = if wire.port == wired.pool.port { 12 } else { 4 };
    wired.cut_everywhere(world, wire, moment, &Story { prepare: &prepare, command: &turn, look: &look, least });
}

/// The credentials are gone when the instance is released, so that a new password is made.
fn release(world: &World, wired: &Wired, wire: &Cut, moment: Moment) {
    let prepare = |number| {
        declare(world, [number], "");
        world.run(TURN).expect_code(0);
        let _: () = wired.estate.redis.ask(&["DEL", &key(number)]);
    };
    let look = |number| wired.is_dispatched(world, number);
    wired.cut_everywhere(world, wire, moment, &Story { prepare: &prepare, command: &provision, look: &look, least: 4 });
}

/// A new password.
fn rotation(world: &World, wired: &Wired, wire: &Cut, moment: Moment) {
    let prepare = |number| {
        declare(world, [number], "");
        world.run(TURN).expect_code(0);
        declare(world, [number], "credentials_rotation: 2");
    };
    let look = |number| {
        wired.estate.is_allocated(world, number);
        let count =
            format!("SELECT credentials_rotation FROM reconcile_allocations WHERE instance_id = '{}'", id(number));
        assert_eq!(one(world, &count), "2");
        // Nobody asks for the credentials of those that are ready, so that each run makes as many calls as the last.
        world.sql("UPDATE instances SET provisioning_status = 'ready'");
    };
    wired.cut_everywhere(world, wire, moment, &Story { prepare: &prepare, command: &turn, look: &look, least: 2 });
}

both! {
    fn before_the_server_sees_what_an_allocation_asks(world) {
        let wired = Wired::of(world);
        allocation(world, &wired, &wired.pool, Moment::Before);
    }

    fn after_the_server_has_done_what_an_allocation_asks(world) {
        let wired = Wired::of(world);
        allocation(world, &wired, &wired.pool, Moment::After);
    }

    fn before_redis_sees_what_an_allocation_asks(world) {
        let wired = Wired::of(world);
        allocation(world, &wired, &wired.redis, Moment::Before);
    }

    fn after_redis_has_done_what_an_allocation_asks(world) {
        let wired = Wired::of(world);
        allocation(world, &wired, &wired.redis, Moment::After);
    }

    fn before_redis_sees_what_a_release_asks(world) {
        let wired = Wired::of(world);
        release(world, &wired, &wired.redis, Moment::Before);
    }

    fn after_redis_has_done_what_a_release_asks(world) {
        let wired = Wired::of(world);
        release(world, &wired, &wired.redis, Moment::After);
    }

    fn before_the_server_sees_what_a_release_asks(world) {
        let wired = Wired::of(world);
        release(world, &wired, &wired.pool, Moment::Before);
    }

    fn after_the_server_has_done_what_a_release_asks(world) {
        let wired = Wired::of(world);
        release(world, &wired, &wired.pool, Moment::After);
    }

    fn before_the_server_sees_what_a_rotation_asks(world) {
        let wired = Wired::of(world);
        rotation(world, &wired, &wired.pool, Moment::Before);
    }

    fn after_the_server_has_done_what_a_rotation_asks(world) {
        let wired = Wired::of(world);
        rotation(world, &wired, &wired.pool, Moment::After);
    }

    fn before_redis_sees_what_a_rotation_asks(world) {
        let wired = Wired::of(world);
        rotation(world, &wired, &wired.redis, Moment::Before);
    }

    fn after_redis_has_done_what_a_rotation_asks(world) {
        let wired = Wired::of(world);
        rotation(world, &wired, &wired.redis, Moment::After);
    }
}
