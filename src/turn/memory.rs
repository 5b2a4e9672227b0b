//! What a running daemon remembers from one turn to the next, so that a file that is saved costs no more than itself.
//!
//! Three things: what every file said, so that only those are read that have changed; what all files said when they were
//! last without problems, which stays in force while they cannot be followed; and that after the last turn all sessions
//! but a few were as declared. The last is not trusted for longer than until the timer, which compares everything again:
//! the database may be changed by anyone.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::{Turned, Wanted};
use crate::change::{Action, Revision};
use crate::desired::load::Leaf;
use crate::desired::tree::Filed;
use crate::kinds::Step;
use crate::resource::Resource;
use crate::resource::session::{Session, SessionId};
use crate::store::sql::now;
use crate::yaml::Problems;

type Leaves = Arc<[Filed<Leaf>]>;

/// Changes to more sessions than this are a reason to compare all of them.
const MOST: usize = 50_000;

/// Of files that differ from the last good state, what they say is kept up to so many bytes; what is beyond is read again
/// each time. The last good state itself is kept whole, for it is what a turn works on.
const BESIDE_GOOD: usize = 32 << 20;

#[derive(Default)]
pub struct Memory(Mutex<State>);

struct State {
    leaves: Leaves,
    good: Option<Good>,
    /// The last turn could not follow the files.
    is_unfollowed: bool,
    settled: Option<Settled>,
}

impl Default for State {
    fn default() -> Self {
        Self { leaves: Arc::from([]), good: None, is_unfollowed: false, settled: None }
    }
}

/// The last state of the files that was without problems.
#[derive(Clone)]
pub struct Good {
    pub leaves: Leaves,
    pub revision: Revision,
    pub warnings: Problems,
    pub read_at: DateTime<Utc>,
}

impl Good {
    pub fn of(wanted: &Wanted) -> Self {
        let Wanted { desired: _, revision, warnings, leaves, reused: _ } = wanted;
        let (leaves, revision, warnings) = (Arc::clone(leaves), revision.clone(), warnings.clone());
        Self { leaves, revision, warnings, read_at: now() }
    }
}

/// After a turn: all sessions that these files declare are as declared, but for some.
struct Settled {
    leaves: Leaves,
    but: BTreeSet<SessionId>,
    /// Rows that there are in all.
    total: u64,
}

/// What there is to be looked at since the last turn.
pub struct Since {
    pub asked: BTreeSet<SessionId>,
    pub total: u64,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the files said when they were last read.
    pub fn leaves(&self) -> Leaves {
        Arc::clone(&self.lock().leaves)
    }

    /// Remembers a reading of the files, whatever is wrong with them.
    pub fn has_read(&self, leaves: &Leaves) {
        let mut state = self.lock();
        state.leaves = match &state.good {
            Some(good) => beside(&good.leaves, leaves, BESIDE_GOOD),
            None => Arc::clone(leaves),
        };
    }

    /// The last good state.
    pub fn good(&self) -> Option<Good> {
        self.lock().good.clone()
    }

    /// A turn follows the files, which are without problems. After one that could not, everything is to be looked at:
    /// what was noticed meanwhile is not known here.
    pub fn follows(&self, good: Good) {
        let mut state = self.lock();
        state.leaves = Arc::clone(&good.leaves);
        state.good = Some(good);
        if std::mem::take(&mut state.is_unfollowed) {
            state.settled = None;
        }
    }

    /// A turn cannot follow the files.
    pub fn cannot_follow(&self) {
        self.lock().is_unfollowed = true;
    }

    /// What is enforced while the files cannot be followed, where nothing was known before.
    pub fn enforces(&self, good: Good) {
        self.lock().good.get_or_insert(good);
    }

    /// The sessions whose declaration has changed since the last turn, and those that were not settled by it. Forgets
    /// that turn: what happens now is not known before it has happened. `None`: everything must be looked at.
    pub fn since(&self, wanted: &Wanted) -> Option<Since> {
        let Settled { leaves: before, mut but, total } = self.lock().settled.take()?;
        let mut old: HashMap<&str, &Filed<Leaf>> = before.iter().map(|leaf| (&*leaf.path, leaf)).collect();
        for new in wanted.leaves.iter() {
            match old.remove(&*new.path) {
                Some(old) if Arc::ptr_eq(&old.made, &new.made) => {}
                old => but.extend(differences(old, Some(new))),
            }
        }
        old.into_values().for_each(|gone| but.extend(differences(Some(gone), None)));
        (but.len() <= MOST).then_some(Since { asked: but, total })
    }

