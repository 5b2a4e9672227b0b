//! Placement: which server an instance goes to, and why the others were passed over.

use std::fmt;

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
    pub passed_over: Option<Objection>,
}

/// Why a server does not take an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// The instance is pinned to this one.
    Pinned(ServerName),
    /// It is dedicated.
    Dedicated,
    /// It is shared, and the tier wants a dedicated one.
    Shared(Tier),
    Undeclared,
    Maintenance,
    Full {
        fill: i64,
        max: i64,
    },
    /// It cannot be asked, or is not well: what is wrong with it.
    Away(String),
}

impl fmt::Display for Objection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objection::Pinned(pin) => write!(out, "the instance is pinned to {pin}"),
            Objection::Dedicated => out.write_str("it is dedicated"),
            Objection::Shared(tier) => write!(out, "it is shared, and {} wants a dedicated server", tier.word()),
            Objection::Undeclared => out.write_str("no file declares it any more"),
            Objection::Maintenance => out.write_str("it is in maintenance"),
            Objection::Full { fill, max } => write!(out, "it is full ({fill}/{max})"),
            Objection::Away(trouble) => out.write_str(trouble),
        }
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.passed_over {
            Some(objection) => write!(out, "{}: {objection}", self.server),
            None => write!(out, "{}: it would do", self.server),
        }
    }
}

impl Objection {
    /// What ends it.
    pub fn mend(&self) -> &'static str {
        match self {
            Objection::Pinned(_) => "take the pin away",
            Objection::Dedicated => "pin it to a shared server",
            Objection::Shared(_) => "pin it to a server of type dedicated",
            Objection::Undeclared => "declare the server under servers:",
            Objection::Maintenance => "end its maintenance",
            Objection::Full { .. } => "make room there",
            Objection::Away(_) => "see `reconcile doctor`",
        }
    }
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
            Some(pin) if *pin != candidate.name => Some(Objection::Pinned(pin.clone())),
            _ => objection(tier, candidate),
        },
    });
    judged.collect()
}

fn objection(tier: Tier, candidate: &Candidate) -> Option<Objection> {
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
        (ServerType::Shared, true) => return Some(Objection::Shared(tier)),
        (ServerType::Dedicated, false) => return Some(Objection::Dedicated),
        _ => {}
    }
    if !is_declared {
        return Some(Objection::Undeclared);
    }
    if *status == Status::Maintenance {
        return Some(Objection::Maintenance);
    }
    if fill >= max {
        return Some(Objection::Full { fill: *fill, max: *max });
    }
    if let Err(trouble) = sight {
        return Some(Objection::Away(trouble.clone()));
    }
    if !health.takes_more() {
        return Some(Objection::Away(format!("it is {}", health.condition.word())));
    }
    None
}

/// The list as one clause: `pool-1: it is full (50/50); pool-2: it is in maintenance`.
pub fn clause(considered: &[Considered]) -> String {
    considered.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
