//! Where the state files come from: the directory as it lies, or the commit that `HEAD` names.
//!
//! Either way the result is one picture: every file whole, in one order, with the revision it belongs to. What cannot
//! be read is a problem with a name; it is never left out in silence, because an absent file would look like a wish.

mod head;
pub mod names;
pub mod walk;
mod worktree;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;

use super::git::object::Content;
use super::git::{Git, GitError, Place};
use super::revision;
use crate::change::{Revision, Source};

/// How much is read before the state directory is taken for a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one file.
    pub file: usize,
    /// State files.
    pub files: usize,
    /// Bytes in all state files together.
    pub total: usize,
    /// Files and directories of any name that are looked at.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 16 << 20, files: 100_000, total: 1 << 30, entries: 1_000_000 }
    }
}

/// One state file, read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As shown to the user: the directory as it was given, joined with the path below it.
    pub path: Arc<str>,
    pub bytes: Vec<u8>,
}

/// A file, link or directory that cannot be read, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileProblem {
    /// As shown to the user.
    pub path: Arc<str>,
    pub message: String,
    pub hint: String,
}

/// What was made of a file, and what tells whether it is still the file that it was made of.
pub struct Filed<T> {
    /// As shown to the user.
    pub path: Arc<str>,
    version: Version,
    pub made: Arc<T>,
}

impl<T> Clone for Filed<T> {
    fn clone(&self) -> Self {
        Self { path: Arc::clone(&self.path), version: self.version.clone(), made: Arc::clone(&self.made) }
    }
}

impl<T> fmt::Debug for Filed<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:?}", self.path, self.version)
    }
}

/// Two files of one path and one version hold the same.
#[derive(Clone, Debug)]
enum Version {
    /// As it lay there when its reading began; inside a repository, with what it held.
    Lying { stamp: walk::Stamp, read_at: SystemTime, content: Option<Content> },
    /// The id of the object in the repository.
    Committed(String),
}

/// All state files of one moment.
#[derive(Debug)]
pub struct Tree<T> {
    /// Sorted by path.
    pub files: Vec<Filed<T>>,
    pub revision: Revision,
    /// Sorted by path.
    pub problems: Vec<FileProblem>,
    /// Worth saying, but no reason to stop.
    pub warnings: Vec<FileProblem>,
    /// Files that were as they had been, so that they were not read again.
    pub reused: usize,
}

/// Which state of the files is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At<'c> {
    /// The one that is to be followed.
    Source(Source),
    /// That of a commit, by its full id, whatever `HEAD` names and whatever is under way in the repository.
    Commit(&'c str),
}

impl From<Source> for At<'_> {
    fn from(source: Source) -> Self {
        Self::Source(source)
    }
}

/// What earlier readings left, by path.
type Known<'k, T> = HashMap<&'k str, &'k Filed<T>>;

/// What is made of each file, on several threads at once.
pub trait Make<T>: Fn(SourceFile) -> T + Send + Sync + 'static {}
impl<T, F: Fn(SourceFile) -> T + Send + Sync + 'static> Make<T> for F {}

/// Why there is no picture at all. Never to be taken for an empty one.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("the state directory `{}` does not exist", .0.display())]
    Missing(PathBuf),
    #[error("the state directory `{}` is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("the state directory `{}` cannot be read", dir.display())]
    Unreadable { dir: PathBuf, source: io::Error },
    #[error("the state directory `{}` holds more than {limit} {what}", dir.display())]
    TooMuch { dir: PathBuf, what: &'static str, limit: usize },
    #[error("the state directory `{}` was not read within {} seconds", .0.display(), PATIENCE.as_secs())]
    TooSlow(PathBuf),
    #[error("commit {commit} has no directory `{}`", dir.display())]
    NotCommitted { dir: PathBuf, commit: String },
    #[error("the committed state of `{}` cannot be read", dir.display())]
    Git { dir: PathBuf, source: GitError },
}

impl TreeError {
    /// The way out.
    pub fn hint(&self) -> String {
        match self {
            TreeError::Missing(_) | TreeError::NotADirectory(_) => {
                "create the directory, or name another one with --state".to_owned()
            }
            TreeError::Unreadable { .. } => "give the user of this process the right to read it".to_owned(),
            TreeError::TooMuch { .. } => {
                "point --state at the state files alone, or divide them among several environments".to_owned()
            }
            TreeError::TooSlow(_) => "look whether its disk or network file system hangs".to_owned(),
            TreeError::NotCommitted { .. } => {
                "commit the state files (`git add`, `git commit`), or choose `source: worktree`".to_owned()
            }
            TreeError::Git { source, .. } => source.hint(),
        }
    }
}

/// How long reading may take, in all.
const PATIENCE: Duration = Duration::from_secs(60);

/// At most so many readers at work. A network file system that hangs keeps the thread that waits for it even when
/// nobody waits for the thread any more: the next turns must not add to them without end.
static READERS: Semaphore = Semaphore::const_new(4);

