//! Whether the commit that was read may follow the one that was applied last, and the record of what was applied.

use serde_json::json;

use super::{Picture, Turned, World, status};
use crate::change::{Compared, History, Revision, Source, short};
use crate::desired::git::lineage::{Recorded, history, root};
use crate::failure::{Failure, Result};
use crate::guard::Environment;
use crate::plan::Plan;
use crate::plan::budget::Force;
use crate::plan::lineage::{Commit, Facts, Judgement, Lineage, Rule, judge};
use crate::store::lineage::{self, Applied};
use crate::store::sql::now;
use crate::store::{self, Entry, Tx};

impl World {
    /// The plan, with whether its commit may follow the one that the picture has as applied last.
    ///
    /// Errors: the repository, or the database, gives no answer.
    pub(super) async fn judged(&self, plan: Plan, picture: &Picture) -> Result<Plan> {
        let lineage = match &picture.applied {
            Some(last) => self.lineage(&plan.header.revision, last).await?,
            None => Lineage::default(),
        };
        Ok(plan.follow(lineage, &picture.approvals))
    }

    async fn lineage(&self, revision: &Revision, last: &Applied) -> Result<Lineage> {
        let root = last.root.clone();
        if revision.commit.as_ref() == Some(&last.commit) {
            return Ok(Lineage { judgement: Judgement::Follows, root });
        }
        let rule = self.rule();
        let (history, was_applied) = match &revision.commit {
            None => (History::Cut, false),
            Some(commit) => match self.relation(commit, last).await {
                Ok(found) => found,
                Err(failure) if rule == Rule::Warn => {
                    return Ok(Lineage { judgement: Judgement::Noted(failure.line()), root: None });
                }
                Err(failure) => return Err(failure),
            },
        };
        let judgement = judge(Facts {
            name: &self.config.lineage,
            last: Commit { id: &last.commit, at: last.committed_at },
            commit: revision.commit.as_deref().map(|id| Commit { id, at: revision.committed_at }),
            history,
            was_applied,
            rule,
        });
        // What contains it begins where it begins; of all else that is looked for when it is applied.
        Ok(Lineage { judgement, root: root.filter(|_| history == History::Contains) })
    }

    /// How the commit stands to the last one, and whether it was applied before it.
    async fn relation(&self, commit: &str, last: &Applied) -> Result<(History, bool)> {
        let recorded = Recorded { commit: &last.commit, root: last.root.as_deref() };
        let found = history(&self.config.state, commit, recorded).await.map_err(|error| {
            let what = format!("whether {} contains the commit that was applied last is not known", short(commit));
            Failure::error(format!("{what}: {error}")).hint(error.hint())
        })?;
        if found != History::Cut {
            return Ok((found, false));
        }
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok((found, false)) };
        let was_applied = lineage::was_applied(&mut snapshot, &self.config.lineage, commit).await?;
        snapshot.finish().await?;
        Ok((found, was_applied))
    }

    fn rule(&self) -> Rule {
        match self.config.source {
            Source::Worktree if self.guard.environment().as_str() == Environment::DEVELOPMENT => Rule::Warn,
            Source::Worktree | Source::Head if self.config.lineage_strict => Rule::Strict,
            Source::Worktree | Source::Head => Rule::Hold,
        }
    }

    /// The commit to be recorded as applied last; `None` where the run was held, or is of no
    /// commit.
    pub(super) async fn applied(&self, turned: &Turned) -> Option<Applied> {
        let Turned { plan, report, .. } = turned;
        if plan.lineage.held().is_some() || (!plan.held.is_empty() && report.applied == 0) {
            return None;
        }
        let Revision { commit, committed_at, compared, .. } = &turned.plan.header.revision;
        let commit = commit.clone()?;
        let root = match &turned.plan.lineage.root {
            Some(root) => Some(root.clone()),
            None => root(&self.config.state, &commit).await.unwrap_or_else(|error| {
                tracing::debug!("where the history of {} begins is not known: {error}", short(&commit));
                None
            }),
        };
        let is_clean = *compared == Compared::Clean;
        Some(Applied { commit, is_clean, committed_at: *committed_at, applied_at: now(), root })
    }

    /// Records it, and on whose word it was applied, where it took one.
    pub(super) async fn record(
        &self,
        tx: &mut Tx,
        applied: &Applied,
        lineage: &Lineage,
        force: Option<&Force>,
    ) -> store::error::Result<()> {
        lineage::record(tx, &self.config.lineage, applied).await?;
        let Judgement::LetPass(hold) = &lineage.judgement else { return Ok(()) };
        let approved = format!("approved: {}", hold.why);
        let reason = force.map_or(approved.as_str(), |force| &force.reason);
        let (before, after) = (json!({ "commit": hold.last }), json!({ "commit": hold.commit }));
        let entry: Entry = status::entry(None, "lineage", Some(before), Some(after), reason);
        store::journal::write(tx, &entry).await
    }
}
