//! The way of an instance, step by step: what is done outside, and what the journal says of it.
//!
//! Every stage may be done twice: the database and the role are made where they are missing, a password that was not
//! recorded is overwritten by the next one, and a task carries the same id until its dispatch is recorded.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::names::Names;
use super::phase::Phase;
use super::placement::Candidate;
use super::{InstanceId, Observed, Profile, handoff_key, task_id};
use crate::port::pool::{Account, Order, Verifier, password};
use crate::port::task::{Sent, Task};
use crate::port::{Error, Ports, handoff};
use crate::resource::server::ServerName;
use crate::secret::Secret;
use crate::store::sql::{Id, now};

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
            Stage::Create => Some(Phase::DatabaseCreated),
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
    /// A password is set and lies in the hand-off until then.
    HandedOver(DateTime<Utc>),
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
    /// What the journal says of a stage, where the change as a whole does not say it.
    pub fn told(&self, round: usize) -> Option<Told> {
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
            Stage::Dispatch { number } => told(
                "resume",
                json!({ "phase": Phase::Allocated.word() }),
                json!({ "phase": Phase::Provisioning.word(), "task": self.task(*number) }),
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

    /// Whether performing it makes a secret.
    pub fn mints(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage, Stage::HandOver { .. }))
    }

    /// The server on which it takes a place.
    pub fn reserves(&self) -> Option<&ServerName> {
        let reserves = matches!(self.stages.first(), Some(Stage::Reserve));
        self.place.as_ref().filter(|_| reserves).map(|place| &place.server)
    }

    fn task(&self, number: i64) -> Option<Uuid> {
        Some(task_id(self.id, &self.place.as_ref()?.names.database, number))
    }

    fn account(&self) -> Result<(Account, &Place), Error> {
        let place = self.place.as_ref().ok_or_else(|| unplaced(self.id))?;
        let account = Account::new(self.id.0, &place.names.database, &place.names.role)?;
        Ok((account, place))
    }
}

/// `reserved -> database_created`, for whoever reads the journal.
fn way(from: Phase, to: Phase) -> String {
    format!("{from} -> {to}")
}

fn unplaced(id: InstanceId) -> Error {
    Error::NoPool(format!("instance {id} was not allocated here"))
}

/// Performs one stage of each step, in one batch: the servers side by side, hand-offs and tasks in pipelines.
pub async fn perform(steps: &[(&Step, usize)], ports: &Ports) -> Vec<Result<Receipt, Error>> {
    let mut receipts: Vec<Result<Receipt, Error>> = steps.iter().map(|_| Ok(Receipt::Nothing)).collect();
    let stages: Vec<(usize, &Step, &Stage)> = steps
        .iter()
        .enumerate()
        .filter_map(|(place, (step, round))| Some((place, *step, step.stages.get(*round)?)))
        .collect();
    let passwords = hand_over(&stages, ports, &mut receipts).await;
    on_servers(&stages, passwords, ports, &mut receipts).await;
    dispatch(&stages, ports, &mut receipts).await;
    receipts
}

/// Puts new passwords into the hand-off. Set on the server they are afterwards: the other way round, a crash would
/// leave a password that nobody can ever know.
async fn hand_over(
    stages: &[(usize, &Step, &Stage)],
    ports: &Ports,
    receipts: &mut [Result<Receipt, Error>],
) -> Vec<(usize, Verifier)> {
    let mut entries = Vec::new();
    let mut made = Vec::new();
    for (place, step, stage) in stages {
        if !matches!(stage, Stage::HandOver { .. }) {
            continue;
        }
        match credentials(step, ports) {
            Ok((entry, verifier)) => {
                entries.push(entry);
                made.push((*place, verifier));
            }
            Err(error) => receipts[*place] = Err(error),
        }
    }
    if entries.is_empty() {
        return made;
    }
    let until = now() + chrono::TimeDelta::from_std(ports.credentials_life()).unwrap_or_default();
    let put = match ports.handoff() {
        Ok(handoff) => handoff.put(entries).await.into_iter().map(|put| put.map_err(Error::from)).collect(),
        Err(error) => made.iter().map(|_| Err(error.clone())).collect::<Vec<_>>(),
    };
    for ((place, _), put) in made.iter().zip(put) {
        receipts[*place] = put.map(|()| Receipt::HandedOver(until));
    }
    made.retain(|(place, _)| receipts[*place].is_ok());
    made
}

fn credentials(step: &Step, ports: &Ports) -> Result<(handoff::Entry, Verifier), Error> {
    let (_, place) = step.account()?;
    let password = password()?;
    let verifier = Verifier::of(&password)?;
    // Written by hand into a buffer that is wiped: none of the values needs escaping but the host, which is checked.
    let host = Json::from(place.host.as_str());
    let Names { database, role } = &place.names;
    let text = format!(
        r#"{{"db_host": {host}, "db_port": {}, "db_name": "{database}", "db_user": "{role}", "db_password": "{}"}}"#,
        place.port,
        password.expose()
    );
    let entry = handoff::Entry { key: handoff_key(step.id), secret: Secret::new(text), life: ports.credentials_life() };
    Ok((entry, verifier))
}

