//! Reading many rows without keeping any: each is handed over as it arrives, and gone before the next.
//!
//! On PostgreSQL the rows come by binary `COPY`, which costs the server and us half of what typed rows of a query do
//! (a million sessions: 0.7 s and 1.5 s). SQLite hands over row by row anyway. Either way a value is borrowed from the
//! driver's buffer, because most of them are compared and forgotten.

use std::str;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, PgConnection, Row as _, Sqlite};
use tokio::sync::mpsc;

use super::sql::{Conn, limited};

/// The values of one row, in the order of its columns: each call gives the next.
pub enum Cells<'r> {
    /// What is left of a tuple of binary `COPY`.
    Copied(&'r [u8]),
    /// The row, and the number of its next column.
    Stepped(&'r SqliteRow, usize),
}

/// Hands every row of `select`, which takes no arguments and ends without a semicolon, to `each`.
///
/// Errors: what the database says, or `each`.
pub async fn scan(
    conn: &mut Conn,
    select: &'static str,
    mut each: impl FnMut(&mut Cells<'_>) -> Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    match conn {
        Conn::Sqlite(conn) => {
            let mut rows = sqlx::query(select).fetch(&mut **conn);
            while let Some(row) = rows.try_next().await? {
                each(&mut Cells::Stepped(&row, 0))?;
            }
            Ok(())
        }
        Conn::Postgres(conn, limit) => {
            let copy = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
            let work = async {
                let mut messages = conn.copy_out_raw(&copy).await?;
                let mut is_first = true;
                while let Some(message) = messages.try_next().await? {
                    let rest = if is_first { beyond_header(&message)? } else { &message };
                    is_first = false;
                    tuples(rest, &mut each)?;
                }
                Ok(())
            };
            limited(*limit, work).await
        }
    }
}

/// Sends the rows of `select` as parts of about 64 KiB, each of whole tuples; ends early where nobody takes them.
pub(super) async fn copy_in_parts(
    conn: &mut PgConnection,
    limit: Duration,
    select: &'static str,
    parts: mpsc::Sender<Vec<u8>>,
) -> Result<(), sqlx::Error> {
    const PART: usize = 64 << 10;
    let copy = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
    let work = async {
        let mut messages = conn.copy_out_raw(&copy).await?;
        let mut is_first = true;
        let mut part = Vec::with_capacity(PART + 1024);
        while let Some(message) = messages.try_next().await? {
            part.extend_from_slice(if is_first { beyond_header(&message)? } else { &message });
            is_first = false;
            if part.len() >= PART {
                let full = std::mem::replace(&mut part, Vec::with_capacity(PART + 1024));
                if parts.send(full).await.is_err() {
                    return Err(sqlx::Error::Protocol("nobody wants the rows".to_owned()));
                }
            }
        }
        // That nobody takes the last part is seen by whoever does not.
        parts.send(part).await.ok();
        Ok(())
    };
    limited(limit, work).await
}

/// `pick!(conn, postgres, sqlite, keys, a)` gives the rows of the statement of the database at hand, as `fetch!` does.
/// The two texts differ in nothing but how they take the list `keys`, which is `$1`: as an array, or as a JSON array.
macro_rules! pick {
    ($conn:expr, $postgres:expr, $sqlite:expr, $keys:expr $(, $arg:expr)* $(,)?) => {
        match $conn {
            $crate::store::sql::Conn::Sqlite(conn) => {
                let keys = serde_json::json!($keys).to_string();
                sqlx::query($sqlite).bind(keys)$(.bind($arg))*.fetch_all(&mut **conn).await
                    .map(|rows| rows.into_iter().map($crate::store::sql::Row::Sqlite).collect::<Vec<_>>())
            }
            $crate::store::sql::Conn::Postgres(conn, limit) => $crate::store::sql::limited(
                *limit, sqlx::query($postgres).bind($keys)$(.bind($arg))*.fetch_all(&mut **conn)).await
                .map(|rows| rows.into_iter().map($crate::store::sql::Row::Postgres).collect::<Vec<_>>()),
        }
    };
}

pub(crate) use pick;

fn broken(what: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

/// What follows the file header of the binary format: a signature of 11 bytes, flags of 4, an extension with its length.
fn beyond_header(message: &[u8]) -> Result<&[u8], sqlx::Error> {
    let rest = message.strip_prefix(b"PGCOPY\n\xff\r\n\0").and_then(|rest| rest.get(4..));
    let extension = rest.and_then(|rest| rest.split_first_chunk::<4>());
    extension
        .and_then(|(length, rest)| rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..))
        .ok_or_else(|| broken("the server's copy does not begin with the header of the binary format"))
}

/// Hands over the tuples of one message: each is the number of its fields in 2 bytes, then the fields, each with its
/// length in 4; -1 in place of a number ends them all. Every message of PostgreSQL holds whole tuples.
pub(super) fn tuples(
    mut rest: &[u8],
    each: &mut impl FnMut(&mut Cells<'_>) -> Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    while let Some((count, fields)) = rest.split_first_chunk::<2>() {
        if *count == [0xff; 2] {
            return Ok(());
        }
        let mut cells = Cells::Copied(fields);
        each(&mut cells)?;
        let Cells::Copied(left) = cells else { return Ok(()) };
        if left.len() == fields.len() {
            return Err(broken("a row of the server's copy was not read"));
        }
        rest = left;
    }
    Ok(())
}

impl<'r> Cells<'r> {
    /// The bytes of the next value of a copied tuple; `None` for NULL.
    fn copied(rest: &mut &'r [u8]) -> Result<Option<&'r [u8]>, sqlx::Error> {
        let ends_early = || broken("a row of the server's copy ends too early");
        let (length, left) = rest.split_first_chunk::<4>().ok_or_else(ends_early)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            *rest = left;
            return Ok(None);
        };
        let (value, left) = left.split_at_checked(length).ok_or_else(ends_early)?;
        *rest = left;
        Ok(Some(value))
    }

    fn number(value: &[u8]) -> Result<i64, sqlx::Error> {
        value.try_into().map(i64::from_be_bytes).map_err(|_| broken("a number of the server's copy is not of 8 bytes"))
    }

    /// A `BIGINT` that is never NULL.
    pub fn int(&mut self) -> Result<i64, sqlx::Error> {
        match self {
            Cells::Copied(rest) => Self::number(Self::copied(rest)?.ok_or_else(|| broken("a number is NULL"))?),
            Cells::Stepped(row, column) => {
                *column += 1;
                row.try_get(*column - 1)
            }
        }
    }

    /// A text that is never NULL, as its bytes.
    pub fn text(&mut self) -> Result<&'r [u8], sqlx::Error> {
        match self {
            Cells::Copied(rest) => Self::copied(rest)?.ok_or_else(|| broken("a text is NULL")),
            Cells::Stepped(row, column) => {
                *column += 1;
                row.try_get::<&str, _>(*column - 1).map(str::as_bytes)
            }
        }
    }

    /// A time, in microseconds since 1970; `None` for NULL.
    pub fn micros(&mut self) -> Result<Option<i64>, sqlx::Error> {
        /// PostgreSQL counts from the beginning of 2000.
        const EPOCH: i64 = 946_684_800_000_000;
        match self {
            Cells::Copied(rest) => match Self::copied(rest)? {
                None => Ok(None),
                // Infinity is no time of ours, and equals none.
                Some(value) => Self::number(value).map(|micros| Some(micros.saturating_add(EPOCH))),
            },
            Cells::Stepped(row, column) => {
                *column += 1;
                let value = row.try_get_raw(*column - 1)?;
                if sqlx::ValueRef::is_null(&value) {
                    return Ok(None);
                }
                if let Ok(text) = <&str as Decode<Sqlite>>::decode(value)
                    && let Some(micros) = our_spelling(text)
                {
                    return Ok(Some(micros));
                }
                row.try_get::<DateTime<Utc>, _>(*column - 1).map(|time| Some(time.timestamp_micros()))
            }
        }
    }
}

