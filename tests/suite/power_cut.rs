//! Power cuts: each outside call of a host is cut before and after, and the next turn ends in the world of an uncut run.

use std::fs;
use std::time::Duration;

use crate::fixture::{Database, World, both};
use rustix::process::Signal;

mod by_hand;

const WEEK: &str =
    "sessions: [{id: 215, title: Al-Fatiha}, {id: 216, title: Al-Baqara}]\nhosts: [{session: 215}, {session: 216}]\n";
const LIMIT: Duration = Duration::from_secs(30);

fn one(world: &World, query: &str) -> String {
    world.sql(query).trim().to_owned()
}

fn begin(world: &World) {
    world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al-Fatiha}, {id: 216, title: Al-Baqara}]\n");
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
    world.write("desired-state/week.yaml", WEEK);
}

/// From now on the database fails whenever `event` befalls `table`, for the session 215 alone.
fn break_down(world: &World, event: &str, table: &str, condition: &str) {
    world.sql(&match world.database() {
        Database::Sqlite => format!(
            "CREATE TRIGGER broken BEFORE {event} ON {table} WHEN {condition}
             BEGIN SELECT RAISE(ABORT, 'the power was cut'); END"
        ),
        Database::Postgres => format!(
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'the power was cut'; END $$;
             CREATE TRIGGER broken BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION broken()"
        ),
    });
}

fn mend(world: &World, table: &str) {
    world.sql(&match world.database() {
        Database::Sqlite => "DROP TRIGGER broken".to_owned(),
        Database::Postgres => format!("DROP TRIGGER broken ON {table}; DROP FUNCTION broken()"),
    });
}

