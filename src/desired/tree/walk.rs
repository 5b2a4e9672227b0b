//! Lists the state files below a directory: what reading opens, and what watching compares.
//!
//! Nothing is opened here but directories, so that a named pipe or a device cannot hold anything up.

use std::collections::{BTreeMap, HashSet};
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::names::{is_ignored, is_misspelt, is_state_file};
use super::{FileProblem, Limits, TreeError, misspelt, unreadable_name};
use crate::file;

/// Tells two states of one file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same for the inode: also when the right to read it changes, or an old file takes the place.
    changed: (i64, i64),
}

impl Stamp {
    pub fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file was last changed longer than `margin` before `moment`.
    pub fn changed_before(&self, moment: SystemTime, margin: Duration) -> bool {
        let since = |(seconds, nanos): (i64, i64)| {
            Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?))
        };
        let moment = moment.duration_since(UNIX_EPOCH).ok().and_then(|moment| moment.checked_sub(margin));
        let changed = since(self.changed).max(since(self.modified));
        changed.zip(moment).is_some_and(|(changed, moment)| changed < moment)
    }

    /// Whether both are the same file, whatever it holds.
    pub fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// One state file that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Without any link in it.
    pub real: PathBuf,
    /// As shown to the user.
    pub shown: Arc<str>,
    pub stamp: Stamp,
}

/// What lies below a directory.
#[derive(Debug)]
pub struct Listing {
    /// The directory itself, without any link in its path.
    pub root: PathBuf,
    /// Sorted by the path shown; each real file once.
    pub files: Vec<Found>,
    /// All directories that were read, without links, the root first.
    pub dirs: Vec<PathBuf>,
    /// The links that were followed, each where it really lies.
    pub links: Vec<PathBuf>,
    /// Sorted by the path shown.
    pub problems: Vec<FileProblem>,
    /// What looks like a state file and is not read; sorted likewise.
    pub warnings: Vec<FileProblem>,
    /// Something was there at one moment and gone at the next: list again.
    pub moved: bool,
}

/// Lists what lies below `dir`; every path is shown as `dir` joined with the rest.
///
/// Links that stay inside are followed after everything else, so that a file with a name of its own keeps that
/// name, and each real file and directory comes once however many links lead to it.
///
/// Errors: the directory is missing, not a directory or unreadable, or a limit is passed.
pub fn list(dir: &Path, limits: &Limits) -> Result<Listing, TreeError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => TreeError::Missing(dir.to_path_buf()),
        io::ErrorKind::NotADirectory => TreeError::NotADirectory(dir.to_path_buf()),
        _ => TreeError::Unreadable { dir: dir.to_path_buf(), source },
    };
    let root = file::real(dir).map_err(unreadable)?;
    drop(file::list(&root).map_err(unreadable)?);
    let (files, dirs, links, problems, warnings) = (vec![], vec![], vec![], vec![], vec![]);
    let listing = Listing { root: root.clone(), files, dirs, links, problems, warnings, moved: false };
    let mut walk = Walk { dir, limits, listing, seen: HashSet::new(), entries: 0, links: BTreeMap::new() };
    walk.below(root, dir.to_path_buf())?;
    while let Some((shown, link)) = walk.links.pop_first() {
        walk.follow(&link, shown)?;
    }
    let mut listing = walk.listing;
    listing.files.sort_unstable_by(|one, other| one.shown.cmp(&other.shown));
    listing.problems.sort_unstable();
    listing.warnings.sort_unstable();
    Ok(listing)
}

