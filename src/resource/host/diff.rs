//! How a host's difference becomes a change: by number, by schedule, by field; never otherwise.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Adjust, Expiry, Host, KIND, Keep, Mint, MissingSession, Observed, SECTION, Step, add, lost};
use crate::change::{Action, Blocked, Change, FieldDiff, Kind, OURSELVES, Obstacle, Origin, Value, moment, span};
use crate::resource::session::SessionId;
use crate::resource::{Asked, Needs, Resource, Verdict};
use crate::yaml::{Item, Problem, Section};

/// What the planner knows of the session behind a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It stands in the database, or this very plan creates it.
    Present { live: bool },
    /// A file declares it, but this plan does not create it: it is blocked itself, or not a target.
    Waiting,
    /// Neither declared nor stored; the nearest ids that are.
    Missing { near: Vec<SessionId> },
}

/// What hosts must know of the rest of the world.
pub struct Scope<'a> {
    pub now: DateTime<Utc>,
    /// Whom the files' changes are attributed to.
    pub actor: &'a str,
    pub claim_life: Duration,
    pub session: &'a dyn Fn(SessionId) -> SessionState,
    /// Scheduled rotations that this turn may still do.
    pub schedule_left: u64,
}

impl Resource for Host {
    const KIND: Kind = KIND;
    const SECTION: Section = SECTION;
    type Key = SessionId;
    type Observed = Observed;
    type Scope<'a> = Scope<'a>;
    type Step = Step;

    fn declare(item: &Item<'_>) -> Result<(SessionId, Self), Vec<Problem>> {
        let within = item.duration("expires_in").map(|life| Some(Expiry::In(life)));
        let host = Host {
            rotation: item.int("rotation"),
            reason: item.text("reason").map(str::to_owned),
            rotated_by: item.text("rotated_by").map(str::to_owned),
            expiry: within.or_else(|| item.nullable_time("expires_at").map(|time| time.map(Expiry::At))),
            rotate_every: item.duration("rotate_every"),
            overlap: item.duration("overlap"),
            missing_session: item.word("missing_session").map(|word| match word {
                "create" => MissingSession::Create,
                _ => MissingSession::Error,
            }),
            active: item.flag("active"),
        };
        Ok((SessionId(item.int("session").unwrap_or_default()), host))
    }

    fn managed(&self) -> Vec<(&'static str, Value)> {
        let Host { rotation, reason, rotated_by, expiry, rotate_every, overlap, missing_session, active } = self;
        let length = |life: &Option<Duration>| life.map(|life| Value::word(span(life)));
        let expiry = expiry.map(|expiry| expiry.map_or(("expires_at", Value::None), Expiry::value));
        let fields = [
            ("rotation", rotation.map(Value::Int)),
            ("reason", reason.as_ref().map(Value::text)),
            ("rotated_by", rotated_by.as_ref().map(Value::text)),
            (expiry.as_ref().map_or("expires_at", |(field, _)| field), expiry.as_ref().map(|(_, value)| value.clone())),
            ("rotate_every", length(rotate_every)),
            ("overlap", length(overlap)),
            (
                "missing_session",
                missing_session.map(|policy| match policy {
                    MissingSession::Error => Value::word("error"),
                    MissingSession::Create => Value::word("create"),
                }),
            ),
            ("active", active.map(Value::Flag)),
        ];
        fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
    }

    fn diff(asked: &Asked<'_, Self>, scope: &mut Scope<'_>) -> Verdict<Step> {
        let create_session = match session_for(asked, scope) {
            Ok(title) => title,
            Err(blocked) => return Verdict::Blocked(blocked),
        };
        match asked.observed {
            None if asked.desired.active == Some(false) => Verdict::InSync,
            None => Verdict::Change(Box::new(create(asked, scope, create_session))),
            Some(observed) => over(asked, observed, scope),
        }
    }

    fn needs(step: &Step) -> Needs {
        let mints = matches!(step, Step::Mint(_));
        Needs { key: mints, handoff: mints, broker: false }
    }

    /// Its place in this turn goes to the next in line, or those that are held would keep all others waiting.
    fn withdraw(change: &Change<Step>, scope: &mut Scope<'_>) {
        scope.schedule_left += u64::from(change.is_scheduled);
    }
}

