//! Applying: approved changes, in order, in bounded batches. The plan decided everything; here nothing is decided.
//!
//! Each batch is performed outside, then recorded inside, in one transaction with its journal. A crash in between leaves
//! the batch to be planned again: recovery is planning.

pub mod effects;

use std::collections::VecDeque;
use std::pin::{Pin, pin};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value as Json;

use crate::change::{OURSELVES, Origin, ResourceId};
use crate::notice::Notice;
use crate::plan::budget::Approved;
use crate::plan::render::{PlanLine, Side};
use crate::plan::{Flap, Noted, Planned, Protect};
use crate::port::{self, Ports};
use crate::progress::Progress;
use crate::resource::Recorded;
use crate::resource::instance::steps::Told;
use crate::store::connect::Database;
use crate::store::error::{Error, Result};
use crate::store::ledger::{self, Applied};
use crate::store::sql::Id;
use crate::store::{Authority, Context, Entry, Tx, journal, outbox, protections};
use effects::Receipt;

/// Changes in one transaction, at most: a long one would keep others waiting.
pub const BATCH: usize = 5_000;
/// Where databases are made, a batch takes seconds, and what it has done is recorded after it.
const SLOW_BATCH: usize = 20;

/// How it went.
#[derive(Debug, Default)]
pub struct Report {
    /// How many changes were made.
    pub applied: usize,
    /// The first of them, each as a line, in order: more nobody reads.
    pub lines: Vec<PlanLine>,
    /// The hand-off attempts of the secrets that were minted, in the order of the changes that minted them.
    pub minted: Vec<Id>,
    /// Resources that were no longer what the plan saw. They are planned again.
    pub conflicts: Vec<ResourceId>,
    /// Resources that could not be written, and why.
    pub failed: Vec<(ResourceId, String)>,
}

impl Report {
    /// Lines that a report holds at most.
    pub const LINES: usize = 200;

    /// What was not done, and why: what failed first.
    pub fn undone(&self) -> impl Iterator<Item = (&ResourceId, &str)> {
        let failed = self.failed.iter().map(|(id, why)| (id, why.as_str()));
        failed.chain(self.conflicts.iter().map(|id| (id, Self::MOVED)))
    }

    /// Why what is in conflict after the last attempt is not done.
    const MOVED: &str = "it kept changing while it was to be written";

    /// Adds what came after.
    fn add(&mut self, later: Report) {
        let Report { applied, lines, minted, conflicts, failed } = later;
        self.applied += applied;
        self.lines.extend(lines.into_iter().take(Self::LINES.saturating_sub(self.lines.len())));
        self.minted.extend(minted);
        self.conflicts.extend(conflicts);
        self.failed.extend(failed);
    }
}

/// A batch on its way.
type Going<'b> = Pin<Box<dyn Future<Output = Result<Report>> + Send + 'b>>;

/// Who applies, and by what right.
pub struct Applier<'a> {
    pub database: &'a Database,
    pub authority: Authority,
    pub context: Context,
    pub ports: &'a Ports,
    pub progress: &'a Progress,
}

