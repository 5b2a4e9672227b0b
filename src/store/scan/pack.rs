//! Rows of SQLite, packed by SQLite itself.
//!
//! The driver hands over row by row from a thread of its own, each value in an allocation of its own. So we ask for one
//! text of 250 rows instead, and write it down as the tuples that PostgreSQL's `COPY` would have sent. Of a million
//! sessions, measured in one thread without the driver, SQLite takes as long to pack the rows as to step through them
//! and copy each value out, 1.0 s; what is saved is the way from one thread to the other, a million times.
//!
//! Such a text is `N␟v␟v␟v␟v␟v␟…`: the number of rows, then each value with U+001F behind it; NULL is U+001E alone. A
//! value that is not of its column's type has U+001F twice in its place. So a text of N rows holds one mark for each
//! value exactly when all values are of their types and none of them holds a mark itself. Any other text is thrown away,
//! and its rows are read one by one: also where a time is not spelled as we spell it, or a text is no UTF-8. What such
//! rows mean is the driver's to say, as everywhere else.
//!
//! One statement finds and packs all parts. Those that are read again take statements of their own: it is the caller's
//! transaction that makes all of them one state of the database.

use std::str;

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection};

use super::cells::EPOCH;
use super::part::{Outlet, Part};
use super::time::our_spelling;
use super::{Column, Selection};

/// Rows in one text. More are no faster; the driver reads 50 texts ahead.
const PART: usize = 250;
/// Rows that are sent together where each comes alone.
const ALONE: usize = 100;

/// Behind every value.
const END: u8 = 0x1f;
/// In place of NULL and the mark behind it.
const NULL: u8 = 0x1e;

/// Sends all selected rows.
///
/// Errors: what SQLite says, or nobody takes them.
pub async fn send(conn: &mut SqliteConnection, selection: &Selection, outlet: &Outlet) -> Result<(), sqlx::Error> {
    if !has_row_numbers(conn, selection.table).await? {
        return one_by_one(conn, sqlx::query(AssertSqlSafe(selection.select())), outlet).await;
    }
    let mut unpacked: Vec<i64> = Vec::new();
    let mut parts = sqlx::query(AssertSqlSafe(packed(selection))).fetch(&mut *conn);
    while let Some(part) = parts.try_next().await? {
        match tuples(part.try_get(1)?, selection.columns) {
            Some(tuples) => outlet.send(Part::Tuples(tuples)).await?,
            None => unpacked.push(part.try_get(0)?),
        }
    }
    drop(parts);
    for first in unpacked {
        one_by_one(conn, sqlx::query(AssertSqlSafe(a_part(selection))).bind(first), outlet).await?;
    }
    Ok(())
}

/// Whether the rows have numbers to find them by. A table that was adopted may be made `WITHOUT ROWID`, may be a view,
/// or may call something else so.
async fn has_row_numbers(conn: &mut SqliteConnection, table: &str) -> Result<bool, sqlx::Error> {
    let query = "SELECT count(*) FROM pragma_table_list AS t
        WHERE t.schema = 'main' AND t.name = $1 COLLATE NOCASE AND t.type = 'table' AND NOT t.wr
          AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo($1) AS c WHERE c.name = 'rowid' COLLATE NOCASE)";
    let found: i64 = sqlx::query_scalar(query).bind(table).fetch_one(conn).await?;
    Ok(found == 1)
}

/// Sends the rows of `query` as they are.
async fn one_by_one(
    conn: &mut SqliteConnection,
    query: sqlx::query::Query<'_, Sqlite, SqliteArguments>,
    outlet: &Outlet,
) -> Result<(), sqlx::Error> {
    let mut found = query.fetch(conn);
    let mut rows = Vec::new();
    while let Some(row) = found.try_next().await? {
        rows.push(row);
        if rows.len() == ALONE {
            outlet.send(Part::Rows(std::mem::take(&mut rows))).await?;
        }
    }
    outlet.send(Part::Rows(rows)).await
}

/// The rows of the part that begins with row `$1`. No index but the rows' numbers: they come in the order of these.
fn a_part(selection: &Selection) -> String {
    let (names, Selection { table, filter, .. }) = (selection.names(), selection);
    format!("SELECT {names} FROM {table} NOT INDEXED WHERE rowid >= $1 AND {filter} ORDER BY rowid LIMIT {PART}")
}

/// All parts: each with the number of the row that it begins with, and its text.
fn packed(selection: &Selection) -> String {
    let Selection { table, columns, filter } = selection;
    let row = columns.iter().map(|column| value(*column)).collect::<Vec<_>>().join(" || ");
    format!(
        "WITH RECURSIVE part (first) AS (
             SELECT min(rowid) FROM {table}
             UNION ALL
             SELECT (SELECT rowid FROM {table} NOT INDEXED
                     WHERE rowid >= first AND {filter} ORDER BY rowid LIMIT 1 OFFSET {PART})
             FROM part WHERE first IS NOT NULL)
         SELECT first,
                (SELECT count(*) || char({END}) || ifnull(group_concat(packed, ''), '')
                 FROM (SELECT {row} AS packed FROM {table} NOT INDEXED
                       WHERE rowid >= first AND {filter} ORDER BY rowid LIMIT {PART}))
         FROM part WHERE first IS NOT NULL"
    )
}

