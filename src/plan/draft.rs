//! How a plan is put together, kind after kind: what the rooms answer, and what is held back.

use std::collections::{BTreeMap, HashSet};

use super::protect::{Asks, lifting};
use super::{FLAPPING, Flap, Header, Keys, Ledger, Noted, Plan, Planned, Protect, Terms, notes, pools};
use crate::change::{Action, Blocked, Change, OURSELVES, Obstacle, Origin, ResourceId};
use crate::kinds::{self, Desired, Observed, Step};
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
    // The row of a server that is to be renamed stands under a name that files say as `formerly` alone.
    let renamed = desired.former_names(&observed.servers).len() as u64;
    draft.plan.unmanaged = draft.plan.unmanaged.saturating_sub(renamed);
    draft.instances(desired);
    draft.lifts(desired);
    let noted = notes::all(desired, observed, terms);
    draft.plan.notes.extend(noted);
    draft.fills(desired);
    draft.suspensions(desired);
    draft.plan.recall(&ledger.failures, terms.target.as_ref());
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
        let (met, recorded) = (&seen.met, &self.ledger.protected_sessions);
        let lifted = declared.lifts().and(recorded).and(met);
        self.unmet(declared, &met.and_not(&lifted).unset(declared.len()).collect::<Vec<_>>());
        let quiet = (met.count() - lifted.count()) as u64;
        self.plan.unchanged += quiet;
        *self.plan.managed.entry(Session::KIND.name).or_default() += quiet;
        for number in declared.protects().and(met).and_not(recorded).iter() {
            self.plan.protected.extend(declared.key(number).map(|key| ResourceId::new(Session::KIND, key)));
        }
        for number in self.ledger.unnoted.iter().filter(|number| seen.met.has(*number)) {
            self.adopt(declared, number);
        }
        let flapped = self.ledger.flaps.keys().filter(|id| id.kind == Session::KIND);
        let number = |id: &ResourceId| declared.number(&SessionId(id.name.parse().ok()?));
        let calm = flapped.filter(|id| number(id).is_some_and(|number| seen.met.has(number)));
        self.plan.calmed.extend(calm.cloned());
        let kept = seen.rows.keys().filter(|key| declared.number(key).is_some_and(|number| !seen.met.has(number)));
        self.plan.unmanaged += seen.total.saturating_sub(seen.met.count() as u64 + kept.count() as u64);
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
        let Some((key, wish)) = declared.declared(number) else { return };
        let is_recorded = self.ledger.protected_sessions.has(number);
        if !self.observed.sessions.met.has(number) {
            let row = self.observed.sessions.rows.get(&key);
            return self.resource((&key, &wish), row, is_recorded, &mut (), Step::Session);
        }
        // As declared, and no row of it is kept.
        *self.plan.managed.entry(Session::KIND.name).or_default() += 1;
        let id = ResourceId::new(Session::KIND, key);
        match Asks::of(&id, wish.protect, is_recorded) {
            Asks::Lift(protected) => self.lift(&id, protected),
            Asks::Record => {
                self.plan.unchanged += 1;
                self.plan.protected.push(id);
            }
            Asks::Nothing { .. } => self.plan.unchanged += 1,
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
            let is_recorded = self.ledger.protected.contains(&ResourceId::new(R::KIND, key));
            self.resource((key, declared), observed.get(key), is_recorded, scope, wrap);
        }
        if self.terms.target.is_none() {
            self.plan.unmanaged += observed.keys().filter(|key| !desired.contains_key(key)).count() as u64;
        }
    }

    fn resource<R: Resource>(
        &mut self,
        (key, declared): (&R::Key, &Declared<R>),
        observed: Option<&R::Observed>,
        is_recorded: bool,
        scope: &mut R::Scope<'_>,
        wrap: fn(R::Step) -> Step,
    ) {
        let id = ResourceId::new(R::KIND, key);
        if self.terms.target.as_ref().is_some_and(|target| *target != id) {
            return;
        }
        *self.plan.managed.entry(R::KIND.name).or_default() += u64::from(observed.is_some());
        let asks = self.asks(&id, declared, observed.is_none(), is_recorded);
        let wish = Wish { digest: declared.value.digest(), place: declared.place.to_string(), asks };
        let noted = self.noted(&id, &wish.digest);
        // The files still say what was last applied, so it is the database that moved.
        let origin = if noted == Noted::This { Origin::Drift } else { Origin::Intended };
        let asked = Asked { id: &id, key, desired: &declared.value, observed, origin };
        let blocked = match R::diff(&asked, scope) {
            Verdict::InSync => {
                return match wish.asks {
                    Asks::Lift(protected) => self.lift(&id, protected),
                    asks => {
                        let exists = observed.is_some();
                        self.plan.protected.extend((asks == Asks::Record && exists).then(|| id.clone()));
                        self.in_sync(id, wish.digest);
                    }
                };
            }
            Verdict::Blocked(blocked) => blocked,
            Verdict::Change(mut change) => {
                if change.action == Action::Resume && noted == Noted::This {
                    // The files were applied before: whoever changed them last has not asked for this.
                    change.actor.get_or_insert_with(|| OURSELVES.to_owned());
                }
                let flap = self.flap(&change, &wish);
                match self.in_the_way(&change, R::needs(&change.step), &wish, flap) {
                    Some(blocked) => {
                        R::withdraw(&change, scope);
                        if change.origin == Origin::Drift {
                            self.plan.kept_drift.push(blocked.id.clone());
                        }
                        blocked
                    }
                    None => {
                        let protect = wish.asks.beside(&mut change);
                        let (change, digest) = (change.map_step(wrap), Some(wish.digest));
                        self.plan.changes.push(Planned { change, digest, noted, flap, protect, held: None });
                        return;
                    }
                }
            }
        };
        let is_suspended = blocked.obstacle == Obstacle::Suspended;
        self.plan.blocked.push(blocked);
        match wish.asks {
            // What else is in its way is no reason to leave it protected.
            Asks::Lift(protected) if !is_suspended => self.lift(&id, protected),
            Asks::Record if observed.is_some() => self.plan.protected.push(id),
            Asks::Lift(_) | Asks::Record | Asks::Nothing { .. } => {}
        }
    }

    /// What the line of a resource asks for; what had another name before is protected under that.
    fn asks<R: Resource>(&self, id: &ResourceId, declared: &Declared<R>, is_new: bool, is_recorded: bool) -> Asks {
        let former = declared.value.former().filter(|_| is_new && !is_recorded);
        let former = former.map(|key| ResourceId::new(R::KIND, key)).filter(|id| self.ledger.protected.contains(id));
        match former {
            Some(former) => Asks::of(&former, declared.protect, true),
            None => Asks::of(id, declared.protect, is_recorded),
        }
    }

    /// Ends the protection of what needs no other change, or gets none now.
    fn lift(&mut self, id: &ResourceId, protected: ResourceId) {
        if let Some(suspended) = self.ledger.suspension(id) {
            self.plan.blocked.push(suspended);
            return;
        }
        let (change, protect) = (lifting(id), Protect::Lift(protected));
        let (noted, flap) = (Noted::This, Flap::None);
        self.plan.changes.push(Planned { change, digest: None, noted, flap, protect, held: None });
    }

    /// Items that manage nothing, and end protection.
    fn lifts(&mut self, desired: &Desired) {
        for id in desired.lifts.keys().filter(|id| self.ledger.protected.contains(id)) {
            if self.terms.target.as_ref().is_none_or(|target| target == id) {
                self.lift(id, id.clone());
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
            (Origin::Intended | Origin::Manual, None) => Flap::None,
            (Origin::Intended | Origin::Manual, Some(_)) => Flap::Over,
            (Origin::Drift, Some((digest, turns))) if *digest == wish.digest => Flap::Turns(turns + 1),
            (Origin::Drift, Some(_)) => Flap::Turns(1),
            (Origin::Drift, None) => Flap::First,
        }
    }

    /// Why a change that could be made is not: somebody said so, or it does not last.
    fn in_the_way<S>(&self, change: &Change<S>, needs: Needs, wish: &Wish, flap: Flap) -> Option<Blocked> {
        let id = &change.id;
        let blocked = |obstacle, reason: String, hint: String| Some(Blocked { id: id.clone(), obstacle, reason, hint });
        if let Some(suspended) = self.ledger.suspension(id) {
            return Some(suspended);
        }
        if wish.asks.forbids(change) {
            return Some(kinds::protected(id.clone(), Some(&wish.place)));
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
    /// Where the file declares it.
    place: String,
    asks: Asks,
}
