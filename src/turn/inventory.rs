//! Every declared resource and how it stands: made from a plan, and kept small enough to be kept.
//!
//! A plan of a million changes is as large as a turn. Of each resource no more than a few bytes are kept here, and what is
//! to be said of those that are not as declared only up to a number; the files' own pages are shared with the reader of
//! the files.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use super::Wanted;
use crate::change::{Action, Change, Kind, Obstacle, Origin, ResourceId, moment};
use crate::kinds::{Desired, Listed};
use crate::plan::lineage::Lineage;
use crate::plan::render::details;
use crate::plan::{Header, Plan, Planned};
use crate::resource::Resource;
use crate::resource::session::{Session, SessionId};
use crate::store::ledger::Suspension;

/// Of so many resources that are to be changed it is kept how, and of so many that are blocked it is kept why.
pub const MOST: usize = 10_000;
/// Notes of the plan that are kept.
const NOTES: usize = 1_000;

/// How a declared resource stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    InSync,
    Changed(Action, Origin),
    Blocked,
    /// Somebody has said that nothing is to be applied to it, whether there is anything to be applied or not.
    Suspended,
}

impl State {
    /// As answers and addresses have it.
    pub fn word(self) -> &'static str {
        match self {
            State::InSync => "in_sync",
            State::Changed(..) => "changed",
            State::Blocked => "blocked",
            State::Suspended => "suspended",
        }
    }
}

/// Which states are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    InSync,
    Changed,
    /// Those of the changed that somebody else has changed in the database.
    Drift,
    Blocked,
    Suspended,
}

impl Wish {
    pub const ALL: [Wish; 5] = [Wish::InSync, Wish::Changed, Wish::Drift, Wish::Blocked, Wish::Suspended];

    pub fn word(self) -> &'static str {
        match self {
            Wish::InSync => "in_sync",
            Wish::Changed => "changed",
            Wish::Drift => "drift",
            Wish::Blocked => "blocked",
            Wish::Suspended => "suspended",
        }
    }

    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wish| wish.word() == word)
    }

    fn is(self, state: State) -> bool {
        match self {
            Wish::InSync => state == State::InSync,
            Wish::Changed => matches!(state, State::Changed(..)),
            Wish::Drift => matches!(state, State::Changed(_, Origin::Drift)),
            Wish::Blocked => state == State::Blocked,
            Wish::Suspended => state == State::Suspended,
        }
    }
}

/// What is to be said of one that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// What the change does, and its consequences.
    Change { details: Vec<String>, notes: Vec<String> },
    /// What it waits for, and the way out.
    Blocked { reason: String, hint: String },
}

/// One resource, as it is shown.
pub struct Row<'a> {
    pub listed: Listed,
    pub state: State,
    /// `None`: it is in sync, or one of more than are kept.
    pub about: Option<&'a About>,
}

/// Which resources are wanted; what is `None` or empty asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub kind: Option<Kind>,
    pub wish: Option<Wish>,
    /// A part of the address or of the title, in capitals or not.
    pub text: String,
}

/// Some resources in their order.
pub struct Sheet<'a> {
    pub rows: Vec<Row<'a>>,
    /// After which the next begin, where there are more.
    pub next: Option<ResourceId>,
}

/// Every declared resource, at one moment.
pub struct Inventory {
    pub header: Header,
    /// Whether the commit may follow the one that was applied last.
    pub lineage: Lineage,
    pub made_at: DateTime<Utc>,
    /// Resources that the database has and no file names.
    pub unmanaged: u64,
    pub notes: Vec<(ResourceId, String)>,
    desired: Desired,
    /// By the numbers that [`Desired::listed`] has.
    states: Vec<State>,
    about: BTreeMap<usize, About>,
    /// How many stand as is wished, in the order of [`Wish::ALL`].
    counts: [usize; 5],
}

