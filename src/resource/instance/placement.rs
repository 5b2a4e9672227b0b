//! Placement: which server an instance goes to, and why the others were passed over.

use super::Tier;
use crate::port::pool::Sight;
use crate::resource::server::{Health, ServerName, ServerType, Status};
use crate::store::sql::Id;

/// A server as the planner sees it: as it will be once this plan is applied.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub name: ServerName,
    /// `None`: this very plan registers it.
    pub id: Option<Id>,
    pub host: String,
    pub port: i64,
    pub server_type: ServerType,
    pub max: i64,
    /// Places taken, with those that this plan takes.
    pub fill: i64,
    pub priority: i64,
    pub status: Status,
    pub health: Health,
    /// A file declares it. What no file names keeps what it has, and takes no more.
    pub is_declared: bool,
    /// What it has, or why it cannot be asked.
    pub sight: Result<Sight, String>,
}

/// How one server was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    pub server: ServerName,
    /// `None`: it would do.
    pub passed_over: Option<String>,
}

/// The servers in the order in which they are tried: lowest priority, then least filled, then by name; each with the
/// reason why it was passed over. A pin leaves one of them.
pub fn consider(tier: Tier, pin: Option<&ServerName>, candidates: &[Candidate]) -> Vec<Considered> {
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    order.sort_by(|one, other| {
        // a/b < c/d, in whole numbers: a·d < c·b.
        let filled = |this: &Candidate, other: &Candidate| i128::from(this.fill) * i128::from(other.max);
        one.priority
            .cmp(&other.priority)
            .then_with(|| filled(one, other).cmp(&filled(other, one)))
            .then_with(|| one.name.cmp(&other.name))
    });
    let judged = order.into_iter().map(|candidate| Considered {
        server: candidate.name.clone(),
        passed_over: match pin {
            Some(pin) if *pin != candidate.name => Some(format!("the instance is pinned to {pin}")),
            _ => objection(tier, candidate),
        },
    });
    judged.collect()
}

fn objection(tier: Tier, candidate: &Candidate) -> Option<String> {
    let Candidate {
        name: _,
        id: _,
        host: _,
        port: _,
        server_type,
        max,
        fill,
        priority: _,
        status,
        health,
        is_declared,
        sight,
    } = candidate;
    match (server_type, tier.wants_dedicated()) {
        (ServerType::Shared, true) => {
            return Some(format!("it is shared, and {} wants a dedicated server", tier.word()));
        }
        (ServerType::Dedicated, false) => return Some("it is dedicated".to_owned()),
        _ => {}
    }
    if !is_declared {
        return Some("no file declares it any more".to_owned());
    }
    if *status == Status::Maintenance {
        return Some("it is in maintenance".to_owned());
    }
    if fill >= max {
        return Some(format!("it is full ({fill}/{max})"));
    }
    if let Err(trouble) = sight {
        return Some(trouble.clone());
    }
    if !health.takes_more() {
        return Some(format!("it is {}", health.condition.word()));
    }
    None
}

/// The list as one clause: `pool-1: it is full (50/50); pool-2: it is in maintenance`.
pub fn clause(considered: &[Considered]) -> String {
    let one = |one: &Considered| format!("{}: {}", one.server, one.passed_over.as_deref().unwrap_or("it would do"));
    considered.iter().map(one).collect::<Vec<_>>().join("; ")
}