impl Applier<'_> {
    /// Applies all of it.
    ///
    /// Guarantees: every batch is whole with its journal or not there at all; one resource's trouble does not stop the
    /// others.
    /// Errors: the ones that stop everybody, such as a lost lease, a refusal of the guard, or a dead server.
    pub async fn apply(&self, approved: &Approved) -> Result<Report> {
        let mut report = Report::default();
        let changes: Vec<&Planned> = approved.changes().collect();
        self.progress.changes.begin(changes.len() as u64);
        for run in runs(&changes) {
            // One batch is put together while another is written, but none is begun before those of an earlier run end.
            let width = if is_inside(run) { self.database.writers() } else { 1 };
            // Each behind a pointer: whoever spawns this could not be told otherwise that it may change threads.
            let batches: Vec<Going<'_>> = batches(run).map(|batch| self.going(batch, approved)).collect();
            let mut batches = pin!(stream::iter(batches).buffered(width));
            while let Some(part) = batches.try_next().await? {
                report.add(part);
            }
        }
        self.close(approved).await?;
        Ok(report)
    }

    fn going<'b>(&'b self, batch: &'b [&'b Planned], approved: &'b Approved) -> Going<'b> {
        Box::pin(self.batch(batch, approved))
    }

    /// One batch, round by round; what fails in one round does not come to the next.
    async fn batch(&self, batch: &[&Planned], approved: &Approved) -> Result<Report> {
        let mut report = Report::default();
        let mut going: Vec<&Planned> = batch.to_vec();
        let mut finished = Vec::with_capacity(batch.len());
        for round in 0.. {
            let (ended, left) = going.into_iter().partition(|planned| round == effects::rounds(&planned.change.step));
            let ended: Vec<&Planned> = ended;
            finished.extend(ended);
            going = left;
            if going.is_empty() {
                break;
            }
            going = self.round(going, round, approved, &mut report).await?;
        }
        // One may be done in fewer rounds than another: told of they are in the order of the plan, which is the slice's.
        finished.sort_by_key(|planned| std::ptr::from_ref(*planned));
        self.progress.changes.add(finished.len() as u64);
        report.applied = finished.len();
        report.lines.extend(finished.iter().take(Report::LINES).map(|planned| PlanLine::of_change(&planned.change)));
        Ok(report)
    }

    /// Performs one round and records it. Gives what was recorded.
    async fn round<'b>(
        &self,
        going: Vec<&'b Planned>,
        round: usize,
        approved: &Approved,
        report: &mut Report,
    ) -> Result<Vec<&'b Planned>> {
        let steps: Vec<_> = going.iter().map(|planned| &planned.change.step).collect();
        let performed = effects::perform(&steps, round, self.ports).await;
        let mut ready = Vec::with_capacity(going.len());
        for (planned, receipt) in going.into_iter().zip(performed) {
            if let Some(refusal) = receipt.as_ref().err().and_then(port::Error::refusal) {
                // A hand-off or a broker that is another's is so for everybody.
                return Err(Error::Refused(refusal.clone()));
            }
            match receipt {
                Ok(receipt) => ready.push((planned, receipt)),
                Err(error) => report.failed.push((planned.change.id.clone(), chain(&error))),
            }
        }
        let mut done = Vec::with_capacity(ready.len());
        // A batch that the database rejects is halved until the bad ones stand alone, so that the good ones are not lost.
        // What failed in the last run is a part of its own: it may not cost the others a halving in every run.
        let failures = &approved.plan().failures;
        ready.sort_by_key(|(planned, _)| failures.contains_key(&planned.change.id));
        let sound = ready.partition_point(|(planned, _)| !failures.contains_key(&planned.change.id));
        let (sound, failing) = ready.split_at(sound);
        let mut queue: VecDeque<_> = [sound, failing].into_iter().filter(|part| !part.is_empty()).collect();
        while let Some(part) = queue.pop_front() {
            // Where not even a transaction begins, no row is to blame: the next one would only wait as long again.
            let tx = self.database.begin(&self.authority, &self.context).await?;
            match record(part, round, approved, tx).await {
                Ok(outcomes) => done.extend(tell(part, &outcomes, report)),
                Err(error) if error.stops_everybody() => return Err(error),
                Err(error) => match part {
                    [(planned, _)] if matches!(error, Error::Conflict { .. }) => {
                        report.conflicts.push(planned.change.id.clone());
                    }
                    [(planned, _)] => report.failed.push((planned.change.id.clone(), error.chain())),
                    many => {
                        let (left, right) = many.split_at(many.len() / 2);
                        queue.push_front(right);
                        queue.push_front(left);
                    }
                },
            }
        }
        let steps: Vec<_> = done.iter().map(|planned| &planned.change.step).collect();
        effects::settle(&steps, round, self.ports).await;
        Ok(done)
    }

    /// What a run leaves in the ledger beside its changes.
    async fn close(&self, approved: &Approved) -> Result<()> {
        let plan = approved.plan();
        for adopted in plan.adopted.chunks(BATCH) {
            let mut tx = self.database.begin(&self.authority, &self.context).await?;
            let adopted: Vec<_> = adopted.iter().map(|(id, digest)| (id, digest.as_str())).collect();
            ledger::applied(&mut tx, &adopted).await?;
            tx.commit().await?;
        }
        for protected in plan.protected.chunks(BATCH) {
            let mut tx = self.database.begin(&self.authority, &self.context).await?;
            protections::record(&mut tx, &protected.iter().collect::<Vec<_>>()).await?;
            tx.commit().await?;
        }
        if plan.calmed.is_empty() && plan.approved.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin(&self.authority, &self.context).await?;
        ledger::calmed(&mut tx, &plan.calmed.iter().collect::<Vec<_>>()).await?;
        for digest in &plan.approved {
            ledger::spend_approval(&mut tx, digest).await?;
        }
        tx.commit().await
    }
}

