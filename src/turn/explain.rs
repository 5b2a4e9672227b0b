//! One answer to "why is this not done?": where a resource is declared, how it stands, and what comes next.

use super::last_good::Enforced;
use super::{Focus, Request, World, protection};
use crate::change::{Blocked, Change, Failed, ResourceId, Width, hanging, moment, printable, rfc3339};
use crate::failure::Result;
use crate::kinds::{self, Desired, Observed, Step};
use crate::plan::Held;
use crate::plan::render::{PlanLine, json_change};
use crate::resource::Resource;
use crate::resource::host;
use crate::resource::instance::onward::unknown_from_here;
use crate::resource::instance::phase::Phase;
use crate::resource::instance::placement::Considered;
use crate::resource::instance::{InstanceId, KIND, Provision};
use crate::resource::session::{Session, SessionId};
use crate::store::journal::{self, Line};
use crate::store::protections::Protection;

/// Everything known of one resource.
#[derive(Debug)]
pub struct Explanation {
    pub id: ResourceId,
    /// `file:line:column`, where a file declares it.
    pub declared: Option<String>,
    /// The database has it.
    pub exists: bool,
    /// One line: in sync, what would change, or what blocks it or holds it back.
    pub verdict: String,
    /// The way out, where it is blocked or held back.
    pub hint: Option<String>,
    /// What the next turn will do, as a plan shows it.
    pub change: Option<Change<Step>>,
    pub notes: Vec<String>,
    /// What lifts its protection, where no file has an item of it.
    pub lift: Option<String>,
    /// How each server was judged, for an instance that looked for one.
    pub considered: Vec<Considered>,
    pub history: Vec<Line>,
}

impl World {
    pub async fn explain(&self, id: &ResourceId) -> Result<Explanation> {
        let request = Request::everything();
        let (wanted, enforced) = match self.read().await {
            Ok(wanted) => (wanted, None),
            Err(failure) => self.enforce(failure).await.map(|(wanted, enforced)| (wanted, Some(enforced)))?,
        };
        let picture = self.look(Focus::Everything(&wanted.desired), request.now).await?;
        let plan = self.judged(self.plan(&wanted, &picture, &request), &picture).await?;
        let declared = wanted.desired.place(id);
        let session = id.name.parse().ok().map(SessionId).filter(|_| id.kind == Session::KIND);
        let exists = match session {
            // Of a session that is as declared, or that no file declares, no row was kept.
            Some(session) => self.look(Focus::Session(session), request.now).await?.observed.has(id),
            None => picture.observed.has(id),
        };
        let planned = plan.changes.iter().find(|planned| planned.change.id == *id);
        let (change, held) = (planned.map(|planned| &planned.change), planned.and_then(|planned| plan.held(planned)));
        let blocked = plan.blocked.iter().find(|blocked| blocked.id == *id);
        let verdict = match (held, change, blocked, &declared) {
            (Some(held), ..) => format!("not applied: {}", held.why),
            (None, Some(change), ..) => {
                format!("the next run will {} it ({})", change.action.name(), change.origin.name())
            }
            (None, None, Some(blocked), _) => format!("blocked: {}", blocked.reason),
            (None, None, None, Some(_)) => "in sync: the database matches the file".to_owned(),
            (None, None, None, None) if exists => "unmanaged: it exists, and no file names it".to_owned(),
            (None, None, None, None) => "unknown: no file names it, and it does not exist".to_owned(),
        };
        let (history, protection) = match self.database.snapshot().await? {
            Some(mut snapshot) => {
                let filter = journal::Filter { resource: Some(id.clone()), most: 5 };
                (journal::read(&mut snapshot, &filter).await?, protection::of(&mut snapshot, id).await?)
            }
            None => (Vec::new(), None),
        };
        let of_this = plan.notes.iter().filter(|(of, _)| of == id).map(|(_, note)| note.clone());
        let mut notes: Vec<String> = of_this.collect();
        let lift = protection.as_ref().filter(|_| declared.is_none()).map(|_| kinds::lifting(id));
        notes.extend(protection.map(|Protection { actor, protected_at, .. }| {
            let hint = kinds::protected(id.clone(), declared.as_deref()).hint;
            format!("it is protected by {actor} since {}; {hint}", moment(protected_at))
        }));
        notes.extend(enforced.iter().map(Enforced::line));
        notes.extend(unknown(id, &picture.observed).filter(|why| !notes.iter().any(|note| note.starts_with(why))));
        notes.extend(whereabouts(id, &wanted.desired, &picture.observed));
        // A plan says it of what is blocked, or changed.
        notes.extend(revocation(id, &picture.observed).filter(|_| change.is_none() && blocked.is_none()));
        let failed = plan.failures.get(id).filter(|_| change.is_some() && held.is_none());
        let verdict = failed.map_or(verdict, Failed::sentence);
        let suspended = picture.ledger.suspension(id).map(|Blocked { reason, hint, .. }| format!("{reason}; {hint}"));
        // A plan says it of what is blocked, or in sync and named by a file.
        notes.extend(suspended.filter(|note| blocked.is_none() && !plan.notes.iter().any(|(_, said)| said == note)));
        let change = change.cloned();
        let approve = held.map(|Held { digest, .. }| {
            format!("look at it with `reconcile --plan`; if it is meant: `reconcile approve {digest} --reason R`")
        });
        let hint = approve.or_else(|| blocked.map(|blocked| blocked.hint.clone()));
        let considered = plan.considered.get(id).cloned().unwrap_or_default();
        let id = id.clone();
        Ok(Explanation { id, declared, exists, verdict, hint, change, notes, lift, considered, history })
    }
}

