//! One answer to "why is this not done?": where a resource is declared, how it stands, and what comes next.

use super::{Request, World};
use crate::change::{Change, ResourceId, hanging, moment, printable, rfc3339};
use crate::failure::Result;
use crate::kinds::Step;
use crate::plan::render::{change_line, json_change};
use crate::store::journal::{self, Line};

/// Everything known of one resource.
#[derive(Debug)]
pub struct Explanation {
    pub id: ResourceId,
    /// `file:line:column`, where a file declares it.
    pub declared: Option<String>,
    /// The database has it.
    pub exists: bool,
    /// One line: in sync, what would change, or what blocks it.
    pub verdict: String,
    /// The way out, where it is blocked.
    pub hint: Option<String>,
    /// What the next turn will do, as a plan shows it.
    pub change: Option<Change<Step>>,
    pub notes: Vec<String>,
    pub history: Vec<Line>,
}

impl World {
    pub async fn explain(&self, id: &ResourceId) -> Result<Explanation> {
        let request = Request::everything();
        let wanted = self.read().await?;
        let picture = self.look(None, request.now).await?;
        let plan = self.plan(&wanted, &picture, &request);
        let declared = wanted.desired.place(id);
        let exists = picture.observed.has(id);
        let change = plan.changes.iter().map(|planned| &planned.change).find(|change| change.id == *id);
        let blocked = plan.blocked.iter().find(|blocked| blocked.id == *id);
        let verdict = match (change, blocked, &declared) {
            (Some(change), ..) => {
                format!("the next turn will {} it ({})", change.action.name(), change.origin.name())
            }
            (None, Some(blocked), _) => format!("blocked: {}", blocked.reason),
            (None, None, Some(_)) => "in sync: the database matches the file".to_owned(),
            (None, None, None) if exists => "unmanaged: it exists, and no file names it".to_owned(),
            (None, None, None) => "unknown: no file names it, and it does not exist".to_owned(),
        };
        let history = match self.database.snapshot().await? {
            Some(mut snapshot) => {
                let filter = journal::Filter { resource: Some(id.clone()), most: 5 };
                journal::read(&mut snapshot, &filter).await?
            }
            None => Vec::new(),
        };
        let of_this = plan.notes.iter().filter(|(of, _)| of == id).map(|(_, note)| note.clone());
        let notes = of_this.collect();
        let change = change.cloned();
        let hint = blocked.map(|blocked| blocked.hint.clone());
        Ok(Explanation { id: id.clone(), declared, exists, verdict, hint, change, notes, history })
    }
}

impl Explanation {
    pub fn json(&self) -> serde_json::Value {
        let Self { id, declared, exists, verdict, hint, change, notes, history } = self;
        let line = |line: &Line| {
            serde_json::json!({ "at": rfc3339(line.at), "action": line.action, "actor": line.actor,
                                "revision": line.revision, "reason": line.reason })
        };
        serde_json::json!({
            "address": id.to_string(), "declared": declared, "exists": exists, "verdict": verdict, "hint": hint,
            "change": change.as_ref().map(json_change), "notes": notes, "history": history.iter().map(line).collect::<Vec<_>>(),
        })
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let Self { id, declared, exists, verdict, hint, change, notes, history } = self;
        let mut text = format!("{id}\n");
        let mut line = |name: &str, about: &str| {
            text.push_str(&hanging(&format!("  {name:<10}"), about, 12));
            text.push('\n');
        };
        line("declared", declared.as_deref().unwrap_or("in no file"));
        line("database", if *exists { "has it" } else { "does not have it" });
        line("verdict", verdict);
        hint.iter().for_each(|hint| line("way out", hint));
        notes.iter().for_each(|note| line("note", note));
        for entry in history {
            let reason = entry.reason.as_ref().map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
            let actor = printable(&entry.actor);
            line("journal", &format!("{} {} by {actor}{reason}", moment(entry.at), entry.action));
        }
        text.push_str(&change.as_ref().map(change_line).unwrap_or_default());
        text
    }
}
