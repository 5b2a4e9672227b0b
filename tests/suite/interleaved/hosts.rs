//! Sessions and hosts: a title that changes and a GUID that is rotated, in one turn.

use super::{Story, begun, one};
use crate::fixture::cut::{Cut, Wire};
use crate::fixture::redis::Redis;
use crate::fixture::{Database, World};

/// Every round asks for another title and another GUID.
fn prepare(world: &World, round: u32) {
    world.write(
        "desired-state/week.yaml",
        &format!(
            "sessions: [{{id: 215, title: \"Round {round}\"}}]\nhosts: [{{session: 215, rotation: {}}}]\n",
            round + 1
        ),
    );
}

fn is_done(world: &World, round: u32) -> bool {
    let rotated = format!("SELECT COUNT(*) FROM host_sessions WHERE rotation = {}", round + 1);
    one(world, &rotated) == "1" && one(world, "SELECT title FROM sessions") == format!("Round {round}")
}

/// The rows that a turn writes. Beside them only the lease and the note of the last turn may move.
fn rows(world: &World) -> String {
    world.sql("SELECT session_id, title, status FROM sessions")
        + &world.sql("SELECT rotation, generation, host_guid_hash, is_active, attempt FROM host_sessions ORDER BY 2")
        + &world.sql("SELECT COUNT(*), MAX(name) FROM reconcile_handoffs")
        + &world.sql("SELECT kind, name, action, after FROM reconcile_journal ORDER BY 1, 2, 3, 4")
}

/// One active GUID, the one that waits, which opens the session; and as many as there were rounds.
fn look(world: &World, round: u32) {
    assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE is_active"), "1");
    let rotated = round + 1;
    assert_eq!(one(world, "SELECT rotation, generation FROM host_sessions"), format!("{rotated}|{rotated}"));
    let guid = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
    world.run_with(&["host", "verify", "--session-id", "215"], &guid).expect_code(0);
}

fn tell(world: &World, wire: &Cut, most: usize, picture: &dyn Fn(u32) -> String) -> usize {
    let story = Story {
        world,
        wire,
        most,
        prepare: &|round| prepare(world, round),
        is_done: &|round| is_done(world, round),
        picture,
        look: &|round| {
            // Once for each round: a GUID is claimed by one reader.
            if one(world, "SELECT COUNT(*) FROM reconcile_handoffs WHERE claimed_at IS NULL") == "1" {
                look(world, round);
            }
        },
    };
    story.tell()
}

#[test]
fn a_replica_that_is_paused_at_its_database_writes_nothing_when_it_wakes_with_postgres() {
    let mut world = begun(Database::Postgres);
    let server = world.server().expect("a server");
    let wire = Cut::before(Wire::Postgres, server.port);
    let direct = format!("127.0.0.1:{}/", server.port);
    world.run(&["migrate"]).expect_code(0);
    let through = world.url().replace(&direct, &format!("127.0.0.1:{}/", wire.port));
    world.env("RECONCILE_DATABASE_URL", &through);
    let done = tell(&world, &wire, 8, &|_| rows(&world));
    assert!(done >= 2, "taken over {done} times alone");
}

fn paused_at_redis(database: Database) {
    let mut world = begun(database);
    let redis = Redis::start();
    let wire = Cut::before(Wire::Redis, redis.port);
    world.env("RECONCILE_REDIS_URL", &redis.url_through(wire.port));
    world.run(&["migrate"]).expect_code(0);
    let picture = |_| {
        // A GUID that was handed off late lies under a name of its own: no row knows it, and it expires.
        let attempt = one(&world, "SELECT attempt FROM host_sessions");
        let waits: Option<String> = redis.ask(&["GET", &format!("host:215:{attempt}")]);
        let ends = redis.keys().iter().all(|key| redis.ask::<i64>(&["TTL", key]) > 0);
        format!("{}{waits:?}{ends}", rows(&world))
    };
    let done = tell(&world, &wire, usize::MAX, &picture);
    assert!(done >= 2, "taken over {done} times alone");
}

#[test]
fn a_replica_that_is_paused_at_its_hand_off_writes_nothing_when_it_wakes_with_postgres() {
    paused_at_redis(Database::Postgres);
}

#[test]
fn a_replica_that_is_paused_at_its_hand_off_writes_nothing_when_it_wakes_with_sqlite() {
    paused_at_redis(Database::Sqlite);
}