    /// Forgets the last turn, as [`Memory::since`] does.
    pub fn forget(&self) {
        self.lock().settled = None;
    }

    /// Remembers how a turn ended, if all of it was done at once.
    pub fn settle(&self, wanted: &Wanted, turned: &Turned, total: u64) {
        let report = &turned.report;
        if !report.failed.is_empty() || !report.conflicts.is_empty() {
            return;
        }
        let blocked = turned.plan.blocked.iter().filter(|blocked| blocked.id.kind == Session::KIND);
        let held =
            turned.plan.changes.iter().filter(|planned| planned.held.is_some()).map(|planned| &planned.change.id);
        let undone = blocked.map(|blocked| &blocked.id).chain(held.filter(|id| id.kind == Session::KIND));
        let but = undone.filter_map(|id| id.name.parse().ok().map(SessionId)).collect();
        let made = turned.plan.changes.iter().filter(|planned| match &planned.change.step {
            Step::Session(_) => planned.change.action == Action::Create,
            step => step.makes_a_session(),
        });
        let total = total + made.count() as u64;
        self.lock().settled = Some(Settled { leaves: Arc::clone(&wanted.leaves), but, total });
    }
}

/// The leaves of a reading, where those that `good` does not have take no more than `most` bytes; in the place of others,
/// and of files that are gone, those of `good`, which cost nothing and may be met again.
fn beside(good: &[Filed<Leaf>], read: &[Filed<Leaf>], most: usize) -> Leaves {
    let mut kept: HashMap<&str, &Filed<Leaf>> = good.iter().map(|leaf| (&*leaf.path, leaf)).collect();
    let mut weight = 0;
    for leaf in read {
        let is_shared = kept.get(&*leaf.path).is_some_and(|good| Arc::ptr_eq(&good.made, &leaf.made));
        if !is_shared {
            weight += leaf.made.weight();
            if weight > most {
                continue;
            }
        }
        kept.insert(&leaf.path, leaf);
    }
    kept.into_values().cloned().collect()
}

/// The sessions that two readings of a file do not declare alike.
fn differences(old: Option<&Filed<Leaf>>, new: Option<&Filed<Leaf>>) -> Vec<SessionId> {
    let leaves = [old, new].into_iter().flatten();
    let mut wishes: Vec<_> = leaves.flat_map(|leaf| leaf.made.sheet.sessions().wishes()).collect();
    wishes.sort_unstable();
    // What both say alike stands twice now: no file declares a session twice.
    let lone = wishes.chunk_by(|one, next| one == next).filter(|alike| alike.len() == 1);
    lone.flatten().map(|(id, _, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Source;
    use crate::desired::load::load;
    use crate::desired::testing::Place;
    use crate::desired::tree::Limits;

    async fn read(place: &Place, known: Leaves) -> Leaves {
        load(Source::Worktree, &place.path("s"), &Limits::default(), known, || ()).await.unwrap().leaves
    }

    #[tokio::test]
    async fn what_differs_from_the_last_good_state_is_kept_within_a_limit() {
        let place = Place::temporary();
        for name in ["a", "b", "c"] {
            place.write(&format!("s/{name}.yaml"), "sessions: [{id: 1, title: One}]\n");
        }
        let good = read(&place, Arc::from([])).await;
        place.write("s/a.yaml", "sessions: [{id: 1, titel: Uno}]\n");
        place.write("s/b.yaml", "sessions: [{id: 1, titel: Due}]\n");
        std::fs::remove_file(place.path("s/c.yaml")).unwrap();
        let bad = read(&place, Arc::clone(&good)).await;
        let kept = |most: usize| -> Vec<(String, bool)> {
            let kept = beside(&good, &bad, most);
            let is_good = |leaf: &Filed<Leaf>| good.iter().any(|good| Arc::ptr_eq(&good.made, &leaf.made));
            let mut kept: Vec<_> =
                kept.iter().map(|leaf| (leaf.path.rsplit('/').next().unwrap().to_owned(), is_good(leaf))).collect();
            kept.sort();
            kept
        };
        let of = |a, b| vec![("a.yaml".to_owned(), a), ("b.yaml".to_owned(), b), ("c.yaml".to_owned(), true)];
        assert_eq!(kept(usize::MAX), of(false, false));
        assert_eq!(kept(bad[0].made.weight()), of(false, true));
        assert_eq!(kept(0), of(true, true));
    }
}
