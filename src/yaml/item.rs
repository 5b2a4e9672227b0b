//! One entry of a list after checking: typed values, each with its place.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::field::{Field, PROTECT, Section};
use super::problem::{Place, Problem};
use super::source::{Mark, Source};

/// A value that fits its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'t> {
    Null,
    Flag(bool),
    Int(i64),
    Text(Cow<'t, str>),
    Word(&'static str),
    Time(DateTime<Utc>),
    Duration(Duration),
    Uuid(Uuid),
}

impl Value<'_> {
    /// The same value, whatever becomes of the text that it was read from.
    pub(super) fn into_owned<'o>(self) -> Value<'o> {
        match self {
            Value::Null => Value::Null,
            Value::Flag(flag) => Value::Flag(flag),
            Value::Int(int) => Value::Int(int),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Word(word) => Value::Word(word),
            Value::Time(time) => Value::Time(time),
            Value::Duration(duration) => Value::Duration(duration),
            Value::Uuid(uuid) => Value::Uuid(uuid),
        }
    }
}

/// A field's value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    pub field: &'static Field,
    pub mark: Mark,
    pub value: Value<'t>,
}

/// Whether an item is made of its key and `protect: false` alone. Then it needs no other field.
pub(super) fn only_lifts(section: &Section, entries: &[Entry<'_>]) -> bool {
    let has = |name: &str| entries.iter().any(|entry| entry.field.name == name);
    let lifts = |entry: &Entry<'_>| entry.field.name == PROTECT.name && entry.value == Value::Flag(false);
    entries.len() == 2 && entries.iter().any(lifts) && section.key().is_some_and(|key| has(key.name))
}

/// A checked entry: it holds every required field (or only lifts protection), no unknown one, and each value fits its
/// field.
///
/// It lives only while it is handed over: what is to stay is copied out of it.
pub struct Item<'t> {
    section: &'static Section,
    source: &'t Source<'t>,
    pub(super) mark: Mark,
    pub(super) entries: &'t [Entry<'t>],
}

impl<'t> Item<'t> {
    pub(super) fn new(section: &'static Section, source: &'t Source<'t>, mark: Mark, entries: &'t [Entry<'t>]) -> Self {
        Self { section, source, mark, entries }
    }

    fn entry(&self, field: &str) -> Option<&'t Entry<'t>> {
        self.entries.iter().find(|entry| entry.field.name == field)
    }

    fn value(&self, field: &str) -> Option<&'t Value<'t>> {
        self.entry(field).map(|entry| &entry.value)
    }

    /// The value of a whole-number field; none where it is left out or null. So with all the others.
    pub fn int(&self, field: &str) -> Option<i64> {
        match self.value(field)? {
            Value::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The value of a text or name field.
    pub fn text(&self, field: &str) -> Option<&'t str> {
        match self.value(field)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn word(&self, field: &str) -> Option<&'static str> {
        match self.value(field)? {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    /// In UTC, cut to microseconds.
    pub fn time(&self, field: &str) -> Option<DateTime<Utc>> {
        match self.value(field)? {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// Of a nullable time field: left out, written as null, or a time.
    pub fn nullable_time(&self, field: &str) -> Option<Option<DateTime<Utc>>> {
        self.value(field).map(|_| self.time(field))
    }

    pub fn duration(&self, field: &str) -> Option<Duration> {
        match self.value(field)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    pub fn flag(&self, field: &str) -> Option<bool> {
        match self.value(field)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub fn uuid(&self, field: &str) -> Option<Uuid> {
        match self.value(field)? {
            Value::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }

    /// Written as null, which only a nullable field may be.
    pub fn is_null(&self, field: &str) -> bool {
        self.value(field) == Some(&Value::Null)
    }

    /// Written in the file, null or not.
    pub fn has(&self, field: &str) -> bool {
        self.entry(field).is_some()
    }

    /// What it says of `protect`; `None`: nothing.
    pub fn protect(&self) -> Option<bool> {
        self.flag(PROTECT.name)
    }

    /// Whether it is made of its key and `protect: false` alone: it lifts protection, and manages nothing.
    pub fn only_lifts(&self) -> bool {
        only_lifts(self.section, self.entries)
    }

    /// Where the item begins.
    pub fn place(&self) -> Place {
        self.source.place(self.mark)
    }

    /// Where a field's value stands; where it is left out, where the item begins.
    pub fn place_of(&self, field: &str) -> Place {
        self.source.place(self.mark_of(field))
    }

    fn mark_of(&self, field: &str) -> Mark {
        self.entry(field).map_or(self.mark, |entry| entry.mark)
    }

    /// An error at a field's value, with its line; for what only the kind itself can check.
    pub fn problem(&self, field: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        let mut problem = self.source.problem(self.mark_of(field), message, self.section.guids());
        problem.hint = hint;
        problem
    }
}
