//! Hosts: the one secret that opens a session, and its rotations.
//!
//! The secret itself, a host GUID, is in no file, plan or table: it is minted while applying, handed off for its one
//! reader, and only its hash is recorded.

pub mod by_hand;
pub mod consolidate;
pub mod diff;
pub mod lost;
pub mod mint;
pub mod rows;
#[cfg(test)]
mod tests;
pub mod verify;

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::session::SessionId;
use crate::change::{Kind, Value, span};
use crate::port::handoff::{Record, Whereabouts};
use crate::store::sql::Id;
use crate::yaml::{Field, Section};

/// The kind of hosts: addresses look like `host/215`, named by their session.
pub const KIND: Kind = Kind { name: "host", plural: "hosts" };

/// When a GUID stops to open its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Counted from the rotation.
    In(Duration),
    At(DateTime<Utc>),
}

impl Expiry {
    /// The moment, for a GUID that was minted at `minted`. Out of the calendar's range means never.
    pub fn after(self, minted: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Expiry::In(life) => add(minted, life),
            Expiry::At(time) => Some(time),
        }
    }

    pub fn value(self) -> (&'static str, Value) {
        match self {
            Expiry::In(life) => ("expires_in", Value::word(span(life))),
            Expiry::At(time) => ("expires_at", Value::Time(time)),
        }
    }
}

/// `time` and `life` later; `None` where that is beyond the calendar.
pub fn add(time: DateTime<Utc>, life: Duration) -> Option<DateTime<Utc>> {
    time.checked_add_signed(chrono::TimeDelta::from_std(life).ok()?)
}

/// What to do where the session is neither declared nor stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingSession {
    Error,
    Create,
}

/// A host as a file wants it. A field that is left out is not managed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    pub rotation: Option<i64>,
    pub reason: Option<String>,
    pub rotated_by: Option<String>,
    /// `Some(None)`: the file says `expires_at: null`, so it never expires.
    pub expiry: Option<Option<Expiry>>,
    pub rotate_every: Option<Duration>,
    pub overlap: Option<Duration>,
    pub missing_session: Option<MissingSession>,
    pub active: Option<bool>,
}

/// The row that stands for a session's host: the active one, or else the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub host_session_id: i64,
    pub key_id: Option<String>,
    pub is_active: bool,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub revoked_by: Option<String>,
    /// The file's number last applied; 0 where only commands made it.
    pub rotation: i64,
    /// How many GUIDs this row has had.
    pub generation: i64,
    pub attempt: Option<Id>,
    /// When the present GUID was minted.
    pub minted_at: DateTime<Utc>,
    pub claimed_at: Option<DateTime<Utc>>,
    /// The GUID before this one still opens the session.
    pub previous_valid: bool,
    /// Active rows of this session: more than one is a legacy of other tools.
    pub active_rows: i64,
    /// What is recorded of the present GUID's handoff.
    pub handoff: Record,
    /// Where a GUID is that was handed over and that nobody has claimed; see [`Observed::unclaimed`].
    pub whereabouts: Whereabouts,
    /// The GUID before this one stays valid at least until then, also when this one is claimed earlier.
    pub overlap_until: Option<DateTime<Utc>>,
}

impl Observed {
    pub fn over(&self) -> Over {
        Over {
            host_session_id: self.host_session_id,
            generation: self.generation,
            rotation: self.rotation,
            is_revoked: self.revoked_at.is_some(),
            expires_at: self.expires_at,
        }
    }

    /// Where the GUID is that was minted and handed over by us, and that nobody has claimed.
    pub fn unclaimed(&self) -> Option<&Whereabouts> {
        (self.attempt.is_some() && self.claimed_at.is_none()).then_some(&self.whereabouts)
    }

    /// Why it is not known from here where that is, and what would let it be known.
    pub fn unknown(&self) -> Option<String> {
        let why = self.unclaimed()?.unknown()?;
        Some(format!("unknown from here: {why}; {}", why.hint()))
    }