struct Walk<'a> {
    dir: &'a Path,
    limits: &'a Limits,
    listing: Listing,
    /// Real paths of files and directories.
    seen: HashSet<PathBuf>,
    entries: usize,
    /// Links still to be followed: as shown, and where they really are.
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Walk<'_> {
    /// Lists one directory and all below it.
    fn below(&mut self, real: PathBuf, shown: PathBuf) -> Result<(), TreeError> {
        let mut waiting = vec![(real, shown)];
        while let Some((real, shown)) = waiting.pop() {
            if !self.seen.insert(real.clone()) {
                continue;
            }
            let entries = match file::list(&real) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unreadable(&shown, "directory", &error);
                    continue;
                }
            };
            for entry in entries {
                match entry.and_then(|entry| Ok((entry.sort()?, entry))) {
                    Ok((kind, entry)) => self.entry(&entry, kind, (&real, &shown), &mut waiting)?,
                    Err(error) => self.unreadable(&shown, "directory", &error),
                }
            }
            self.listing.dirs.push(real);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &file::Entry,
        kind: FileType,
        (real, shown): (&Path, &Path),
        waiting: &mut Vec<(PathBuf, PathBuf)>,
    ) -> Result<(), TreeError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.too_much("files and directories", self.limits.entries));
        }
        let name = entry.name();
        let lossy = name.to_string_lossy();
        if is_ignored(&lossy) {
            return Ok(());
        }
        let (real, shown) = (real.join(&name), shown.join(&name));
        if name.to_str().is_none() && (kind.is_dir() || kind.is_symlink() || is_state_file(&lossy)) {
            self.listing.problems.push(unreadable_name(text(&shown)));
        } else if kind.is_dir() {
            waiting.push((real, shown));
        } else if kind.is_symlink() {
            self.links.insert(shown, real);
        } else if is_state_file(&lossy) {
            match entry.facts() {
                Ok(meta) => self.file(real, &shown, &meta)?,
                Err(error) => self.unreadable(&shown, "file", &error),
            }
        } else if is_misspelt(&lossy) {
            self.listing.warnings.push(misspelt(text(&shown)));
        }
        Ok(())
    }

    /// Takes a file in, if it is one, and is new.
    fn file(&mut self, real: PathBuf, shown: &Path, meta: &Metadata) -> Result<(), TreeError> {
        if !meta.is_file() {
            self.problem(shown, format!("is {}, not a file", species(meta.file_type())), "remove or rename it");
        } else if self.seen.insert(real.clone()) {
            if self.listing.files.len() == self.limits.files {
                return Err(self.too_much("state files", self.limits.files));
            }
            self.listing.files.push(Found { real, shown: text(shown), stamp: Stamp::of(meta) });
        }
        Ok(())
    }

    /// Follows a link, if it stays inside.
    fn follow(&mut self, link: &Path, shown: PathBuf) -> Result<(), TreeError> {
        const STAY: &str = "put the file itself into the state directory";
        let Ok(target) = file::target(link) else {
            self.listing.moved = true;
            return Ok(());
        };
        let named = crate::change::printable(&target.to_string_lossy());
        // Whatever else lies there is as little ours as a file with such a name.
        let is_ours = is_state_file(&shown.file_name().unwrap_or_default().to_string_lossy());
        let (real, meta) = match file::real(link).and_then(|real| Ok((file::facts(&real)?, real))) {
            Ok((meta, real)) => (real, meta),
            Err(_) if !is_ours => {
                self.stray(&shown, &named, "cannot be followed");
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.problem(
                    &shown,
                    format!("is a link to `{named}`, which does not exist"),
                    "mend or remove the link",
                );
                return Ok(());
            }
            Err(error) => {
                self.problem(
                    &shown,
                    format!("is a link to `{named}`, which cannot be followed: {}", reason(&error)),
                    STAY,
                );
                return Ok(());
            }
        };
        if !real.starts_with(&self.listing.root) {
            match is_ours {
                true => {
                    let message = format!("is a link to `{named}`, which leads out of the state directory");
                    self.problem(&shown, message, STAY);
                }
                false => self.stray(&shown, &named, "leads out of the state directory"),
            }
        } else if meta.is_dir() {
            self.listing.links.push(link.to_path_buf());
            self.below(real, shown)?;
        } else if is_ours {
            self.listing.links.push(link.to_path_buf());
            self.file(real, &shown, &meta)?;
        }
        Ok(())
    }

    /// Tells of a link that is not followed, where it may lead to a directory.
    fn stray(&mut self, shown: &Path, named: &str, why: &str) {
        if shown.extension().is_none() {
            let message = format!("is a link to `{named}`, which {why}");
            let hint = "state files behind it are not read: put them into the state directory".to_owned();
            self.listing.warnings.push(FileProblem { path: text(shown), message, hint });
        }
    }

    fn unreadable(&mut self, shown: &Path, what: &str, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            self.listing.moved = true;
        } else {
            let message = format!("the {what} cannot be read: {}", reason(error));
            self.problem(shown, message, "give the user of this process the right to read it");
        }
    }

    fn problem(&mut self, shown: &Path, message: String, hint: &str) {
        self.listing.problems.push(FileProblem { path: text(shown), message, hint: hint.to_owned() });
    }

    fn too_much(&self, what: &'static str, limit: usize) -> TreeError {
        TreeError::TooMuch { dir: self.dir.to_path_buf(), what, limit }
    }
}

pub(super) fn text(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}

/// What the operating system says, without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or(&said).to_lowercase()
}

/// What something is that is not a file.
fn species(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "something else"
    }
}
