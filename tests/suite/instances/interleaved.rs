//! Instances: from nothing to the task in its queue, paused at the pool server and at Redis.

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

/// One task, with the password that is set; one place taken.
fn look(estate: &Estate, world: &World, round: u32) {
    estate.is_allocated(world, round);
    let sent = estate.dispatched(round).expect("its task");
    assert_eq!(estate.log_in(&sent), Ok(format!("{}\n", names(round).1)));
    let numbers =
        format!("SELECT passwords, dispatches FROM reconcile_allocations WHERE db_name = '{}'", names(round).0);
    assert_eq!(one(world, &numbers), "1|1", "one password was recorded, and one task");
}

fn paused(database: Database, kind: Wire) {
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
        most: 5,
        prepare: &|round| declare(world, [round], "provision: at_once"),
        is_done: &|round| phase(world, round) == "provisioning",
        picture: &|round| format!("{}{}", rows(world), outside(&estate, round)),
        look: &|round| look(&estate, world, round),
    };
    let done = story.tell();
    assert!(done >= 2, "taken over {done} times alone");
}

#[test]
fn a_replica_that_is_paused_at_a_pool_server_writes_nothing_when_it_wakes_with_postgres() {
    paused(Database::Postgres, Wire::Postgres);
}

#[test]
fn a_replica_that_is_paused_at_a_pool_server_writes_nothing_when_it_wakes_with_sqlite() {
    paused(Database::Sqlite, Wire::Postgres);
}

#[test]
fn a_replica_that_is_paused_at_redis_writes_nothing_when_it_wakes_with_postgres() {
    paused(Database::Postgres, Wire::Redis);
}

#[test]
fn a_replica_that_is_paused_at_redis_writes_nothing_when_it_wakes_with_sqlite() {
    paused(Database::Sqlite, Wire::Redis);
}
