//! Whether a commit contains another one, by what the repository has of its history.
//!
//! A list of cuts (`shallow`) takes parents away and gives none: what is contained with it is contained without it. But
//! whoever writes such a list by hand could hide what is there. So what is not found is looked for again as if there
//! were no list, and the history counts as cut only where commits are really missing.

use std::path::Path;

use super::object::ObjectId;
use super::{BASE, Git, GitError, Place, ROOT, THERE, Verb, run};
use crate::change::History;
use crate::file;

/// The commit that was applied last, and where its history begins, as they were recorded.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    pub commit: &'a str,
    pub root: Option<&'a str>,
}

/// Whose word counts on where history ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cuts {
    Listed,
    /// A commit that is missing is an error.
    None,
}

/// How `commit`, which the repository of `dir` has, stands to the one that was recorded.
///
/// Errors: as `git` gives them.
pub async fn history(dir: &Path, commit: &str, recorded: Recorded<'_>) -> Result<History, GitError> {
    let git = Git::open(Place::find(dir)?).await?;
    let has_last = git.has(recorded.commit).await?;
    if has_last && git.common(recorded.commit, commit, Cuts::Listed).await?.as_deref() == Some(recorded.commit) {
        return Ok(History::Contains);
    }
    let judged =
        if has_last { git.apart(commit, recorded.commit).await } else { git.begins(commit, recorded.root).await };
    match judged {
        Err(GitError::Failed { .. }) if git.has_cuts() => Ok(History::Cut),
        judged => judged,
    }
}

/// The first commit of the history of `commit`, by first parents; `None` where it is not here.
///
/// Errors: as `git` gives them.
pub async fn root(dir: &Path, commit: &str) -> Result<Option<String>, GitError> {
    let git = Git::open(Place::find(dir)?).await?;
    match git.root(commit).await {
        Err(GitError::Failed { .. }) if git.has_cuts() => Ok(None),
        root => root,
    }
}

impl Git {
    /// Of two commits that are here.
    async fn apart(&self, commit: &str, last: &str) -> Result<History, GitError> {
        Ok(match self.common(last, commit, Cuts::None).await? {
            Some(common) if common == last => History::Contains,
            Some(_) => History::Lacks,
            None => History::Another,
        })
    }

    /// Where the commit that was applied last is not here: whether the history begins as its did.
    async fn begins(&self, commit: &str, recorded: Option<&str>) -> Result<History, GitError> {
        let found = self.root(commit).await?;
        let Some(recorded) = recorded else { return Ok(History::Lacks) };
        if found.as_deref() == Some(recorded) {
            return Ok(History::Lacks);
        }
        // It may have come in by a merge.
        let is_here = self.has(recorded).await?;
        let is_common = is_here && self.common(recorded, commit, Cuts::None).await?.as_deref() == Some(recorded);
        Ok(if is_common { History::Lacks } else { History::Another })
    }

    /// Whether there is a commit of this id. What is no id of this repository names none: it could be a short one.
    async fn has(&self, id: &str) -> Result<bool, GitError> {
        if id.len() != self.format.digits() || ObjectId::parse(id.as_bytes()).is_none() {
            return Ok(false);
        }
        let answer = self.ask_of(&THERE, format!("{id}\n").into_bytes()).await?;
        Ok(answer.starts_with(format!("{id} commit ").as_bytes()))
    }

    /// The newest commit that both contain.
    async fn common(&self, one: &str, other: &str, cuts: Cuts) -> Result<Option<String>, GitError> {
        self.ask_history(&BASE, &[one, other], cuts).await
    }

    async fn root(&self, commit: &str) -> Result<Option<String>, GitError> {
        self.ask_history(&ROOT, &[commit, "--"], Cuts::None).await
    }

    /// The first line of the answer; `None` where there is none, which is no error.
    async fn ask_history(&self, verb: &'static Verb, args: &[&str], cuts: Cuts) -> Result<Option<String>, GitError> {
        let mut command = self.command(verb)?;
        command.args(args);
        if cuts == Cuts::None {
            // Set and empty, it names a list that is not there.
            command.env("GIT_SHALLOW_FILE", "");
        }
        let (status, printed, complaint) = run(command, verb, Vec::new()).await?;
        match status.code() {
            Some(0) => {}
            Some(1) if printed.is_empty() && complaint.is_empty() => {}
            _ => return Err(self.cause(verb, &complaint)),
        }
        Ok(String::from_utf8_lossy(&printed).lines().next().map(str::to_owned))
    }

    /// Whether something says that history is cut off here.
    fn has_cuts(&self) -> bool {
        file::exists(&self.place.repository.common.join("shallow"))
    }
}

#[cfg(test)]
mod tests;