/// The expression for one value and its mark.
fn value(column: Column) -> String {
    let name = column.name();
    let (kind, otherwise) = match column {
        Column::Int(_) => ("integer", String::new()),
        Column::Text(_) => ("text", String::new()),
        Column::Time(_) => ("text", format!("WHEN 'null' THEN char({NULL}) ")),
    };
    format!("CASE typeof({name}) WHEN '{kind}' THEN {name} || char({END}) {otherwise}ELSE char({END}, {END}) END")
}

/// The tuples that a text stands for; `None` where its rows are to be read one by one.
fn tuples(text: &[u8], columns: &[Column]) -> Option<Vec<u8>> {
    str::from_utf8(text).ok()?;
    let mut rest = text;
    let rows: usize = str::from_utf8(next(&mut rest)??).ok()?.parse().ok()?;
    let count = u16::try_from(columns.len()).ok()?.to_be_bytes();
    // A value has four bytes of length in place of its mark; times and numbers are shorter or a little longer.
    let mut tuples = Vec::with_capacity(rest.len() + rows * (count.len() + 4 * columns.len()));
    for _ in 0..rows {
        tuples.extend_from_slice(&count);
        for column in columns {
            let value = next(&mut rest)?;
            match (column, value) {
                (Column::Int(_), Some(value)) => {
                    let number: i64 = str::from_utf8(value).ok()?.parse().ok()?;
                    push(&mut tuples, &number.to_be_bytes())?;
                }
                (Column::Text(_), Some(value)) => push(&mut tuples, value)?,
                (Column::Time(_), Some(value)) => {
                    let micros = our_spelling(str::from_utf8(value).ok()?)?;
                    push(&mut tuples, &(micros - EPOCH).to_be_bytes())?;
                }
                (Column::Time(_), None) => tuples.extend_from_slice(&(-1i32).to_be_bytes()),
                (Column::Int(_) | Column::Text(_), None) => return None,
            }
        }
    }
    rest.is_empty().then_some(tuples)
}

fn push(tuples: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    tuples.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
    tuples.extend_from_slice(value);
    Some(())
}

/// The next value up to its mark, `Some(None)` for NULL; `None` where there is no such thing.
fn next<'t>(rest: &mut &'t [u8]) -> Option<Option<&'t [u8]>> {
    let end = rest.iter().position(|byte| matches!(*byte, END | NULL))?;
    let (value, left) = rest.split_at(end);
    let (mark, left) = left.split_first()?;
    *rest = left;
    match *mark {
        END => Some(Some(value)),
        _ => value.is_empty().then_some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column::Int("id"), Column::Text("title"), Column::Time("starts_at")];

    #[test]
    fn a_text_is_the_tuples_that_copy_would_send() {
        let text = b"2\x1f7\x1f\x1f\x1e-8\x1fab\x1f2000-01-01T00:00:00.000001+00:00\x1f";
        let copy = b"\0\x03\0\0\0\x08\0\0\0\0\0\0\0\x07\0\0\0\0\xff\xff\xff\xff\
            \0\x03\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xf8\0\0\0\x02ab\0\0\0\x08\0\0\0\0\0\0\0\x01";
        assert_eq!(tuples(text, COLUMNS).unwrap(), copy);
        assert_eq!(tuples(b"0\x1f", COLUMNS).unwrap(), b"");
        for end in 0..text.len() {
            assert_eq!(tuples(&text[..end], COLUMNS), None, "{end}");
        }
    }

    #[test]
    fn a_text_with_a_mark_too_many_is_not_trusted() {
        for text in [
            "1\u{1f}7\u{1f}\u{1f}\u{1f}\u{1e}",
            "1\u{1f}7\u{1f}a\u{1f}b\u{1f}\u{1e}",
            "1\u{1f}7\u{1f}a\u{1e}\u{1f}\u{1e}",
            "1\u{1f}7\u{1f}a\u{1f}\u{1e}\u{1e}",
            "1\u{1f}7\u{1f}a\u{1f}\u{1f}\u{1f}",
            "1\u{1f}7\u{1f}\u{1e}\u{1e}",
            "1\u{1f}\u{1e}a\u{1f}\u{1e}",
            "1\u{1f}seven\u{1f}a\u{1f}\u{1e}",
            "1\u{1f}7\u{1f}a\u{1f}tomorrow\u{1f}",
            "0\u{1f}7\u{1f}a\u{1f}\u{1e}",
            "many\u{1f}",
            "",
        ] {
            assert_eq!(tuples(text.as_bytes(), COLUMNS), None, "{text:?}");
        }
        assert!(tuples(b"1\x1f7\x1f\xe9\x1f\x1e", COLUMNS).is_none(), "no UTF-8");
    }
}
