//! The way of an instance, step by step: what is done outside, and what the journal says of it.
//!
//! Every stage may be done twice: the database and the role are made where they are missing, a password that was not
//! recorded is overwritten by the next one, and a task carries the same id until its dispatch is recorded.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::names::Names;
use super::phase::Phase;
use super::placement::Candidate;
use super::{InstanceId, Observed, Profile, task_id};
use crate::notice::Event;
use crate::port::Error;
use crate::port::handoff::Record;
use crate::port::pool::Account;
use crate::resource::server::ServerName;
use crate::store::sql::Id;

/// Where an allocation lies.
#[derive(Clone, Debug)]
pub struct Place {
    pub server: ServerName,
    /// `None`: this very plan registers the server.
    pub server_id: Option<Id>,
    /// What the customer's worker is told.
    pub host: String,
    pub port: i64,
    pub names: Names,
    /// What the server was bound to, or is to be bound to now.
    pub identity: Option<String>,
}

impl Place {
    pub fn at(server: &Candidate, names: Names, server_id: Option<Id>) -> Self {
        Self {
            server: server.name.clone(),
            server_id: server_id.or(server.id),
            host: server.host.clone(),
            port: server.port,
            names,
            identity: server.sight.as_ref().ok().map(|sight| sight.identity.clone()),
        }
    }
}

/// One instance's way in this turn.
#[derive(Clone, Debug)]
pub struct Step {
    pub id: InstanceId,
    /// The row that the plan saw; `None`: there is none yet.
    pub before: Option<Observed>,
    /// The row as it will stand.
    pub profile: Profile,
    /// `None`: it was not allocated here.
    pub place: Option<Place>,
    /// In order, each recorded on its own.
    pub stages: Vec<Stage>,
}

/// The smallest unit that is performed and recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Take a place on the server, and write the row.
    Reserve,
    /// Make role and database.
    Create,
    /// Note that its credentials are gone from the hand-off: back to `database_created`. From here on whatever lies there
    /// is not believed, so that a password that was handed over and, after a power cut, never set is not dispatched.
    Lose,
    /// Set a new password and hand it over: one step, so that what was handed over is what is set.
    HandOver {
        /// How many were set before: the expectation.
        passwords: i64,
        rotation: i64,
        from: Phase,
        to: Phase,
        /// Why a password is made that no file asked for.
        why: Option<String>,
    },
    /// Let the task be dispatched.
    Release { by: String },
    /// Dispatch the `number`th task.
    Dispatch { number: i64 },
    /// Note what the worker says.
    Finish { to: Phase, outcome: Option<String> },
    /// Give LOGIN to the role, or take it.
    Login { allowed: bool },
    /// Write what the file says into the row.
    Write,
    /// Give the place back, and leave the database to whoever looks after it.
    Forget,
}

impl Stage {
    /// Whether it needs the server.
    pub fn is_on_server(&self) -> bool {
        matches!(self, Stage::Create | Stage::HandOver { .. } | Stage::Login { .. })
    }

    /// The phase that it ends in.
    pub fn reaches(&self) -> Option<Phase> {
        match self {
            Stage::Reserve => Some(Phase::Reserved),
            Stage::Create | Stage::Lose => Some(Phase::DatabaseCreated),
            Stage::HandOver { to, .. } => Some(*to),
            Stage::Dispatch { .. } => Some(Phase::Provisioning),
            Stage::Finish { to, .. } => Some(*to),
            Stage::Forget => Some(Phase::Forgotten),
            Stage::Release { .. } | Stage::Login { .. } | Stage::Write => None,
        }
    }
}

/// What performing a stage left for its record.
pub enum Receipt {
    /// It has no outside.
    Nothing,
    /// A password is set and was handed over.
    HandedOver(Record),
    /// The task is in its queue.
    Dispatched(Uuid),
    /// The world has moved: plan again.
    Moved,
}

/// One entry of the journal: action, before and after, reason.
pub struct Told {
    pub action: &'static str,
    pub before: Json,
    pub after: Json,
    pub reason: Option<String>,
}

