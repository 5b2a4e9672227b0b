//! An instance that is there: what may not change, what has to be done outside, and the next phases as far as they go.

use super::diff::{Answer, Scope, blocked, changed, diff, fields_of, over, released_by};
use super::phase::Phase;
use super::placement::Candidate;
use super::steps::{Place, Stage, Step};
use super::{Allocation, Instance, Observed, Provision, State};
use crate::change::{Action, Blocked, Change, FieldDiff, Value};
use crate::port::handoff::Unknown;
use crate::port::pool::Standing;
use crate::port::task::Outcome;
use crate::resource::Asked;
use crate::resource::server::ServerType;

/// An instance that is there: what a file may not change first, then how far it has come.
pub(super) fn change(asked: &Asked<'_, Instance>, observed: &Observed, scope: &mut Scope<'_>) -> Answer {
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
    // What an older tool allocated keeps the address that it was given.
    let ours = server.filter(|_| observed.allocation.is_some());
    let moved = ours.filter(|server| observed.is_told_otherwise(server));
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
        onward(asked, observed, allocation, server, scope, draft)?;
    }
    // Whether the role may log in is not known; the row must not say what the role does not.
    let turns = observed.phase.has_database() && retired != (observed.profile.state == State::Retired);
    match standing {
        Err(trouble) if turns || draft.stages.iter().any(Stage::is_on_server) => {
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
    draft: &mut Draft,
) -> Result<(), Blocked> {
    let phase = observed.phase;
    let mut stages = passwords(asked, observed, allocation, draft);
    let has_new_password = !stages.is_empty();
    let mut released = None;
    let due = match asked.desired.provision.unwrap_or_default() {
        Provision::AtOnce => true,
        Provision::OnBilling if allocation.released_at.is_some() => true,
        Provision::OnBilling => {
            released = released_by(over(asked.desired, Some(&observed.profile)).subscription, scope.releases);
            released.is_some()
        }
        Provision::Hold => false,
    };
    if phase <= Phase::Allocated && (due || observed.sent) {
        if scope.has_broker {
            if !observed.sent && !observed.waiting && !has_new_password {
                if let Some(unknown) = &observed.unknown {
                    return Err(blocked(asked, unknown_from_here(unknown), unknown.hint()));
                }
                stages.push(Stage::Lose);
                let (from, to) = (Phase::DatabaseCreated, Phase::Allocated);
                stages.push(hand_over(allocation, allocation.rotation, from, to, Some(LOST)));
            }
            stages.extend(released.map(|by| Stage::Release { by }));
            stages.push(Stage::Dispatch { number: allocation.dispatches + 1 });
        } else if stages.is_empty() && draft.stages.is_empty() {
            let hint = "set celery.broker_url (or redis.url)";
            return Err(blocked(asked, "it is released, and no broker takes its task", hint));
        }
    }
    stages.extend(finish(observed));
    if phase == Phase::Failed && stages.is_empty() && draft.stages.is_empty() {
        let what = allocation.outcome.as_deref().unwrap_or("an error");
        let hint = format!("see the worker's log, then `reconcile instance retry {}`", asked.key);
        return Err(blocked(asked, format!("the worker could not provision it: {what}"), hint));
    }
    if !stages.is_empty() && draft.action == Action::Update && draft.fields.is_empty() {
        resume(phase, &stages, server, draft);
    }
    draft.stages.extend(stages);
    Ok(())
}

/// What makes a new password: the way to it is not done yet, or the file asks for one.
fn passwords(
    asked: &Asked<'_, Instance>,
    observed: &Observed,
    allocation: &Allocation,
    draft: &mut Draft,
) -> Vec<Stage> {
    let rotation = asked.desired.credentials_rotation.unwrap_or(allocation.rotation);
    let hand_over = |from, to| hand_over(allocation, rotation, from, to, None);
    match observed.phase {
        Phase::Reserved => vec![Stage::Create, hand_over(Phase::DatabaseCreated, Phase::Allocated)],
        Phase::DatabaseCreated => vec![hand_over(Phase::DatabaseCreated, Phase::Allocated)],
        phase if rotation > allocation.rotation => {
            draft.action = Action::Rotate;
            draft.fields.push(diff("credentials_rotation", Value::Int(allocation.rotation), Value::Int(rotation)));
            vec![hand_over(phase, phase)]
        }
        _ => Vec::new(),
    }
}

fn hand_over(allocation: &Allocation, rotation: i64, from: Phase, to: Phase, why: Option<&str>) -> Stage {
    Stage::HandOver { passwords: allocation.passwords, rotation, from, to, why: why.map(str::to_owned) }
}

/// What the worker says of an instance that it is provisioning.
fn finish(observed: &Observed) -> Option<Stage> {
    match (observed.phase, observed.outcome.as_ref()?) {
        (Phase::Provisioning, Outcome::Success) => Some(Stage::Finish { to: Phase::Ready, outcome: None }),
        (Phase::Provisioning, Outcome::Failure { exception }) => {
            Some(Stage::Finish { to: Phase::Failed, outcome: Some(exception.clone()) })
        }
        _ => None,
    }
}

/// Nothing but the next phases: where it goes on, and why.
fn resume(phase: Phase, stages: &[Stage], server: &Candidate, draft: &mut Draft) {
    draft.action = Action::Resume;
    let last = stages.iter().rev().find_map(Stage::reaches).unwrap_or(phase);
    draft.fields.push(diff("phase", Value::word(phase.word()), Value::word(last.word())));
    draft.reason = Some(match (last, stages) {
        (Phase::Ready, _) => "the worker says that it is ready".to_owned(),
        (Phase::Failed, _) => "the worker says that it failed".to_owned(),
        (_, [Stage::Lose, ..]) => format!("resume at {phase} on {}: {LOST}", server.name),
        _ => format!("resume at {phase} on {}", server.name),
    });
    let by = stages.iter().find_map(|stage| if let Stage::Release { by } = stage { Some(by) } else { None });
    if let (Some(by), Some(reason)) = (by, &mut draft.reason) {
        reason.push_str(&format!("; released by {by}"));
    }
}

/// Why a password is made that no file asked for.
pub const LOST: &str = "the credentials were no longer in the hand-off, so a new password is set";

/// Why no task goes out, and no password is set: the one that was handed over may still wait for its reader.
pub fn unknown_from_here(unknown: &Unknown) -> String {
    format!("unknown from here whether its credentials wait: {unknown}")
}
