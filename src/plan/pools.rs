//! The servers as the instances of a plan find them: as they will be once the plan is applied.

use std::collections::{BTreeMap, HashSet};

use super::Plan;
use crate::change::{Kind, ResourceId};
use crate::kinds::{Desired, Observed, Step};
use crate::resource::instance::placement::Candidate;
use crate::resource::server::{self, Health, ServerName};

const KIND: Kind = server::SECTION.kind;

/// Every server that is there, or that the plan registers.
pub fn candidates(plan: &Plan, desired: &Desired, observed: &Observed) -> Vec<Candidate> {
    let changed = plan.changes.iter().filter_map(|planned| match &planned.change.step {
        Step::Server(step) => Some(step),
        _ => None,
    });
    // What is renamed, and that is held back, is declared all the same.
    let former = desired.former_names(&observed.servers);
    let is_declared = |name: &ServerName| desired.servers.contains_key(name) || former.contains(name);
    let mut servers: BTreeMap<ServerName, Candidate> = BTreeMap::new();
    for (name, row) in &observed.servers {
        servers.insert(name.clone(), candidate(&row.profile, Some(row), is_declared(name), observed));
    }
    for step in changed {
        if let Some(before) = &step.before {
            servers.remove(&before.profile.name);
        }
        servers.insert(step.after.name.clone(), candidate(&step.after, step.before.as_ref(), true, observed));
    }
    servers.into_values().collect()
}

fn candidate(
    profile: &server::Profile,
    row: Option<&server::Observed>,
    is_declared: bool,
    observed: &Observed,
) -> Candidate {
    let unasked = || Err("it was not asked".to_owned());
    Candidate {
        name: profile.name.clone(),
        id: row.map(|row| row.id),
        host: profile.host.clone(),
        port: profile.port,
        server_type: profile.server_type,
        max: profile.max_instances,
        fill: row.map_or(0, |row| row.allocated),
        priority: profile.priority,
        status: profile.status,
        health: row.map_or_else(Health::default, |row| row.health.clone()),
        is_declared,
        sight: observed.sights.get(&profile.name).cloned().unwrap_or_else(unasked),
    }
}

/// The names of databases that are in use.
pub fn taken(observed: &Observed) -> HashSet<String> {
    let allocations = observed.instances.values().filter_map(|instance| instance.allocation.as_ref());
    allocations.map(|allocation| allocation.database.clone()).collect()
}

/// How full a server is once the plan is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    pub server: ResourceId,
    pub taken: i64,
    pub places: i64,
}

impl Fill {
    fn percent(&self) -> i64 {
        // One place of one is what a dedicated server is for.
        if self.places > 1 { self.taken.saturating_mul(100) / self.places } else { 0 }
    }

    /// The last of 80 and 95 percent that it has come to: of these it is told.
    pub fn level(&self) -> Option<i64> {
        match self.percent() {
            95.. => Some(95),
            80.. => Some(80),
            _ => None,
        }
    }

    /// Told from 80 % up, and in stronger words from 95 % up.
    pub fn note(&self) -> Option<String> {
        let Self { server: _, taken, places } = self;
        let percent = self.percent();
        match self.level()? {
            95 => Some(format!("it is nearly out of places: {taken} of {places} are taken ({percent}%)")),
            _ => Some(format!("it is filling up: {taken} of {places} places are taken ({percent}%)")),
        }
    }
}

/// What a reader should know of the servers: that they are nearly full, cannot be used, or stand in no file. And how full
/// each is.
pub fn notes(plan: &Plan, desired: &Desired, observed: &Observed) -> (Vec<(ResourceId, String)>, Vec<Fill>) {
    let (mut notes, mut filled) = (Vec::new(), Vec::new());
    let mut fills: BTreeMap<ServerName, i64> = BTreeMap::new();
    for planned in &plan.changes {
        if let Step::Instance(step) = &planned.change.step
            && let Some(server) = step.reserves()
        {
            *fills.entry(server.clone()).or_default() += 1;
        }
    }
    for Candidate { name, max, fill, is_declared, sight, .. } in candidates(plan, desired, observed) {
        let id = ResourceId::new(KIND, &name);
        let fill = fill + fills.get(&name).copied().unwrap_or(0);
        let fill_of = Fill { server: id.clone(), taken: fill, places: max };
        notes.extend(fill_of.note().map(|note| (id.clone(), note)));
        filled.push(fill_of);
        match sight {
            Err(trouble) if is_declared || fill > 0 => notes.push((id, format!("it cannot be used now: {trouble}"))),
            _ if !is_declared && fill > 0 => {
                notes.push((id, format!("no file names it, and it holds {fill}: it keeps them, and takes no more")));
            }
            _ => {}
        }
    }
    (notes, filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(taken: i64, places: i64) -> Option<String> {
        Fill { server: ResourceId::new(KIND, "pool"), taken, places }.note()
    }

    #[test]
    fn a_fill_is_told_from_80_percent_up() {
        assert_eq!(note(39, 50), None);
        assert_eq!(note(40, 50).as_deref(), Some("it is filling up: 40 of 50 places are taken (80%)"));
        assert_eq!(note(48, 50).as_deref(), Some("it is nearly out of places: 48 of 50 are taken (96%)"));
        assert_eq!(note(1, 1), None);
    }
}
