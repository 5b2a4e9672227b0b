//! Schemas of every version that there was, with rows in them: upgraded, and nothing in them lost.

use sha2::{Digest, Sha256};

use crate::fixture::{Database, World, both};

/// The migrations of a database, in their order: name and text.
fn migrations(database: Database) -> Vec<(String, String)> {
    let directory = format!("{}/migrations/{}", env!("CARGO_MANIFEST_DIR"), database.name());
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let one = |path: std::path::PathBuf| {
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap())
    };
    let mut all: Vec<_> = files.map(one).collect();
    all.sort();
    all
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

const AT: &str = "'2026-01-02T03:04:05.000006+00:00'";
const ID: &str = "0190b3a8-0000-7000-8000-00000000000";

/// A row in each table that a migration makes, as the program of that time wrote them.
fn rows(version: usize) -> String {
    match version {
        1 => format!(
            "INSERT INTO sessions VALUES (1, 'One', 'active', 'Noor', NULL, NULL, {AT}, {AT}), \
             (2, 'Two', 'ended', 'Noor', {AT}, NULL, {AT}, {AT}); \
             INSERT INTO host_sessions (session_id, host_guid_hash, key_id, created_at, created_by, is_active, rotation, \
             attempt) VALUES (1, '{hash}', 'k', {AT}, 'Noor', TRUE, 3, '{ID}1'); \
             INSERT INTO reconcile_handoffs VALUES ('{ID}1', 'host', '1', {AT}, {AT}, NULL, {AT}, 'Noor'); \
             INSERT INTO reconcile_applied VALUES ('session', '1', 'digest', {AT}), ('host', '1', 'digest', {AT}); \
             INSERT INTO reconcile_journal (at, environment, run, actor, revision, kind, name, action, before, after, reason) \
             VALUES ({AT}, 'development', '{ID}2', 'Noor', 'no commit', 'session', '1', 'create', NULL, '{{\"title\": \"One\"}}', NULL), \
             ({AT}, 'development', '{ID}2', 'Noor', 'no commit', 'session', '*', 'suspend', NULL, NULL, 'Exams'); \
             INSERT INTO reconcile_approvals VALUES ('{digest}', 'Noor', 'Meant', {AT}); \
             INSERT INTO reconcile_suspensions VALUES ('session', '2', 'Noor', 'Exams', {AT}); \
             INSERT INTO reconcile_flaps VALUES ('session', '2', 'digest', 2); \
             INSERT INTO reconcile_turns VALUES (1, '{ID}2', 'host', {AT}, {AT}, 'no commit', 'done', '\"nothing\"', {AT}); \
             UPDATE reconcile_lease SET fencing = 41",
            hash = "A".repeat(43) + "=",
            digest = "0".repeat(32),
        ),
        2 => format!(
            "INSERT INTO db_servers (id, name, host, max_instances, current_instances, created_at, updated_at) \
             VALUES ('{ID}3', 'pool-1', '127.0.0.1', 5, 1, {AT}, {AT}); \
             INSERT INTO instances (id, customer_id, name, provisioning_status, db_server_id, db_host, created_at, updated_at) \
             VALUES ('{ID}4', '{ID}5', 'acme', 'allocated', '{ID}3', '127.0.0.1', {AT}, {AT}); \
             INSERT INTO reconcile_servers (server_id, admin, identity) VALUES ('{ID}3', 'pool-1', '7'); \
             INSERT INTO reconcile_allocations (instance_id, server_id, db_name, db_user) \
             VALUES ('{ID}4', '{ID}3', 'odoo_a', 'odoo_a_user')"
        ),
        4 => format!(
            "INSERT INTO reconcile_tokens VALUES ('ci', 'read', '{}', {AT}, 'Noor', NULL, NULL, NULL)",
            hash("t")
        ),
        5 => format!(
            "INSERT INTO reconcile_requests (request_id, asked_by, reason, asked_at) VALUES ('{ID}6', 'ci', 'R', {AT}); \
             INSERT INTO reconcile_idempotency (token, word, digest, attempt, begun_at) \
             VALUES ('ci', 'w', '{}', '{ID}7', {AT})",
            hash("d")
        ),
        6 => format!(
            "INSERT INTO reconcile_billing_events VALUES ('e', {AT}); \
             INSERT INTO reconcile_releases VALUES ('{ID}8', 'INVOICE_PAYMENT_SUCCESS', {AT})"
        ),
        7 => format!(
            "INSERT INTO reconcile_outbox (at, event, about, actor, text) VALUES ({AT}, 'applied', 'session/1', 'Noor', 'x'); \
             INSERT INTO reconcile_told VALUES ('blocked', '[]'); \
             INSERT INTO reconcile_deliveries VALUES ('{ID}9', 'hook', 'applied', '[]', {AT}, 0, {AT}, NULL)"
        ),
        _ => String::new(),
    }
}

