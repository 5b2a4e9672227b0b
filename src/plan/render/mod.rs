//! A plan as people and machines read it. But for its header, the text is the same on both databases.

mod json;
mod markdown;
mod text;

pub use json::{FORMAT_VERSION, Side, json, json_change, json_revision};
pub use markdown::markdown;
pub use text::{Looks, PlanLine, header, held_line, text};

use super::Summary;
use crate::change::{Action, Change, FieldDiff, Value};

/// `1 to create, 1 to update; 1 blocked. 12 unchanged, 3 unmanaged.`
pub fn sentence(summary: &Summary) -> String {
    let Summary { create, update, rotate, resume, blocked, drift: _, unchanged, unmanaged } = *summary;
    let actions = [(create, "create"), (update, "update"), (rotate, "rotate"), (resume, "resume")];
    let mut parts: Vec<String> =
        actions.iter().filter(|(count, _)| *count > 0).map(|(count, verb)| format!("{count} to {verb}")).collect();
    if parts.is_empty() {
        parts.push("nothing to change".to_owned());
    }
    let blocked = if blocked > 0 { format!("; {blocked} blocked") } else { String::new() };
    format!("{}{blocked}. {unchanged} unchanged, {unmanaged} unmanaged.", parts.join(", "))
}

/// What a change does, without its address: `title "Al Baqara" -> "Al-Baqara"`.
pub fn details<S>(change: &Change<S>) -> Vec<String> {
    let field = |diff: &FieldDiff| match &diff.before {
        Value::None if diff.after == Value::None => format!("{} (none)", diff.field),
        Value::None => format!("{} {}", diff.field, diff.after),
        before => format!("{} {before} -> {}", diff.field, diff.after),
    };
    if let (Action::Resume, Some(reason)) = (change.action, &change.reason) {
        // Where it goes on says more than which phase it ends in.
        return vec![crate::change::printable(reason)];
    }
    let mut details: Vec<String> = change.fields.iter().map(field).collect();
    let by = change.actor.as_ref().map(|actor| format!("by {}", crate::change::printable(actor)));
    let why = change.reason.as_ref().map(|reason| crate::change::printable(reason));
    match (by, why) {
        (Some(by), Some(why)) => details.push(format!("{by}: {why}")),
        (Some(by), None) => details.push(by),
        (None, Some(why)) => details.push(format!("because: {why}")),
        (None, None) => {}
    }
    details
}
