//! A database in which a name of ours leads elsewhere: the catalog, the server and the stamp are right, and what would be
//! read and written through that name is another database's.

use crate::fixture::{Database, World, both};
use crate::instances::flat;

const WEEK: &str = "sessions: [{id: 215, title: Al-Fatiha}, {id: 216, title: Al-Baqara}]\n";

/// A database of ours, with one session; the files declare another.
fn begin(world: &World) {
    world.run(&["migrate"]).expect_code(0);
    world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al-Fatiha}]\n");
    world.run(&["--once"]).expect_code(0);
    world.write("desired-state/week.yaml", WEEK);
}

/// The tricks that the kind of database knows: what is found, how it is done and how it is undone.
fn tricks(database: Database) -> Vec<(&'static str, &'static str, &'static str)> {
    match database {
        Database::Sqlite => vec![
            (
                "sessions is a view",
                "ALTER TABLE sessions RENAME TO aside; CREATE VIEW sessions AS SELECT * FROM aside",
                "DROP VIEW sessions; ALTER TABLE aside RENAME TO sessions",
            ),
            (
                "Reconcile_Journal is a view",
                "ALTER TABLE reconcile_journal RENAME TO aside; CREATE VIEW Reconcile_Journal AS SELECT * FROM aside",
                "DROP VIEW Reconcile_Journal; ALTER TABLE aside RENAME TO reconcile_journal",
            ),
            (
                "instances is a virtual table",
                "ALTER TABLE instances RENAME TO aside; CREATE VIRTUAL TABLE instances USING fts5(id, name)",
                "DROP TABLE instances; ALTER TABLE aside RENAME TO instances",
            ),
            (
                "reconcile_stamp is a view",
                "ALTER TABLE reconcile_stamp RENAME TO aside; CREATE VIEW reconcile_stamp AS SELECT * FROM aside",
                "DROP VIEW reconcile_stamp; ALTER TABLE aside RENAME TO reconcile_stamp",
            ),
        ],
        Database::Postgres => vec![
            (
                "sessions is a foreign table",
                "ALTER TABLE canvas.sessions RENAME TO aside;
                 CREATE FOREIGN TABLE canvas.sessions (session_id BIGINT, title TEXT, status TEXT, created_by TEXT,
                     starts_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ)
                 SERVER elsewhere OPTIONS (schema_name 'canvas', table_name 'sessions')",
                "DROP FOREIGN TABLE canvas.sessions; ALTER TABLE canvas.aside RENAME TO sessions",
            ),
            (
                "sessions is a view",
                "ALTER TABLE canvas.sessions RENAME TO aside; CREATE VIEW canvas.sessions AS SELECT * FROM canvas.aside",
                "DROP VIEW canvas.sessions; ALTER TABLE canvas.aside RENAME TO sessions",
            ),
            (
                "reconcile_journal is a materialized view",
                "ALTER TABLE canvas.reconcile_journal RENAME TO aside;
                 CREATE MATERIALIZED VIEW canvas.reconcile_journal AS SELECT * FROM canvas.aside",
                "DROP MATERIALIZED VIEW canvas.reconcile_journal;
                 ALTER TABLE canvas.aside RENAME TO reconcile_journal",
            ),
            (
                "host_sessions has a rule that does something else instead",
                "CREATE RULE elsewhere AS ON INSERT TO canvas.host_sessions DO INSTEAD NOTHING",
                "DROP RULE elsewhere ON canvas.host_sessions",
            ),
            (
                "sessions has a rule that leads to a foreign table or a view",
                "CREATE FOREIGN TABLE canvas.beyond (session_id BIGINT, title TEXT)
                     SERVER elsewhere OPTIONS (schema_name 'canvas', table_name 'sessions');
                 CREATE RULE also AS ON INSERT TO canvas.sessions
                     DO ALSO INSERT INTO canvas.beyond VALUES (NEW.session_id, NEW.title)",
                "DROP FOREIGN TABLE canvas.beyond CASCADE",
            ),
            (
                "sessions has a rule that leads to a foreign table or a view",
                "CREATE VIEW canvas.beyond AS SELECT session_id FROM canvas.reconcile_stamp, canvas.sessions;
                 CREATE RULE also AS ON UPDATE TO canvas.sessions
                     DO ALSO DELETE FROM canvas.host_sessions USING canvas.beyond WHERE beyond.session_id = 0",
                "DROP VIEW canvas.beyond CASCADE",
            ),
            (
                "sessions has a foreign table as a partition or heir",
                "CREATE TABLE canvas.between () INHERITS (canvas.sessions);
                 CREATE FOREIGN TABLE canvas.heir () INHERITS (canvas.between)
                 SERVER elsewhere OPTIONS (schema_name 'canvas', table_name 'sessions')",
                "DROP FOREIGN TABLE canvas.heir; DROP TABLE canvas.between",
            ),
            (
                "reconcile_stamp is a view",
                "ALTER TABLE canvas.reconcile_stamp RENAME TO aside;
                 CREATE VIEW canvas.reconcile_stamp AS SELECT * FROM canvas.aside",
                "DROP VIEW canvas.reconcile_stamp; ALTER TABLE canvas.aside RENAME TO reconcile_stamp",
            ),
        ],
    }
}

