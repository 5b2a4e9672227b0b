//! The plan as a comment on a pull request. Everything that comes from data is escaped for GitHub's Markdown.

use super::{details, sentence};
use crate::change::{Action, Origin, printable};
use crate::plan::Plan;

/// The whole plan; long ones are cut after `most` changes.
pub fn markdown(plan: &Plan, most: usize) -> String {
    let header = &plan.header;
    let mut out = format!(
        "### reconcile plan: {}\n\n**environment** {} · **catalog** {} · {} · {} @ {}\n",
        sentence(&plan.summary()),
        escape(&header.environment),
        escape(&header.catalog),
        header.driver,
        escape(&header.state),
        escape(&header.revision.label())
    );
    if let Some(preparation) = header.preparation() {
        out.push_str(&format!("\n{}\n", escape(&preparation)));
    }
    for held in &plan.held {
        out.push_str(&format!("\n> **{}**\n", escape(&held.line())));
    }
    if let Some(note) = plan.lineage.note() {
        out.push_str(&format!("\n> {}\n", escape(&note)));
    }
    if !plan.changes.is_empty() {
        out.push_str("\n| | resource | change | |\n|---|---|---|---|\n");
    }
    for change in plan.changes.iter().take(most).map(|planned| &planned.change) {
        let notes = change.notes.iter().map(|note| format!("<br>{}", escape(note))).collect::<String>();
        let drift = if change.origin == Origin::Drift { "drift" } else { "" };
        out.push_str(&format!(
            "| {} | {} | {}{notes} | {drift} |\n",
            word(change.action),
            escape(&change.id.to_string()),
            escape(&details(change).join(", "))
        ));
    }
    if plan.changes.len() > most {
        out.push_str(&format!("\n… and {} more changes.\n", plan.changes.len() - most));
    }
    if !plan.blocked.is_empty() {
        out.push_str("\n**Blocked**\n\n");
    }
    for blocked in plan.blocked.iter().take(most) {
        let (id, reason, hint) = (blocked.id.to_string(), &blocked.reason, &blocked.hint);
        out.push_str(&format!("- {}: {}; {}\n", escape(&id), escape(reason), escape(hint)));
    }
    if plan.blocked.len() > most {
        out.push_str(&format!("- … and {} more\n", plan.blocked.len() - most));
    }
    for (id, note) in plan.notes.iter().take(most) {
        out.push_str(&format!("\n> {}: {}\n", escape(&id.to_string()), escape(note)));
    }
    out
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Create => "➕ create",
        Action::Update => "✏️ update",
        Action::Rotate => "🔁 rotate",
        Action::Resume => "▶️ resume",
    }
}

/// `text` with everything that Markdown, HTML or GitHub itself would read as markup made plain, on one line.
pub fn escape(text: &str) -> String {
    /// Seen by nobody, and it parts what GitHub looks for in the finished page, where escapes are gone already.
    const APART: &str = "&#8203;";
    let mut escaped = String::with_capacity(text.len());
    for letter in printable(&text.replace(['\n', '\r'], " ")).chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // A bare address would become a link.
            ':' => escaped.push_str("&#58;"),
            '.' if escaped.ends_with("www") => escaped.push_str(&format!("{APART}.")),
            // Two of them would begin and end a formula; GitHub knows no other way to say one.
            '$' => escaped.push_str("<span>$</span>"),
            // A mention would call people, and a number would point to somebody else's work.
            '@' => escaped.push_str(&format!("@{APART}")),
            '#' => escaped.push_str(&format!("\\#{APART}")),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '|' | '!' | '~' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}