impl Step {
    /// What the journal says of a stage that left this receipt, where the change as a whole does not say it.
    pub fn told(&self, round: usize, receipt: &Receipt) -> Option<Told> {
        let stage = self.stages.get(round)?;
        let told = |action, before, after, reason| Some(Told { action, before, after, reason });
        let server = self.place.as_ref().map(|place| place.server.0.clone());
        match stage {
            // As the plan shows it.
            Stage::Reserve | Stage::Write => None,
            Stage::Create => told(
                "resume",
                json!({ "phase": Phase::Reserved.word() }),
                json!({ "phase": Phase::DatabaseCreated.word(), "server": server }),
                Some(way(Phase::Reserved, Phase::DatabaseCreated)),
            ),
            Stage::Lose => told(
                "resume",
                json!({ "phase": Phase::Allocated.word() }),
                json!({ "phase": Phase::DatabaseCreated.word() }),
                Some(format!(
                    "{}: the credentials are gone from the hand-off",
                    way(Phase::Allocated, Phase::DatabaseCreated)
                )),
            ),
            Stage::HandOver { passwords, rotation, from, to, why } => told(
                if from == to { "rotate" } else { "resume" },
                json!({ "phase": from.word(), "passwords": passwords }),
                json!({ "phase": to.word(), "passwords": passwords + 1, "credentials_rotation": rotation, "server": server }),
                match (from == to, why) {
                    (true, why) => why.clone(),
                    (false, Some(why)) => Some(format!("{}: {why}", way(*from, *to))),
                    (false, None) => Some(way(*from, *to)),
                },
            ),
            Stage::Release { by } => told("release", Json::Null, json!({ "released_by": by }), None),
            Stage::Dispatch { number: _ } => told(
                "resume",
                json!({ "phase": Phase::Allocated.word() }),
                json!({ "phase": Phase::Provisioning.word(), "task": dispatched(receipt) }),
                Some(way(Phase::Allocated, Phase::Provisioning)),
            ),
            Stage::Finish { to, outcome } => told(
                "resume",
                json!({ "phase": Phase::Provisioning.word() }),
                json!({ "phase": to.word(), "outcome": outcome }),
                Some(way(Phase::Provisioning, *to)),
            ),
            Stage::Login { allowed } => {
                told("update", json!({ "login": !allowed }), json!({ "login": allowed, "server": server }), None)
            }
            Stage::Forget => {
                let database = self.place.as_ref().map(|place| place.names.database.clone());
                told("forget", json!({ "server": server, "database": database }), Json::Null, None)
            }
        }
    }

    /// What others are told of a stage.
    pub fn notice(&self, round: usize) -> Option<(Event, String)> {
        match self.stages.get(round)? {
            Stage::HandOver { from: Phase::DatabaseCreated, why: None, .. } => {
                let place = self.place.as_ref()?;
                let (database, server) = (&place.names.database, &place.server);
                let text = format!("its database {database} is there on {server}, and its credentials wait");
                Some((Event::Allocation, text))
            }
            Stage::HandOver { .. } => Some((Event::Rotation, "it has new credentials".to_owned())),
            Stage::Dispatch { .. } => Some((Event::Provisioning, "its provisioning task was dispatched".to_owned())),
            Stage::Finish { to: Phase::Failed, outcome } => {
                let what = outcome.as_deref().unwrap_or("an error");
                Some((Event::Failure, format!("the worker could not provision it: {what}")))
            }
            Stage::Finish { .. } => Some((Event::Provisioning, "the worker says that it is ready".to_owned())),
            Stage::Reserve | Stage::Create | Stage::Lose | Stage::Release { .. } => None,
            Stage::Login { .. } | Stage::Write | Stage::Forget => None,
        }
    }

    /// Whether performing it makes a secret.
    pub fn mints(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage, Stage::HandOver { .. }))
    }

    /// The server on which it takes a place.
    pub fn reserves(&self) -> Option<&ServerName> {
        let reserves = matches!(self.stages.first(), Some(Stage::Reserve));
        self.place.as_ref().filter(|_| reserves).map(|place| &place.server)
    }

    pub(super) fn task(&self, identity: Uuid, number: i64) -> Option<Uuid> {
        Some(task_id(identity, self.id, &self.place.as_ref()?.names.database, number))
    }

    pub(super) fn account(&self) -> Result<(Account, &Place), Error> {
        let place = self.place.as_ref().ok_or_else(|| unplaced(self.id))?;
        let account = Account::new(self.id.0, &place.names.database, &place.names.role)?;
        Ok((account, place))
    }
}

/// The task that is in its queue now.
fn dispatched(receipt: &Receipt) -> Option<Uuid> {
    if let Receipt::Dispatched(id) = receipt { Some(*id) } else { None }
}

/// `reserved -> database_created`, for whoever reads the journal.
fn way(from: Phase, to: Phase) -> String {
    format!("{from} -> {to}")
}

pub(super) fn unplaced(id: InstanceId) -> Error {
    Error::NoPool(format!("instance {id} was not allocated here"))
}
