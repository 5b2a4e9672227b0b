//! The least rights: the manual's SQL, taken from the manual, makes roles with which each command does what it should;
//! with one right less, or as a lesser role, it is refused with the right's name and the way out.

use std::fs;
use std::path::Path;

use crate::fixture::{Database, World, both, rows};

const CATALOG: &str = "KSESSIONS_DEV";
const PASSWORD: &str = "least-rights";
const WEEK: &str = "
sessions: [{id: 1, title: One}, {id: 2, title: Two}]
hosts: [{session: 1}, {session: 2}]
";

/// The statements of the manual that begin with the block that holds `word`.
pub fn statements(word: &str) -> Vec<String> {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut blocks = manual.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains(word)).unwrap_or_else(|| panic!("no SQL with {word}"));
    let bare = |line: &str| match line.split_once("--") {
        Some((before, _)) => before.to_owned(),
        // `psql` ends its own command with the line.
        None if line.starts_with('\\') => format!("{line};"),
        None => line.to_owned(),
    };
    let text = block.lines().map(bare).collect::<Vec<_>>().join("\n");
    let text = text.replace("KSESSIONS", CATALOG).replace('…', PASSWORD);
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// From now on the program logs in as this role.
pub fn log_in(world: &mut World, role: &str) {
    let url = world.server().unwrap().url_as(role, PASSWORD, CATALOG);
    world.env("RECONCILE_DATABASE_URL", &url);
}

/// The database and the roles as the manual makes them, still without tables.
fn begin() -> World {
    let mut world = World::on(Database::Postgres);
    let server = world.server().unwrap();
    server.psql("postgres", &format!("DROP DATABASE \"{CATALOG}\""));
    let mut database = "postgres";
    for statement in statements("CREATE ROLE reconcile_migrator") {
        if statement.starts_with("\\connect") {
            database = CATALOG;
            continue;
        }
        server.psql(database, &statement);
    }
    world.write("desired-state/week.yaml", WEEK);
    world
}

/// As [`begin`], with tables, and the rights on them; the program logs in as the applier.
pub fn manual() -> World {
    let mut world = begin();
    log_in(&mut world, "reconcile_migrator");
    world.run(&["migrate"]).expect_code(0);
    let owner = world.server().unwrap().url_as("reconcile_migrator", PASSWORD, CATALOG);
    for statement in statements("GRANT USAGE ON SCHEMA canvas") {
        rows(&owner, &statement).unwrap_or_else(|why| panic!("{statement}: {why}"));
    }
    log_in(&mut world, "reconcile_applier");
    world
}

fn admin(world: &mut World, statements: &str) -> String {
    world.server().unwrap().psql(CATALOG, statements)
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_command_works_with_its_role_with_postgres() {
    let mut world = manual();
    let special = "SELECT COUNT(*) FROM pg_roles WHERE rolname LIKE 'reconcile%'
                   AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)";
    assert_eq!(admin(&mut world, special), "0\n");
    let doctor = world.run(&["doctor"]).expect_code(0).stdout;
    assert!(doctor.contains("may read and write 27 tables"), "{doctor}");
    for arguments in [
        &["migrate"][..],
        &["--once"],
        &["host", "claim", "1"],
        &["host", "rotate", "--session-id", "1"],
        &["host", "create", "--session-id", "2", "--force-new"],
        &["host", "revoke", "--session-id", "1"],
        &["host", "consolidate"],
        &["suspend", "session/1", "--reason", "Looked at"],
        &["resume", "session/1", "--reason", "Looked at"],
        &["--once"],
        &["--plan", "--out", "saved.plan"],
        &["--apply", "saved.plan"],
    ] {
        world.run(arguments).expect_code(0);
    }
    let nothing = world.run(&["approve", "0123456789abcdef0123456789abcdef", "--reason", "Looked at"]).expect_code(1);
    assert!(nothing.stderr.contains("nothing waits for approval"), "{}", nothing.text());
    log_in(&mut world, "reconcile_planner");
    for arguments in [
        &["--plan"][..],
        &["status"],
        &["doctor"],
        &["history"],
        &["explain", "session/1"],
        &["host", "consolidate", "--dry-run"],
    ] {
        let said = world.run(arguments).expect_code(0);
        assert!(!said.text().contains("permission denied"), "{arguments:?}: {}", said.text());
    }
    log_in(&mut world, "reconcile_migrator");
    let again = world.run(&["migrate"]).expect_code(0).stdout;
    assert!(again.contains("The schema is up to date."), "{again}");
    world.run(&["migrate", "--restamp", "--reason", "A restore"]).expect_code(0);
}

