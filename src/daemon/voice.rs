//! What the daemon says of its turns: what is new, and not the same again at every turn.

use super::systemd;
use crate::failure::Failure;
use crate::log;
use crate::plan::Held;
use crate::plan::render::sentence;
use crate::turn::Turned;
use crate::turn::last_good::Enforced;
use crate::yaml::WIDEST;

/// Remembers what was said last.
#[derive(Debug, Default)]
pub struct Voice {
    /// The trouble of the last turn, on one line.
    trouble: Option<String>,
    /// Why the last good state is enforced in the place of the files.
    enforced: Option<String>,
    /// What waits for a person.
    held: Vec<Held>,
    /// What is blocked, and what could not be applied; `None` before the first turn.
    blocked: Option<Vec<String>>,
    failed: Vec<String>,
    warnings: String,
    /// Log lines that were dropped, as far as that was told.
    dropped: u64,
    /// What is to be known of how the commit follows the last one.
    lineage: Option<String>,
}

impl Voice {
    /// Says why there was no turn; says whether that is new.
    pub fn trouble(&mut self, failure: &Failure) -> bool {
        let is_new = say(&mut self.trouble, failure.line(), failure);
        if !is_new {
            tracing::debug!("still: {}", failure.line());
        }
        is_new
    }

    /// Says that the trouble is over, where there was any, so that the same trouble is said when it comes again.
    pub fn well(&mut self) {
        let was_enforced = self.enforced.take().is_some();
        if self.trouble.take().is_some() || was_enforced {
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

    /// Says what is enforced in the place of the files, where that is new.
    fn enforced(&mut self, enforced: &Enforced) {
        if self.trouble.take().is_some() {
            tracing::info!("turns are carried through again");
        }
        say(&mut self.enforced, enforced.line(), &enforced.failure);
    }

    /// Says what a turn did, and what is blocked when that has changed.
    pub fn turned(&mut self, turned: &Turned, tell: &dyn Fn(&Turned)) {
        let Turned { plan, report, warnings, work: _, enforced } = turned;
        match enforced {
            Some(enforced) => self.enforced(enforced),
            None => self.well(),
        }
        let warnings = warnings.render(false, WIDEST);
        if warnings != self.warnings && !warnings.is_empty() {
            tracing::warn!("{}", warnings.trim_end());
        }
        self.warnings = warnings;
        let lineage = plan.lineage.note().filter(|_| plan.lineage.held().is_none());
        if lineage != self.lineage {
            lineage.iter().for_each(|note| tracing::warn!("{note}"));
            self.lineage = lineage;
        }
        let blocked: Vec<String> = plan.blocked.iter().map(|one| format!("{}: {}", one.id, one.reason)).collect();
        let line = enforced.as_ref().map_or_else(|| sentence(&plan.summary()), Enforced::line);
        systemd::status(&line);
        self.held(&plan.held);
        let failed: Vec<String> = report.undone().map(|(id, why)| format!("{id}: {why}")).collect();
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

/// Says `line`, with what is wrong with the files and the way out, unless `said` shows that it was said last. Says whether
/// it was new.
fn say(said: &mut Option<String>, line: String, failure: &Failure) -> bool {
    // The same number of problems in the files may be others.
    let whole = match failure.problems().map(|problems| problems.render(false, WIDEST)) {
        Some(report) => format!("{line}\n{}", report.trim_end()),
        None => line.clone(),
    };
    if said.as_ref() == Some(&whole) {
        return false;
    }
    tracing::error!("{whole}");
    for hint in &failure.hints {
        tracing::error!("hint: {hint}");
    }
    systemd::status(&line);
    *said = Some(whole);
    true
}
