//! The schema that holds our tables on PostgreSQL, as a name that can be quoted without fear.

use std::fmt;

use sqlx::AssertSqlSafe;

use super::error::Error;
use super::sql::{Conn, fetch, script};

/// 1 to 63 lower-case ASCII letters, digits and `_`, beginning with a letter or `_`. Default: `canvas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema(String);

impl Schema {
    /// Errors: the name is not plain, or belongs to PostgreSQL itself.
    pub fn new(name: &str) -> Result<Self, Error> {
        let first = name.chars().next().is_some_and(|letter| letter.is_ascii_lowercase() || letter == '_');
        let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        let reserved = name.starts_with("pg_") || name == "information_schema";
        if first && name.len() <= 63 && name.chars().all(plain) && !reserved {
            Ok(Self(name.to_owned()))
        } else {
            Err(Error::SchemaName { name: name.to_owned() })
        }
    }

    /// Makes it where it is missing. A role that may not make schemas can still use one that is there.
    ///
    /// Errors: [`Error::Query`].
    pub async fn create(&self, conn: &mut Conn) -> Result<(), Error> {
        let failed = Error::query("create the schema");
        let rows =
            fetch!(&mut *conn, "SELECT 1 AS there FROM pg_catalog.pg_namespace WHERE nspname = $1", self.as_str());
        if !rows.map_err(failed)?.is_empty() {
            return Ok(());
        }
        script(conn, AssertSqlSafe(format!("CREATE SCHEMA {}", self.quoted()))).await.map_err(failed)
    }

    /// Whether the role may make tables in it. Without, PostgreSQL would look for another schema, and find none.
    ///
    /// Errors: [`Error::Rights`]; [`Error::Query`].
    pub async fn lets_in_tables(&self, conn: &mut Conn) -> Result<(), Error> {
        let failed = Error::query("ask for the role's rights");
        let rows = fetch!(
            conn,
            "SELECT pg_catalog.has_schema_privilege($1, 'USAGE') AND pg_catalog.has_schema_privilege($1, 'CREATE') AS may,
                    pg_catalog.pg_get_userbyid(nspowner)::text AS owner
             FROM pg_catalog.pg_namespace WHERE nspname = $1",
            self.as_str()
        );
        let rows = rows.map_err(failed)?;
        let row = rows.first().ok_or(Error::SchemaMissing)?;
        if row.get("may").map_err(failed)? {
            return Ok(());
        }
        let owner: String = row.get("owner").map_err(failed)?;
        let mend = format!("migrate as {owner}, who owns the schema");
        Err(Error::Rights { who: "the role".to_owned(), what: format!("make tables in the schema {self}"), mend })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As an identifier in SQL text. The name holds no quotation mark, so nothing is to be doubled.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self("canvas".to_owned())
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