/// Why a host that is as its file says opens nothing all the same.
fn revocation(id: &ResourceId, observed: &Observed) -> Option<String> {
    let session = id.name.parse().ok().map(SessionId).filter(|_| id.kind == host::KIND)?;
    let host = observed.hosts.get(&session)?;
    let why = host::diff::sticky(host.revoked_at?, host.revoked_by.as_deref());
    Some(format!("{why}; raise rotation, or `reconcile host rotate --session-id {session}`"))
}

/// Why it is not known where the GUID of a host is, or the credentials of an instance.
fn unknown(id: &ResourceId, observed: &Observed) -> Option<String> {
    match id.kind {
        host::KIND => observed.hosts.get(&SessionId(id.name.parse().ok()?))?.unknown(),
        KIND => {
            let why = observed.instances.get(&InstanceId(id.name.parse().ok()?))?.unknown.as_ref()?;
            Some(format!("{}; {}", unknown_from_here(why), why.hint()))
        }
        _ => None,
    }
}

/// Where an instance lies, and what it waits for.
fn whereabouts(id: &ResourceId, desired: &Desired, observed: &Observed) -> Vec<String> {
    let key = id.name.parse().ok().map(InstanceId).filter(|_| id.kind == KIND);
    let Some((key, instance)) = key.and_then(|key| Some((key, observed.instances.get(&key)?))) else {
        return Vec::new();
    };
    let server = observed.servers.values().find(|row| Some(row.id) == instance.server_id());
    let mut notes = Vec::new();
    if let Some((allocation, row)) = instance.allocation.as_ref().zip(server) {
        notes.push(format!("{} on {}, database {}", instance.phase, row.profile.name, allocation.database));
        let declared = desired.instances.get(&key).map(|declared| declared.value.provision.unwrap_or_default());
        if instance.phase == Phase::Allocated && allocation.released_at.is_none() {
            notes.extend(declared.and_then(|provision| match provision {
                Provision::AtOnce => None,
                Provision::Hold => Some("it is on hold: its file says `provision: hold`".to_owned()),
                Provision::OnBilling => {
                    let subscription = instance.profile.subscription;
                    let event = subscription.and_then(|subscription| observed.releases.get(&subscription));
                    let by_hand = format!("`reconcile instance provision {key}` releases it");
                    Some(match (subscription, event) {
                        (None, _) => format!("it names no subscription; {by_hand}"),
                        (Some(subscription), None) => {
                            format!("it waits for a billing event of subscription {subscription}; {by_hand}")
                        }
                        (Some(subscription), Some(event)) => {
                            format!("billing has released subscription {subscription}: {event}")
                        }
                    })
                }
            }));
        }
    }
    notes
}

impl Explanation {
    pub fn json(&self) -> serde_json::Value {
        let Self { id, declared, exists, verdict, hint, change, notes, lift, considered, history } = self;
        let server = |Considered { server, passed_over }: &Considered| {
            let passed_over = passed_over.as_ref().map(ToString::to_string);
            serde_json::json!({ "server": server.to_string(), "passed_over": passed_over })
        };
        let line = |line: &Line| {
            serde_json::json!({ "at": rfc3339(line.at), "action": line.action, "actor": line.actor,
                                "revision": line.revision, "reason": line.reason, "origin": line.origin })
        };
        serde_json::json!({
            "address": id.to_string(), "declared": declared, "exists": exists, "verdict": verdict, "hint": hint,
            "change": change.as_ref().map(json_change), "notes": notes, "lift": lift,
            "considered": considered.iter().map(server).collect::<Vec<_>>(), "history": history.iter().map(line).collect::<Vec<_>>(),
        })
    }

    /// For people, in lines of that width.
    pub fn text(&self, width: Width) -> String {
        let Self { id, declared, exists, verdict, hint, change, notes, lift, considered, history } = self;
        let mut text = format!("{id}\n");
        let mut line = |name: &str, about: &str| {
            text.push_str(&hanging(&format!("  {name:<10}"), &printable(about), 12, width));
            text.push('\n');
        };
        line("declared", declared.as_deref().unwrap_or("in no file"));
        line("database", if *exists { "has it" } else { "does not have it" });
        line("verdict", verdict);
        hint.iter().for_each(|hint| line("way out", hint));
        notes.iter().for_each(|note| line("note", note));
        for one in considered {
            line("server", &one.to_string());
        }
        for entry in history {
            let reason = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            line("journal", &format!("{} {} by {}{reason}", moment(entry.at), entry.action, entry.actor));
        }
        text.push_str(&change.as_ref().map(|change| PlanLine::of_change(change).text(width)).unwrap_or_default());
        for line in lift.iter().flat_map(|lift| lift.lines()) {
            text.push_str(&format!("      {line}\n"));
        }
        text
    }
}
