//! Writing many rows with one statement.
//!
//! One text serves both databases: `{rows}` in it stands for the rows that are written, as a table with named columns.
//! PostgreSQL is given an array for each column (`UNNEST`), whatever the number of rows; SQLite a list of `VALUES`, in
//! parts, because it takes 32,766 values at most. Row by row, 100,000 sessions take PostgreSQL 4.4 s; so, 0.5 s. `COPY`
//! would take the server half of that, but through this driver each one waits 40 ms for the network: its end is a small
//! packet of its own, which is held back until the data before it is acknowledged.
//!
//! Of a column that holds one value in all rows, such as the run in the journal, PostgreSQL is given just that, and of
//! two equal columns, such as a time before and after, one: taking arrays apart was a third of what 5,000 lines of the
//! journal cost it (61 ms, now 46 ms).
//!
//! The texts are put together from parts that are all written down in this program; the rows are arguments.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::sql::{Conn, Id, Row, limited};

/// Rows in one statement of SQLite.
const PART: usize = 500;

/// The values of one column, row after row.
#[derive(PartialEq)]
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

/// Binds the value of one row, on either database. A row that is not there is NULL; all columns are equally long.
macro_rules! bind_one {
    ($values:expr, $query:expr, $row:expr) => {
        match $values {
            Values::Ints(values) => $query.bind(values.get($row)),
            Values::Texts(values) => $query.bind(values.get($row)),
            Values::MaybeTexts(values) => $query.bind(values.get($row).copied().flatten()),
            Values::Times(values) => $query.bind(values.get($row)),
            Values::MaybeTimes(values) => $query.bind(values.get($row).copied().flatten()),
            Values::Ids(values) => $query.bind(values.get($row)),
            Values::MaybeJson(values) => $query.bind(values.get($row).copied().flatten()),
        }
    };
}

impl Values<'_> {
    /// The type of one value on PostgreSQL, as it is sent.
    fn sent_as(&self) -> &'static str {
        match self {
            Values::Ints(_) => "bigint",
            Values::Texts(_) | Values::MaybeTexts(_) | Values::MaybeJson(_) => "text",
            Values::Times(_) | Values::MaybeTimes(_) => "timestamptz",
            Values::Ids(_) => "uuid",
        }
    }

    /// What is made of it there.
    fn cast(&self) -> &'static str {
        match self {
            Values::MaybeJson(_) => "::jsonb",
            _ => "",
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

    /// Whether all rows, of which there are several, have one value.
    fn is_one(&self) -> bool {
        match self {
            Values::Ints(values) => is_one(values),
            Values::Texts(values) => is_one(values),
            Values::MaybeTexts(values) | Values::MaybeJson(values) => is_one(values),
            Values::Times(values) => is_one(values),
            Values::MaybeTimes(values) => is_one(values),
            Values::Ids(values) => is_one(values),
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
}

fn is_one<T: PartialEq>(values: &[T]) -> bool {
    values.len() > 1 && values.windows(2).all(|pair| matches!(pair, [one, next] if one == next))
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
            let columns = shaped(columns);
            let query = sqlx::query(AssertSqlSafe(text.replace("{rows}", &unnested(&columns))));
            let query = columns.iter().fold(query, |query, (_, values, shape)| match shape {
                Shape::Array => values.bind_all(query),
                Shape::One => bind_one!(values, query, 0),
                Shape::Same(_) => query,
            });
            let rows = limited(*limit, query.fetch_all(&mut **conn)).await?;
            Ok(rows.into_iter().map(Row::Postgres).collect())
        }
        Conn::Sqlite(conn) => {
            let mut returned = Vec::new();
            for start in (0..count).step_by(PART) {
                let part = start..count.min(start + PART);
                let mut query = sqlx::query(AssertSqlSafe(text.replace("{rows}", &listed(columns, part.len()))));
                for row in part {
                    query = columns.iter().fold(query, |query, (_, values)| bind_one!(values, query, row));
                }
                returned.extend(query.fetch_all(conn.get()?).await?.into_iter().map(Row::Sqlite));
            }
            Ok(returned)
        }
    }
}

