//! Says when the desired state may have changed. A hint and no more: whoever is woken reads everything afresh.
//!
//! Three things together let nothing slip through. File events are quick, but they miss what network and overlay file
//! systems do, overflow, and stay with a directory that has moved away. So every burst of them ends in a *look*: the
//! state directory is listed, and each directory that is new gets its watch, until none is new. And from time to time
//! a look is taken without any event.
//!
//! ```text
//! notify ──► notes ──(quiet)──► look: arm new directories, compare ──► Hint
//!                    poll ─────┘
//! ```

mod eyes;
mod head;
mod notes;
mod sentry;
mod view;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::eyes::{Eyes, Open};
use self::notes::{Notes, Stale};
use self::sentry::{Pace, Sentry};
use crate::change::Source;

/// How the change was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// By a file event, within the quiet time.
    Event,
    /// By looking, because no event told of it.
    Poll,
}

/// Why watching cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("the state directory `{}` cannot be watched", dir.display())]
pub struct WatchError {
    dir: PathBuf,
    source: io::Error,
}

/// Watches the state directory, where its files are followed as they lie, and the `HEAD` of its repository, until it is
/// dropped.
#[derive(Debug)]
pub struct Watch {
    hints: mpsc::Receiver<Hint>,
    pace: Pace,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch. `quiet` is how long no event must come before a burst is over, `at_most` how long after its
    /// first event a burst that does not end is reported all the same.
    ///
    /// Guarantees: a change after this has returned leads to a hint, also when the directory does not exist yet, is
    /// deleted and made again, moved away and back, or is a link that is turned elsewhere; and when the commit of its
    /// repository is another. Where file events cannot be had, the log says so once, and looking goes on without them
    /// until they can be had again.
    ///
    /// Assumptions: a tokio runtime with time and I/O.
    ///
    /// Errors: a relative `dir` when the working directory is gone.
    pub async fn start(source: Source, dir: &Path, quiet: Duration, at_most: Duration) -> Result<Watch, WatchError> {
        Self::at_pace(source, dir, Pace { quiet, at_most, ..Pace::USUAL }, Eyes::new).await
    }

    async fn at_pace(source: Source, dir: &Path, pace: Pace, open: Open) -> Result<Watch, WatchError> {
        let failed = |source| WatchError { dir: dir.to_path_buf(), source };
        let notes = Arc::new(Notes::default());
        let sentry = Sentry::new(source, std::path::absolute(dir).map_err(failed)?, notes, open);
        let (sentry, _) = sentry.look(Stale::default()).await.map_err(failed)?;
        // One waiting hint says all that two would: it is taken before anything is read.
        let (sender, hints) = mpsc::channel(1);
        Ok(Watch { hints, pace, task: tokio::spawn(sentry.stand(pace, sender)) })
    }

    /// Waits for the next burst of changes to be over.
    ///
    /// Guarantees: cancelling it loses nothing, so it may stand in a `select!`; changes while nobody waits are told at
    /// the next call; reading the files leads to no hint.
    pub async fn changed(&mut self) -> Hint {
        match self.hints.recv().await {
            Some(hint) => hint,
            // The task has died, which only a panic below it can bring about: then every look is the reader's own.
            None => {
                tokio::time::sleep(self.pace.poll).await;
                Hint::Poll
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
