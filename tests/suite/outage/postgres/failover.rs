//! Another server behind the same address: taken for the same database where it is, and refused where it is not.

use std::time::Duration;

use crate::daemon::{LATE, end, sessions, settle};
use crate::fixture::cut::{Cut, Wire};
use crate::fixture::{Database, Postgres, World};
use crate::outage::{Watched, journal, short};

#[test]
fn a_standby_that_is_promoted_is_the_same_database() {
    let mut world = World::on(Database::Postgres);
    short(&mut world);
    let wire = Cut::before(Wire::Postgres, world.server().unwrap().port);
    let url = world.url_through(wire.port);
    world.env("RECONCILE_DATABASE_URL", &url);
    let mut watched = Watched::start(&world);
    let standby = world.server().unwrap().standby();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    watched.catches_up(&world, &["Uno"]);
    caught_up(&mut world, &standby);

    // First nobody is there, then one who only reads, then the same who writes.
    world.server().unwrap().stop();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno"), (2, "Due")]));
    watched.daemon.wait_for("cannot connect to", LATE);
    wire.lead_to(standby.port);
    watched.daemon.wait_for("read-only transaction", LATE);
    watched.endures(Duration::from_secs(3));
    standby.promote();
    world.replace(standby);
    watched.catches_up(&world, &["Uno", "Due"]);
    assert_eq!(journal(&world), "create|1\nupdate|1\ncreate|2\n");
    watched.end();
}

/// Waits until the standby has all that its server has committed.
fn caught_up(world: &mut World, standby: &Postgres) {
    let at = world.server().unwrap().psql("postgres", "SELECT pg_current_wal_lsn()::text");
    let query = format!("SELECT (pg_last_wal_replay_lsn() >= '{}')::text", at.trim());
    settle(LATE, &"true\n".to_owned(), || standby.psql("postgres", &query));
}

#[test]
fn another_database_of_the_same_name_is_refused_until_the_right_one_is_back() {
    let mut world = World::on(Database::Postgres);
    let mut other = World::with(Postgres::start_as(1));
    other.run(&["migrate"]).expect_code(0);
    // The login is the same on both, so that nothing but the database itself tells them apart.
    for world in [&world, &other] {
        world.sql("CREATE ROLE applier SUPERUSER LOGIN PASSWORD 'the same'");
    }
    short(&mut world);
    let wire = Cut::before(Wire::Postgres, world.server().unwrap().port);
    world
        .env("RECONCILE_DATABASE_URL", &format!("postgres://applier:the%20same@127.0.0.1:{}/KSESSIONS_DEV", wire.port));
    let mut watched = Watched::start(&world);
    let before = other.sql("SELECT holder, fencing, heartbeat FROM reconcile_lease");

    wire.lead_to(other.server().unwrap().port);
    world.server().unwrap().guest("KSESSIONS_DEV").put_out();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    watched.daemon.wait_for("another database has taken the place", LATE);
    watched.endures(Duration::from_secs(4));
    assert_eq!(other.sql("SELECT count(*) FROM sessions"), "0\n");
    assert_eq!(other.sql("SELECT holder, fencing, heartbeat FROM reconcile_lease"), before);

    let right = world.server().unwrap().port;
    wire.lead_to(right);
    other.server().unwrap().guest("KSESSIONS_DEV").put_out();
    watched.catches_up(&world, &["Uno"]);
    assert_eq!(journal(&world), "create|1\nupdate|1\n");
    watched.end();
}

#[test]
fn two_replicas_go_on_as_one_after_an_outage() {
    let mut world = World::on(Database::Postgres);
    short(&mut world);
    world.env("RECONCILE_LEASE", "3s");
    let mut leader = Watched::start(&world);
    let mut follower = world.spawn(&["-v"]);
    follower.wait_for("following", LATE);
    world.server().unwrap().stop();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno"), (2, "Due")]));
    leader.daemon.wait_for("cannot connect to", LATE);
    // As long as a lease lasts, and longer.
    leader.endures(Duration::from_secs(4));
    world.server().unwrap().start_again();
    leader.catches_up(&world, &["Uno", "Due"]);
    let one = |name: &str| journal(&world).lines().filter(|line| line.ends_with(name)).count();
    assert_eq!((one("|1"), one("|2")), (2, 1), "{}", journal(&world));
    assert!(follower.stderr().contains("cannot connect to"), "{}", follower.stderr());
    // Whichever of them leads now, the other can be without it.
    end(follower);
    world.sql("UPDATE sessions SET title = 'Drifted' WHERE session_id = 1");
    leader.catches_up(&world, &["Uno", "Due"]);
    leader.end();
}
