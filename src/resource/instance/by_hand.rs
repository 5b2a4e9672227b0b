//! What a command wants of one instance, and how that becomes a change.

use super::onward::{LOST, unknown_from_here};
use super::phase::Phase;
use super::placement::Candidate;
use super::steps::{Place, Stage, Step};
use super::{Allocation, InstanceId, KIND, Observed, State};
use crate::change::{Action, Blocked, Change, FieldDiff, Obstacle, Origin, ResourceId, Value};
use crate::port::pool::Standing;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Release it, and dispatch its task.
    Provision,
    /// A new password and a new task for one that failed.
    Retry,
    /// Give its place back.
    Forget,
}

/// A command for one instance.
#[derive(Clone, Debug)]
pub struct Intent {
    pub id: InstanceId,
    pub by: String,
    pub wish: Wish,
}

/// What the command meets.
pub struct Met<'a> {
    pub observed: Option<&'a Observed>,
    /// The server on which it lies.
    pub server: Option<&'a Candidate>,
    pub environment: &'a str,
    pub has_broker: bool,
    /// A file says `provision: hold`.
    pub is_held: bool,
}

impl Intent {
    pub fn address(&self) -> ResourceId {
        ResourceId::new(KIND, self.id)
    }

    /// The change. `None`: it is so already.
    ///
    /// Errors: why it cannot be done, and the way out.
    pub fn plan(&self, met: &Met<'_>) -> Result<Option<Change<Step>>, Blocked> {
        match self.wish {
            Wish::Provision => self.provision(met),
            Wish::Retry => self.retry(met),
            Wish::Forget => self.forget(met),
        }
    }

    fn blocked(&self, reason: impl Into<String>, hint: impl Into<String>) -> Blocked {
        Blocked { id: self.address(), obstacle: Obstacle::Resource, reason: reason.into(), hint: hint.into() }
    }

    fn missing(&self) -> Blocked {
        let blocked = self.blocked("there is no such instance", "`reconcile status` shows what there is");
        Blocked { obstacle: Obstacle::Missing, ..blocked }
    }

    fn provision(&self, met: &Met<'_>) -> Result<Option<Change<Step>>, Blocked> {
        let not_allocated = || {
            let hint = format!("`reconcile explain instance/{}` says what it waits for", self.id);
            self.blocked("Database not allocated. Cannot provision instance.", hint)
        };
        let observed = met.observed.ok_or_else(|| Blocked { obstacle: Obstacle::Missing, ..not_allocated() })?;
        match observed.phase {
            Phase::Reserved | Phase::DatabaseCreated | Phase::Forgotten => return Err(not_allocated()),
            Phase::Provisioning | Phase::Ready => return Ok(None),
            Phase::Failed => {
                let hint = format!("`reconcile instance retry {}`", self.id);
                return Err(self.blocked("the worker could not provision it", hint));
            }
            Phase::Allocated => {}
        }
        if observed.profile.state == State::Retired {
            return Err(self.blocked("it is retired", "say `state: active` in its file first"));
        }
        if met.is_held {
            return Err(self.blocked("its file says `provision: hold`", "take that back first"));
        }
        let Some(allocation) = &observed.allocation else {
            let why = "Database credentials not found. Instance may be too old or not allocated.";
            return Err(self.blocked(why, "it was not allocated here, so no new password may be set"));
        };
        let mut stages = Vec::new();
        if allocation.released_at.is_none() {
            stages.push(Stage::Release { by: self.by.clone() });
        }
        let mut reason = None;
        if !observed.sent && !observed.waiting {
            if let Some(unknown) = &observed.unknown {
                return Err(self.blocked(unknown_from_here(unknown), unknown.hint()));
            }
            stages.push(Stage::Lose);
            stages.push(hand_over(allocation, Phase::DatabaseCreated, LOST));
            reason = Some(LOST.to_owned());
        }
        stages.push(Stage::Dispatch { number: allocation.dispatches + 1 });
        self.onward(met, observed, allocation, stages, reason)
    }

    fn retry(&self, met: &Met<'_>) -> Result<Option<Change<Step>>, Blocked> {
        let found = met.observed.and_then(|observed| Some((observed, observed.allocation.as_ref()?)));
        let Some((observed, allocation)) = found else { return Err(self.missing()) };
        if observed.phase != Phase::Failed {
            let reason = format!("it is {}, and only what has failed is tried again", observed.phase);
            return Err(self.blocked(reason, format!("`reconcile explain instance/{}` says where it is", self.id)));
        }
        let why = "another try after a failure";
        let stages =
            vec![hand_over(allocation, Phase::Failed, why), Stage::Dispatch { number: allocation.dispatches + 1 }];
        self.onward(met, observed, allocation, stages, Some(why.to_owned()))
    }

