//! Adopting tables that stood there before us: what they lack is added, what they hold is kept.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use super::error::{Error, Result};
use super::sql::{Conn, fetch, script};

/// A column that our statements need, as a table that lacks it can be given it.
struct Column {
    table: &'static str,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    /// A table without it is not the table that we take it for.
    essential: bool,
}

const fn essential(table: &'static str, name: &'static str) -> Column {
    Column { table, name, sqlite: "", postgres: "", essential: true }
}

const fn added(table: &'static str, name: &'static str, sqlite: &'static str, postgres: &'static str) -> Column {
    Column { table, name, sqlite, postgres, essential: false }
}

const EPOCH: &str = "TEXT NOT NULL DEFAULT '1970-01-01T00:00:00+00:00'";
const EPOCH_PG: &str = "TIMESTAMPTZ NOT NULL DEFAULT '1970-01-01T00:00:00Z'";

const COLUMNS: &[Column] = &[
    essential("sessions", "session_id"),
    essential("sessions", "title"),
    added("sessions", "status", "TEXT NOT NULL DEFAULT 'active'", "TEXT NOT NULL DEFAULT 'active'"),
    added("sessions", "created_by", "TEXT NOT NULL DEFAULT 'adopted'", "VARCHAR(128) NOT NULL DEFAULT 'adopted'"),
    added("sessions", "starts_at", "TEXT", "TIMESTAMPTZ"),
    added("sessions", "expires_at", "TEXT", "TIMESTAMPTZ"),
    added("sessions", "created_at", EPOCH, EPOCH_PG),
    added("sessions", "updated_at", EPOCH, EPOCH_PG),
    essential("host_sessions", "host_session_id"),
    essential("host_sessions", "session_id"),
    essential("host_sessions", "host_guid_hash"),
    essential("host_sessions", "is_active"),
    added("host_sessions", "key_id", "TEXT", "TEXT"),
    added("host_sessions", "created_at", EPOCH, EPOCH_PG),
    added("host_sessions", "created_by", "TEXT NOT NULL DEFAULT 'adopted'", "VARCHAR(128) NOT NULL DEFAULT 'adopted'"),
    added("host_sessions", "expires_at", "TEXT", "TIMESTAMPTZ"),
    added("host_sessions", "last_used_at", "TEXT", "TIMESTAMPTZ"),
    added("host_sessions", "revoked_at", "TEXT", "TIMESTAMPTZ"),
    added("host_sessions", "revoked_by", "TEXT", "VARCHAR(128)"),
    added("host_sessions", "rotation", "INTEGER NOT NULL DEFAULT 0", "BIGINT NOT NULL DEFAULT 0"),
    added("host_sessions", "generation", "INTEGER NOT NULL DEFAULT 1", "BIGINT NOT NULL DEFAULT 1"),
    added("host_sessions", "attempt", "TEXT", "UUID"),
    added("host_sessions", "previous_hash", "TEXT", "VARCHAR(128)"),
    added("host_sessions", "previous_key_id", "TEXT", "TEXT"),
    added("host_sessions", "previous_valid_until", "TEXT", "TIMESTAMPTZ"),
    essential("db_servers", "id"),
    essential("db_servers", "name"),
    essential("db_servers", "host"),
    added("db_servers", "port", "INTEGER NOT NULL DEFAULT 5432", "BIGINT NOT NULL DEFAULT 5432"),
    added("db_servers", "server_type", "TEXT NOT NULL DEFAULT 'shared'", "TEXT NOT NULL DEFAULT 'shared'"),
    essential("db_servers", "max_instances"),
    added("db_servers", "current_instances", "INTEGER NOT NULL DEFAULT 0", "BIGINT NOT NULL DEFAULT 0"),
    added("db_servers", "status", "TEXT NOT NULL DEFAULT 'active'", "TEXT NOT NULL DEFAULT 'active'"),
    added("db_servers", "health_status", "TEXT NOT NULL DEFAULT 'unknown'", "TEXT NOT NULL DEFAULT 'unknown'"),
    added("db_servers", "priority", "INTEGER NOT NULL DEFAULT 100", "BIGINT NOT NULL DEFAULT 100"),
    added("db_servers", "last_allocated_at", "TEXT", "TIMESTAMPTZ"),
    added("db_servers", "created_at", EPOCH, EPOCH_PG),
    added("db_servers", "updated_at", EPOCH, EPOCH_PG),
    essential("instances", "id"),
    essential("instances", "customer_id"),
    added("instances", "subscription_id", "TEXT", "UUID"),
    essential("instances", "name"),
    added("instances", "plan_tier", "TEXT NOT NULL DEFAULT 'standard'", "TEXT NOT NULL DEFAULT 'standard'"),
    added("instances", "status", "TEXT NOT NULL DEFAULT 'active'", "TEXT NOT NULL DEFAULT 'active'"),
    added("instances", "provisioning_status", "TEXT NOT NULL DEFAULT 'ready'", "TEXT NOT NULL DEFAULT 'ready'"),
    added("instances", "db_server_id", "TEXT", "UUID"),
    added("instances", "db_host", "TEXT", "VARCHAR(255)"),
    added("instances", "db_port", "INTEGER DEFAULT 5432", "BIGINT DEFAULT 5432"),
    added("instances", "created_at", EPOCH, EPOCH_PG),
    added("instances", "updated_at", EPOCH, EPOCH_PG),
];

