//! The watches themselves: one for each directory, set up anew when something else has taken its place.
//!
//! A watch belongs to a directory and not to its path, and goes with it when it moves. `notify` could follow a whole
//! tree by itself; but it would take in hidden directories such as `.git`, and it lists a new directory only once, so
//! that what is made in the meantime stays unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::notes::{Notes, Stale};
use crate::file;

/// How file events are asked for.
pub type Open = fn(&Arc<Notes>) -> notify::Result<Eyes>;

/// Why there are no file events, and what to do.
pub fn why_none(error: &notify::Error) -> String {
    let system = match &error.kind {
        ErrorKind::Io(error) => error.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
        _ => None,
    };
    match system {
        // The same error is that of a process that has too many files open, which then cannot list a directory either.
        Some(rustix::io::Errno::MFILE) if file::list(Path::new("/")).is_ok() => {
            "all inotify instances that this user may have are in use; raise fs.inotify.max_user_instances, or end what \
             uses them"
                .to_owned()
        }
        Some(rustix::io::Errno::MFILE) => {
            "this process has as many files open as it may; raise LimitNOFILE, or `ulimit -n`".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Watches directories, each by itself, and lets the notes be taken.
#[derive(Debug)]
pub struct Eyes {
    watcher: RecommendedWatcher,
    /// What is watched: its path, and the device and inode that were there.
    open: BTreeMap<PathBuf, (u64, u64)>,
    /// Not all could be watched.
    short: bool,
    /// That has been said.
    said: bool,
}

impl Eyes {
    /// Errors: the system gives no file events, or has no more of them to give.
    pub fn new(notes: &Arc<Notes>) -> notify::Result<Self> {
        let notes = Arc::clone(notes);
        let watcher = RecommendedWatcher::new(move |event| notes.take_down(&event), notify::Config::default())?;
        Ok(Self { watcher, open: BTreeMap::new(), short: false, said: false })
    }

    /// Whether some directory has no watch.
    pub fn short(&self) -> bool {
        self.short
    }

    /// Gives up watches that may no longer be where they were.
    pub fn forget(&mut self, stale: &Stale) {
        let gone = |path: &Path| stale.all || stale.below.iter().any(|top| path.starts_with(top));
        let paths: Vec<PathBuf> = self.open.keys().filter(|path| gone(path)).cloned().collect();
        paths.iter().for_each(|path| self.shut(path));
    }

    /// Watches exactly these directories; says whether any of them was not watched before.
    pub fn turn_to(&mut self, wanted: &BTreeSet<PathBuf>) -> bool {
        let unwanted: Vec<PathBuf> = self.open.keys().filter(|path| !wanted.contains(*path)).cloned().collect();
        unwanted.iter().for_each(|path| self.shut(path));
        self.short = false;
        let mut new = false;
        for path in wanted {
            let Ok(meta) = file::facts(path) else { continue };
            let there = (meta.dev(), meta.ino());
            if self.open.get(path) == Some(&there) {
                continue;
            }
            self.shut(path);
            match self.watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.open.insert(path.clone(), there);
                    new = true;
                }
                // It has gone again: that is an event of the directory above.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => {
                    self.short = true;
                    self.say(path, &error);
                    if matches!(error.kind, ErrorKind::MaxFilesWatch) {
                        break;
                    }
                }
            }
        }
        if !self.short && std::mem::take(&mut self.said) {
            tracing::info!("all directories of the desired state are watched again");
        }
        new
    }

    /// Loses all watches without knowing it, as when a file system is taken away and mounted again.
    #[cfg(test)]
    pub fn dazzle(&mut self) {
        self.open.keys().for_each(|path| self.watcher.unwatch(path).unwrap());
    }

    fn shut(&mut self, path: &Path) {
        if self.open.remove(path).is_some() {
            // An error only says that the watch has gone with its directory.
            self.watcher.unwatch(path).ok();
        }
    }

    fn say(&mut self, path: &Path, error: &notify::Error) {
        if self.said {
            return;
        }
        self.said = true;
        let path = path.display();
        if matches!(error.kind, ErrorKind::MaxFilesWatch) {
            tracing::warn!(
                "`{path}` is not watched, because all inotify watches that this user may have are in use: changes are \
                 looked for every second instead; raise fs.inotify.max_user_watches, or end what uses them"
            );
        } else {
            tracing::warn!("`{path}` is not watched ({error}): changes are looked for every second instead");
        }
    }
}
