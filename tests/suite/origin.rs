//! The journal tells what the files changed from drift and from commands, and shows what changed and nothing else.

use serde_json::Value as Json;

use crate::fixture::{World, both};

fn once(world: &World) {
    world.run(&["--once"]).expect_code(0);
}

fn history(world: &World, limit: &str) -> Json {
    let output = world.run(&["history", "--limit", limit, "--format", "json"]).expect_code(0);
    serde_json::from_str(&output.stdout).unwrap()
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

both! {
    fn drift_that_is_put_right_is_nobodys_commit(world) {
        world.git_init();
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al-Fatiha}]\nhosts: [{session: 215}]\n");
        world.commit("Al-Fatiha");
        world.run(&["migrate"]).expect_code(0);
        once(world);
        let line = &history(world, "1")[0];
        assert_eq!((line["origin"].as_str(), line["actor"].as_str()), (Some("intended"), Some("Noor Team")), "{line}");
        world.sql("UPDATE sessions SET title = 'Drifted'");
        once(world);
        let line = &history(world, "1")[0];
        assert_eq!((line["origin"].as_str(), line["actor"].as_str()), (Some("drift"), Some("reconcile")), "{line}");
        world.sql("DELETE FROM host_sessions");
        once(world);
        let line = &history(world, "1")[0];
        assert_eq!((line["origin"].as_str(), line["actor"].as_str()), (Some("drift"), Some("reconcile")), "{line}");
        assert_eq!(world.sql("SELECT created_by FROM host_sessions"), "reconcile\n", "nor is the row that was made again");
        let text = flat(&world.run(&["history"]).expect_code(0).stdout);
        assert!(text.contains("title Drifted -> Al-Fatiha, by reconcile (drift)"), "{text}");
        world.run(&["host", "rotate", "--session-id", "215", "--rotated-by", "Amina"]).expect_code(0);
        let line = &history(world, "1")[0];
        assert_eq!((line["origin"].as_str(), line["actor"].as_str()), (Some("manual"), Some("Amina")), "{line}");
        let csv = world.run(&["history", "--format", "csv", "--limit", "1"]).expect_code(0).stdout;
        assert!(csv.lines().next().is_some_and(|head| head.ends_with(",origin")) && csv.contains(",manual"), "{csv}");
    }

    fn a_rotation_shows_what_it_changes_and_nothing_else(world) {
        let rotation = |number: u32, more: &str| {
            let host = format!("hosts: [{{session: 215, rotation: {number}{more}}}]\n");
            world.write("desired-state/week.yaml", &format!("sessions: [{{id: 215}}]\n{host}"));
        };
        rotation(1, ", expires_in: 90d");
        world.run(&["migrate"]).expect_code(0);
        once(world);
        rotation(2, ", expires_in: 90d");
        once(world);
        assert_eq!(history(world, "1")[0]["before"], serde_json::json!({ "rotation": 1 }));
        rotation(3, ", expires_in: 30d");
        once(world);
        assert_eq!(history(world, "1")[0]["before"], serde_json::json!({ "rotation": 2, "expires_in": "90d" }));
        world.run(&["host", "revoke", "--session-id", "215"]).expect_code(0);
        rotation(4, ", expires_in: 30d");
        let plan = flat(&world.run(&["--plan"]).expect_code(0).stdout);
        assert!(plan.contains("rotation 3 -> 4, active false -> true, revoked_at 20"), "{plan}");
        // Without --expires-in the new GUID is valid for ever, and that is said.
        let dry = flat(&world.run(&["host", "rotate", "--session-id", "215"]).expect_code(0).stdout);
        assert!(dry.contains("expires_at 20") && dry.contains("-> (none)"), "{dry}");
    }

    fn a_dry_run_is_of_exactly_these_flags(world) {
        world.write("desired-state/week.yaml", "sessions: [{id: 215}]\nhosts: [{session: 215}]\n");
        world.run(&["migrate"]).expect_code(0);
        once(world);
        let id = world.sql("SELECT host_session_id FROM host_sessions").trim().to_owned();
        let dry = |more: &[&str]| {
            let create = ["host", "create", "--session-id", "215", "--created-by", "Amina", "--dry-run"];
            flat(&world.run(&[&create, more].concat()).expect_code(0).stdout)
        };
        let replaced = format!("host session {id} is deactivated, and a new row takes its place");
        assert!(!dry(&[]).contains("deactivated"));
        let told = dry(&["--force-new", "--rotation-reason", "Lost", "--expires-in", "30d"]);
        for part in [replaced.as_str(), "by Amina: Lost", "expires_in 30d"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    fn what_concerns_everything_says_so(world) {
        world.run(&["migrate"]).expect_code(0);
        world.run(&["suspend", "--reason", "Exams"]).expect_code(0);
        let line = &history(world, "1")[0];
        assert_eq!((line["kind"].as_str(), line["name"].as_str()), (Some("everything"), Some("everything")), "{line}");
        let status: Json =
            serde_json::from_str(&world.run(&["status", "--format", "json"]).expect_code(0).stdout).unwrap();
        assert_eq!((&status["suspended"][0]["kind"], &status["suspended"][0]["name"]), (&line["kind"], &line["name"]));
        let text = flat(&world.run(&["history", "--limit", "1"]).expect_code(0).stdout);
        assert!(text.contains("suspend everything by"), "{text}");
    }
}
