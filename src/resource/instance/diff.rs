//! How an instance's difference becomes a change: placed by capacity, resumed by its phase, rotated by number.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::names::{self, Names};
use super::onward;
use super::phase::Phase;
use super::placement::{Candidate, Considered, Objection, clause, consider};
use super::steps::{Place, Stage, Step};
use super::{Allocation, Instance, InstanceId, KIND, Observed, Profile, Provision, SECTION, State, Tier};
use crate::change::{Action, Blocked, Change, FieldDiff, Kind, Obstacle, Origin, Value};
use crate::port::pool::Standing;
use crate::resource::server::ServerName;
use crate::resource::{Asked, Needs, Resource, Verdict};
use crate::yaml::{Item, Problem, Section};

/// What instances must know of the rest of the world.
pub struct Scope<'a> {
    pub environment: &'a str,
    /// Every server, with the places that this plan has taken so far.
    pub servers: Vec<Candidate>,
    /// Names of databases that are in use, or that this plan uses.
    pub taken: HashSet<String>,
    /// Whether tasks can be dispatched at all.
    pub has_broker: bool,
    /// The subscriptions that billing has released, each with the type of the event that did it.
    pub releases: &'a BTreeMap<Uuid, String>,
    /// How the servers were judged for each instance that looked for one.
    pub considered: BTreeMap<InstanceId, Vec<Considered>>,
}

impl Resource for Instance {
    const KIND: Kind = KIND;
    const SECTION: Section = SECTION;
    type Key = InstanceId;
    type Observed = Observed;
    type Scope<'a> = Scope<'a>;
    type Step = Step;

    fn declare(item: &Item<'_>) -> Result<(InstanceId, Self), Vec<Problem>> {
        let instance = Instance {
            customer: item.uuid("customer").unwrap_or_default(),
            name: item.text("name").unwrap_or_default().to_owned(),
            subscription: item.has("subscription").then(|| item.uuid("subscription")),
            tier: item.word("tier").and_then(Tier::from_word),
            server: item.text("server").map(|name| ServerName(name.to_owned())),
            provision: item.word("provision").map(|word| match word {
                "at_once" => Provision::AtOnce,
                "hold" => Provision::Hold,
                _ => Provision::OnBilling,
            }),
            credentials_rotation: item.int("credentials_rotation"),
            state: item.word("state").and_then(State::from_word),
        };
        Ok((InstanceId(item.uuid("id").unwrap_or_default()), instance))
    }

    fn managed(&self) -> Vec<(&'static str, Value)> {
        let Instance { customer, name, subscription, tier, server, provision, credentials_rotation, state } = self;
        let provision = provision.map(|provision| match provision {
            Provision::OnBilling => "on_billing",
            Provision::AtOnce => "at_once",
            Provision::Hold => "hold",
        });
        let fields = [
            ("customer", Some(Value::word(customer.to_string()))),
            ("name", Some(Value::text(name))),
            ("subscription", subscription.map(|id| id.map_or(Value::None, |id| Value::word(id.to_string())))),
            ("tier", tier.map(|tier| Value::word(tier.word()))),
            ("server", server.as_ref().map(|server| Value::word(&server.0))),
            ("provision", provision.map(Value::word)),
            ("credentials_rotation", credentials_rotation.map(Value::Int)),
            ("state", state.map(|state| Value::word(state.word()))),
        ];
        fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
    }

    fn diff(asked: &Asked<'_, Self>, scope: &mut Scope<'_>) -> Verdict<Step> {
        let verdict = match asked.observed {
            None => place(asked, scope),
            Some(observed) => onward::change(asked, observed, scope),
        };
        match verdict {
            Ok(None) => Verdict::InSync,
            Ok(Some(change)) => Verdict::Change(Box::new(change)),
            Err(blocked) => Verdict::Blocked(blocked),
        }
    }

    fn needs(step: &Step) -> Needs {
        let dispatches = step.stages.iter().any(|stage| matches!(stage, Stage::Dispatch { .. }));
        Needs { key: false, handoff: dispatches || step.mints(), broker: dispatches }
    }

    /// A place that will not be taken after all is free for the next.
    fn withdraw(change: &Change<Step>, scope: &mut Scope<'_>) {
        let (Some(taken), Some(place)) = (change.step.reserves(), &change.step.place) else { return };
        scope.taken.remove(&place.names.database);
        for server in scope.servers.iter_mut().filter(|server| server.name == *taken) {
            server.fill -= 1;
        }
    }
}

pub(super) type Answer = Result<Option<Change<Step>>, Blocked>;

pub(super) fn blocked(asked: &Asked<'_, Instance>, reason: impl Into<String>, hint: impl Into<String>) -> Blocked {
    Blocked { id: asked.id.clone(), obstacle: Obstacle::Resource, reason: reason.into(), hint: hint.into() }
}

