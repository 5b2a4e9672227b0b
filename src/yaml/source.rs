//! A file's text, and the places in it.

use std::borrow::Cow;
use std::sync::Arc;

use super::excerpt::Excerpt;
use super::problem::{Place, Problem};
use super::suspect::Guids;

/// A stretch of a file's text: where it begins, and how long it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// In bytes.
    pub offset: u32,
    /// In bytes.
    pub length: u32,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// A count of bytes, lines or characters as a [`Mark`] keeps it. No file that is read has more.
pub fn short(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A file's text as it is read.
pub struct Source<'t> {
    pub file: Arc<str>,
    pub text: Cow<'t, str>,
}

impl<'t> Source<'t> {
    /// The text of `bytes`, without a byte order mark, and what is wrong with it as text. Bytes that are not UTF-8
    /// are replaced, so that the rest of the file is still checked; none is read from a file over `limit` bytes.
    pub fn new(file: Arc<str>, bytes: &'t [u8], limit: usize) -> (Option<Self>, Option<Problem>) {
        // Offsets are kept in 32 bits.
        let limit = limit.min(u32::MAX as usize);
        let start = Place { file: Arc::clone(&file), line: 1, column: 1 };
        if bytes.len() > limit {
            let message = format!("the file has {}, and the limit is {}", size(bytes.len()), size(limit));
            let problem = Problem::error(start, message).hint("divide it into several files; any number is read");
            return (None, Some(problem));
        }
        if let Some(encoding) = foreign(bytes) {
            let problem = Problem::error(start, format!("the file is {encoding}, not UTF-8")).hint("save it as UTF-8");
            return (None, Some(problem));
        }
        let (text, bad) = match str::from_utf8(bytes) {
            Ok(text) => (Cow::Borrowed(text), None),
            Err(error) => {
                let bad = error.valid_up_to();
                (String::from_utf8_lossy(bytes), Some((bad, bytes[bad])))
            }
        };
        let mark = bad.map(|(offset, byte)| (mark_at(&text, offset), byte));
        let cut = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[cut as usize..]),
            Cow::Owned(text) => Cow::Owned(text[cut as usize..].to_owned()),
        };
        let source = Self { file, text };
        let problem = mark.map(|(mark, byte)| {
            let mark = Mark { offset: mark.offset.saturating_sub(cut), ..mark };
            let message = format!("the byte 0x{byte:02x} is not UTF-8");
            source.problem(mark, message, Guids::Secret).hint("save the file as UTF-8")
        });
        (Some(source), problem)
    }

    pub fn place(&self, mark: Mark) -> Place {
        Place { file: Arc::clone(&self.file), line: mark.line, column: mark.column }
    }

    /// An error at `mark`, with its line.
    pub fn problem(&self, mark: Mark, message: impl Into<String>, guids: Guids) -> Problem {
        let mut problem = Problem::error(self.place(mark), message);
        problem.excerpt = Some(Excerpt::cut(&self.text, mark.offset as usize, mark.length as usize, guids));
        problem
    }
}

/// The encoding that is not ours, by its mark, or by the NULs beside the first letter, which is ASCII in any YAML.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] | [_, 0, 0, 0, ..] | [0, 0, 0, _, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [one, 0, other, 0, ..] | [0, one, 0, other, ..] if *one > 0 && *other > 0 => Some("UTF-16"),
        _ => None,
    }
}

/// The place of a byte of `text`, counted from its beginning; a byte order mark takes no column.
fn mark_at(text: &str, offset: usize) -> Mark {
    let before = &text[..text.floor_char_boundary(offset)];
    let after_break = |(at, letter): (usize, char)| match letter {
        '\r' => !before[at + 1..].starts_with('\n'),
        _ => letter == '\n',
    };
    let line = 1 + before.char_indices().filter(|found| after_break(*found)).count();
    let last = before.rfind(['\n', '\r']).map_or(before, |at| &before[at + 1..]);
    let column = 1 + last.chars().filter(|letter| *letter != '\u{feff}').count();
    let length = text[before.len()..].chars().next().map_or(0, char::len_utf8);
    Mark { offset: short(before.len()), length: short(length), line: short(line), column: short(column) }
}

/// `17.2 MiB`, or bytes where that would say `0.0`.
fn size(bytes: usize) -> String {
    const MIB: usize = 1024 * 1024;
    if bytes < MIB {
        return format!("{bytes} bytes");
    }
    let tenths = (bytes as u128 * 10).div_ceil(MIB as u128);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
