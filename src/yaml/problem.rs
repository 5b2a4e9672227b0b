//! What is wrong with the files, and where. All of it is gathered before anything is shown.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::excerpt::{Excerpt, visible};

/// A spot in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// As shown to the user, such as `desired-state/a.yaml`.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", visible(&self.file), self.line, self.column)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing of this turn may be applied.
    Error,
    /// Worth a look; applying goes on.
    Warning,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One thing that is wrong. Its texts hold no secret and no control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub place: Place,
    pub severity: Severity,
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// A second place that is part of it, and what stands there.
    pub also: Option<(Place, String)>,
    pub(super) excerpt: Option<Excerpt>,
}

impl Problem {
    /// An error at `place`, without its line: where there is an item, [`super::item::Item::problem`] shows that too.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self { place, severity: Severity::Error, message: message.into(), hint: None, also: None, excerpt: None }
    }

    /// The same as something that does not stop a turn.
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names a second place, for example where the same resource is claimed first.
    pub fn also(mut self, place: Place, what: impl Into<String>) -> Self {
        self.also = Some((place, what.into()));
        self
    }
}

/// `{file, line, column, severity, message, hint, also}`; `hint` and `also` are null where there is none.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { place, severity, message, hint, also, excerpt: _ } = self;
        let also = also.as_ref().map(|(place, what)| {
            serde_json::json!({ "file": &*place.file, "line": place.line, "column": place.column, "message": what })
        });
        let mut out = serializer.serialize_struct("Problem", 7)?;
        out.serialize_field("file", &*place.file)?;
        out.serialize_field("line", &place.line)?;
        out.serialize_field("column", &place.column)?;
        out.serialize_field("severity", severity.name())?;
        out.serialize_field("message", message)?;
        out.serialize_field("hint", hint)?;
        out.serialize_field("also", &also)?;
        out.end()
    }
}

/// A list of those whose text is kept.
impl Serialize for Problems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// How many problems are kept with their text; the rest are only counted, so that a file of a million wrong lines
/// costs no more than one of a thousand.
pub const KEPT: usize = 1_000;

/// All that is wrong, in the order of files and lines once sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    kept: Vec<Problem>,
    more: usize,
    errors: bool,
}

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        self.errors |= problem.severity == Severity::Error;
        if self.kept.len() < KEPT {
            self.kept.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// Takes in what another reading found.
    pub fn append(&mut self, other: Problems) {
        let Problems { kept, more, errors } = other;
        kept.into_iter().for_each(|problem| self.push(problem));
        self.more += more;
        self.errors |= errors;
    }

    /// An error that is counted without its text; for use once [`Problems::is_full`].
    pub(super) fn count_error(&mut self) {
        self.errors = true;
        self.more += 1;
    }

    /// No further problem keeps its text.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= KEPT
    }

    /// Orders by file, line and column.
    pub fn sort(&mut self) {
        self.kept.sort();
    }

    /// How many there are, those that are only counted included.
    pub fn len(&self) -> usize {
        self.kept.len() + self.more
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any of them stops the turn.
    pub fn has_errors(&self) -> bool {
        self.errors
    }

    /// Those whose text is kept: the first [`KEPT`].
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.kept.iter()
    }

    /// Forgets all but the first `count`: where a document is given up whole, what was said about its parts would
    /// only hide the reason.
    pub(super) fn truncate(&mut self, count: usize) {
        self.kept.truncate(count);
    }

    pub(super) fn kept(&self) -> &[Problem] {
        &self.kept
    }
}