impl Inventory {
    /// From a plan of everything, what it was made from, and who has suspended what.
    pub fn new(plan: Plan, wanted: Wanted, suspensions: &[Suspension]) -> Self {
        let Plan { header, lineage, now, changes, blocked, mut notes, unmanaged, .. } = plan;
        let desired = wanted.desired;
        notes.truncate(NOTES);
        let states = vec![State::InSync; desired.len()];
        let mut inventory = Self {
            header,
            lineage,
            made_at: now,
            unmanaged,
            notes,
            desired,
            states,
            about: BTreeMap::new(),
            counts: [0; 5],
        };
        let numbers = inventory.numbers();
        let number = |desired: &Desired, id: &ResourceId| match id.kind {
            Session::KIND => desired.sessions.number(&SessionId(id.name.parse().ok()?)),
            _ => numbers.get(id).copied(),
        };
        for Suspension { kind, name, actor, reason, suspended_at } in suspensions {
            let Some(kind) = crate::kinds::named(kind) else { continue };
            let id = ResourceId::new(kind, name);
            if let Some(number) = number(&inventory.desired, &id) {
                let reason = format!("it is suspended by {actor} since {}: {reason}", moment(*suspended_at));
                let hint = format!("`reconcile resume {id} --reason R`");
                inventory.put(number, State::Suspended, Some(About::Blocked { reason, hint }));
            }
        }
        for (place, blocked) in blocked.into_iter().enumerate() {
            let state = if blocked.obstacle == Obstacle::Suspended { State::Suspended } else { State::Blocked };
            let about = About::Blocked { reason: blocked.reason, hint: blocked.hint };
            if let Some(number) = number(&inventory.desired, &blocked.id) {
                inventory.put(number, state, (place < MOST).then_some(about));
            }
        }
        for (place, Planned { change, .. }) in changes.into_iter().enumerate() {
            let about = (place < MOST).then(|| about(&change));
            if let Some(number) = number(&inventory.desired, &change.id) {
                inventory.put(number, State::Changed(change.action, change.origin), about);
            }
        }
        inventory.counts = Wish::ALL.map(|wish| inventory.states.iter().filter(|state| wish.is(**state)).count());
        inventory
    }

    /// The numbers of all but the sessions, which may be a million, and know theirs.
    fn numbers(&self) -> HashMap<ResourceId, usize> {
        let first = self.desired.sessions.len();
        self.desired.listed(first).map(|listed| listed.id).zip(first..).collect()
    }

    fn put(&mut self, number: usize, state: State, about: Option<About>) {
        self.states.get_mut(number).into_iter().for_each(|place| *place = state);
        about.into_iter().for_each(|about| drop(self.about.insert(number, about)));
    }

    /// How many resources stand as is wished.
    pub fn count(&self, wish: Wish) -> usize {
        self.counts.get(wish as usize).copied().unwrap_or_default()
    }

    /// How many resources are declared.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// At most `most` of those that pass the filter, from after `after` on, which need not be declared any more.
    pub fn sheet(&self, filter: &Filter, after: Option<&ResourceId>, most: usize) -> Sheet<'_> {
        let within = filter.kind.map_or(0..self.len(), |kind| self.desired.numbers(kind));
        let from = after.map_or(0, |id| self.desired.number_behind(id)).max(within.start);
        let sought = filter.text.to_lowercase();
        let is_wished =
            |number: usize| self.states.get(number).is_some_and(|state| filter.wish.is_none_or(|wish| wish.is(*state)));
        // Sessions may be a million, and each is found by its number; the others are walked through.
        let middle = self.desired.numbers(Session::KIND).end;
        let sessions = (from..within.end.min(middle)).filter(|number| is_wished(*number));
        let sessions = sessions.filter_map(|number| Some((number, self.desired.listed(number).next()?)));
        let others = (from.max(middle)..within.end).zip(self.desired.listed(from.max(middle)));
        let numbered = sessions.chain(others.filter(|(number, _)| is_wished(*number)));
        let passing = numbered.filter(|(_, listed)| listed.holds(&sought)).filter_map(|(number, listed)| {
            Some(Row { listed, state: *self.states.get(number)?, about: self.about.get(&number) })
        });
        let mut rows: Vec<Row<'_>> = passing.take(most.saturating_add(1)).collect();
        let has_more = rows.len() > most;
        rows.truncate(most);
        let next = rows.last().filter(|_| has_more).map(|row| row.listed.id.clone());
        Sheet { rows, next }
    }
}

impl Listed {
    /// Whether its address or its title holds a text of small letters.
    fn holds(&self, sought: &str) -> bool {
        sought.is_empty()
            || self.title.to_lowercase().contains(sought)
            || self.id.to_string().to_lowercase().contains(sought)
    }
}

fn about<S>(change: &Change<S>) -> About {
    About::Change { details: details(change), notes: change.notes.clone() }
}

impl Sheet<'_> {
    pub fn json(&self) -> Json {
        let rows: Vec<Json> = self.rows.iter().map(Row::json).collect();
        json!({ "resources": rows, "next": self.next.as_ref().map(ResourceId::to_string) })
    }
}

impl Row<'_> {
    fn json(&self) -> Json {
        let Row { listed: Listed { id, title, place }, state, about } = self;
        let mut row = json!({
            "address": id.to_string(), "kind": id.kind.name, "name": id.name, "title": title, "declared": place,
            "state": state.word(),
        });
        let mut set = |name: &str, value: Json| row[name] = value;
        if let State::Changed(action, origin) = state {
            set("action", action.name().into());
            set("drift", (*origin == Origin::Drift).into());
        }
        match about {
            Some(About::Change { details, notes }) => {
                set("details", json!(details));
                set("notes", json!(notes));
            }
            Some(About::Blocked { reason, hint }) => {
                set("reason", json!(reason));
                set("hint", json!(hint));
            }
            None => {}
        }
        row
    }
}