#[test]
fn each_right_that_is_missing_is_named_with_what_mends_it_with_postgres() {
    let mut world = manual();
    let granted = "SELECT table_name, privilege_type FROM information_schema.role_table_grants
                   WHERE grantee = 'reconcile_applier' ORDER BY 1, 2";
    let granted = admin(&mut world, granted);
    assert!(granted.lines().count() > 40, "{granted}");
    for line in granted.lines() {
        let (table, right) = line.split_once('|').unwrap();
        admin(&mut world, &format!("REVOKE {right} ON canvas.{table} FROM reconcile_applier"));
        let doctor = world.run(&["doctor"]).expect_code(1);
        let said = flat(&doctor.text());
        let mend = format!("GRANT {right} ON canvas.{table} TO reconcile_applier;");
        // The stamp is read before anything else.
        let early = (right, table) == ("SELECT", "reconcile_stamp");
        let named = match early {
            true => format!("permission denied for table {table}"),
            false => format!("the role reconcile_applier may not {right} canvas.{table}"),
        };
        assert!(said.contains(&named), "{table} {right}: {said}");
        assert!(early || said.contains(&mend), "{table} {right}: {said}");
        admin(&mut world, &mend);
    }
    world.run(&["doctor"]).expect_code(0);
    // Who shortens the journal needs one more, which nobody else has.
    world.env("RECONCILE_JOURNAL_RETENTION", "90d");
    let said = flat(&world.run(&["doctor"]).expect_code(1).text());
    let mend = "GRANT DELETE ON canvas.reconcile_journal TO reconcile_applier;";
    assert!(said.contains("may not DELETE canvas.reconcile_journal") && said.contains(mend), "{said}");
    world.run(&["--once"]).expect_code(1);
    admin(&mut world, mend);
    world.run(&["doctor"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
}

#[test]
fn a_lesser_role_is_refused_and_told_why_with_postgres() {
    let mut world = manual();
    let refused = |world: &World, arguments: &[&str], why: &[&str]| {
        let said = flat(&world.run(arguments).expect_code(1).stderr);
        assert!(why.iter().all(|why| said.contains(why)), "{arguments:?}: {said}");
    };
    let grant = "grant what is lacking; `reconcile doctor` names it";
    log_in(&mut world, "reconcile_planner");
    refused(&world, &["--once"], &["permission denied for table reconcile_lease", grant]);
    refused(&world, &["suspend", "--reason", "R"], &["permission denied for table reconcile_suspensions", grant]);
    log_in(&mut world, "reconcile_applier");
    admin(&mut world, "REVOKE INSERT ON canvas.reconcile_journal FROM reconcile_applier");
    refused(&world, &["--once"], &["permission denied for table reconcile_journal", grant]);
    assert_eq!(world.sql("SELECT COUNT(*) FROM sessions"), "0\n", "nothing is written that is not journalled");
    admin(&mut world, "GRANT INSERT ON canvas.reconcile_journal TO reconcile_applier");
    world.run(&["--once"]).expect_code(0);
    for statement in [
        "DELETE FROM canvas.sessions",
        "UPDATE canvas.reconcile_journal SET actor = 'nobody'",
        "UPDATE canvas.reconcile_stamp SET environment = 'production'",
        "CREATE TABLE canvas.mine (id INT)",
        "CREATE TEMPORARY TABLE mine (id INT)",
    ] {
        let applier = world.server().unwrap().url_as("reconcile_applier", PASSWORD, CATALOG);
        assert!(rows(&applier, statement).is_err_and(|why| why.contains("permission denied")), "{statement}");
    }
    // What was made before there was an index against it is its owner's to mend.
    let twice = "DROP INDEX canvas.host_sessions_one_active; INSERT INTO canvas.host_sessions
                 (session_id, host_guid_hash, created_at, created_by) VALUES (1, 'other', now(), 'somebody')";
    admin(&mut world, twice);
    let owner = "run the same as reconcile_migrator, who owns the table";
    refused(&world, &["host", "consolidate"], &["may not make the index host_sessions_one_active", owner]);
    assert_eq!(world.sql("SELECT COUNT(*) FROM host_sessions WHERE is_active"), "3\n", "all or nothing");
    log_in(&mut world, "reconcile_migrator");
    world.run(&["host", "consolidate"]).expect_code(0);
    log_in(&mut world, "reconcile_applier");
    admin(&mut world, "REVOKE USAGE ON SCHEMA canvas FROM reconcile_applier");
    refused(&world, &["doctor"], &["GRANT USAGE ON SCHEMA canvas"]);
    admin(&mut world, &format!("REVOKE CONNECT ON DATABASE \"{CATALOG}\" FROM reconcile_applier"));
    refused(&world, &["--plan"], &["permission denied for database", grant]);
}

#[test]
fn only_the_migrator_makes_tables_with_postgres() {
    let mut world = begin();
    for role in ["reconcile_applier", "reconcile_planner"] {
        log_in(&mut world, role);
        let said = flat(&world.run(&["migrate"]).expect_code(1).stderr);
        assert!(said.contains("the role may not make tables in the schema canvas"), "{role}: {said}");
        assert!(said.contains("migrate as reconcile_migrator, who owns the schema"), "{role}: {said}");
        let said = flat(&world.run(&["--once"]).expect_code(1).stderr);
        assert!(
            said.contains("the schema is missing") && said.contains("run `reconcile migrate` first"),
            "{role}: {said}"
        );
    }
    admin(&mut world, "DROP SCHEMA canvas");
    log_in(&mut world, "reconcile_migrator");
    let said = flat(&world.run(&["migrate"]).expect_code(1).stderr);
    assert!(said.contains("cannot create the schema") && said.contains("permission denied for database"), "{said}");
}

both! {
    fn what_is_private_is_its_owners_alone(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        world.run(&["suspend", "--reason", "Night"]).expect_code(0);
        world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
        let open = world.sh("find .reconcile saved.plan \\( -type f -perm /077 -o -type d -perm /077 \\) ! -name .gitignore");
        assert_eq!(open.expect_code(0).stdout, "");
        assert!(world.sh("find .reconcile/handoff -type f").stdout.lines().count() >= 2, "there is something to look at");
    }
}