/// A database as the first so many migrations left it, with rows.
fn made_by(world: &World, migrations: &[(String, String)]) {
    let is_sqlite = world.database() == Database::Sqlite;
    let (number, time) = if is_sqlite { ("INTEGER", "TEXT") } else { ("BIGINT", "TIMESTAMPTZ") };
    world.seed(&format!(
        "CREATE TABLE reconcile_migrations \
         (version {number} PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at {time} NOT NULL)"
    ));
    for (file, text) in migrations {
        let (version, name) = file.split_once('_').unwrap();
        let version = version.parse().unwrap();
        world.sql(text);
        world.sql(&format!("INSERT INTO reconcile_migrations VALUES ({version}, '{name}', '{}', {AT})", hash(text)));
        let rows = rows(version);
        if !rows.is_empty() {
            world.sql(&rows);
        }
    }
    let columns = "stamp_id, environment, identity, system_identifier, stamped_at, stamped_by";
    world.sql(&format!(
        "INSERT INTO reconcile_stamp ({columns}) VALUES (1, 'development', '{ID}0', NULL, {AT}, 'Noor')"
    ));
    let index = "CREATE UNIQUE INDEX host_sessions_one_active ON host_sessions (session_id) WHERE is_active";
    world.sql(index);
}

/// How many rows each table has whose migrations had run.
fn counted(world: &World) -> String {
    let tables = match world.database() {
        Database::Sqlite => world.sql("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"),
        Database::Postgres => {
            world.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'canvas' ORDER BY tablename COLLATE \"C\"")
        }
    };
    let ours = |table: &&str| !table.starts_with("sqlite_") && *table != "reconcile_migrations";
    tables
        .lines()
        .filter(ours)
        .map(|table| format!("{table} {}", world.sql(&format!("SELECT COUNT(*) FROM {table}"))))
        .collect()
}

both! {
    fn a_schema_of_every_version_is_upgraded_with_its_rows(world) {
        let all = migrations(world.database());
        for version in 1..=all.len() {
            let fresh;
            let world: &World = match world.database() {
                Database::Sqlite => {
                    fresh = World::on(Database::Sqlite);
                    &fresh
                }
                Database::Postgres => {
                    world.sql("DROP SCHEMA IF EXISTS canvas CASCADE");
                    world
                }
            };
            made_by(world, &all[..version]);
            let before = counted(world);
            world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}, {id: 2, title: Two}]\n");
            if version < all.len() {
                let refused = world.run(&["history"]).expect_code(1);
                assert!(refused.stderr.contains("run `reconcile migrate`"), "{}", refused.text());
            }
            world.run(&["migrate"]).expect_code(0);
            let after = counted(world);
            let lost: Vec<&str> = before.lines().filter(|line| !after.contains(*line)).collect();
            assert!(lost.is_empty(), "from version {version}: {lost:?}\n{after}");
            let applied = world.run(&["--once"]).expect_code(0);
            assert!(applied.stdout.contains("No changes"), "from version {version}: {}", applied.text());
            let known = "SELECT title FROM sessions WHERE session_id = 1 AND status = 'active' AND created_by = 'Noor'";
            assert_eq!(world.sql(known), "One\n");
            assert_eq!(world.sql("SELECT rotation FROM host_sessions"), "3\n");
            assert_ne!(world.sql("SELECT fencing FROM reconcile_lease WHERE fencing > 41"), "", "it only rises");
            let history = world.run(&["history", "session/1"]).expect_code(0);
            assert!(history.stdout.contains("create") && history.stdout.contains("Noor"), "{}", history.text());
            world.run(&["migrate"]).expect_code(0);
        }
    }

    fn a_migration_that_is_another_than_the_one_that_ran_is_named_before_any_is_added(world) {
        let all = migrations(world.database());
        let last = all.len() - 1;
        made_by(world, &all[..last]);
        world.sql("UPDATE reconcile_migrations SET checksum = 'other' WHERE version = 2");
        world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\n");
        for command in [&["migrate"][..], &["--once"], &["--plan"], &["status"]] {
            let refused = world.run(command).expect_code(1);
            assert!(refused.text().contains("the migration 0002_instances that made this schema is not"), "{command:?}: {}", refused.text());
        }
        assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_migrations"), format!("{last}\n"), "none was added");
        world.sql(&format!("UPDATE reconcile_migrations SET checksum = '{}' WHERE version = 2", hash(&all[1].1)));
        world.run(&["migrate"]).expect_code(0);
    }
}