/// Changes of one kind that follow each other.
fn runs<'p>(changes: &'p [&'p Planned]) -> impl Iterator<Item = &'p [&'p Planned]> {
    changes.chunk_by(|one, next| one.change.id.kind == next.change.id.kind)
}

/// Whether all is done by writing to the database, so that the batches need not wait for each other.
fn is_inside(run: &[&Planned]) -> bool {
    run.iter().all(|planned| effects::is_inside(&planned.change.step))
}

/// A run in parts, none longer than its batch may be.
fn batches<'p>(run: &'p [&'p Planned]) -> std::slice::Chunks<'p, &'p Planned> {
    let is_slow = run.iter().any(|planned| effects::rounds(&planned.change.step) > 1);
    run.chunks(if is_slow { SLOW_BATCH } else { BATCH })
}

/// Records one part of a batch: all of it, or nothing; with its lines in the journal and the ledger.
async fn record(part: &[(&Planned, Receipt)], round: usize, approved: &Approved, mut tx: Tx) -> Result<Vec<Recorded>> {
    for (planned, _) in part.iter().filter(|(planned, _)| planned.protect == Protect::Respect) {
        if protections::is_protected(&mut tx, &planned.change.id).await? {
            // Since it was planned. Planned again, it says so.
            return Err(Error::Conflict { what: planned.change.id.to_string() });
        }
    }
    let steps: Vec<_> = part.iter().map(|(planned, receipt)| (&planned.change.step, receipt)).collect();
    let outcomes = effects::record(&steps, round, &mut tx).await?;
    let done = part.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Recorded::Done);
    let done: Vec<&(&Planned, Receipt)> = done.map(|(part, _)| part).collect();
    let entries: Vec<Entry> = done.iter().map(|(planned, receipt)| entry(planned, receipt, round, approved)).collect();
    let mut done: Vec<&Planned> = done.into_iter().map(|(planned, _)| *planned).collect();
    journal::write_all(&mut tx, &entries).await?;
    let told = done.iter().zip(&entries).filter_map(|(planned, entry)| notice(planned, round, entry));
    outbox::post(&mut tx, &told.collect::<Vec<_>>()).await?;
    done.retain(|planned| is_last(planned, round));
    note(&done, &mut tx).await?;
    tx.commit().await?;
    Ok(outcomes)
}

