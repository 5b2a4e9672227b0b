//! Comparing what is printed with what a page promises, where not all can be known beforehand.

/// Stands for any lines, none included.
const ANY_LINES: &str = "...";

/// Stands for any text within a line, none included.
const ANY_TEXT: &str = "[..]";

/// A name in brackets, and the length of what it stands for, where a text begins with such a thing.
type Named = (&'static str, fn(&str) -> Option<usize>);

/// In the order in which [`generalised`] looks for them.
const NAMED: &[Named] = &[
    ("[TIME]", time),
    ("[GUID]", guid),
    ("[HASH]", hash),
    ("[DIGEST]", |text| hexadecimal(text, 12, 64)),
    ("[COMMIT]", |text| hexadecimal(text, 7, 40)),
    ("[DURATION]", duration),
    ("[DRIVER]", |text| ["sqlite", "postgres"].iter().find(|name| text.starts_with(**name)).map(|name| name.len())),
];

/// Whether `printed` is what `expected` promises.
pub fn matches(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == ANY_LINES => (0..=printed.len()).any(|skip| matches(rest, &printed[skip..])),
        Some((first, rest)) => {
            printed.first().is_some_and(|line| line_matches(first, line)) && matches(rest, &printed[1..])
        }
    }
}

fn line_matches(pattern: &str, text: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix(ANY_TEXT) {
        let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        return ends.any(|at| line_matches(rest, &text[at..]));
    }
    for (name, length) in NAMED {
        if let Some(rest) = pattern.strip_prefix(name) {
            return length(text).is_some_and(|length| line_matches(rest, &text[length..]));
        }
    }
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some(one), Some(other)) => one == other && line_matches(&pattern[one.len_utf8()..], &text[one.len_utf8()..]),
        _ => false,
    }
}

/// Whether `rest` follows a commit at the end of a plan's head, which a terminal's width has put into a line of its own.
fn is_head_end(rest: &str) -> bool {
    [" (clean)", " (dirty)"].contains(&rest)
}

/// A printed line as a page should promise it: what differs from run to run is named.
pub fn generalised(line: &str) -> String {
    let mut general = String::new();
    let mut at = 0;
    while let Some(letter) = line[at..].chars().next() {
        let rest = &line[at..];
        let inside = general.ends_with(|before: char| before.is_alphanumeric());
        let found = NAMED.iter().find_map(|(name, length)| Some((*name, length(rest)?))).filter(|(name, length)| {
            let word = &rest[..*length];
            match *name {
                // A short word of hexadecimal digits may be a number, or a word.
                "[DIGEST]" => word.contains(|c: char| c.is_alphabetic()) && word.contains(|c: char| c.is_numeric()),
                "[COMMIT]" => general.ends_with("@ ") || (general.trim().is_empty() && is_head_end(&rest[*length..])),
                "[DRIVER]" => general.ends_with("· "),
                _ => true,
            }
        });
        match found {
            Some((name, length)) if !inside => {
                general.push_str(name);
                at += length;
            }
            _ => {
                general.push(letter);
                at += letter.len_utf8();
            }
        }
    }
    general
}

/// Both texts in one: a line that is as promised begins with two blanks, one that is missing with `-`, one that is too
/// many with `+`.
pub fn difference(expected: &[String], printed: &[String]) -> String {
    // `common[i][j]`: how well the texts agree at best from the expected line `i` and the printed line `j` on. A line
    // that is promised outweighs all lines that `...` could take.
    let mut common = vec![vec![0_usize; printed.len() + 1]; expected.len() + 1];
    let agree = |i: usize, j: usize| expected[i] == ANY_LINES || line_matches(&expected[i], &printed[j]);
    // `...` may take another line after this one.
    let (after, worth) = (
        |i: usize| if expected[i] == ANY_LINES { i } else { i + 1 },
        |i: usize| if expected[i] == ANY_LINES { 1 } else { printed.len() + 1 },
    );
    for i in (0..expected.len()).rev() {
        for j in (0..printed.len()).rev() {
            let taken = if agree(i, j) { worth(i) + common[after(i)][j + 1] } else { 0 };
            common[i][j] = taken.max(common[i + 1][j]).max(common[i][j + 1]);
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut shown = String::new();
    let mut show = |mark: &str, line: &str| shown.push_str(&format!("  {mark} {line}\n"));
    while i < expected.len() || j < printed.len() {
        if i < expected.len() && (j == printed.len() || common[i][j] == common[i + 1][j]) {
            if expected[i] != ANY_LINES {
                show("-", &expected[i]);
            }
            i += 1;
        } else if i < expected.len() && agree(i, j) && common[i][j] == worth(i) + common[after(i)][j + 1] {
            show(" ", &printed[j]);
            (i, j) = (after(i), j + 1);
        } else {
            show("+", &printed[j]);
            j += 1;
        }
    }
    shown
}

/// How many bytes `text` begins with that are all `wanted`.
fn run(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !wanted(letter)).unwrap_or(text.len())
}

/// A whole word of lower-case hexadecimal digits, from `least` to `most` of them.
fn hexadecimal(text: &str, least: usize, most: usize) -> Option<usize> {
    let length = run(text, |letter| letter.is_ascii_digit() || ('a'..='f').contains(&letter));
    let whole = !text[length..].starts_with(|letter: char| letter.is_alphanumeric());
    (whole && (least..=most).contains(&length)).then_some(length)
}

fn guid(text: &str) -> Option<usize> {
    let word = text.get(..36)?;
    uuid::Uuid::try_parse(word).is_ok().then_some(36)
}

fn hash(text: &str) -> Option<usize> {
    let length = run(text, |letter| letter.is_ascii_alphanumeric() || letter == '+' || letter == '/');
    (length == 43 && text[length..].starts_with('=')).then_some(44)
}

fn time(text: &str) -> Option<usize> {
    let length = run(text, |letter| letter.is_ascii_digit() || matches!(letter, '-' | ':' | '.' | 'T' | 'Z' | '+'));
    // A full stop or a colon after the time belongs to the sentence.
    let word = text[..length].trim_end_matches(['.', ':', '-']);
    chrono::DateTime::parse_from_rfc3339(word).is_ok().then_some(word.len())
}

/// A number and its unit, as in `12 ms` or `1.5s`.
fn duration(text: &str) -> Option<usize> {
    let digits = run(text, |letter| letter.is_ascii_digit() || letter == '.');
    let number = text[..digits].parse::<f64>().ok().map(|_| digits)?;
    let unit = text[number..].trim_start_matches(' ');
    let letters = run(unit, char::is_alphabetic);
    let known = matches!(&unit[..letters], "ns" | "µs" | "ms" | "s" | "min" | "h");
    known.then_some(text.len() - unit.len() + letters)
}
