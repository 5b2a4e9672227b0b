//! What is said where text is no YAML: what stands there, where exactly, and how to mend it.
//!
//! The parser's own words are for those who write parsers, and its place is often where it lost the thread: at the
//! beginning of a text whose third letter is wrong.

use serde_yaml::{ErrorKind, ScanError};

use super::events::mark_of_error;
use super::excerpt::visible;
use super::problem::Problem;
use super::source::{Mark, Source, short};
use super::suspect::Guids;

/// So far, in bytes, is the exact place looked for: there may be a million wrong documents in one file.
const NEAR: usize = 4 * 1024;
/// YAML's own limit of a key without `? ` before it, in characters.
const LONGEST_KEY: usize = 1024;
/// How lines begin that `git merge` has left.
const CONFLICT: [&str; 3] = ["<<<<<<<", "=======", ">>>>>>>"];

const QUOTE_IT: &str = "put the text in quotes";
/// For a tag that is not wanted.
pub const TAKE_THE_TAG: &str = "take it away; if the text begins with `!`, put it in quotes";

/// The problem behind a parser's error.
pub fn syntax(source: &Source<'_>, error: &ScanError) -> Problem {
    let mark = mark_of_error(error);
    let line = line_of(&source.text, mark);
    if CONFLICT.iter().any(|sign| line.starts_with(sign)) {
        let begin = Mark { column: 1, offset: short(line.as_ptr().addr() - source.text.as_ptr().addr()), ..mark };
        return source
            .problem(begin, "two versions of the file are not merged here", Guids::Secret)
            .hint("keep one of the two, and take out the lines that begin with <<<<<<<, ======= and >>>>>>>");
    }
    let (message, hint) = said(error.kind(), line);
    source.problem(exact(source, error.kind(), mark), message, Guids::Secret).hint(hint)
}

/// The message and the hint. `line` is that of the error.
fn said(kind: &ErrorKind, line: &str) -> (String, &'static str) {
    let (message, hint) = match kind {
        kind if is_tab(kind) => ("a tab stands where YAML allows only blanks", "indent with blanks"),
        ErrorKind::UnclosedQuotedScalar => {
            ("a quote is opened and not closed", "close it with the same quote, or indent the lines between")
        }
        ErrorKind::InvalidQuotedScalarIndent | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("a quote that is opened above is not closed", "close it with the same quote, or indent the lines between")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar => (
            "this stands behind a closing quote",
            "within single quotes write an apostrophe twice (''), or put the whole text in double quotes",
        ),
        ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            ("this stands behind a closing quote", "put the whole text in quotes; a quote within it is written \\\"")
        }
        ErrorKind::MappingValueNotAllowed if line.starts_with("---") => {
            ("a map cannot begin beside `---`", "put what follows `---` on a line of its own")
        }
        ErrorKind::MappingValueNotAllowed => {
            ("a second `: ` stands in this line, or its indentation is wrong", "put a text that holds `: ` in quotes")
        }
        ErrorKind::InvalidSimpleKey | ErrorKind::SimpleKeyExpected if line.chars().count() > LONGEST_KEY => {
            ("a key has more than 1024 characters, or a `key: value` is expected here", "shorten it")
        }
        ErrorKind::InvalidSimpleKey | ErrorKind::SimpleKeyExpected | ErrorKind::MappingKeyNotAllowed => {
            ("a `key: value` is expected here", "check for a missing `: ` and for the indentation")
        }
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            ("this does not go on from what stands above it", "check its indentation; a list's entries begin with `- `")
        }
        ErrorKind::InvalidMappingValueWhitespace
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::FlowMappingValueAdjacentCollection => {
            ("a colon stands in a wrong place", "write `key: value`, with a blank after the colon")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("this `{open}` is not closed"), "what follows in this document is not read until it is");
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("this `{open}` is closed by `{close}`"), "close each bracket with its own kind");
        }
        ErrorKind::UnexpectedCharacter { character: '@' | '`' | '%' | '&' | '*' } => {
            ("a text without quotes cannot begin so", QUOTE_IT)
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return (format!("the character U+{:04X} may not stand here", u32::from(*character)), "take it out");
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            ("no escape begins so", "in double quotes a backslash is written \\\\; or use single quotes")
        }
        kind if is_escape(kind) => (
            "this escape is not a character",
            "write the character itself, or its number as \\xHH, \\uHHHH or \\UHHHHHHHH",
        ),
        ErrorKind::BomInsideDocument => ("a byte order mark stands inside the text", "take it out"),
        kind => return seldom(kind),
    };
    (message.to_owned(), hint)
}

