//! What is left of a turn for `status`: what it did, or the trouble that it came to nothing by.

use std::collections::BTreeSet;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::last_good::{Enforced, unfollowed};
use super::{Request, Turned, World};
use crate::apply::Report;
use crate::change::{Compared, ResourceId, Revision, one_line};
use crate::failure::{Failure, Result};
use crate::plan::Held;
use crate::plan::render::sentence;
use crate::store::Context;
use crate::store::enforced::{self, Applied};
use crate::store::lease::Lease;
use crate::store::sql::{Id, now};
use crate::store::turns::{self, Turn, Waiting};
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
        if failure.is_paused {
            self.note_enforced(&mut tx, Some(unfollowed(None, failure))).await?;
        }
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
        let mut undone: Vec<String> = failed_at(&turned.report).into_iter().collect();
        undone.extend(turned.plan.held.iter().map(Held::line));
        let enforced = turned.enforced.as_ref().map(Enforced::line);
        let good = undone.is_empty() && enforced.is_none();
        undone.extend(enforced);
        let outcome = if good { "done".to_owned() } else { undone.join("; ") };
        let held = turned
            .plan
            .held
            .iter()
            .map(|Held { digest, why, changes: _ }| Waiting { digest: digest.clone(), why: why.clone() });
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
            summary: sentence(&turned.plan.summary()).into(),
            good_at: good.then_some(finished_at),
            held: held.collect(),
        };
        match request.target {
            None => turns::write(&mut tx, &turn).await?,
            // It says nothing of what waits elsewhere.
            Some(_) => turns::write_beside(&mut tx, &turn).await?,
        }
        if request.target.is_none() && turned.plan.held.is_empty() {
            let Revision { commit, compared, .. } = &turned.plan.header.revision;
            let applied = Applied { commit: commit.clone(), is_clean: *compared == Compared::Clean };
            enforced::note_applied(&mut tx, &applied).await?;
        }
        if let Some(applied) = applied {
            self.record(&mut tx, &applied, &turned.plan.lineage, request.force.as_ref()).await?;
        }
        note_failures(&mut tx, turned).await?;
        let state = turned.enforced.as_ref().map(|enforced| unfollowed(Some(&enforced.what), &enforced.failure));
        let before = self.note_enforced(&mut tx, state).await?;
        self.tell_of_turn(&mut tx, request, turned, before.as_ref()).await?;
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
    let Turned { plan, report, .. } = turned;
    let failing: BTreeSet<&ResourceId> = report.undone().map(|(id, _)| id).collect();
    // What is blocked or waits was not tried, so that its failure is not over.
    let waits = plan.changes.iter().filter(|planned| planned.held.is_some()).map(|planned| &planned.change.id);
    let untried: BTreeSet<&ResourceId> = plan.blocked.iter().map(|blocked| &blocked.id).chain(waits).collect();
    let over = plan.failures.keys().filter(|id| !failing.contains(id) && !untried.contains(id));
    failures::clear(tx, &over.collect::<Vec<_>>()).await?;
    let failed: Vec<_> = report.undone().map(|(id, why)| (id, one_line(why))).collect();
    Ok(failures::add(tx, &failed).await?)
}

/// What the run failed at: `failed: session/215: …; and 3 more`.
fn failed_at(report: &Report) -> Option<String> {
    let (id, why) = report.undone().next()?;
    let first = format!("failed: {id}: {}", one_line(why));
    Some(match report.undone().count() {
        ..=1 => first,
        all => format!("{first}; and {} more", all - 1),
    })
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
        held: Vec::new(),
    }
}
