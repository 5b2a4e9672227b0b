//! Ctrl-C and `SIGTERM`, where a command does not wait for them itself as the daemon does.
//!
//! The system ends a program by itself at such a signal, but not the first process of a container (`pid_namespaces(7)`);
//! and it would cut a change in two.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::print::err;
use crate::failure::{Failure, Result};
use crate::log;

/// How long a change may go on after a signal.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the last log lines may take.
const FLUSH: Duration = Duration::from_millis(200);

/// What a command does, as far as a signal is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It only reads, and ends at once.
    Reads,
    /// It changes something, which is finished first. A second signal ends it at once.
    Changes,
    /// It minds signals itself, once it has begun.
    Serves,
}

/// Somebody is asked, so that nothing is under way.
static IS_ASKING: AtomicBool = AtomicBool::new(false);

/// Minds signals from now on.
///
/// Errors: the system gives no signals.
pub fn mind(work: Work) -> Result<()> {
    let is_first = std::process::id() == 1;
    if work != Work::Changes && !is_first {
        // The system does what is wanted, sooner than anybody.
        return Ok(());
    }
    let catch = |kind| signal(kind).map_err(|error| Failure::error(format!("signals cannot be received: {error}")));
    let (terminate, interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    tokio::spawn(end(work, terminate, interrupt));
    Ok(())
}

async fn end(work: Work, mut terminate: Signal, mut interrupt: Signal) {
    let code = next(&mut terminate, &mut interrupt).await;
    match work {
        Work::Serves if crate::daemon::signals::are_caught() => return,
        Work::Changes if !IS_ASKING.load(Ordering::Relaxed) => {
            err("finishing what was begun; a second signal ends it at once\n");
            tokio::select! {
                _ = next(&mut terminate, &mut interrupt) => {}
                () = tokio::time::sleep(LIMIT) => {}
            }
            err("ended before it was finished: run the command again, which does nothing twice\n");
        }
        Work::Reads | Work::Changes | Work::Serves => {}
    }
    log::flush(FLUSH);
    exit(code);
}

/// The exit code of a program that ends by the next signal, as shells have it: 128 and its number.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    let kind = tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
    };
    128 + kind.as_raw_value()
}

/// Runs `read`, which waits for what somebody types or pipes in. A signal ends the program at once meanwhile.
pub fn asking<T>(read: impl FnOnce() -> T) -> T {
    IS_ASKING.store(true, Ordering::Relaxed);
    let answer = read();
    IS_ASKING.store(false, Ordering::Relaxed);
    answer
}
