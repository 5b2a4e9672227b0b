//! What the daemon says of its turns: what is new, and not the same again at every turn.

use super::systemd;
use crate::failure::Failure;
use crate::log;
use crate::plan::Held;
use crate::plan::render::sentence;
use crate::turn::Turned;
use crate::yaml::WIDEST;

/// Remembers what was said last.
#[derive(Debug, Default)]
pub struct Voice {
    /// The trouble of the last turn, on one line.
    trouble: Option<String>,
    /// What waits for a person.
    held: Vec<Held>,
    /// What is blocked, and what could not be applied; `None` before the first turn.
    blocked: Option<Vec<String>>,
    failed: Vec<String>,
    warnings: String,
    /// Log lines that were dropped, as far as that was told.
    dropped: u64,
}

impl Voice {
    /// Says why there was no turn; says whether that is new.
    pub fn trouble(&mut self, failure: &Failure) -> bool {
        let report = failure.problems().map(|problems| problems.render(false, WIDEST));
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

    /// Says how many log lines were dropped since it was said last. Where this one is dropped too, it is said again.
    pub fn dropped(&mut self) {
        let dropped = log::dropped();
        let lines = dropped.saturating_sub(self.dropped);
        if lines > 0 {
            tracing::warn!("{lines} log lines or messages could not be written and were dropped");
            self.dropped = dropped;
        }
    }

    /// Says what a turn did, and what is blocked when that has changed.
    pub fn turned(&mut self, turned: &Turned, tell: &dyn Fn(&Turned)) {
        self.well();
        let Turned { plan, report, warnings, work: _ } = turned;
        let warnings = warnings.render(false, WIDEST);
        if warnings != self.warnings && !warnings.is_empty() {
            tracing::warn!("{}", warnings.trim_end());
        }
        self.warnings = warnings;
        let blocked: Vec<String> = plan.blocked.iter().map(|one| format!("{}: {}", one.id, one.reason)).collect();
        systemd::status(&sentence(&plan.summary()));
        self.held(&plan.held);
        let failed: Vec<String> = report.failed.iter().map(|(id, why)| format!("{id}: {why}")).collect();
        failed.iter().filter(|line| !self.failed.contains(line)).for_each(|line| tracing::error!("{line}"));
        self.failed = failed;
        let did = report.applied > 0;
        let is_new = self.blocked.as_ref() != Some(&blocked);
        self.blocked = Some(blocked);
        if did || is_new {
            tell(turned);
        }
    }

    fn held(&mut self, held: &[Held]) {
        for one in held.iter().filter(|one| !self.held.contains(one)) {
            tracing::warn!("{}", one.line());
        }
        if let Some(first) = held.first() {
            systemd::status(&first.line());
        }
        self.held = held.to_vec();
    }
}
