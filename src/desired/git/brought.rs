//! What a checkout has put on the disk: files that are this user's, and yet somebody else's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{ENTRIES, Git, GitError, Place, entries};

/// Something that a repository has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    pub repository: PathBuf,
    /// Where it lies, or lay.
    pub path: PathBuf,
}

/// What the commit at `HEAD` has at the names in `dir` that `is_meant` knows; of several, the first one.
///
/// `None` where there is no repository, no commit, or no answer: then the checkout was not made by this `git` for this
/// user, and whose the files are is all that is known. A listing that is too long, or takes too long, counts as one that
/// has them: only an enemy makes one.
pub async fn brought(dir: &Path, is_meant: impl Fn(&OsStr) -> bool) -> Option<Brought> {
    let place = Place::around(dir).ok()?;
    let (repository, whole) = (place.repository.top.clone(), place.dir());
    let found = |path: PathBuf| Some(Brought { repository: repository.clone(), path });
    // With a `/` at its end it means what is in the directory, and not the directory.
    let inside = place.inside.join("");
    let paths = if place.inside.as_os_str().is_empty() { Vec::new() } else { vec![&*inside] };
    let git = Git::open(place).await.ok()?;
    match git.ask(&ENTRIES, &["HEAD"], &paths).await {
        Ok(listed) => {
            let names = entries(&listed).filter_map(|entry| entry.path.file_name());
            let mut meant = names.filter(|name| is_meant(name));
            meant.next().and_then(|name| found(whole.join(name)))
        }
        Err(GitError::TooMuch { .. } | GitError::TooSlow { .. }) => found(whole),
        Err(_) => None,
    }
}
