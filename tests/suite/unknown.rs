//! What is not known is not claimed: a handoff that is elsewhere, one that lost what it had, and keys that are gone.

use crate::fixture::redis::Redis;
use crate::fixture::{Database, World, both};

const URL: &str = "RECONCILE_REDIS_URL";

fn week(sessions: std::ops::Range<i64>) -> String {
    let each = |line: fn(i64) -> String| sessions.clone().map(line).collect::<String>();
    format!(
        "sessions:\n{}hosts:\n{}",
        each(|id| format!("  - {{id: {id}, title: S, status: active}}\n")),
        each(|id| format!("  - session: {id}\n"))
    )
}

fn applied(world: &World, sessions: std::ops::Range<i64>) {
    world.write("desired-state/week.yaml", &week(sessions));
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
}

fn opens(world: &World, session: &str) {
    let guid = world.run(&["host", "claim", session]).expect_code(0).stdout;
    world.run_with(&["host", "verify", "--session-id", session], &guid).expect_code(0);
}

fn one(world: &World, query: &str) -> String {
    world.sql(query).trim().to_owned()
}

both! {
    fn what_redis_lost_is_made_anew_and_journalled(world) {
        let mut redis = Redis::start();
        world.env(URL, &redis.url()).env("RECONCILE_REDIS_TIMEOUT", "1s");
        applied(world, 1..13);
        opens(world, "1");
        world.run(&["suspend", "host/12", "--reason", "Exam"]).expect_code(0);
        // While it does not answer, nothing is lost.
        redis.stop();
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("unknown from here: the handoff cannot be asked"), "{plan}");
        assert!(plan.contains("No changes."), "{plan}");
        redis.start_again();
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("> host/2 ") && plan.contains("the handoff lost the GUID"), "{plan}");
        assert!(plan.contains("Plan: 10 to resume; 1 blocked."), "within the budget, the suspended one left alone: {plan}");
        assert!(!plan.contains("host/1 "), "what was claimed is not lost: {plan}");
        world.run(&["--once"]).expect_code(0);
        let told = "SELECT COUNT(*) FROM reconcile_journal WHERE action = 'resume' AND kind = 'host'
            AND reason = 'the handoff lost the GUID before anybody claimed it, so a new one is made'";
        assert_eq!(one(world, told), "10");
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE generation = 2 AND rotation = 1"), "10");
        opens(world, "2");
        world.run(&["resume", "host/12", "--reason", "Over"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        opens(world, "12");
        assert!(world.run(&["--plan"]).expect_code(0).stdout.contains("No changes."));
        // What expired by its time is not lost: it waits for a rotation.
        let _: i64 = redis.ask(&["DEL", &redis.keys().iter().find(|key| key.starts_with("host:3:")).unwrap().clone()]);
        world.sql("UPDATE reconcile_handoffs SET expires_at = minted_at WHERE name = '3'");
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("! host/3 ") && plan.contains("raise rotation"), "{plan}");
    }

    fn what_waits_in_redis_is_unknown_where_none_is_configured(world) {
        let redis = Redis::start();
        world.env(URL, &redis.url());
        applied(world, 120..167);
        world.unset(URL);
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(0).stdout;
        assert_eq!(plan.matches("unknown from here").count(), 1, "{plan}");
        assert!(plan.contains("No changes.") && plan.contains("the same of 46 more"), "{plan}");
        assert!(!plan.contains("expired") && !plan.contains("rotat"), "{plan}");
        for host in ["host/120", "host/166"] {
            let told = world.run(&["explain", host]).expect_code(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(told.matches("unknown from here: no handoff is configured").count(), 1, "{told}");
            assert!(told.contains("in sync"), "{told}");
        }
        world.run(&["--once"]).expect_code(0);
        world.env(URL, &redis.url());
        opens(world, "120");
    }

    fn a_guid_that_is_taken_and_never_recorded_is_made_anew_with_redis(world) {
        let redis = Redis::start();
        world.env(URL, &redis.url());
        applied(world, 1..2);
        let key = redis.keys().into_iter().find(|key| key.starts_with("host:1:")).unwrap();
        let taken: String = redis.ask(&["GETDEL", &key]);
        world.run(&["--once"]).expect_code(0);
        world.run_with(&["host", "verify", "--session-id", "1"], &taken).expect_code(1);
        opens(world, "1");
    }

    fn an_embedded_handoff_that_is_emptied_is_known_to_have_lost_its_secrets(world) {
        applied(world, 1..3);
        opens(world, "1");
        world.sh("rm .reconcile/handoff/*.sealed").expect_code(0);
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("> host/2 ") && plan.contains("1 to resume"), "{plan}");
        world.run(&["--once"]).expect_code(0);
        opens(world, "2");
        // Of a row from before this was recorded nothing is claimed.
        world.run(&["host", "rotate", "--session-id", "1"]).expect_code(0);
        world.sh("rm -f .reconcile/handoff/*.sealed").expect_code(0);
        world.sql("UPDATE reconcile_handoffs SET store = NULL, claimed_at = NULL WHERE name = '1'");
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("an earlier version did not record") && plan.contains("No changes."), "{plan}");
    }

    fn a_key_that_is_gone_is_named_and_no_other_is_made(world) {
        applied(world, 1..2);
        let guid = world.run(&["host", "claim", "1"]).expect_code(0).stdout;
        let key = world.read(".reconcile/host.key");
        world.sh("rm .reconcile/host.key").expect_code(0);
        world.write("desired-state/week.yaml", &week(1..3));
        let doctor = world.run(&["doctor"]).expect_code(1).stdout;
        assert!(doctor.contains("FAIL  host key") && doctor.contains("is gone"), "{doctor}");
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("! host/2 ") && plan.contains("+ session/2 "), "what needs no key goes on: {plan}");
        assert!(plan.contains("is gone, and 1 host"), "{plan}");
        world.run(&["--once"]);
        let refused = world.run(&["host", "rotate", "--session-id", "1"]).expect_code(1);
        assert!(refused.text().contains("is gone"), "{}", refused.text());
        world.sh("test ! -e .reconcile/host.key").expect_code(0);
        assert_eq!(one(world, "SELECT COUNT(*) FROM sessions"), "2");
        world.write(".reconcile/host.key", &key);
        world.sh("chmod 600 .reconcile/host.key").expect_code(0);
        world.run_with(&["host", "verify", "--session-id", "1"], &guid).expect_code(0);
        world.run(&["doctor"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        opens(world, "2");
    }

    fn a_ring_without_the_key_of_active_hosts_fails_the_doctor(world) {
        world.env("RECONCILE_HOST_KEYS", "an-old-key-of-a-term-that-has-long-been-over");
        applied(world, 1..2);
        world.env("RECONCILE_HOST_KEYS", "the-new-key-of-this-term-known-to-nobody-yet");
        let doctor = world.run(&["doctor"]).expect_code(1).stdout;
        let flat = doctor.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("FAIL host key") && flat.contains("(1 active host)"), "{doctor}");
        assert!(flat.contains("FAIL hand-off") && flat.contains("1 secret waits here, sealed with host key"), "{doctor}");
    }
}

#[test]
fn hosts_in_production_without_a_key_fail_the_doctor() {
    let mut world = World::on(Database::Sqlite);
    let url = format!("sqlite:{}/KSESSIONS.db", world.path().display());
    world.env("RECONCILE_DATABASE_URL", &url).env("RECONCILE_ENVIRONMENT", "production");
    world.git_init();
    world.write("desired-state/week.yaml", &week(1..2));
    world.commit("Begin");
    world.run(&["migrate"]).expect_code(0);
    let doctor = world.run(&["doctor"]).expect_code(1).stdout;
    assert!(doctor.contains("FAIL  host key") && doctor.contains("no host key is configured"), "{doctor}");
    let plan = world.run(&["--plan"]).expect_code(0).stdout;
    assert!(plan.contains("! host/1 ") && plan.contains("no host key is configured"), "{plan}");
    world.write("desired-state/week.yaml", "sessions: [{id: 1}]\n");
    world.commit("Sessions alone");
    world.run(&["doctor"]).expect_code(0);
}
