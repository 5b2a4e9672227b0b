//! One reader: whoever takes a GUID gets it once, whole, and valid; and is told what else is the case.

use std::time::Duration;

use serde_json::Value;

use crate::fixture::process::{Output, Running};
use crate::fixture::redis::Redis;
use crate::fixture::{World, both};

const WEEK: &str = "sessions: [{id: 215, title: Al-Fatiha}, {id: 216, title: Al-Baqara}]\nhosts: [{session: 215}]\n";
const LIMIT: Duration = Duration::from_secs(40);

fn begin(world: &World) {
    world.write("desired-state/week.yaml", WEEK);
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
}

fn one(world: &World, query: &str) -> String {
    world.sql(query).trim().to_owned()
}

fn opens(world: &World, session: &str, guid: &str) -> bool {
    let output = world.run_with(&["host", "verify", "--session-id", session], guid);
    assert!(output.stdout.is_empty() && matches!(output.code, 0 | 1), "{}", output.text());
    output.code == 0
}

/// The lines of the console tool, without the clock and the level before them.
fn provisioner(output: &Output) -> Vec<String> {
    let lines = output.stderr.lines().filter_map(|line| line.find("PROVISIONER").map(|at| line[at..].to_owned()));
    lines.collect()
}

both! {
    fn whoever_comes_too_late_is_an_incident_even_at_the_same_moment(world) {
        begin(world);
        let running: Vec<Running> = (0..4).map(|_| world.spawn(&["host", "claim", "215", "--quiet"])).collect();
        let outputs: Vec<Output> = running.into_iter().map(|one| one.finish(LIMIT)).collect();
        let (won, lost): (Vec<&Output>, Vec<&Output>) = outputs.iter().partition(|output| output.code == 0);
        assert_eq!(won.len(), 1, "{outputs:?}");
        assert!(opens(world, "215", &won[0].stdout));
        for output in &lost {
            assert!(output.stdout.is_empty() && output.stderr.contains("was already claimed by"), "{}", output.text());
        }
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_journal WHERE action = 'incident'"), "3");
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_journal WHERE action = 'claim'"), "1");
    }

    fn through_redis_a_guid_travels_once_as_well(world) {
        let mut redis = Redis::start();
        world.env("RECONCILE_REDIS_URL", &redis.url()).env("RECONCILE_REDIS_PREFIX", "noor:");
        begin(world);
        let attempt = one(world, "SELECT attempt FROM host_sessions");
        let marks = ["noor:reconcile:environment".to_owned(), "noor:reconcile:owner".to_owned()];
        assert_eq!(redis.keys(), [&[format!("noor:host:215:{attempt}")], &marks[..]].concat());
        assert!(!world.path().join(".reconcile/handoff").exists());
        let status = world.run(&["status"]).expect_code(0).stdout;
        assert!(status.contains("host/215 waits to be claimed until"), "{status}");
        let running: Vec<Running> = (0..3).map(|_| world.spawn(&["host", "claim", "215", "--quiet"])).collect();
        let outputs: Vec<Output> = running.into_iter().map(|one| one.finish(LIMIT)).collect();
        let won: Vec<&Output> = outputs.iter().filter(|output| output.code == 0).collect();
        assert_eq!(won.len(), 1, "{outputs:?}");
        assert!(opens(world, "215", &won[0].stdout));
        assert_eq!(redis.keys(), marks);
        // Away, it holds up what mints, and nothing else.
        redis.stop();
        let more = format!("{}  - {{id: 217, title: Later}}\nhosts: [{{session: 215}}, {{session: 216}}]\n", "sessions:\n  - {id: 215, title: Al-Fatiha}\n  - {id: 216, title: Al-Baqara}\n");
        world.write("desired-state/week.yaml", &more);
        let turn = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        let said = turn.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("+ session/217"), "{turn}");
        assert!(said.contains("! host/216 the hand-off cannot be used now: Redis at 127.0.0.1"), "{turn}");
        world.run(&["host", "rotate", "--session-id", "215"]).expect_code(1);
        assert!(opens(world, "215", &won[0].stdout), "what could not be handed over was not made valid");
        redis.start_again();
        world.run(&["--once"]).expect_code(0);
        assert!(opens(world, "216", &world.run(&["host", "claim", "216"]).expect_code(0).stdout));
    }

    fn a_guid_that_could_not_be_printed_is_reported_as_lost(world) {
        begin(world);
        let full = world.sh("reconcile host claim 215 > /dev/full").expect_code(1);
        assert!(full.stderr.contains("the secret is lost"), "{}", full.text());
        assert!(full.stderr.contains("`reconcile host rotate`"), "{}", full.text());
        // The command starts when nobody is left at the other end of its pipe.
        let closed = world.sh(
            "{ while [ ! -e closed ]; do sleep 0.01; done; reconcile host create --session-id 216; echo code $? >&2; } |
             { exec 0<&-; : > closed; }",
        );
        assert!(closed.stderr.contains("the secret is lost") && closed.stderr.ends_with("code 1\n"), "{}", closed.text());
        let again = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(again.stderr.contains("was already claimed"), "{}", again.text());
    }

    fn what_has_expired_is_not_handed_out(world) {
        begin(world);
        world.sql("UPDATE host_sessions SET expires_at = '2020-01-01T00:00:00+00:00'");
        let gone = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(gone.stderr.contains("the GUID of session 215 expired at 2020-01-01T00:00:00Z"), "{}", gone.text());
        assert!(gone.stderr.contains("reconcile host rotate --session-id 215"), "{}", gone.text());
        world.sql("UPDATE host_sessions SET expires_at = NULL");
        assert!(opens(world, "215", &world.run(&["host", "claim", "215"]).expect_code(0).stdout), "it was left where it is");
    }

    fn a_first_host_by_hand(world) {
        begin(world);
        let dry = world.run(&["host", "create", "--session-id", "216", "--dry-run"]).expect_code(0);
        assert!(dry.stdout.contains("+ host/216"), "{}", dry.text());
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE session_id = 216"), "0");
        let made = world.run(&["host", "create", "--session-id", "216"]).expect_code(0);
        let said = [
            "PROVISIONER: Validating Session ID 216 exists...",
            "PROVISIONER: Session ID 216 validation result: EXISTS",
            "PROVISIONER: Checking for existing Host Session with Session ID 216",
            "PROVISIONER: No existing Host Session found - creating new record",
        ];
        assert_eq!(provisioner(&made), said);
        assert_eq!(made.stdout.len(), 37, "the GUID, its line's end, and nothing else: {}", made.stdout);
        assert!(!made.stderr.contains(made.stdout.trim()));
        assert!(opens(world, "216", &made.stdout));
        let row = one(world, "SELECT created_by, is_active, rotation, generation FROM host_sessions WHERE session_id = 216");
        assert_eq!(row, "Interactive User|true|0|1");
        let actions = one(world, "SELECT action, actor FROM reconcile_journal WHERE name = '216' AND kind = 'host' ORDER BY journal_id");
        assert_eq!(actions, "create|Interactive User\nclaim|Interactive User");
        // The file speaks of it for the first time: people are using the GUID that is there.
        world.write("desired-state/week.yaml", &WEEK.replace("{session: 215}", "{session: 215}, {session: 216, rotation: 1}"));
        world.run(&["--once"]).expect_code(0);
        assert!(opens(world, "216", &made.stdout), "it is adopted, not rotated");
    }

    fn force_new_keeps_the_old_row_put_aside(world) {
        begin(world);
        let old = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        let made = world.run(&["host", "create", "--session-id", "215", "--created-by", "Amina", "--force-new"]).expect_code(0);
        assert!(!opens(world, "215", &old) && opens(world, "215", &made.stdout));
        let rows = world.sql("SELECT is_active, created_by = 'Amina', last_used_at IS NOT NULL FROM host_sessions ORDER BY host_session_id");
        let rows = rows.replace("true", "1").replace("false", "0");
        assert_eq!(rows, "0|0|0\n1|1|1\n", "two rows, the new one used");
        assert_eq!(one(world, "SELECT COUNT(DISTINCT host_guid_hash) FROM host_sessions"), "2");
    }

    fn create_does_not_end_a_revocation(world) {
        begin(world);
        world.run(&["host", "revoke", "--session-id", "215", "--revoked-by", "Amina"]).expect_code(0);
        for arguments in [&["--dry-run"][..], &["--force-new"], &[]] {
            let refused = world.run(&[&["host", "create", "--session-id", "215"], arguments].concat()).expect_code(1);
            assert!(refused.stderr.contains("revoked by Amina") && refused.stdout.is_empty(), "{}", refused.text());
            assert!(refused.stderr.contains("`reconcile host rotate --session-id 215`"), "{}", refused.text());
        }
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE revoked_at IS NOT NULL"), "1");
        world.run(&["host", "rotate", "--session-id", "215"]).expect_code(0);
        assert!(opens(world, "215", &world.run(&["host", "claim", "215"]).expect_code(0).stdout));
    }

    fn a_dry_run_promises_nothing_that_no_key_can_keep(world) {
        begin(world);
        world.env("RECONCILE_HOST_KEYS", "too short");
        for arguments in [&["--dry-run"][..], &[]] {
            let refused = world.run(&[&["host", "create", "--session-id", "216"], arguments].concat()).expect_code(1);
            assert!(refused.stderr.contains("at least 32") && refused.stdout.is_empty(), "{}", refused.text());
            assert!(!refused.stderr.contains("too short"), "a key is not printed, and be it a bad one");
        }
    }

    fn the_published_vectors_verify_in_an_adopted_row(world) {
        let vectors: Value = serde_json::from_str(include_str!("../data/host_hash_vectors.json")).unwrap();
        begin(world);
        // Rows of an older tool have no key's id; its public key only verifies.
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let rows = vectors["vectors"].as_array().unwrap();
        let keys: Vec<String> = rows.iter().rev().map(|row| text(&row["key"])).collect();
        world.env("RECONCILE_HOST_KEYS", &keys.join(","));
        let check = |row: &Value, guid: &str| {
            world.sql(&format!("UPDATE host_sessions SET key_id = NULL, host_guid_hash = '{}'", text(&row["hash"])));
            opens(world, "215", guid)
        };
        for row in rows {
            assert!(check(row, &text(&row["guid"])), "{row}");
        }
        for row in vectors["not_a_hash_of"].as_array().unwrap() {
            assert!(!check(row, &text(&row["guid"])), "{row}");
        }
        let same = &vectors["same_guid_other_spellings"];
        let row = rows.iter().find(|row| row["guid"] == same["guid"]).unwrap();
        for spelling in same["spellings"].as_array().unwrap() {
            assert!(check(row, &text(spelling)), "{spelling}");
        }
    }

    fn a_session_that_is_not_open_yet_or_any_more_opens_to_nobody(world) {
        begin(world);
        let guid = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        for state in ["status = 'ended'", "starts_at = '2099-01-01T00:00:00+00:00'"] {
            world.sql(&format!("UPDATE sessions SET {state} WHERE session_id = 215"));
            assert!(!opens(world, "215", &guid), "{state}");
            world.sql("UPDATE sessions SET status = 'active', starts_at = NULL");
        }
        assert!(opens(world, "215", &guid) && !opens(world, "216", &guid) && !opens(world, "999", &guid));
    }
}

#[test]
fn what_is_given_by_hand_is_bounded_as_files_are() {
    let world = World::on(crate::fixture::Database::Sqlite);
    begin(&world);
    let long = "n".repeat(129);
    for (flag, value, why) in [
        ("--created-by", "", "it is empty"),
        ("--created-by", " ", "it is blank"),
        ("--created-by", long.as_str(), "129 characters; 128 are allowed"),
        ("--expires-in", "0s", "not between 1m and 3660d"),
        ("--expires-in", "100years", "not between 1m and 3660d"),
        ("--session-id", "0", "0 is not in"),
    ] {
        let session = if flag == "--session-id" { &[][..] } else { &["--session-id", "216"] };
        let refused = world.run(&[&["host", "create", flag, value], session].concat()).expect_code(1);
        assert!(refused.stderr.contains(why) && refused.stdout.is_empty(), "{flag} {value}: {}", refused.text());
    }
    assert!(world.run(&["--help"]).expect_code(0).stderr.is_empty());
    assert_eq!(one(&world, "SELECT COUNT(*) FROM host_sessions WHERE session_id = 216"), "0");
}