/// A time as we write it to SQLite, `2026-12-01T18:00:00+00:00` with or without a fraction; others are not for here.
fn our_spelling(text: &str) -> Option<i64> {
    let (seconds, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let pairs = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !pairs.into_iter().all(|(at, sign)| seconds[at] == sign) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        seconds[range].iter().try_fold(0i64, |number, digit| match digit {
            b'0'..=b'9' => Some(number * 10 + i64::from(digit - b'0')),
            _ => None,
        })
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let fraction = rest.strip_suffix(b"+00:00")?;
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if matches!(digits.len(), 3 | 6) && digits.iter().all(u8::is_ascii_digit) => {
            let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
            if digits.len() == 3 { number * 1_000 } else { number }
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date = chrono::NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    let days = i64::from(chrono::Datelike::num_days_from_ce(&date)) - 719_163;
    Some(((days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000_000) + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_spelling_means_what_the_driver_takes_it_for() {
        for text in [
            "2026-12-01T18:00:00+00:00",
            "2026-12-01T18:00:00.5+00:00",
            "2026-12-01T18:00:00.123+00:00",
            "2026-12-01T18:00:00.123456+00:00",
            "1969-12-31T23:59:59.999999+00:00",
            "0001-01-01T00:00:00+00:00",
            "2024-02-29T12:30:30+00:00",
            "2023-02-29T12:30:30+00:00",
            "2026-12-01 18:00:00+00:00",
            "2026-12-01T18:00:00Z",
            "2026-12-01T24:00:00+00:00",
            "2026-12-01T23:59:60+00:00",
            "2026-12-01T18:00:00+03:00",
            "2026-1a-01T18:00:00+00:00",
            "2026-12-01",
            "",
        ] {
            let Some(micros) = our_spelling(text) else { continue };
            let time = DateTime::parse_from_rfc3339(text).unwrap();
            assert_eq!(micros, time.timestamp_micros(), "{text}");
        }
        assert!(our_spelling("2026-12-01T18:00:00+00:00").is_some());
        assert!(our_spelling("2026-12-01T18:00:00.123456+00:00").is_some());
    }

    #[test]
    fn a_copy_that_is_cut_short_is_an_error() {
        let mut copy = b"PGCOPY\n\xff\r\n\0".to_vec();
        copy.extend([0; 8]);
        assert_eq!(beyond_header(&copy).unwrap(), b"");
        assert!(beyond_header(&copy[..15]).is_err() && beyond_header(b"PGCOPX").is_err());
        let tuple = b"\0\x03\0\0\0\x08\0\0\0\0\0\0\0\x07\0\0\0\x02hi\xff\xff\xff\xff\xff\xff";
        let read = |bytes: &[u8]| {
            let mut found = Vec::new();
            let done = tuples(bytes, &mut |cells| {
                found.push((cells.int()?, cells.text()?.to_vec(), cells.micros()?));
                Ok(())
            });
            (done.is_ok(), found)
        };
        assert_eq!(read(tuple), (true, vec![(7, b"hi".to_vec(), None)]));
        for end in 3..tuple.len() - 2 {
            assert!(!read(&tuple[..end]).0, "{end}");
        }
    }
}
