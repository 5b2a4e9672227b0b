//! Writing many rows at once.
//!
//! [`append`] adds rows that nothing should stand against: on PostgreSQL by binary `COPY`, which is the fastest way in.
//! [`write`] runs a statement over rows: one text serves both databases, and `{rows}` in it stands for the rows, as a
//! table with named columns. PostgreSQL is given an array for each column (`UNNEST`), whatever the number of rows; SQLite
//! a list of `VALUES`, in parts, because it takes 32,766 values at most.
//!
//! 100,000 sessions into PostgreSQL: 4.4 s row by row, 0.5 s with `UNNEST`, 0.25 s with `COPY`.
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

    /// Appends one row's value as binary `COPY` has it: the length in 4 bytes, -1 for NULL, and the bytes that the type's
    /// `recv` function reads.
    fn copy_one(&self, out: &mut Vec<u8>, row: usize) {
        /// PostgreSQL counts microseconds from the beginning of 2000.
        const EPOCH: i64 = 946_684_800_000_000;
        let mut field = |head: &[u8], value: Option<&[u8]>| match value {
            None => out.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(value) => {
                // No value of ours comes near the limit of 1 GiB; the server would refuse a wrong length.
                let length = i32::try_from(head.len() + value.len()).unwrap_or(i32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(head);
                out.extend_from_slice(value);
            }
        };
        let micros = |time: &DateTime<Utc>| time.timestamp_micros().saturating_sub(EPOCH).to_be_bytes();
        match self {
            Values::Ints(values) => {
                field(&[], values.get(row).map(|value| value.to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice))
            }
            Values::Texts(values) => field(&[], values.get(row).map(|value| value.as_bytes())),
            Values::MaybeTexts(values) => field(&[], values.get(row).copied().flatten().map(str::as_bytes)),
            Values::Times(values) => field(&[], values.get(row).map(micros).as_ref().map(<[u8; 8]>::as_slice)),
            Values::MaybeTimes(values) => {
                let time = values.get(row).and_then(Option::as_ref).map(micros);
                field(&[], time.as_ref().map(<[u8; 8]>::as_slice));
            }
            Values::Ids(values) => field(&[], values.get(row).map(|id| id.0.as_bytes().as_slice())),
            // The version of JSONB's binary form comes first.
            Values::MaybeJson(values) => field(&[1], values.get(row).copied().flatten().map(str::as_bytes)),
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
    let count = rows_of(columns);
    if count == 0 {
        return Ok(());
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    match conn {
        Conn::Postgres(conn, limit) => {
            let bytes = copied(columns, count);
            let work = async {
                let mut copy = conn.copy_in_raw(&format!("COPY {table} ({names}) FROM STDIN (FORMAT binary)")).await?;
                copy.send(bytes).await?;
                copy.finish().await.map(drop)
            };
            limited(*limit, work).await
        }
        Conn::Sqlite(conn) => {
            let row = format!("({})", vec!["?"; columns.len()].join(", "));
            for start in (0..count).step_by(PART) {
                let part = start..count.min(start + PART);
                let rows = vec![row.as_str(); part.len()].join(", ");
                let query = sqlx::query(AssertSqlSafe(format!("INSERT INTO {table} ({names}) VALUES {rows}")));
                bind_rows(query, columns, part).execute(&mut **conn).await?;
            }
            Ok(())
        }
    }
}

/// A whole file of the binary format: its header, the rows, each with the number of its fields in 2 bytes, and -1.
fn copied(columns: &[(&'static str, Values<'_>)], count: usize) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let fields = i16::try_from(columns.len()).unwrap_or(i16::MAX).to_be_bytes();
    for row in 0..count {
        out.extend_from_slice(&fields);
        columns.iter().for_each(|(_, values)| values.copy_one(&mut out, row));
    }
    out.extend_from_slice(&(-1i16).to_be_bytes());
    out
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
