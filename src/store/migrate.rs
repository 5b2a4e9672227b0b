//! The schema: made and upgraded in one transaction, by migrations that are part of the binary.

use sha2::{Digest, Sha256};

use super::adopt;
use super::connect::Database;
use super::error::{Error, Result};
use super::file;
use super::sql::{Conn, begin_to_write, execute, fetch, now, script};
use super::stamp::{self, Stamped};
use crate::change::hex;
use crate::guard::{Place, Target};

/// One step of the schema. Same number and name on both databases.
struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "main",
        sqlite: include_str!("../../migrations/sqlite/0001_main.sql"),
        postgres: include_str!("../../migrations/postgres/0001_main.sql"),
    },
    Migration {
        version: 2,
        name: "instances",
        sqlite: include_str!("../../migrations/sqlite/0002_instances.sql"),
        postgres: include_str!("../../migrations/postgres/0002_instances.sql"),
    },
    Migration {
        version: 3,
        name: "ledger",
        sqlite: include_str!("../../migrations/sqlite/0003_ledger.sql"),
        postgres: include_str!("../../migrations/postgres/0003_ledger.sql"),
    },
    Migration {
        version: 4,
        name: "tokens",
        sqlite: include_str!("../../migrations/sqlite/0004_tokens.sql"),
        postgres: include_str!("../../migrations/postgres/0004_tokens.sql"),
    },
    Migration {
        version: 5,
        name: "requests",
        sqlite: include_str!("../../migrations/sqlite/0005_requests.sql"),
        postgres: include_str!("../../migrations/postgres/0005_requests.sql"),
    },
    Migration {
        version: 6,
        name: "billing",
        sqlite: include_str!("../../migrations/sqlite/0006_billing.sql"),
        postgres: include_str!("../../migrations/postgres/0006_billing.sql"),
    },
    Migration {
        version: 7,
        name: "notices",
        sqlite: include_str!("../../migrations/sqlite/0007_notices.sql"),
        postgres: include_str!("../../migrations/postgres/0007_notices.sql"),
    },
    Migration {
        version: 8,
        name: "lineage",
        sqlite: include_str!("../../migrations/sqlite/0008_lineage.sql"),
        postgres: include_str!("../../migrations/postgres/0008_lineage.sql"),
    },
    Migration {
        version: 9,
        name: "failures",
        sqlite: include_str!("../../migrations/sqlite/0009_failures.sql"),
        postgres: include_str!("../../migrations/postgres/0009_failures.sql"),
    },
    Migration {
        version: 10,
        name: "handoff_store",
        sqlite: include_str!("../../migrations/sqlite/0010_handoff_store.sql"),
        postgres: include_str!("../../migrations/postgres/0010_handoff_store.sql"),
    },
    Migration {
        version: 11,
        name: "protections",
        sqlite: include_str!("../../migrations/sqlite/0011_protections.sql"),
        postgres: include_str!("../../migrations/postgres/0011_protections.sql"),
    },
    Migration {
        version: 12,
        name: "origin",
        sqlite: include_str!("../../migrations/sqlite/0012_origin.sql"),
        postgres: include_str!("../../migrations/postgres/0012_origin.sql"),
    },
];

impl Migration {
    fn sql(&self, conn: &Conn) -> &'static str {
        match conn {
            Conn::Sqlite(_) => self.sqlite,
            Conn::Postgres(..) => self.postgres,
        }
    }

    /// SHA-256 of its text, in hexadecimal.
    fn checksum(&self, conn: &Conn) -> String {
        hex(&Sha256::digest(self.sql(conn)))
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations that ran.
    pub ran: Vec<String>,
    /// The environment that the database was stamped with, if it was.
    pub stamped: Option<String>,
    /// Columns that were added to tables that stood there before.
    pub adopted: Vec<String>,
    /// Sessions with several active hosts: while there are any, the index that forbids it waits.
    pub duplicates: Vec<i64>,
}

impl Database {
    /// As [`Database::write`]; but makes a SQLite file that is missing, mode 0600, and its directory, mode 0700.
    ///
    /// Errors: as [`Database::write`]; [`Error::File`] when the file cannot be made.
    pub async fn create(&self) -> Result<Conn> {
        if let Target::Sqlite(target) = self.target()
            && let Place::Missing(path) = self.locate(target)?
        {
            file::create(&path)?;
        }
        self.write().await
    }
}

