//! The plan: computed by one pure function from what is desired, what is observed, and the time.

pub mod budget;
mod draft;
pub mod lineage;
mod notes;
pub mod pools;
mod protect;
pub mod render;
pub mod states;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::change::{Action, Blocked, Change, Failed, FieldDiff, Origin, ResourceId, Revision, Value, hex};
use crate::kinds::Step;
use crate::resource::instance::placement::Considered;
use crate::resource::roll::Marks;
pub use budget::Held;
pub use draft::plan;

/// A drift that had to be put right this many turns in a row is left alone.
pub const FLAPPING: i64 = 3;

/// What is known of resources beside their rows.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Digest of the wish that was last applied; of sessions, only where the row is not as declared.
    pub applied: HashMap<ResourceId, String>,
    /// Of the sessions that are as declared, by their number in the roll: that wish is not what was noted as applied.
    pub unnoted: Marks,
    /// What the database has as protected: of sessions, only those that no file manages and one lifts.
    pub protected: HashSet<ResourceId>,
    /// The declared sessions that the database has as protected, by their number.
    pub protected_sessions: Marks,
    /// Digest of the wish, and how many turns in a row its drift was put right.
    pub flaps: HashMap<ResourceId, (String, i64)>,
    /// Why nothing is to be applied to a resource.
    pub suspended: BTreeMap<ResourceId, String>,
    /// Why nothing is to be applied to any.
    pub all_suspended: Option<String>,
    /// What the last runs failed at.
    pub failures: BTreeMap<ResourceId, Failed>,
}

/// Where the plan is for: its first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub environment: String,
    pub catalog: String,
    pub driver: &'static str,
    pub state: String,
    pub revision: Revision,
    /// Who asks for the changes that name nobody.
    pub actor: String,
    /// There is no schema of ours yet: all of it is still to be made.
    pub is_new: bool,
}

impl Header {
    /// Where there is no schema of ours: who makes it, and whose the database is then.
    pub fn preparation(&self) -> Option<String> {
        let Header { environment, driver, is_new, catalog: _, state: _, revision: _, actor: _ } = self;
        match (is_new, *driver) {
            (false, _) => None,
            (true, "sqlite") => Some(format!("schema will be created, database will be stamped `{environment}`")),
            // On a server nobody makes tables unasked.
            (true, _) => Some(format!(
                "the schema is missing: run `reconcile migrate` first, which stamps the database `{environment}`"
            )),
        }
    }
}

/// What the planner goes by, beside the two pictures.
#[derive(Clone, Debug)]
pub struct Terms {
    pub now: DateTime<Utc>,
    /// How long the hand-off keeps a secret for its reader.
    pub claim_life: Duration,
    /// Scheduled rotations in one turn, at most.
    pub schedule_limit: u64,
    /// Plan this one resource only.
    pub target: Option<ResourceId>,
    pub keys: Keys,
    /// The hand-off seals what it keeps with a key of the same ring.
    pub is_handoff_sealed: bool,
    /// There is a broker for tasks.
    pub has_broker: bool,
}

/// What is known of the keys that host GUIDs are hashed with.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Their ids, the current one first.
    Known(Vec<String>),
    /// None yet: the first apply makes one.
    Made,
    /// They cannot be used, so that nothing can be minted: why, and the way out.
    Unusable { reason: String, hint: String },
}

