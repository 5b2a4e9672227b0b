//! The plan in a terminal: at most 80 columns wide where words allow it.

use anstyle::{AnsiColor, Style};

use super::{details, sentence};
use crate::change::{Action, Blocked, Change, Origin, printable, wrapped};
use crate::plan::{Header, Plan};

/// How the text is to look.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    pub color: bool,
    /// Changes and blocked resources shown of each; the rest is counted.
    pub most: usize,
}

const WIDTH: usize = 80;
const INDENT: &str = "  ";
/// Columns for addresses.
const NARROWEST: usize = 11;
const WIDEST: usize = 24;

/// The whole plan.
pub fn text(plan: &Plan, looks: Looks) -> String {
    let mut out = header(&plan.header);
    let width = address_width(plan);
    let mut lines = Vec::new();
    for planned in plan.changes.iter().take(looks.most) {
        lines.push(change(&planned.change, width, looks.color));
    }
    more(&mut lines, plan.changes.len(), looks.most, "changes");
    for blocked in plan.blocked.iter().take(looks.most) {
        lines.push(self::blocked(blocked, width, looks.color));
    }
    more(&mut lines, plan.blocked.len(), looks.most, "blocked");
    for (id, note) in plan.notes.iter().take(looks.most) {
        let note = wrap(&printable(note), width, "");
        lines.push(entry('i', &id.to_string(), &note, "", width, paint(looks.color, 'i')));
    }
    more(&mut lines, plan.notes.len(), looks.most, "notes");
    if !lines.is_empty() {
        out.push('\n');
        out.push_str(&lines.concat());
    }
    out.push('\n');
    out.push_str(&closing(plan));
    out.push('\n');
    out
}

fn more(lines: &mut Vec<String>, all: usize, most: usize, what: &str) {
    if all > most {
        lines.push(format!("{INDENT}  … and {} more {what}; --all shows them\n", all - most));
    }
}

fn header(header: &Header) -> String {
    let Header { environment, catalog, driver, state, revision, actor: _, is_new: _ } = header;
    let mut out = format!(
        "environment {environment} · catalog {} · {driver} · {} @ {}\n",
        printable(catalog),
        printable(state),
        revision.label()
    );
    if let Some(preparation) = header.preparation() {
        out.push_str(&format!("{}\n", printable(&preparation)));
    }
    out
}

fn closing(plan: &Plan) -> String {
    let summary = plan.summary();
    if plan.changes.is_empty() && plan.blocked.is_empty() {
        let unmanaged = match summary.unmanaged {
            0 => String::new(),
            count => format!(", {count} unmanaged"),
        };
        return format!(
            "No changes. The database matches the desired state. {} unchanged{unmanaged}.",
            summary.unchanged
        );
    }
    format!("Plan: {}", sentence(&summary))
}

fn address_width(plan: &Plan) -> usize {
    let changes = plan.changes.iter().map(|planned| &planned.change.id);
    let ids = changes.chain(plan.blocked.iter().map(|blocked| &blocked.id)).chain(plan.notes.iter().map(|(id, _)| id));
    ids.map(|id| id.to_string().chars().count()).max().unwrap_or(0).clamp(NARROWEST, WIDEST)
}

/// One change as reports show it, laid out as in a plan.
pub fn change_line<S>(change: &Change<S>) -> String {
    let width = change.id.to_string().chars().count().clamp(NARROWEST, WIDEST);
    self::change(change, width, false)
}

/// One blocked resource, likewise.
pub fn blocked_line(blocked: &Blocked) -> String {
    let width = blocked.id.to_string().chars().count().clamp(NARROWEST, WIDEST);
    self::blocked(blocked, width, false)
}

fn blocked(blocked: &Blocked, width: usize, color: bool) -> String {
    let about = format!("{}; {}", printable(&blocked.reason), printable(&blocked.hint));
    entry('!', &blocked.id.to_string(), &wrap(&about, width, ""), "", width, paint(color, '!'))
}

fn change<S>(change: &Change<S>, width: usize, color: bool) -> String {
    let mark = match change.origin {
        Origin::Drift => "drift",
        Origin::Intended => "",
    };
    let mut lines = wrap(&details(change).join(", "), width, mark);
    for note in &change.notes {
        lines.extend(wrap(&printable(note), width, ""));
    }
    let sign = change.action.sign();
    entry(sign, &change.id.to_string(), &lines, mark, width, paint(color, sign))
}

/// Columns before the details: sign, address, and the blanks around them.
fn margin(width: usize) -> usize {
    INDENT.len() + 2 + width + 2
}

/// `  + session/215   title …          drift`, and what does not fit below it.
fn entry(sign: char, id: &str, lines: &[String], mark: &str, width: usize, style: Style) -> String {
    let columns = id.chars().count();
    // The details of an address that is too long for its column begin in the line below.
    let (first, rest) = match lines {
        [first, rest @ ..] if columns <= width => (first.as_str(), rest),
        lines => ("", lines),
    };
    let gap = " ".repeat(width.saturating_sub(columns) + 2);
    let mut line = format!("{INDENT}{style}{sign}{style:#} {id}{gap}{first}");
    if !mark.is_empty() {
        let used = margin(width.max(columns)) + first.chars().count();
        line.push_str(&" ".repeat((WIDTH - mark.len()).saturating_sub(used).max(2)));
        line.push_str(mark);
    }
    let mut out = line.trim_end().to_owned();
    out.push('\n');
    for line in rest {
        out.push_str(&" ".repeat(margin(width)));
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// `text` in lines that end before the right margin, broken between words; the first leaves room for `mark`.
fn wrap(text: &str, width: usize, mark: &str) -> Vec<String> {
    let room = WIDTH.saturating_sub(margin(width)).max(20);
    let reserved = if mark.is_empty() { 0 } else { mark.len() + 2 };
    wrapped(text, room.saturating_sub(reserved), room)
}

fn paint(color: bool, sign: char) -> Style {
    let hue = |hue: AnsiColor| Style::new().fg_color(Some(hue.into()));
    match sign {
        _ if !color => Style::new(),
        '!' => hue(AnsiColor::Red).bold(),
        'i' => hue(AnsiColor::Blue),
        sign if sign == Action::Create.sign() => hue(AnsiColor::Green),
        sign if sign == Action::Rotate.sign() => hue(AnsiColor::Magenta),
        sign if sign == Action::Resume.sign() => hue(AnsiColor::Cyan),
        _ => hue(AnsiColor::Yellow),
    }
}
