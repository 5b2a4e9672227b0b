//! Commands by hand: an intent for one host, planned like any other change.

use std::time::Duration;

use super::diff::{SessionState, missing, renewed, sticky};
use super::{Expiry, KIND, Keep, Mint, Observed, Revoke, Step};
use crate::change::{Action, Blocked, Change, FieldDiff, Obstacle, Origin, ResourceId, Value};
use crate::resource::session::SessionId;

/// What somebody asks for by a command, or over HTTP.
#[derive(Clone, Debug)]
pub struct Intent {
    pub session: SessionId,
    /// Whom the row names.
    pub by: String,
    /// Whom the journal names.
    pub actor: String,
    pub reason: Option<String>,
    pub wish: Wish,
}

#[derive(Clone, Copy, Debug)]
pub enum Wish {
    /// A host, whether there is one (then it is rotated in place) or not.
    Create { expires_in: Option<Duration>, force_new: bool },
    /// A new GUID for the host that is there.
    Rotate { expires_in: Option<Duration> },
    /// An end to the GUID that is there.
    Revoke,
}

impl Intent {
    pub fn id(&self) -> ResourceId {
        ResourceId::new(KIND, self.session)
    }

    /// The change that fulfils the intent; `None`: it is fulfilled already.
    pub fn plan(
        &self,
        observed: Option<&Observed>,
        session: SessionState,
        claim_life: Duration,
    ) -> Result<Option<Change<Step>>, Blocked> {
        if let SessionState::Missing { near } = &session {
            return Err(self.missing(
                missing(self.session, near),
                "declare it under sessions: in a state file, or use an id that exists",
            ));
        }
        if let Some(observed) = observed.filter(|observed| observed.active_rows > 1) {
            return Err(self.blocked(
                format!("{} active GUIDs stand for session {}", observed.active_rows, self.session),
                "`reconcile host consolidate` keeps the newest",
            ));
        }
        if let (Wish::Create { .. }, Some(observed)) = (self.wish, observed)
            && let Some(at) = observed.revoked_at
        {
            let way_out = format!("`reconcile host rotate --session-id {}` ends the revocation", self.session);
            let why = sticky(at, observed.revoked_by.as_deref());
            return Err(self.blocked(format!("session {} gets no new GUID: {why}", self.session), way_out));
        }
        match (self.wish, observed) {
            (Wish::Create { expires_in, force_new }, observed) => {
                Ok(Some(self.mint(observed, expires_in, force_new, claim_life)))
            }
            (Wish::Rotate { expires_in }, Some(observed)) => {
                Ok(Some(self.mint(Some(observed), expires_in, false, claim_life)))
            }
            (Wish::Revoke, Some(observed)) if observed.revoked_at.is_some() => Ok(None),
            (Wish::Revoke, Some(observed)) => Ok(Some(self.revoke(observed))),
            (Wish::Rotate { .. } | Wish::Revoke, None) => Err(self.missing(
                format!("session {} has no host", self.session),
                format!("`reconcile host create --session-id {} --created-by NAME` makes one", self.session),
            )),
        }
    }

    fn mint(
        &self,
        observed: Option<&Observed>,
        expires_in: Option<Duration>,
        force_new: bool,
        claim_life: Duration,
    ) -> Change<Step> {
        let generation = |generation: i64| Value::Int(generation);
        let before = observed.map_or(Value::None, |observed| generation(observed.generation));
        let after = generation(observed.map_or(1, |observed| observed.generation.saturating_add(1)));
        let expiry = expires_in.map(Expiry::In);
        let mut fields = vec![FieldDiff { field: "generation", before, after }];
        let mut notes = Vec::new();
        match observed {
            Some(observed) => fields.extend(renewed(observed, true, expiry)),
            None => fields.extend(expiry.map(|expiry| {
                let (field, after) = expiry.value();
                FieldDiff { field, before: Value::None, after }
            })),
        }
        if let Some(observed) = observed.filter(|_| force_new) {
            let id = observed.host_session_id;
            notes.push(format!("host session {id} is deactivated, and a new row takes its place"));
        }
        let step = Step::Mint(Mint {
            session: self.session,
            over: observed.map(Observed::over),
            replace: force_new && observed.is_some(),
            rotation: None,
            expiry,
            is_active: true,
            keep: Keep::Nothing,
            by: self.by.clone(),
            create_session: None,
            claim_life,
        });
        let action = if observed.is_some() { Action::Rotate } else { Action::Create };
        Change { notes, ..self.change(action, fields, vec!["host_guid_hash", "attempt"], step) }
    }

    fn revoke(&self, observed: &Observed) -> Change<Step> {
        let fields = vec![FieldDiff { field: "revoked_by", before: Value::None, after: Value::text(self.by.as_str()) }];
        let step = Step::Revoke(Revoke { over: observed.over(), by: self.by.clone() });
        self.change(Action::Update, fields, vec!["revoked_at"], step)
    }

    fn change(&self, action: Action, fields: Vec<FieldDiff>, unknown: Vec<&'static str>, step: Step) -> Change<Step> {
        Change {
            id: self.id(),
            action,
            origin: Origin::Manual,
            fields,
            unknown,
            actor: Some(self.actor.clone()),
            reason: self.reason.clone(),
            notes: Vec::new(),
            is_scheduled: false,
            step,
        }
    }

    fn missing(&self, reason: impl Into<String>, hint: impl Into<String>) -> Blocked {
        Blocked { obstacle: Obstacle::Missing, ..self.blocked(reason, hint) }
    }

    fn blocked(&self, reason: impl Into<String>, hint: impl Into<String>) -> Blocked {
        Blocked { id: self.id(), obstacle: Obstacle::Resource, reason: reason.into(), hint: hint.into() }
    }
}
