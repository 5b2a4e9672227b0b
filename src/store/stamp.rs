//! The stamp: what the database itself says about whose it is. The guard's third fact.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::connect::{Database, Purpose};
use super::diverted::{self, Diverted};
use super::error::{Cause, Error};
use super::schema::Schema;
use super::sql::{Conn, Id, Row, execute, fetch, now};
use crate::guard::{Admitted, Fact, Guard, Owner, Refusal};

/// As many foreign tables are named in a refusal.
const SHOWN: usize = 5;

/// One row of `reconcile_stamp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub environment: String,
    /// Made anew at each stamping: tells a database from another of the same name.
    pub identity: Uuid,
    /// PostgreSQL's own, where it may be read; `None` on SQLite.
    pub system_identifier: Option<String>,
    pub stamped_at: DateTime<Utc>,
    pub stamped_by: String,
}

/// What a database says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamped {
    /// No stamp and no tables: the first migration stamps it.
    Nothing,
    /// No stamp, but tables that are not ours; the first few of their names.
    Foreign {
        tables: Vec<String>,
    },
    Ours(Stamp),
}

impl Database {
    /// Whose everything is that is written for this database elsewhere; `None` until its stamp was seen.
    pub fn owner(&self) -> Option<Owner> {
        (*self.known()).map(|identity| Owner::new(self.guard().environment().clone(), identity))
    }
}

/// Reads the stamp, or what stands in its place; but not where a name of ours leads elsewhere, be it the stamp's.
///
/// Errors: [`Error::Query`], also when the role may not read the stamp.
pub async fn read(conn: &mut Conn, schema: &Schema) -> Result<Result<Stamped, Diverted>, Error> {
    match tables(conn, schema).await? {
        Found { diverted: Some(what), .. } => Ok(Err(Diverted(what))),
        Found { names, stamped, diverted: None } => read_stamp(conn, schema, names, stamped).await.map(Ok),
    }
}

async fn read_stamp(conn: &mut Conn, schema: &Schema, tables: Vec<String>, stamped: bool) -> Result<Stamped, Error> {
    if !stamped {
        return Ok(if tables.is_empty() { Stamped::Nothing } else { Stamped::Foreign { tables } });
    }
    let rows = fetch!(
        conn,
        "SELECT environment, identity, system_identifier, stamped_at, stamped_by
         FROM reconcile_stamp WHERE stamp_id = 1"
    )
    // It is there, as the catalogue says: PostgreSQL does not see into a schema that the role may not use.
    .map_err(|error| match Cause::of(&error) {
        Cause::SchemaMissing => {
            let mend = format!("GRANT USAGE ON SCHEMA {schema} to it, or use a role that has it");
            Error::Rights { who: "the role".to_owned(), what: format!("use the schema {schema}"), mend }
        }
        _ => failed()(error),
    })?;
    match rows.first() {
        Some(row) => stamp(row).map(Stamped::Ours).map_err(failed()),
        None => Ok(Stamped::Foreign { tables }),
    }
}

/// Fact 3 for `purpose`. `system_identifier`: what this server says, where it may be asked.
///
/// Errors: tables without a stamp, but for adoption; a stamp of another environment or server, but for restamping.
pub fn check(
    guard: &Guard,
    admitted: &Admitted,
    stamped: &Stamped,
    system_identifier: Option<&str>,
    purpose: Purpose,
) -> Result<(), Refusal> {
    match (stamped, purpose) {
        (Stamped::Nothing, _) | (Stamped::Foreign { .. }, Purpose::Adopt) | (Stamped::Ours(_), Purpose::Restamp) => {
            Ok(())
        }
        (Stamped::Foreign { tables }, Purpose::Use | Purpose::Restamp) => {
            let more = if tables.len() > SHOWN { ", …" } else { "" };
            let named = tables.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let why = format!("the database has tables of its own and no stamp: {named}{more}");
            let mend =
                format!("if it is to be {0}'s: reconcile migrate --adopt --environment {0}", guard.environment());
            Err(guard.refuse(admitted, Fact::Stamp, why, mend))
        }
        (Stamped::Ours(stamp), Purpose::Use | Purpose::Adopt) => {
            guard.agree_stamp(admitted, &stamp.environment)?;
            match (&stamp.system_identifier, system_identifier) {
                (Some(then), Some(here)) if then != here => {
                    let why = format!("the database was stamped on the server {then}, and this is the server {here}");
                    let mend = "after a restore or an upgrade: reconcile migrate --restamp --reason REASON";
                    Err(guard.refuse(admitted, Fact::Stamp, why, mend))
                }
                _ => Ok(()),
            }
        }
    }
}