/// Columns that hold whole numbers; other columns that are neither times nor among these two lists hold text.
const NUMBERS: &[&str] = &[
    "session_id",
    "host_session_id",
    "rotation",
    "generation",
    "port",
    "max_instances",
    "current_instances",
    "priority",
    "db_port",
];
const UUIDS: &[&str] = &["attempt", "id", "customer_id", "subscription_id", "db_server_id"];

/// The tables whose names we share, with the type of each of their columns; empty on SQLite, which has none to speak of.
/// A table that is not there is not in it.
pub type Tables = BTreeMap<String, BTreeMap<String, String>>;

pub async fn columns(conn: &mut Conn) -> Result<Tables> {
    let rows = match conn {
        Conn::Sqlite(_) => fetch!(
            &mut *conn,
            "SELECT 'sessions' AS table_name, name AS column_name, '' AS type FROM pragma_table_info('sessions')
             UNION ALL SELECT 'host_sessions', name, '' FROM pragma_table_info('host_sessions')
             UNION ALL SELECT 'db_servers', name, '' FROM pragma_table_info('db_servers')
             UNION ALL SELECT 'instances', name, '' FROM pragma_table_info('instances')"
        ),
        Conn::Postgres(..) => fetch!(
            &mut *conn,
            "SELECT table_name::text AS table_name, column_name::text AS column_name, udt_name::text AS type
             FROM information_schema.columns
             WHERE table_schema = current_schema()
               AND table_name IN ('sessions', 'host_sessions', 'db_servers', 'instances')"
        ),
    };
    let failed = Error::query("read the tables that are there");
    let mut tables = Tables::new();
    for row in rows.map_err(failed)? {
        let (table, column) = (row.get("table_name").map_err(failed)?, row.get("column_name").map_err(failed)?);
        let columns: &mut BTreeMap<String, String> = tables.entry(table).or_default();
        columns.insert(column, row.get("type").map_err(failed)?);
    }
    Ok(tables)
}

/// Gives the tables that are there the columns that they lack, and widens those that are too narrow; gives their names.
///
/// Errors: [`Error::CannotAdopt`] where a table lacks what no default can stand for, [`Error::CannotAdoptType`] where a
/// column holds something else than ours.
pub async fn add_missing(conn: &mut Conn, tables: &Tables) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for column in COLUMNS {
        let Some(columns) = tables.get(column.table) else { continue };
        let altered = match columns.get(column.name) {
            Some(found) => widened(column, found)?,
            None if column.essential => {
                return Err(Error::CannotAdopt { table: column.table, column: column.name });
            }
            None => {
                let form = match conn {
                    Conn::Sqlite(_) => column.sqlite,
                    Conn::Postgres(..) => column.postgres,
                };
                Some(format!("ADD COLUMN {} {form}", column.name))
            }
        };
        // All of it is text of ours, from the list above.
        if let Some(change) = altered {
            let sql = AssertSqlSafe(format!("ALTER TABLE {} {change}", column.table));
            script(conn, sql).await.map_err(Error::query("adapt a column"))?;
            names.push(format!("{}.{}", column.table, column.name));
        }
    }
    Ok(names)
}

/// How a column of PostgreSQL becomes one that our statements can read; `None`: it is one already.
fn widened(column: &Column, found: &str) -> Result<Option<String>> {
    let Column { table, name, .. } = *column;
    let is_time = name.ends_with("_at") || name.ends_with("_until");
    let (is_number, is_uuid) = (NUMBERS.contains(&name), UUIDS.contains(&name));
    match found {
        "" => Ok(None),
        "int8" if is_number => Ok(None),
        "int2" | "int4" if is_number => Ok(Some(format!("ALTER COLUMN {name} TYPE BIGINT"))),
        "timestamptz" if is_time => Ok(None),
        // Without a zone, as the older tools wrote them: UTC.
        "timestamp" if is_time => {
            Ok(Some(format!("ALTER COLUMN {name} TYPE TIMESTAMPTZ USING {name} AT TIME ZONE 'UTC'")))
        }
        "bool" if name == "is_active" => Ok(None),
        "uuid" if is_uuid => Ok(None),
        "text" | "varchar" if !is_number && !is_time && !is_uuid && name != "is_active" => Ok(None),
        found => Err(Error::CannotAdoptType { table, column: name, found: found.to_owned() }),
    }
}
