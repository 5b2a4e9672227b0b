//! What is protected, and what waits for approval: kept in the database, whatever becomes of the files.

use crate::fixture::{World, both};

const SESSION: &str = "sessions: [{id: 215, title: Al-Fatiha}]\n";

fn once(world: &World) -> String {
    flat(&world.run(&["--once"]).expect_code(0).stdout)
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn one(world: &World, query: &str) -> String {
    world.sql(query).trim().to_owned()
}

/// A claimed and protected host of session 215.
fn protected(world: &World) {
    world.write("desired-state/week.yaml", SESSION);
    world.write("desired-state/host.yaml", "hosts: [{session: 215, protect: true}]\n");
    world.run(&["migrate"]).expect_code(0);
    once(world);
    world.run(&["host", "claim", "215"]).expect_code(0);
}

/// Neither command makes a new GUID.
#[track_caller]
fn refuses(world: &World, why: &str) {
    for arguments in
        [&["host", "rotate", "--session-id", "215"][..], &["host", "create", "--session-id", "215", "--dry-run"]]
    {
        let refused = world.run(arguments).expect_code(1);
        assert!(flat(&refused.stderr).contains(why), "{}", refused.text());
    }
    assert_eq!(one(world, "SELECT generation FROM host_sessions"), "1");
}

/// The digest under which the last run has left something to wait.
fn waiting(world: &World) -> String {
    let status: serde_json::Value =
        serde_json::from_str(&world.run(&["status", "--format", "json"]).expect_code(0).stdout).unwrap();
    status["last_turn"]["held"][0]["digest"].as_str().unwrap().to_owned()
}

fn titles(word: &str) -> String {
    (1..=12)
        .map(|id| format!("  - {{id: {id}, title: {word}}}\n"))
        .fold("sessions:\n".to_owned(), |all, one| all + &one)
}

both! {
    fn protection_outlives_its_line_its_file_and_a_broken_neighbour(world) {
        protected(world);
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_protections"), "1");
        refuses(world, "it is protected");
        world.write("desired-state/broken.yaml", "hosts: 5");
        refuses(world, "it is protected");
        world.write("desired-state/broken.yaml", "");
        world.write("desired-state/host.yaml", "hosts: [{session: 215, rotation: 2}]\n");
        assert!(once(world).contains("! host/215 it is protected"), "the line is gone");
        world.write("desired-state/host.yaml", "");
        once(world);
        refuses(world, "`hosts: [{session: 215, protect: false}]`");
        let explained = flat(&world.run(&["explain", "host/215"]).expect_code(0).stdout);
        assert!(explained.contains("`hosts: [{session: 215, protect: false}]`"), "{explained}");
        // From another directory there are no files at all.
        let state = world.path().join("nowhere");
        std::fs::create_dir(&state).unwrap();
        let refused = world.run(&["host", "rotate", "--session-id", "215", "--state", state.to_str().unwrap()]).expect_code(1);
        assert!(refused.stderr.contains("it is protected"), "{}", refused.text());
        world.write("desired-state/host.yaml", "hosts: [{session: 215, protect: false}]\n");
        assert!(once(world).contains("~ host/215 protect true -> false"));
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_protections"), "0");
        assert!(once(world).contains("No changes."), "lifted once");
        world.run(&["host", "rotate", "--session-id", "215"]).expect_code(0);
    }

    fn protection_is_recorded_without_a_line_and_lifted_with_the_change_beside_it(world) {
        world.write("desired-state/week.yaml", SESSION);
        world.run(&["migrate"]).expect_code(0);
        once(world);
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al-Fatiha, protect: true}]\n");
        assert!(world.run(&["--plan"]).expect_code(0).stdout.contains("No changes."));
        assert!(once(world).contains("No changes."));
        assert_eq!(one(world, "SELECT kind, name FROM reconcile_protections"), "session|215");
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al Fatiha, protect: false}]\n");
        assert!(once(world).contains("~ session/215 title \"Al-Fatiha\" -> \"Al Fatiha\", protect true -> false"));
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_protections"), "0");
        let history = flat(&world.run(&["history", "--limit", "1"]).expect_code(0).stdout);
        assert!(history.contains("protect true -> false"), "{history}");
    }

    fn what_somebody_takes_out_of_the_database_is_protected_again_while_its_line_stands(world) {
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al-Fatiha, protect: true}]\n");
        world.run(&["migrate"]).expect_code(0);
        once(world);
        world.sql("DELETE FROM reconcile_protections");
        once(world);
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_protections"), "1");
        world.sql("UPDATE sessions SET title = 'Drifted'");
        assert!(once(world).contains("! session/215 it is protected"), "drift waits as well");
    }

    fn commands_mind_who_has_suspended_what(world) {
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al-Fatiha}]\nhosts: [{session: 215}]\n");
        world.run(&["migrate"]).expect_code(0);
        once(world);
        world.run(&["suspend", "host/215", "--reason", "Dispute"]).expect_code(0);
        refuses(world, "it is suspended");
        world.run(&["resume", "host/215", "--reason", "Settled"]).expect_code(0);
        world.run(&["suspend", "--reason", "Exams"]).expect_code(0);
        let refused = world.run(&["host", "consolidate"]).expect_code(1);
        assert!(flat(&refused.stderr).contains("applying is suspended"), "{}", refused.text());
        world.run(&["host", "rotate", "--session-id", "215"]).expect_code(0);
        world.run(&["host", "revoke", "--session-id", "215"]).expect_code(0);
    }

    fn consolidating_leaves_what_is_protected(world) {
        protected(world);
        world.sql("DROP INDEX host_sessions_one_active");
        world.sql("INSERT INTO host_sessions (session_id, host_guid_hash, created_at, created_by)
                   VALUES (215, 'x', '2020-01-01T00:00:00+00:00', 'Amina')");
        for more in [&["--dry-run"][..], &[]] {
            let refused = world.run(&[&["host", "consolidate"], more].concat()).expect_code(1);
            assert!(refused.stdout.contains("is left as it is"), "{}", refused.text());
            assert!(flat(&refused.stderr).contains("host/215: it is protected"), "{}", refused.text());
        }
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE is_active"), "2");
        world.write("desired-state/host.yaml", "hosts: [{session: 215, protect: false}]\n");
        once(world);
        world.run(&["host", "consolidate"]).expect_code(0);
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE is_active"), "1");
    }

    fn only_what_waits_now_can_be_approved_and_drift_does_not_void_it(world) {
        world.write("desired-state/week.yaml", &titles("Before"));
        world.run(&["migrate"]).expect_code(0);
        once(world);
        let zeros = "0".repeat(32);
        let refused = world.run(&["approve", &zeros, "--reason", "R"]).expect_code(1);
        assert!(refused.stderr.contains("nothing waits"), "{}", refused.text());
        world.write("desired-state/week.yaml", &titles("First"));
        world.run(&["--once"]).expect_code(1);
        let first = waiting(world);
        world.write("desired-state/week.yaml", &(titles("Second") + "hosts: [{session: 1}]\n"));
        let held = world.run(&["--once"]).expect_code(1);
        assert!(held.stdout.contains("+ host/1"), "what the budget does not concern is applied: {}", held.text());
        assert_eq!(world.run(&["--once", "--detailed-exitcode"]).code, 4);
        let second = waiting(world);
        for digest in [&first, &zeros] {
            let refused = world.run(&["approve", digest, "--reason", "R"]).expect_code(1);
            let told = flat(&refused.stderr);
            assert!(told.contains("is not the plan that waits now") && told.contains(&second), "{}", refused.text());
        }
        world.run(&["approve", &second, "--reason", "Meant"]).expect_code(0);
        world.sql("UPDATE host_sessions SET expires_at = '2030-01-01T00:00:00+00:00'");
        world.write("desired-state/more.yaml", "sessions: [{id: 99}]\n");
        once(world);
        assert_eq!(one(world, "SELECT COUNT(*) FROM sessions WHERE title = 'Second'"), "12");
        assert_eq!(one(world, "SELECT COUNT(*) FROM reconcile_approvals"), "0", "it is used up");
    }
}