    /// Nobody can ever claim it any more.
    pub fn is_gone(&self) -> bool {
        matches!(self.unclaimed(), Some(Whereabouts::Expired | Whereabouts::Lost))
    }
}

/// How long the GUID before the new one stays valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Not at all: the old one may be known to the wrong people.
    Nothing,
    For(Duration),
    /// Until somebody has taken the new one, and for the overlap at least.
    UntilClaimed(Duration),
    /// What is replaced was lost before anybody had it; the one before that stays as it is, with its overlap.
    Former {
        overlap_until: Option<DateTime<Utc>>,
    },
}

/// The smallest units of work on a host.
#[derive(Clone, Debug)]
pub enum Step {
    Mint(Mint),
    /// Change what stands beside the GUID, leaving the GUID alone.
    Adjust(Adjust),
    Revoke(Revoke),
}

/// New values beside the GUID.
#[derive(Clone, Debug)]
pub struct Adjust {
    pub over: Over,
    pub rotation: i64,
    pub is_active: bool,
    pub expires_at: Option<DateTime<Utc>>,
}

/// The end of a GUID, and of the one before it.
#[derive(Clone, Debug)]
pub struct Revoke {
    pub over: Over,
    pub by: String,
}

/// The row that a step expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    pub host_session_id: i64,
    pub generation: i64,
    pub rotation: i64,
    /// A revocation that comes in between is not undone by a step that did not know of it.
    pub is_revoked: bool,
    /// When the GUID that stands there expires.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A new GUID.
#[derive(Clone, Debug)]
pub struct Mint {
    pub session: SessionId,
    /// The row to update in place; `None`: there is no row yet.
    pub over: Option<Over>,
    /// Leave the old row as it is, deactivated, and insert a new one.
    pub replace: bool,
    /// `None`: keep the number of the row (0 in a new one).
    pub rotation: Option<i64>,
    pub expiry: Option<Expiry>,
    pub is_active: bool,
    pub keep: Keep,
    pub by: String,
    /// Create the session under this title when it is missing.
    pub create_session: Option<String>,
    /// How long the hand-off keeps the GUID for its reader.
    pub claim_life: Duration,
}

const fn duration(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// A GUID is valid for at least so long,
pub const SHORTEST_LIFE: Duration = Duration::from_secs(60);
/// and at most for so long, unless it is for ever.
pub const LONGEST_LIFE: Duration = duration(24 * 3660);

/// What a file may say of a host.
pub const SECTION: Section = Section {
    kind: KIND,
    about: "Hosts of sessions. The GUID itself is never in a file.",
    fields: &[
        Field::int("session", 1, i64::MAX).required().about("The session that the host opens: the natural key."),
        Field::int("rotation", 1, i64::MAX).default("1").about("Raise it to rotate. A lower number is an old commit."),
        Field::text("reason", 1, 500).about("Why; kept in the journal."),
        Field::text("rotated_by", 1, 128).default("the author of the commit").about("Who asked for the rotation."),
        Field::duration("expires_in", SHORTEST_LIFE, LONGEST_LIFE)
            .about("How long the GUID is valid, counted from the rotation."),
        Field::time("expires_at").nullable().about("Until when the GUID is valid; null: for ever."),
        Field::duration("rotate_every", Duration::from_secs(60), duration(24 * 3660)).about("Rotate on a schedule."),
        Field::duration("overlap", Duration::ZERO, duration(24 * 366))
            .default("0s")
            .about("How long the old GUID stays valid after an explicit rotation."),
        Field::word("missing_session", &["error", "create"])
            .default("error")
            .about("What to do where the session does not exist: create makes \"Auto-Generated Session ID\"."),
        Field::flag("active").default("true").about("Whether the GUID opens the session at all."),
    ],
    exclusive: &[("expires_in", "expires_at")],
};
