//! A preview writes nothing anywhere: not a row, not a file, not even beside a closed database.

use crate::fixture::{World, both};

/// Every table of the schema, in the order of their names.
pub const TABLES: [&str; 12] = [
    "host_sessions",
    "reconcile_applied",
    "reconcile_approvals",
    "reconcile_flaps",
    "reconcile_handoffs",
    "reconcile_journal",
    "reconcile_lease",
    "reconcile_migrations",
    "reconcile_stamp",
    "reconcile_suspensions",
    "reconcile_turns",
    "sessions",
];

/// All rows of all tables, as text.
pub fn dump(world: &World) -> String {
    TABLES
        .iter()
        .map(|table| format!("{table}\n{}\n", world.sql(&format!("SELECT * FROM {table} ORDER BY 1, 2"))))
        .collect()
}

const WEEK: &str = "
sessions:
  - {id: 215, title: Surah Al-Fatiha}
  - {id: 216, title: Al-Baqara}
hosts:
  - {session: 215, rotation: 1, expires_in: 90d}
  - {session: 999}
";

/// Everything that only looks.
const LOOKS: &[&[&str]] = &[
    &["--plan"],
    &["--plan", "--format", "json"],
    &["--plan", "--format", "markdown", "--all"],
    &["--plan", "--target", "session/215", "--detailed-exitcode"],
    &["validate"],
    &["explain", "host/999"],
    &["status"],
    &["status", "--format", "json"],
    &["history", "--format", "csv"],
    &["config"],
    &["schema"],
    &["doctor"],
    &["host", "create", "--session-id", "216", "--dry-run"],
    &["host", "consolidate", "--dry-run"],
];

both! {
    fn looking_at_a_world_that_was_never_applied_leaves_no_trace(world) {
        world.write("desired-state/week.yaml", WEEK);
        let before = world.snapshot_files();
        for look in LOOKS {
            let output = world.run(look);
            assert!([0, 1, 2, 4].contains(&output.code), "{look:?}: {}", output.text());
            assert_eq!(world.snapshot_files(), before, "{look:?} left something behind");
        }
        let told = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(told.contains("schema will be created, database will be stamped `development`"), "{told}");
        assert!(told.contains("Plan: 3 to create; 1 blocked."), "{told}");
        if world.server().is_some() {
            assert_eq!(world.sql("SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'canvas'").trim(), "0");
        }
    }

    fn looking_at_a_world_that_is_in_use_leaves_it_as_it_was(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        world.sql("UPDATE sessions SET title = 'Drift' WHERE session_id = 216");
        world.write("desired-state/week.yaml", &WEEK.replace("rotation: 1", "rotation: 2"));
        let (rows, files) = (dump(world), world.snapshot_files());
        for look in LOOKS {
            let output = world.run(look);
            assert!([0, 2, 4].contains(&output.code), "{look:?}: {}", output.text());
            assert_eq!(world.snapshot_files(), files, "{look:?} left something behind");
        }
        assert_eq!(dump(world), rows);
        let plan = world.run(&["--plan", "--out", "saved.plan"]).expect_code(0).stdout;
        assert!(plan.contains("~ session/216") && plan.contains("drift") && plan.contains("± host/215"), "{plan}");
        let mut after = world.snapshot_files();
        after.retain(|path, _| !path.ends_with("saved.plan"));
        assert_eq!(after.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>(), "only the plan is new");
    }
}

#[test]
fn a_preview_needs_no_right_to_write() {
    let mut world = World::on(crate::fixture::Database::Postgres);
    world.write("desired-state/week.yaml", WEEK);
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
    let server = world.server().unwrap();
    server.role("planner", "only-looks");
    let grants = "GRANT USAGE ON SCHEMA canvas TO planner; GRANT SELECT ON ALL TABLES IN SCHEMA canvas TO planner";
    server.psql("KSESSIONS_DEV", grants);
    let url = server.url_as("planner", "only-looks", "KSESSIONS_DEV");
    world.env("RECONCILE_DATABASE_URL", &url);
    let plan = world.run(&["--plan"]).expect_code(0).stdout;
    assert!(plan.contains("3 unchanged"), "{plan}");
    let refused = world.run(&["--once"]).expect_code(1);
    assert!(refused.stderr.contains("permission denied"), "{}", refused.text());
    let doctor = world.run(&["doctor"]).expect_code(1);
    assert!(doctor.stdout.contains("the role planner may not write (INSERT, UPDATE)"), "{}", doctor.text());
}