/// Creates or upgrades the schema, and stamps a new database. Running it again does nothing.
///
/// Guarantees: all of it, or nothing.
/// Errors: a schema newer than this binary, tables that cannot be adopted, a refusal of the guard.
pub async fn migrate(database: &Database, by: &str) -> Result<Migrated> {
    migrate_on(database.create().await?, database, by).await
}

/// As [`migrate`], but makes no SQLite file.
///
/// Errors: as [`migrate`]; [`Error::Absent`] where there is no SQLite file.
pub async fn upgrade(database: &Database, by: &str) -> Result<Migrated> {
    migrate_on(database.write().await?, database, by).await
}

async fn migrate_on(mut conn: Conn, database: &Database, by: &str) -> Result<Migrated> {
    begin_to_write(&mut conn).await.map_err(Error::query("begin to migrate"))?;
    alone(&mut conn).await?;
    if let Conn::Postgres(..) = &conn {
        database.options().schema.create(&mut conn).await?;
    }
    let version = version(&mut conn).await?;
    let mut migrated = Migrated::default();
    let is_behind = MIGRATIONS.iter().any(|migration| version.is_none_or(|version| migration.version > version));
    if let (true, Conn::Postgres(..)) = (is_behind, &conn) {
        database.options().schema.lets_in_tables(&mut conn).await?;
    }
    if version.is_none() {
        create_register(&mut conn).await?;
    }
    let stamped = database.stamped(&mut conn).await?;
    let before = adopt::columns(&mut conn).await?;
    for migration in MIGRATIONS.iter().filter(|migration| version.is_none_or(|version| migration.version > version)) {
        if migration.version == 1 {
            migrated.adopted = adopt::add_missing(&mut conn, &before).await?;
        }
        run(&mut conn, migration).await?;
        migrated.ran.push(format!("{:04}_{}", migration.version, migration.name));
    }
    if !matches!(stamped, Stamped::Ours(_)) {
        migrated.stamped = Some(stamp::write(&mut conn, database, by).await?.environment);
    }
    migrated.duplicates = one_active_index(&mut conn).await?;
    execute!(&mut conn, "COMMIT").map_err(Error::query("commit the migration"))?;
    conn.close().await;
    Ok(migrated)
}

async fn create_register(conn: &mut Conn) -> Result<()> {
    let sql = match conn {
        Conn::Sqlite(_) => {
            "CREATE TABLE reconcile_migrations
             (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
        }
        Conn::Postgres(..) => {
            "CREATE TABLE reconcile_migrations
             (version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL)"
        }
    };
    execute!(conn, sql).map(drop).map_err(Error::query("create the register of migrations"))
}

async fn run(conn: &mut Conn, migration: &Migration) -> Result<()> {
    let sql = migration.sql(conn);
    script(conn, sql).await.map_err(Error::query("run a migration"))?;
    let checksum = migration.checksum(conn);
    execute!(
        conn,
        "INSERT INTO reconcile_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
        migration.version,
        migration.name,
        checksum,
        now(),
    )
    .map(drop)
    .map_err(Error::query("register a migration"))
}

/// The newest migration that ran here; `None` without a schema of ours.
///
/// Errors: [`Error::SchemaNewer`] when this binary does not know it; [`Error::SchemaOther`] when a migration that ran here
/// is not the one of that number that this binary has.
pub async fn version(conn: &mut Conn) -> Result<Option<i64>> {
    let failed = Error::query("look for the schema");
    let there = match conn {
        Conn::Sqlite(_) => fetch!(
            &mut *conn,
            "SELECT 1 AS there FROM sqlite_master WHERE type = 'table' AND name = 'reconcile_migrations'"
        ),
        Conn::Postgres(..) => fetch!(
            &mut *conn,
            // By the search path. To ask for `current_schema()` would make a temporary one, where the role may not use
            // ours and may make none.
            "SELECT 1 AS there WHERE pg_catalog.to_regclass('reconcile_migrations') IS NOT NULL"
        ),
    };
    if there.map_err(&failed)?.is_empty() {
        return Ok(None);
    }
    let rows = fetch!(&mut *conn, "SELECT version, name, checksum FROM reconcile_migrations ORDER BY version");
    let (mut version, mut other) = (None, None);
    for row in rows.map_err(&failed)? {
        let (found, name): (i64, String) = (row.get("version").map_err(&failed)?, row.get("name").map_err(&failed)?);
        let checksum: String = row.get("checksum").map_err(&failed)?;
        let known = MIGRATIONS.iter().find(|migration| migration.version == found);
        if known.is_some_and(|migration| migration.checksum(conn) != checksum) {
            other.get_or_insert(format!("{found:04}_{name}"));
        }
        version = Some(found);
    }
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    match (version, other) {
        (Some(found), _) if found > known => Err(Error::SchemaNewer { found, known }),
        (_, Some(name)) => Err(Error::SchemaOther { name }),
        (version, None) => Ok(version),
    }
}

/// Whether the schema is there, and as new as this binary. `false`: there is none.
///
/// Errors: it is older ([`Error::SchemaOlder`]) or newer.
pub async fn is_current(conn: &mut Conn) -> Result<bool> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    match version(conn).await? {
        None => Ok(false),
        Some(found) if found < known => Err(Error::SchemaOlder { found, known }),
        Some(_) => Ok(true),
    }
}

