//! Saved plans: exactly that plan, or nothing.
//!
//! A saved plan holds its time, a digest of what was observed, and what it was made for. Applying it plans again with
//! that time, and compares.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Focus, Picture, Request, Turned, World};
use crate::change::{ResourceId, hex, moment};
use crate::failure::{Failure, Result};
use crate::file::{self, Fault, Rules};
use crate::kinds::parse_id;
use crate::plan::Plan;
use crate::plan::budget::Force;
use crate::plan::render::{self, FORMAT_VERSION};
use crate::store::identity::TargetIdentity;
use crate::store::lease::Lease;
use crate::store::sql::now;

/// A plan older than this is not applied.
const LIFE: chrono::TimeDelta = chrono::TimeDelta::hours(24);
/// As far may the clocks of two machines be apart. A plan from later than that would never expire.
const SKEW: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// The file of `--out`. Holds no secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    pub format_version: String,
    /// The version of the binary that made it: another one may see other things in the same rows.
    pub reconcile_version: String,
    pub now: DateTime<Utc>,
    pub environment: String,
    pub identity: TargetIdentity,
    pub target: Option<String>,
    pub observed_digest: String,
    pub plan_digest: String,
    /// The plan as `--format json` shows it.
    pub plan: serde_json::Value,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A digest of everything that was observed. `Debug` shows every field of every row, in the order of their keys; it is
/// compared within one version only.
fn observed_digest(picture: &Picture) -> String {
    let mut hasher = Sha256::new();
    hasher.update([u8::from(picture.is_new)]);
    hasher.update(format!("{:?}", picture.observed).as_bytes());
    hex(&hasher.finalize()[..16])
}

impl World {
    /// Plans, and gives the plan as it is to be saved.
    pub async fn save(&self, request: &Request) -> Result<(Plan, SavedPlan)> {
        let wanted = self.read().await?;
        let picture = self.look(Focus::Everything(&wanted.desired), request.now).await?;
        let plan = self.judged(self.plan(&wanted, &picture, request), &picture).await?;
        let saved = SavedPlan {
            format_version: FORMAT_VERSION.to_owned(),
            reconcile_version: VERSION.to_owned(),
            now: request.now,
            environment: plan.header.environment.clone(),
            identity: self.database.identity().await?,
            target: request.target.as_ref().map(ToString::to_string),
            observed_digest: observed_digest(&picture),
            plan_digest: plan.digest(),
            plan: render::json(&plan),
        };
        Ok((plan, saved))
    }

    /// Checks a saved plan against this very target and time, before anything is opened for writing.
    pub async fn admit_saved(&self, saved: &SavedPlan) -> Result<()> {
        if saved.environment != self.guard.environment().as_str() || saved.identity != self.database.identity().await? {
            let catalog = saved.plan["catalog"].as_str().unwrap_or_default();
            let here = (self.guard.environment(), self.database.catalog(), self.database.admitted().server());
            let message = format!(
                "the plan was made for another target: environment {}, catalog {catalog}, {}",
                saved.environment, saved.identity
            );
            return Err(Failure::refused(message)
                .hint(format!("this is environment {}, catalog {}, {}", here.0, here.1, here.2))
                .hint("make a plan for this one: `reconcile --plan --out FILE`"));
        }
        let age = now().signed_duration_since(saved.now);
        if age < -SKEW {
            let message = format!("the plan was made at {}, which is still to come", moment(saved.now));
            return Err(Failure::error(message).hint("compare the clocks of both machines, and make a new plan"));
        }
        if age > LIFE {
            let message = format!("the plan has expired: it was made at {}, more than 24 h ago", moment(saved.now));
            return Err(Failure::error(message).hint("make a new one: `reconcile --plan --out FILE`"));
        }
        Ok(())
    }