/// From now on no transaction that has touched `table` for the session 215 can be committed.
fn break_commits(world: &World, event: &str, table: &str, condition: &str) {
    world.sql(&match world.database() {
        Database::Sqlite => format!(
            "CREATE TABLE nobody (id INTEGER PRIMARY KEY);
             CREATE TABLE orphans (id INTEGER REFERENCES nobody (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER broken AFTER {event} ON {table} WHEN {condition}
             BEGIN INSERT INTO orphans VALUES (1); END"
        ),
        Database::Postgres => format!(
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'the power was cut'; END $$;
             CREATE CONSTRAINT TRIGGER broken AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION broken()"
        ),
    });
}

/// What an uncut run leaves: one active row for each session, whose claimed GUID opens it, and an empty plan.
fn is_as_if_nothing_had_happened(world: &World) {
    world.run(&["--once"]).expect_code(0);
    for session in ["215", "216"] {
        let rows =
            format!("SELECT COUNT(*), SUM(generation) FROM host_sessions WHERE session_id = {session} AND is_active");
        assert_eq!(one(world, &rows), "1|1");
        let guid = world.run(&["host", "claim", session]).expect_code(0).stdout;
        world.run_with(&["host", "verify", "--session-id", session], &guid).expect_code(0);
    }
    let created = "SELECT COUNT(*) FROM reconcile_journal WHERE kind = 'host' AND action = 'create'";
    assert_eq!(one(world, created), "2");
    let plan = world.run(&["--plan"]).expect_code(0).stdout;
    assert!(plan.contains("No changes."), "{plan}");
}

both! {
    fn before_the_hand_off(world) {
        begin(world);
        // A file stands where the directory of the hand-off should be.
        let shelf = world.path().join(".reconcile/handoff");
        fs::create_dir_all(shelf.parent().unwrap()).unwrap();
        drop(fs::remove_dir_all(&shelf));
        fs::write(&shelf, "in the way").unwrap();
        // It is seen while planning, and blocks what needs it.
        let blocked = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(blocked.contains("! host/215") && blocked.contains("the hand-off cannot"), "{blocked}");
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions"), "0");
        fs::remove_file(&shelf).unwrap();
        is_as_if_nothing_had_happened(world);
    }

    fn between_the_hand_off_and_the_record(world) {
        begin(world);
        break_down(world, "INSERT", "host_sessions", "NEW.session_id = 215");
        let failed = world.run(&["--once"]).expect_code(1);
        assert!(failed.stderr.contains("host/215") && failed.stderr.contains("the power was cut"), "{}", failed.text());
        // One bad row does not stop the good one beside it.
        assert_eq!(one(world, "SELECT session_id FROM host_sessions"), "216");
        mend(world, "host_sessions");
        is_as_if_nothing_had_happened(world);
    }

    fn between_the_rows_of_one_record(world) {
        begin(world);
        break_down(world, "INSERT", "reconcile_journal", "NEW.name = '215'");
        world.run(&["--once"]).expect_code(1);
        // Neither the row nor its line: a record is whole, or not there.
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE session_id = 215"), "0");
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_handoffs WHERE name = '215'"), "0");
        mend(world, "reconcile_journal");
        is_as_if_nothing_had_happened(world);
    }

    fn when_the_record_is_committed(world) {
        begin(world);
        break_commits(world, "INSERT", "host_sessions", "NEW.session_id = 215");
        let failed = world.run(&["--once"]).expect_code(1);
        assert!(failed.stderr.contains("host/215: cannot commit"), "{}", failed.text());
        assert_eq!(one(world, "SELECT session_id FROM host_sessions"), "216", "the good one beside it stands");
        mend(world, "host_sessions");
        is_as_if_nothing_had_happened(world);
    }

    fn when_a_claim_is_committed_the_guid_is_given_back(world) {
        begin(world);
        world.run(&["--once"]).expect_code(0);
        break_commits(world, "UPDATE", "reconcile_handoffs", "NEW.name = '215'");
        let failed = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(failed.stdout.is_empty() && failed.stderr.contains("cannot commit"), "{}", failed.text());
        let status = world.run(&["status"]).expect_code(0).stdout;
        assert!(status.contains("2 secrets wait to be claimed"), "{status}");
        mend(world, "reconcile_handoffs");
        is_as_if_nothing_had_happened(world);
    }

    fn killed_at_any_moment(world) {
        world.env("RECONCILE_LEASE", "1s");
        begin(world);
        world.run(&["--once"]).expect_code(0);
        for rotation in 2..=8_u64 {
            world.write("desired-state/week.yaml", &WEEK.replace("{session: 215}", &format!("{{session: 215, rotation: {rotation}}}")));
            let applier = world.spawn(&["--once"]);
            std::thread::sleep(Duration::from_millis(rotation * rotation * 4));
            applier.signal(Signal::KILL);
            applier.finish(LIMIT);
            world.run(&["--once"]).expect_code(0);
            let rows = "SELECT COUNT(*), SUM(rotation), SUM(generation) FROM host_sessions WHERE session_id = 215 AND is_active";
            assert_eq!(one(world, rows), format!("1|{rotation}|{rotation}"), "each number is one rotation, cut or not");
            let guid = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
            world.run_with(&["host", "verify", "--session-id", "215"], &guid).expect_code(0);
        }
        let rotated = "SELECT COUNT(*) FROM reconcile_journal WHERE kind = 'host' AND action = 'rotate'";
        assert_eq!(one(world, rotated), "7");
    }

    fn during_a_rotation_the_old_guid_stays_valid(world) {
        begin(world);
        world.run(&["--once"]).expect_code(0);
        let old = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        world.write("desired-state/week.yaml", &WEEK.replace("{session: 215}", "{session: 215, rotation: 2}"));
        break_down(world, "UPDATE", "host_sessions", "NEW.generation > OLD.generation");
        world.run(&["--once"]).expect_code(1);
        world.run_with(&["host", "verify", "--session-id", "215"], &old).expect_code(0);
        mend(world, "host_sessions");
        world.run(&["--once"]).expect_code(0);
        world.run_with(&["host", "verify", "--session-id", "215"], &old).expect_code(1);
        let new = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        world.run_with(&["host", "verify", "--session-id", "215"], &new).expect_code(0);
        assert_eq!(one(world, "SELECT rotation, generation FROM host_sessions WHERE session_id = 215"), "2|2");
    }

    fn a_claim_that_cannot_be_recorded_gives_the_guid_back(world) {
        begin(world);
        world.run(&["--once"]).expect_code(0);
        break_down(world, "UPDATE", "reconcile_handoffs", "NEW.name = '215'");
        let failed = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(failed.stdout.is_empty() && failed.stderr.contains("cannot record a claim"), "{}", failed.text());
        mend(world, "reconcile_handoffs");
        let guid = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        world.run_with(&["host", "verify", "--session-id", "215"], &guid).expect_code(0);
    }
}

#[test]
fn killed_while_the_record_waits() {
    let mut world = World::on(Database::Postgres);
    begin(&world);
    // Somebody holds the table, so that the record cannot be written; the GUID is in the hand-off by then.
    let server = world.server().unwrap();
    let url = server.url("KSESSIONS_DEV");
    let hold = format!(
        "psql '{url}' -c 'BEGIN; LOCK TABLE canvas.host_sessions IN EXCLUSIVE MODE; SELECT pg_sleep(20)' >held 2>&1 &"
    );
    world.sh(&hold);
    let waits =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'reconcile'";
    let held = "SELECT COUNT(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND locktype = 'relation' AND granted";
    eventually(|| one(&world, held) == "1");
    let applier = world.spawn(&["--once"]);
    eventually(|| one(&world, waits) == "1");
    applier.signal(Signal::KILL);
    applier.finish(LIMIT);
    world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'");
    assert_eq!(one(&world, "SELECT COUNT(*) FROM host_sessions"), "0");
    world.env("RECONCILE_LEASE", "1s");
    is_as_if_nothing_had_happened(&world);
}

fn opens(world: &World, session: &str, guid: &str) -> bool {
    let output = world.run_with(&["host", "verify", "--session-id", session], guid);
    assert!(output.stdout.is_empty() && matches!(output.code, 0 | 1), "{}", output.text());
    output.code == 0
}

/// The way out of a GUID that nobody can have any more.
fn rotates_to_a_good_guid(world: &World, session: &str) {
    world.run(&["host", "rotate", "--session-id", session]).expect_code(0);
    let guid = world.run(&["host", "claim", session]).expect_code(0).stdout;
    assert!(opens(world, session, &guid));
    let plan = world.run(&["--plan"]).expect_code(0).stdout;
    assert!(!plan.contains(&format!("host/{session}")), "{plan}");
}

fn eventually(mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "it never came to that");
        std::thread::sleep(Duration::from_millis(30));
    }
}
