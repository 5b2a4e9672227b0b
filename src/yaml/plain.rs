//! The fast reader: plain block style, as nearly every file is written, and nothing that needs a second thought.
//!
//! It knows kinds at the margin, lists of maps below them, and a value without escapes behind each `key: `, all in one
//! line. It hands items over only where the thorough reader would hand over the same items, each value at the same
//! place, and would say nothing. Wherever it is not certain of that it gives up: the thorough reader then begins anew,
//! and it alone says what is wrong.

use super::Sheet;
use super::class::{BEYOND_ASCII, CLASS, CONTROL, DOUBTFUL, HALT, STRIDE, TELLING, is_unmarked};
use super::complaint::leaks;
use super::core::Core;
use super::field::{Field, Section, Shape};
use super::item::{Entry, Item, Value};
use super::quick;
use super::source::{Mark, Source, short};
use super::suspect::{Guids, secret_value};
use super::value::{Written, is_name};
use crate::credential;

/// Something that the fast reader does not know for certain.
#[derive(Debug)]
pub struct Unsure;

/// Hands all items of the file to `sheet`.
///
/// Errors: [`Unsure`], with some items handed over already.
pub fn read(source: &Source<'_>, sections: &'static [Section], sheet: &mut impl Sheet) -> Result<(), Unsure> {
    let text = &*source.text;
    let mut reader = Reader {
        source,
        text,
        bytes: text.as_bytes(),
        at: 0,
        line: 1,
        sections,
        kinds_seen: 0,
        list: None,
        item: None,
        entries: Vec::new(),
        sheet,
    };
    while reader.line()? {}
    reader.finish_item()
}

struct Reader<'t, S> {
    source: &'t Source<'t>,
    text: &'t str,
    bytes: &'t [u8],
    /// Where the present line begins, in bytes.
    at: usize,
    /// Its number, from 1.
    line: u32,
    sections: &'static [Section],
    /// One bit for each section.
    kinds_seen: u64,
    list: Option<List>,
    item: Option<Open>,
    /// Of the item that is open.
    entries: Vec<Entry<'t>>,
    sheet: &'t mut S,
}

/// The list below a kind. In its sets of fields each has a bit, by its number in [`Section::all_fields`].
struct List {
    section: &'static Section,
    guids: Guids,
    /// Blanks before each hyphen, as the first item has them.
    indent: Option<usize>,
    required: u64,
    /// None of these may be in one item as a whole.
    exclusive: Vec<u64>,
}

/// The item that is being read.
struct Open {
    mark: Mark,
    /// Blanks before each field.
    indent: usize,
    seen: u64,
    /// The field that probably comes next.
    next: usize,
}

impl<'t, S: Sheet> Reader<'t, S> {
    /// Reads one line; false at the end of the text.
    fn line(&mut self) -> Result<bool, Unsure> {
        let first = self.after_blanks(self.at);
        let indent = first - self.at;
        match self.bytes.get(first) {
            None => return Ok(false),
            Some(b'\n') => self.next_line(first),
            Some(b'#') => self.comment(first)?,
            Some(_) if self.item.as_ref().is_some_and(|item| item.indent == indent) => self.field(first)?,
            Some(b'-') => self.item(first, indent)?,
            Some(_) if indent == 0 => self.kind()?,
            Some(_) => return Err(Unsure),
        }
        Ok(true)
    }

    fn after_blanks(&self, at: usize) -> usize {
        self.bytes[at..].iter().position(|byte| *byte != b' ').map_or(self.bytes.len(), |blanks| at + blanks)
    }

    /// Behind the bytes from `at` on that ask for no second look, as far as they are looked at together.
    fn after_unmarked(&self, at: usize) -> usize {
        let mut end = at;
        while self.bytes.get(end..).and_then(|rest| rest.first_chunk()).is_some_and(is_unmarked) {
            end += STRIDE;
        }
        end
    }

    /// Goes on behind the line break at `end`, or to the end of the text.
    fn next_line(&mut self, end: usize) {
        self.at = (end + 1).min(self.bytes.len());
        self.line = self.line.saturating_add(1);
    }

    /// Reads the rest of a line from a `#` on that stands at the margin or behind a blank.
    fn comment(&mut self, hash: usize) -> Result<(), Unsure> {
        let mut end = self.after_unmarked(hash + 1);
        while let Some(byte) = self.bytes.get(end).filter(|byte| **byte != b'\n') {
            self.allow(end, *byte)?;
            end = self.after_unmarked(end + 1);
        }
        if leaks(&self.text[self.at..end]) {
            return Err(Unsure);
        }
        self.next_line(end);
        Ok(())
    }