/// A list of changes in the order in which they are applied, and why the rest is not among them.
#[derive(Clone, Debug)]
pub struct Plan {
    pub header: Header,
    /// Whether the commit may follow the one that was applied last.
    pub lineage: lineage::Lineage,
    pub now: DateTime<Utc>,
    pub changes: Vec<Planned>,
    pub blocked: Vec<Blocked>,
    /// Those of the blocked that were changed in the database since they were last applied, and stay so for now.
    pub kept_drift: Vec<ResourceId>,
    /// Things that a reader should know and that ask for no action, as `kind/name` and text.
    pub notes: Vec<(ResourceId, String)>,
    /// How full the servers are.
    pub fills: Vec<pools::Fill>,
    /// In sync, but not yet (or otherwise) noted as applied.
    pub adopted: Vec<(ResourceId, String)>,
    /// In sync again after a flap.
    pub calmed: Vec<ResourceId>,
    /// To be recorded as protected beside the changes.
    pub protected: Vec<ResourceId>,
    /// The changes that wait for a person, and why.
    pub held: Vec<Held>,
    /// Digests of approvals by which changes are not held.
    pub approved: Vec<String>,
    /// What the last runs failed at, as far as it is planned here.
    pub failures: BTreeMap<ResourceId, Failed>,
    pub unchanged: u64,
    pub unmanaged: u64,
    /// Declared resources that exist already, by kind: what the budget is a share of.
    pub managed: BTreeMap<&'static str, u64>,
    /// How the servers were judged for each instance that looked for one.
    pub considered: BTreeMap<ResourceId, Vec<Considered>>,
}

/// A change, and what is to be noted when it is applied.
#[derive(Clone, Debug)]
pub struct Planned {
    pub change: Change<Step>,
    /// Digest of the wish; `None` for a command by hand, which leaves no wish behind.
    pub digest: Option<String>,
    pub noted: Noted,
    pub flap: Flap,
    pub protect: Protect,
    /// The number in [`Plan::held`] of the reason for which it waits; `None`: it is applied.
    pub held: Option<usize>,
}

/// What is to be noted of a resource's protection, in the transaction of its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protect {
    /// It stays as it is.
    Keep,
    Record,
    /// The protection of this resource ends: the changed one, or what it was called before.
    Lift(ResourceId),
    /// A command: it does nothing to what is protected when it writes.
    Respect,
}

/// What the ledger has as applied to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    Nothing,
    /// Another wish than this one.
    Other,
    This,
}

/// What is to be noted of a change that may have been made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flap {
    /// Nothing: the files changed, and nothing was noted before.
    None,
    /// The files changed: what was noted before is over.
    Over,
    /// This drift is put right for the first time, and nothing was noted before.
    First,
    /// Turns in a row, with this one, that this drift is put right.
    Turns(i64),
}

/// Counts by action, for the last line and for exit codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub create: u64,
    pub update: u64,
    pub rotate: u64,
    pub resume: u64,
    pub blocked: u64,
    pub drift: u64,
    pub unchanged: u64,
    pub unmanaged: u64,
}

impl Plan {
    /// Says at each resource that is still to be done that runs fail at it, and with what.
    fn recall(&mut self, failures: &BTreeMap<ResourceId, Failed>, target: Option<&ResourceId>) {
        let planned = failures.iter().filter(|(id, _)| target.is_none_or(|target| target == *id));
        self.failures = planned.map(|(id, failed)| (id.clone(), failed.clone())).collect();
        if self.failures.is_empty() {
            return;
        }
        for change in self.changes.iter_mut().map(|planned| &mut planned.change) {
            change.notes.extend(self.failures.get(&change.id).map(Failed::sentence));
        }
        let blocked = self.blocked.iter().map(|blocked| &blocked.id);
        self.notes.extend(blocked.filter_map(|id| Some((id.clone(), self.failures.get(id)?.sentence()))));
    }

    /// Nothing at all, yet.
    fn empty(header: Header, now: DateTime<Utc>) -> Self {
        Plan {
            header,
            lineage: lineage::Lineage::default(),
            now,
            changes: Vec::new(),
            blocked: Vec::new(),
            kept_drift: Vec::new(),
            notes: Vec::new(),
            fills: Vec::new(),
            adopted: Vec::new(),
            calmed: Vec::new(),
            protected: Vec::new(),
            held: Vec::new(),
            approved: Vec::new(),
            failures: BTreeMap::new(),
            unchanged: 0,
            unmanaged: 0,
            managed: BTreeMap::new(),
            considered: BTreeMap::new(),
        }
    }

