//! What is said about documents that are given up, and about comments that hold a secret.

use std::ops::Range;

use super::events::{DEEPEST, EXPANDED, Stop};
use super::problem::{Problem, Problems};
use super::source::{Mark, Source, short};
use super::suspect::{Guids, hidden, secret_value, shows_nothing};
use super::syntax::syntax;

/// Advice that goes with every secret found.
pub const AFTER_A_SECRET: &str = "take it out and change it wherever it is used: Git keeps what was once committed";

/// The problem that stopped the reading of a document.
pub fn stopped(source: &Source<'_>, stop: &Stop) -> Problem {
    let problem = |mark: Mark, message: String| source.problem(mark, message, Guids::Secret);
    match stop {
        Stop::Syntax(error) => syntax(source, error),
        Stop::TooDeep(mark) => problem(*mark, format!("lists and maps stand more than {DEEPEST} deep in each other"))
            .hint("nothing here needs more than a list of maps of plain values"),
        Stop::Bomb(mark) => problem(*mark, format!("the aliases here stand for more than {EXPANDED} values"))
            .hint("write the values out; nothing of this document is read"),
        Stop::Cycle(mark) => problem(*mark, "the alias stands inside what it stands for".to_owned())
            .hint("write the values out; what follows in this document is not read"),
    }
}

/// Comments are read by people only, but by all who may read the repository.
pub fn comments(source: &Source<'_>, problems: &mut Problems) {
    let (mut offset, mut line) = (0, 1);
    for text in source.text.split('\n') {
        if let Some(Leak { comment, part, guids }) = leak(text).filter(|_| !problems.is_full()) {
            let before = &text[..part.start];
            let last = before.rsplit('\r').next().unwrap_or(before);
            let mark = Mark {
                offset: short(offset + before.len()),
                length: short(part.len()),
                line: short(line + breaks_inside(before)),
                column: short(1 + last.chars().count()),
            };
            let what = secret_value(comment, guids).unwrap_or("a secret");
            let problem = source.problem(mark, format!("the comment holds what looks like {what}"), guids);
            problems.push(problem.warning().hint(AFTER_A_SECRET));
        }
        offset += text.len() + 1;
        line += 1 + breaks_inside(text.strip_suffix('\r').unwrap_or(text));
    }
}

/// What looks like a secret in the comment of a line.
struct Leak<'t> {
    comment: &'t str,
    /// In bytes of the line.
    part: Range<usize>,
    /// What a GUID is in that comment.
    guids: Guids,
}

fn leak(line: &str) -> Option<Leak<'_>> {
    let at = comment(line)?;
    let comment = &line[at..];
    if shows_nothing(comment) {
        return None;
    }
    let guids = if comment.to_ascii_lowercase().contains("guid") { Guids::Secret } else { Guids::Names };
    let part = hidden(comment, guids).into_iter().next()?;
    Some(Leak { comment, part: at + part.start..at + part.end, guids })
}

/// Whether a comment of the line holds what looks like a secret.
pub fn leaks(line: &str) -> bool {
    leak(line).is_some()
}

/// YAML also breaks lines at a carriage return by itself.
fn breaks_inside(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\r').count()
}

/// Where a comment begins, as far as that can be told without reading the line as YAML.
fn comment(line: &str) -> Option<usize> {
    let at = line.find('#')?;
    let begins = line[..at].bytes().next_back().is_none_or(|before| before.is_ascii_whitespace());
    begins.then_some(at)
}
