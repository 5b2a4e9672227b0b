//! The values of a row, each borrowed from the driver's buffer, because most of them are compared and forgotten.

use chrono::{DateTime, Utc};
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite};

use super::time::our_spelling;

/// The beginning of 2000, from which PostgreSQL counts: microseconds since 1970.
pub(super) const EPOCH: i64 = 946_684_800_000_000;

/// The values of one row, in the order of its columns: each call gives the next.
pub enum Cells<'r> {
    /// What is left of a tuple.
    Copied(&'r [u8]),
    /// The row, and the number of its next column.
    Stepped(&'r SqliteRow, usize),
}

pub(super) fn broken(what: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

/// Hands over the tuples of one part: each is the number of its fields in 2 bytes, then the fields, each with its
/// length in 4; -1 in place of a number ends them all.
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
            return Err(broken("a row of the database's copy was not read"));
        }
        rest = left;
    }
    Ok(())
}

impl<'r> Cells<'r> {
    /// The bytes of the next value of a copied tuple; `None` for NULL.
    fn copied(rest: &mut &'r [u8]) -> Result<Option<&'r [u8]>, sqlx::Error> {
        let ends_early = || broken("a row of the database's copy ends too early");
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
        value
            .try_into()
            .map(i64::from_be_bytes)
            .map_err(|_| broken("a number of the database's copy is not of 8 bytes"))
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
