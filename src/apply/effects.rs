//! The effects of every kind: what a step does outside, and what it writes inside.

use crate::change::{Action, Change};
use crate::kinds::Step;
use crate::port::{Error, Ports};
use crate::resource::host::{self, mint};
use crate::resource::{Recorded, session};
use crate::store::Tx;
use crate::store::error::Result;
use crate::store::sql::Id;

/// What performing a step left for its record.
pub enum Receipt {
    /// The step has no outside.
    Nothing,
    Minted(mint::Receipt),
}

impl Receipt {
    /// The hand-off attempt, where a secret was minted.
    pub fn attempt(&self) -> Option<Id> {
        match self {
            Receipt::Nothing => None,
            Receipt::Minted(receipt) => Some(receipt.attempt),
        }
    }
}

/// Performs a batch of one kind's steps, outside of the database.
pub async fn perform(steps: &[&Step], ports: &Ports) -> Vec<std::result::Result<Receipt, Error>> {
    let hosts: Vec<&host::Step> = steps.iter().filter_map(|step| host_step(step)).collect();
    let mut minted = mint::perform(&hosts, ports).await.into_iter();
    let receipt = |step: &&Step| match host_step(step).and_then(|_| minted.next()) {
        Some(receipt) => receipt.map(|receipt| receipt.map_or(Receipt::Nothing, Receipt::Minted)),
        None => Ok(Receipt::Nothing),
    };
    steps.iter().map(receipt).collect()
}

fn host_step(step: &Step) -> Option<&host::Step> {
    match step {
        Step::Host(step) => Some(step),
        Step::Session(_) => None,
    }
}

/// Records one step, inside of the transaction.
pub async fn record(step: &Step, receipt: &Receipt, tx: &mut Tx) -> Result<Recorded> {
    match step {
        Step::Session(step) => session::rows::record(step, tx).await,
        Step::Host(step) => {
            let receipt = match receipt {
                Receipt::Minted(receipt) => Some(receipt),
                Receipt::Nothing => None,
            };
            host::rows::record(step, receipt, tx).await
        }
    }
}

/// The log lines that operators search for.
pub fn log(change: &Change<Step>, receipt: &Receipt) {
    let Step::Host(_) = &change.step else { return };
    let (Receipt::Minted(_), Action::Rotate) = (receipt, change.action) else { return };
    let by = change.actor.as_deref().unwrap_or("reconcile");
    tracing::info!("PROVISIONER-UPDATE: Host GUID rotated for Session {} by {by}", change.id.name);
}
