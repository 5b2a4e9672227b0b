//! One SQL text for both databases.
//!
//! A statement is written once, with `$1` placeholders, and runs on either driver: [`fetch!`] and [`execute!`] hand
//! it to whichever connection stands behind [`Conn`], and [`Row`] reads the answer. `sqlx::Any` cannot carry
//! timestamps and UUIDs; two implementations of a trait would double every statement.

use std::fmt;
use std::io;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Column, Connection, Decode, Encode, Postgres, Row as _, Sqlite, Type};
use uuid::Uuid;

use super::held::Held;
use crate::change::span;

/// An open connection that the guard has admitted. Only `connect` makes one.
pub enum Conn {
    Sqlite(Held),
    /// With the time that one statement may take: the server has the same limit, but a dead network has none.
    Postgres(Box<sqlx::PgConnection>, Duration),
}

impl Conn {
    /// Ends the connection in order, within a second. A SQLite file's log is tidied up by its last writer here.
    pub async fn close(self) {
        let closing = async {
            match self {
                Conn::Sqlite(conn) => conn.close().await,
                Conn::Postgres(conn, _) => conn.close().await,
            }
        };
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(1), closing).await {
            tracing::debug!(%error, "a connection did not close in order");
        }
    }
}

/// One row of an answer.
pub enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
}

/// What both drivers can read out of a column.
pub trait Field<'r>: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}
impl<'r, T> Field<'r> for T where T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}

impl Row {
    /// The value of the named column.
    ///
    /// Errors: the column is missing, or holds something else than `T`.
    pub fn get<'r, T: Field<'r>>(&'r self, column: &str) -> Result<T, sqlx::Error> {
        match self {
            Row::Sqlite(row) => row.try_get(column),
            Row::Postgres(row) => row.try_get(column),
        }
    }

    /// The value of a column that holds one of a closed set of words.
    ///
    /// Errors: as [`Row::get`]; or it holds another word.
    pub fn word<T>(&self, column: &str, read: fn(&str) -> Option<T>) -> Result<T, sqlx::Error> {
        let text: String = self.get(column)?;
        read(&text).ok_or_else(|| sqlx::Error::Decode(format!("{column} holds the unknown word `{text}`").into()))
    }

    /// The columns' names, in the order of the statement.
    pub fn columns(&self) -> Vec<String> {
        match self {
            Row::Sqlite(row) => row.columns().iter().map(|column| column.name().to_owned()).collect(),
            Row::Postgres(row) => row.columns().iter().map(|column| column.name().to_owned()).collect(),
        }
    }
}

/// `fetch!(conn, "SELECT … WHERE a = $1", a)` gives `Result<Vec<Row>, sqlx::Error>`.
macro_rules! fetch {
    ($conn:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        match $conn {
            $crate::store::sql::Conn::Sqlite(conn) => match conn.get() {
                Ok(conn) => sqlx::query($sql)$(.bind($arg))*.fetch_all(conn).await
                    .map(|rows| rows.into_iter().map($crate::store::sql::Row::Sqlite).collect::<Vec<_>>()),
                Err(error) => Err(error),
            },
            $crate::store::sql::Conn::Postgres(conn, limit) => $crate::store::sql::limited(
                *limit, sqlx::query($sql)$(.bind($arg))*.fetch_all(&mut **conn)).await
                .map(|rows| rows.into_iter().map($crate::store::sql::Row::Postgres).collect::<Vec<_>>()),
        }
    };
}

/// `execute!(conn, "UPDATE … WHERE a = $1", a)` gives the number of rows touched.
macro_rules! execute {
    ($conn:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        match $conn {
            $crate::store::sql::Conn::Sqlite(conn) => match conn.get() {
                Ok(conn) => sqlx::query($sql)$(.bind($arg))*.execute(conn).await.map(|done| done.rows_affected()),
                Err(error) => Err(error),
            },
            $crate::store::sql::Conn::Postgres(conn, limit) => $crate::store::sql::limited(
                *limit, sqlx::query($sql)$(.bind($arg))*.execute(&mut **conn)).await
                .map(|done| done.rows_affected()),
        }
    };
}

pub(crate) use {execute, fetch};

/// Waits for an answer, but not for ever: a server that vanished without a word would never give one.
pub(crate) async fn limited<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
        let why = format!("no answer within {}", span(limit));
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, why)))
    })
}

/// Begins a transaction that is going to write: SQLite is told at once, so that it waits now and not in the middle.
pub(crate) async fn begin_to_write(conn: &mut Conn) -> Result<(), sqlx::Error> {
    let begin = match conn {
        Conn::Sqlite(_) => "BEGIN IMMEDIATE",
        Conn::Postgres(..) => "BEGIN",
    };
    execute!(conn, begin).map(drop)
}

/// Runs several statements at once, without arguments.
pub(crate) async fn script(conn: &mut Conn, sql: impl sqlx::SqlSafeStr) -> Result<(), sqlx::Error> {
    match conn {
        Conn::Sqlite(conn) => sqlx::raw_sql(sql).execute(conn.get()?).await.map(drop),
        Conn::Postgres(conn, limit) => limited(*limit, sqlx::raw_sql(sql).execute(&mut **conn)).await.map(drop),
    }
}

/// A UUID column: `UUID` on PostgreSQL, its hyphenated text on SQLite, where a person can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub Uuid);

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Type<Postgres> for Id {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <Uuid as Type<Postgres>>::type_info()
    }
}

impl<'q> Encode<'q, Postgres> for Id {
    fn encode_by_ref(&self, buffer: &mut sqlx::postgres::PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <Uuid as Encode<Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Id {
    fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<Uuid as Decode<Postgres>>::decode(value)?))
    }
}

impl Type<Sqlite> for Id {
    fn type_info() -> sqlx::sqlite::SqliteTypeInfo {
        <String as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &sqlx::sqlite::SqliteTypeInfo) -> bool {
        <String as Type<Sqlite>>::compatible(ty)
    }
}

impl<'q> Encode<'q, Sqlite> for Id {
    fn encode_by_ref(&self, buffer: &mut sqlx::sqlite::SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <String as Encode<Sqlite>>::encode(self.0.to_string(), buffer)
    }
}

impl<'r> Decode<'r, Sqlite> for Id {
    fn decode(value: sqlx::sqlite::SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(Uuid::try_parse(<&str as Decode<Sqlite>>::decode(value)?)?))
    }
}

/// The present, cut to microseconds: what both databases keep.
pub fn now() -> DateTime<Utc> {
    micros(Utc::now())
}

/// `time` cut to microseconds, so that what is read back equals what was written.
pub fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}
