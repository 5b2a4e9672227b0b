//! The change budget: what a run would change too much of at once waits until somebody says that it is meant.
//!
//! What the files changed and what is drift are counted apart, each against the limit, and each has a digest of its own:
//! drift that comes in between does not void an approval of what the files say, and many rows that somebody has spoilt
//! are not written over before a person has looked. Nothing else waits for it.

use std::collections::BTreeMap;

use super::{Plan, Planned, digest};
use crate::change::{Action, Origin};

/// How much one run may change.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Share of a kind's managed resources that a run may update or rotate, in percent.
    pub percent: u64,
    /// The share is counted from this many managed resources up: of a few, any change is a large share.
    pub from: u64,
}

/// Somebody's word that the changes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Force {
    pub reason: String,
}

/// Changes that wait for a person, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Of these changes alone: what `approve` is told.
    pub digest: String,
    /// `103 of 200 sessions would change (limit 30 %)`
    pub why: String,
    /// How many changes wait.
    pub changes: usize,
}

impl Held {
    /// Why nothing of it is applied, and the way on.
    pub fn line(&self) -> String {
        let Held { digest, why, changes: _ } = self;
        format!("not applied: {why}; run `reconcile approve {digest} --reason R`")
    }
}

/// A plan of which all that is not held may be applied. Only [`Plan::approve`] makes one.
///
/// ```compile_fail
/// fn sneak(plan: reconcile::plan::Plan) -> reconcile::plan::budget::Approved {
///     reconcile::plan::budget::Approved { plan, force: None }
/// }
/// ```
#[derive(Debug)]
pub struct Approved {
    plan: Plan,
    force: Option<Force>,
}

impl Plan {
    /// Holds what is over the budget, unless its digest is among the approved ones. Creates are free, and scheduled
    /// rotations have a limit of their own.
    pub fn hold(mut self, budget: Budget, approvals: &[String]) -> Self {
        for origin in [Origin::Intended, Origin::Drift] {
            let over = over(&self, origin, budget);
            if over.is_empty() {
                continue;
            }
            let waits = |planned: &Planned| counts(planned, origin) && over.contains_key(planned.change.id.kind.name);
            let digest = digest(&self.header.environment, self.changes.iter().filter(|planned| waits(planned)));
            if approvals.contains(&digest) {
                self.approved.push(digest);
                continue;
            }
            let (number, mut changes) = (self.held.len(), 0);
            for planned in self.changes.iter_mut().filter(|planned| waits(planned)) {
                planned.held = Some(number);
                changes += 1;
            }
            self.held.push(Held { digest, why: why(&over, origin, budget), changes });
        }
        self
    }

    /// Lets pass what is not held; by force, all of it.
    pub fn approve(mut self, force: Option<Force>) -> Approved {
        if force.is_some() {
            self.held.clear();
            self.changes.iter_mut().for_each(|planned| planned.held = None);
            self.lineage.let_pass();
        }
        if self.lineage.held().is_some() {
            // Nor is anything recorded of what such a commit says.
            self.adopted.clear();
            self.calmed.clear();
            self.protected.clear();
        }
        Approved { plan: self, force }
    }

    /// Why a change waits.
    pub fn held(&self, planned: &Planned) -> Option<&Held> {
        self.held.get(planned.held?)
    }
}

fn counts(planned: &Planned, origin: Origin) -> bool {
    let change = &planned.change;
    change.origin == origin && !change.is_scheduled && matches!(change.action, Action::Update | Action::Rotate)
}

/// The kinds that are over their budget: how many of how many, and their plural.
fn over(plan: &Plan, origin: Origin, budget: Budget) -> BTreeMap<&'static str, (u64, u64, &'static str)> {
    let mut over: BTreeMap<&'static str, (u64, u64, &'static str)> = BTreeMap::new();
    for planned in plan.changes.iter().filter(|planned| counts(planned, origin)) {
        let kind = planned.change.id.kind;
        let managed = plan.managed.get(kind.name).copied().unwrap_or(0);
        over.entry(kind.name).or_insert((0, managed, kind.plural)).0 += 1;
    }
    over.retain(|_, (count, managed, _)| {
        *managed >= budget.from && count.saturating_mul(100) > managed.saturating_mul(budget.percent)
    });
    over
}

fn why(over: &BTreeMap<&'static str, (u64, u64, &'static str)>, origin: Origin, budget: Budget) -> String {
    let parts: Vec<String> =
        over.values().map(|(count, managed, plural)| format!("{count} of {managed} {plural}")).collect();
    let drift = if origin == Origin::Drift { ", drift" } else { "" };
    format!("{} would change (limit {} %{drift})", parts.join(" and "), budget.percent)
}

impl Approved {
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is to be applied, in order.
    pub fn changes(&self) -> impl Iterator<Item = &Planned> {
        self.plan.changes.iter().filter(|planned| planned.held.is_none())
    }

    /// The reason that was given with `--force`.
    pub fn force(&self) -> Option<&Force> {
        self.force.as_ref()
    }

    pub fn into_plan(self) -> Plan {
        self.plan
    }
}
