//! What the events said since somebody last looked. Taking a note is all that is done on the thread that delivers
//! them: the kernel's queue overflows while that thread is busy.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use tokio::sync::Notify;

use crate::desired::tree::names::is_state_file;

/// Which events count.
#[derive(Debug, Default)]
pub struct Interest {
    /// Directories of state files: whatever appears or disappears in them counts.
    pub dirs: BTreeSet<PathBuf>,
    /// Single names that count, wherever they are: the state directory itself, links on the way to it.
    pub named: BTreeSet<PathBuf>,
    /// The same, where looking tells all: what `HEAD` and the references say.
    pub compared: BTreeSet<PathBuf>,
    /// All directories with a watch of their own.
    pub watched: BTreeSet<PathBuf>,
}

/// Directories whose watches may have gone with what was there before.
#[derive(Debug, Default)]
pub struct Stale {
    pub below: Vec<PathBuf>,
    /// More than can be named.
    pub all: bool,
}

impl Stale {
    pub const ALL: Stale = Stale { below: Vec::new(), all: true };

    /// So many names, and it is simpler to take all for stale.
    const MOST: usize = 256;

    fn add(&mut self, path: &Path) {
        if self.below.len() < Self::MOST {
            self.below.push(path.to_path_buf());
        } else {
            self.all = true;
        }
    }
}

/// Events that came close together.
#[derive(Debug)]
pub struct Burst {
    first: Instant,
    last: Instant,
    /// A state file was written or moved: a change, even if no time stamp tells it from the state before.
    pub sure: bool,
    pub stale: Stale,
}

/// Shared by the thread that delivers events and the one that looks.
#[derive(Debug, Default)]
pub struct Notes {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    interest: Interest,
    burst: Option<Burst>,
}

impl Notes {
    /// Says from now on which events count. To be called before the watches are set up.
    pub fn mind(&self, interest: Interest) {
        self.lock().interest = interest;
    }

    /// Takes a note of an event, if it counts.
    pub fn take_down(&self, event: &notify::Result<Event>) {
        let mut state = self.lock();
        let State { interest, burst } = &mut *state;
        let mut noted = Stale::default();
        let Some(sure) = interest.judge(event, &mut noted) else { return };
        let now = Instant::now();
        let burst = burst.get_or_insert_with(|| Burst { first: now, last: now, sure: false, stale: Stale::default() });
        burst.last = now;
        burst.sure |= sure;
        burst.stale.all |= noted.all;
        noted.below.iter().for_each(|path| burst.stale.add(path));
        drop(state);
        self.bell.notify_one();
    }

    /// Waits until a burst is over: nothing more for `quiet`, or `at_most` since its first event.
    pub async fn settled(&self, quiet: Duration, at_most: Duration) {
        loop {
            let over = self.lock().burst.as_ref().map(|burst| (burst.last + quiet).min(burst.first + at_most));
            match over {
                None => self.bell.notified().await,
                Some(over) if over <= Instant::now() => return,
                Some(over) => tokio::time::sleep_until(over.into()).await,
            }
        }
    }

