//! Protection: what a line asks for, against what the database has.

use super::Protect;
use crate::change::{Action, Change, FieldDiff, Origin, ResourceId, Value};
use crate::kinds::Step;
use crate::resource::host;

/// What the line of one resource asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Nothing {
        is_protected: bool,
    },
    /// It is to be protected, and the database does not know of it yet.
    Record,
    /// The protection of that resource is to end.
    Lift(ResourceId),
}

impl Asks {
    /// `line` is what the file says, and `is_recorded` what the database has of `id`.
    pub fn of(id: &ResourceId, line: Option<bool>, is_recorded: bool) -> Self {
        match (line, is_recorded) {
            (Some(true), false) => Asks::Record,
            (Some(false), true) => Asks::Lift(id.clone()),
            (Some(true) | None, true) => Asks::Nothing { is_protected: true },
            (Some(false) | None, false) => Asks::Nothing { is_protected: false },
        }
    }

    /// Whether such an action is not to be done: to create changes nothing, and what was begun before it was protected
    /// is brought to its end. A GUID that is made anew was not begun before: it takes the place of another.
    pub fn forbids<S>(&self, change: &Change<S>) -> bool {
        match (self, change.action) {
            (Asks::Lift(_) | Asks::Nothing { is_protected: false }, _) | (_, Action::Create) => false,
            (Asks::Record, Action::Resume) => change.id.kind == host::KIND,
            (Asks::Nothing { is_protected: true } | Asks::Record, _) => true,
        }
    }

    /// What is to be noted with the change; an end of protection is part of it.
    pub fn beside<S>(self, change: &mut Change<S>) -> Protect {
        match self {
            Asks::Nothing { .. } => Protect::Keep,
            Asks::Record => Protect::Record,
            Asks::Lift(id) => {
                change.fields.push(lifted());
                // Whatever else differs, it is the files that let it be changed.
                change.origin = Origin::Intended;
                Protect::Lift(id)
            }
        }
    }
}

fn lifted() -> FieldDiff {
    FieldDiff { field: "protect", before: Value::Flag(true), after: Value::Flag(false) }
}

/// The end of a resource's protection, and nothing else.
pub(super) fn lifting(id: &ResourceId) -> Change<Step> {
    Change {
        id: id.clone(),
        action: Action::Update,
        origin: Origin::Intended,
        fields: vec![lifted()],
        unknown: Vec::new(),
        actor: None,
        reason: None,
        notes: Vec::new(),
        is_scheduled: false,
        step: Step::Lift,
    }
}
