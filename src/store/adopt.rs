//! Adopting tables that stood there before us: what they lack is added, what they hold is kept.

use std::collections::{BTreeMap, BTreeSet};

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
];

/// The columns of the tables whose names we share, by table. A table that is not there is not in it.
pub async fn columns(conn: &mut Conn) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let rows = match conn {
        Conn::Sqlite(_) => fetch!(
            &mut *conn,
            "SELECT 'sessions' AS table_name, name AS column_name FROM pragma_table_info('sessions')
             UNION ALL SELECT 'host_sessions', name FROM pragma_table_info('host_sessions')"
        ),
        Conn::Postgres(..) => fetch!(
            &mut *conn,
            "SELECT table_name::text AS table_name, column_name::text AS column_name FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name IN ('sessions', 'host_sessions')"
        ),
    };
    let failed = Error::query("read the tables that are there");
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows.map_err(&failed)? {
        let table = row.get("table_name").map_err(&failed)?;
        tables.entry(table).or_default().insert(row.get("column_name").map_err(&failed)?);
    }
    Ok(tables)
}

/// Gives the tables that are there the columns that they lack; gives their names.
///
/// Errors: [`Error::CannotAdopt`] where a table lacks what no default can stand for.
pub async fn add_missing(conn: &mut Conn, tables: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for Column { table, name, sqlite, postgres, essential } in COLUMNS {
        if tables.get(*table).is_none_or(|columns| columns.contains(*name)) {
            continue;
        }
        if *essential {
            return Err(Error::CannotAdopt { table, column: name });
        }
        // All of it is text of ours, from the list above.
        let form = match conn {
            Conn::Sqlite(_) => sqlite,
            Conn::Postgres(..) => postgres,
        };
        let sql = AssertSqlSafe(format!("ALTER TABLE {table} ADD COLUMN {name} {form}"));
        script(conn, sql).await.map_err(Error::query("add a column"))?;
        names.push(format!("{table}.{name}"));
    }
    Ok(names)
}
