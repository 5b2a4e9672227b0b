//! One value, checked against the shape of its field.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Datelike, SubsecRound, Utc};
use uuid::Uuid;

use super::advice::{self, SHORT};
use super::core::Core;
use super::excerpt::quoted;
use super::field::{Field, Shape};
use super::item::Value;
use super::suspect::Guids;
use crate::change::span;

/// Why a value does not fit, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    pub message: String,
    pub hint: String,
}

const TIME: &str = "write date, time and offset: 2026-12-31T23:59:59Z or 2026-12-31T23:59:59+03:00";
const DURATION: &str = "write numbers with units, such as 90d, 12h, 15m or 1h 30m (s, m, h, d, w)";

fn misfit(message: String, hint: impl Into<String>) -> Misfit {
    Misfit { message, hint: hint.into() }
}

/// A value as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub struct Written<'t> {
    pub text: &'t str,
    /// Without quotes, so that the core schema gives its type.
    pub plain: bool,
    pub guids: Guids,
}

impl Written<'_> {
    fn core(&self) -> Core {
        if self.plain { Core::of(self.text) } else { Core::Text }
    }

    fn quoted(&self) -> String {
        quoted(self.text, self.guids)
    }
}

impl Field {
    /// The value that `written` means for this field.
    pub(super) fn check<'t>(&self, written: Written<'t>) -> Result<Value<'t>, Misfit> {
        let core = written.core();
        if core == Core::Null {
            return if self.nullable { Ok(Value::Null) } else { Err(self.empty()) };
        }
        match self.shape {
            Shape::Int { min, max } => self.check_int(written, core, min, max),
            Shape::Flag => self.check_flag(written, core),
            _ if core != Core::Text => Err(self.not_text(written, core)),
            Shape::Text { min, max } => self.check_text(written, min, max),
            Shape::Word(words) => self.check_word(written, words),
            Shape::Time => self.check_time(written),
            Shape::Duration { min, max } => self.check_duration(written, min, max),
            Shape::Uuid => self.check_uuid(written),
            Shape::Name => self.check_label(written),
        }
    }

    /// What this field wants, for a message: `text`, `a whole number`.
    pub(super) fn wants(&self) -> String {
        match self.shape {
            Shape::Int { .. } => "a whole number".to_owned(),
            Shape::Text { .. } => "text".to_owned(),
            Shape::Word([one]) => format!("`{one}`"),
            Shape::Word([first @ .., last]) => format!("{} or {last}", first.join(", ")),
            Shape::Word([]) => "nothing".to_owned(),
            Shape::Time => "a time such as 2026-12-31T23:59:59Z".to_owned(),
            Shape::Duration { .. } => "a duration such as 90d".to_owned(),
            Shape::Flag => "true or false".to_owned(),
            Shape::Uuid => "a UUID".to_owned(),
            Shape::Name => "a name".to_owned(),
        }
    }

    fn empty(&self) -> Misfit {
        let hint = match self.required {
            true => format!("write {} after the colon", self.wants()),
            false => format!("leave the line out to leave {} unmanaged, or write {}", self.name, self.wants()),
        };
        misfit(format!("{} has no value", self.name), hint)
    }

    fn one_of(&self) -> String {
        format!("write {}", self.wants())
    }

    fn not_text(&self, written: Written<'_>, core: Core) -> Misfit {
        let Self { name, .. } = self;
        let message = format!("{name} wants {}, not {}", self.wants(), core.name());
        let text = written.text;
        match self.shape {
            Shape::Text { .. } | Shape::Name if text.len() > SHORT => misfit(message, "put it in quotes"),
            Shape::Text { .. } | Shape::Name => misfit(message, format!("put it in quotes: \"{text}\"")),
            Shape::Duration { .. } if core == Core::Decimal && text.len() <= SHORT => {
                misfit(message, format!("add a unit: {text}s, {text}m, {text}h or {text}d"))
            }
            Shape::Duration { .. } => misfit(message, DURATION),
            Shape::Time => misfit(message, TIME),
            Shape::Uuid => misfit(message, advice::uuid(text, written.guids)),
            _ => misfit(message, self.one_of()),
        }
    }

    fn check_int(&self, written: Written<'_>, core: Core, min: i64, max: i64) -> Result<Value<'static>, Misfit> {
        let Self { name, .. } = self;
        let text = written.text;
        if core != Core::Decimal {
            let message = format!("{name} wants a whole number, not {}", core.name());
            return Err(misfit(message, advice::whole_number(text, written.plain)));
        }
        let digits = text.trim_start_matches(['-', '+']);
        if digits.len() > 1 && digits.starts_with('0') {
            let hint = "some readers take it for octal: write it without the leading zero";
            return Err(misfit(format!("{name} begins with a zero"), hint));
        }
        let range = || match (min, max) {
            (min, i64::MAX) => format!("{min} or more"),
            (min, max) => format!("from {min} to {max}"),
        };
        match text.parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => Ok(Value::Int(value)),
            _ => {
                let message = format!("{name} is out of range: {}", written.quoted());
                Err(misfit(message, format!("it must be {}", range())))
            }
        }
    }

    fn check_flag(&self, written: Written<'_>, core: Core) -> Result<Value<'static>, Misfit> {
        match (written.text, core) {
            ("true", Core::Flag) => Ok(Value::Flag(true)),
            ("false", Core::Flag) => Ok(Value::Flag(false)),
            (text, _) => {
                let hint = match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" | "1" => "write true",
                    "false" | "no" | "off" | "n" | "0" => "write false",
                    _ => "write true or false, in lower case and without quotes",
                };
                Err(misfit(format!("{} wants true or false, not {}", self.name, written.quoted()), hint))
            }
        }
    }

    fn check_text<'t>(&self, written: Written<'t>, min: usize, max: usize) -> Result<Value<'t>, Misfit> {
        let Self { name, .. } = self;
        let text = written.text;
        // A character has at most four bytes: what is longer need not be counted.
        let length = if text.len() > max.saturating_mul(4) { None } else { Some(text.chars().count()) };
        match length {
            Some(0) if min > 0 => return Err(misfit(format!("{name} is empty"), characters(min, max))),
            Some(length) if length < min => {
                return Err(misfit(format!("{name} is too short, with {length} characters"), characters(min, max)));
            }
            Some(length) if length > max => {
                return Err(misfit(format!("{name} is too long, with {length} characters"), characters(min, max)));
            }
            None => return Err(misfit(format!("{name} is too long"), characters(min, max))),
            Some(_) => {}
        }
        match text.chars().find(|letter| letter.is_control() && !matches!(letter, '\n' | '\t')) {
            Some(control) => {
                let message = format!("{name} holds the control character U+{:04X}", u32::from(control));
                Err(misfit(message, "take it out"))
            }
            None => Ok(Value::Text(Cow::Borrowed(text))),
        }
    }

    fn check_word(&self, written: Written<'_>, words: &'static [&'static str]) -> Result<Value<'static>, Misfit> {
        if let Some(word) = words.iter().find(|word| **word == written.text) {
            return Ok(Value::Word(word));
        }
        let message = format!("{} wants {}, not {}", self.name, self.wants(), written.quoted());
        let meant = nearest(written.text, words.iter().copied());
        Err(misfit(message, meant.map_or_else(|| self.one_of(), |word| format!("did you mean `{word}`?"))))
    }

    fn check_time(&self, written: Written<'_>) -> Result<Value<'static>, Misfit> {
        let text = written.text;
        let time = is_rfc3339(text).then(|| DateTime::parse_from_rfc3339(text).ok()).flatten();
        let time = time.map(|time| time.with_timezone(&Utc).trunc_subsecs(6));
        if let Some(time) = time.filter(|time| (1..=9999).contains(&time.year())) {
            return Ok(Value::Time(time));
        }
        let with_t = if text.len() <= SHORT { text.replacen(' ', "T", 1) } else { String::new() };
        let completed =
            [with_t.clone(), format!("{with_t}Z"), format!("{with_t}T00:00:00Z")].into_iter().find(|completed| {
                completed != text && is_rfc3339(completed) && DateTime::parse_from_rfc3339(completed).is_ok()
            });
        let hint = match completed {
            Some(completed) if completed == with_t => format!("write a T between date and time: {completed}"),
            Some(completed) => format!("say in which offset; in UTC: {completed}"),
            None => TIME.to_owned(),
        };
        Err(misfit(format!("{} is not a time: {}", self.name, written.quoted()), hint))
    }

    fn check_duration(&self, written: Written<'_>, min: Duration, max: Duration) -> Result<Value<'static>, Misfit> {
        let Self { name, .. } = self;
        let parsed = is_duration(written.text).then(|| humantime::parse_duration(written.text).ok()).flatten();
        match parsed {
            Some(duration) if duration < min => {
                let message = format!("{name} is too short: {}", written.quoted());
                Err(misfit(message, format!("it must be {} or more", span(min))))
            }
            Some(duration) if duration > max => {
                let message = format!("{name} is too long: {}", written.quoted());
                Err(misfit(message, format!("it must be {} or less", span(max))))
            }
            Some(duration) => Ok(Value::Duration(duration)),
            None => {
                let message = format!("{name} is not a duration: {}", written.quoted());
                Err(misfit(message, DURATION))
            }
        }
    }

    fn check_uuid(&self, written: Written<'_>) -> Result<Value<'static>, Misfit> {
        let hyphenated = written.text.len() == 36;
        match hyphenated.then(|| Uuid::try_parse(written.text).ok()).flatten() {
            Some(uuid) => Ok(Value::Uuid(uuid)),
            None => {
                let message = format!("{} is not a UUID: {}", self.name, written.quoted());
                Err(misfit(message, advice::uuid(written.text, written.guids)))
            }
        }
    }

    fn check_label<'t>(&self, written: Written<'t>) -> Result<Value<'t>, Misfit> {
        let text = written.text;
        if is_name(text) {
            return Ok(Value::Text(Cow::Borrowed(text)));
        }
        let message = format!("{} is not a name: {}", self.name, written.quoted());
        Err(misfit(message, "use 1 to 63 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"))
    }
}

/// Whether `text` is a name of ours: `[a-z0-9][a-z0-9._-]{0,62}`.
pub fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = text.bytes().next().is_some_and(letter);
    first && text.len() <= 63 && text.bytes().all(|byte| letter(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

fn characters(min: usize, max: usize) -> String {
    format!("it must have {min} to {max} characters")
}

impl Shape {
    /// What [`Field::check`] wants of a text, as a regular expression of JSON Schema's dialect; none where any text
    /// will do or no text is wanted. The calendar, and the bounds of a duration, are beyond it.
    pub fn pattern(&self) -> Option<&'static str> {
        match self {
            Shape::Text { .. } => Some(r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*$"),
            Shape::Time => Some(TIME_PATTERN),
            Shape::Duration { .. } => Some(DURATION_PATTERN),
            Shape::Uuid => Some("^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"),
            Shape::Name => Some("^[a-z0-9][a-z0-9._-]{0,62}$"),
            Shape::Int { .. } | Shape::Word(_) | Shape::Flag => None,
        }
    }
}

const TIME_PATTERN: &str = concat!(
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
    r"(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
);

/// RFC 3339 in its strict spelling: `T` and `Z` in upper case, no leap second, at most nanoseconds.
fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let like = |part: Option<&[u8]>, shape: &[u8]| {
        part.is_some_and(|part| {
            part.len() == shape.len()
                && part
                    .iter()
                    .zip(shape)
                    .all(|(byte, want)| if *want == b'0' { byte.is_ascii_digit() } else { byte == want })
        })
    };
    if !like(bytes.get(..19), b"0000-00-00T00:00:00") || bytes.get(17).is_none_or(|seconds| *seconds > b'5') {
        return false;
    }
    let mut rest = bytes.get(19..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        rest = &fraction[digits..];
    }
    rest == b"Z" || like(Some(rest), b"+00:00") || like(Some(rest), b"-00:00")
}

/// The units of a duration; months and years have no fixed length, and `M` is too near to `m`.
const UNITS: [&str; 21] = [
    "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minute", "minutes", "h", "hr", "hrs", "hour",
    "hours", "d", "day", "days", "w", "week", "weeks",
];

const DURATION_PATTERN: &str = concat!(
    "^[0-9]{1,9} ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)",
    "( ?[0-9]{1,9} ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?))*$"
);

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = &rest[digits..];
        let unit = unit.strip_prefix(' ').unwrap_or(unit);
        let letters = unit.bytes().take_while(u8::is_ascii_lowercase).count();
        if !(1..=9).contains(&digits) || !UNITS.contains(&&unit[..letters]) {
            return false;
        }
        rest = &unit[letters..];
        if rest.is_empty() {
            return true;
        }
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
}

/// The one of `known` that `written` was probably meant to be.
pub fn nearest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // Comparing costs the product of both lengths.
    if written.len() > 64 {
        return None;
    }
    let lower = written.to_lowercase();
    let far = 1 + lower.chars().count() / 4;
    known
        .map(|known| (strsim::osa_distance(&lower, known), known))
        .filter(|(distance, known)| *distance <= far && *distance < known.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_a_file_says_them() {
        for (text, seconds) in [("0s", 0), ("90d", 7_776_000), ("1h 30m", 5_400), ("1d 1s", 86_401)] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
            assert!(is_duration(text));
            assert_eq!(humantime::parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["2weeks", "15min", "1 h 2 m", "1h30m", "1hrs"] {
            assert!(is_duration(text) && humantime::parse_duration(text).is_ok(), "{text}");
        }
        for text in ["", "1", "s", "1M", "1y", "1month", "1.5h", "-1d", " 1d", "1d ", "1d  1h", "1234567890s", "1é"] {
            assert!(!is_duration(text), "{text}");
        }
    }

    #[test]
    fn the_nearest_word() {
        let words = || ["title", "status", "expires_at"].into_iter();
        for (written, meant) in
            [("titel", "title"), ("Status", "status"), ("expire_at", "expires_at"), ("tilte", "title")]
        {
            assert_eq!(nearest(written, words()), Some(meant));
        }
        for written in ["", "x", "owner", &"t".repeat(10_000)] {
            assert_eq!(nearest(written, words()), None);
        }
    }
}