/// For the inside of every write transaction: environment, identity, whether our names are still tables of this database
/// and, on PostgreSQL, the catalog's name, in one statement.
///
/// Errors: [`Error::Refused`]; [`Error::SchemaMissing`] where there is no stamp to check.
pub async fn check_stamp(conn: &mut Conn, database: &Database) -> Result<Stamp, Error> {
    let (names, schema) = (diverted::names(), database.options().schema.as_str());
    let rows = match conn {
        Conn::Sqlite(_) => fetch!(
            &mut *conn,
            concat!(
                "SELECT environment, identity, system_identifier, stamped_at, stamped_by, NULL AS catalog, ",
                diverted::sqlite!(),
                " AS diverted FROM reconcile_stamp WHERE stamp_id = 1"
            ),
            &names
        ),
        Conn::Postgres(..) => fetch!(
            &mut *conn,
            concat!(
                "SELECT environment, identity, system_identifier, stamped_at, stamped_by,
                    pg_catalog.current_database()::text AS catalog, ",
                diverted::postgres!(),
                " AS diverted FROM reconcile_stamp WHERE stamp_id = 1"
            ),
            &names,
            schema
        ),
    };
    let rows = rows.map_err(|error| missing(conn, error))?;
    let row = rows.first().ok_or(Error::SchemaMissing)?;
    if let Some(what) = row.get::<Option<String>>("diverted").map_err(failed())? {
        return Err(Diverted(what).refused(database));
    }
    let catalog: Option<String> = row.get("catalog").map_err(failed())?;
    let stamp = stamp(row).map_err(failed())?;
    database.recheck(catalog.as_deref(), &stamp)?;
    Ok(stamp)
}

/// Stamps a database that has no stamp: part of the first migration's transaction, or of an adoption.
///
/// Errors: [`Error::Query`], also when a stamp stands there already.
pub async fn write(conn: &mut Conn, database: &Database, by: &str) -> Result<Stamp, Error> {
    let stamp = fresh(conn, database, by).await?;
    execute!(
        conn,
        "INSERT INTO reconcile_stamp (stamp_id, environment, identity, system_identifier, stamped_at, stamped_by)
         VALUES (1, $1, $2, $3, $4, $5)",
        &stamp.environment,
        Id(stamp.identity),
        stamp.system_identifier.as_deref(),
        stamp.stamped_at,
        &stamp.stamped_by,
    )
    .map_err(Error::query("stamp the database"))?;
    Ok(stamp)
}

/// Replaces the stamp, after a restore or an upgrade; the caller journals why. The database gets a new identity, so
/// that a daemon that still knows the old one refuses it.
///
/// Errors: [`Error::Query`]; [`Error::SchemaMissing`] where there is no stamp.
pub async fn restamp(conn: &mut Conn, database: &Database, by: &str) -> Result<Stamp, Error> {
    let stamp = fresh(conn, database, by).await?;
    let touched = execute!(
        conn,
        "UPDATE reconcile_stamp
         SET environment = $1, identity = $2, system_identifier = $3, stamped_at = $4, stamped_by = $5
         WHERE stamp_id = 1",
        &stamp.environment,
        Id(stamp.identity),
        stamp.system_identifier.as_deref(),
        stamp.stamped_at,
        &stamp.stamped_by,
    )
    .map_err(Error::query("restamp the database"))?;
    if touched == 1 { Ok(stamp) } else { Err(Error::SchemaMissing) }
}

