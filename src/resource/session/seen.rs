//! What the database has of sessions: of most no more than that they are as declared.

use std::collections::BTreeMap;

use super::{Observed, SessionId};
use crate::resource::roll::Marks;

/// The sessions of one picture of the database.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Of the declared sessions, by their number in the roll: the row is as declared, and needs no thought.
    pub met: Marks,
    /// The rows that somebody has to think about: those that are not as declared, and those that a host stands on.
    pub rows: BTreeMap<SessionId, Observed>,
    /// How many rows there are, declared or not.
    pub total: u64,
    /// The ids next to one that is neither declared nor there, at most four.
    pub near: BTreeMap<SessionId, Vec<SessionId>>,
}
