//! What the daemon says of its turns: what is new, and not the same again at every turn.

use super::systemd;
use crate::failure::{Failure, Result};
use crate::plan::render::sentence;
use crate::turn::{Outcome, Turned};

/// Columns of what is shown of a file in the log.
const WIDTH: usize = 100;

/// Remembers what was said last.
#[derive(Debug, Default)]
pub struct Voice {
    /// The trouble of the last turn, on one line.
    trouble: Option<String>,
    /// The digest of the plan that is held back.
    held: Option<String>,
    /// What is blocked, and what could not be applied; `None` before the first turn.
    blocked: Option<Vec<String>>,
    failed: Vec<String>,
    warnings: String,
}

impl Voice {
    /// Says why there was no turn; says whether that is new.
    pub fn trouble(&mut self, failure: &Failure) -> bool {
        let report = failure.problems().map(|problems| problems.render(false, WIDTH));
        // The same number of problems in the files may be others.
        let line = report.as_ref().map_or_else(|| failure.line(), |report| format!("{}\n{report}", failure.line()));
        if self.trouble.as_ref() == Some(&line) {
            tracing::debug!("still: {}", failure.line());
            return false;
        }
        match report {
            Some(report) => {
                tracing::error!("{}; the last good state stays in force\n{}", failure.line(), report.trim_end())
            }
            None => tracing::error!("{line}"),
        }
        for hint in &failure.hints {
            tracing::error!("hint: {hint}");
        }
        systemd::status(&failure.line());
        self.trouble = Some(line);
        true
    }

    /// Says that the trouble is over, where there was any, so that the same trouble is said when it comes again.
    pub fn well(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("all is well again");
        }
    }

    /// Says what a turn did, and what is blocked when that has changed.
    ///
    /// Errors: `tell` cannot say it.
    pub fn turned(&mut self, turned: &Turned, tell: &dyn Fn(&Turned) -> Result<()>) -> Result<()> {
        self.well();
        let Turned { plan, outcome, warnings, work: _ } = turned;
        let warnings = warnings.render(false, WIDTH);
        if warnings != self.warnings && !warnings.is_empty() {
            tracing::warn!("{}", warnings.trim_end());
        }
        self.warnings = warnings;
        let blocked: Vec<String> = plan.blocked.iter().map(|one| format!("{}: {}", one.id, one.reason)).collect();
        let did = match outcome {
            Outcome::Held { over, digest } => {
                self.held(over, digest);
                false
            }
            Outcome::Applied(report) => {
                self.held = None;
                systemd::status(&sentence(&plan.summary()));
                let failed: Vec<String> = report.undone().map(|(id, why)| format!("{id}: {why}")).collect();
                failed.iter().filter(|line| !self.failed.contains(line)).for_each(|line| tracing::error!("{line}"));
                self.failed = failed;
                report.applied > 0
            }
        };
        let is_new = self.blocked.as_ref() != Some(&blocked);
        self.blocked = Some(blocked);
        if did || is_new { tell(turned) } else { Ok(()) }
    }

    fn held(&mut self, over: &[String], digest: &str) {
        if self.held.as_deref() == Some(digest) {
            return;
        }
        let line = format!("held back: {}", over.join(", "));
        tracing::warn!("{line}; `reconcile approve {digest} --reason R` lets it pass");
        systemd::status(&line);
        self.held = Some(digest.to_owned());
    }
}
