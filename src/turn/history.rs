//! The journal, for whoever asks for it.

use super::World;
use crate::change::{ResourceId, rfc3339};
use crate::failure::Result;
use crate::store::journal::{self, Filter, Line};

impl World {
    /// The newest lines, newest first; none where there is no schema yet.
    pub async fn history(&self, resource: Option<ResourceId>, most: i64) -> Result<Vec<Line>> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(Vec::new()) };
        Ok(journal::read(&mut snapshot, &Filter { resource, most }).await?)
    }
}

/// Lines for machines.
pub fn json(lines: &[Line]) -> serde_json::Value {
    lines.iter().map(one).collect()
}

fn one(line: &Line) -> serde_json::Value {
    let Line { journal_id, at, environment, run, actor, revision, kind, name, action, before, after, reason, origin } =
        line;
    serde_json::json!({
        "journal_id": journal_id, "at": rfc3339(*at), "environment": environment, "run": run.to_string(),
        "actor": actor, "revision": revision, "kind": kind, "name": name, "action": action, "before": before,
        "after": after, "reason": reason, "origin": origin,
    })
}
