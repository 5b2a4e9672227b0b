//! Applying: approved changes, in order, in bounded batches. The plan decided everything; here nothing is decided.
//!
//! Each batch is performed outside, then recorded inside, in one transaction with its journal. A crash in between leaves
//! the batch to be planned again: recovery is planning.

pub mod effects;

use std::collections::VecDeque;

use crate::change::ResourceId;
use crate::plan::budget::Approved;
use crate::plan::render::{change_line, json_change};
use crate::plan::{Flap, Planned};
use crate::port::Ports;
use crate::resource::Recorded;
use crate::store::connect::Database;
use crate::store::error::Result;
use crate::store::sql::Id;
use crate::store::{Authority, Context, Entry, Tx, journal, ledger};
use effects::Receipt;

/// Changes in one transaction, at most: a long one would keep others waiting.
pub const BATCH: usize = 500;

/// How it went.
#[derive(Debug, Default)]
pub struct Report {
    /// The changes made, each as a line, in order.
    pub applied: Vec<String>,
    /// The hand-off attempts of the secrets that were minted, in the order of the changes that minted them.
    pub minted: Vec<Id>,
    /// Resources that were no longer what the plan saw. They are planned again.
    pub conflicts: Vec<ResourceId>,
    /// Resources that could not be written, and why.
    pub failed: Vec<(ResourceId, String)>,
}

/// Who applies, and by what right.
pub struct Applier<'a> {
    pub database: &'a Database,
    pub authority: Authority,
    pub context: Context,
    pub ports: &'a Ports,
}

impl Applier<'_> {
    /// Applies all of it.
    ///
    /// Guarantees: every batch is whole with its journal or not there at all; one resource's trouble does not stop the
    /// others.
    /// Errors: the ones that stop everybody, such as a lost lease, a refusal of the guard, or a dead server.
    pub async fn apply(&self, approved: &Approved) -> Result<Report> {
        let mut report = Report::default();
        for batch in batches(&approved.plan().changes) {
            self.batch(batch, approved, &mut report).await?;
        }
        self.close(approved).await?;
        Ok(report)
    }

    async fn batch(&self, batch: &[Planned], approved: &Approved, report: &mut Report) -> Result<()> {
        let steps: Vec<_> = batch.iter().map(|planned| &planned.change.step).collect();
        let performed = effects::perform(&steps, self.ports).await;
        let mut ready = Vec::with_capacity(batch.len());
        for (planned, receipt) in batch.iter().zip(performed) {
            match receipt {
                Ok(receipt) => ready.push((planned, receipt)),
                Err(error) => report.failed.push((planned.change.id.clone(), error.to_string())),
            }
        }
        // A batch that the database rejects is recorded one by one, so that the good ones of it are not lost.
        let mut queue = VecDeque::from([ready.as_slice()]);
        while let Some(part) = queue.pop_front().filter(|part| !part.is_empty()) {
            // Where not even a transaction begins, no row is to blame: the next one would only wait as long again.
            let tx = self.database.begin(&self.authority, &self.context).await?;
            match record(part, approved, tx).await {
                Ok(outcomes) => tell(part, &outcomes, report),
                Err(error) if error.stops_everybody() => return Err(error),
                Err(error) => match part {
                    [(planned, _)] => report.failed.push((planned.change.id.clone(), error.chain())),
                    many => queue.extend(many.chunks(1)),
                },
            }
        }
        Ok(())
    }

    /// What a turn leaves in the ledger beside its changes.
    async fn close(&self, approved: &Approved) -> Result<()> {
        let plan = approved.plan();
        if plan.adopted.is_empty() && plan.calmed.is_empty() && plan.changes.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin(&self.authority, &self.context).await?;
        for (id, digest) in &plan.adopted {
            ledger::applied(&mut tx, id, digest).await?;
        }
        for id in &plan.calmed {
            ledger::calmed(&mut tx, id).await?;
        }
        ledger::spend_approval(&mut tx, approved.digest()).await?;
        tx.commit().await
    }
}

/// Runs of one kind, none longer than [`BATCH`].
fn batches(changes: &[Planned]) -> impl Iterator<Item = &[Planned]> {
    changes.chunk_by(|one, next| one.change.id.kind == next.change.id.kind).flat_map(|run| run.chunks(BATCH))
}

/// Records one part of a batch: all of it, or nothing.
async fn record(part: &[(&Planned, Receipt)], approved: &Approved, mut tx: Tx) -> Result<Vec<Recorded>> {
    let mut outcomes = Vec::with_capacity(part.len());
    for (planned, receipt) in part {
        let outcome = effects::record(&planned.change.step, receipt, &mut tx).await?;
        if outcome == Recorded::Done {
            note(planned, approved, &mut tx).await?;
        }
        outcomes.push(outcome);
    }
    tx.commit().await?;
    Ok(outcomes)
}

/// The journal and the ledger of one change, in its own transaction.
async fn note(planned: &Planned, approved: &Approved, tx: &mut Tx) -> Result<()> {
    let change = &planned.change;
    let mut picture = json_change(change);
    let reason = match (&change.reason, approved.force()) {
        (Some(reason), Some(force)) => Some(format!("{reason} (forced: {})", force.reason)),
        (None, Some(force)) => Some(format!("forced: {}", force.reason)),
        (reason, None) => reason.clone(),
    };
    let entry = Entry {
        id: change.id.clone(),
        actor: change.actor.clone(),
        action: change.action.name(),
        before: Some(picture["before"].take()).filter(|before| !before.is_null()),
        after: Some(picture["after"].take()),
        reason,
    };
    journal::write(tx, &entry).await?;
    if let Some(digest) = &planned.digest {
        ledger::applied(tx, &change.id, digest).await?;
        match planned.flap {
            Flap::None => {}
            Flap::Over => ledger::calmed(tx, &change.id).await?,
            Flap::Turns(turns) => ledger::flapped(tx, &change.id, digest, turns).await?,
        }
    }
    Ok(())
}

fn tell(part: &[(&Planned, Receipt)], outcomes: &[Recorded], report: &mut Report) {
    for ((planned, receipt), outcome) in part.iter().zip(outcomes) {
        match outcome {
            Recorded::Done => {
                effects::log(&planned.change, receipt);
                report.minted.extend(receipt.attempt());
                report.applied.push(change_line(&planned.change));
            }
            Recorded::Conflict => report.conflicts.push(planned.change.id.clone()),
        }
    }
}
