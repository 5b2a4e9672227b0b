//! What a running daemon remembers from one turn to the next, so that a file that is saved costs no more than itself.
//!
//! Two things: what every file said, so that only those are read that have changed; and that after the last turn all
//! sessions but a few were as declared. Nothing here is trusted for longer than until the timer, which compares
//! everything again: the database may be changed by anyone.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Turned, Wanted};
use crate::change::Action;
use crate::desired::load::Leaf;
use crate::desired::tree::Filed;
use crate::kinds::Step;
use crate::resource::Resource;
use crate::resource::session::{Session, SessionId};

type Leaves = Arc<[Filed<Leaf>]>;

/// Changes to more sessions than this are a reason to compare all of them.
const MOST: usize = 50_000;

#[derive(Default)]
pub struct Memory(Mutex<State>);

struct State {
    leaves: Leaves,
    settled: Option<Settled>,
}

impl Default for State {
    fn default() -> Self {
        Self { leaves: Arc::from([]), settled: None }
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

    pub fn has_read(&self, leaves: &Leaves) {
        self.lock().leaves = Arc::clone(leaves);
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

/// The sessions that two readings of a file do not declare alike.
fn differences(old: Option<&Filed<Leaf>>, new: Option<&Filed<Leaf>>) -> Vec<SessionId> {
    let leaves = [old, new].into_iter().flatten();
    let mut wishes: Vec<_> = leaves.flat_map(|leaf| leaf.made.sheet.sessions().wishes()).collect();
    wishes.sort_unstable();
    // What both say alike stands twice now: no file declares a session twice.
    let lone = wishes.chunk_by(|one, next| one == next).filter(|alike| alike.len() == 1);
    lone.flatten().map(|(id, _, _)| *id).collect()
}