/// The title of the session to create, none where it exists already, or why the host must wait.
fn session_for(asked: &Asked<'_, Host>, scope: &Scope<'_>) -> Result<Option<String>, Blocked> {
    let key = *asked.key;
    match (scope.session)(key) {
        SessionState::Present { .. } => Ok(None),
        SessionState::Waiting => Err(blocked(
            asked,
            format!("it waits for session/{key}, which this plan does not create"),
            format!("see to session/{key} first"),
        )),
        SessionState::Missing { .. } if asked.desired.missing_session == Some(MissingSession::Create) => {
            Ok(Some(auto_title(key)))
        }
        SessionState::Missing { near } => Err(Blocked {
            obstacle: Obstacle::Missing,
            ..blocked(
                asked,
                missing(key, &near),
                "declare it under sessions: or set missing_session: create".to_owned(),
            )
        }),
    }
}

/// The title of a session that `missing_session: create` makes.
pub fn auto_title(session: SessionId) -> String {
    format!("Auto-Generated Session {session}")
}

/// That a session does not exist, and the ids next to it that do.
pub fn missing(session: SessionId, near: &[SessionId]) -> String {
    let ids: Vec<String> = near.iter().map(ToString::to_string).collect();
    match ids.as_slice() {
        [] => format!("session {session} does not exist in sessions"),
        ids => format!("session {session} does not exist in sessions (nearest: {})", ids.join(", ")),
    }
}

/// Why a revoked host stays as it is.
pub fn sticky(at: DateTime<Utc>, by: Option<&str>) -> String {
    format!("it was revoked by {} at {}, and revocation is sticky", by.unwrap_or("somebody"), moment(at))
}

pub(super) fn blocked(asked: &Asked<'_, Host>, reason: impl Into<String>, hint: impl Into<String>) -> Blocked {
    Blocked { id: asked.id.clone(), obstacle: Obstacle::Resource, reason: reason.into(), hint: hint.into() }
}

fn create(asked: &Asked<'_, Host>, scope: &Scope<'_>, create_session: Option<String>) -> Change<Step> {
    let desired = asked.desired;
    let rotation = desired.rotation.unwrap_or(1);
    let mut fields = vec![FieldDiff { field: "rotation", before: Value::None, after: Value::Int(rotation) }];
    fields.extend(expiry_field(desired));
    let notes = create_session.iter().map(|title| format!("session {} will be created: \"{title}\"", asked.key));
    let notes = notes.chain(is_past(asked.desired, scope.now)).collect();
    let mint = mint(asked, scope, Some(rotation), Keep::Nothing, create_session);
    changed(asked, Action::Create, fields, desired.reason.clone(), notes, mint)
}

/// The change of a host that has a row already.
fn over(asked: &Asked<'_, Host>, observed: &Observed, scope: &mut Scope<'_>) -> Verdict<Step> {
    if observed.active_rows > 1 {
        let count = observed.active_rows;
        return Verdict::Blocked(blocked(
            asked,
            format!("{count} active GUIDs stand for session {}", asked.key),
            "`reconcile host consolidate` keeps the newest",
        ));
    }
    match asked.desired.rotation {
        Some(wanted) if wanted < observed.rotation => Verdict::Blocked(blocked(
            asked,
            format!("the file says rotation {wanted}, but {} was applied: this is an old commit", observed.rotation),
            format!("a lower number is not a wish to go back: say {} or more", observed.rotation),
        )),
        Some(wanted) if wanted > observed.rotation && !is_adopted(observed, wanted) => {
            Verdict::Change(Box::new(rotate_explicitly(asked, observed, scope, wanted)))
        }
        _ => keep_or_adjust(asked, observed, scope),
    }
}

/// A host that was made by hand or by an older tool has the number 0. A file that speaks of it for the first time does
/// not ask for another GUID: people are using the one that is there.
fn is_adopted(observed: &Observed, wanted: i64) -> bool {
    observed.rotation == 0 && wanted == 1 && observed.revoked_at.is_none() && !observed.is_gone()
}

