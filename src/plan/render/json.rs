//! The plan for machines. `format_version` rises when a reader of an older version could misread it.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use crate::change::{Action, Change, Compared, FieldDiff, Revision, Value, rfc3339};
use crate::plan::lineage::{Judgement, Lineage};
use crate::plan::{Held, Plan, Summary};

/// The version of the shape below.
pub const FORMAT_VERSION: &str = "1.0";

/// The whole plan.
pub fn json(plan: &Plan) -> Json {
    let header = &plan.header;
    let blocked = plan.blocked.iter().map(|blocked| {
        json!({
            "address": blocked.id.to_string(), "kind": blocked.id.kind.name, "name": blocked.id.name,
            "reason": blocked.reason, "hint": blocked.hint,
        })
    });
    let failing = plan.changes.iter().map(|planned| &planned.change.id);
    let failing = failing.filter_map(|id| Some((id, plan.failures.get(id)?.sentence())));
    let notes = plan.notes.iter().map(|(id, text)| (id, text.clone())).chain(failing);
    let notes = notes.map(|(id, text)| json!({ "address": id.to_string(), "note": text }));
    json!({
        "format_version": FORMAT_VERSION,
        "environment": header.environment,
        "catalog": header.catalog,
        "driver": header.driver,
        "state": header.state,
        "schema_missing": header.is_new,
        "preparation": header.preparation(),
        "revision": json_revision(&header.revision),
        "lineage": lineage(&plan.lineage),
        "planned_at": rfc3339(plan.now),
        "resource_changes": plan.changes.iter().map(|planned| json_change(&planned.change)).collect::<Vec<_>>(),
        "blocked": blocked.collect::<Vec<_>>(),
        "notes": notes.collect::<Vec<_>>(),
        "held": plan.held.iter().map(held).collect::<Vec<_>>(),
        "summary": summary(&plan.summary()),
        "digest": plan.digest(),
    })
}

/// The commit, and whether what was read is what it holds.
pub fn json_revision(revision: &Revision) -> Json {
    let Revision { commit, committed_at: _, author, compared, user: _ } = revision;
    let dirty = *compared != Compared::Clean;
    json!({ "commit": commit, "author": author, "dirty": dirty, "compared": compared.word(), "actor": revision.actor() })
}

/// `null` where there is nothing to be known.
fn lineage(lineage: &Lineage) -> Json {
    let (why, held) = match &lineage.judgement {
        Judgement::Follows => return Json::Null,
        Judgement::Noted(why) => (why, None),
        Judgement::LetPass(hold) => (&hold.why, None),
        Judgement::Held(hold) => (&hold.why, Some(hold)),
    };
    let (hint, digest) = (held.map(|hold| &hold.hint), held.map(|hold| &hold.digest));
    json!({ "held": held.is_some(), "note": why, "hint": hint, "digest": digest })
}

pub fn summary(summary: &Summary) -> Json {
    let Summary { create, update, rotate, resume, blocked, drift, unchanged, unmanaged } = *summary;
    json!({
        "create": create, "update": update, "rotate": rotate, "resume": resume, "blocked": blocked, "drift": drift,
        "unchanged": unchanged, "unmanaged": unmanaged,
    })
}

/// What waits for a person.
fn held(held: &Held) -> Json {
    let Held { digest, why, changes } = held;
    json!({ "digest": digest, "reason": why, "changes": changes })
}

/// One side of a change, as a map of its fields; what is created has nothing before.
pub struct Side<'a> {
    fields: &'a [FieldDiff],
    pick: fn(&FieldDiff) -> &Value,
}

impl<'a> Side<'a> {
    pub fn before<S>(change: &'a Change<S>) -> Option<Self> {
        (change.action != Action::Create).then_some(Self { fields: &change.fields, pick: |diff| &diff.before })
    }

    pub fn after<S>(change: &'a Change<S>) -> Self {
        Self { fields: &change.fields, pick: |diff| &diff.after }
    }
}

impl Serialize for Side<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_map(self.fields.iter().map(|diff| (diff.field, (self.pick)(diff))))
    }
}

/// One change.
pub fn json_change<S>(change: &Change<S>) -> Json {
    let unknown: Map<String, Json> = change.unknown.iter().map(|field| ((*field).to_owned(), true.into())).collect();
    json!({
        "address": change.id.to_string(),
        "kind": change.id.kind.name,
        "name": change.id.name,
        "actions": [change.action.name()],
        "before": Side::before(change),
        "after": Side::after(change),
        "after_unknown": unknown,
        "actor": change.actor,
        "reason": change.reason,
        "origin": change.origin.name(),
    })
}
