//! What is left of a turn for `status`: what it did, or the trouble that it came to nothing by.

use std::collections::BTreeSet;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Outcome, Request, Turned, World};
use crate::apply::Report;
use crate::change::one_line;
use crate::failure::{Failure, Result};
use crate::plan::render::sentence;
use crate::store::Context;
use crate::store::lease::Lease;
use crate::store::sql::{Id, now};
use crate::store::turns::{self, Turn};
use crate::store::{Tx, failures, requests};

impl World {
    /// Whether there is a database with our schema.
    ///
    /// Errors: it does not answer, or the guard refuses it.
    pub async fn exists(&self) -> Result<bool> {
        let Some(snapshot) = self.database.snapshot().await? else { return Ok(false) };
        // Whatever happens to it meanwhile, it is there.
        drop(snapshot.finish().await);
        Ok(true)
    }

    /// Leaves a note of the failure of a turn that was `begun` then.
    ///
    /// Errors: the lease was lost, or the database does not answer.
    pub async fn remember_failure(
        &self,
        lease: &Lease,
        context: &Context,
        begun: Instant,
        failure: &Failure,
    ) -> Result<()> {
        let mut tx = self.database.begin(&lease.authority(), context).await?;
        turns::write(&mut tx, &failed(lease, context, begun, failure)).await?;
        self.tell_of_failure(&mut tx, failure).await?;
        Ok(tx.commit().await?)
    }

    /// Leaves a note of the turn for `status`, answers those who asked for it, and forgets what the journal need not keep.
    pub(super) async fn remember(
        &self,
        lease: &Lease,
        context: &Context,
        started_at: DateTime<Utc>,
        request: &Request,
        turned: &Turned,
        asked: &[Id],
    ) -> Result<()> {
        let (outcome, good) = match &turned.outcome {
            Outcome::Applied(report) if report.failed.is_empty() && report.conflicts.is_empty() => {
                ("done".to_owned(), true)
            }
            Outcome::Applied(report) => (undone(report), false),
            Outcome::Held { digest, .. } => (format!("{}{digest}", turns::HELD), false),
        };
        let mut tx = self.database.begin(&lease.authority(), context).await?;
        let finished_at = now();
        let turn = Turn {
            run: context.run,
            holder: lease.holder().to_owned(),
            started_at,
            finished_at,
            revision: context.revision.clone(),
            outcome,
            summary: sentence(&turned.plan.summary()).into(),
            good_at: good.then_some(finished_at),
        };
        turns::write(&mut tx, &turn).await?;
        note_failures(&mut tx, turned).await?;
        self.tell_of_turn(&mut tx, request, turned).await?;
        if !asked.is_empty() {
            requests::answered(&mut tx, asked, &turn).await?;
        }
        if let Some(limit) = self
            .config
            .journal_retention
            .and_then(|kept| finished_at.checked_sub_signed(chrono::TimeDelta::from_std(kept).ok()?))
        {
            crate::store::journal::prune(&mut tx, limit).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Records what the run failed at, and forgets what it failed at no more.
async fn note_failures(tx: &mut Tx, turned: &Turned) -> Result<()> {
    let Turned { plan, outcome, .. } = turned;
    let blocked = plan.blocked.iter().map(|blocked| &blocked.id);
    let (failed, untried): (Vec<_>, BTreeSet<_>) = match outcome {
        Outcome::Applied(report) => (report.undone().collect(), blocked.collect()),
        Outcome::Held { .. } => {
            (Vec::new(), blocked.chain(plan.changes.iter().map(|planned| &planned.change.id)).collect())
        }
    };
    let failing: BTreeSet<_> = failed.iter().map(|(id, _)| *id).collect();
    let over = plan.failures.keys().filter(|id| !failing.contains(id) && !untried.contains(id));
    failures::clear(tx, &over.collect::<Vec<_>>()).await?;
    let failed: Vec<_> = failed.into_iter().map(|(id, why)| (id, one_line(why))).collect();
    Ok(failures::add(tx, &failed).await?)
}

/// How a run ended that did not do everything: `failed: session/215: …; and 3 more`.
fn undone(report: &Report) -> String {
    let all = report.failed.len() + report.conflicts.len();
    let first = report.undone().next().map(|(id, why)| format!("{id}: {}", one_line(why))).unwrap_or_default();
    match all {
        ..=1 => format!("failed: {first}"),
        _ => format!("failed: {first}; and {} more", all - 1),
    }
}

/// A turn that was begun then, and failed.
pub(super) fn failed(lease: &Lease, context: &Context, begun: Instant, failure: &Failure) -> Turn {
    let finished_at = now();
    let took = TimeDelta::from_std(begun.elapsed()).unwrap_or_default();
    let first = failure.problems().and_then(|problems| problems.iter().next());
    let first = first.map(|problem| format!("{}: {}", problem.place, problem.message)).unwrap_or_default();
    Turn {
        run: context.run,
        holder: lease.holder().to_owned(),
        started_at: finished_at - took,
        finished_at,
        revision: context.revision.clone(),
        outcome: format!("failed: {}", failure.line()),
        summary: first.into(),
        good_at: None,
    }
}