    /// The burst so far; the next event begins another.
    pub fn collect(&self) -> Option<Burst> {
        self.lock().burst.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What kind of thing happened to a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Rights or times: compared with what was seen before.
    About,
    Content,
    /// It came, went or moved.
    Place,
}

impl Interest {
    /// Whether an event counts, and is sure to be a change; notes what it makes stale.
    fn judge(&self, event: &notify::Result<Event>, stale: &mut Stale) -> Option<bool> {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            // Events were lost.
            Ok(_) | Err(_) => {
                stale.all = true;
                return Some(true);
            }
        };
        let weight = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Data(_)) => {
                Weight::Content
            }
            // Opening and reading: our own looks are among them, and would lead to the next.
            EventKind::Access(_) => return None,
            EventKind::Modify(ModifyKind::Metadata(_)) => Weight::About,
            _ => Weight::Place,
        };
        let mut counts = None;
        for path in &event.paths {
            if let Some(sure) = self.weigh(path, weight, stale) {
                counts = Some(counts.unwrap_or(false) || sure);
            }
        }
        counts
    }

    fn weigh(&self, path: &Path, weight: Weight, stale: &mut Stale) -> Option<bool> {
        let (named, watched) = (self.named.contains(path), self.watched.contains(path));
        let compared = !named && self.compared.contains(path);
        let inside = path.parent().is_some_and(|parent| self.dirs.contains(parent));
        let ours = named || compared || (inside && path.file_name().and_then(OsStr::to_str).is_some_and(is_state_file));
        let counts = match weight {
            // A log or a database that lies among the state files may be written all day long.
            Weight::Content => ours,
            // Of a name that is no state file's, too: it may be a directory, or a link on the way to one.
            Weight::About | Weight::Place => ours || inside || watched,
        };
        if !counts {
            return None;
        }
        if weight == Weight::Place && (named || compared || watched) {
            stale.add(path);
        }
        Some(weight != Weight::About && !compared && (ours || self.dirs.contains(path)))
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode};

    use super::*;

    fn interest() -> Interest {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Interest {
            dirs: paths(&["/s", "/s/week"]),
            named: paths(&["/s"]),
            compared: paths(&["/h/HEAD"]),
            watched: paths(&["/", "/s", "/s/week", "/h"]),
        }
    }

    fn judge(kind: EventKind, path: &str) -> (Option<bool>, usize) {
        let mut stale = Stale::default();
        let counts = interest().judge(&Ok(Event::new(kind).add_path(path.into())), &mut stale);
        (counts, stale.below.len())
    }

    #[test]
    fn reading_does_not_count() {
        for mode in [AccessMode::Any, AccessMode::Read, AccessMode::Execute] {
            assert_eq!(judge(EventKind::Access(AccessKind::Open(mode)), "/s/a.yaml").0, None);
            assert_eq!(judge(EventKind::Access(AccessKind::Close(mode)), "/s/a.yaml").0, None);
        }
        assert_eq!(judge(EventKind::Access(AccessKind::Close(AccessMode::Write)), "/s/a.yaml").0, Some(true));
    }

    #[test]
    fn content_counts_for_state_files_alone() {
        let written = |path| judge(EventKind::Modify(ModifyKind::Data(DataChange::Any)), path).0;
        assert_eq!(written("/s/week/a.yml"), Some(true));
        assert_eq!(written("/h/HEAD"), Some(false));
        for path in ["/s/daemon.log", "/s/.a.yaml.swp", "/h/HEAD.lock", "/other/a.yaml"] {
            assert_eq!(written(path), None, "{path}");
        }
    }

    #[test]
    fn what_comes_and_goes_makes_watches_stale() {
        let removed = EventKind::Remove(RemoveKind::Folder);
        assert_eq!(judge(removed, "/s/week"), (Some(true), 1));
        assert_eq!(judge(removed, "/h"), (Some(false), 1));
        assert_eq!(judge(EventKind::Create(CreateKind::Folder), "/s/new"), (Some(false), 0));
        assert_eq!(judge(EventKind::Modify(ModifyKind::Name(RenameMode::To)), "/s/..data"), (Some(false), 0));
        assert_eq!(judge(EventKind::Modify(ModifyKind::Name(RenameMode::To)), "/h/ORIG_HEAD"), (None, 0));
        assert_eq!(judge(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), "/s/a.yaml"), (Some(false), 0));
    }

    #[test]
    fn lost_events_make_everything_stale() {
        let mut stale = Stale::default();
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(interest().judge(&Ok(lost), &mut stale), Some(true));
        assert!(stale.all);
    }

    #[tokio::test]
    async fn a_burst_without_end_is_told_in_time() {
        let notes = Notes::default();
        notes.mind(interest());
        notes.take_down(&Ok(Event::new(EventKind::Create(CreateKind::File)).add_path("/s/a.yaml".into())));
        let never_quiet = Duration::from_secs(3600);
        let told = notes.settled(never_quiet, Duration::from_millis(10));
        tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
        assert!(notes.collect().unwrap().sure);
        assert!(notes.collect().is_none());
    }
}
