//! What is known of a secret that was put somewhere and that nobody has recorded as taken.
//!
//! A store can only speak for what was put into it. What was put elsewhere is unknown here, and neither lost nor expired.

use std::fmt;

use chrono::{DateTime, Utc};

/// How Redis is named in a row.
pub const REDIS: &str = "redis";
/// How an embedded handoff is named in a row: this word, a blank, and its id.
pub const EMBEDDED: &str = "embedded";

/// What a row has about the handoff of one secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where it was put; `None`: it was put before that was recorded.
    pub store: Option<String>,
    /// When the store forgets it.
    pub until: Option<DateTime<Utc>>,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the store, for its one reader.
    Waiting,
    /// Its time is over.
    Expired,
    /// The store that it was put into has it no longer, before its time.
    Lost,
    Unknown(Unknown),
}

/// Why it cannot be known from here where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// It was put into Redis, and none is configured here.
    NoRedis,
    /// It was put into an embedded handoff that is not the one here.
    OtherMachine,
    /// Where it was put is not recorded.
    Unrecorded,
    /// The store does not answer.
    Silent(String),
}

impl Unknown {
    /// What lets it be known.
    pub fn hint(&self) -> &'static str {
        match self {
            Unknown::NoRedis => "set redis.url to know, and to claim here",
            Unknown::OtherMachine => "ask on the machine whose data directory that is",
            Unknown::Unrecorded => "what was handed over from now on is known",
            Unknown::Silent(_) => "it is known again when that answers; see `reconcile doctor`",
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::NoRedis => out.write_str("no handoff is configured (redis.url), and it was put into Redis"),
            Unknown::OtherMachine => out.write_str("it was put into another data directory than the one here"),
            Unknown::Unrecorded => out.write_str("an earlier version did not record where it was put"),
            Unknown::Silent(trouble) => write!(out, "the handoff cannot be asked: {trouble}"),
        }
    }
}

impl Whereabouts {
    /// Judges by what a store has `found`, the store's own name (`None`: nothing was ever put into it), and the row.
    pub fn judge(found: bool, here: Option<&str>, record: &Record, now: DateTime<Utc>) -> Self {
        let Record { store, until } = record;
        match (found, store) {
            (true, _) => Whereabouts::Waiting,
            // No store keeps a secret for longer than that.
            (false, _) if until.is_some_and(|until| until <= now) => Whereabouts::Expired,
            (false, None) => Whereabouts::Unknown(Unknown::Unrecorded),
            (false, Some(store)) if Some(store.as_str()) == here => Whereabouts::Lost,
            (false, Some(store)) if store == REDIS => Whereabouts::Unknown(Unknown::NoRedis),
            (false, Some(_)) => Whereabouts::Unknown(Unknown::OtherMachine),
        }
    }

    pub fn unknown(&self) -> Option<&Unknown> {
        if let Whereabouts::Unknown(unknown) = self { Some(unknown) } else { None }
    }
}
