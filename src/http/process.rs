//! The process itself, as far as the system tells it for nothing.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::file::{self, Rules};

/// The most bytes of what the system tells of a process.
const LARGEST: u64 = 64 * 1024;

/// What the process takes. `None` where the system does not say.
pub struct Process {
    /// Since its start, all threads, in seconds.
    pub cpu_seconds: f64,
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
}

impl Process {
    pub fn look() -> Self {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        // Both parts fit: seconds of a processor, and less than 10^9.
        let cpu_seconds = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        let status = file::text(Path::new("/proc/self/status"), &Rules::anybodys(LARGEST));
        let status = status.ok().flatten().unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let resident_bytes = resident.and_then(|kib| kib.trim().parse::<u64>().ok()?.checked_mul(1024));
        // One of them is the look itself.
        let open_files =
            file::list(Path::new("/proc/self/fd")).ok().map(|files| (files.count() as u64).saturating_sub(1));
        Self { cpu_seconds, resident_bytes, open_files }
    }
}

/// Seconds since 1970.
pub fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