fn rotate_explicitly(asked: &Asked<'_, Host>, observed: &Observed, scope: &Scope<'_>, wanted: i64) -> Change<Step> {
    let keep = match asked.desired.overlap {
        Some(overlap) if !overlap.is_zero() && observed.revoked_at.is_none() => Keep::For(overlap),
        _ => Keep::Nothing,
    };
    let mut fields =
        vec![FieldDiff { field: "rotation", before: Value::Int(observed.rotation), after: Value::Int(wanted) }];
    fields.extend(renewed(observed, asked.desired.active.unwrap_or(true), asked.desired.expiry.flatten()));
    let mut notes = Vec::new();
    if let SessionState::Present { live: true } = (scope.session)(*asked.key) {
        notes.push(match keep {
            Keep::For(overlap) => {
                format!("session {} is live: the old GUID stays valid for {}", asked.key, span(overlap))
            }
            _ => format!("session {} is live: its host will have to sign in again", asked.key),
        });
    }
    notes.extend(is_past(asked.desired, scope.now));
    let mint = mint(asked, scope, Some(wanted), keep, None);
    changed(asked, Action::Rotate, fields, asked.desired.reason.clone(), notes, mint)
}

/// Nothing explicit is asked: revocation, a GUID that is gone, the schedule and the fields decide, in this order.
fn keep_or_adjust(asked: &Asked<'_, Host>, observed: &Observed, scope: &mut Scope<'_>) -> Verdict<Step> {
    let desired = asked.desired;
    if let Some(at) = observed.revoked_at {
        return match desired.active {
            Some(true) => Verdict::Blocked(blocked(
                asked,
                sticky(at, observed.revoked_by.as_deref()),
                format!("raise rotation, or `reconcile host rotate --session-id {}`", asked.key),
            )),
            _ => Verdict::InSync,
        };
    }
    if observed.is_active && desired.active != Some(false) {
        if let Some(verdict) = lost::verdict(asked, observed, scope) {
            return verdict;
        }
        if let Some(every) = desired.rotate_every
            && (observed.claimed_at.is_some() || observed.attempt.is_none())
            && due(*asked.key, observed.minted_at, every).is_some_and(|due| due <= scope.now)
            && let Some(left) = scope.schedule_left.checked_sub(1)
        {
            scope.schedule_left = left;
            return Verdict::Change(Box::new(rotate_on_schedule(asked, observed, scope, every)));
        }
    }
    adjust(asked, observed)
}

/// When the schedule rotates next: `every` after the last GUID, and later by a share of it that depends on the
/// session alone (at most a twentieth, and one hour), so that hosts made together do not rotate together.
pub fn due(session: SessionId, minted_at: DateTime<Utc>, every: Duration) -> Option<DateTime<Utc>> {
    let most = (every / 20).min(Duration::from_secs(3600));
    // Fibonacci hashing: neighbouring ids end far from each other.
    let share = session.0.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    let later = most.mul_f64(f64::from(u32::try_from(share).unwrap_or(0)) / 65_536.0);
    add(minted_at, every + Duration::from_secs(later.as_secs()))
}

fn rotate_on_schedule(
    asked: &Asked<'_, Host>,
    observed: &Observed,
    scope: &Scope<'_>,
    every: Duration,
) -> Change<Step> {
    let keep = Keep::UntilClaimed(asked.desired.overlap.unwrap_or(Duration::ZERO));
    let generation = observed.generation;
    let mut fields = vec![FieldDiff {
        field: "generation",
        before: Value::Int(generation),
        after: Value::Int(generation.saturating_add(1)),
    }];
    // A host that was made by hand is adopted on the way: else the next turn would still have that to do.
    if let Some(wanted) = asked.desired.rotation.filter(|wanted| *wanted != observed.rotation) {
        let (before, after) = (Value::Int(observed.rotation), Value::Int(wanted));
        fields.insert(0, FieldDiff { field: "rotation", before, after });
    }
    fields.extend(renewed(observed, asked.desired.active.unwrap_or(true), asked.desired.expiry.flatten()));
    let mut notes = vec!["the old GUID stays valid until the new one is claimed".to_owned()];
    notes.extend(is_past(asked.desired, scope.now));
    let reason = Some(format!("scheduled, every {}", span(every)));
    let mint = mint(asked, scope, asked.desired.rotation, keep, None);
    let change = changed(asked, Action::Rotate, fields, reason, notes, mint);
    // Time moved, not the database: this is what the files want.
    Change { origin: Origin::Intended, ..change }
}

