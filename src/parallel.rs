//! Work that is shared out over the processor's cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// More threads than this wait for the disk, or for each other.
const THREADS: usize = 4;

/// Does `work` for every one of `jobs`, on several threads, and gives the results in the order of the jobs. This thread is
/// one of them, and all that there is where the system gives no others.
pub fn side_by_side<J: Send, D: Send>(jobs: Vec<J>, work: impl Fn(J) -> D + Sync) -> Vec<D> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS).min(jobs.len());
    let queue = Mutex::new(jobs.into_iter().enumerate());
    // A thread that died holding the lock has taken at most its own job along.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let share = || std::iter::from_fn(next).map(|(number, job)| (number, work(job))).collect::<Vec<_>>();
    let mut done: Vec<(usize, D)> = thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, share).ok()).collect();
        let mut done = share();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_jobs() {
        for count in [0, 1, 2, 500] {
            let jobs: Vec<usize> = (0..count).collect();
            let done = side_by_side(jobs, |job| {
                thread::sleep(std::time::Duration::from_micros((job % 7) as u64 * 20));
                job * 2
            });
            assert_eq!(done, (0..count).map(|job| job * 2).collect::<Vec<_>>());
        }
    }
}
