//! A preview writes nothing anywhere: not a row, not a file, not even beside a closed database.

use crate::fixture::{World, both};

/// Every table of the schema, in the order of their names.
pub const TABLES: [&str; 27] = [
    "db_servers",
    "host_sessions",
    "instances",
    "reconcile_allocations",
    "reconcile_applied",
    "reconcile_approvals",
    "reconcile_billing_events",
    "reconcile_deliveries",
    "reconcile_failures",
    "reconcile_flaps",
    "reconcile_handoffs",
    "reconcile_idempotency",
    "reconcile_journal",
    "reconcile_lease",
    "reconcile_lineage",
    "reconcile_migrations",
    "reconcile_outbox",
    "reconcile_protections",
    "reconcile_releases",
    "reconcile_requests",
    "reconcile_servers",
    "reconcile_stamp",
    "reconcile_suspensions",
    "reconcile_tokens",
    "reconcile_told",
    "reconcile_turns",
    "sessions",
];

/// All rows of all tables, as text.
pub fn dump(world: &World) -> String {
    TABLES.iter().map(|table| rows(world, table)).collect()
}

pub fn rows(world: &World, table: &str) -> String {
    format!("{table}\n{}\n", world.sql(&format!("SELECT * FROM {table} ORDER BY 1, 2")))
}

/// The tables that there are.
fn tables(world: &mut World) -> Vec<String> {
    let names = match world.server() {
        Some(_) => "SELECT tablename FROM pg_tables WHERE schemaname = 'canvas' ORDER BY 1",
        None => "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1",
    };
    world.sql(names).lines().map(str::to_owned).collect()
}

/// What PostgreSQL knows of every row's last writer, of sequences, tables and roles: a row that was written with the
/// values that it had shows here. Nothing on SQLite, where the file itself shows it.
fn versions(world: &mut World) -> String {
    let Some(server) = world.server() else { return String::new() };
    let rows = TABLES.map(|table| format!("SELECT '{table}' AS place, ctid::text, xmin::text FROM canvas.{table}"));
    let shapes = "SELECT relname || ' ' || oid, relfilenode::text, xmin::text FROM pg_class
        UNION ALL SELECT sequencename, last_value::text, '' FROM pg_sequences
        UNION ALL SELECT rolname, rolcanlogin::text, '' FROM pg_roles
        UNION ALL SELECT datname, '', '' FROM pg_database";
    server.psql("KSESSIONS_DEV", &format!("{} UNION ALL {shapes} ORDER BY 1, 2", rows.join(" UNION ALL ")))
}

/// Every file and directory with its times: also what was made and removed again leaves its mark on a directory.
fn marks(world: &World) -> String {
    world.sh("find . -printf '%p %i %M %n %s %T@ %C@\\n' | sort").expect_code(0).stdout
}

/// Looks in every way, each of which must leave all files as they were.
fn look(world: &World, codes: &[i32]) {
    let (marks_before, files) = (marks(world), world.snapshot_files());
    for look in LOOKS {
        let output = world.run(look);
        assert!(codes.contains(&output.code), "{look:?}: {}", output.text());
        assert_eq!(world.snapshot_files(), files, "{look:?} left something behind");
        assert_eq!(marks(world), marks_before, "{look:?} wrote something, and cleared it away");
    }
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
    &["list"],
    &["list", "--format", "json", "--only", "unmanaged,blocked"],
    &["status"],
    &["status", "--format", "json"],
    &["history", "--format", "csv"],
    &["token", "list"],
    &["alerts"],
    &["config"],
    &["schema"],
    &["doctor"],
    &["host", "create", "--session-id", "216", "--dry-run"],
    &["host", "consolidate", "--dry-run"],
];

both! {
    fn looking_at_a_world_that_was_never_applied_leaves_no_trace(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.git_init();
        world.commit("Begin");
        // The index that Git keeps would be refreshed by a careless look.
        world.sh("touch desired-state/week.yaml").expect_code(0);
        look(world, &[0, 1, 2, 4]);
        let told = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(told.contains("Plan: 3 to create; 1 blocked."), "{told}");
        let preparation = match world.server() {
            Some(_) => "the schema is missing: run `reconcile migrate` first, which stamps the database `development`",
            None => "schema will be created, database will be stamped `development`",
        };
        assert!(told.contains(preparation), "{told}");
        let json = world.run(&["--plan", "--format", "json"]).expect_code(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["preparation"], preparation);
        if world.server().is_some() {
            let refused = world.run(&["--once"]).expect_code(1).stderr;
            assert!(refused.contains("the schema is missing"), "{refused}");
            assert!(refused.contains("run `reconcile migrate` first"), "{refused}");
            assert_eq!(world.sql("SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'canvas'").trim(), "0");
        }
    }

    fn looking_at_a_world_that_is_in_use_leaves_it_as_it_was(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        world.sql("UPDATE sessions SET title = 'Drift' WHERE session_id = 216");
        world.write("desired-state/week.yaml", &WEEK.replace("rotation: 1", "rotation: 2"));
        assert_eq!(tables(world), TABLES, "every table is compared");
        let (rows, written) = (dump(world), versions(world));
        look(world, &[0, 2, 4]);
        assert_eq!(versions(world), written);
        assert_eq!(dump(world), rows);
        let files = world.snapshot_files();
        let plan = world.run(&["--plan", "--out", "saved.plan"]).expect_code(0).stdout;
        assert!(plan.contains("~ session/216") && plan.contains("drift") && plan.contains("± host/215"), "{plan}");
        let mut after = world.snapshot_files();
        let saved = after.remove(std::path::Path::new("saved.plan")).expect("the plan is saved");
        assert_eq!(saved.mode & 0o777, 0o600, "its owner's alone");
        assert_eq!(after, files, "only the plan is new");
        assert_eq!(versions(world), written);
        assert_eq!(dump(world), rows);
    }

    fn looking_beside_a_running_daemon_changes_nothing_of_its_rows(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        let daemon = world.spawn(&["--quiet"]);
        let started = std::time::Instant::now();
        // The lease's heartbeat is the daemon's own, and goes on.
        let at_rest = |world: &World| -> String {
            TABLES.iter().filter(|table| **table != "reconcile_lease").map(|table| rows(world, table)).collect()
        };
        while world.sql("SELECT COUNT(*) FROM reconcile_turns").trim() != "1" {
            assert!(started.elapsed().as_secs() < 20, "the daemon takes no turn: {}", daemon.stderr());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let before = at_rest(world);
        assert!(before.contains("Surah Al-Fatiha"), "{before}");
        for look in LOOKS {
            let output = world.run(look);
            assert!([0, 2, 4].contains(&output.code), "{look:?}: {}", output.text());
        }
        assert_eq!(at_rest(world), before);
        daemon.signal(rustix::process::Signal::TERM);
        daemon.finish(std::time::Duration::from_secs(20)).expect_code(0);
    }
}

#[test]
fn a_preview_needs_no_right_to_write_with_postgres() {
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
    for look in LOOKS {
        let output = world.run(look);
        assert!([0, 2, 4].contains(&output.code), "{look:?}: {}", output.text());
    }
    let refused = world.run(&["--once"]).expect_code(1);
    assert!(refused.stderr.contains("permission denied"), "{}", refused.text());
    let doctor = world.run(&["doctor"]).expect_code(0);
    assert!(doctor.stdout.contains("tables and write none"), "{}", doctor.text());
}
