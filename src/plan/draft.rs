//! How a plan is put together, kind after kind: what the rooms answer, and what is held back.

use std::collections::{BTreeMap, HashSet};

use super::{FLAPPING, Flap, Header, Keys, Ledger, Noted, Plan, Planned, Terms, notes, pools};
use crate::change::{Action, Blocked, Change, Obstacle, Origin, ResourceId};
use crate::kinds::{Desired, Observed, Step};
use crate::parallel::side_by_side;
use crate::resource::host::diff::SessionState;
use crate::resource::roll::Roll;
use crate::resource::session::{Session, SessionId, packed};
use crate::resource::{Asked, Declared, Needs, Resource, Verdict, host, instance, server};

/// Computes the plan. Pure: the same pictures and the same time give the same plan.
pub fn plan(header: Header, desired: &Desired, observed: &Observed, ledger: &Ledger, terms: &Terms) -> Plan {
    let mut draft = Draft { plan: Plan::empty(header, terms.now), observed, ledger, terms };
    draft.sessions(desired);
    draft.hosts(desired);
    let mut scope = server::diff::Scope { declared: &desired.servers, observed: &observed.servers };
    draft.kind(&desired.servers, &observed.servers, &mut scope, |step| Step::Server(Box::new(step)));
    // The row of a server that is renamed stands under a name that no file knows any more.
    let renamed = draft.plan.changes.iter().filter(|planned| planned.change.step.renames()).count() as u64;
    draft.plan.unmanaged = draft.plan.unmanaged.saturating_sub(renamed);
    draft.instances(desired);
    let noted = notes::all(desired, observed, terms);
    draft.plan.notes.extend(noted);
    draft.fills(desired);
    draft.suspensions(desired);
    draft.plan
}

struct Draft<'a> {
    plan: Plan,
    observed: &'a Observed,
    ledger: &'a Ledger,
    terms: &'a Terms,
}

