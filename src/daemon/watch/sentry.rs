//! The one that looks: after every burst of events, and every now and then without any.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Hint;
use super::eyes::{self, Eyes, Open};
use super::head;
use super::notes::{Interest, Notes, Stale};
use super::view::{self, View};
use crate::change::Source;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Without an event, for a burst to be over.
    pub quiet: Duration,
    /// After its first event, for a burst that goes on.
    pub at_most: Duration,
    /// Between two looks that no event asked for.
    pub poll: Duration,
    /// The same, where events cannot be had.
    pub blind_poll: Duration,
}

impl Pace {
    pub const USUAL: Pace = Pace {
        quiet: Duration::from_millis(20),
        at_most: Duration::from_millis(250),
        poll: Duration::from_secs(5),
        blind_poll: Duration::from_secs(1),
    };

    /// A look that takes long is taken less often, so that looking takes no more than a hundredth of one processor.
    const REST: u32 = 100;
    const MOST_REST: Duration = Duration::from_secs(60);
}

/// Directories may appear while the watches of others are set up; one round for each level of them made at that very
/// moment. The poll finds what is still missed then.
const MOST_ROUNDS: usize = 16;

/// Knows what it saw last.
pub struct Sentry {
    source: Source,
    /// Absolute.
    dir: PathBuf,
    notes: Arc<Notes>,
    open: Open,
    /// `None`: file events cannot be had. They are asked for again at each look.
    eyes: Option<Eyes>,
    /// That has been said.
    said: bool,
    /// Of the repository, where the commit was looked up last.
    files: BTreeSet<PathBuf>,
    print: u64,
    /// How long the last look took.
    cost: Duration,
}

impl Sentry {
    pub fn new(source: Source, dir: PathBuf, notes: Arc<Notes>, open: Open) -> Self {
        Self {
            source,
            dir,
            notes,
            open,
            eyes: None,
            said: false,
            files: BTreeSet::new(),
            print: 0,
            cost: Duration::ZERO,
        }
    }

    /// Stands watch until nobody listens any more.
    pub async fn stand(mut self, pace: Pace, hints: mpsc::Sender<Hint>) {
        while !hints.is_closed() {
            let rest = self.rest(&pace);
            let noted = tokio::time::timeout(rest, self.notes.settled(pace.quiet, pace.at_most)).await.is_ok();
            let (hint, sure, stale) = match self.notes.collect() {
                // What `HEAD` says is compared itself; times and sizes of files may be the same after a change.
                Some(burst) => (Hint::Event, burst.sure && self.source == Source::Worktree, burst.stale),
                None => (Hint::Poll, false, Stale::default()),
            };
            let changed;
            (self, changed) = self.look_or_recover(stale).await;
            if changed && !noted {
                // No event told of it: the watches were lost, as with a file system that was taken away and mounted
                // again, or are of no use here.
                (self, _) = self.look_or_recover(Stale::ALL).await;
            }
            if changed || sure {
                // A hint that waits already says as much.
                hints.try_send(hint).ok();
            }
        }
    }

    /// Looks; says whether anything is different. Every directory that is there has its watch afterwards.
    ///
    /// Errors: it was cut short by a panic or the end of the runtime.
    pub async fn look(mut self, stale: Stale) -> io::Result<(Self, bool)> {
        let looked = tokio::task::spawn_blocking(move || {
            let changed = self.look_now(&stale);
            (self, changed)
        });
        looked.await.map_err(io::Error::other)
    }

    /// As [`Sentry::look`]; after a panic a new sentry begins anew.
    async fn look_or_recover(self, stale: Stale) -> (Self, bool) {
        let heir = Self::new(self.source, self.dir.clone(), Arc::clone(&self.notes), self.open);
        match self.look(stale).await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!("watching the desired state failed ({error}), and begins anew");
                (heir, true)
            }
        }
    }

    /// Asks for file events, where there are none.
    fn open_eyes(&mut self) {
        if self.eyes.is_some() {
            return;
        }
        match (self.open)(&self.notes) {
            Ok(eyes) => {
                if std::mem::take(&mut self.said) {
                    tracing::info!("there are file events again");
                }
                self.eyes = Some(eyes);
            }
            Err(error) if !self.said => {
                self.said = true;
                let why = eyes::why_none(&error);
                tracing::warn!("no file events ({why}): the desired state is looked at every second instead");
            }
            Err(_) => {}
        }
    }

    fn look_now(&mut self, stale: &Stale) -> bool {
        let begun = Instant::now();
        self.open_eyes();
        if let Some(eyes) = &mut self.eyes {
            eyes.forget(stale);
        }
        let mut view = self.view();
        if let Some(mut eyes) = self.eyes.take() {
            for _ in 0..MOST_ROUNDS {
                let wanted = view.watched();
                let View { dirs, named, compared, print: _ } = view.clone();
                self.notes.mind(Interest { dirs, named, compared, watched: wanted.clone() });
                if !eyes.turn_to(&wanted) {
                    break;
                }
                // Before its watch was set up, more may have come into a directory.
                view = self.view();
            }
            self.eyes = Some(eyes);
        }
        self.cost = begun.elapsed();
        std::mem::replace(&mut self.print, view.print) != view.print
    }

    /// Files as they lie are put down to a commit, and a new one may hold them as they are.
    fn view(&mut self) -> View {
        let head = head::view(&self.dir, &mut self.files);
        match self.source {
            Source::Worktree => view::of_worktree(&self.dir).and(head),
            Source::Head => head,
        }
    }

    /// How long to wait for events before looking without one.
    fn rest(&self, pace: &Pace) -> Duration {
        let sighted = self.eyes.as_ref().is_some_and(|eyes| !eyes.short());
        let usual = if sighted { pace.poll } else { pace.blind_poll };
        usual.max((self.cost * Pace::REST).min(Pace::MOST_REST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::testing::Place;

    #[tokio::test]
    async fn watches_that_were_lost_are_set_up_again() {
        let place = Place::temporary();
        place.write("s/a.yaml", "");
        let notes = Arc::new(Notes::default());
        let sentry = Sentry::new(Source::Worktree, place.path("s"), Arc::clone(&notes), Eyes::new);
        let (mut sentry, _) = sentry.look(Stale::default()).await.unwrap();
        sentry.eyes.as_mut().unwrap().dazzle();
        place.write("s/a.yaml", "# nobody sees it\n");
        let (sender, mut hints) = mpsc::channel(1);
        let pace = Pace { poll: Duration::from_millis(100), ..Pace::USUAL };
        let standing = tokio::spawn(sentry.stand(pace, sender));
        let mut next = async || tokio::time::timeout(Duration::from_secs(10), hints.recv()).await.unwrap();
        assert_eq!(next().await, Some(Hint::Poll));
        // Whether the next change is found by an event or by looking is chance; that an event comes at last is not.
        for number in 0..100 {
            place.write("s/a.yaml", &format!("# {number}\n"));
            if next().await == Some(Hint::Event) {
                standing.abort();
                return;
            }
        }
        panic!("no event any more");
    }
}
