//! The state of each resource, as lists show it and as counts have it.
//!
//! Each is one of in sync, pending, blocked and unmanaged: the four numbers of a plan's last line. Besides, it may have
//! failed, have drifted, be suspended, be protected. One of all its states is shown first: the one that most wants
//! somebody.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ledger, Plan, Planned};
use crate::change::{Action, Origin, ResourceId};
use crate::kinds::{Desired, Numbers};

/// What a resource may be, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Runs fail at it, or the worker that it was handed to could not do it.
    Failed,
    /// It is not as declared, and is not changed either: it waits for something.
    Blocked,
    /// Its row was changed since it was last applied.
    Drifted,
    /// The next run changes it.
    Pending,
    /// The database has it, and no file names it.
    Unmanaged,
    /// Somebody has said that nothing is to be applied to it, whether there is anything to be applied or not.
    Suspended,
    /// The database matches the files.
    InSync,
    /// A file says `protect: true`.
    Protected,
}

impl State {
    pub const ALL: [State; 8] = [
        State::Failed,
        State::Blocked,
        State::Drifted,
        State::Pending,
        State::Unmanaged,
        State::Suspended,
        State::InSync,
        State::Protected,
    ];

    /// As options, answers and addresses have it.
    pub fn word(self) -> &'static str {
        match self {
            State::Failed => "failed",
            State::Blocked => "blocked",
            State::Drifted => "drifted",
            State::Pending => "pending",
            State::Unmanaged => "unmanaged",
            State::Suspended => "suspended",
            State::InSync => "in_sync",
            State::Protected => "protected",
        }
    }

    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            State::InSync => "in sync",
            other => other.word(),
        }
    }

    /// Errors: the text says what would do.
    pub fn read(word: &str) -> Result<Self, String> {
        let known = || format!("state must be one of {}", State::ALL.map(State::word).join(", "));
        State::ALL.into_iter().find(|state| state.word() == word).ok_or_else(known)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Several states at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States(u8);

impl States {
    pub fn with(self, state: State) -> Self {
        Self(self.0 | state.bit())
    }

    pub fn has(self, state: State) -> bool {
        self.0 & state.bit() != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether they have any in common.
    pub fn meets(self, others: States) -> bool {
        self.0 & others.0 != 0
    }

    /// The worst first.
    pub fn iter(self) -> impl Iterator<Item = State> {
        State::ALL.into_iter().filter(move |state| self.has(*state))
    }

    /// The worst.
    pub fn leading(self) -> State {
        self.iter().next().unwrap_or(State::InSync)
    }
}

impl FromIterator<State> for States {
    fn from_iter<T: IntoIterator<Item = State>>(states: T) -> Self {
        states.into_iter().fold(Self::default(), Self::with)
    }
}

/// The states of a resource, and what the next run does to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub states: States,
    pub action: Option<Action>,
}

/// Where a plan tells more of a resource: the place in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Change(u32),
    Blocked(u32),
}

/// All declared resources, by their numbers: see [`Desired::listed`].
#[derive(Clone, Debug, Default)]
pub struct Standings {
    of: Vec<Standing>,
    told: BTreeMap<u32, Told>,
}

impl Standings {
    /// From a plan of everything, what it was made from, and what has failed.
    pub fn new(plan: &Plan, desired: &Desired, ledger: &Ledger, failed: &BTreeSet<ResourceId>) -> Self {
        let is_suspended = |states: States| match ledger.all_suspended {
            Some(_) => states.with(State::Suspended),
            None => states,
        };
        let of = vec![Standing { states: is_suspended(States::default()), action: None }; desired.len()];
        let mut standings = Self { of, told: BTreeMap::new() };
        let numbers = desired.numbered();
        for (place, blocked) in (0..).zip(&plan.blocked) {
            standings.put(&numbers, &blocked.id, &[State::Blocked], Some(Told::Blocked(place)));
        }
        for (place, Planned { change, .. }) in (0..).zip(&plan.changes) {
            let states: &[State] = match change.origin {
                Origin::Intended | Origin::Manual => &[State::Pending],
                Origin::Drift => &[State::Pending, State::Drifted],
            };
            let number = standings.put(&numbers, &change.id, states, Some(Told::Change(place)));
            if let Some(standing) = number.and_then(|number| standings.of.get_mut(number)) {
                standing.action = Some(change.action);
            }
        }
        for id in &plan.kept_drift {
            standings.put(&numbers, id, &[State::Drifted], None);
        }
        for id in ledger.suspended.keys() {
            standings.put(&numbers, id, &[State::Suspended], None);
        }
        for id in failed {
            standings.put(&numbers, id, &[State::Failed], None);
        }
        for number in desired.protected().chain(ledger.protected_sessions.iter()) {
            standings.add(number, &[State::Protected]);
        }
        for id in &ledger.protected {
            standings.put(&numbers, id, &[State::Protected], None);
        }
        for Standing { states, .. } in &mut standings.of {
            if !states.has(State::Blocked) && !states.has(State::Pending) {
                *states = states.with(State::InSync);
            }
        }
        standings
    }

    /// Gives the number, where a file declares the resource.
    fn put(&mut self, numbers: &Numbers<'_>, id: &ResourceId, states: &[State], told: Option<Told>) -> Option<usize> {
        let number = numbers.of(id)?;
        self.add(number, states);
        if let (Some(told), Ok(number)) = (told, u32::try_from(number)) {
            self.told.insert(number, told);
        }
        Some(number)
    }

    fn add(&mut self, number: usize, states: &[State]) {
        if let Some(standing) = self.of.get_mut(number) {
            standing.states = states.iter().fold(standing.states, |states, state| states.with(*state));
        }
    }

    pub fn len(&self) -> usize {
        self.of.len()
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub fn get(&self, number: usize) -> Option<Standing> {
        self.of.get(number).copied()
    }

    pub fn told(&self, number: usize) -> Option<Told> {
        self.told.get(&u32::try_from(number).ok()?).copied()
    }

    /// How many are in each state, in the order of [`State::ALL`].
    pub fn counts(&self) -> [u64; State::ALL.len()] {
        let mut counts = [0; State::ALL.len()];
        for state in self.of.iter().flat_map(|standing| standing.states.iter()) {
            counts.get_mut(state as usize).into_iter().for_each(|count| *count += 1);
        }
        counts
    }
}

/// The states of a resource that the database has and no file names.
pub fn unmanaged(id: &ResourceId, ledger: &Ledger, failed: &BTreeSet<ResourceId>) -> States {
    let also = [
        (State::Suspended, ledger.suspended.contains_key(id)),
        (State::Failed, failed.contains(id)),
        (State::Protected, ledger.protected.contains(id)),
    ];
    also.into_iter().filter(|(_, is_so)| *is_so).map(|(state, _)| state).chain([State::Unmanaged]).collect()
}