/// Reads the state files of `dir`, with their revision, and makes of each what `make` makes of it: on several threads,
/// so that no more than a few files are in memory at once. What `known` has of a file that is as it was is taken over.
///
/// Guarantees: the files are whole, sorted, and each is there once; a directory that is missing is an error, one
/// that is empty is an empty tree. No link is followed out of the directory, nothing but regular files is opened,
/// and nothing is written.
///
/// Errors: [`TreeError`], each with its hint.
pub async fn read<T: Send + Sync + 'static>(
    at: impl Into<At<'_>>,
    dir: &Path,
    limits: &Limits,
    known: Arc<[Filed<T>]>,
    make: impl Make<T>,
) -> Result<Tree<T>, TreeError> {
    match tokio::time::timeout(PATIENCE, unbounded(at.into(), dir, limits, known, make)).await {
        Ok(tree) => tree,
        Err(_) => Err(TreeError::TooSlow(dir.to_path_buf())),
    }
}

async fn unbounded<T: Send + Sync + 'static>(
    at: At<'_>,
    dir: &Path,
    limits: &Limits,
    known: Arc<[Filed<T>]>,
    make: impl Make<T>,
) -> Result<Tree<T>, TreeError> {
    let asked = dir.to_path_buf();
    let place = blocking(dir, move || Place::find(&asked)).await?;
    match at {
        At::Source(Source::Head) => head::read(place, None, dir, limits, known, make).await,
        At::Source(Source::Worktree) => lying(place, dir, limits, known, make).await,
        At::Commit(commit) => head::read(place, Some(commit), dir, limits, known, make).await,
    }
}

/// Reads the files as they lie, and compares them with the commit that they may be of.
async fn lying<T: Send + Sync + 'static>(
    place: Result<Place, GitError>,
    dir: &Path,
    limits: &Limits,
    known: Arc<[Filed<T>]>,
    make: impl Make<T>,
) -> Result<Tree<T>, TreeError> {
    let git = match place {
        Ok(place) => Git::open(place).await,
        Err(error) => Err(error),
    };
    let format = git.as_ref().ok().map(|git| git.format);
    let (asked, limits) = (dir.to_path_buf(), *limits);
    let picture = blocking(dir, move || worktree::read(&asked, &limits, format, &known, &make)).await??;
    let worktree::Picture { files, problems, mut warnings, reused, lying } = picture;
    let git = match git {
        // The directory may be a link that was turned to another checkout meanwhile.
        Ok(git) if git.place.dir() != lying.root => {
            let root = lying.root.clone();
            match blocking(dir, move || Place::find(&root)).await? {
                Ok(place) => Git::open(place).await,
                Err(error) => Err(error),
            }
        }
        git => git,
    };
    let mut warn = |message: String, hint: String| {
        warnings.push(FileProblem { path: walk::text(dir), message, hint });
    };
    // After the files: an edit in between then shows as dirty, and is not put down to the commit's author.
    let revision = match git {
        Ok(git) => {
            if let Err(error) = git.place.repository.at_rest() {
                warn(error.to_string(), error.hint());
            }
            revision::of_worktree(&git, lying).await
        }
        Err(error) => Err(error),
    };
    let nobody = || Revision { user: revision::user(), ..Revision::default() };
    let revision = match revision {
        Ok(revision) => revision,
        Err(GitError::NoRepository(_) | GitError::NoCommit(_)) => nobody(),
        Err(error) => {
            let unknown = "the commit of the files is unknown, so changes are attributed to the user of this process";
            warn(format!("{unknown}: {error}"), error.hint());
            nobody()
        }
    };
    Ok(Tree { files, revision, problems, warnings, reused })
}

fn by_path<T>(known: &[Filed<T>]) -> Known<'_, T> {
    known.iter().map(|filed| (&*filed.path, filed)).collect()
}

/// Runs work that waits for the disk on a thread where waiting holds up nobody.
async fn blocking<T: Send + 'static>(dir: &Path, work: impl FnOnce() -> T + Send + 'static) -> Result<T, TreeError> {
    let failed = |message: String| TreeError::Unreadable { dir: dir.to_path_buf(), source: io::Error::other(message) };
    let permit = READERS.acquire().await.map_err(|closed| failed(closed.to_string()))?;
    let reader = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    reader.await.map_err(|ended| failed(ended.to_string()))
}

/// The problem of a file that is larger than a state file may be.
fn too_large(path: Arc<str>, bytes: u64, limit: usize) -> FileProblem {
    FileProblem {
        path,
        message: format!("the file has {bytes} bytes, more than the limit of {limit}"),
        hint: "divide it into several files".to_owned(),
    }
}

/// The problem of a name that cannot be shown, and so cannot be told from another.
fn misspelt(path: Arc<str>) -> FileProblem {
    let hint = "rename it: state files end in .yaml or .yml".to_owned();
    FileProblem { path, message: "the file is not read: its name has another ending".to_owned(), hint }
}

fn unreadable_name(path: Arc<str>) -> FileProblem {
    FileProblem { path, message: "the name is not valid UTF-8".to_owned(), hint: "rename it".to_owned() }
}

#[cfg(test)]
mod tests;