/// What hardly anybody writes: brackets gone wrong, blocks of text, tags, and lines that begin with `%`.
fn seldom(kind: &ErrorKind) -> (String, &'static str) {
    let (message, hint) = match kind {
        ErrorKind::MisplacedFlowCollectionEnd => ("nothing is open that this bracket closes", "take it out"),
        ErrorKind::BlockEntryInFlowCollection => {
            ("a `- ` stands inside brackets", "within [ ] part the entries by commas, or take the brackets away")
        }
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::InvalidBlockEntryWhitespace => {
            ("a list cannot begin here", "put each `- ` on a line of its own; put a text that begins so in quotes")
        }
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedNodeContent
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::InvalidFlowScalarIndent
        | ErrorKind::PlainScalarStartsWithDashFlowIndicator => {
            ("an entry of a list or map in brackets is expected here", "put one comma between two entries")
        }
        ErrorKind::InvalidBlockScalarIndent => (
            "this line is not indented as its block of text is",
            "indent all its lines alike; a number behind `|` or `>` counts their blanks, and can be left out",
        ),
        ErrorKind::ZeroBlockScalarIndent | ErrorKind::InvalidBlockScalarHeader => {
            ("this is no beginning of a block of text", "put the text on the lines below `|` or `>`; or in quotes")
        }
        ErrorKind::CommentInterceptedScalar | ErrorKind::CommentNotSeparated => {
            ("a comment stands inside a text", "put a blank before the `#`, or the text in quotes")
        }
        ErrorKind::UnsupportedYamlMajorVersion => ("only YAML 1 is read", "take the %YAML line away"),
        ErrorKind::ExpectedDocumentStart => {
            ("another document would begin here", "put `---` on a line before it, or take it out")
        }
        ErrorKind::InvalidDocumentEnd => {
            ("something stands behind the `...` that ends a document", "take it out, or put it below `---`")
        }
        kind if is_directive(kind) => {
            ("a line that begins with `%` is not understood, or stands in a wrong place", "take it out")
        }
        kind if is_tag(kind) => ("this is no tag that YAML knows", TAKE_THE_TAG),
        ErrorKind::MissingAnchorOrAliasName => ("a name is missing behind `&` or `*`", QUOTE_IT),
        _ => return (visible(&kind.to_string()), "what follows in this document is not read until this is mended"),
    };
    (message.to_owned(), hint)
}

fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    )
}

fn is_escape(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidQuotedScalarHexEscape
            | ErrorKind::InvalidLowSurrogateHexEscape
            | ErrorKind::InvalidLowSurrogate
            | ErrorKind::MissingLowSurrogate
            | ErrorKind::UnpairedLowSurrogate
            | ErrorKind::InvalidUnicodeEscape
    )
}

fn is_directive(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DuplicateVersionDirective
            | ErrorKind::DuplicateTagDirective
            | ErrorKind::MissingDocumentEndBeforeDirective
            | ErrorKind::ExpectedTagDirectiveBang
            | ErrorKind::InvalidDirectiveTerminator
            | ErrorKind::DirectiveDisallowed
            | ErrorKind::MissingYamlVersionSeparator
            | ErrorKind::MissingDirectiveName
            | ErrorKind::InvalidDirectiveName
            | ErrorKind::DirectiveByteLimitExceeded { limit: _ }
            | ErrorKind::TooManyReservedDirectiveParams { limit: _ }
            | ErrorKind::YamlVersionTooLong
            | ErrorKind::MissingYamlVersion
            | ErrorKind::InvalidTagDirectiveTerminator
    )
}

