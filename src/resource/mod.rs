//! One room per kind, and the contract that each keeps.
//!
//! A room says three things: what its files may hold ([`Section`]), how a difference becomes a change ([`Resource::diff`],
//! pure), and how the change is made so (its `rows` inside the database, its `mint` or the like outside of it).

pub mod host;
pub mod instance;
pub mod roll;
pub mod server;
pub mod session;

use std::fmt::Display;

use sha2::{Digest, Sha256};

use crate::change::{Blocked, Change, Kind, Origin, ResourceId, Value, hex};
use crate::yaml::{Item, Place, Problem, Section};

/// A resource as a file declares it.
#[derive(Clone, Debug)]
pub struct Declared<T> {
    pub value: T,
    pub place: Place,
    /// What the file says of protection; `None`: nothing, so that it stays as it is.
    pub protect: Option<bool>,
}

/// One question to a room: what is to be done about this resource?
pub struct Asked<'a, R: Resource> {
    pub id: &'a ResourceId,
    pub key: &'a R::Key,
    pub desired: &'a R,
    pub observed: Option<&'a R::Observed>,
    pub origin: Origin,
}

/// The answer.
pub enum Verdict<S> {
    InSync,
    Change(Box<Change<S>>),
    Blocked(Blocked),
}

/// What performing a step needs of the world outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// A key to hash a host's GUID with.
    pub key: bool,
    /// The place where secrets wait for their reader.
    pub handoff: bool,
    /// The broker of tasks.
    pub broker: bool,
}

/// What the planner sees of a kind. The implementing type is the desired state itself.
///
/// Guarantees: `diff` is pure; a change that was performed and recorded is answered with [`Verdict::InSync`] next time.
pub trait Resource: Sized {
    const KIND: Kind;
    const SECTION: Section;
    type Key: Ord + Clone + Display;
    /// The same thing as the world has it.
    type Observed;
    /// What this kind must know of other kinds, and the time.
    type Scope<'a>;
    type Step;

    /// Takes a checked item of a file. Errors: what the item's fields contradict in each other.
    fn declare(item: &Item<'_>) -> Result<(Self::Key, Self), Vec<Problem>>;

    /// The fields that the file manages, with what it wants of them, in the order in which they are shown.
    fn managed(&self) -> Vec<(&'static str, Value)>;

    /// A digest of what a file means for the resource: equal digests, equal wishes. 32 hexadecimal digits.
    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (field, value) in self.managed() {
            hasher.update(field.as_bytes());
            hasher.update([0]);
            hasher.update(serde_json::json!(value).to_string().as_bytes());
            hasher.update([0]);
        }
        hex(&hasher.finalize()[..16])
    }

    /// The key that the resource had before, where the file gives it another.
    fn former(&self) -> Option<&Self::Key> {
        None
    }

    fn diff(asked: &Asked<'_, Self>, scope: &mut Self::Scope<'_>) -> Verdict<Self::Step>;

    /// What must be usable for a step to be performed.
    fn needs(_step: &Self::Step) -> Needs {
        Needs::default()
    }

    /// Gives back to the scope what a change has taken from it: the change is held, and another may have its place.
    fn withdraw(_change: &Change<Self::Step>, _scope: &mut Self::Scope<'_>) {}
}

/// How the recording of one step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Done,
    /// The row is no longer what the plan saw: nothing was written, plan again.
    Conflict,
}
