//! Power cuts of commands by hand: whatever the moment, a GUID that opens a session can be claimed, or is replaced.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::{
    LIMIT, begin, break_down, eventually, is_as_if_nothing_had_happened, mend, one, opens, rotates_to_a_good_guid,
};
use crate::fixture::{Database, World, both};

/// Keeps a transaction open beside the test until [`release`], at most for half a minute.
fn hold(world: &World, statements: &str) {
    let waiting = "for _ in $(seq 1500); do [ -e release ] && break; sleep 0.02; done; echo 'ROLLBACK;'";
    let (client, shell) = match world.database() {
        Database::Sqlite => ("sqlite3 -bail .reconcile/KSESSIONS_DEV.db".to_owned(), ".shell touch held"),
        Database::Postgres => (format!("psql --set=ON_ERROR_STOP=1 '{}'", world.url()), r"\! touch held"),
    };
    world.write("held.sql", &format!("{statements}\n{shell}\n"));
    world.sh(&format!("(cat held.sql; {waiting}; touch released) | {client} >holder 2>&1 &"));
    eventually(|| world.path().join("held").exists());
}

fn release(world: &World) {
    world.write("release", "");
    eventually(|| world.path().join("released").exists());
}

/// The entries that wait in the hand-off.
fn sealed(world: &World) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(world.path().join(".reconcile/handoff")) else { return Vec::new() };
    let paths = files.map(|file| file.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "sealed")).collect()
}

fn swap(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(&aside, other).unwrap();
}

both! {
    fn killed_between_the_hand_off_and_the_record(world) {
        world.env("RECONCILE_LEASE", "1s");
        begin(world);
        hold(world, match world.database() {
            Database::Sqlite => "BEGIN IMMEDIATE;",
            Database::Postgres => "BEGIN; LOCK TABLE canvas.host_sessions IN EXCLUSIVE MODE;",
        });
        let maker = world.spawn(&["host", "create", "--session-id", "215"]);
        eventually(|| sealed(world).len() == 1);
        maker.signal(Signal::KILL);
        let killed = maker.finish(LIMIT);
        assert!(killed.code == 128 + 9 && killed.stdout.is_empty(), "{}", killed.text());
        release(world);
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions"), "0");
        is_as_if_nothing_had_happened(world);
    }

    fn force_new_puts_the_old_row_aside_only_together_with_the_new_one(world) {
        begin(world);
        world.run(&["--once"]).expect_code(0);
        let old = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        break_down(world, "INSERT", "host_sessions", "NEW.session_id = 215");
        let failed = world.run(&["host", "create", "--session-id", "215", "--force-new"]).expect_code(1);
        assert!(failed.stdout.is_empty() && failed.stderr.contains("PROVISIONER-ERROR: host/215"), "{}", failed.text());
        assert!(opens(world, "215", &old), "the old GUID holds for as long as there is no new one");
        mend(world, "host_sessions");
        let new = world.run(&["host", "create", "--session-id", "215", "--force-new"]).expect_code(0).stdout;
        assert!(!opens(world, "215", &old) && opens(world, "215", &new));
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE session_id = 215"), "2");
    }

    fn a_hand_off_that_was_changed_shows_no_guid(world) {
        begin(world);
        world.run(&["--once"]).expect_code(0);
        let [first, second] = <[PathBuf; 2]>::try_from(sealed(world)).expect("two that wait");
        swap(&first, &second);
        for session in ["215", "216"] {
            let refused = world.run(&["host", "claim", session]).expect_code(1);
            assert!(refused.stdout.is_empty() && refused.stderr.contains("belongs under another name"), "{}", refused.text());
        }
        swap(&first, &second);
        is_as_if_nothing_had_happened(world);
    }

    fn a_guid_that_the_database_does_not_know_is_not_handed_over(world) {
        begin(world);
        world.run(&["--once"]).expect_code(0);
        let hash = one(world, "SELECT host_guid_hash FROM host_sessions WHERE session_id = 215");
        world.sql("UPDATE host_sessions SET host_guid_hash = 'another' WHERE session_id = 215");
        let refused = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("holds another GUID"), "{}", refused.text());
        world.sql(&format!("UPDATE host_sessions SET host_guid_hash = '{hash}' WHERE session_id = 215"));
        is_as_if_nothing_had_happened(world);
    }

    fn a_machine_without_the_hand_off_says_that_the_guid_is_not_there(world) {
        begin(world);
        world.run(&["--once"]).expect_code(0);
        fs::remove_dir_all(world.path().join(".reconcile/handoff")).unwrap();
        let lost = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(lost.stdout.is_empty() && lost.stderr.contains("is unknown from here"), "{}", lost.text());
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(0).stdout;
        assert_eq!(plan.matches("unknown from here").count(), 1, "{plan}");
        rotates_to_a_good_guid(world, "215");
    }
}

#[test]
fn killed_between_taking_a_guid_and_the_record_of_it() {
    let world = World::on(Database::Postgres);
    begin(&world);
    world.run(&["--once"]).expect_code(0);
    // The commit itself waits for a lock that somebody holds; the GUID is taken by then.
    world.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON reconcile_handoffs DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    hold(&world, "BEGIN; SELECT pg_advisory_xact_lock(7);");
    let claim = world.spawn(&["host", "claim", "215"]);
    eventually(|| sealed(&world).len() == 1);
    let waits = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually(|| one(&world, waits) == "1");
    claim.signal(Signal::KILL);
    assert_eq!(claim.finish(LIMIT).stdout, "");
    // The server sees that its client is gone only when it has something to say: this is the cut before the commit.
    world.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    release(&world);
    world.sql("DROP FUNCTION slow CASCADE");
    assert_eq!(one(&world, "SELECT COUNT(*) FROM reconcile_handoffs WHERE claimed_at IS NOT NULL"), "0");
    let lost = world.run(&["host", "claim", "215"]).expect_code(1);
    assert!(lost.stderr.contains("or a claim was cut short"), "{}", lost.text());
    let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(5).stdout;
    assert!(plan.contains("> host/215") && !plan.contains("host/216"), "{plan}");
    world.run(&["--once"]).expect_code(0);
    let guid = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
    assert!(opens(&world, "215", &guid), "what was lost is made anew");
    rotates_to_a_good_guid(&world, "215");
}
