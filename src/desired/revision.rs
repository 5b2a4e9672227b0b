//! Whom and which commit the state files come from: what the journal writes beside every change.

use std::path::Path;

use super::git::{self, GitError};
use super::tree::names;
use crate::change::Revision;

/// The commit, its author, and whether the files below `dir` differ from it; two calls of `git`, side by side.
///
/// Outside a repository, before the first commit and without the `git` program there is no commit to name: the
/// changes are then attributed to the user that runs the process.
///
/// Errors: `git` is there, and so is a repository, but it gives no answer.
pub async fn of_worktree(dir: &Path) -> Result<Revision, GitError> {
    let (commit, dirty) = tokio::join!(head(dir), dirty(dir));
    match commit {
        Ok(head) => Ok(Revision { dirty: dirty?, ..head }),
        Err(GitError::Missing | GitError::NoRepository(_) | GitError::NoCommit(_)) => {
            Ok(Revision { commit: None, author: None, dirty: false, user: user() })
        }
        Err(error) => Err(error),
    }
}

/// The commit that `HEAD` names, and its author; never dirty.
///
/// Errors: as `git` gives them; no repository and no commit are errors here.
pub async fn head(dir: &Path) -> Result<Revision, GitError> {
    let printed = git::ask(dir, "log", &["-1", "--encoding=UTF-8", "--format=%H%x00%an"], &[]).await?;
    let line = String::from_utf8_lossy(&printed);
    let (commit, author) = line.trim_end_matches('\n').split_once('\0').unwrap_or_default();
    if commit.is_empty() {
        return Err(GitError::NoCommit(dir.to_path_buf()));
    }
    let author = (!author.trim().is_empty()).then(|| author.trim().to_owned());
    Ok(Revision { commit: Some(commit.to_owned()), author, dirty: false, user: user() })
}

/// Whether anything below `dir` differs from `HEAD`.
///
/// Ignored files count as well: a state file that `.gitignore` names is read, and yet stands in no commit.
async fn dirty(dir: &Path) -> Result<bool, GitError> {
    let args = ["--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=traditional"];
    match git::ask(dir, "status", &args, &[Path::new(".")]).await {
        Ok(printed) => Ok(printed.split(|byte| *byte == 0).any(differs)),
        // In a bare repository, or inside `.git`, no file can be the commit's own.
        Err(GitError::Failed { complaint, .. }) if complaint.contains("must be run in a work tree") => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether one entry of `git status`, `XY path`, is a difference that matters.
fn differs(entry: &[u8]) -> bool {
    match entry.get(..2) {
        None => false,
        Some(b"??" | b"!!") => {
            let path = String::from_utf8_lossy(entry.get(3..).unwrap_or_default());
            names::is_state_file(path.rsplit('/').next().unwrap_or_default())
        }
        Some(_) => true,
    }
}

/// The user that runs this process: by the password file, else by `$USER` or `$LOGNAME`, else by number.
///
/// The file comes first, because anyone can set a variable. It does not know the users of a directory service.
pub fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    std::fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|passwd| named(&passwd, uid))
        .or_else(|| {
            ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        })
        .unwrap_or_else(|| format!("uid {uid}"))
}

/// The name of the user with this number in the text of a password file: `name:password:uid:…`.
fn named(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests;
