//! While the files have problems, or cannot be read, the last good state stays in force: what they said when they were
//! last without problems. It is kept in memory; after a restart it is read from Git's objects, if it was applied as a
//! commit holds it.

use super::memory::Good;
use super::{Request, Wanted, World};
use crate::change::{Compared, Revision, moment, printable};
use crate::failure::{Failure, Result};
use crate::store::Tx;
use crate::store::enforced::{self, Applied, Unfollowed};
use crate::store::sql::now;

/// What happens to a run whose files have problems, or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It fails, and nothing is applied.
    Fails,
    /// It enforces the last good state.
    EnforcesLastGood,
}

/// What a run went by in the place of the files, and why.
#[derive(Debug)]
pub struct Enforced {
    /// `commit 4f1c2ab`, or when the files were read where no commit holds what they said.
    pub what: String,
    /// What is wrong with the files.
    pub failure: Failure,
}

impl Enforced {
    /// On one line.
    pub fn line(&self) -> String {
        format!("still enforcing {}; {}", self.what, self.failure.of_files())
    }
}

impl World {
    /// What a run goes by: the files; or the last good state, where they cannot be followed and the request allows it.
    ///
    /// Errors: the files cannot be followed, and nothing is enforced in their place.
    pub(super) async fn follow(&self, request: &Request) -> Result<(Wanted, Option<Enforced>)> {
        let failure = match self.read().await {
            Ok(wanted) => {
                self.memory.follows(Good::of(&wanted));
                return Ok((wanted, None));
            }
            Err(failure) => failure,
        };
        match request.unreadable {
            Unreadable::Fails => Err(failure),
            Unreadable::EnforcesLastGood => {
                self.memory.cannot_follow();
                self.enforce(failure).await.map(|(wanted, enforced)| (wanted, Some(enforced)))
            }
        }
    }

    /// The last good state in the place of files that cannot be followed.
    ///
    /// Errors: there is none; or the database, which knows of it, does not answer.
    pub(super) async fn enforce(&self, failure: Failure) -> Result<(Wanted, Enforced)> {
        let good = match self.memory.good() {
            Some(good) => good,
            None => match self.last_applied().await? {
                Ok(good) => {
                    self.memory.enforces(good.clone());
                    good
                }
                Err(why) => return Err(failure.paused(&why)),
            },
        };
        let what = named(&good);
        Ok((Wanted::last_good(good), Enforced { what, failure }))
    }

    /// Whether something was ever applied from files here, so that a daemon whose files are away has reason to wait.
    pub async fn has_applied(&self) -> Result<bool> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(false) };
        let last = enforced::last_applied(&mut snapshot).await?;
        snapshot.finish().await?;
        Ok(last.is_some())
    }

    /// The commit that was applied last, from Git's objects; or why it is not to be had.
    async fn last_applied(&self) -> Result<std::result::Result<Good, String>> {
        let Some(mut snapshot) = self.database.snapshot().await? else {
            return Ok(Err("nothing was applied yet".to_owned()));
        };
        let last = enforced::last_applied(&mut snapshot).await?;
        snapshot.finish().await?;
        let commit = match last {
            Some(Applied { commit: Some(commit), is_clean: true }) if is_id(&commit) => commit,
            Some(_) => return Ok(Err("what was applied last is in no commit".to_owned())),
            None => return Ok(Err("no commit was applied yet".to_owned())),
        };
        Ok(match self.read_commit(&commit).await {
            Ok(wanted) => Ok(Good::of(&wanted)),
            Err(failure) => {
                let (short, why) = (commit.chars().take(7).collect::<String>(), failure.line());
                Err(format!("commit {short}, which was applied last, cannot be read: {why}"))
            }
        })
    }

    /// Notes what is enforced while the files cannot be followed, or why reconciliation is paused; and, with `None`, that
    /// they are followed. Gives what was noted before.
    pub(super) async fn note_enforced(&self, tx: &mut Tx, state: Option<Unfollowed>) -> Result<Option<Unfollowed>> {
        let before = enforced::noted(tx).await?;
        let since = before.as_ref().map(|before| before.since);
        let state = state.map(|state| Unfollowed { since: since.unwrap_or(state.since), ..state });
        if state != before {
            enforced::note(tx, state.as_ref()).await?;
        }
        Ok(before)
    }
}

/// Whether a text is a commit's full id. The database may say anything, and `git` would take it for an option.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a good state is called.
fn named(good: &Good) -> String {
    let Good { revision, read_at, .. } = good;
    match revision {
        Revision { commit: Some(commit), compared: Compared::Clean, .. } => {
            format!("commit {}", commit.chars().take(7).collect::<String>())
        }
        revision => format!("the files as read at {}, {}", moment(*read_at), revision.label()),
    }
}

/// What is noted of files that cannot be followed.
pub(super) fn unfollowed(enforced: Option<&str>, failure: &Failure) -> Unfollowed {
    /// Problems that are noted with their text.
    const MOST: usize = 50;
    let problems = failure.problems();
    let one = |problem: &crate::yaml::Problem| {
        let hint = problem.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}: {}{hint}", problem.place, problem.message)
    };
    let trouble = match (failure.is_paused, problems, failure.causes.last()) {
        (true, Some(_), Some(why)) => format!("{}; {}", printable(why), failure.of_files()),
        _ => failure.of_files(),
    };
    Unfollowed {
        since: now(),
        enforced: enforced.map(str::to_owned),
        trouble,
        count: problems.map_or(0, |problems| problems.len() as u64),
        problems: problems.into_iter().flat_map(|problems| problems.iter()).take(MOST).map(one).collect(),
    }
}