/// What the ledger keeps of changes that are done.
async fn note(done: &[&Planned], tx: &mut Tx) -> Result<()> {
    let wishes = |is_so: fn(&Planned) -> bool| -> Vec<Applied<'_>> {
        done.iter().filter(|planned| is_so(planned)).filter_map(|planned| wish(planned)).collect()
    };
    ledger::first_applied(tx, &wishes(|planned| planned.noted == Noted::Nothing)).await?;
    ledger::newly_applied(tx, &wishes(|planned| planned.noted == Noted::Other)).await?;
    let over = done.iter().filter(|planned| planned.flap == Flap::Over).map(|planned| &planned.change.id);
    ledger::calmed(tx, &over.collect::<Vec<_>>()).await?;
    let protected = done.iter().filter(|planned| planned.protect == Protect::Record).map(|planned| &planned.change.id);
    protections::record(tx, &protected.collect::<Vec<_>>()).await?;
    let lifted = done.iter().filter_map(|planned| match &planned.protect {
        Protect::Lift(id) => Some(id),
        Protect::Keep | Protect::Record | Protect::Respect => None,
    });
    protections::lift(tx, &lifted.collect::<Vec<_>>()).await?;
    let drifts = done.iter().filter_map(|planned| match planned.flap {
        Flap::Turns(turns) => Some((wish(planned)?, turns)),
        Flap::None | Flap::Over | Flap::First => None,
    });
    ledger::first_flapped(tx, &wishes(|planned| planned.flap == Flap::First)).await?;
    ledger::flapped(tx, &drifts.collect::<Vec<_>>()).await
}

fn wish(planned: &Planned) -> Option<Applied<'_>> {
    Some((&planned.change.id, planned.digest.as_deref()?))
}

fn is_last(planned: &Planned, round: usize) -> bool {
    round + 1 == effects::rounds(&planned.change.step)
}

/// The journal's line for one round of a change.
fn entry(planned: &Planned, receipt: &Receipt, round: usize, approved: &Approved) -> Entry {
    let change = &planned.change;
    let (action, before, after, reason) = match effects::told(&change.step, round, receipt) {
        Some(Told { action, before, after, reason }) => {
            let text = |side: Json| (!side.is_null()).then(|| side.to_string());
            (action, text(before), text(after), reason)
        }
        None => {
            let text = |side: Side<'_>| serde_json::to_string(&side).ok();
            let (before, after) = (Side::before(change).and_then(text), text(Side::after(change)));
            (effects::verb(change), before, after, change.reason.clone())
        }
    };
    let reason = match (reason, approved.force()) {
        (Some(reason), Some(force)) => Some(format!("{reason} (forced: {})", force.reason)),
        (None, Some(force)) => Some(format!("forced: {}", force.reason)),
        (reason, None) => reason,
    };
    // Whoever changed the files last has not asked for what somebody else undid.
    let actor = match change.origin {
        Origin::Drift => Some(OURSELVES.to_owned()),
        Origin::Intended | Origin::Manual => change.actor.clone(),
    };
    Entry { id: change.id.clone(), actor, action, before, after, reason, origin: Some(change.origin) }
}

/// What others are told of one round of a change.
fn notice(planned: &Planned, round: usize, entry: &Entry) -> Option<Notice> {
    let (event, text) = effects::notice(&planned.change.step, round)?;
    let (about, actor) = (entry.id.to_string(), entry.actor.clone());
    Some(Notice { event, about, actor, reason: planned.change.reason.clone(), text })
}

/// Notes how a part ended, and gives what was recorded.
fn tell<'b>(part: &[(&'b Planned, Receipt)], outcomes: &[Recorded], report: &mut Report) -> Vec<&'b Planned> {
    let mut done = Vec::with_capacity(part.len());
    for ((planned, receipt), outcome) in part.iter().zip(outcomes) {
        match outcome {
            Recorded::Done => {
                effects::log(&planned.change, receipt);
                report.minted.extend(receipt.attempt());
                done.push(*planned);
            }
            Recorded::Conflict => report.conflicts.push(planned.change.id.clone()),
        }
    }
    done
}

/// What could not be done, why, and the way out, on one line.
fn chain(error: &port::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("; {hint}"));
    }
    text
}
