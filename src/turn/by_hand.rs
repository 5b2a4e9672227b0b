//! A command by hand: an intent for one resource that takes the same way as everything else. It is serialised by the
//! row's own expectation, so it works beside a running daemon.

use std::sync::Arc;
use std::time::Duration;

use super::{Focus, Picture, World};
use crate::apply::Report;
use crate::change::{Action, Blocked, Change, Revision, printable};
use crate::failure::{Failure, Result};
use crate::kinds::{Step, protected};
use crate::plan::render::PlanLine;
use crate::plan::{Plan, Protect};
use crate::port;
use crate::resource::host::by_hand::{Intent, Wish};
use crate::resource::host::diff::SessionState;
use crate::resource::{host, session};
use crate::store::error::Error;
use crate::store::sql::{Id, now};
use crate::store::{Authority, Context};

/// Rows may move under a command; it then looks again, so many times.
const ATTEMPTS: u64 = 12;

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub action: Action,
    /// As a plan shows it.
    pub told: PlanLine,
    /// The hand-off attempt of the GUID that it minted.
    pub attempt: Option<Id>,
}

impl World {
    /// What the intent would do. `None`: it is fulfilled already.
    ///
    /// Errors: why it cannot be done, and the way out.
    pub async fn preview_by_hand(&self, intent: &Intent) -> Result<Option<Change<host::Step>>> {
        Ok(self.intended_by_hand(intent).await?.0)
    }

    async fn intended_by_hand(&self, intent: &Intent) -> Result<(Option<Change<host::Step>>, Picture)> {
        let session = intent.session;
        tracing::info!("PROVISIONER: Validating Session ID {session} exists...");
        let focus = Focus::Session(session);
        let picture = match intent.wish {
            // To end a GUID waits for nothing: not for a hand-off that is another's either.
            Wish::Revoke => self.look_inside(focus, now()).await?,
            Wish::Create { .. } | Wish::Rotate { .. } => self.look(focus, now()).await?,
        };
        if picture.is_new && self.database.driver() == "postgres" {
            // Not an empty world, but one that nobody has made yet; the embedded one is made by itself.
            return Err(Error::SchemaMissing.into());
        }
        let state = self.session_state(&picture, intent).await?;
        let exists = matches!(state, SessionState::Present { .. });
        tracing::info!(
            "PROVISIONER: Session ID {session} validation result: {}",
            if exists { "EXISTS" } else { "NOT FOUND" }
        );
        let observed = picture.observed.hosts.get(&session);
        if exists {
            tracing::info!("PROVISIONER: Checking for existing Host Session with Session ID {session}");
        }
        let change = match in_the_way(intent, observed.is_some(), &picture) {
            Some(blocked) => Err(blocked),
            None => intent.plan(observed, state, self.config.claim_life),
        };
        let change = change.map_err(|blocked| {
            tracing::error!("PROVISIONER-ERROR: {}", printable(&blocked.reason));
            Failure::from(blocked)
        })?;
        if change.as_ref().is_some_and(|change| matches!(change.step, host::Step::Mint(_))) {
            // A dry run must not promise what no key can keep.
            self.config.host_keys.open_existing().map_err(|error| {
                tracing::error!("PROVISIONER-ERROR: {error}");
                Failure::from(port::Error::from(Arc::new(error)))
            })?;
        }
        match (observed, intent.wish) {
            (_, Wish::Revoke) => {}
            (Some(host), Wish::Create { force_new: true, .. }) => {
                let id = host.host_session_id;
                tracing::info!("PROVISIONER: Found existing Host Session {id} - replacing it with a new record");
            }
            (Some(host), _) => {
                tracing::info!("PROVISIONER: Found existing Host Session {} - updating GUID", host.host_session_id);
            }
            (None, _) => tracing::info!("PROVISIONER: No existing Host Session found - creating new record"),
        }
        Ok((change, picture))
    }

    async fn session_state(&self, picture: &Picture, intent: &Intent) -> Result<SessionState> {
        if let Some(session) = picture.observed.sessions.rows.get(&intent.session) {
            return Ok(SessionState::Present { live: session.is_live(now()) });
        }
        let near = match self.database.snapshot().await? {
            Some(mut snapshot) => session::rows::nearest(&mut snapshot, intent.session).await?,
            None => Vec::new(),
        };
        Ok(SessionState::Missing { near })
    }

    /// Carries the intent out; `None`: it was fulfilled already.
    pub async fn by_hand(&self, intent: &Intent) -> Result<Option<Done>> {
        let context = self.by_user(Some(intent.actor.clone()));
        for attempt in 0..ATTEMPTS {
            let (Some(change), picture) = self.intended_by_hand(intent).await? else { return Ok(None) };
            let action = change.action;
            let change = change.map_step(|step| Step::Host(Box::new(step)));
            let mut report = self.apply_by_hand(change, &context, &picture).await?;
            if let Some((id, why)) = report.failed.pop() {
                tracing::error!("PROVISIONER-ERROR: {id}: {why}");
                return Err(Failure::unavailable(format!("{id} could not be written: {why}")));
            }
            if report.conflicts.is_empty() {
                return Ok(report.lines.pop().map(|told| Done { action, told, attempt: report.minted.pop() }));
            }
            // Somebody else writes the same row: come back at another moment than they do.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..40) * (attempt + 1))).await;
        }
        Err(Failure::conflict(format!("{} kept changing while it was to be written", intent.id())).hint("try again"))
    }

    /// Applies one change on the word of whoever has typed the command.
    pub(super) async fn apply_by_hand(
        &self,
        change: Change<Step>,
        context: &Context,
        picture: &Picture,
    ) -> Result<Report> {
        let revision = Revision { user: context.actor.clone(), ..Revision::default() };
        let protect = match &change.step {
            // To end a GUID waits for nothing.
            Step::Host(step) if matches!(**step, host::Step::Revoke(_)) => Protect::Keep,
            Step::Session(_) | Step::Host(_) | Step::Server(_) | Step::Instance(_) | Step::Lift => Protect::Respect,
        };
        let approved = Plan::of_one(self.header(revision, false), now(), change, protect).approve(None);
        self.apply(&approved, Authority::ByHand, context, picture).await
    }
}

/// Why the host is left alone, as the database has it, whatever the files say. Somebody who stops all applying does not
/// stop people from opening a session; and to end a GUID waits for nothing.
fn in_the_way(intent: &Intent, exists: bool, picture: &Picture) -> Option<Blocked> {
    let id = intent.id();
    match intent.wish {
        Wish::Revoke => None,
        Wish::Create { .. } | Wish::Rotate { .. } if picture.ledger.suspended.contains_key(&id) => {
            picture.ledger.suspension(&id)
        }
        Wish::Create { .. } | Wish::Rotate { .. } => {
            (exists && picture.ledger.protected.contains(&id)).then(|| protected(id, None))
        }
    }
}
