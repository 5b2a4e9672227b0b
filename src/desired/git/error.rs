//! Why `git` gave no answer, what that means, and what to do about it.

use std::path::{Path, PathBuf};

use super::{MOST_OUTPUT, PATIENCE};

/// Why nothing is known of a repository. The hints hold for a service user without a home.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("the `git` program was not found")]
    Missing,
    #[error("`{}` is not inside a Git repository", .0.display())]
    NoRepository(PathBuf),
    #[error(
        "`{}` is on another file system than the Git repository `{}` above it, and no search for a repository \
         crosses a mount point", mount.display(), repository.display()
    )]
    Boundary { mount: PathBuf, repository: PathBuf },
    #[error("the Git repository of `{}` has no commit yet", .0.display())]
    NoCommit(PathBuf),
    #[error("git refuses the repository `{}`, because it belongs to another user", .0.display())]
    ForeignOwner(PathBuf),
    #[error(
        "the Git repository takes objects from `{}`, by way of `{}`, and only those in its own directory are believed",
        store.display(), list.display()
    )]
    ForeignObjects { top: PathBuf, list: PathBuf, store: PathBuf },
    #[error("the commit's files are not here (partial clone)")]
    NotHere(PathBuf),
    #[error("`{}` is a submodule, and the submodule is not initialised", .path.display())]
    Submodule { top: PathBuf, path: PathBuf },
    #[error("the state directory is reached through the link `{}`, which is not as the commit has it", .0.display())]
    Relinked(PathBuf),
    #[error("{what} is under way in `{}`, so that HEAD is not what anybody meant", top.display())]
    UnderWay { top: PathBuf, what: &'static str, verb: &'static str },
    #[error("`{}` cannot be read by the user of this process", .0.display())]
    Unreadable(PathBuf),
    #[error("`{}` {why}", path.display())]
    Broken { path: PathBuf, why: String },
    #[error("git reads another repository, `{}`, where `{}` was meant", .found.display(), .meant.display())]
    Another { meant: PathBuf, found: PathBuf },
    #[error("`git {what}` did not finish within {} seconds and was stopped", PATIENCE.as_secs())]
    TooSlow { what: &'static str },
    #[error("`git {what}` printed more than {} MiB, which is the limit of one listing", MOST_OUTPUT >> 20)]
    TooMuch { what: &'static str },
    #[error("`git {what}` failed: {complaint}")]
    Failed { what: &'static str, complaint: String },
    #[error("`git {what}` could not be run")]
    Io { what: &'static str, source: std::io::Error },
}

impl GitError {
    /// The fix.
    pub fn hint(&self) -> String {
        match self {
            GitError::Missing => "install git and make sure that it is on the PATH of this process".to_owned(),
            GitError::NoRepository(_) => {
                "run `git init` and commit the state files, or choose `source: worktree` to read them as they lie"
                    .to_owned()
            }
            GitError::Boundary { repository, .. } => {
                format!("mount the whole of `{}`, with its `.git`, and name a directory in it", repository.display())
            }
            GitError::NoCommit(_) => {
                "commit the state files (`git add`, `git commit`), or choose `source: worktree`".to_owned()
            }
            GitError::ForeignOwner(top) => format!(
                "if you trust it, run `git config --system --add safe.directory '{}'` as root (it needs no home), or \
                 give it the owner that the process has",
                top.display()
            ),
            GitError::ForeignObjects { top, list, .. } => format!(
                "clone it anew, or bring its objects in with `git -C '{}' repack -a -d` and then remove `{}`",
                top.display(),
                list.display()
            ),
            GitError::NotHere(top) => format!(
                "clone it without `--filter`, or fetch what is missing with `git -C '{}' checkout HEAD -- .`",
                top.display()
            ),
            GitError::Submodule { top, path } => format!(
                "run `git -C '{}' submodule update --init '{}'`",
                top.display(),
                path.strip_prefix(top).unwrap_or(path).display()
            ),
            GitError::Relinked(_) => "commit the link, or name the directory itself with --state".to_owned(),
            GitError::UnderWay { top, verb, .. } => {
                format!("finish it, or give it up with `git -C '{}' {verb}`", top.display())
            }
            GitError::Unreadable(_) => {
                "give the user of this process the right to read the repository, or a clone of its own".to_owned()
            }
            GitError::Broken { path, .. } => {
                format!("mend or remove `{}`; a clone of its own is the surest way", path.display())
            }
            GitError::Another { meant, .. } => format!("look at `{}`: is it a whole repository?", meant.display()),
            GitError::TooSlow { .. } => {
                "look whether the disk or network file system hangs, or whether another git holds the repository"
                    .to_owned()
            }
            GitError::TooMuch { .. } => {
                "keep the state files in a directory of their own, and point --state at it".to_owned()
            }
            GitError::Failed { what, .. } | GitError::Io { what, .. } => {
                format!("run `git {what}` in the state directory by hand to see the cause")
            }
        }
    }
}

/// What a complaint in the C locale means. `top` is where `git` was asked.
pub(super) fn cause(what: &'static str, top: &Path, complaint: &str) -> GitError {
    let says = |part: &str| complaint.contains(part);
    if says("detected dubious ownership") {
        // The path that git names is the one that it wants to be told is safe.
        let named = complaint.split('\'').nth(1).map(PathBuf::from);
        GitError::ForeignOwner(named.unwrap_or_else(|| top.to_path_buf()))
    } else if says("promisor remote") {
        GitError::NotHere(top.to_path_buf())
    } else if says("bad revision 'HEAD'") {
        GitError::NoCommit(top.to_path_buf())
    } else {
        let lines = || complaint.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = lines().find(|line| line.starts_with("fatal:")).or_else(|| lines().next());
        let complaint = crate::change::printable(line.unwrap_or("it gave no reason"));
        GitError::Failed { what, complaint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_apart() {
        let of = |text| cause("rev-list", Path::new("/state"), text);
        let foreign = of("fatal: detected dubious ownership in repository at '/srv'\nTo add an exception…");
        assert!(foreign.hint().contains("git config --system --add safe.directory '/srv'"), "{}", foreign.hint());
        assert!(matches!(of("fatal: bad revision 'HEAD'"), GitError::NoCommit(_)));
        let partial = of("fatal: transport 'file' not allowed\nfatal: could not fetch 7898 from promisor remote");
        assert_eq!(partial.to_string(), "the commit's files are not here (partial clone)");
        let GitError::Failed { complaint, .. } = of("warning: first\nfatal: bad object \u{1b}[31mHEAD") else {
            panic!("not told apart")
        };
        assert_eq!(complaint, "fatal: bad object \\u{1b}[31mHEAD");
    }
}
