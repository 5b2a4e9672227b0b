//! How far an allocation has come.

use std::fmt;

/// The phases, in their order. Each says what is true once it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A server is chosen, and a place on it is taken.
    Reserved,
    /// Role and database exist there.
    DatabaseCreated,
    /// Server, host and port stand in the instance's row; a password is set and handed over.
    Allocated,
    /// The task has been dispatched with the credentials.
    Provisioning,
    /// The worker says that it is done.
    Ready,
    /// The worker says that it could not do it.
    Failed,
    /// The place was given back by command.
    Forgotten,
}

impl Phase {
    pub const ALL: [Phase; 7] = [
        Phase::Reserved,
        Phase::DatabaseCreated,
        Phase::Allocated,
        Phase::Provisioning,
        Phase::Ready,
        Phase::Failed,
        Phase::Forgotten,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Phase::Reserved => "reserved",
            Phase::DatabaseCreated => "database_created",
            Phase::Allocated => "allocated",
            Phase::Provisioning => "provisioning",
            Phase::Ready => "ready",
            Phase::Failed => "failed",
            Phase::Forgotten => "forgotten",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.word() == word)
    }

    /// Whether role and database are to be there.
    pub fn has_database(self) -> bool {
        !matches!(self, Phase::Reserved | Phase::Forgotten)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}