    /// Leaves the line of a value or kind that ends at `end`. A comment may follow.
    fn finish_line(&mut self, end: usize) -> Result<(), Unsure> {
        let next = self.after_blanks(end);
        match self.bytes.get(next) {
            None | Some(b'\n') => self.next_line(next),
            Some(b'#') if next > end => self.comment(next)?,
            Some(_) => return Err(Unsure),
        }
        Ok(())
    }

    /// Whether `byte`, other than a line break, may stand at `at`: in a value, a comment or anywhere.
    fn allow(&self, at: usize, byte: u8) -> Result<(), Unsure> {
        let class = CLASS[usize::from(byte)];
        if class & (CONTROL | DOUBTFUL) == 0 {
            return Ok(());
        }
        // Controls, breaks and marks beyond ASCII: U+0080 to U+009F, U+2028 and U+2029, U+FEFF, U+FFFE and U+FFFF.
        match self.bytes[at..] {
            [0xc2, 0x80..=0x9f, ..]
            | [0xe2, 0x80, 0xa8 | 0xa9, ..]
            | [0xef, 0xbb, 0xbf, ..]
            | [0xef, 0xbf, 0xbe | 0xbf, ..] => Err(Unsure),
            _ if class & CONTROL != 0 => Err(Unsure),
            _ => Ok(()),
        }
    }

    /// `sessions:`
    fn kind(&mut self) -> Result<(), Unsure> {
        self.finish_item()?;
        let rest = &self.bytes[self.at..];
        let named = |section: &Section| follows(rest, section.kind.plural);
        let number = self.sections.iter().position(named).ok_or(Unsure)?;
        let section = &self.sections[number];
        let bit = bit(number)?;
        if self.kinds_seen & bit != 0 {
            return Err(Unsure);
        }
        self.kinds_seen |= bit;
        self.list = Some(List::new(section)?);
        self.finish_line(self.at + section.kind.plural.len() + 1)
    }

    /// `- id: 215`
    fn item(&mut self, hyphen: usize, indent: usize) -> Result<(), Unsure> {
        self.finish_item()?;
        let list = self.list.as_mut().ok_or(Unsure)?;
        if *list.indent.get_or_insert(indent) != indent || self.bytes.get(hyphen + 1) != Some(&b' ') {
            return Err(Unsure);
        }
        let first = self.after_blanks(hyphen + 1);
        let mark = self.mark(first..first);
        self.item = Some(Open { mark, indent: first - self.at, seen: 0, next: 0 });
        self.field(first)
    }

    /// `title: Surah Al-Fatiha`
    fn field(&mut self, first: usize) -> Result<(), Unsure> {
        let (Some(list), Some(item)) = (&self.list, &mut self.item) else { return Err(Unsure) };
        let (number, field) = find(list.section, &self.bytes[first..], item.next).ok_or(Unsure)?;
        let bit = bit(number)?;
        if item.seen & bit != 0 {
            return Err(Unsure);
        }
        item.seen |= bit;
        item.next = number + 1;
        let guids = list.guids;
        let colon = first + field.name.len();
        let start = self.after_blanks(colon + 1);
        if start == colon + 1 {
            return Err(Unsure);
        }
        let (value, end) = match self.quickly(field, start) {
            Some(read) => read,
            None => self.value(field, start, guids)?,
        };
        let mark = self.mark(start..end);
        self.entries.push(Entry { field, mark, value });
        self.finish_line(end)
    }

    /// A number or a time in its usual spelling, and where it ends.
    fn quickly(&self, field: &Field, start: usize) -> Option<(Value<'t>, usize)> {
        let rest = &self.bytes[start..];
        let (value, length) = match field.shape {
            Shape::Int { min, max } => {
                let (value, length) = quick::int(rest)?;
                ((min..=max).contains(&value).then_some(Value::Int(value))?, length)
            }
            Shape::Time => (Value::Time(quick::time(rest)?), quick::TIME),
            _ => return None,
        };
        matches!(rest.get(length), None | Some(b'\n' | b' ')).then_some((value, start + length))
    }

    /// Any other value, and where it ends.
    fn value(&self, field: &'static Field, start: usize, guids: Guids) -> Result<(Value<'t>, usize), Unsure> {
        let first = *self.bytes.get(start).ok_or(Unsure)?;
        let plain = !matches!(first, b'\'' | b'"');
        let (end, classes) = if plain { self.plain(start)? } else { self.quoted(start + 1, first)? };
        let text = if plain { &self.text[start..end] } else { &self.text[start + 1..end - 1] };
        // The thorough reader looks for comments without knowing of quotes.
        let line_end = || self.text[end..].find('\n').map_or(self.text.len(), |length| end + length);
        if !plain && text.contains('#') && leaks(&self.text[self.at..line_end()]) {
            return Err(Unsure);
        }
        let length = || if classes & BEYOND_ASCII == 0 { text.len() } else { text.chars().count() };
        let value = match field.shape {
            // No control stands in a text that has been read so far.
            Shape::Text { min, max } if (min..=max).contains(&length()) && !(plain && Core::of(text) != Core::Text) => {
                Value::Text(text.into())
            }
            _ => field.check(Written { text, plain, guids }).map_err(|_| Unsure)?,
        };
        let short = text.len() < credential::SHORTEST && classes & TELLING == 0;
        if matches!(value, Value::Text(_)) && !short && secret_value(text, guids).is_some() {
            return Err(Unsure);
        }
        Ok((value, end))
    }

