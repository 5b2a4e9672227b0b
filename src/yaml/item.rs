//! One entry of a list after checking: typed values, each with its place.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::field::Section;
use super::problem::{Place, Problem};
use super::source::{Mark, Source};
use super::suspect::Guids;
use super::value::Value;

/// A field's value and where it stands.
pub(super) struct Entry {
    /// The field's number in [`Section::all_fields`].
    pub field: usize,
    pub mark: Mark,
    pub value: Value,
}

/// A checked entry: it holds every required field, no unknown one, and each value fits its field.
pub struct Item {
    section: &'static Section,
    source: Arc<Source>,
    mark: Mark,
    place: Place,
    entries: Vec<Entry>,
}

impl Item {
    pub(super) fn new(section: &'static Section, source: Arc<Source>, mark: Mark, entries: Vec<Entry>) -> Self {
        let place = source.place(mark);
        Self { section, source, mark, place, entries }
    }

    fn entry(&self, field: &str) -> Option<&Entry> {
        let (number, _) = self.section.field(field)?;
        self.entries.iter().find(|entry| entry.field == number)
    }

    fn value(&self, field: &str) -> Option<&Value> {
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
    pub fn text(&self, field: &str) -> Option<String> {
        match self.value(field)? {
            Value::Text(text) => Some(text.clone()),
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

    /// `protect: true` stands in it.
    pub fn protect(&self) -> bool {
        self.flag(super::field::PROTECT.name) == Some(true)
    }

    /// Where the item begins.
    pub fn place(&self) -> &Place {
        &self.place
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
        let guids = if self.section.speaks_in_uuids() { Guids::Names } else { Guids::Secret };
        let mut problem = self.source.problem(self.mark_of(field), message, guids);
        problem.hint = hint;
        problem
    }
}