/// PostgreSQL's own identifier; `None` on SQLite, and where the role may not read it.
///
/// Errors: [`Error::Query`].
pub async fn system_identifier(conn: &mut Conn) -> Result<Option<String>, Error> {
    let failed = || Error::query("read the server's identifier");
    if matches!(conn, Conn::Sqlite(_)) {
        return Ok(None);
    }
    // Asked first: to be denied would end the transaction around it.
    let rows = fetch!(
        conn,
        "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS allowed"
    )
    .map_err(failed())?;
    let allowed = rows.first().map_or(Ok(false), |row| row.get::<bool>("allowed")).map_err(failed())?;
    if !allowed {
        return Ok(None);
    }
    let rows =
        fetch!(conn, "SELECT system_identifier::text AS id FROM pg_catalog.pg_control_system()").map_err(failed())?;
    rows.first().map(|row| row.get("id")).transpose().map_err(failed())
}

async fn fresh(conn: &mut Conn, database: &Database, by: &str) -> Result<Stamp, Error> {
    Ok(Stamp {
        environment: database.guard().environment().to_string(),
        identity: Uuid::new_v4(),
        system_identifier: system_identifier(conn).await?,
        stamped_at: now(),
        stamped_by: by.to_owned(),
    })
}

/// What stands in the database, as far as it matters before the stamp is read.
struct Found {
    /// The first tables but the system's and an extension's.
    names: Vec<String>,
    /// Our stamp is one of them.
    stamped: bool,
    /// The first of our names that is no table of this database, and what it is.
    diverted: Option<String>,
}

async fn tables(conn: &mut Conn, schema: &Schema) -> Result<Found, Error> {
    let ours = diverted::names();
    let rows = match conn {
        Conn::Sqlite(_) => fetch!(
            conn,
            concat!(
                "SELECT t.name, t.stamp, d.diverted FROM (SELECT ",
                diverted::sqlite!(),
                " AS diverted) d LEFT JOIN
                 (SELECT name, name = 'reconcile_stamp' AS stamp FROM sqlite_schema
                  WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'
                  ORDER BY name <> 'reconcile_stamp', name LIMIT 6) t ON TRUE"
            ),
            &ours
        ),
        Conn::Postgres(..) => fetch!(
            conn,
            concat!(
                "SELECT t.name, t.stamp, d.diverted FROM (SELECT ",
                diverted::postgres!(),
                " AS diverted) d LEFT JOIN
                 (SELECT n.nspname || '.' || c.relname AS name,
                      n.nspname = $2 AND c.relname = 'reconcile_stamp' AS stamp
                  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.relkind IN ('r', 'p', 'f')
                    AND n.nspname <> 'information_schema' AND pg_catalog.left(n.nspname::text, 3) <> 'pg_'
                    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                                    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                      AND d.objid = c.oid AND d.deptype = 'e')
                  ORDER BY n.nspname = $2 AND c.relname = 'reconcile_stamp' DESC, 1 LIMIT 6) t ON TRUE"
            ),
            &ours,
            schema.as_str()
        ),
    }
    .map_err(failed())?;
    let mut found = Found { names: Vec::with_capacity(rows.len()), stamped: false, diverted: None };
    for row in &rows {
        found.names.extend(row.get::<Option<String>>("name").map_err(failed())?);
        found.stamped |= row.get::<Option<bool>>("stamp").map_err(failed())?.unwrap_or(false);
        found.diverted = row.get("diverted").map_err(failed())?;
    }
    Ok(found)
}

fn stamp(row: &Row) -> Result<Stamp, sqlx::Error> {
    Ok(Stamp {
        environment: row.get("environment")?,
        identity: row.get::<Id>("identity")?.0,
        system_identifier: row.get("system_identifier")?,
        stamped_at: row.get("stamped_at")?,
        stamped_by: row.get("stamped_by")?,
    })
}

fn failed() -> impl FnOnce(sqlx::Error) -> Error {
    Error::query("read the database's stamp")
}

/// A stamp's table that is not there means that the schema is not.
fn missing(conn: &Conn, error: sqlx::Error) -> Error {
    let absent = match (conn, error.as_database_error()) {
        (Conn::Sqlite(_), Some(said)) => said.message().starts_with("no such table"),
        (Conn::Postgres(..), Some(_)) => Cause::of(&error) == Cause::SchemaMissing,
        (_, None) => false,
    };
    if absent { Error::SchemaMissing } else { failed()(error) }
}
