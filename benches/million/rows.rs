//! The rows of the table, in groups that share their data.

mod bulk;
mod daemon;
mod load;
mod plan;

use std::time::Duration;

use crate::lab::{Lab, Pairs};
use crate::report::{Row, median};

/// Rows that are measured together.
pub struct Group {
    /// What they are called in the table, so that one can be chosen before anything runs.
    pub works: &'static [&'static str],
    pub measure: fn(&Lab) -> Vec<Row>,
}

/// All of them, in the order in which they are shown.
pub const GROUPS: &[Group] = &[
    plan::PLAIN,
    plan::OTHER_STYLES,
    plan::SQLITE,
    daemon::ONE_FILE,
    bulk::CREATES,
    bulk::UPDATES,
    bulk::HOSTS,
    plan::ALL_NEW,
    daemon::IDLE,
    daemon::SAVES,
    load::LOAD,
];

impl Pairs {
    /// The program's median, then the yardstick's.
    fn medians(&self) -> (Duration, Duration) {
        (median(self.runs.iter().map(|run| run.took).collect()), median(self.yardstick.clone()))
    }

    /// The most memory that any run of the program had, in bytes.
    fn peak(&self) -> u64 {
        self.runs.iter().map(|run| run.peak).max().unwrap_or(0)
    }
}
