//! A Redis that is away, or takes nothing: what needs it waits, and nothing else does.

use std::time::Duration;

use super::{CAUGHT_UP, Watched, short};
use crate::daemon::{LATE, sessions, settle};
use crate::fixture::redis::Redis;
use crate::fixture::{Database, World};

/// Declares the one session, under this title, and its host in this rotation.
fn declare(world: &World, title: &str, rotation: u32) {
    let week = sessions(&[(1, title)]).replace("title: ", "status: active\n    title: ");
    world.write("desired-state/a.yaml", &format!("{week}hosts: [{{session: 1, rotation: {rotation}}}]\n"));
}

fn rotation(world: &World) -> String {
    world.sql("SELECT rotation FROM host_sessions").trim().to_owned()
}

/// The GUID that waits is taken, and opens the session.
#[track_caller]
fn opens(world: &World) {
    let guid = world.run(&["host", "claim", "1"]).expect_code(0).stdout;
    world.run_with(&["host", "verify", "--session-id", "1"], &guid).expect_code(0);
}

/// A world with a host whose GUID was taken, and its daemon.
fn begin() -> (World, Redis, Watched) {
    let mut world = World::on(Database::Sqlite);
    let redis = Redis::start();
    world.env("RECONCILE_REDIS_URL", &redis.url()).env("RECONCILE_REDIS_TIMEOUT", "1s");
    short(&mut world);
    declare(&world, "One", 1);
    let watched = Watched::start(&world);
    settle(LATE, &"1".to_owned(), || rotation(&world));
    opens(&world);
    (world, redis, watched)
}

/// A rotation waits while Redis is in trouble, and is carried out once when it is over.
#[track_caller]
fn waits_out(harm: impl FnOnce(&mut Redis), mend: impl FnOnce(&mut Redis)) {
    let (world, mut redis, watched) = begin();
    harm(&mut redis);
    declare(&world, "Uno", 2);
    // What does not need it goes on.
    watched.catches_up(&world, &["Uno"]);
    watched.endures(Duration::from_secs(4));
    assert_eq!(rotation(&world), "1");
    mend(&mut redis);
    settle(CAUGHT_UP, &"2".to_owned(), || rotation(&world));
    opens(&world);
    let done = world.sql("SELECT action FROM reconcile_journal WHERE kind = 'host' ORDER BY journal_id");
    assert_eq!(done.matches("rotate").count(), 1, "{done}");
    watched.end();
}

fn tell(redis: &Redis, words: &[&str]) {
    let answer: String = redis.ask(words);
    assert_eq!(answer, "OK", "{words:?}");
}

#[test]
fn one_that_is_down_and_comes_back_empty_is_waited_for() {
    waits_out(Redis::stop, Redis::start_again);
}

#[test]
fn one_that_takes_connections_and_does_not_answer_is_waited_for() {
    waits_out(|redis| redis.freeze(), |redis| redis.wake());
}

#[test]
fn one_that_follows_another_and_only_reads_is_waited_for() {
    // Of nobody: it keeps what it has, and takes nothing.
    let alone = |redis: &mut Redis| tell(redis, &["REPLICAOF", "127.0.0.1", "1"]);
    waits_out(alone, |redis| tell(redis, &["REPLICAOF", "NO", "ONE"]));
}

#[test]
fn one_whose_replicas_are_gone_is_waited_for() {
    let replicas = |redis: &Redis, count: &str| tell(redis, &["CONFIG", "SET", "min-replicas-to-write", count]);
    waits_out(|redis| replicas(redis, "1"), |redis| replicas(redis, "0"));
}

#[test]
fn one_without_memory_is_waited_for() {
    let memory = |redis: &Redis, most: &str| tell(redis, &["CONFIG", "SET", "maxmemory", most]);
    waits_out(|redis| memory(redis, "1"), |redis| memory(redis, "0"));
}

#[test]
fn a_secret_that_redis_has_lost_is_told_of_and_made_anew_when_it_is_asked_for() {
    let (world, mut redis, mut watched) = begin();
    declare(&world, "One", 2);
    settle(CAUGHT_UP, &"2".to_owned(), || rotation(&world));
    redis.start_again();
    watched.daemon.wait_for("before anybody claimed it", LATE);
    declare(&world, "One", 3);
    settle(CAUGHT_UP, &"3".to_owned(), || rotation(&world));
    opens(&world);
    watched.end();
}
