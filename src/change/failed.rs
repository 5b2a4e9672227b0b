//! The last failure of a resource: with what, since when, and how often.

use chrono::{DateTime, Utc};

use super::{moment, printable};
use crate::credential::masked;

/// Letters of a message that are kept.
const LONGEST: usize = 500;

/// The last failure of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    /// Runs that failed at it since `first_at`.
    pub times: i64,
    pub message: String,
}

impl Failed {
    /// `every run fails at this: …, since …, 12 times; last …`
    pub fn sentence(&self) -> String {
        let Self { first_at, last_at, times, message } = self;
        // The row may have been written by somebody else.
        let (message, first, last) = (one_line(message), moment(*first_at), moment(*last_at));
        match times {
            ..=1 => format!("the last run failed at this: {message}, at {last}"),
            _ => format!("every run fails at this: {message}, since {first}, {times} times; last {last}"),
        }
    }
}

/// A message as one line, without control characters and without what looks like a secret, and not too long.
pub fn one_line(message: &str) -> String {
    let words = message.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let mut shown = printable(&masked(&words.join(" ")));
    if let Some((end, _)) = shown.char_indices().nth(LONGEST) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line_without_control_characters() {
        assert_eq!(one_line("a row\n\tis \u{1b}[31mlocked\0"), "a row is [31mlocked");
        assert_eq!(one_line(&"é".repeat(9_000)).chars().count(), LONGEST + 1);
    }
}
