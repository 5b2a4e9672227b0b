//! One value as somebody gave it, and the readings that a setting may ask of it.
//!
//! A reading that fails says what is allowed, to be put after the setting's name.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Entry, Fallback, HIDDEN, Secrecy, Setting, shown, url};
use crate::change::span;
use crate::secret::Secret;

/// How the origin of what nobody gave is shown.
pub(super) const DEFAULT: &str = "default";

/// Where a value came from, the weakest first.
#[derive(Clone)]
pub(super) enum Origin {
    Default,
    File { path: String, line: usize, column: usize },
    Variable(&'static str),
    Flag(&'static str),
}

impl Origin {
    /// The stronger one counts.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Origin::Default => 0,
            Origin::File { .. } => 1,
            Origin::Variable(_) => 2,
            Origin::Flag(_) => 3,
        }
    }

    /// The order in which problems are told: the file from its top, then variables, then flags.
    pub(super) fn order(&self) -> (u8, usize, usize) {
        match self {
            Origin::File { line, column, .. } => (self.rank(), *line, *column),
            _ => (self.rank(), 0, 0),
        }
    }

    /// As exact as a problem wants it.
    pub(super) fn place(&self) -> String {
        match self {
            Origin::File { path, line, column } => format!("{path}:{line}:{column}"),
            _ => self.shown(),
        }
    }

    pub(super) fn shown(&self) -> String {
        match self {
            Origin::Default => DEFAULT.to_owned(),
            Origin::File { path, line, .. } => format!("{path}:{line}"),
            Origin::Variable(name) | Origin::Flag(name) => (*name).to_owned(),
        }
    }
}

/// What kind of value the text was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// From a variable, a flag or the table, where everything is text.
    Untyped,
    Text,
    Integer,
    Flag,
    /// A list of texts, separated by commas.
    List,
    /// Another list, a table or the like: no setting is one.
    Other,
    /// No value but a rule that yields it, described by the text.
    Rule,
}

/// A value and its origin. Always wrapped, for any of them might be a secret.
#[derive(Clone)]
pub(super) struct Given {
    text: Secret,
    form: Form,
    pub(super) origin: Origin,
    /// What a relative path is relative to; `None` for the working directory.
    base: Option<PathBuf>,
}

impl Given {
    pub(super) fn text(text: Secret, origin: Origin) -> Self {
        Self { text, form: Form::Untyped, origin, base: None }
    }

    pub(super) fn typed(text: String, form: Form, origin: Origin, base: Option<PathBuf>) -> Self {
        Self { text: Secret::new(text), form, origin, base }
    }

    pub(super) fn fallback(setting: &Setting) -> Self {
        let (text, form) = match setting.fallback {
            Fallback::Value(text) => (text, Form::Untyped),
            Fallback::Rule(text) => (text, Form::Rule),
        };
        Self { text: Secret::new(text.to_owned()), form, origin: Origin::Default, base: None }
    }

    pub(super) fn is_rule(&self) -> bool {
        self.form == Form::Rule
    }

    /// As `reconcile config` shows it.
    pub(super) fn shown(&self, setting: &Setting) -> Entry {
        let value = match setting.secrecy {
            _ if self.is_rule() => format!("({})", self.text.expose()),
            Secrecy::Open => self.text.expose().to_owned(),
            Secrecy::Url => url::masked(self.text.expose()),
            Secrecy::Hidden { .. } => HIDDEN.to_owned(),
        };
        Entry { key: setting.key.to_owned(), value, origin: self.origin.shown(), about: setting.about }
    }

    /// "must be …; it is …". Only for settings that are no secret.
    pub(super) fn must_be(&self, allowed: &str) -> String {
        let value = self.text.expose();
        let is = match self.form {
            Form::Other | Form::Integer | Form::Flag => value.to_owned(),
            Form::List => "of the type array".to_owned(),
            Form::Text => format!("the text {}", shown(value)),
            Form::Untyped | Form::Rule => shown(value),
        };
        format!("must be {allowed}; it is {is}")
    }

    /// The text, if it has one of these forms and is not empty.
    fn get(&self, form: Form) -> Option<&str> {
        let fits = self.form == Form::Untyped || self.form == form;
        fits.then(|| self.text.expose()).filter(|text| !text.is_empty())
    }

    pub(super) fn string(&self) -> Result<String, String> {
        self.get(Form::Text).map(str::to_owned).ok_or_else(|| self.must_be("a text that is not empty"))
    }

    /// A secret: what is wrong with it is told without showing it.
    pub(super) fn secret(&self) -> Result<Secret, String> {
        match self.get(Form::Text) {
            Some(text) if !text.trim().is_empty() => Ok(self.text.clone()),
            _ => Err("must be a text that is not empty".to_owned()),
        }
    }

    pub(super) fn path(&self) -> Result<PathBuf, String> {
        let path = self.get(Form::Text).map(Path::new).ok_or_else(|| self.must_be("a path"))?;
        Ok(self.base.as_ref().map_or_else(|| path.to_owned(), |base| base.join(path)))
    }

    /// One of the words, each with what it means.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, String> {
        let text = self.get(Form::Text);
        let found = words.iter().find(|(word, _)| Some(*word) == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.must_be(&format!("one of {}", words.join(", ")))
        })
    }

    /// Texts: a list, or one text in which commas separate them. There may be none.
    pub(super) fn list(&self) -> Result<Vec<&str>, String> {
        match self.form {
            Form::List | Form::Text | Form::Untyped => {
                Ok(self.text.expose().split(',').map(str::trim).filter(|text| !text.is_empty()).collect())
            }
            Form::Integer | Form::Flag | Form::Other | Form::Rule => Err(self.must_be("a list of texts")),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, String> {
        match self.get(Form::Flag) {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err(self.must_be("true or false")),
        }
    }

    pub(super) fn count(&self, range: RangeInclusive<u32>) -> Result<u32, String> {
        let count = self.get(Form::Integer).and_then(|text| text.parse().ok()).filter(|count| range.contains(count));
        count.ok_or_else(|| self.must_be(&format!("a number from {} to {}", range.start(), range.end())))
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, String> {
        let read = self.get(Form::Text).and_then(|text| humantime::parse_duration(text).ok());
        read.filter(|duration| range.contains(duration)).ok_or_else(|| {
            let (least, most) = (span(*range.start()), span(*range.end()));
            self.must_be(&format!("a duration with its unit (ms, s, m, h, d, w) from {least} to {most}"))
        })
    }

    /// As [`Given::duration`], or `forever`.
    pub(super) fn duration_or_forever(&self, range: RangeInclusive<Duration>) -> Result<Option<Duration>, String> {
        match self.get(Form::Text) {
            Some("forever") => Ok(None),
            _ => self.duration(range).map(Some).map_err(|what| what.replacen("must be", "must be forever, or", 1)),
        }
    }

    /// Bytes: a plain number, or one with B, KiB, MiB or GiB.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Result<u64, String> {
        let text = self.get(Form::Text).or_else(|| self.get(Form::Integer));
        let size = text.and_then(read_size).filter(|size| range.contains(size));
        size.ok_or_else(|| {
            self.must_be(&format!(
                "a size in bytes, or in B, KiB, MiB or GiB, from {} to {} bytes",
                range.start(),
                range.end()
            ))
        })
    }
}

fn read_size(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
