//! How far the work has come: counted where it is done, shown where people wait for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// So many of so many. The whole is 0 where it is not known.
#[derive(Debug, Default)]
pub struct Gauge {
    done: AtomicU64,
    whole: AtomicU64,
}

impl Gauge {
    /// Begins anew, with so many to come.
    pub fn begin(&self, whole: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.whole.store(whole, Ordering::Relaxed);
    }

    pub fn add(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub fn whole(&self) -> u64 {
        self.whole.load(Ordering::Relaxed)
    }
}

/// The work of one turn, in its order.
#[derive(Debug, Default)]
pub struct Progress {
    /// State files read.
    pub files: Gauge,
    /// Rows compared with what is declared.
    pub rows: Gauge,
    /// Changes applied.
    pub changes: Gauge,
}

impl Progress {
    /// What is being done at the moment: its name, how much of it is done, and of how much.
    pub fn stage(&self) -> Option<(&'static str, u64, u64)> {
        let stages = [("changes applied", &self.changes), ("rows compared", &self.rows), ("files read", &self.files)];
        let (name, gauge) = stages.into_iter().find(|(_, gauge)| gauge.done() > 0)?;
        Some((name, gauge.done(), gauge.whole()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_stage_is_shown() {
        let progress = Progress::default();
        assert_eq!(progress.stage(), None);
        progress.files.add(3);
        assert_eq!(progress.stage(), Some(("files read", 3, 0)));
        progress.rows.begin(10);
        progress.rows.add(7);
        assert_eq!(progress.stage(), Some(("rows compared", 7, 10)));
        progress.changes.begin(2);
        assert_eq!(progress.stage(), Some(("rows compared", 7, 10)));
        progress.changes.add(1);
        assert_eq!(progress.stage(), Some(("changes applied", 1, 2)));
    }
}
