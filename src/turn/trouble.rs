//! What is left of a turn for `status`: what it did, or the trouble that it came to nothing by.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Outcome, Request, Turned, World};
use crate::failure::{Failure, Result};
use crate::plan::lineage::Hold;
use crate::plan::render::sentence;
use crate::store::Context;
use crate::store::lease::Lease;
use crate::store::requests;
use crate::store::sql::{Id, now};
use crate::store::turns::{self, Turn};

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
            Outcome::Applied(report) => {
                (format!("{} failed, {} in conflict", report.failed.len(), report.conflicts.len()), false)
            }
            Outcome::Held { digest, .. } | Outcome::Behind(Hold { digest, .. }) => {
                (format!("{}{digest}", turns::HELD), false)
            }
        };
        let summary = match &turned.outcome {
            Outcome::Behind(hold) => format!("{}; {}", hold.why, hold.hint),
            Outcome::Applied(_) | Outcome::Held { .. } => sentence(&turned.plan.summary()),
        };
        let applied = self.applied(turned).await;
        let mut tx = self.database.begin(&lease.authority(), context).await?;
        let finished_at = now();
        let turn = Turn {
            run: context.run,
            holder: lease.holder().to_owned(),
            started_at,
            finished_at,
            revision: context.revision.clone(),
            outcome,
            summary: summary.into(),
            good_at: good.then_some(finished_at),
        };
        turns::write(&mut tx, &turn).await?;
        if let Some(applied) = applied {
            self.record(&mut tx, &applied, &turned.plan.lineage, request.force.as_ref()).await?;
        }
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
