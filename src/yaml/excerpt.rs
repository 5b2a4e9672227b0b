//! The line that a problem points at, made fit to be shown: short, its secrets hidden.

use std::fmt::Write;
use std::ops::Range;

use super::suspect::{Guids, hidden, secret_key};
use crate::credential::MASK;

/// A line is shown for so many characters around the caret.
const COLUMNS: usize = 100;
/// So many bytes on either side of the caret are looked at; a line may be as long as its file.
const WINDOW: usize = 512;
/// So many bytes above a line are searched for the key that owns it.
const ABOVE: usize = 2_048;
/// So many characters of a value are quoted in a message.
const QUOTED: usize = 40;

/// One line of source, or the part of it around the caret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excerpt {
    pub line: String,
    /// Bytes of `line` from where the caret stands.
    caret_start: usize,
    caret_end: usize,
}

impl Excerpt {
    /// The line of `text` in which `offset` lies, with a caret under `length` bytes of it.
    pub fn cut(text: &str, offset: usize, length: usize, guids: Guids) -> Self {
        let offset = floor(text, offset);
        let window = floor(text, offset.saturating_sub(WINDOW))..floor(text, offset.saturating_add(WINDOW));
        let line_start = text[window.start..offset].rfind(is_break).map(|at| window.start + at + 1);
        let start = line_start.unwrap_or(window.start);
        let end = text[offset..window.end].find(is_break).map_or(window.end, |at| offset + at);
        let line = &text[start..end];
        let caret = offset - start..floor(text, offset.saturating_add(length).min(end)) - start;

        let mut secret = hidden(line, guids);
        if owned_by_a_secret(&text[..start], line) {
            let content = line.len() - line.trim_start().len()..line.trim_end().len();
            secret = if content.is_empty() { Vec::new() } else { vec![content] };
        } else if line_start.is_none() && window.start > 0 {
            // The line goes on to the left, where a key may have announced a secret.
            let first = line.find([' ', ',']).unwrap_or(line.len());
            secret.retain(|range| range.start >= first);
            secret.insert(0, 0..first.max(secret.first().map_or(0, |range| range.start.min(first))));
        }
        let (line, caret) = masked(line, &secret, caret);
        shortened(&line.chars().map(tame).collect::<String>(), caret)
    }

    pub fn caret(&self) -> Range<usize> {
        self.caret_start..self.caret_end
    }
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\n' | '\r')
}

/// `letter`, or where a terminal would obey it or show nothing, a sign of as many bytes, so that carets stay in place.
/// What ASCII has of these becomes a picture of itself when the line is drawn.
fn tame(letter: char) -> char {
    match letter {
        '\u{80}'..='\u{9f}' => '¿',
        letter if turns_or_hides(letter) => '\u{fffd}',
        letter => letter,
    }
}

/// The last boundary between characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

/// Whether the line below `before` belongs to a key that announces a secret: a block of text, a list or a map below
/// `password:`.
fn owned_by_a_secret(before: &str, line: &str) -> bool {
    let Some(mut indent) = indentation(line) else { return false };
    let mut in_list = line.trim_start().starts_with('-');
    let above = &before[floor(before, before.len().saturating_sub(ABOVE))..];
    for owner in above.rsplit(is_break) {
        let Some(depth) = indentation(owner) else { continue };
        let content = owner.trim_start();
        let is_entry = content.starts_with('-');
        if depth < indent || (depth == indent && in_list && !is_entry) {
            let key = content.trim_start_matches(['-', ' ', '"', '\'']);
            let key = key.split([':', '"', '\'']).next().unwrap_or_default();
            if secret_key(key) {
                return true;
            }
            (indent, in_list) = (depth, is_entry);
        }
        if indent == 0 && !in_list {
            return false;
        }
    }
    false
}

/// Blanks before the first letter; none for a blank line or a comment.
fn indentation(line: &str) -> Option<usize> {
    let content = line.trim_start();
    (!content.is_empty() && !content.starts_with('#')).then_some(line.len() - content.len())
}

/// `line` with `secret` parts replaced, and the caret moved along.
fn masked(line: &str, secret: &[Range<usize>], caret: Range<usize>) -> (String, Range<usize>) {
    let mut shown = String::with_capacity(line.len());
    let mut moved = caret.clone();
    let mut at = 0;
    for part in secret {
        shown.push_str(&line[at..part.start]);
        let mask = shown.len()..shown.len() + MASK.len();
        shown.push_str(MASK);
        at = part.end;
        // A caret that touches a hidden part takes in all of the mask: where it stood inside would tell a length.
        if caret.start >= part.end {
            moved.start = mask.end + (caret.start - part.end);
        } else if caret.start >= part.start {
            moved.start = mask.start;
        }
        if caret.end > part.end {
            moved.end = mask.end + (caret.end - part.end);
        } else if caret.end > part.start {
            moved.end = mask.end;
        }
    }
    shown.push_str(&line[at..]);
    moved.end = moved.end.max(moved.start);
    (shown, moved)
}

/// At most [`COLUMNS`] characters of `line` around the caret; what is cut away shows as `…`.
fn shortened(line: &str, caret: Range<usize>) -> Excerpt {
    if line.chars().count() <= COLUMNS {
        return Excerpt { line: line.to_owned(), caret_start: caret.start, caret_end: caret.end };
    }
    let before = line[..caret.start].char_indices().rev().nth(COLUMNS / 2).map_or(0, |(at, _)| at);
    let end = line[before..].char_indices().nth(COLUMNS).map_or(line.len(), |(at, _)| before + at);
    let left = if before > 0 { "…" } else { "" };
    let right = if end < line.len() { "…" } else { "" };
    let moved = |at: usize| at.clamp(before, end) - before + left.len();
    Excerpt {
        line: format!("{left}{}{right}", &line[before..end]),
        caret_start: moved(caret.start),
        caret_end: moved(caret.end),
    }
}

/// `text` with everything escaped that could move a terminal's cursor or turn the direction of writing.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || turns_or_hides(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

fn turns_or_hides(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A key or value as a message quotes it: `` `titel` ``, shortened, escaped, hidden where it looks like a secret.
pub fn quoted(value: &str, guids: Guids) -> String {
    let head = &value[..floor(value, WINDOW)];
    let (shown, _) = masked(head, &hidden(head, guids), 0..0);
    let mut quoted = String::from("`");
    let mut letters = shown.chars();
    for letter in letters.by_ref().take(QUOTED) {
        let mut bytes = [0; 4];
        // Writing to a string cannot fail.
        let _ = quoted.write_str(&visible(letter.encode_utf8(&mut bytes)));
    }
    if letters.next().is_some() || head.len() < value.len() {
        quoted.push('…');
    }
    quoted.push('`');
    quoted
}
