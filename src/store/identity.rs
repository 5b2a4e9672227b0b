//! Which database it is, for a plan that is saved and applied later.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::connect::{Access, Database};
use super::error::Error;
use super::sql::fetch;
use super::stamp;
use crate::guard::{Place, Target};

/// Which database a saved plan was made for. Says nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "lowercase")]
pub enum TargetIdentity {
    /// The real path, also of a file that does not exist yet.
    Sqlite { path: String },
    /// The cluster by its own identifier, or by its address where the role may not read that; and the database in it.
    Postgres { cluster: String, oid: i64 },
}

impl fmt::Display for TargetIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetIdentity::Sqlite { path } => write!(out, "the file {path}"),
            TargetIdentity::Postgres { cluster, oid } => write!(out, "the server {cluster}, database {oid}"),
        }
    }
}

impl Database {
    /// Which database this is, for a saved plan.
    ///
    /// Errors: as [`Database::read`].
    pub async fn identity(&self) -> Result<TargetIdentity, Error> {
        let target = match self.target() {
            Target::Sqlite(target) => {
                return Ok(TargetIdentity::Sqlite { path: self.locate(target)?.path().display().to_string() });
            }
            Target::Postgres(target) => target,
        };
        let mut conn = self.limited(self.patience(target), self.session(target, Access::Read)).await?;
        let failed = || Error::query("read the database's identity");
        let cluster = stamp::system_identifier(&mut conn).await?.unwrap_or_else(|| target.server());
        let sql = "SELECT oid::bigint AS oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
        let rows = fetch!(&mut conn, sql).map_err(failed())?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(failed())?;
        let oid = row.get("oid").map_err(failed())?;
        conn.close().await;
        Ok(TargetIdentity::Postgres { cluster, oid })
    }

    /// Where the SQLite file is, or will be; `None` on PostgreSQL.
    ///
    /// Errors: [`Error::Refused`]; also where one was there and is gone.
    pub fn located(&self) -> Result<Option<Place>, Error> {
        match self.target() {
            Target::Sqlite(target) => self.locate(target).map(Some),
            Target::Postgres(_) => Ok(None),
        }
    }
}