    /// What goes through the server and the broker.
    fn onward(
        &self,
        met: &Met<'_>,
        observed: &Observed,
        allocation: &Allocation,
        stages: Vec<Stage>,
        reason: Option<String>,
    ) -> Result<Option<Change<Step>>, Blocked> {
        if !met.has_broker {
            return Err(self.blocked("no broker takes its task", "set celery.broker_url (or redis.url)"));
        }
        let Some(server) = met.server else {
            return Err(self.blocked("its server is not known", "declare it under servers:"));
        };
        match &server.sight {
            Err(trouble) if stages.iter().any(Stage::is_on_server) => {
                let hint = "try again when it answers; see `reconcile doctor`";
                return Err(self.blocked(format!("{} cannot be used now: {trouble}", server.name), hint));
            }
            Ok(sight) => match sight.standing(self.id.0, &allocation.database, &allocation.role, met.environment) {
                Standing::Ours { .. } => {}
                _ => {
                    let why = "Database credentials not found. Instance may be too old or not allocated.";
                    let hint = format!("{} on {} is not this instance's", allocation.database, server.name);
                    return Err(self.blocked(why, hint));
                }
            },
            Err(_) => {}
        }
        let phase = FieldDiff {
            field: "phase",
            before: Value::word(observed.phase.word()),
            after: Value::word(Phase::Provisioning.word()),
        };
        let place = Place::at(server, allocation.names(), Some(allocation.server));
        let reason = match reason {
            Some(why) => format!("resume at {} on {}: {why}", observed.phase, server.name),
            None => format!("resume at {} on {}", observed.phase, server.name),
        };
        let change = self.change(Action::Resume, vec![phase], observed, Some(place), stages);
        Ok(Some(Change { reason: Some(reason), ..change }))
    }

    fn forget(&self, met: &Met<'_>) -> Result<Option<Change<Step>>, Blocked> {
        let Some(observed) = met.observed else { return Err(self.missing()) };
        match observed.profile.state {
            State::Forgotten => return Ok(None),
            State::Active if observed.phase.has_database() && !self.is_gone(met, observed) => {
                let hint = "say `state: retired` in its file first, so that nobody can log in any more";
                return Err(self.blocked("it is active", hint));
            }
            State::Active | State::Retired => {}
        }
        let place = observed
            .allocation
            .as_ref()
            .zip(met.server)
            .map(|(allocation, server)| Place::at(server, allocation.names(), Some(allocation.server)));
        let state = FieldDiff {
            field: "state",
            before: Value::word(observed.profile.state.word()),
            after: Value::word(State::Forgotten.word()),
        };
        let change = self.change(Action::Update, vec![state], observed, place, vec![Stage::Forget]);
        Ok(Some(change))
    }

    /// The server answers, and has nothing of it any more.
    fn is_gone(&self, met: &Met<'_>, observed: &Observed) -> bool {
        let sight = met.server.and_then(|server| server.sight.as_ref().ok());
        observed.allocation.as_ref().zip(sight).is_some_and(|(allocation, sight)| {
            sight.standing(self.id.0, &allocation.database, &allocation.role, met.environment) == Standing::Nothing
        })
    }

    fn change(
        &self,
        action: Action,
        fields: Vec<FieldDiff>,
        observed: &Observed,
        place: Option<Place>,
        stages: Vec<Stage>,
    ) -> Change<Step> {
        let before = Some(observed.clone());
        Change {
            id: self.address(),
            action,
            origin: Origin::Manual,
            fields,
            unknown: Vec::new(),
            actor: Some(self.by.clone()),
            reason: None,
            notes: Vec::new(),
            is_scheduled: false,
            step: Step { id: self.id, before, profile: observed.profile.clone(), place, stages },
        }
    }
}

fn hand_over(allocation: &Allocation, from: Phase, why: &str) -> Stage {
    Stage::HandOver {
        passwords: allocation.passwords,
        rotation: allocation.rotation,
        from,
        to: Phase::Allocated,
        why: Some(why.to_owned()),
    }
}
