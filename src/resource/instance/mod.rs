//! Instances: a database for every customer, and the way there through recorded phases.
//!
//! A crash between any two phases is resumed by the next turn: the phase is what is observed, and the planner plans the
//! rest. There is no second way of recovery.

pub mod by_hand;
pub mod diff;
pub mod names;
pub mod onward;
pub mod perform;
pub mod phase;
pub mod placement;
pub mod rows;
pub mod steps;

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::server::ServerName;
use crate::change::Kind;
use crate::port::handoff::{Record, Unknown};
use crate::port::task::Outcome;
use crate::store::sql::Id;
use crate::yaml::{Field, Section};
use phase::Phase;

/// The kind of instances: addresses look like `instance/fbaa8c92-0000-4000-8000-000000000001`.
pub const KIND: Kind = Kind { name: "instance", plural: "instances" };

/// An instance's natural key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub Uuid);

impl fmt::Display for InstanceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// What the customer has subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Standard,
    Premium,
    Enterprise,
}

impl Tier {
    const ALL: [Tier; 3] = [Tier::Standard, Tier::Premium, Tier::Enterprise];
    const WORDS: &'static [&'static str] = &["standard", "premium", "enterprise"];

    pub fn word(self) -> &'static str {
        match self {
            Tier::Standard => "standard",
            Tier::Premium => "premium",
            Tier::Enterprise => "enterprise",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.word() == word)
    }

    /// Whether it wants a server that holds nothing else.
    pub fn wants_dedicated(self) -> bool {
        !matches!(self, Tier::Standard)
    }
}

/// When the worker is told to provision an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provision {
    /// After a billing event for its subscription, or by command.
    #[default]
    OnBilling,
    /// As soon as it is allocated.
    AtOnce,
    /// Not at all, until the file says otherwise.
    Hold,
}

/// Whether the customer may log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Active,
    /// The role has no LOGIN; the database and its place stay.
    Retired,
    /// The place is free again, and the database is nobody's here. Only a command makes it so, and no file.
    Forgotten,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Retired => "retired",
            State::Forgotten => "forgotten",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [State::Active, State::Retired, State::Forgotten].into_iter().find(|state| state.word() == word)
    }
}

/// An instance as a file wants it. A field that is left out is not managed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub customer: Uuid,
    pub name: String,
    /// `Some(None)`: the file says `null`, so there is to be none.
    pub subscription: Option<Option<Uuid>>,
    pub tier: Option<Tier>,
    /// The server that it is pinned to.
    pub server: Option<ServerName>,
    pub provision: Option<Provision>,
    pub credentials_rotation: Option<i64>,
    pub state: Option<State>,
}

/// The row of an instance, in what files may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub customer: Uuid,
    pub subscription: Option<Uuid>,
    pub name: String,
    pub tier: Tier,
    pub state: State,
}

/// An instance as the world has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub profile: Profile,
    pub phase: Phase,
    pub db_host: Option<String>,
    pub db_port: Option<i64>,
    /// The server in its row, also of an instance that an older tool allocated.
    pub server: Option<Id>,
    /// What we know of the allocation; `None`: it was not made here.
    pub allocation: Option<Allocation>,
    /// Its credentials lie in the hand-off.
    pub waiting: bool,
    /// Why it cannot be known from here whether they do.
    pub unknown: Option<Unknown>,
    /// The task was pushed, and that is not recorded yet.
    pub sent: bool,
    /// What the worker says, where a result backend is configured and it is asked.
    pub outcome: Option<Outcome>,
}

/// A place on a server, and how far its use has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    pub server: Id,
    pub database: String,
    pub role: String,
    /// The file's number last applied.
    pub rotation: i64,
    /// How many passwords have been set.
    pub passwords: i64,
    /// How many tasks have been dispatched.
    pub dispatches: i64,
    /// The id of the task that was dispatched last.
    pub last_task: Option<Uuid>,
    pub released_at: Option<DateTime<Utc>>,
    /// What is recorded of the handoff of its credentials.
    pub handoff: Record,
    /// What the worker reported of a task that failed.
    pub outcome: Option<String>,
}

impl Allocation {
    /// The id of the next task: the same for the same allocation, however often it is tried, and another one only
    /// after a dispatch was recorded.
    pub fn next_task(&self, identity: Uuid, instance: InstanceId) -> Uuid {
        task_id(identity, instance, &self.database, self.dispatches + 1)
    }
}

/// The id of an allocation's `number`th task: a UUID of version 5 (RFC 9562). Equal instances of two databases, told apart
/// by the `identity` of their stamps, have different tasks, so that no broker that carries both takes one for the other.
pub fn task_id(identity: Uuid, instance: InstanceId, database: &str, number: i64) -> Uuid {
    Uuid::new_v5(&instance.0, format!("task {number} for {database} of {identity}").as_bytes())
}

/// The hand-off's name for an instance's credentials: where people and workers look.
pub fn handoff_key(instance: InstanceId) -> String {
    format!("instance:{instance}:db_credentials")
}

/// What a file may say of an instance.
pub const SECTION: Section = Section {
    kind: KIND,
    about: "Customer instances: each gets a PostgreSQL database of its own on one of the servers.",
    fields: &[
        Field::uuid("id").required().about("The instance's id: its natural key."),
        Field::uuid("customer").required().about("Whose it is. It never changes: names are made of it."),
        Field::uuid("subscription").nullable().about("The subscription whose billing events release it."),
        Field::text("name", 1, 200).required().about("What people call it."),
        Field::word("tier", Tier::WORDS).default("standard").about("premium and enterprise get a dedicated server."),
        Field::name("server").default("placed by capacity").about("Pins it to this server."),
        Field::word("provision", &["on_billing", "at_once", "hold"])
            .default("on_billing")
            .about("When the worker is told to provision it."),
        Field::int("credentials_rotation", 1, i64::MAX)
            .default("1")
            .about("Raise it for a new password. A lower number is an old commit."),
        Field::word("state", &["active", "retired"])
            .default("active")
            .about("retired takes LOGIN from the role; the database and its place stay."),
    ],
    exclusive: &[],
};