/// What is done on the servers, each server's orders in a row over one connection.
async fn on_servers(
    stages: &[(usize, &Step, &Stage)],
    passwords: Vec<(usize, Verifier)>,
    ports: &Ports,
    receipts: &mut [Result<Receipt, Error>],
) {
    let mut passwords: std::collections::HashMap<usize, Verifier> = passwords.into_iter().collect();
    let mut orders: std::collections::BTreeMap<ServerName, (Vec<usize>, Vec<Order>)> =
        std::collections::BTreeMap::new();
    for (place, step, stage) in stages.iter().filter(|(_, _, stage)| stage.is_on_server()) {
        if receipts[*place].is_err() {
            continue;
        }
        let (account, at) = match step.account() {
            Ok(found) => found,
            Err(error) => {
                receipts[*place] = Err(error);
                continue;
            }
        };
        let order = match stage {
            Stage::Create => Order::Create(account),
            Stage::Login { allowed } => Order::SetLogin { account, allowed: *allowed },
            _ => match passwords.remove(place) {
                Some(verifier) => Order::SetPassword { account, verifier },
                None => continue,
            },
        };
        let (places, orders) = orders.entry(at.server.clone()).or_default();
        places.push(*place);
        orders.push(order);
    }
    let mut waiting = std::collections::BTreeSet::new();
    let mut working = tokio::task::JoinSet::new();
    for (server, (places, orders)) in orders {
        let pool = ports.pool(&server.0);
        for place in &places {
            // Until the answer is there, nothing has been done.
            waiting.insert(*place);
        }
        let fencing = ports.fencing();
        working.spawn(async move {
            let done = match pool {
                Ok(pool) => {
                    pool.carry_out(&orders, fencing).await.into_iter().map(|done| done.map_err(Error::from)).collect()
                }
                Err(error) => orders.iter().map(|_| Err(error.clone())).collect::<Vec<_>>(),
            };
            (places, done)
        });
    }
    let mut stale = Vec::new();
    while let Some(ended) = working.join_next().await {
        let Ok((places, done)) = ended else { continue };
        for (place, done) in places.into_iter().zip(done) {
            waiting.remove(&place);
            if let Err(error) = done {
                stale.push(place);
                receipts[place] = Err(error);
            }
        }
    }
    for place in waiting {
        receipts[place] = Err(Error::Interrupted);
    }
    discard(stages, &stale, ports).await;
}

/// Takes back what was handed over and then not set. Where even that fails, the next try overwrites it.
async fn discard(stages: &[(usize, &Step, &Stage)], stale: &[usize], ports: &Ports) {
    let Ok(handoff) = ports.handoff() else { return };
    for (place, step, stage) in stages {
        if stale.contains(place)
            && matches!(stage, Stage::HandOver { .. })
            && let Err(error) = handoff.discard(&handoff_key(step.id)).await
        {
            tracing::warn!("credentials that were not set stay in the hand-off until they expire: {error}");
        }
    }
}

async fn dispatch(stages: &[(usize, &Step, &Stage)], ports: &Ports, receipts: &mut [Result<Receipt, Error>]) {
    let mut tasks = Vec::new();
    let mut places = Vec::new();
    for (place, step, stage) in stages {
        let Stage::Dispatch { number } = stage else { continue };
        match task(step, *number, ports).await {
            Ok(Some(task)) => {
                places.push((*place, task.id));
                tasks.push(task);
            }
            Ok(None) => receipts[*place] = Ok(Receipt::Moved),
            Err(error) => receipts[*place] = Err(error),
        }
    }
    if tasks.is_empty() {
        return;
    }
    let sent = match ports.dispatcher() {
        Ok(dispatcher) => dispatcher.send(tasks).await.into_iter().map(|sent| sent.map_err(Error::from)).collect(),
        Err(error) => places.iter().map(|_| Err(error.clone())).collect::<Vec<_>>(),
    };
    for ((place, id), sent) in places.into_iter().zip(sent) {
        receipts[place] = sent.map(|sent| match sent {
            Sent::Now | Sent::Before => Receipt::Dispatched(id),
            Sent::NoCredentials => Receipt::Moved,
        });
    }
}

/// The task, with the credentials in it where the broker cannot see the hand-off. `None`: they are gone.
async fn task(step: &Step, number: i64, ports: &Ports) -> Result<Option<Task>, Error> {
    let id = step.task(number).ok_or_else(|| unplaced(step.id))?;
    let credentials_key = handoff_key(step.id);
    let dispatcher = ports.dispatcher()?;
    let inline = match dispatcher.wants_credentials() && dispatcher.sent(&[id]).await? != [true] {
        false => None,
        true => match ports.handoff()?.read(&credentials_key).await? {
            Some(secret) => Some(secret),
            None => return Ok(None),
        },
    };
    Ok(Some(Task { id, instance: step.id.0, credentials_key, inline }))
}

/// After the record: what the dispatch has left behind is cleared away. That it fails hurts nobody, for all of it
/// expires by itself.
pub async fn settle(steps: &[(&Step, usize)], ports: &Ports) {
    let mut ids = Vec::new();
    let mut keys = Vec::new();
    for (step, round) in steps {
        if let Some(Stage::Dispatch { number }) = step.stages.get(*round) {
            ids.extend(step.task(*number));
            keys.push(handoff_key(step.id));
        }
    }
    let (Ok(dispatcher), false) = (ports.dispatcher(), ids.is_empty()) else { return };
    if dispatcher.wants_credentials()
        && let Ok(handoff) = ports.handoff()
    {
        for key in keys {
            if let Err(error) = handoff.discard(&key).await {
                tracing::warn!("credentials that were dispatched stay in the hand-off until they expire: {error}");
            }
        }
    }
    if let Err(error) = dispatcher.settled(&ids).await {
        tracing::debug!("the marks of recorded tasks stay with the broker until they expire: {error}");
    }
}