    /// Where the text without quotes ends that begins at `start`, and which classes of bytes it holds.
    fn plain(&self, start: usize) -> Result<(usize, u8), Unsure> {
        let first = self.bytes[start];
        if !(first.is_ascii_alphanumeric() || !first.is_ascii() || b"_/.+($~".contains(&first)) {
            return Err(Unsure);
        }
        let mut classes = 0;
        let mut end = self.after_unmarked(start);
        while let Some(byte) = self.bytes.get(end) {
            let class = CLASS[usize::from(*byte)];
            classes |= class;
            if class & HALT != 0 {
                let next = self.bytes.get(end + 1);
                match byte {
                    b'\n' => break,
                    b'#' if self.bytes[end - 1] == b' ' => break,
                    b':' if matches!(next, None | Some(b' ' | b'\n')) => return Err(Unsure),
                    b'#' | b':' => {}
                    _ => self.allow(end, *byte)?,
                }
            }
            end += 1;
        }
        let blanks = self.bytes[start..end].iter().rev().take_while(|byte| **byte == b' ').count();
        Ok((end - blanks, classes))
    }

    /// The same for text in quotes that begins at `start`; it ends behind the second of them.
    fn quoted(&self, start: usize, quote: u8) -> Result<(usize, u8), Unsure> {
        let mut classes = 0;
        let mut end = start;
        loop {
            match *self.bytes.get(end).ok_or(Unsure)? {
                byte if byte == quote => return Ok((end + 1, classes)),
                b'\n' | b'\\' => return Err(Unsure),
                byte => {
                    classes |= CLASS[usize::from(byte)];
                    self.allow(end, byte)?;
                    end += 1;
                }
            }
        }
    }

    /// Hands over the item that is open, if one is.
    fn finish_item(&mut self) -> Result<(), Unsure> {
        let Some(Open { mark, indent: _, seen, next: _ }) = self.item.take() else { return Ok(()) };
        let list = self.list.as_ref().ok_or(Unsure)?;
        if seen & list.required != list.required || list.exclusive.iter().any(|pair| seen & pair == *pair) {
            return Err(Unsure);
        }
        let problems = self.sheet.insert(list.section, &Item::new(list.section, self.source, mark, &self.entries));
        self.entries.clear();
        if problems.is_empty() { Ok(()) } else { Err(Unsure) }
    }

    /// A stretch of the present line, with nothing but ASCII before it.
    fn mark(&self, range: std::ops::Range<usize>) -> Mark {
        Mark {
            offset: short(range.start),
            length: short(range.len()),
            line: self.line,
            column: short(range.start - self.at + 1),
        }
    }
}

impl List {
    fn new(section: &'static Section) -> Result<Self, Unsure> {
        // A key of another spelling may want quotes, or be no text.
        let is_key = |name: &str| is_name(name) && Core::of(name) == Core::Text;
        if !is_key(section.kind.plural) || !section.all_fields().all(|field| is_key(field.name)) {
            return Err(Unsure);
        }
        let mut required = 0;
        for (number, field) in section.fields.iter().enumerate() {
            required |= if field.required { bit(number)? } else { 0 };
        }
        let mut exclusive = Vec::with_capacity(section.exclusive.len());
        for (left, right) in section.exclusive {
            let (left, right) = (section.field(left).ok_or(Unsure)?, section.field(right).ok_or(Unsure)?);
            exclusive.push(bit(left.0)? | bit(right.0)?);
        }
        Ok(Self { section, guids: section.guids(), indent: None, required, exclusive })
    }
}

/// The set of nothing but `number`.
fn bit(number: usize) -> Result<u64, Unsure> {
    u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number)).ok_or(Unsure)
}

/// Whether `text` begins with that key and its colon.
fn follows(text: &[u8], key: &str) -> bool {
    text.get(key.len()) == Some(&b':') && text.starts_with(key.as_bytes())
}

/// The field whose key `text` begins with, and its number; `next` is looked at first.
fn find(section: &'static Section, text: &[u8], next: usize) -> Option<(usize, &'static Field)> {
    let guess = section.fields.get(next).filter(|field| follows(text, field.name));
    guess
        .map(|field| (next, field))
        .or_else(|| section.all_fields().enumerate().find(|(_, field)| follows(text, field.name)))
}
