//! Whom and which commit the state files come from: what the journal writes beside every change.

mod compare;

use std::path::{Path, PathBuf};

use chrono::DateTime;

use super::git::object::{Content, ObjectId};
use super::git::{self, Git, GitError};
use crate::change::{Compared, Revision};
use crate::file::{self, Rules};

/// The state files as they were read from a work tree.
#[derive(Debug)]
pub struct Lying {
    /// The state directory, without any link in its path.
    pub root: PathBuf,
    /// Where each file really lies, and what it held.
    pub files: Vec<(PathBuf, Content)>,
    /// The links that were followed to them, each where it really lies.
    pub links: Vec<PathBuf>,
}

/// The commit, its author, and whether the files that were read are those that it holds.
///
/// Errors: [`GitError::NoCommit`] before the first commit; what else `git` gives no answer for.
pub async fn of_worktree(git: &Git, lying: Lying) -> Result<Revision, GitError> {
    let head = head(git).await?;
    let compared = compare::compare(git, head.commit.as_deref().unwrap_or_default(), lying).await?;
    Ok(Revision { compared, ..head })
}

/// The first second of the year 10000, since 1970.
const FIVE_DIGITS: i64 = 253_402_300_800;

/// The commit that `HEAD` names, its time and its author.
///
/// Errors: as `git` gives them; no commit is an error here.
pub async fn head(git: &Git) -> Result<Revision, GitError> {
    of_commit(git, "HEAD").await
}

/// A commit by its full id, or by the name `HEAD`, and its author.
///
/// Errors: as `git` gives them; the repository does not hold it.
pub async fn of_commit(git: &Git, commit: &str) -> Result<Revision, GitError> {
    let printed = git.ask(&git::COMMIT, &[commit, "--"], &[]).await?;
    let text = String::from_utf8_lossy(&printed);
    let line = text.lines().nth(1).unwrap_or_default();
    let (commit, rest) = line.split_once('\0').unwrap_or_default();
    let (time, author) = rest.split_once('\0').unwrap_or_default();
    if commit.is_empty() {
        return Err(GitError::NoCommit(git.top().to_path_buf()));
    }
    let author = (!author.trim().is_empty()).then(|| author.trim().to_owned());
    // A commit may bear any number, and a database keeps no year of five digits.
    let seconds = time.parse().ok().filter(|seconds| (0..FIVE_DIGITS).contains(seconds));
    let committed_at = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let commit = Some(commit.to_owned());
    Ok(Revision { commit, committed_at, author, compared: Compared::Clean, user: user() })
}

/// Errors: the way from the top of the repository to the state directory leads over a link that the commit does not
/// hold. Whoever can turn such a link would choose what is applied, and no commit would say so.
pub async fn way_is_held(git: &Git, commit: &str) -> Result<(), GitError> {
    let links: Vec<&Path> = git.place.links.iter().map(PathBuf::as_path).collect();
    if links.is_empty() {
        return Ok(());
    }
    let listed = git.ask(&git::ENTRIES, &[commit], &links).await?;
    let is_held = |link: &Path| {
        let entry = git::entries(&listed).find(|entry| entry.path == link && entry.mode == LINK);
        let held = entry.and_then(|entry| ObjectId::parse(entry.object.as_bytes()));
        held.is_some_and(|held| compare::leads_as(git.format, &git.top().join(link), held))
    };
    match links.iter().find(|link| !is_held(link)) {
        None => Ok(()),
        Some(link) => Err(GitError::Relinked(git.top().join(link))),
    }
}

/// Errors: the state directory is, or lies in, a submodule whose files are not here. The commit has no file below it,
/// and that would look like an empty directory.
pub async fn is_no_submodule(git: &Git, commit: &str) -> Result<(), GitError> {
    let above: Vec<&Path> = git.place.inside.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    if above.is_empty() {
        return Ok(());
    }
    let listed = git.ask(&git::ENTRIES, &[commit], &above).await?;
    match git::entries(&listed).find(|entry| entry.mode == SUBMODULE && above.contains(&entry.path)) {
        None => Ok(()),
        Some(entry) => Err(git.submodule(entry.path)),
    }
}

/// How listings tell what is no file.
const LINK: &str = "120000";
const SUBMODULE: &str = "160000";

/// The user that runs this process: by the password file, else by `$USER` or `$LOGNAME`, else by number.
///
/// The file comes first, because anyone can set a variable. It does not know the users of a directory service.
pub fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    /// Some hundred thousand users, in bytes.
    const MOST: u64 = 16 << 20;
    let passwd = file::text(Path::new("/etc/passwd"), &Rules::anybodys(MOST));
    passwd
        .ok()
        .flatten()
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
