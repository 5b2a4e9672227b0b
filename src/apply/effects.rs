//! The effects of every kind: what a step does outside, and what it writes inside.
//!
//! Most steps are done in one round. An instance goes through several, each performed and recorded on its own.

use crate::change::{Action, Change, printable};
use crate::kinds::Step;
use crate::notice::Event;
use crate::port::{Error, Ports};
use crate::resource::host::{self, mint};
use crate::resource::instance::{self, steps::Told};
use crate::resource::{Recorded, server, session};
use crate::store::Tx;
use crate::store::error::Result;
use crate::store::sql::Id;

/// What performing a round of a step left for its record.
pub enum Receipt {
    /// It has no outside.
    Nothing,
    Minted(mint::Receipt),
    Instance(instance::steps::Receipt),
}

impl Receipt {
    fn minted(&self) -> Option<&mint::Receipt> {
        match self {
            Receipt::Minted(receipt) => Some(receipt),
            Receipt::Nothing | Receipt::Instance(_) => None,
        }
    }

    /// The hand-off attempt, where a host's GUID was minted.
    pub fn attempt(&self) -> Option<Id> {
        self.minted().map(|receipt| receipt.attempt)
    }
}

/// In how many rounds the step is done.
pub fn rounds(step: &Step) -> usize {
    match step {
        Step::Session(_) | Step::Host(_) | Step::Server(_) | Step::Lift => 1,
        Step::Instance(step) => step.stages.len(),
    }
}

/// Whether the step has no outside.
pub fn is_inside(step: &Step) -> bool {
    matches!(step, Step::Session(_) | Step::Server(_) | Step::Lift)
}

/// Performs one round of a batch of one kind's steps, outside of the database.
pub async fn perform(steps: &[&Step], round: usize, ports: &Ports) -> Vec<std::result::Result<Receipt, Error>> {
    let hosts: Vec<&host::Step> = steps.iter().filter_map(|step| host_step(step)).collect();
    let instances: Vec<_> = steps.iter().filter_map(|step| Some((instance_step(step)?, round))).collect();
    let mut minted = mint::perform(&hosts, ports).await.into_iter();
    let mut gone = instance::perform::perform(&instances, ports).await.into_iter();
    let receipt = |step: &&Step| match step {
        Step::Session(_) | Step::Server(_) | Step::Lift => Ok(Receipt::Nothing),
        Step::Host(_) => match minted.next() {
            Some(receipt) => receipt.map(|receipt| receipt.map_or(Receipt::Nothing, Receipt::Minted)),
            None => Err(Error::Interrupted),
        },
        Step::Instance(_) => gone.next().unwrap_or(Err(Error::Interrupted)).map(Receipt::Instance),
    };
    steps.iter().map(receipt).collect()
}

fn session_step(step: &Step) -> Option<&session::Step> {
    match step {
        Step::Session(step) => Some(step),
        Step::Host(_) | Step::Server(_) | Step::Instance(_) | Step::Lift => None,
    }
}

fn host_step(step: &Step) -> Option<&host::Step> {
    match step {
        Step::Host(step) => Some(step),
        Step::Session(_) | Step::Server(_) | Step::Instance(_) | Step::Lift => None,
    }
}

fn instance_step(step: &Step) -> Option<&instance::steps::Step> {
    match step {
        Step::Instance(step) => Some(step),
        Step::Session(_) | Step::Host(_) | Step::Server(_) | Step::Lift => None,
    }
}

/// Records one round of a batch of one kind's steps, inside of the transaction. The outcomes are in the order of the
/// steps.
pub async fn record(done: &[(&Step, &Receipt)], round: usize, tx: &mut Tx) -> Result<Vec<Recorded>> {
    let sessions: Vec<&session::Step> = done.iter().filter_map(|(step, _)| session_step(step)).collect();
    let hosts: Vec<_> = done.iter().filter_map(|(step, receipt)| Some((host_step(step)?, receipt.minted()))).collect();
    let mut sessions = session::rows::record(&sessions, tx).await?.into_iter();
    let mut hosts = host::rows::record(&hosts, tx).await?.into_iter();
    let mut outcomes = Vec::with_capacity(done.len());
    for (step, receipt) in done {
        outcomes.push(match (step, receipt) {
            (Step::Session(_), _) => sessions.next().unwrap_or(Recorded::Conflict),
            (Step::Host(_), _) => hosts.next().unwrap_or(Recorded::Conflict),
            (Step::Lift, _) => Recorded::Done,
            (Step::Server(step), _) => server::rows::record(step, tx).await?,
            (Step::Instance(step), Receipt::Instance(receipt)) => {
                instance::rows::record(step, round, receipt, tx).await?
            }
            (Step::Instance(_), _) => Recorded::Conflict,
        });
    }
    Ok(outcomes)
}

/// What the journal says of a round, where the change as a whole does not say it.
pub fn told(step: &Step, round: usize, receipt: &Receipt) -> Option<Told> {
    match (step, receipt) {
        (Step::Instance(step), Receipt::Instance(receipt)) => step.told(round, receipt),
        (Step::Session(_) | Step::Host(_) | Step::Server(_) | Step::Instance(_) | Step::Lift, _) => None,
    }
}

/// What the journal calls a change that is done in one round: who ended a GUID is looked for by that word.
pub fn verb(change: &Change<Step>) -> &'static str {
    match host_step(&change.step) {
        Some(host::Step::Revoke(_)) => "revoke",
        Some(host::Step::Mint(_) | host::Step::Adjust(_)) | None => change.action.name(),
    }
}

/// What others are told of a round that is done.
pub fn notice(step: &Step, round: usize) -> Option<(Event, String)> {
    match step {
        Step::Session(_) | Step::Server(_) | Step::Lift => None,
        Step::Host(step) => match &**step {
            host::Step::Mint(_) => Some((Event::Rotation, "it has a new GUID".to_owned())),
            host::Step::Adjust(_) | host::Step::Revoke(_) => None,
        },
        Step::Instance(step) => step.notice(round),
    }
}

/// Clears away what recorded rounds have left outside.
pub async fn settle(steps: &[&Step], round: usize, ports: &Ports) {
    let instances: Vec<_> = steps.iter().filter_map(|step| Some((instance_step(step)?, round))).collect();
    instance::perform::settle(&instances, ports).await;
}

/// The log lines that operators search for.
pub fn log(change: &Change<Step>, receipt: &Receipt) {
    let done = match (host_step(&change.step), receipt, change.action) {
        (Some(host::Step::Mint(_)), Receipt::Minted(_), Action::Rotate) => "rotated",
        (Some(host::Step::Revoke(_)), ..) => "revoked",
        _ => return,
    };
    let by = printable(change.actor.as_deref().unwrap_or("reconcile"));
    tracing::info!("PROVISIONER-UPDATE: Host GUID {done} for Session {} by {by}", change.id.name);
}
