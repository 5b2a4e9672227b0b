//! Sessions: what a host opens and people join.

pub mod packed;
pub mod rows;
mod seen;

use std::fmt;

use chrono::{DateTime, Utc};

use super::{Asked, Resource, Verdict};
use crate::change::{Action, Change, FieldDiff, Kind, Value};
use crate::resource::roll::Compact;
use crate::yaml::{Field, Item, Problem, Section};
pub use seen::Seen;

/// A session's natural key, above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Whether a session may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    Inactive,
    Ended,
}

impl Status {
    /// In the order of their numbers.
    pub const ALL: [Status; 3] = [Status::Active, Status::Inactive, Status::Ended];
    const WORDS: &'static [&'static str] = &["active", "inactive", "ended"];

    pub fn word(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Inactive => "inactive",
            Status::Ended => "ended",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }
}

/// Who made a session that names nobody.
pub const DEFAULT_CREATOR: &str = "reconcile";

/// A session as a file wants it. A field that is left out is not managed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    pub title: Option<String>,
    pub status: Option<Status>,
    pub created_by: Option<String>,
    /// `Some(None)`: the file says `null`, so there is to be none.
    pub starts_at: Option<Option<DateTime<Utc>>>,
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

/// A session as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub title: String,
    pub status: String,
    pub created_by: String,
    pub starts_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}

impl Observed {
    /// Whether its host can work in it at this moment.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.status == Status::Active.word()
            && self.starts_at.is_none_or(|starts| starts <= now)
            && self.expires_at.is_none_or(|expires| now < expires)
    }

    fn value(&self, field: &str) -> Value {
        match field {
            "title" => Value::text(&self.title),
            "status" => Value::word(&self.status),
            "created_by" => Value::text(&self.created_by),
            "starts_at" => Value::time(self.starts_at),
            "expires_at" => Value::time(self.expires_at),
            _ => Value::None,
        }
    }
}

/// Write one row: all of it, with what was seen before as the expectation.
#[derive(Clone, Debug)]
pub struct Step {
    pub id: SessionId,
    pub before: Option<Observed>,
    pub after: Observed,
}

impl Session {
    /// The row as it will stand: what the file says, else what is there, else the documented default.
    fn over(&self, id: SessionId, observed: Option<&Observed>) -> Observed {
        let Session { title, status, created_by, starts_at, expires_at } = self;
        let title = title.as_ref().or(observed.map(|observed| &observed.title));
        let status = status.map(Status::word).or(observed.map(|observed| observed.status.as_str()));
        let created_by = created_by.as_deref().or(observed.map(|observed| observed.created_by.as_str()));
        Observed {
            title: title.cloned().unwrap_or_else(|| format!("Session {id}")),
            status: status.unwrap_or(Status::Active.word()).to_owned(),
            created_by: created_by.unwrap_or(DEFAULT_CREATOR).to_owned(),
            starts_at: starts_at.unwrap_or(observed.and_then(|observed| observed.starts_at)),
            expires_at: expires_at.unwrap_or(observed.and_then(|observed| observed.expires_at)),
        }
    }
}

impl Resource for Session {
    const KIND: Kind = Kind { name: "session", plural: "sessions" };
    const SECTION: Section = Section {
        kind: Self::KIND,
        about: "Live sessions. A field that is left out is not managed.",
        fields: &[
            Field::int("id", 1, i64::MAX).required().about("The session's id: its natural key."),
            Field::text("title", 1, 200).default("Session ID").about("What people see."),
            Field::word("status", Status::WORDS).default("active").about("Whether the session may be opened."),
            Field::text("created_by", 1, 128).default(DEFAULT_CREATOR).about("Who made the session."),
            Field::time("starts_at").nullable().about("When it opens; null: no earliest time."),
            Field::time("expires_at").nullable().about("When it closes; null: never."),
        ],
        exclusive: &[],
    };
    type Key = SessionId;
    type Observed = Observed;
    type Scope<'a> = ();
    type Step = Step;

    fn declare(item: &Item<'_>) -> Result<(SessionId, Self), Vec<Problem>> {
        let mut bytes = Vec::new();
        let id = Self::pack_item(item, &mut bytes)?;
        Ok((id, Self::unpack(&bytes)))
    }

    fn managed(&self) -> Vec<(&'static str, Value)> {
        let Session { title, status, created_by, starts_at, expires_at } = self;
        let fields = [
            ("title", title.as_ref().map(Value::text)),
            ("status", status.map(|status| Value::word(status.word()))),
            ("created_by", created_by.as_ref().map(Value::text)),
            ("starts_at", starts_at.map(Value::time)),
            ("expires_at", expires_at.map(Value::time)),
        ];
        fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
    }

    fn digest(&self) -> String {
        let mut bytes = Vec::new();
        self.pack(&mut bytes);
        packed::digest(&bytes)
    }

    fn diff(asked: &Asked<'_, Self>, (): &mut ()) -> Verdict<Step> {
        let changed = asked.observed.map(|observed| changed(asked.desired, observed));
        if changed.as_ref().is_some_and(Vec::is_empty) {
            return Verdict::InSync;
        }
        let after = asked.desired.over(*asked.key, asked.observed);
        let (action, fields) = match changed {
            Some(changed) => (Action::Update, changed),
            None => (Action::Create, created(&after)),
        };
        Verdict::Change(Box::new(Change {
            id: asked.id.clone(),
            action,
            origin: asked.origin,
            fields,
            unknown: Vec::new(),
            actor: None,
            reason: None,
            notes: Vec::new(),
            is_scheduled: false,
            step: Step { id: *asked.key, before: asked.observed.cloned(), after },
        }))
    }
}

fn changed(desired: &Session, observed: &Observed) -> Vec<FieldDiff> {
    let Session { title, status, created_by, starts_at, expires_at } = desired;
    let text = |field, is: &str, wish: Option<&str>, shown: fn(String) -> Value| {
        let wish = wish.filter(|wish| *wish != is)?;
        Some(FieldDiff { field, before: shown(is.to_owned()), after: shown(wish.to_owned()) })
    };
    let time = |field, is, wish: &Option<Option<DateTime<Utc>>>| {
        let wish = wish.filter(|wish| *wish != is)?;
        Some(FieldDiff { field, before: Value::time(is), after: Value::time(wish) })
    };
    let fields = [
        text("title", &observed.title, title.as_deref(), Value::Text),
        text("status", &observed.status, status.map(Status::word), Value::Word),
        text("created_by", &observed.created_by, created_by.as_deref(), Value::Text),
        time("starts_at", observed.starts_at, starts_at),
        time("expires_at", observed.expires_at, expires_at),
    ];
    fields.into_iter().flatten().collect()
}

/// A new row shows all that it will hold, defaults included, but for what is empty.
fn created(after: &Observed) -> Vec<FieldDiff> {
    ["title", "status", "created_by", "starts_at", "expires_at"]
        .into_iter()
        .map(|field| FieldDiff { field, before: Value::None, after: after.value(field) })
        .filter(|diff| diff.after != Value::None)
        .collect()
}
