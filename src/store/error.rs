//! What can go wrong with our database: `Display` says what could not be done, `source` why, `hint` the way out.

use std::io;

pub use crate::driver::{Cause, Trouble, causes};
use crate::guard::Refusal;

/// What our database answered, or this error.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of our database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guard said no: nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No connection, or none that can be used.
    #[error("cannot connect to {server}: {cause}")]
    Unreachable {
        server: String,
        cause: Cause,
        #[source]
        source: sqlx::Error,
    },
    /// There is no SQLite file, and what was asked for makes none.
    #[error("there is no database: {path} does not exist, or is empty")]
    Absent { path: String },
    /// Our tables are not there.
    #[error("the schema is missing")]
    SchemaMissing,
    /// The role, or the user of this process, lacks a right; `what` completes "may not …", and
    /// `mend` is the way out.
    #[error("{who} may not {what}")]
    Rights { who: String, what: String, mend: String },
    /// A newer program has upgraded the database.
    #[error("the schema has version {found}, and this program knows versions up to {known}")]
    SchemaNewer { found: i64, known: i64 },
    /// This program has migrations that the database has not seen.
    #[error("the schema has version {found}, and this program needs version {known}")]
    SchemaOlder { found: i64, known: i64 },
    /// A migration of this program and the one that ran under its number differ.
    #[error("the migration {name} that made this schema is not the one that this program has")]
    SchemaOther { name: String },
    /// A table that stands there under one of our names is another one.
    #[error("the table {table} that stands here has no column {column}, so it is not the one that reconcile keeps")]
    CannotAdopt { table: &'static str, column: &'static str },
    /// A column that stands there holds something else.
    #[error(
        "the column {table}.{column} that stands here is of the type {found}, so it is not the one that reconcile keeps"
    )]
    CannotAdoptType { table: &'static str, column: &'static str, found: String },
    /// Another applier is alive.
    #[error("another applier holds the lease: {holder}")]
    LeaseHeld { holder: String },
    /// The row changed between plan and write.
    #[error("{what} changed meanwhile")]
    Conflict { what: String },
    /// Another applier has taken over.
    #[error("the lease was lost to another applier")]
    LeaseLost,
    /// A SQLite file whose log has no index beside it can only be read by writing.
    #[error("{path} was not closed by its last writer, and reading it would write beside it")]
    Unclean { path: String },
    /// A name of a schema that is not plain.
    #[error("`{name}` cannot be the name of a schema")]
    SchemaName { name: String },
    /// A file or directory of the database.
    #[error("cannot {doing}")]
    File {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot {doing}")]
    Query {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// The world outside, asked while observing.
    #[error("cannot {doing}")]
    Probe {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// For `map_err`: `doing` completes "cannot …".
    pub fn query(doing: &'static str) -> impl Fn(sqlx::Error) -> Self + Copy {
        move |source| Error::Query { doing, source }
    }

    /// The same for a question to the world outside.
    pub fn probe<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl Fn(E) -> Self + Copy {
        move |source| Error::Probe { doing, source: Box::new(source) }
    }

    /// Whether the trouble is everybody's, so that going on with the next resource would only meet it again.
    pub fn stops_everybody(&self) -> bool {
        match self {
            Error::Query { source, .. } => {
                matches!(source, sqlx::Error::Io(_) | sqlx::Error::Protocol(_))
                    || matches!(Cause::of(source), Cause::Network | Cause::RightsMissing | Cause::TooMany | Cause::Full)
            }
            Error::Conflict { .. } | Error::Probe { .. } => false,
            _ => true,
        }
    }

    /// Whether it is the connection that failed, so that another one may succeed at once.
    pub fn is_of_the_connection(&self) -> bool {
        let Error::Query { source, .. } = self else { return false };
        match source {
            // 57P: the server has ended the session; 25P03: it was left in a transaction for too long.
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08") || code == "25P03")
            }
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
            _ => false,
        }
    }

    /// Whether the database cannot be asked for anything else now, either.
    pub fn is_away(&self) -> bool {
        matches!(self, Error::Unreachable { .. }) || self.is_of_the_connection()
    }

    /// Whether the schema is another program's: older or newer than this one needs.
    pub fn is_of_another_version(&self) -> bool {
        matches!(self, Error::SchemaNewer { .. } | Error::SchemaOlder { .. } | Error::SchemaOther { .. })
    }

    /// The message with the reasons behind it, on one line.
    pub fn chain(&self) -> String {
        std::iter::once(self.to_string()).chain(causes(self)).collect::<Vec<_>>().join(": ")
    }

    /// Why, as an operator would name it.
    pub fn cause(&self) -> Cause {
        match self {
            Error::Unreachable { cause, .. } => *cause,
            Error::SchemaMissing | Error::Absent { .. } => Cause::SchemaMissing,
            Error::Rights { .. } => Cause::RightsMissing,
            Error::File { source, .. } => Cause::of_io(source),
            Error::Query { source, .. } => Cause::of(source),
            Error::Refused(_) => Cause::Guard,
            Error::SchemaNewer { .. }
            | Error::SchemaOlder { .. }
            | Error::SchemaOther { .. }
            | Error::CannotAdopt { .. }
            | Error::CannotAdoptType { .. }
            | Error::LeaseHeld { .. }
            | Error::Probe { .. }
            | Error::Conflict { .. }
            | Error::LeaseLost
            | Error::Unclean { .. }
            | Error::SchemaName { .. } => Cause::Other,
        }
    }

    /// What ends it.
    pub fn trouble(&self) -> Trouble {
        match self {
            // A name that does not resolve is asked for again: name servers have outages too.
            Error::Unreachable { cause: Cause::Dns, .. } | Error::Probe { .. } => Trouble::Transient,
            Error::Unreachable { source, .. } | Error::Query { source, .. } => Trouble::of(source),
            Error::File { source, .. } => Trouble::of_io(source),
            Error::LeaseHeld { .. } | Error::LeaseLost | Error::Conflict { .. } | Error::Unclean { .. } => {
                Trouble::Contention
            }
            Error::Refused(_)
            | Error::SchemaMissing
            | Error::Absent { .. }
            | Error::Rights { .. }
            | Error::SchemaNewer { .. }
            | Error::SchemaOlder { .. }
            | Error::SchemaOther { .. }
            | Error::CannotAdopt { .. }
            | Error::CannotAdoptType { .. }
            | Error::SchemaName { .. } => Trouble::Lasting,
        }
    }

    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Refused(refusal) => Some(refusal.mend.clone()),
            Error::SchemaNewer { .. } => Some("run the newer reconcile here too".to_owned()),
            Error::Rights { mend, .. } => Some(mend.clone()),
            Error::SchemaOlder { .. } => Some("run `reconcile migrate`".to_owned()),
            Error::SchemaOther { .. } => Some(
                "run the reconcile that made this schema, or restore the row of `reconcile_migrations` if somebody has \
                 changed it; nothing was written"
                    .to_owned(),
            ),
            Error::CannotAdopt { table, .. } | Error::CannotAdoptType { table, .. } => {
                Some(format!("rename the table {table}, or set database.schema to a schema of its own"))
            }
            Error::LeaseHeld { .. } => {
                Some("it applies by itself when the files change; stop it first to apply by hand".to_owned())
            }
            Error::Absent { .. } => {
                Some("`reconcile migrate` makes it; or name another with --database or --data-dir".to_owned())
            }
            Error::Probe { .. } => None,
            Error::Conflict { .. } => Some("plan again".to_owned()),
            Error::LeaseLost => Some("nothing to do: the new holder goes on; see `reconcile status`".to_owned()),
            Error::Unclean { .. } => {
                Some("let its writer finish, or run `reconcile --once`, which tidies up".to_owned())
            }
            Error::SchemaName { .. } => {
                Some("write 1 to 63 lower-case ASCII letters, digits and _, not beginning with pg_".to_owned())
            }
            // A file that is not there is no server on which nobody listens.
            Error::File { .. } => match self.cause() {
                cause @ (Cause::RightsMissing | Cause::Full) => cause.mend().map(str::to_owned),
                _ => None,
            },
            Error::Unreachable { .. } | Error::SchemaMissing | Error::Query { .. } => {
                self.cause().mend().map(str::to_owned)
            }
        }
    }
}
