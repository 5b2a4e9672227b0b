//! The process itself, as far as the system tells it for nothing.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use rustix::time::{ClockId, clock_gettime};

use super::metrics::{Maybe, Shelf, count};
use crate::file::{self, Rules};
use crate::log;

/// The most bytes of what the system tells of a process.
const LARGEST: u64 = 64 * 1024;

/// Series of what the process takes, and of what it could not say. What the system does not tell is not there.
pub struct Process {
    log_dropped: Counter,
    /// Since its start, all threads, in seconds.
    cpu: Counter<f64, AtomicU64>,
    resident: Maybe<Gauge>,
    open_files: Maybe<Gauge>,
}

impl Process {
    pub fn on(shelf: &mut Shelf) -> Self {
        Self {
            log_dropped: shelf.add(
                "reconcile_log_lines_dropped",
                "Log lines and messages that could not be written",
                Counter::default(),
            ),
            cpu: shelf.add("process_cpu_seconds", "Processor time of the process", Counter::default()),
            resident: shelf.add("process_resident_memory_bytes", "Memory of the process", Family::default()),
            open_files: shelf.add("process_open_fds", "Open file descriptors of the process", Family::default()),
        }
    }

    /// Brings them up to now.
    pub fn look(&self) {
        self.log_dropped.inc_by(log::dropped().saturating_sub(self.log_dropped.get()));
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        // Both parts fit: seconds of a processor, and less than 10^9.
        let cpu = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        self.cpu.inc_by((cpu - self.cpu.get()).max(0.0));
        let status = file::text(Path::new("/proc/self/status"), &Rules::anybodys(LARGEST));
        let status = status.ok().flatten().unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let resident = resident.and_then(|kib| kib.trim().parse::<u64>().ok()?.checked_mul(1024));
        // One of them is the look itself.
        let open_files =
            file::list(Path::new("/proc/self/fd")).ok().map(|files| (files.count() as u64).saturating_sub(1));
        for (gauge, value) in [(&self.resident, resident), (&self.open_files, open_files)] {
            gauge.clear();
            if let Some(value) = value {
                gauge.get_or_create(&[]).set(count(value));
            }
        }
    }
}

/// Seconds since 1970.
pub fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