/// A new instance: a server, names, and all the way as far as it may go.
fn place(asked: &Asked<'_, Instance>, scope: &mut Scope<'_>) -> Answer {
    let wanted = asked.desired;
    if wanted.state == Some(State::Retired) {
        // There is nothing to retire.
        return Ok(None);
    }
    let tier = wanted.tier.unwrap_or(Tier::Standard);
    let considered = consider(tier, wanted.server.as_ref(), &scope.servers);
    let chosen = considered.iter().find(|one| one.passed_over.is_none()).map(|one| one.server.clone());
    scope.considered.insert(*asked.key, considered.clone());
    let Some(server) = scope.servers.iter_mut().find(|server| Some(&server.name) == chosen.as_ref()) else {
        return Err(no_server(asked, tier, &considered));
    };
    let names = names::choose(wanted.customer, *asked.key, &scope.taken);
    if let Ok(sight) = &server.sight
        && let Standing::Foreign(why) = sight.standing(asked.key.0, &names.database, &names.role, scope.environment)
    {
        let reason = format!("{why} on {}, and it is not this instance's", server.name);
        return Err(blocked(asked, reason, "it is left alone: rename or remove it there, or pin another server"));
    }
    server.fill += 1;
    scope.taken.insert(names.database.clone());
    let profile = over(wanted, None);
    let rotation = wanted.credentials_rotation.unwrap_or(1);
    let mut stages = vec![
        Stage::Reserve,
        Stage::Create,
        Stage::HandOver { passwords: 0, rotation, from: Phase::DatabaseCreated, to: Phase::Allocated, why: None },
    ];
    match wanted.provision.unwrap_or_default() {
        Provision::AtOnce if scope.has_broker => stages.push(Stage::Dispatch { number: 1 }),
        Provision::OnBilling if scope.has_broker => {
            if let Some(by) = released_by(profile.subscription, scope.releases) {
                stages.extend([Stage::Release { by }, Stage::Dispatch { number: 1 }]);
            }
        }
        Provision::AtOnce | Provision::OnBilling | Provision::Hold => {}
    }
    let mut fields = vec![
        diff("name", Value::None, Value::text(&profile.name)),
        diff("tier", Value::None, Value::word(tier.word())),
        diff("server", Value::None, Value::word(&server.name.0)),
        diff("database", Value::None, Value::word(&names.database)),
    ];
    if let Some(subscription) = profile.subscription {
        fields.insert(2, diff("subscription", Value::None, Value::word(subscription.to_string())));
    }
    let place = Place::at(server, names, None);
    let step = Step { id: *asked.key, before: None, profile, place: Some(place), stages };
    Ok(Some(Change { unknown: vec!["db_password"], ..changed(asked, Action::Create, fields, step) }))
}

/// What has released the subscription.
pub(super) fn released_by(subscription: Option<Uuid>, releases: &BTreeMap<Uuid, String>) -> Option<String> {
    releases.get(&subscription?).map(|event| format!("billing: {event}"))
}

fn no_server(asked: &Asked<'_, Instance>, tier: Tier, considered: &[Considered]) -> Blocked {
    if let Some(pin) = &asked.desired.server {
        let objection = considered.iter().find(|one| one.server == *pin).and_then(|one| one.passed_over.as_ref());
        return match objection {
            None => blocked(asked, format!("it is pinned to {pin}, which is not known"), "declare it under servers:"),
            Some(why) => {
                let hint = format!("{}, or take the pin away", why.mend());
                blocked(asked, format!("it is pinned to {pin}, and {why}"), hint)
            }
        };
    }
    let is_away = |one: &Considered| matches!(one.passed_over, Some(Objection::Away(_)));
    let hint = if considered.iter().any(is_away) {
        "see `reconcile doctor`, or add a server"
    } else if tier.wants_dedicated() {
        "add a server of type dedicated"
    } else {
        "add a server, or raise max_instances of one"
    };
    match considered {
        [] => blocked(asked, "there is no server", "declare one under servers:"),
        considered => blocked(asked, format!("no server takes it: {}", clause(considered)), hint),
    }
}

/// The row as it will stand: what the file says, else what is there, else the documented default.
pub(super) fn over(wanted: &Instance, observed: Option<&Profile>) -> Profile {
    Profile {
        customer: wanted.customer,
        subscription: wanted.subscription.unwrap_or(observed.and_then(|row| row.subscription)),
        name: wanted.name.clone(),
        tier: wanted.tier.or(observed.map(|row| row.tier)).unwrap_or(Tier::Standard),
        state: wanted.state.or(observed.map(|row| row.state)).unwrap_or_default(),
    }
}

pub(super) fn fields_of(before: &Profile, after: &Profile) -> Vec<FieldDiff> {
    let id = |id: Option<uuid::Uuid>| id.map_or(Value::None, |id| Value::word(id.to_string()));
    let fields = [
        diff("name", Value::text(&before.name), Value::text(&after.name)),
        diff("subscription", id(before.subscription), id(after.subscription)),
        diff("tier", Value::word(before.tier.word()), Value::word(after.tier.word())),
        diff("state", Value::word(before.state.word()), Value::word(after.state.word())),
    ];
    fields.into_iter().filter(|diff| diff.before != diff.after).collect()
}

pub(super) fn diff(field: &'static str, before: Value, after: Value) -> FieldDiff {
    FieldDiff { field, before, after }
}

pub(super) fn changed(asked: &Asked<'_, Instance>, action: Action, fields: Vec<FieldDiff>, step: Step) -> Change<Step> {
    Change {
        id: asked.id.clone(),
        action,
        // To go on where it was is what the files wanted all along.
        origin: if matches!(action, Action::Resume | Action::Rotate) { Origin::Intended } else { asked.origin },
        fields,
        unknown: Vec::new(),
        actor: None,
        reason: None,
        notes: Vec::new(),
        is_scheduled: false,
        step,
    }
}

impl Observed {
    /// The server whose place it takes.
    pub fn server_id(&self) -> Option<crate::store::sql::Id> {
        self.allocation.as_ref().map(|allocation| allocation.server).or(self.server)
    }

    /// Its row names another address than its server has.
    pub(super) fn is_told_otherwise(&self, server: &Candidate) -> bool {
        self.server.is_some() && (self.db_host.as_deref() != Some(&server.host) || self.db_port != Some(server.port))
    }
}

impl Allocation {
    pub fn names(&self) -> Names {
        Names { database: self.database.clone(), role: self.role.clone() }
    }
}
