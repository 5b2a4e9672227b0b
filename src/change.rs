//! The words of change: what is managed, what would happen to it, and why not.
//!
//! Nothing here knows a particular kind; `kinds` is the register of those.

mod failed;
mod lineage;
mod revision;
mod width;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

pub use crate::credential::masked;

pub use failed::{Failed, one_line};
pub use lineage::History;
pub use revision::{Compared, NO_COMMIT, Revision, short};
pub use width::{Width, hanging, wrapped};

/// One type of managed resource. Each room of `resource` declares its own; `kinds` lists them in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// As in an address: `session` in `session/215`.
    pub name: &'static str,
    /// As a top-level key of a state file: `sessions`.
    pub plural: &'static str,
}

impl fmt::Debug for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

/// What the journal names where all resources are concerned: kind and name are this word.
pub const EVERYTHING: Kind = Kind { name: "everything", plural: "everything" };

/// The address of one resource, written `kind/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    pub kind: Kind,
    pub name: String,
}

impl ResourceId {
    pub fn new(kind: Kind, name: impl fmt::Display) -> Self {
        Self { kind, name: name.to_string() }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            EVERYTHING => out.write_str(EVERYTHING.name),
            kind => write!(out, "{kind}/{}", self.name),
        }
    }
}

/// What would be done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Create,
    Update,
    Rotate,
    Resume,
}

impl Action {
    pub const ALL: [Action; 4] = [Action::Create, Action::Update, Action::Rotate, Action::Resume];

    /// The mark that stands before it in a plan.
    pub fn sign(self) -> char {
        match self {
            Action::Create => '+',
            Action::Update => '~',
            Action::Rotate => '±',
            Action::Resume => '>',
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "update",
            Action::Rotate => "rotate",
            Action::Resume => "resume",
        }
    }
}

/// Where a change comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The files, since they were last applied.
    Intended,
    /// The database: somebody else has changed it.
    Drift,
    /// A command.
    Manual,
}

/// Who does what nobody has asked for at this moment: puts drift right, keeps a schedule, goes on with what was begun.
pub const OURSELVES: &str = "reconcile";

impl Origin {
    pub fn name(self) -> &'static str {
        match self {
            Origin::Intended => "intended",
            Origin::Drift => "drift",
            Origin::Manual => "manual",
        }
    }
}

/// A value as a plan shows it. Never a secret: what a row holds that has the form of a credential is shown masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not there: shown as `(none)`.
    None,
    Flag(bool),
    Int(i64),
    /// Free text: shown in quotes, control characters escaped.
    Text(String),
    /// One of a closed set of words, or a name of ours: shown bare.
    Word(String),
    Time(DateTime<Utc>),
}

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into())
    }

    pub fn word(word: impl Into<String>) -> Self {
        Value::Word(word.into())
    }

    pub fn time(time: Option<DateTime<Utc>>) -> Self {
        time.map_or(Value::None, Value::Time)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::None => out.serialize_none(),
            Value::Flag(flag) => out.serialize_bool(*flag),
            Value::Int(int) => out.serialize_i64(*int),
            Value::Text(text) | Value::Word(text) => out.serialize_str(&masked(text)),
            Value::Time(time) => out.serialize_str(&rfc3339(*time)),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => out.write_str("(none)"),
            Value::Flag(flag) => write!(out, "{flag}"),
            Value::Int(int) => write!(out, "{int}"),
            Value::Text(text) => out.write_str(&quoted(text)),
            Value::Word(word) => out.write_str(&printable(&masked(word))),
            Value::Time(time) => out.write_str(&rfc3339(*time)),
        }
    }
}

/// RFC 3339 in UTC, with as many fractional digits as the time has.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// As [`rfc3339`], to the second: how people are told of a time that they will not look up.
pub fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Lower-case hexadecimal. The text never grows, so that no copy of it is left behind.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(*byte));
    }
    text
}

/// `text` with everything that could move a terminal's cursor, or turn the direction of writing, made visible.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unseen(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Whether a letter could move a terminal's cursor, or turn the direction of writing.
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` between quotation marks, printable, with those that are part of it escaped, and with credentials masked.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(&masked(text).replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A length of time as a file would say it: `90d`, `1h 30m`. Less than a millisecond is not shown.
pub fn span(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut parts = Vec::new();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// One field's way, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDiff {
    pub field: &'static str,
    pub before: Value,
    pub after: Value,
}

/// One resource's way. `S` is the step that applying performs.
#[derive(Clone, Debug)]
pub struct Change<S> {
    pub id: ResourceId,
    pub action: Action,
    pub origin: Origin,
    pub fields: Vec<FieldDiff>,
    /// Values that only applying knows, such as a GUID's hash.
    pub unknown: Vec<&'static str>,
    /// Whom the change is done for, where that is not the turn's own actor.
    pub actor: Option<String>,
    pub reason: Option<String>,
    /// Lines below the change: consequences that a reader should know.
    pub notes: Vec<String>,
    /// The schedule asked for it, not a person: it has a limit of its own and is not counted against the budget.
    pub is_scheduled: bool,
    pub step: S,
}

impl<S> Change<S> {
    /// The same change with its step wrapped.
    pub fn map_step<T>(self, wrap: impl FnOnce(S) -> T) -> Change<T> {
        let Change { id, action, origin, fields, unknown, actor, reason, notes, is_scheduled, step } = self;
        Change { id, action, origin, fields, unknown, actor, reason, notes, is_scheduled, step: wrap(step) }
    }
}

/// A difference that cannot be closed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub id: ResourceId,
    pub obstacle: Obstacle,
    /// What it waits for.
    pub reason: String,
    /// The way out.
    pub hint: String,
}

/// What sort of thing a difference waits for: few words, for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    /// Somebody has suspended it, or all.
    Suspended,
    /// It is protected.
    Protected,
    /// The keys of hosts cannot be used.
    Keys,
    /// The hand-off does not answer.
    HandOff,
    /// The broker does not answer.
    Broker,
    /// Somebody undoes it again and again.
    Flapping,
    /// It does not exist, or what it belongs to does not.
    Missing,
    /// Something else about the resource itself, or about another that it needs.
    Resource,
}

impl Obstacle {
    /// As a label has it.
    pub fn name(self) -> &'static str {
        match self {
            Obstacle::Suspended => "suspended",
            Obstacle::Protected => "protected",
            Obstacle::Keys => "keys",
            Obstacle::HandOff => "hand_off",
            Obstacle::Broker => "broker",
            Obstacle::Flapping => "flapping",
            Obstacle::Missing => "missing",
            Obstacle::Resource => "resource",
        }
    }
}

/// Which picture of the state files counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The files as they lie in the directory.
    Worktree,
    /// The files as they were committed: the tree of `HEAD`.
    Head,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_no_fraction() {
        let time = "2026-12-01T18:00:00.123456+02:00".parse::<DateTime<chrono::FixedOffset>>().unwrap();
        assert_eq!(moment(time.into()), "2026-12-01T16:00:00Z");
    }
}
