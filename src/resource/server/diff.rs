//! How a server's difference becomes a change; a counter that disagrees with the rows is drift.

use std::collections::BTreeMap;

use super::{DEFAULT_PORT, DEFAULT_PRIORITY, Observed, Profile, Server, ServerName, ServerType, Status, Step};
use crate::change::{Action, Blocked, Change, FieldDiff, Obstacle, Origin, Value};
use crate::resource::{Asked, Declared, Verdict};

/// What servers must know of each other.
pub struct Scope<'a> {
    pub declared: &'a BTreeMap<ServerName, Declared<Server>>,
    pub observed: &'a BTreeMap<ServerName, Observed>,
}

pub(super) fn diff(asked: &Asked<'_, Server>, scope: &Scope<'_>) -> Verdict<Step> {
    let former = asked.desired.formerly.as_ref().and_then(|name| Some((name, scope.observed.get(name)?)));
    let contested = match (asked.observed, former) {
        (Some(_), Some((former, _))) => {
            let reason = format!("it is to take over from {former}, and both exist");
            Some((reason, "take `formerly` away; nothing merges two servers".to_owned()))
        }
        (None, Some((former, _))) => rival(asked.key, former, scope),
        (Some(_), None) => heir(asked.key, asked.key, scope),
        (None, None) => None,
    };
    if let Some((reason, hint)) = contested {
        return Verdict::Blocked(blocked(asked, reason, &hint));
    }
    let observed = asked.observed.or(former.map(|(_, row)| row));
    let after = over(asked, observed);
    let Some(before) = observed else {
        return changed(asked, Action::Create, created(&after), Step { before: None, after });
    };
    if let Some(blocked) = unfit(asked, before, &after) {
        return Verdict::Blocked(blocked);
    }
    let mut fields = updated(&before.profile, &after);
    let is_moved = !fields.is_empty();
    if before.counter != before.allocated {
        let (counter, allocated) = (Value::Int(before.counter), Value::Int(before.allocated));
        fields.push(FieldDiff { field: "current_instances", before: counter, after: allocated });
    }
    if fields.is_empty() {
        return Verdict::InSync;
    }
    let step = Step { before: Some(before.clone()), after };
    match changed(asked, Action::Update, fields, step) {
        // No file says how full a server is: whoever moved the counter, it was not the files.
        Verdict::Change(change) if !is_moved => Verdict::Change(Box::new(Change { origin: Origin::Drift, ..*change })),
        verdict => verdict,
    }
}

/// Who else the files give the row of `former` to, as a reason and the way out: of two, neither may have it.
fn rival(name: &ServerName, former: &ServerName, scope: &Scope<'_>) -> Option<(String, String)> {
    match scope.declared.get(former) {
        Some(here) => {
            let reason = format!("it is to take over from {former}, which {} declares too", here.place);
            Some((reason, anew(former)))
        }
        None => heir(name, former, scope),
    }
}

/// The server other than `name` that is to take over from `former`, and has not yet.
fn heir(name: &ServerName, former: &ServerName, scope: &Scope<'_>) -> Option<(String, String)> {
    let to_be = |(other, server): &(&ServerName, &Declared<Server>)| {
        *other != name && server.value.formerly.as_ref() == Some(former) && !scope.observed.contains_key(*other)
    };
    let (heir, server) = scope.declared.iter().find(to_be)?;
    let whose = if name == former { "it".to_owned() } else { format!("{former} too") };
    let reason = format!("server/{heir}, in {}, is to take over from {whose}", server.place);
    Some((reason, if name == former { anew(former) } else { "take `formerly` away from one of them".to_owned() }))
}

fn anew(former: &ServerName) -> String {
    format!("let the renaming be applied first; then another server may be called {former}")
}

fn blocked(asked: &Asked<'_, Server>, reason: String, hint: &str) -> Blocked {
    Blocked { id: asked.id.clone(), obstacle: Obstacle::Resource, reason, hint: hint.to_owned() }
}

/// What it holds must have room in it, and stay where it is.
fn unfit(asked: &Asked<'_, Server>, before: &Observed, after: &Profile) -> Option<Blocked> {
    let held = before.allocated;
    if after.max_instances < held {
        let reason = format!("it holds {held}, and max_instances would be {}", after.max_instances);
        return Some(blocked(
            asked,
            reason,
            "forget retired instances first, or leave it and say `state: maintenance`",
        ));
    }
    if after.server_type != before.profile.server_type && held > 0 {
        let reason = format!(
            "it holds {held} as {}, and would be {}",
            before.profile.server_type.word(),
            after.server_type.word()
        );
        return Some(blocked(asked, reason, "register another server of that type"));
    }
    None
}

/// The row as it will stand: what the file says, else what is there, else the documented default.
fn over(asked: &Asked<'_, Server>, observed: Option<&Observed>) -> Profile {
    let Server { host, port, server_type, max_instances, priority, status, admin, formerly: _ } = asked.desired;
    let base = observed.map(|row| &row.profile);
    let server_type = server_type.or(base.map(|row| row.server_type)).unwrap_or(ServerType::Shared);
    Profile {
        name: asked.key.clone(),
        host: host.clone(),
        port: port.or(base.map(|row| row.port)).unwrap_or(DEFAULT_PORT),
        server_type,
        max_instances: match server_type {
            ServerType::Dedicated => 1,
            ServerType::Shared => max_instances.or(base.map(|row| row.max_instances)).unwrap_or(1),
        },
        priority: priority.or(base.map(|row| row.priority)).unwrap_or(DEFAULT_PRIORITY),
        status: status.or(base.map(|row| row.status)).unwrap_or(Status::Active),
        admin: Some(admin.clone()),
    }
}

fn values(profile: &Profile) -> [(&'static str, Value); 8] {
    let Profile { name, host, port, server_type, max_instances, priority, status, admin } = profile;
    [
        ("name", Value::word(&name.0)),
        ("host", Value::word(host)),
        ("port", Value::Int(*port)),
        ("type", Value::word(server_type.word())),
        ("max_instances", Value::Int(*max_instances)),
        ("priority", Value::Int(*priority)),
        ("state", Value::word(status.word())),
        ("admin", admin.as_ref().map_or(Value::None, Value::word)),
    ]
}

fn created(after: &Profile) -> Vec<FieldDiff> {
    let fields = values(after).into_iter().filter(|(field, _)| *field != "name");
    fields.map(|(field, after)| FieldDiff { field, before: Value::None, after }).collect()
}

fn updated(before: &Profile, after: &Profile) -> Vec<FieldDiff> {
    let pairs = values(before).into_iter().zip(values(after));
    let fields = pairs.map(|((field, before), (_, after))| FieldDiff { field, before, after });
    fields.filter(|diff| diff.before != diff.after).collect()
}

fn changed(asked: &Asked<'_, Server>, action: Action, fields: Vec<FieldDiff>, step: Step) -> Verdict<Step> {
    Verdict::Change(Box::new(Change {
        id: asked.id.clone(),
        action,
        origin: asked.origin,
        fields,
        unknown: Vec::new(),
        actor: None,
        reason: None,
        notes: Vec::new(),
        is_scheduled: false,
        step,
    }))
}
