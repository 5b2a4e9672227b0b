//! The change budget: a turn that would change too much at once is held back until somebody says that it is meant.

use std::collections::BTreeMap;

use super::Plan;
use crate::change::Action;

/// How much one turn may change.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Share of a kind's managed resources that a turn may update or rotate, in percent.
    pub percent: u64,
    /// The share is counted from this many managed resources up: of a few, any change is a large share.
    pub from: u64,
}

/// Somebody's word that the changes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Force {
    pub reason: String,
}

/// A plan that may be applied. Only [`Plan::approve`] makes one.
///
/// ```compile_fail
/// fn sneak(plan: reconcile::plan::Plan) -> reconcile::plan::budget::Approved {
///     reconcile::plan::budget::Approved { plan, force: None, digest: String::new() }
/// }
/// ```
#[derive(Debug)]
pub struct Approved {
    plan: Plan,
    force: Option<Force>,
    digest: String,
}

/// Why a plan is held back.
#[derive(Debug)]
pub struct Held {
    pub plan: Box<Plan>,
    pub digest: String,
    /// `3 of 10 sessions (limit 30 %)`, one for each kind over its budget.
    pub over: Vec<String>,
}

impl Plan {
    /// Passes the plan, or holds it back.
    ///
    /// It passes within the budget, by force, and when its digest is among the approved ones. Creates are free, and
    /// scheduled rotations have a limit of their own.
    pub fn approve(self, budget: Budget, force: Option<Force>, approvals: &[String]) -> Result<Approved, Held> {
        let digest = self.digest();
        let over = over(&self, budget);
        if over.is_empty() || force.is_some() || approvals.contains(&digest) {
            return Ok(Approved { plan: self, force, digest });
        }
        Err(Held { plan: Box::new(self), digest, over })
    }
}

fn over(plan: &Plan, budget: Budget) -> Vec<String> {
    let mut counts: BTreeMap<&'static str, (u64, &'static str)> = BTreeMap::new();
    for change in plan.changes.iter().map(|planned| &planned.change) {
        if !change.is_scheduled && matches!(change.action, Action::Update | Action::Rotate) {
            counts.entry(change.id.kind.name).or_insert((0, change.id.kind.plural)).0 += 1;
        }
    }
    let mut over = Vec::new();
    for (kind, (count, plural)) in counts {
        let managed = plan.managed.get(kind).copied().unwrap_or(0);
        if managed >= budget.from && count.saturating_mul(100) > managed.saturating_mul(budget.percent) {
            over.push(format!("{count} of {managed} {plural} (limit {} %)", budget.percent));
        }
    }
    over
}

impl Approved {
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The reason that was given with `--force`.
    pub fn force(&self) -> Option<&Force> {
        self.force.as_ref()
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn into_plan(self) -> Plan {
        self.plan
    }
}
