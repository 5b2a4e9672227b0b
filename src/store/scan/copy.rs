//! Rows of PostgreSQL by binary `COPY`.

use futures_util::TryStreamExt;
use sqlx::PgConnection;

use super::Selection;
use super::cells::broken;
use super::part::{Outlet, Part};

/// Sends the selected rows as parts of about 64 KiB, each of whole tuples.
///
/// Errors: what the server says, or nobody takes them.
pub async fn send(conn: &mut PgConnection, selection: &Selection, outlet: &Outlet) -> Result<(), sqlx::Error> {
    const PART: usize = 64 << 10;
    let copy = format!("COPY ({}) TO STDOUT (FORMAT binary)", selection.select());
    let mut messages = conn.copy_out_raw(&copy).await?;
    let mut is_first = true;
    let mut part = Vec::with_capacity(PART + 1024);
    while let Some(message) = messages.try_next().await? {
        part.extend_from_slice(if is_first { beyond_header(&message)? } else { &message });
        is_first = false;
        if part.len() >= PART {
            outlet.send(Part::Tuples(std::mem::replace(&mut part, Vec::with_capacity(PART + 1024)))).await?;
        }
    }
    outlet.send(Part::Tuples(part)).await
}

/// What follows the file header of the binary format: a signature of 11 bytes, flags of 4, an extension with its length.
fn beyond_header(message: &[u8]) -> Result<&[u8], sqlx::Error> {
    let rest = message.strip_prefix(b"PGCOPY\n\xff\r\n\0").and_then(|rest| rest.get(4..));
    let extension = rest.and_then(|rest| rest.split_first_chunk::<4>());
    extension
        .and_then(|(length, rest)| rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..))
        .ok_or_else(|| broken("the server's copy does not begin with the header of the binary format"))
}

#[cfg(test)]
mod tests {
    use super::super::cells::tuples;
    use super::*;

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