impl Draft<'_> {
    /// Sessions are many, and most are as declared: only the others are looked at one by one.
    fn sessions(&mut self, desired: &Desired) {
        let (declared, seen) = (&desired.sessions, &self.observed.sessions);
        if let Some(target) = &self.terms.target {
            let key = target.name.parse().ok().map(SessionId).filter(|_| target.kind == Session::KIND);
            let number = key.and_then(|key| declared.number(&key));
            return number.into_iter().for_each(|number| self.session(declared, number));
        }
        self.unmet(declared, &seen.met.unset(declared.len()).collect::<Vec<_>>());
        let met = seen.met.count() as u64;
        self.plan.unchanged += met;
        *self.plan.managed.entry(Session::KIND.name).or_default() += met;
        for number in self.ledger.unnoted.iter().filter(|number| seen.met.has(*number)) {
            self.adopt(declared, number);
        }
        let flapped = self.ledger.flaps.keys().filter(|id| id.kind == Session::KIND);
        let number = |id: &ResourceId| declared.number(&SessionId(id.name.parse().ok()?));
        let calm = flapped.filter(|id| number(id).is_some_and(|number| seen.met.has(number)));
        self.plan.calmed.extend(calm.cloned());
        let kept = seen.rows.keys().filter(|key| declared.number(key).is_some_and(|number| !seen.met.has(number)));
        self.plan.unmanaged += seen.total.saturating_sub(met + kept.count() as u64);
    }

    /// The sessions with these numbers, in their order. Each is for itself, so that many are shared out.
    fn unmet(&mut self, declared: &Roll<Session>, numbers: &[usize]) {
        /// So many are done in a few milliseconds.
        const SHARE: usize = 4_000;
        let part = |numbers: &[usize]| {
            let mut plan = Plan::empty(self.plan.header.clone(), self.plan.now);
            plan.changes.reserve(numbers.len());
            let mut part = Draft { plan, observed: self.observed, ledger: self.ledger, terms: self.terms };
            numbers.iter().for_each(|number| part.session(declared, *number));
            part.plan
        };
        let parts = side_by_side(numbers.chunks(SHARE).collect(), part);
        self.plan.changes.reserve(parts.iter().map(|part| part.changes.len()).sum());
        parts.into_iter().for_each(|part| self.plan.append(part));
    }

    fn session(&mut self, declared: &Roll<Session>, number: usize) {
        if self.observed.sessions.met.has(number) {
            self.plan.unchanged += 1;
            *self.plan.managed.entry(Session::KIND.name).or_default() += 1;
        } else if let Some((key, wish)) = declared.declared(number) {
            self.resource(&key, &wish, self.observed.sessions.rows.get(&key), &mut (), Step::Session);
        }
    }

    /// Notes a wish as applied that was found fulfilled.
    fn adopt(&mut self, declared: &Roll<Session>, number: usize) {
        if let Some(key) = declared.key(number) {
            let digest = packed::digest(declared.packed(number));
            self.plan.adopted.push((ResourceId::new(Session::KIND, key), digest));
        }
    }

    fn hosts(&mut self, desired: &Desired) {
        let observed = self.observed;
        let created: HashSet<SessionId> =
            self.plan.changes.iter().filter_map(|planned| planned.change.step.session()).collect();
        let now = self.terms.now;
        let state = |id: SessionId| match observed.sessions.rows.get(&id) {
            Some(session) => SessionState::Present { live: session.is_live(now) },
            None if created.contains(&id) => SessionState::Present { live: false },
            None if desired.sessions.contains_key(&id) => SessionState::Waiting,
            None => SessionState::Missing { near: observed.sessions.near.get(&id).cloned().unwrap_or_default() },
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
            releases: &self.observed.releases,
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
            self.resource(key, declared, observed.get(key), scope, wrap);
        }
        if self.terms.target.is_none() {
            self.plan.unmanaged += observed.keys().filter(|key| !desired.contains_key(key)).count() as u64;
        }
    }

    fn resource<R: Resource>(
        &mut self,
        key: &R::Key,
        declared: &Declared<R>,
        observed: Option<&R::Observed>,
        scope: &mut R::Scope<'_>,
        wrap: fn(R::Step) -> Step,
    ) {
        let id = ResourceId::new(R::KIND, key);
        if self.terms.target.as_ref().is_some_and(|target| *target != id) {
            return;
        }
        *self.plan.managed.entry(R::KIND.name).or_default() += u64::from(observed.is_some());
        let protected = declared.protect.then(|| declared.place.to_string());
        let wish = Wish { digest: declared.value.digest(), protected };
        let noted = self.noted(&id, &wish.digest);
        // The files still say what was last applied, so it is the database that moved.
        let origin = if noted == Noted::This { Origin::Drift } else { Origin::Intended };
        let asked = Asked { id: &id, key, desired: &declared.value, observed, origin };
        match R::diff(&asked, scope) {
            Verdict::InSync => self.in_sync(id, wish.digest),
            Verdict::Blocked(blocked) => self.plan.blocked.push(blocked),
            Verdict::Change(change) => {
                let flap = self.flap(&change, &wish);
                if let Some(blocked) = self.held(&change, R::needs(&change.step), &wish, flap) {
                    R::withdraw(&change, scope);
                    self.plan.blocked.push(blocked);
                    return;
                }
                let change = change.map_step(wrap);
                self.plan.changes.push(Planned { change, digest: Some(wish.digest), noted, flap });
            }
        }
    }

    fn noted(&self, id: &ResourceId, digest: &str) -> Noted {
        match self.ledger.applied.get(id) {
            None => Noted::Nothing,
            Some(applied) if applied == digest => Noted::This,
            Some(_) => Noted::Other,
        }
    }

    fn in_sync(&mut self, id: ResourceId, digest: String) {
        self.plan.unchanged += 1;
        if self.ledger.flaps.contains_key(&id) {
            self.plan.calmed.push(id.clone());
        }
        if self.ledger.applied.get(&id) != Some(&digest) {
            self.plan.adopted.push((id, digest));
        }
    }

    fn flap<S>(&self, change: &Change<S>, wish: &Wish) -> Flap {
        match (change.origin, self.ledger.flaps.get(&change.id)) {
            (Origin::Intended, None) => Flap::None,
            (Origin::Intended, Some(_)) => Flap::Over,
            (Origin::Drift, Some((digest, turns))) if *digest == wish.digest => Flap::Turns(turns + 1),
            (Origin::Drift, Some(_)) => Flap::Turns(1),
            (Origin::Drift, None) => Flap::First,
        }
    }

    /// Why a change that could be made is not: somebody said so, or it does not last.
    fn held<S>(&self, change: &Change<S>, needs: Needs, wish: &Wish, flap: Flap) -> Option<Blocked> {
        let id = &change.id;
        let blocked = |obstacle, reason: String, hint: String| Some(Blocked { id: id.clone(), obstacle, reason, hint });
        if let Some(suspended) = self.ledger.suspension(id) {
            return Some(suspended);
        }
        if let Some(place) = wish.protected.as_ref().filter(|_| change.action != Action::Create) {
            return Some(Blocked::protected(id.clone(), place));
        }
        let needs_key = needs.key || (needs.handoff && self.terms.is_handoff_sealed);
        if let (true, Keys::Unusable { reason, hint }) = (needs_key, &self.terms.keys) {
            return blocked(Obstacle::Keys, reason.clone(), hint.clone());
        }
        let waits = || "it goes on by itself when that answers; see `reconcile doctor`".to_owned();
        if let (true, Some(trouble)) = (needs.handoff, &self.observed.handoff_trouble) {
            return blocked(Obstacle::HandOff, format!("the hand-off cannot be used now: {trouble}"), waits());
        }
        if let (true, Some(trouble)) = (needs.broker, &self.observed.broker_trouble) {
            return blocked(Obstacle::Broker, format!("the broker cannot be used now: {trouble}"), waits());
        }
        if matches!(flap, Flap::Turns(turns) if turns > FLAPPING) {
            let reason = format!("it is flapping: somebody undid this change {FLAPPING} turns in a row");
            return blocked(
                Obstacle::Flapping,
                reason,
                "find who writes it, then change its lines in the files".to_owned(),
            );
        }
        None
    }
}