/// Waits until nobody else makes tables or the index: several replicas may start at once, and two people consolidate.
/// PostgreSQL alone would let both begin, and then fail one. To be called in a transaction, which ends it.
pub async fn alone(conn: &mut Conn) -> Result<()> {
    if let Conn::Sqlite(_) = conn {
        return Ok(());
    }
    // The number is arbitrary, and only ours.
    execute!(conn, "SELECT pg_advisory_xact_lock(7236543891)")
        .map(drop)
        .map_err(Error::query("wait for other migrations"))
}

/// Whether the index is to be made. PostgreSQL would ask for the owner even where it is there.
///
/// Errors: [`Error::Rights`] where it is missing and the role does not own the table.
async fn may_make_index(conn: &mut Conn) -> Result<bool> {
    if matches!(conn, Conn::Sqlite(_)) {
        return Ok(true);
    }
    let failed = Error::query("look for the index of active hosts");
    let rows = fetch!(
        conn,
        "SELECT pg_catalog.to_regclass('host_sessions_one_active') IS NOT NULL AS stands,
                pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owns, pg_catalog.pg_get_userbyid(c.relowner)::text AS owner
         FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass('host_sessions')"
    );
    let rows = rows.map_err(failed)?;
    let row = rows.first().ok_or(Error::SchemaMissing)?;
    if row.get("stands").map_err(failed)? {
        return Ok(false);
    }
    if row.get("owns").map_err(failed)? {
        return Ok(true);
    }
    let owner: String = row.get("owner").map_err(failed)?;
    let (who, what) = ("the role".to_owned(), "make the index host_sessions_one_active".to_owned());
    Err(Error::Rights { who, what, mend: format!("run the same as {owner}, who owns the table") })
}

/// Makes the index that allows one active host per session; gives the sessions that stand against it.
///
/// Errors: [`Error::Rights`] where it is missing and the role does not own the table.
pub async fn one_active_index(conn: &mut Conn) -> Result<Vec<i64>> {
    if !may_make_index(conn).await? {
        return Ok(Vec::new());
    }
    let failed = Error::query("look for sessions with several active hosts");
    let rows = fetch!(
        &mut *conn,
        "SELECT session_id FROM host_sessions WHERE is_active GROUP BY session_id HAVING COUNT(*) > 1 ORDER BY session_id"
    );
    let ids =
        rows.map_err(&failed)?.iter().map(|row| row.get("session_id")).collect::<std::result::Result<Vec<i64>, _>>();
    let ids = ids.map_err(&failed)?;
    if ids.is_empty() {
        execute!(
            conn,
            "CREATE UNIQUE INDEX IF NOT EXISTS host_sessions_one_active ON host_sessions (session_id) WHERE is_active"
        )
        .map_err(Error::query("make the index of active hosts"))?;
    }
    Ok(ids)
}
