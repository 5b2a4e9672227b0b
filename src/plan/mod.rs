//! The plan: computed by one pure function from what is desired, what is observed, and the time.

pub mod budget;
pub mod pools;
pub mod render;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::change::{Action, Blocked, Change, Origin, ResourceId, Revision};
use crate::kinds::{Desired, Observed, Step};
use crate::resource::host::diff::SessionState;
use crate::resource::instance::placement::Considered;
use crate::resource::session::SessionId;
use crate::resource::{Asked, Declared, Needs, Resource, Verdict, digest, hex, host, instance, server};

/// A drift that had to be put right this many turns in a row is left alone.
pub const FLAPPING: i64 = 3;

/// What is known of resources beside their rows.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Digest of the wish that was last applied.
    pub applied: HashMap<(String, String), String>,
    /// Digest of the wish, and how many turns in a row its drift was put right.
    pub flaps: HashMap<(String, String), (String, i64)>,
    /// Why nothing is to be applied to a resource; kind and name are empty for "everything".
    pub suspended: BTreeMap<(String, String), String>,
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
    pub now: DateTime<Utc>,
    pub changes: Vec<Planned>,
    pub blocked: Vec<Blocked>,
    /// Things that a reader should know and that ask for no action, as `kind/name` and text.
    pub notes: Vec<(ResourceId, String)>,
    /// In sync, but not yet (or otherwise) noted as applied.
    pub adopted: Vec<(ResourceId, String)>,
    /// In sync again after a flap.
    pub calmed: Vec<ResourceId>,
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
    pub flap: Flap,
}

/// What is to be noted of a change that may have been made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flap {
    /// Nothing: the files changed, and nothing was noted before.
    None,
    /// The files changed: what was noted before is over.
    Over,
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
    /// Nothing at all, yet.
    fn empty(header: Header, now: DateTime<Utc>) -> Self {
        Plan {
            header,
            now,
            changes: Vec::new(),
            blocked: Vec::new(),
            notes: Vec::new(),
            adopted: Vec::new(),
            calmed: Vec::new(),
            unchanged: 0,
            unmanaged: 0,
            managed: BTreeMap::new(),
            considered: BTreeMap::new(),
        }
    }

    /// A plan that changes nothing: for whoever asks what is there.
    pub fn of_nothing(header: Header, now: DateTime<Utc>) -> Self {
        Plan::empty(header, now)
    }

    /// The plan of a command by hand: one change, which leaves no wish behind.
    pub fn of_one(header: Header, now: DateTime<Utc>, change: Change<Step>) -> Self {
        let changes = vec![Planned { change, digest: None, flap: Flap::None }];
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
        let mut hasher = Sha256::new();
        hasher.update(self.header.environment.as_bytes());
        for planned in &self.changes {
            hasher.update([0]);
            hasher.update(render::json_change(&planned.change).to_string().as_bytes());
        }
        hex(&hasher.finalize()[..16])
    }
}

/// Computes the plan. Pure: the same pictures and the same time give the same plan.
pub fn plan(header: Header, desired: &Desired, observed: &Observed, ledger: &Ledger, terms: &Terms) -> Plan {
    let mut draft = Draft { plan: Plan::empty(header, terms.now), observed, ledger, terms };
    draft.kind(&desired.sessions, &observed.sessions, &mut (), Step::Session);
    draft.hosts(desired);
    let mut scope = server::diff::Scope { observed: &observed.servers };
    draft.kind(&desired.servers, &observed.servers, &mut scope, |step| Step::Server(Box::new(step)));
    draft.instances(desired);
    draft.retired_keys(desired, observed);
    draft.fills(desired);
    draft.plan
}

/// The ids on both sides of one that is not there, at most four.
pub fn nearest(id: SessionId, observed: &Observed) -> Vec<SessionId> {
    let below = observed.sessions.range(..id).rev().take(2).map(|(id, _)| *id);
    let above = observed.sessions.range(id..).take(2).map(|(id, _)| *id);
    let mut near: Vec<SessionId> = below.chain(above).collect();
    near.sort();
    near
}