impl Draft<'_> {
    /// What is suspended and would not be changed now either: it is shown all the same, before it is forgotten.
    fn suspensions(&mut self, desired: &Desired) {
        for id in self.ledger.suspended.keys() {
            let is_left_out = self.terms.target.as_ref().is_some_and(|target| target != id)
                || self.plan.blocked.iter().any(|blocked| blocked.id == *id)
                || desired.place(id).is_none();
            if let (false, Some(Blocked { id, reason, hint, obstacle: _ })) = (is_left_out, self.ledger.suspension(id))
            {
                self.plan.notes.push((id, format!("{reason}; {hint}")));
            }
        }
    }

    /// Servers that are nearly full, cannot be asked, or stand in no file and hold something.
    fn fills(&mut self, desired: &Desired) {
        let (notes, fills) = pools::notes(&self.plan, desired, self.observed);
        self.plan.fills = fills;
        for (id, note) in notes {
            if self.terms.target.as_ref().is_none_or(|target| *target == id) {
                self.plan.notes.push((id, note));
            }
        }
    }
}

impl Ledger {
    /// Why nothing is to be applied to `id`, and the way out; `None`: it is not suspended.
    pub fn suspension(&self, id: &ResourceId) -> Option<Blocked> {
        let (reason, hint) = match (self.suspended.get(id), &self.all_suspended) {
            (Some(why), _) => (format!("it is suspended {why}"), format!("`reconcile resume {id} --reason R`")),
            (None, Some(why)) => (format!("applying is suspended {why}"), "`reconcile resume --reason R`".to_owned()),
            (None, None) => return None,
        };
        Some(Blocked { id: id.clone(), obstacle: Obstacle::Suspended, reason, hint })
    }
}

struct Wish {
    digest: String,
    /// Where a file says `protect: true`.
    protected: Option<String>,
}