/// A production beside our database, and a way to it from there.
fn production_beside(world: &mut World) {
    let Some(server) = world.server() else { return };
    server.create_database("KSESSIONS");
    let (port, url) = (server.port, server.url("KSESSIONS"));
    // `postgres://postgres:PASSWORD@…`
    let password = url.split([':', '@']).nth(2).unwrap();
    server.psql("KSESSIONS", "CREATE SCHEMA canvas; CREATE TABLE canvas.sessions (session_id BIGINT, title TEXT,
        status TEXT, created_by TEXT, starts_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, created_at TIMESTAMPTZ,
        updated_at TIMESTAMPTZ); INSERT INTO canvas.sessions VALUES (215, 'theirs', 'active', 'x', NULL, NULL, now(), now())");
    let link = format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host '127.0.0.1', port '{port}', dbname 'KSESSIONS');
         CREATE USER MAPPING FOR postgres SERVER elsewhere OPTIONS (user 'postgres', password '{password}')"
    );
    server.psql("KSESSIONS_DEV", &link);
}

both! {
    fn a_name_of_ours_that_leads_elsewhere_is_refused(world) {
        production_beside(world);
        begin(world);
        for (found, done, undone) in tricks(world.database()) {
            world.sql(done);
            for command in [
                &["--plan"][..],
                &["--once"],
                &["explain", "session/215"],
                &["status"],
                &["suspend", "--reason", "R"],
                &["host", "create", "--session-id", "215"],
                &["migrate"],
                &["doctor"],
            ] {
                let told = flat(&world.run(command).expect_code(3).stderr);
                assert!(told.contains(found) && told.contains("fact 3 of 3"), "{command:?}: {told}");
            }
            if let Some(server) = world.server() {
                let theirs = "SELECT string_agg(title, ',') FROM canvas.sessions";
                assert_eq!(server.psql("KSESSIONS", theirs), "theirs\n", "{found}");
            }
            world.sql(undone);
            world.run(&["--plan"]).expect_code(0);
        }
        world.run(&["--once"]).expect_code(0);
        assert_eq!(world.sql("SELECT COUNT(*) FROM sessions").trim(), "2");
    }

    fn a_view_that_waits_for_the_first_migration_is_refused(world) {
        let schema = if world.database() == Database::Postgres { "canvas." } else { "" };
        world.seed(&format!("CREATE TABLE {schema}aside (session_id INT); CREATE VIEW {schema}sessions AS SELECT * FROM {schema}aside"));
        world.write("desired-state/week.yaml", WEEK);
        for command in [&["migrate"][..], &["migrate", "--adopt", "--environment", "development"], &["--once"], &["--plan"]] {
            let told = flat(&world.run(command).expect_code(3).stderr);
            assert!(told.contains("sessions is a view"), "{command:?}: {told}");
        }
    }
}

#[test]
fn what_only_adds_to_our_tables_is_let_be_with_postgres() {
    let mut world = World::on(Database::Postgres);
    begin(&world);
    // An application's own rule, heir and trigger, which keep each row in this database.
    let more = "CREATE TABLE canvas.seen (id BIGINT);
                CREATE RULE also AS ON INSERT TO canvas.sessions DO ALSO INSERT INTO canvas.seen VALUES (NEW.session_id);
                CREATE TABLE canvas.heir () INHERITS (canvas.reconcile_flaps);
                CREATE VIEW public.sessions AS SELECT 1 AS session_id";
    world.server().unwrap().psql("KSESSIONS_DEV", more);
    world.run(&["--once"]).expect_code(0);
    assert_eq!(world.sql("SELECT COUNT(*) FROM canvas.seen").trim(), "1");
}
