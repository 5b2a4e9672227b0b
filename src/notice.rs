//! The words of what others are told: what happened, to what, and why it concerns them.

/// What happened, as a receiver chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// There is a new GUID, or there are new credentials: whoever needs them has to be told.
    Rotation,
    /// An instance has its database.
    Allocation,
    /// An instance's task was dispatched, or has ended well.
    Provisioning,
    /// Something cannot be done until somebody does something about it.
    Blocked,
    /// Something was tried, and did not succeed.
    Failure,
    /// What was blocked, or had failed, is over.
    Recovery,
    /// A server is running out of places.
    PoolFill,
    /// The database was changed by somebody else, and put right.
    Drift,
}

impl Event {
    pub const ALL: [Self; 8] = [
        Event::Rotation,
        Event::Allocation,
        Event::Provisioning,
        Event::Blocked,
        Event::Failure,
        Event::Recovery,
        Event::PoolFill,
        Event::Drift,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Event::Rotation => "rotation",
            Event::Allocation => "allocation",
            Event::Provisioning => "provisioning",
            Event::Blocked => "blocked",
            Event::Failure => "failure",
            Event::Recovery => "recovery",
            Event::PoolFill => "pool_fill",
            Event::Drift => "drift",
        }
    }

    pub fn read(word: &str) -> Option<Self> {
        Event::ALL.into_iter().find(|event| event.word() == word)
    }
}

/// One thing to tell. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub event: Event,
    /// The address of a resource, or `turn`.
    pub about: String,
    /// `None`: whoever the run is attributed to.
    pub actor: Option<String>,
    pub reason: Option<String>,
    /// What happened, as a clause about it.
    pub text: String,
}