/// How a column is handed to PostgreSQL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Array,
    /// As the one value of all its rows.
    One,
    /// Not at all: it equals the array of this name.
    Same(&'static str),
}

type Shaped<'c, 'v> = (&'static str, &'c Values<'v>, Shape);

/// The columns with their shapes. One of them at least is an array, because it says how many rows there are.
fn shaped<'c, 'v>(columns: &'c [(&'static str, Values<'v>)]) -> Vec<Shaped<'c, 'v>> {
    let mut shaped: Vec<Shaped<'c, 'v>> = Vec::with_capacity(columns.len());
    for (name, values) in columns {
        let same = |(_, others, shape): &&Shaped<'c, 'v>| *shape == Shape::Array && *others == values;
        let shape = match shaped.iter().find(same) {
            Some((other, ..)) => Shape::Same(other),
            None if values.is_one() => Shape::One,
            None => Shape::Array,
        };
        shaped.push((name, values, shape));
    }
    if let (true, Some((.., shape))) = (shaped.iter().all(|(.., shape)| *shape == Shape::One), shaped.first_mut()) {
        *shape = Shape::Array;
    }
    shaped
}

/// `(SELECT u.a AS a, $2::text AS b, u.a AS c FROM UNNEST($1::bigint[]) AS u(a)) AS n`
fn unnested(columns: &[Shaped<'_, '_>]) -> String {
    let (mut arrays, mut names, mut items) = (Vec::new(), Vec::new(), Vec::new());
    let mut number = 0;
    for (name, values, shape) in columns {
        let (sent_as, cast) = (values.sent_as(), values.cast());
        number += usize::from(!matches!(shape, Shape::Same(_)));
        match shape {
            Shape::Array => {
                arrays.push(format!("${number}::{sent_as}[]"));
                names.push(*name);
                items.push(format!("u.{name}{cast} AS {name}"));
            }
            Shape::One => items.push(format!("${number}::{sent_as}{cast} AS {name}")),
            Shape::Same(other) => items.push(format!("u.{other}{cast} AS {name}")),
        }
    }
    let (items, arrays, names) = (items.join(", "), arrays.join(", "), names.join(", "));
    format!("(SELECT {items} FROM UNNEST({arrays}) AS u({names})) AS n")
}

/// `(SELECT column1 AS a, column2 AS b FROM (VALUES (?, ?), (?, ?))) AS n`
fn listed(columns: &[(&'static str, Values<'_>)], rows: usize) -> String {
    let names: Vec<String> =
        (1..).zip(columns).map(|(number, (name, _))| format!("column{number} AS {name}")).collect();
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    format!("(SELECT {} FROM (VALUES {})) AS n", names.join(", "), vec![row; rows].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_rows_share_and_what_is_there_twice_is_sent_once() {
        let text = |columns: &[_]| unnested(&shaped(columns));
        let columns = [
            ("id", Values::Ints(vec![1, 2])),
            ("title", Values::Texts(vec!["a", "b"])),
            ("was_title", Values::Texts(vec!["a", "b"])),
            ("status", Values::Texts(vec!["active", "active"])),
            ("after", Values::MaybeJson(vec![None, None])),
        ];
        assert_eq!(
            text(&columns),
            "(SELECT u.id AS id, u.title AS title, u.title AS was_title, $3::text AS status, \
             $4::text::jsonb AS after FROM UNNEST($1::bigint[], $2::text[]) AS u(id, title)) AS n"
        );
        // Of one row, or of rows that are all alike, something still says how many they are.
        assert_eq!(
            text(&[("id", Values::Ints(vec![7]))]),
            "(SELECT u.id AS id FROM UNNEST($1::bigint[]) AS u(id)) AS n"
        );
        assert!(text(&[("id", Values::Ints(vec![7, 7]))]).contains("UNNEST($1::bigint[])"));
    }
}
