//! Writing many rows with one statement.
//!
//! One text serves both databases: `{rows}` in it stands for the rows that are written, as a table with named columns.
//! PostgreSQL is given an array for each column (`UNNEST`), whatever the number of rows; SQLite a list of `VALUES`, in
//! parts, because it takes 32,766 values at most. Row by row, 100,000 sessions take PostgreSQL 4.4 s; so, 0.5 s. `COPY`
//! would take the server half of that, but through this driver each one waits 40 ms for the network: its end is a small
//! packet of its own, which is held back until the data before it is acknowledged.
//!
//! The texts are put together from parts that are all written down in this program; the rows are arguments.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Postgres, Sqlite};

use super::sql::{Conn, Id, Row, limited};

/// Rows in one statement of SQLite.
const PART: usize = 500;

/// The values of one column, row after row.
pub enum Values<'v> {
    Ints(Vec<i64>),
    Texts(Vec<&'v str>),
    MaybeTexts(Vec<Option<&'v str>>),
    Times(Vec<DateTime<Utc>>),
    MaybeTimes(Vec<Option<DateTime<Utc>>>),
    Ids(Vec<Id>),
    /// As JSON text.
    MaybeJson(Vec<Option<&'v str>>),
}

impl Values<'_> {
    /// The type of the whole column on PostgreSQL.
    fn array(&self) -> &'static str {
        match self {
            Values::Ints(_) => "bigint[]",
            Values::Texts(_) | Values::MaybeTexts(_) => "text[]",
            Values::Times(_) | Values::MaybeTimes(_) => "timestamptz[]",
            Values::Ids(_) => "uuid[]",
            Values::MaybeJson(_) => "text[]::jsonb[]",
        }
    }

    fn len(&self) -> usize {
        match self {
            Values::Ints(values) => values.len(),
            Values::Texts(values) => values.len(),
            Values::MaybeTexts(values) => values.len(),
            Values::Times(values) => values.len(),
            Values::MaybeTimes(values) => values.len(),
            Values::Ids(values) => values.len(),
            Values::MaybeJson(values) => values.len(),
        }
    }

    fn bind_all<'q>(&'q self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments> {
        match self {
            Values::Ints(values) => query.bind(values),
            Values::Texts(values) => query.bind(values),
            Values::MaybeTexts(values) => query.bind(values),
            Values::Times(values) => query.bind(values),
            Values::MaybeTimes(values) => query.bind(values),
            Values::Ids(values) => query.bind(values.iter().map(|id| id.0).collect::<Vec<_>>()),
            Values::MaybeJson(values) => query.bind(values),
        }
    }

    /// Binds one row's value. A row that is not there is NULL; all columns are equally long.
    fn bind_one<'q>(
        &'q self,
        query: Query<'q, Sqlite, SqliteArguments>,
        row: usize,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        match self {
            Values::Ints(values) => query.bind(values.get(row)),
            Values::Texts(values) => query.bind(values.get(row)),
            Values::MaybeTexts(values) => query.bind(values.get(row).copied().flatten()),
            Values::Times(values) => query.bind(values.get(row)),
            Values::MaybeTimes(values) => query.bind(values.get(row).copied().flatten()),
            Values::Ids(values) => query.bind(values.get(row)),
            Values::MaybeJson(values) => query.bind(values.get(row).copied().flatten()),
        }
    }
}

fn rows_of(columns: &[(&'static str, Values<'_>)]) -> usize {
    columns.iter().map(|(_, values)| values.len()).min().unwrap_or(0)
}

/// Adds rows to `table`, all or none.
///
/// Errors: a row that is there already stands against one of them.
pub async fn append(
    conn: &mut Conn,
    table: &'static str,
    columns: &[(&'static str, Values<'_>)],
) -> Result<(), sqlx::Error> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    run(conn, &format!("INSERT INTO {table} ({names}) SELECT {names} FROM {{rows}}"), columns).await.map(drop)
}

fn bind_rows<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    columns: &'q [(&'static str, Values<'_>)],
    rows: Range<usize>,
) -> Query<'q, Sqlite, SqliteArguments> {
    rows.fold(query, |query, row| columns.iter().fold(query, |query, (_, values)| values.bind_one(query, row)))
}

/// Runs `text`, in which `{rows}` stands for a table with these columns. Gives the rows that it returns.
pub async fn write(
    conn: &mut Conn,
    text: &'static str,
    columns: &[(&'static str, Values<'_>)],
) -> Result<Vec<Row>, sqlx::Error> {
    run(conn, text, columns).await
}

async fn run(conn: &mut Conn, text: &str, columns: &[(&'static str, Values<'_>)]) -> Result<Vec<Row>, sqlx::Error> {
    let count = rows_of(columns);
    if count == 0 {
        return Ok(Vec::new());
    }
    match conn {
        Conn::Postgres(conn, limit) => {
            let arrays: Vec<String> =
                (1..).zip(columns).map(|(number, (_, values))| format!("${number}::{}", values.array())).collect();
            let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let rows = format!("UNNEST({}) AS n({})", arrays.join(", "), names.join(", "));
            let query = sqlx::query(AssertSqlSafe(text.replace("{rows}", &rows)));
            let query = columns.iter().fold(query, |query, (_, values)| values.bind_all(query));
            let rows = limited(*limit, query.fetch_all(&mut **conn)).await?;
            Ok(rows.into_iter().map(Row::Postgres).collect())
        }
        Conn::Sqlite(conn) => {
            let mut returned = Vec::new();
            for start in (0..count).step_by(PART) {
                let part = start..count.min(start + PART);
                let query = sqlx::query(AssertSqlSafe(text.replace("{rows}", &listed(columns, part.len()))));
                let query = bind_rows(query, columns, part);
                returned.extend(query.fetch_all(&mut **conn).await?.into_iter().map(Row::Sqlite));
            }
            Ok(returned)
        }
    }
}

/// `(SELECT column1 AS a, column2 AS b FROM (VALUES (?, ?), (?, ?))) AS n`
fn listed(columns: &[(&'static str, Values<'_>)], rows: usize) -> String {
    let names: Vec<String> =
        (1..).zip(columns).map(|(number, (name, _))| format!("column{number} AS {name}")).collect();
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    format!("(SELECT {} FROM (VALUES {})) AS n", names.join(", "), vec![row; rows].join(", "))
}
