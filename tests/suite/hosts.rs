//! The life of a host: claimed once, verified while it holds, rotated, revoked, consolidated.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::fixture::{Database, World, both};

/// A project with these hosts for the live session 215, applied once.
fn applied(world: &World, host: &str) {
    declare(world, host);
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
}

fn declare(world: &World, host: &str) {
    let text = format!("sessions: [{{id: 215, title: Al-Fatiha, status: active}}]\nhosts: [{{session: 215{host}}}]\n");
    world.write("desired-state/week.yaml", &text);
}

fn claim(world: &World) -> String {
    world.run(&["host", "claim", "215"]).expect_code(0).stdout.trim().to_owned()
}

/// Whether the GUID opens the session; a no says nothing on stdout.
fn opens(world: &World, guid: &str) -> bool {
    let output = world.run_with(&["host", "verify", "--session-id", "215"], guid);
    assert_eq!(output.stdout, "");
    match output.code {
        0 => true,
        1 => false,
        code => panic!("exit code {code}: {}", output.text()),
    }
}

fn one(world: &World, query: &str) -> String {
    world.sql(query).trim().to_owned()
}

both! {
    fn a_guid_is_claimed_once_and_its_hash_is_what_is_stored(world) {
        applied(world, "");
        let guid = claim(world);
        let second = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(second.stdout.is_empty() && second.stderr.contains("was already claimed"), "{}", second.text());
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_journal WHERE action = 'incident'"), "1");
        // Computed here, from the key file and the GUID, as the published vectors are.
        let key = world.read(".reconcile/host.key");
        let mut mac = Hmac::<Sha256>::new_from_slice(key.trim().as_bytes()).unwrap();
        mac.update(guid.as_bytes());
        let hash = BASE64.encode(mac.finalize().into_bytes());
        assert_eq!(one(world, "SELECT host_guid_hash FROM host_sessions"), hash);
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE last_used_at IS NULL"), "1");
        assert!(opens(world, &guid));
        assert!(opens(world, &format!(" {{{}}}\n", guid.to_uppercase())));
        assert!(opens(world, &guid.replace('-', "")));
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE last_used_at IS NULL"), "0");
        for wrong in ["", "nonsense", "51179767-693b-49a1-b753-380ca3bb39f7"] {
            assert!(!opens(world, wrong));
        }
    }

    fn a_guid_opens_only_an_open_session_and_while_it_is_valid(world) {
        applied(world, "");
        let guid = claim(world);
        assert!(opens(world, &guid));
        for (damage, repair) in [
            ("sessions SET status = 'inactive'", "sessions SET status = 'active'"),
            ("sessions SET expires_at = '2020-01-01T00:00:00+00:00'", "sessions SET expires_at = NULL"),
            ("host_sessions SET expires_at = '2020-01-01T00:00:00+00:00'", "host_sessions SET expires_at = NULL"),
            ("host_sessions SET is_active = FALSE", "host_sessions SET is_active = TRUE"),
            ("host_sessions SET revoked_at = '2020-01-01T00:00:00+00:00'", "host_sessions SET revoked_at = NULL"),
        ] {
            world.sql(&format!("UPDATE {damage}"));
            assert!(!opens(world, &guid), "{damage}");
            world.sql(&format!("UPDATE {repair}"));
            assert!(opens(world, &guid), "{repair}");
        }
    }

    fn an_explicit_rotation_ends_the_old_guid_at_once_or_after_the_overlap(world) {
        applied(world, "");
        let first = claim(world);
        declare(world, ", rotation: 2, reason: Lost, rotated_by: Security Team");
        let rotated = world.run(&["--once"]).expect_code(0);
        assert!(rotated.stderr.contains("PROVISIONER-UPDATE: Host GUID rotated for Session 215 by Security Team"), "{}", rotated.text());
        assert!(!opens(world, &first));
        let second = claim(world);
        assert!(opens(world, &second));
        declare(world, ", rotation: 3, overlap: 1h");
        world.run(&["--once"]).expect_code(0);
        assert!(opens(world, &second), "it overlaps");
        let third = claim(world);
        assert!(opens(world, &second) && opens(world, &third), "a claim does not end an overlap");
        world.sql("UPDATE host_sessions SET previous_valid_until = '2020-01-01T00:00:00+00:00'");
        assert!(!opens(world, &second) && opens(world, &third));
        assert_eq!(one(world, "SELECT rotation, generation FROM host_sessions"), "3|3");
    }

    fn a_protected_host_gets_no_new_guid_by_command_and_can_be_revoked(world) {
        applied(world, ", protect: true");
        let guid = claim(world);
        for verb in ["rotate", "create"] {
            let refused = world.run(&["host", verb, "--session-id", "215"]).expect_code(1);
            assert!(refused.stderr.contains("it is protected"), "{}", refused.text());
            assert!(refused.stdout.is_empty() && opens(world, &guid), "{}", refused.text());
        }
        world.run(&["host", "revoke", "--session-id", "215"]).expect_code(0);
        assert!(!opens(world, &guid));
    }

    fn a_scheduled_rotation_keeps_the_old_guid_until_the_new_one_is_claimed(world) {
        applied(world, ", rotate_every: 30d");
        let first = claim(world);
        world.sql("UPDATE reconcile_handoffs SET minted_at = '2020-01-01T00:00:00+00:00'");
        let output = world.run(&["--once"]).expect_code(0);
        let words: Vec<&str> = output.stdout.split_whitespace().collect();
        assert!(words.join(" ").contains("scheduled, every 30d"), "{}", output.text());
        assert_eq!(one(world, "SELECT rotation, generation FROM host_sessions"), "1|2");
        assert!(opens(world, &first));
        let second = claim(world);
        assert!(!opens(world, &first) && opens(world, &second));
    }

    fn an_unclaimed_guid_is_reported_when_its_time_is_over(world) {
        world.env("RECONCILE_HOST_CLAIM_LIFE", "1s");
        applied(world, "");
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("! host/215") && plan.contains("before anybody claimed it"), "{plan}");
        let gone = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(gone.stderr.contains("it expired unclaimed") && gone.stderr.contains("raise rotation"), "{}", gone.text());
        world.env("RECONCILE_HOST_CLAIM_LIFE", "1h");
        world.run(&["host", "rotate", "--session-id", "215"]).expect_code(0);
        assert!(opens(world, &claim(world)));
    }

    fn revocation_is_sticky_and_ends_the_overlap_too(world) {
        applied(world, ", active: true");
        let first = claim(world);
        declare(world, ", active: true, rotation: 2, overlap: 1h");
        world.run(&["--once"]).expect_code(0);
        let second = claim(world);
        world.run(&["host", "revoke", "--session-id", "215", "--revoked-by", "Amina", "--reason", "Leaked"]).expect_code(0);
        assert!(!opens(world, &first) && !opens(world, &second));
        let history = world.run(&["history", "host/215"]).expect_code(0).stdout;
        assert!(history.contains("revoke  host/215  revoked_by none -> Amina, by Amina") && history.contains("(manual)"), "{history}");
        assert!(history.contains("Leaked"), "{history}");
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(plan.contains("revoked by Amina") && plan.contains("sticky"), "{plan}");
        world.run(&["host", "revoke", "--session-id", "215"]).expect_code(0);
        world.run(&["host", "claim", "215"]).expect_code(1);
        declare(world, ", active: true, rotation: 3, overlap: 1h");
        world.run(&["--once"]).expect_code(0);
        assert!(!opens(world, &second), "what was revoked never comes back");
        assert!(opens(world, &claim(world)));
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE revoked_at IS NULL AND revoked_by IS NULL"), "1");
    }

    fn the_schedule_and_commands_raise_only_the_generation(world) {
        applied(world, ", rotation: 4");
        world.run(&["host", "rotate", "--session-id", "215"]).expect_code(0);
        world.run(&["host", "create", "--session-id", "215"]).expect_code(0);
        world.run(&["host", "create", "--session-id", "215", "--force-new"]).expect_code(0);
        assert_eq!(one(world, "SELECT rotation, generation FROM host_sessions WHERE is_active"), "4|4");
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("No changes."), "{plan}");
    }

    fn by_hand_the_console_tool_speaks_as_it_always_did(world) {
        applied(world, "");
        let dry = world.run(&["host", "create", "--session-id", "215", "--dry-run"]).expect_code(0);
        assert!(dry.stdout.contains("catalog KSESSIONS_DEV") && dry.stdout.contains("Dry run: nothing was changed"), "{}", dry.text());
        assert_eq!(one(world, "SELECT generation FROM host_sessions"), "1");
        let id = one(world, "SELECT host_session_id FROM host_sessions");
        let output = world.run(&["host", "create", "--session-id", "215", "--created-by", "Amina", "--rotation-reason", "Lost", "--expires-in", "30d"]).expect_code(0);
        for line in [
            "PROVISIONER: Validating Session ID 215 exists...".to_owned(),
            "PROVISIONER: Session ID 215 validation result: EXISTS".to_owned(),
            "PROVISIONER: Checking for existing Host Session with Session ID 215".to_owned(),
            format!("PROVISIONER: Found existing Host Session {id} - updating GUID"),
            "PROVISIONER-UPDATE: Host GUID rotated for Session 215 by Amina".to_owned(),
        ] {
            assert!(output.stderr.contains(&line), "{line}:\n{}", output.stderr);
        }
        assert!(opens(world, output.stdout.trim()));
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE expires_at IS NOT NULL"), "1");
        let entry = one(world, "SELECT actor, action, reason FROM reconcile_journal WHERE action = 'rotate'");
        assert_eq!(entry, "Amina|rotate|Lost");
        let missing = world.run(&["host", "create", "--session-id", "9"]).expect_code(1);
        assert!(missing.stderr.contains("PROVISIONER: Session ID 9 validation result: NOT FOUND"), "{}", missing.text());
        assert!(missing.stderr.contains("PROVISIONER-ERROR: session 9 does not exist in sessions (nearest: 215)"), "{}", missing.text());
    }

    fn duplicates_of_older_tools_are_consolidated_and_then_forbidden(world) {
        world.seed(
            "CREATE TABLE sessions (session_id BIGINT PRIMARY KEY, title TEXT NOT NULL);
             CREATE TABLE host_sessions (host_session_id INTEGER PRIMARY KEY, session_id INTEGER NOT NULL,
                 host_guid_hash TEXT NOT NULL, is_active BOOLEAN NOT NULL);
             INSERT INTO sessions VALUES (215, 'Al-Fatiha'), (216, 'Al-Baqara');
             INSERT INTO host_sessions VALUES (1, 215, 'a', TRUE), (2, 215, 'b', TRUE), (3, 215, 'c', FALSE), (4, 216, 'd', TRUE)",
        );
        declare(world, ", rotation: 2");
        let refused = world.run(&["migrate"]).expect_code(3);
        assert!(refused.stderr.contains("--adopt"), "{}", refused.text());
        world.run(&["--plan"]).expect_code(3);
        let adopted = world.run(&["migrate", "--adopt", "--environment", "development"]).expect_code(0);
        assert!(adopted.stderr.contains("sessions with several active hosts: 215;"), "{}", adopted.text());
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("! host/215") && plan.contains("2 active GUIDs stand for session 215"), "{plan}");
        world.run(&["host", "create", "--session-id", "215"]).expect_code(1);
        let dry = world.run(&["host", "consolidate", "--dry-run"]).expect_code(0).stdout;
        assert!(dry.contains("host session 2") && dry.contains("stays active"), "{dry}");
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE is_active"), "3");
        world.run(&["host", "consolidate"]).expect_code(0);
        assert_eq!(one(world, "SELECT host_session_id FROM host_sessions WHERE is_active ORDER BY 1"), "2\n4");
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_journal WHERE action = 'consolidate'"), "1");
        let second = "UPDATE host_sessions SET is_active = TRUE WHERE host_session_id = 1";
        assert!(world.try_sql(second).is_err(), "the index forbids it");
        world.run(&["--once"]).expect_code(0);
        assert_eq!(one(world, "SELECT rotation FROM host_sessions WHERE host_session_id = 2"), "2");
    }
}

#[test]
fn two_who_consolidate_at_once_are_told_the_same_with_postgres() {
    let world = World::on(Database::Postgres);
    world.run(&["migrate"]).expect_code(0);
    for _ in 0..3 {
        world.sql("DROP INDEX host_sessions_one_active");
        let both = [world.spawn(&["host", "consolidate"]), world.spawn(&["host", "consolidate"])];
        for one in both {
            one.finish(Duration::from_secs(20)).expect_code(0);
        }
        assert_eq!(one(&world, "SELECT count(*) FROM pg_indexes WHERE indexname = 'host_sessions_one_active'"), "1");
    }
}