    /// Applies exactly the saved plan. Errors: it is stale, for another target, or expired; then nothing was applied.
    pub async fn apply_saved(&self, lease: &Lease, saved: &SavedPlan, force: Option<Force>) -> Result<Turned> {
        let started_at = now();
        let target: Option<ResourceId> = saved.target.as_deref().map(parse_id).transpose().map_err(Failure::error)?;
        let request = Request { now: saved.now, target, force, ..Request::everything() };
        let wanted = self.read().await?;
        let mut picture = self.look(Focus::ToApply(&wanted.desired), request.now).await?;
        // The schema may have been made just now, to have a lease to hold: an empty one counts as none.
        picture.is_new = saved.plan["schema_missing"] == true
            && picture.ledger.applied.is_empty()
            && picture.observed.sessions.total == 0;
        let plan = self.judged(self.plan(&wanted, &picture, &request), &picture).await?;
        let same = plan.digest() == saved.plan_digest
            && observed_digest(&picture) == saved.observed_digest
            && shown(&render::json(&plan)) == shown(&saved.plan);
        if !same || saved.reconcile_version != VERSION {
            let message =
                "the plan is stale: the files, the database or the saved plan itself have changed since it was made";
            return Err(Failure::error(message).hint("look at what would be done now: `reconcile --plan`"));
        }
        let context = self.context(wanted.revision.actor(), &wanted.revision);
        let work = wanted.work(None, &picture);
        let approved = plan.approve(request.force.clone());
        let report = self.apply(&approved, lease.authority(), &context, &picture).await?;
        let (plan, warnings) = (approved.into_plan(), wanted.warnings);
        let turned = Turned { plan, report, warnings, work, enforced: None };
        // Whoever asks that all be looked at is not answered by a plan of yesterday's.
        self.remember(lease, &context, started_at, &request, &turned, &[]).await?;
        Ok(turned)
    }
}

/// What people read of a plan before they let it be applied: all but the commit, which may move without changing it, and
/// what is held, which an approval changes, and whether the commit follows the one that was applied last, which is judged
/// anew.
fn shown(plan: &serde_json::Value) -> serde_json::Value {
    let mut plan = plan.clone();
    if let Some(fields) = plan.as_object_mut() {
        fields.remove("revision");
        fields.remove("held");
        fields.remove("lineage");
    }
    plan
}

/// Whether a file that begins so was saved by us: in whatever version, its first fields are these.
fn begins_as_saved(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let mut fields = head.trim_start().trim_start_matches('{').split(',').map(str::trim_start);
    ["\"format_version\"", "\"reconcile_version\""]
        .iter()
        .all(|name| fields.next().is_some_and(|field| field.starts_with(name)))
}

impl World {
    /// Saves a plan at `path`: a new file, or in the place of a plan that was saved there before.
    ///
    /// Errors: something else is there, or it cannot be written.
    pub fn save_to(&self, path: &Path, saved: &SavedPlan) -> Result<()> {
        let text = serde_json::to_vec_pretty(saved)
            .map_err(|error| Failure::error(format!("the plan cannot be written as JSON: {error}")))?;
        file::save(path, &text, begins_as_saved, |place| self.is_reserved(place)).map_err(|error| {
            let message = format!("the plan cannot be written to {}: {error}", path.display());
            Failure::error(message).hints(error.hint().map(str::to_owned))
        })
    }
}

/// Reads the file of a saved plan.
///
/// Errors: it is not there, not a plan, or of a version that this binary does not know.
pub fn read(path: &Path) -> Result<SavedPlan> {
    /// A plan of a million changes is about this large.
    const MOST: u64 = 1 << 30;
    let shown = path.display();
    let unreadable = |fault: Fault| {
        let message = format!("the plan {shown} cannot be read: {}", fault.told());
        Failure::error(message).hint(fault.hint(path))
    };
    let mut opened = file::open(path, &Rules::anybodys(MOST)).map_err(unreadable)?;
    // What does not begin as one is not read to its end.
    let mut head = [0; 256];
    let head = opened.head(&mut head).map_err(unreadable)?;
    let text = match head.trim_ascii_start().first() {
        Some(b'{') => opened.read().map_err(unreadable)?,
        _ => head.to_vec(),
    };
    let saved: SavedPlan = serde_json::from_slice(&text).map_err(|error| {
        let message = format!("{shown} is not a plan of `reconcile --plan --out FILE`: {error}");
        Failure::error(message).hint("make a new one; a saved plan is not to be edited")
    })?;
    if saved.format_version != FORMAT_VERSION {
        let message =
            format!("{shown} has the plan format {}, this binary knows {FORMAT_VERSION}", saved.format_version);
        return Err(Failure::error(message).hint("make a new one: `reconcile --plan --out FILE`"));
    }
    Ok(saved)
}

#[cfg(test)]
pub(crate) mod tests;
