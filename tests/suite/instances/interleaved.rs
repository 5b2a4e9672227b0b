//! Instances: from nothing to the task in its queue, or to credentials that wait, paused at the pool server and at Redis.

use super::{Estate, declare, names, one, phase};
use crate::fixture::cut::{Cut, Wire};
use crate::fixture::{Database, World};
use crate::interleaved::{Story, begun};

/// All that is not the database's own: the role with its mark and password, what waits, and what was sent.
fn outside(estate: &Estate, number: u32) -> String {
    let (_, role) = names(number);
    let of_it =
        format!("SELECT rolpassword, shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname = '{role}'");
    let (waits, messages) = (estate.credentials(number), estate.messages());
    format!("{}{waits:?}{messages:?}{}", estate.pools[0].psql("postgres", &of_it), estate.inventory())
}

fn rows(world: &World) -> String {
    world.sql("SELECT id, status, provisioning_status FROM instances ORDER BY 1")
        + &world.sql("SELECT db_name, passwords, dispatches, task_id FROM reconcile_allocations ORDER BY 1")
        + &world.sql("SELECT name, current_instances FROM db_servers ORDER BY 1")
        + &world.sql("SELECT kind, name, action, after FROM reconcile_journal ORDER BY 1, 2, 3, 4")
}

/// How far an instance is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Its credentials wait for their reader.
    Allocated,
    /// Its task is in the queue, and the credentials in it.
    Dispatched,
}

impl Goal {
    fn declare(self, world: &World, number: u32) {
        // Nobody asks for the credentials of those that are ready, so that each turn makes as many requests as the last.
        world.sql("UPDATE instances SET provisioning_status = 'ready'");
        declare(world, [number], if self == Goal::Dispatched { "provision: at_once" } else { "" });
    }

    fn is_reached(self, world: &World, number: u32) -> bool {
        phase(world, number) == if self == Goal::Dispatched { "provisioning" } else { "allocated" }
    }

    /// One password was recorded and one task at most, one place is taken, and whoever reads the credentials can log in.
    fn look(self, estate: &Estate, world: &World, number: u32) {
        estate.is_allocated(world, number);
        let (waits, sent) = (estate.credentials(number), estate.dispatched(number));
        let tasks = u8::from(self == Goal::Dispatched);
        assert_eq!((waits.is_some(), u8::from(sent.is_some())), (tasks == 0, tasks));
        let numbers =
            format!("SELECT passwords, dispatches FROM reconcile_allocations WHERE db_name = '{}'", names(number).0);
        assert_eq!(one(world, &numbers), format!("1|{tasks}"));
    }
}

fn paused(database: Database, kind: Wire, goal: Goal, most: usize) {
    let mut world = begun(database);
    let estate = Estate::of(&mut world, 1);
    let port = if kind == Wire::Redis { estate.redis.port } else { estate.pools[0].port };
    let wire = Cut::before(kind, port);
    match kind {
        Wire::Redis => world.env("RECONCILE_REDIS_URL", &estate.redis.url_through(wire.port)),
        Wire::Postgres => world.env(&estate.pools[0].variable(), &estate.pools[0].admin_url_through(wire.port)),
    };
    estate.declare_servers(&world, "max_instances: 900");
    let world = &world;
    let story = Story {
        world,
        wire: &wire,
        most,
        prepare: &|round| goal.declare(world, round),
        is_done: &|round| goal.is_reached(world, round),
        picture: &|round| format!("{}{}", rows(world), outside(&estate, round)),
        look: &|round| goal.look(&estate, world, round),
    };
    let done = story.tell();
    assert!(done >= 2, "taken over {done} times alone");
}

#[test]
fn a_replica_that_is_paused_at_a_pool_server_writes_nothing_when_it_wakes_with_postgres() {
    paused(Database::Postgres, Wire::Postgres, Goal::Dispatched, 4);
}

#[test]
fn a_replica_that_is_paused_at_a_pool_server_writes_nothing_when_it_wakes_with_sqlite() {
    paused(Database::Sqlite, Wire::Postgres, Goal::Dispatched, 4);
}

#[test]
fn a_replica_that_is_paused_at_its_dispatch_writes_nothing_when_it_wakes_with_postgres() {
    paused(Database::Postgres, Wire::Redis, Goal::Dispatched, 4);
}

#[test]
fn a_replica_that_is_paused_at_its_dispatch_writes_nothing_when_it_wakes_with_sqlite() {
    paused(Database::Sqlite, Wire::Redis, Goal::Dispatched, 4);
}

#[test]
fn credentials_that_wait_are_those_of_the_other_when_a_paused_one_wakes_with_postgres() {
    paused(Database::Postgres, Wire::Redis, Goal::Allocated, usize::MAX);
}

#[test]
fn credentials_that_wait_are_those_of_the_other_when_a_paused_one_wakes_with_sqlite() {
    paused(Database::Sqlite, Wire::Redis, Goal::Allocated, usize::MAX);
}
