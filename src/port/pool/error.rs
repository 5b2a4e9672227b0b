//! What can go wrong on a pool server, and how much of it passes by itself.

use std::sync::Arc;

use super::DbName;
use crate::driver::Cause;
use crate::guard::Refusal;

/// An error of a pool server. No message holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PoolError {
    /// The guard said no: nothing was done.
    #[error("{0}")]
    Refused(Refusal),
    #[error("cannot connect to {server}: {cause}")]
    Unreachable {
        server: String,
        cause: Cause,
        #[source]
        source: Arc<sqlx::Error>,
    },
    #[error("{server} could not {doing}")]
    Failed {
        server: String,
        doing: &'static str,
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// It bears our name, and not our mark.
    #[error("{what} {name} on {server} is not this instance's, and is left alone")]
    Foreign { server: String, what: &'static str, name: DbName },
    /// The role is gone.
    #[error("the role {name} is not on {server}")]
    Gone { server: String, name: DbName },
    /// Another applier has taken over.
    #[error("a newer applier ({theirs}) has worked on {name} on {server}; this one ({ours}) changes nothing")]
    Fenced { server: String, name: DbName, theirs: i64, ours: i64 },
    /// A name that an environment protects.
    #[error("{name} is a name that an environment protects")]
    Protected { name: DbName },
}

impl PoolError {
    pub(super) fn failed(server: &str, doing: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| PoolError::Failed { server: server.to_owned(), doing, source: Arc::new(source) }
    }

    /// Why, as an operator would name it.
    pub fn cause(&self) -> Cause {
        match self {
            PoolError::Unreachable { cause, .. } => *cause,
            PoolError::Failed { source, .. } => Cause::of(source),
            PoolError::Refused(_)
            | PoolError::Foreign { .. }
            | PoolError::Gone { .. }
            | PoolError::Fenced { .. }
            | PoolError::Protected { .. } => Cause::Other,
        }
    }

    /// How to mend it, where the operator can.
    pub fn hint(&self) -> Option<String> {
        match self {
            PoolError::Refused(refusal) => Some(refusal.mend.clone()),
            PoolError::Unreachable { cause, .. } => cause.mend().map(str::to_owned),
            PoolError::Failed { source, .. } => match sqlstate(source).as_deref() {
                Some("53100") => Some("the server's disk is full: make room there".to_owned()),
                // From 15 on, this is what a disk that fills up in the middle of `CREATE DATABASE` looks like.
                Some("XX000") if source.to_string().contains("InvalidateBuffer") => {
                    Some("the server's disk may be full: see its log, and make room there".to_owned())
                }
                Some("42501") => Some("the admin role needs CREATEDB and CREATEROLE".to_owned()),
                _ => Cause::of(source).mend().map(str::to_owned),
            },
            PoolError::Foreign { .. } => Some("find out whose it is; rename or remove it there".to_owned()),
            PoolError::Gone { .. } => Some("restore it there, or give the instance up".to_owned()),
            PoolError::Fenced { .. } | PoolError::Protected { .. } => None,
        }
    }

    /// Whether trying again may well do: two who change one row of the catalog, or a connection too many.
    pub(super) fn passes(&self) -> bool {
        let PoolError::Failed { source, .. } = self else { return false };
        let Some(code) = sqlstate(source) else { return false };
        match code.as_str() {
            // Serialisation, deadlock, in use, lock not available, unique violation between two who create.
            "40001" | "40P01" | "55006" | "55P03" | "23505" => true,
            // "tuple concurrently updated" has no code of its own.
            "XX000" => matches!(&**source, sqlx::Error::Database(error) if error.message().contains("concurrently")),
            _ => false,
        }
    }

    /// Whether the next order on the same server would meet the same.
    pub(super) fn is_everybodys(&self) -> bool {
        match self {
            PoolError::Refused(_) | PoolError::Unreachable { .. } => true,
            PoolError::Failed { source, .. } => {
                !matches!(&**source, sqlx::Error::Database(_))
                    // Out of resources, and shutting down.
                    || sqlstate(source).is_some_and(|code| code.starts_with("53") || code.starts_with("57P"))
            }
            PoolError::Foreign { .. }
            | PoolError::Gone { .. }
            | PoolError::Fenced { .. }
            | PoolError::Protected { .. } => false,
        }
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(error) => error.code().map(|code| code.into_owned()),
        _ => None,
    }
}

/// Whether the server says that what is to be made is there already.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    // Duplicate object (a role), duplicate database, and the index behind either.
    matches!(sqlstate(error).as_deref(), Some("42710" | "42P04" | "23505"))
}
