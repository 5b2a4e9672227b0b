//! Work that is shared out over the processor's cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// More threads than this wait for the disk, or for each other.
const THREADS: usize = 4;

/// Does `work` for every one of `jobs`, on several threads, and gives the results in the order of the jobs.
pub fn side_by_side<J: Send, D: Send>(jobs: Vec<J>, work: impl Fn(J) -> D + Sync) -> Vec<D> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS).min(jobs.len());
    let queue = Mutex::new(jobs.into_iter().enumerate());
    // A thread that died holding the lock has taken at most its own job along.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let mut done: Vec<(usize, D)> = thread::scope(|scope| {
        let one =
            || scope.spawn(|| std::iter::from_fn(next).map(|(number, job)| (number, work(job))).collect::<Vec<_>>());
        let running: Vec<_> = (0..threads).map(|_| one()).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, done)| done).collect()
}