    /// Adds what was planned of other resources, under the same header.
    fn append(&mut self, part: Plan) {
        let Plan {
            header: _,
            lineage: _,
            now: _,
            changes,
            blocked,
            kept_drift,
            notes,
            fills,
            adopted,
            calmed,
            protected,
            // Nothing is held before the plan is whole.
            held: _,
            approved: _,
            failures,
            unchanged,
            unmanaged,
            managed,
            considered,
        } = part;
        self.protected.extend(protected);
        self.fills.extend(fills);
        self.changes.extend(changes);
        self.blocked.extend(blocked);
        self.kept_drift.extend(kept_drift);
        self.notes.extend(notes);
        self.adopted.extend(adopted);
        self.calmed.extend(calmed);
        self.failures.extend(failures);
        self.unchanged += unchanged;
        self.unmanaged += unmanaged;
        managed.into_iter().for_each(|(kind, count)| *self.managed.entry(kind).or_default() += count);
        self.considered.extend(considered);
    }

    /// A plan that changes nothing: for whoever asks what is there.
    pub fn of_nothing(header: Header, now: DateTime<Utc>) -> Self {
        Plan::empty(header, now)
    }

    /// The plan of a manual command: one change, which leaves no wish behind.
    pub fn of_one(header: Header, now: DateTime<Utc>, change: Change<Step>, protect: Protect) -> Self {
        let (noted, flap) = (Noted::Nothing, Flap::None);
        let changes = vec![Planned { change, digest: None, noted, flap, protect, held: None }];
        Plan { changes, ..Plan::empty(header, now) }
    }

    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            blocked: self.blocked.len() as u64,
            unchanged: self.unchanged,
            unmanaged: self.unmanaged,
            ..Summary::default()
        };
        for planned in &self.changes {
            match planned.change.action {
                Action::Create => summary.create += 1,
                Action::Update => summary.update += 1,
                Action::Rotate => summary.rotate += 1,
                Action::Resume => summary.resume += 1,
            }
            summary.drift += u64::from(planned.change.origin == Origin::Drift);
        }
        summary
    }

    /// A digest of what would be done: the same changes, the same digest, whenever it is planned. 32 hexadecimal digits.
    pub fn digest(&self) -> String {
        digest(&self.header.environment, self.changes.iter())
    }
}

fn digest<'p>(environment: &str, changes: impl Iterator<Item = &'p Planned>) -> String {
    /// The hash is told of so many bytes at once, and not of each text by itself.
    const ENOUGH: usize = 64 << 10;
    let (mut hasher, mut told) = (Sha256::new(), Vec::with_capacity(2 * ENOUGH));
    feed(&mut told, environment);
    for planned in changes {
        let Change { id, action, origin, fields, unknown, actor, reason, .. } = &planned.change;
        [id.kind.name, &id.name, action.name(), origin.name()].into_iter().for_each(|text| feed(&mut told, text));
        told.extend([fields.len(), unknown.len()].map(|count| count.min(255) as u8));
        for FieldDiff { field, before, after } in fields {
            feed(&mut told, field);
            feed_value(&mut told, before);
            feed_value(&mut told, after);
        }
        unknown.iter().for_each(|field| feed(&mut told, field));
        for text in [actor, reason] {
            told.push(u8::from(text.is_some()));
            feed(&mut told, text.as_deref().unwrap_or_default());
        }
        if told.len() >= ENOUGH {
            hasher.update(&told);
            told.clear();
        }
    }
    hasher.update(&told);
    hex(&hasher.finalize()[..16])
}

/// A text with its length before it, so that two texts are not taken for two others.
fn feed(told: &mut Vec<u8>, text: &str) {
    told.extend((text.len() as u64).to_le_bytes());
    told.extend(text.as_bytes());
}

fn feed_value(told: &mut Vec<u8>, value: &Value) {
    match value {
        Value::None => told.push(0),
        Value::Flag(flag) => told.extend([1, u8::from(*flag)]),
        Value::Int(int) => {
            told.push(2);
            told.extend(int.to_le_bytes());
        }
        Value::Text(text) | Value::Word(text) => {
            told.push(3);
            feed(told, text);
        }
        Value::Time(time) => {
            told.push(4);
            told.extend(time.timestamp_micros().to_le_bytes());
        }
    }
}