struct Draft<'a> {
    plan: Plan,
    observed: &'a Observed,
    ledger: &'a Ledger,
    terms: &'a Terms,
}

impl Draft<'_> {
    fn hosts(&mut self, desired: &Desired) {
        let observed = self.observed;
        let created: HashSet<SessionId> =
            self.plan.changes.iter().filter_map(|planned| planned.change.step.session()).collect();
        let now = self.terms.now;
        let state = |id: SessionId| match observed.sessions.get(&id) {
            Some(session) => SessionState::Present { live: session.is_live(now) },
            None if created.contains(&id) => SessionState::Present { live: false },
            None if desired.sessions.contains_key(&id) => SessionState::Waiting,
            None => SessionState::Missing { near: nearest(id, observed) },
        };
        let actor = self.plan.header.actor.clone();
        let mut scope = host::diff::Scope {
            now,
            actor: &actor,
            claim_life: self.terms.claim_life,
            session: &state,
            schedule_left: self.terms.schedule_limit,
        };
        self.kind(&desired.hosts, &observed.hosts, &mut scope, |step| Step::Host(Box::new(step)));
    }

    fn instances(&mut self, desired: &Desired) {
        let environment = self.plan.header.environment.clone();
        let mut scope = instance::diff::Scope {
            environment: &environment,
            servers: pools::candidates(&self.plan, desired, self.observed),
            taken: pools::taken(self.observed),
            has_broker: self.terms.has_broker,
            considered: BTreeMap::new(),
        };
        self.kind(&desired.instances, &self.observed.instances, &mut scope, |step| Step::Instance(Box::new(step)));
        let named = |(key, considered)| (ResourceId::new(instance::KIND, key), considered);
        self.plan.considered = scope.considered.into_iter().map(named).collect();
    }

    fn kind<R: Resource>(
        &mut self,
        desired: &BTreeMap<R::Key, Declared<R>>,
        observed: &BTreeMap<R::Key, R::Observed>,
        scope: &mut R::Scope<'_>,
        wrap: fn(R::Step) -> Step,
    ) {
        for (key, declared) in desired {
            let id = ResourceId::new(R::KIND, key);
            if self.terms.target.as_ref().is_some_and(|target| *target != id) {
                continue;
            }
            let observed = observed.get(key);
            *self.plan.managed.entry(R::KIND.name).or_default() += u64::from(observed.is_some());
            let wish = Wish {
                digest: digest(&declared.value),
                protected: declared.protect.then(|| declared.place.to_string()),
            };
            let origin = self.origin(&id, &wish.digest);
            let asked = Asked { id: &id, key, desired: &declared.value, observed, origin };
            match R::diff(&asked, scope) {
                Verdict::InSync => self.in_sync(id, wish.digest),
                Verdict::Blocked(blocked) => self.plan.blocked.push(blocked),
                Verdict::Change(change) => {
                    let flap = self.flap(&change, &wish);
                    if let Some(blocked) = self.held(&change, R::needs(&change.step), &wish, flap) {
                        R::withdraw(&change, scope);
                        self.plan.blocked.push(blocked);
                        continue;
                    }
                    let change = change.map_step(wrap);
                    self.plan.changes.push(Planned { change, digest: Some(wish.digest), flap });
                }
            }
        }
        if self.terms.target.is_none() {
            self.plan.unmanaged += observed.keys().filter(|key| !desired.contains_key(key)).count() as u64;
        }
    }

    /// Drift: the files still say what was last applied, so it is the database that moved.
    fn origin(&self, id: &ResourceId, digest: &str) -> Origin {
        match self.ledger.applied.get(&key(id)) {
            Some(applied) if applied == digest => Origin::Drift,
            _ => Origin::Intended,
        }
    }

    fn in_sync(&mut self, id: ResourceId, digest: String) {
        self.plan.unchanged += 1;
        let key = key(&id);
        if self.ledger.flaps.contains_key(&key) {
            self.plan.calmed.push(id.clone());
        }
        if self.ledger.applied.get(&key) != Some(&digest) {
            self.plan.adopted.push((id, digest));
        }
    }

    fn flap<S>(&self, change: &Change<S>, wish: &Wish) -> Flap {
        match (change.origin, self.ledger.flaps.get(&key(&change.id))) {
            (Origin::Intended, None) => Flap::None,
            (Origin::Intended, Some(_)) => Flap::Over,
            (Origin::Drift, Some((digest, turns))) if *digest == wish.digest => Flap::Turns(turns + 1),
            (Origin::Drift, _) => Flap::Turns(1),
        }
    }

    /// Why a change that could be made is not: somebody said so, or it does not last.
    fn held<S>(&self, change: &Change<S>, needs: Needs, wish: &Wish, flap: Flap) -> Option<Blocked> {
        let id = &change.id;
        let blocked = |reason: String, hint: String| Some(Blocked { id: id.clone(), reason, hint });
        let suspended = &self.ledger.suspended;
        let for_all = (String::new(), String::new());
        if let Some(why) = suspended.get(&key(id)) {
            return blocked(format!("it is suspended {why}"), format!("`reconcile resume {id} --reason R`"));
        }
        if let Some(why) = suspended.get(&for_all) {
            return blocked(format!("applying is suspended {why}"), "`reconcile resume --reason R`".to_owned());
        }
        if let Some(place) = wish.protected.as_ref().filter(|_| change.action != Action::Create) {
            return blocked(format!("it is protected in {place}"), "take `protect: true` away to change it".to_owned());
        }
        let needs_key = needs.key || (needs.handoff && self.terms.is_handoff_sealed);
        if let (true, Keys::Unusable { reason, hint }) = (needs_key, &self.terms.keys) {
            return blocked(reason.clone(), hint.clone());
        }
        let waits = || "it goes on by itself when that answers; see `reconcile doctor`".to_owned();
        if let (true, Some(trouble)) = (needs.handoff, &self.observed.handoff_trouble) {
            return blocked(format!("the hand-off cannot be used now: {trouble}"), waits());
        }
        if let (true, Some(trouble)) = (needs.broker, &self.observed.broker_trouble) {
            return blocked(format!("the broker cannot be used now: {trouble}"), waits());
        }
        if matches!(flap, Flap::Turns(turns) if turns > FLAPPING) {
            let reason = format!("it is flapping: somebody undid this change {FLAPPING} turns in a row");
            return blocked(reason, "find who writes it, then change its lines in the files".to_owned());
        }
        None
    }

    /// Hosts whose hash was made with a key that is no longer the first of the ring.
    fn retired_keys(&mut self, desired: &Desired, observed: &Observed) {
        let keys = match &self.terms.keys {
            Keys::Known(keys) => keys.as_slice(),
            Keys::Made | Keys::Unusable { .. } => &[],
        };
        for (session, host) in desired.hosts.keys().filter_map(|id| Some((id, observed.hosts.get(id)?))) {
            let id = ResourceId::new(host::KIND, session);
            if self.terms.target.as_ref().is_some_and(|target| *target != id) || !host.is_active {
                continue;
            }
            if let (Some(current), Some(key)) = (keys.first(), &host.key_id)
                && key != current
            {
                let text = match keys.contains(key) {
                    true => format!("its hash was made with the retired key {key}; the next rotation uses {current}"),
                    false => format!("its key {key} is not in the ring: its GUID cannot be verified until it is"),
                };
                self.plan.notes.push((id.clone(), text));
            }
            if host.expires_at.is_some_and(|expires| expires <= self.terms.now) {
                self.plan.notes.push((id, "its GUID has expired; raise rotation for a new one".to_owned()));
            }
        }
    }
}

impl Draft<'_> {
    /// Servers that are nearly full, cannot be asked, or stand in no file and hold something.
    fn fills(&mut self, desired: &Desired) {
        for (id, note) in pools::notes(&self.plan, desired, self.observed) {
            if self.terms.target.as_ref().is_none_or(|target| *target == id) {
                self.plan.notes.push((id, note));
            }
        }
    }
}

struct Wish {
    digest: String,
    /// Where a file says `protect: true`.
    protected: Option<String>,
}

/// The ledger's name for a resource.
pub fn key(id: &ResourceId) -> (String, String) {
    (id.kind.name.to_owned(), id.name.clone())
}