fn is_tag(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UndeclaredTagHandle
            | ErrorKind::ExpectedTagBang
            | ErrorKind::InvalidGlobalTagCharacter
            | ErrorKind::InvalidTagTerminator
            | ErrorKind::MissingTagUri
            | ErrorKind::UnclosedVerbatimTag
            | ErrorKind::InvalidTagEscape
            | ErrorKind::InvalidTagUtf8LeadingByte
            | ErrorKind::InvalidTagUtf8TrailingByte
            | ErrorKind::InvalidTagUtf8
    )
}

/// Where the thing itself stands: a tab, a character, an escape.
fn exact(source: &Source<'_>, kind: &ErrorKind, mark: Mark) -> Mark {
    let start = source.text.floor_char_boundary(mark.offset as usize);
    let end = source.text.floor_char_boundary(start.saturating_add(NEAR));
    let near = &source.text[start..end];
    match kind {
        kind if is_tab(kind) && source.text[..start].ends_with('\t') && mark.column > 1 => {
            Mark { offset: mark.offset - 1, column: mark.column - 1, ..mark }
        }
        kind if is_tab(kind) => near.find('\t').map_or(mark, |at| moved(mark, &near[..at], 1)),
        ErrorKind::UnexpectedCharacter { character } => {
            near.find(*character).map_or(mark, |at| moved(mark, &near[..at], character.len_utf8()))
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            wrong_escape(near).map_or(mark, |(at, length)| moved(mark, &near[..at], length))
        }
        kind if is_escape(kind) => wrong_escape(near).map_or(mark, |(at, length)| moved(mark, &near[..at], length)),
        _ => mark,
    }
}

/// `mark`, behind `passed`.
fn moved(mark: Mark, passed: &str, length: usize) -> Mark {
    let breaks = passed.replace("\r\n", "\n").matches(['\n', '\r']).count();
    let last = passed.rsplit(['\n', '\r']).next().unwrap_or_default().chars().count();
    let column = if breaks == 0 { mark.column as usize + last } else { 1 + last };
    Mark {
        offset: short(mark.offset as usize + passed.len()),
        length: short(length),
        line: short(mark.line as usize + breaks),
        column: short(column),
    }
}

/// The first escape in double quotes that means no character: its place in `text`, and its length, in bytes.
fn wrong_escape(text: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    // The first half of a character that is written as two escapes.
    let mut half: Option<(usize, usize)> = None;
    while let Some(found) = text[at..].find('\\') {
        let start = at + found;
        if let Some(alone) = half.filter(|_| found > 0) {
            return Some(alone);
        }
        let letter = text[start + 1..].chars().next()?;
        let digits = match letter {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            '0' | 'a' | 'b' | 't' | '\t' | 'n' | 'v' | 'f' | 'r' | 'e' | ' ' | '"' | '/' | '\\' | 'N' | '_' | 'L'
            | 'P' | '\n' | '\r' => 0,
            _ => return Some((start, 1 + letter.len_utf8())),
        };
        let written = text[start + 2..].bytes().take(digits).take_while(u8::is_ascii_hexdigit).count();
        let whole = (start, 2 + written);
        if written < digits {
            return Some(whole);
        }
        at = start + 2 + digits;
        let number = u32::from_str_radix(&text[start + 2..at], 16).unwrap_or_default();
        match (number, half.take()) {
            (0xd800..=0xdbff, None) if digits == 4 => half = Some(whole),
            (0xdc00..=0xdfff, Some(_)) if digits == 4 => {}
            (_, Some(alone)) => return Some(alone),
            _ if digits > 0 && char::from_u32(number).is_none() => return Some(whole),
            _ => {}
        }
    }
    half
}

/// The line that `mark` stands in.
fn line_of(text: &str, mark: Mark) -> &str {
    let at = text.floor_char_boundary(mark.offset as usize);
    let start = text[..at].rfind(['\n', '\r']).map_or(0, |found| found + 1);
    let end = text[at..].find(['\n', '\r']).map_or(text.len(), |found| at + found);
    &text[start..end]
}