/// The fields beside the GUID: whether it is active, and until when.
fn adjust(asked: &Asked<'_, Host>, observed: &Observed) -> Verdict<Step> {
    let rotation = asked.desired.rotation.unwrap_or(observed.rotation);
    let is_active = asked.desired.active.unwrap_or(observed.is_active);
    let expires_at = match asked.desired.expiry {
        Some(expiry) => expiry.and_then(|expiry| expiry.after(observed.minted_at)),
        None => observed.expires_at,
    };
    let fields = [
        ("rotation", Value::Int(observed.rotation), Value::Int(rotation)),
        ("active", Value::Flag(observed.is_active), Value::Flag(is_active)),
        ("expires_at", Value::time(observed.expires_at), Value::time(expires_at)),
    ];
    let fields = fields.into_iter().map(|(field, before, after)| FieldDiff { field, before, after });
    let fields: Vec<FieldDiff> = fields.filter(|diff| diff.before != diff.after).collect();
    if fields.is_empty() {
        return Verdict::InSync;
    }
    let notes = match rotation == observed.rotation {
        true => Vec::new(),
        false => vec!["the GUID that is there stays valid: it is adopted, not rotated".to_owned()],
    };
    let step = Step::Adjust(Adjust { over: observed.over(), rotation, is_active, expires_at });
    Verdict::Change(Box::new(changed(asked, Action::Update, fields, asked.desired.reason.clone(), notes, step)))
}

/// That a new GUID would be of no use: the file's time for it is over.
fn is_past(desired: &Host, now: DateTime<Utc>) -> Option<String> {
    match desired.expiry {
        Some(Some(Expiry::At(at))) if at <= now => {
            Some(format!("its expires_at, {}, is past: the new GUID opens nothing", moment(at)))
        }
        _ => None,
    }
}

fn expiry_field(desired: &Host) -> Option<FieldDiff> {
    let (field, after) = desired.expiry??.value();
    Some(FieldDiff { field, before: Value::None, after })
}

/// What else a new GUID changes in its row. A life is compared with the one that the row has had.
pub(super) fn renewed(observed: &Observed, is_active: bool, expiry: Option<Expiry>) -> Vec<FieldDiff> {
    let life = observed.expires_at.and_then(|until| (until - observed.minted_at).to_std().ok());
    let (field, before, after) = match expiry {
        Some(Expiry::In(wanted)) => {
            let before = life.map_or(Value::time(observed.expires_at), |life| Value::word(span(life)));
            ("expires_in", before, Value::word(span(wanted)))
        }
        expiry => {
            ("expires_at", Value::time(observed.expires_at), expiry.map_or(Value::None, |expiry| expiry.value().1))
        }
    };
    let fields = [
        ("active", Value::Flag(observed.is_active), Value::Flag(is_active)),
        ("revoked_at", Value::time(observed.revoked_at), Value::None),
        (field, before, after),
    ];
    let fields = fields.into_iter().map(|(field, before, after)| FieldDiff { field, before, after });
    fields.filter(|diff| diff.before != diff.after).collect()
}

/// For whom a GUID is made: what the schedule asks for, or drift, no person has asked for.
fn actor(asked: &Asked<'_, Host>, scope: &Scope<'_>, keep: Keep) -> String {
    match (keep, &asked.desired.rotated_by, asked.origin) {
        (Keep::UntilClaimed(_) | Keep::Former { .. }, ..) | (_, None, Origin::Drift) => OURSELVES.to_owned(),
        (_, Some(by), _) => by.clone(),
        (_, None, _) => scope.actor.to_owned(),
    }
}

pub(super) fn mint(
    asked: &Asked<'_, Host>,
    scope: &Scope<'_>,
    rotation: Option<i64>,
    keep: Keep,
    create_session: Option<String>,
) -> Step {
    Step::Mint(Mint {
        session: *asked.key,
        over: asked.observed.map(Observed::over),
        replace: false,
        rotation,
        expiry: asked.desired.expiry.flatten(),
        is_active: asked.desired.active.unwrap_or(true),
        keep,
        by: actor(asked, scope, keep),
        create_session,
        claim_life: scope.claim_life,
    })
}

pub(super) fn changed(
    asked: &Asked<'_, Host>,
    action: Action,
    fields: Vec<FieldDiff>,
    reason: Option<String>,
    notes: Vec<String>,
    step: Step,
) -> Change<Step> {
    let (actor, unknown) = match &step {
        Step::Mint(mint) => (Some(mint.by.clone()), vec!["host_guid_hash", "attempt"]),
        Step::Adjust(_) | Step::Revoke(_) => (None, Vec::new()),
    };
    let is_scheduled = matches!(&step, Step::Mint(Mint { keep: Keep::UntilClaimed(_), .. }));
    let (id, origin) = (asked.id.clone(), asked.origin);
    Change { id, action, origin, fields, unknown, actor, reason, notes, is_scheduled, step }
}
