//! How an instance's difference becomes a change: placed by capacity, resumed by its phase, rotated by number.

use std::collections::{BTreeMap, HashSet};

use super::names::{self, Names};
use super::phase::Phase;
use super::placement::{Candidate, Considered, clause, consider};
use super::steps::{Place, Stage, Step};
use super::{Allocation, Instance, InstanceId, KIND, Observed, Profile, Provision, SECTION, State, Tier};
use crate::change::{Action, Blocked, Change, FieldDiff, Kind, Origin, Value};
use crate::port::pool::Standing;
use crate::port::task::Outcome;
use crate::resource::server::{ServerName, ServerType};
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

    fn declare(item: &Item) -> Result<(InstanceId, Self), Vec<Problem>> {
        let instance = Instance {
            customer: item.uuid("customer").unwrap_or_default(),
            name: item.text("name").unwrap_or_default(),
            subscription: item.has("subscription").then(|| item.uuid("subscription")),
            tier: item.word("tier").and_then(Tier::from_word),
            server: item.text("server").map(ServerName),
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
            Some(observed) => change(asked, observed, scope),
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

type Answer = Result<Option<Change<Step>>, Blocked>;

fn blocked(asked: &Asked<'_, Instance>, reason: impl Into<String>, hint: impl Into<String>) -> Blocked {
    Blocked { id: asked.id.clone(), reason: reason.into(), hint: hint.into() }
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
    if wanted.provision == Some(Provision::AtOnce) && scope.has_broker {
        stages.push(Stage::Dispatch { number: 1 });
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

fn no_server(asked: &Asked<'_, Instance>, tier: Tier, considered: &[Considered]) -> Blocked {
    if let Some(pin) = &asked.desired.server {
        return match considered.iter().find(|one| one.server == *pin) {
            None => blocked(asked, format!("it is pinned to {pin}, which is not known"), "declare it under servers:"),
            Some(one) => {
                let why = one.passed_over.as_deref().unwrap_or_default();
                blocked(asked, format!("it is pinned to {pin}, and {why}"), "make room there, or take the pin away")
            }
        };
    }
    let hint = match tier.wants_dedicated() {
        true => "add a server of type dedicated",
        false => "add a server, or raise max_instances of one",
    };
    match considered {
        [] => blocked(asked, "there is no server", "declare one under servers:"),
        considered => blocked(asked, format!("no server takes it: {}", clause(considered)), hint),
    }
}

/// An instance that is there: what a file may not change first, then how far it has come.
fn change(asked: &Asked<'_, Instance>, observed: &Observed, scope: &mut Scope<'_>) -> Answer {
    let wanted = asked.desired;
    if observed.profile.state == State::Forgotten {
        return Err(blocked(
            asked,
            "it was forgotten by command, and its place is given back",
            "take it out of the files; a new instance wants an id of its own",
        ));
    }
    if wanted.customer != observed.profile.customer {
        let reason = format!("its customer is {}, and that never changes", observed.profile.customer);
        return Err(blocked(
            asked,
            reason,
            "write that customer; for another one, declare an instance with an id of its own",
        ));
    }
    let server = observed.server_id().and_then(|id| scope.servers.iter().find(|server| server.id == Some(id)));
    if let Some(server) = server {
        stays(asked, server)?;
    }
    let profile = over(wanted, Some(&observed.profile));
    let mut draft = Draft {
        fields: fields_of(&observed.profile, &profile),
        stages: Vec::new(),
        action: Action::Update,
        reason: None,
    };
    let moved = server.filter(|server| observed.is_told_otherwise(server));
    if let Some(server) = moved {
        let (host, port) = (observed.db_host.clone().unwrap_or_default(), observed.db_port.unwrap_or_default());
        draft.fields.push(diff(
            "address",
            Value::word(format!("{host}:{port}")),
            Value::word(format!("{}:{}", server.host, server.port)),
        ));
    }
    if !draft.fields.is_empty() {
        draft.stages.push(Stage::Write);
    }
    let allocation = observed.allocation.as_ref().zip(server);
    if let Some((allocation, server)) = allocation {
        outside(asked, observed, allocation, server, scope, &mut draft)?;
    } else if wanted.credentials_rotation.is_some_and(|rotation| rotation > 1) || wanted.state == Some(State::Retired) {
        return Err(blocked(
            asked,
            "it was not allocated here, so its role is not ours to change",
            "change it where it was made",
        ));
    }
    if draft.stages.is_empty() {
        return Ok(None);
    }
    let place = allocation.map(|(allocation, server)| Place::at(server, allocation.names(), Some(allocation.server)));
    let step = Step { id: *asked.key, before: Some(observed.clone()), profile, place, stages: draft.stages };
    let change = changed(asked, draft.action, draft.fields, step);
    Ok(Some(Change { reason: draft.reason, ..change }))
}

/// What is being put together for one instance.
struct Draft {
    fields: Vec<FieldDiff>,
    stages: Vec<Stage>,
    action: Action,
    reason: Option<String>,
}

/// Nothing moves a database: where it lies decides.
fn stays(asked: &Asked<'_, Instance>, server: &Candidate) -> Result<(), Blocked> {
    if let Some(pin) = asked.desired.server.as_ref().filter(|pin| **pin != server.name) {
        let reason = format!("it is pinned to {pin}, but its database lies on {}", server.name);
        return Err(blocked(asked, reason, "nothing moves a database by itself: take the pin back"));
    }
    let dedicated = server.server_type == ServerType::Dedicated;
    match asked.desired.tier {
        Some(tier) if tier.wants_dedicated() != dedicated => {
            let reason = format!("{} does not fit {}, where its database lies", tier.word(), server.name);
            Err(blocked(asked, reason, "nothing moves a database by itself: take the tier back"))
        }
        _ => Ok(()),
    }
}

/// What has to be done on the server, in the hand-off and with the broker.
fn outside(
    asked: &Asked<'_, Instance>,
    observed: &Observed,
    allocation: &Allocation,
    server: &Candidate,
    scope: &Scope<'_>,
    draft: &mut Draft,
) -> Result<(), Blocked> {
    let wanted = asked.desired;
    let retired = wanted.state.unwrap_or(observed.profile.state) == State::Retired;
    let rotation = wanted.credentials_rotation.unwrap_or(allocation.rotation);
    if rotation < allocation.rotation {
        let reason =
            format!("credentials_rotation {rotation} is below {}, which was applied already", allocation.rotation);
        return Err(blocked(asked, reason, "an old commit is no wish to go back: write a higher number"));
    }
    let standing = match &server.sight {
        Ok(sight) => Ok(sight.standing(asked.key.0, &allocation.database, &allocation.role, scope.environment)),
        Err(trouble) => Err(trouble),
    };
    if let Ok(standing) = &standing {
        is_whole(asked, observed.phase, allocation, server, standing)?;
    }
    if let Some(allowed) = login(observed.phase, retired, standing.as_ref().ok()) {
        if observed.profile.state == over(wanted, Some(&observed.profile)).state {
            draft.fields.push(diff("login", Value::Flag(!allowed), Value::Flag(allowed)));
        }
        draft.stages.push(Stage::Login { allowed });
    }
    if !retired {
        onward(asked, observed, allocation, server, scope, rotation, draft)?;
    }
    match standing {
        Err(trouble) if draft.stages.iter().any(Stage::is_on_server) => {
            let hint = "it goes on by itself when the server answers; see `reconcile doctor`";
            Err(blocked(asked, format!("{} cannot be used now: {trouble}", server.name), hint))
        }
        _ => Ok(()),
    }
}

/// What is ours must be there, and be ours.
fn is_whole(
    asked: &Asked<'_, Instance>,
    phase: Phase,
    allocation: &Allocation,
    server: &Candidate,
    standing: &Standing,
) -> Result<(), Blocked> {
    match standing {
        Standing::Foreign(why) => {
            let reason = format!("{why} on {}, and it is not this instance's", server.name);
            Err(blocked(asked, reason, "it is left alone: find out whose it is"))
        }
        Standing::Nothing | Standing::Partly if phase.has_database() => {
            let reason = format!("its database {} is gone from {}, or its role is", allocation.database, server.name);
            let hint = format!("restore it there; or give it up: `reconcile instance forget {}`", asked.key);
            Err(blocked(asked, reason, hint))
        }
        Standing::Nothing | Standing::Partly | Standing::Ours { .. } => Ok(()),
    }
}

/// Whether the role's LOGIN is to be given or taken.
fn login(phase: Phase, retired: bool, standing: Option<&Standing>) -> Option<bool> {
    if !phase.has_database() {
        return None;
    }
    match standing {
        Some(Standing::Ours { can_login }) if *can_login == retired => Some(!retired),
        _ => None,
    }
}

/// The next phases, as far as they may be gone.
fn onward(
    asked: &Asked<'_, Instance>,
    observed: &Observed,
    allocation: &Allocation,
    server: &Candidate,
    scope: &Scope<'_>,
    rotation: i64,
    draft: &mut Draft,
) -> Result<(), Blocked> {
    let phase = observed.phase;
    let hand_over = |from: Phase, to: Phase, why: Option<&str>| Stage::HandOver {
        passwords: allocation.passwords,
        rotation,
        from,
        to,
        why: why.map(str::to_owned),
    };
    let number = allocation.dispatches + 1;
    let mut stages = Vec::new();
    let mut allocated = matches!(phase, Phase::Allocated);
    let mut has_new_password = false;
    if matches!(phase, Phase::Reserved | Phase::DatabaseCreated) {
        if phase == Phase::Reserved {
            stages.push(Stage::Create);
        }
        stages.push(hand_over(Phase::DatabaseCreated, Phase::Allocated, None));
        (allocated, has_new_password) = (true, true);
    } else if rotation > allocation.rotation {
        draft.action = Action::Rotate;
        draft.fields.push(diff("credentials_rotation", Value::Int(allocation.rotation), Value::Int(rotation)));
        stages.push(hand_over(phase, phase, None));
        has_new_password = true;
    }
    let provision = asked.desired.provision.unwrap_or_default();
    let due = match provision {
        Provision::AtOnce => true,
        Provision::OnBilling => allocation.released_at.is_some(),
        Provision::Hold => false,
    };
    if allocated && (due || observed.sent) {
        if scope.has_broker {
            if !observed.sent && !observed.waiting && !has_new_password {
                stages.push(hand_over(Phase::Allocated, Phase::Allocated, Some(LOST)));
            }
            stages.push(Stage::Dispatch { number });
        } else if stages.is_empty() && draft.stages.is_empty() {
            let hint = "set celery.broker_url (or redis.url)";
            return Err(blocked(asked, "it is released, and no broker takes its task", hint));
        }
    }
    match &observed.outcome {
        Some(Outcome::Success) if phase == Phase::Provisioning => {
            stages.push(Stage::Finish { to: Phase::Ready, outcome: None });
        }
        Some(Outcome::Failure { exception }) if phase == Phase::Provisioning => {
            stages.push(Stage::Finish { to: Phase::Failed, outcome: Some(exception.clone()) });
        }
        _ => {}
    }
    if phase == Phase::Failed && stages.is_empty() && draft.stages.is_empty() {
        let what = allocation.outcome.as_deref().unwrap_or("an error");
        let hint = format!("see the worker's log, then `reconcile instance retry {}`", asked.key);
        return Err(blocked(asked, format!("the worker could not provision it: {what}"), hint));
    }
    if !stages.is_empty() && draft.action == Action::Update && draft.fields.is_empty() {
        draft.action = Action::Resume;
        let last = stages.iter().rev().find_map(Stage::reaches).unwrap_or(phase);
        draft.fields.push(diff("phase", Value::word(phase.word()), Value::word(last.word())));
        draft.reason = Some(match (last, stages.first()) {
            (Phase::Ready | Phase::Failed, _) => format!("the worker says that it is {last}"),
            (_, Some(Stage::HandOver { why: Some(why), .. })) => format!("resume at {phase} on {}: {why}", server.name),
            _ => format!("resume at {phase} on {}", server.name),
        });
    }
    draft.stages.extend(stages);
    Ok(())
}

/// Why a password is made that no file asked for.
pub const LOST: &str = "the credentials were no longer in the hand-off, so a new password is set";

/// The row as it will stand: what the file says, else what is there, else the documented default.
fn over(wanted: &Instance, observed: Option<&Profile>) -> Profile {
    Profile {
        customer: wanted.customer,
        subscription: wanted.subscription.unwrap_or(observed.and_then(|row| row.subscription)),
        name: wanted.name.clone(),
        tier: wanted.tier.or(observed.map(|row| row.tier)).unwrap_or(Tier::Standard),
        state: wanted.state.or(observed.map(|row| row.state)).unwrap_or_default(),
    }
}

fn fields_of(before: &Profile, after: &Profile) -> Vec<FieldDiff> {
    let id = |id: Option<uuid::Uuid>| id.map_or(Value::None, |id| Value::word(id.to_string()));
    let fields = [
        diff("name", Value::text(&before.name), Value::text(&after.name)),
        diff("subscription", id(before.subscription), id(after.subscription)),
        diff("tier", Value::word(before.tier.word()), Value::word(after.tier.word())),
        diff("state", Value::word(before.state.word()), Value::word(after.state.word())),
    ];
    fields.into_iter().filter(|diff| diff.before != diff.after).collect()
}

fn diff(field: &'static str, before: Value, after: Value) -> FieldDiff {
    FieldDiff { field, before, after }
}

fn changed(asked: &Asked<'_, Instance>, action: Action, fields: Vec<FieldDiff>, step: Step) -> Change<Step> {
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
    fn is_told_otherwise(&self, server: &Candidate) -> bool {
        self.server.is_some() && (self.db_host.as_deref() != Some(&server.host) || self.db_port != Some(server.port))
    }
}

impl Allocation {
    pub fn names(&self) -> Names {
        Names { database: self.database.clone(), role: self.role.clone() }
    }
}
