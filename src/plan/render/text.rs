//! The plan as text: as wide as the terminal that shows it, where words allow it.

use anstyle::{AnsiColor, Style};

use super::{details, sentence};
use crate::change::{Action, Blocked, Change, Origin, ResourceId, Width, hanging, printable, wrapped};
use crate::plan::{Header, Held, Plan};

/// How the text is to look.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    pub color: bool,
    pub width: Width,
    /// Changes and blocked resources shown of each; the rest is counted.
    pub most: usize,
}

/// Where the mark of a drift ends in lines that are not wrapped.
const EDGE: usize = 80;
const INDENT: &str = "  ";
/// Columns for addresses.
const NARROWEST: usize = 11;
const WIDEST: usize = 24;

/// The whole plan.
pub fn text(plan: &Plan, looks: Looks) -> String {
    let mut out = header(&plan.header, looks.width);
    if let Some(note) = plan.lineage.note() {
        out.push_str(&hanging("", &printable(&note), 2, looks.width));
        out.push('\n');
    }
    let layout = Layout { address: address_width(plan), width: looks.width, color: looks.color };
    let mut lines = Vec::new();
    for planned in plan.changes.iter().take(looks.most) {
        lines.push(PlanLine::of_change(&planned.change).laid_out(layout));
    }
    more(&mut lines, plan.changes.len(), looks.most, "changes");
    for blocked in plan.blocked.iter().take(looks.most) {
        lines.push(PlanLine::of_blocked(blocked).laid_out(layout));
    }
    more(&mut lines, plan.blocked.len(), looks.most, "blocked");
    for (id, note) in plan.notes.iter().take(looks.most) {
        lines.push(PlanLine::of_note(id, note).laid_out(layout));
    }
    more(&mut lines, plan.notes.len(), looks.most, "notes");
    if !lines.is_empty() {
        out.push('\n');
        out.push_str(&lines.concat());
    }
    out.push('\n');
    out.push_str(&hanging("", &closing(plan), 2, looks.width));
    out.push('\n');
    plan.held.iter().for_each(|held| out.push_str(&held_line(held, looks.width)));
    out
}

fn more(lines: &mut Vec<String>, all: usize, most: usize, what: &str) {
    if all > most {
        lines.push(format!("{INDENT}  … and {} more {what}; --all shows them\n", all - most));
    }
}

/// What the plan is of: its first lines.
pub fn header(header: &Header, width: Width) -> String {
    let Header { environment, catalog, driver, state, revision, actor: _, is_new: _ } = header;
    let mut lines = vec![format!(
        "environment {environment} · catalog {} · {driver} · {} @ {}",
        printable(catalog),
        printable(state),
        revision.label()
    )];
    if let Some(preparation) = header.preparation() {
        lines.push(printable(&preparation).to_string());
    }
    lines.iter().map(|line| format!("{}\n", hanging("", line, 2, width))).collect()
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

/// One resource's line of a plan, and what stands below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanLine {
    sign: char,
    id: String,
    about: String,
    /// At the right edge.
    mark: &'static str,
    notes: Vec<String>,
}

/// How lines stand below each other.
#[derive(Clone, Copy)]
struct Layout {
    /// Columns for the address.
    address: usize,
    width: Width,
    color: bool,
}

/// Why some of a plan waits, and the way on.
pub fn held_line(held: &Held, width: Width) -> String {
    format!("{}\n", hanging("", &held.line(), 2, width))
}

impl PlanLine {
    pub fn of_change<S>(change: &Change<S>) -> Self {
        let mark = match change.origin {
            Origin::Drift => "drift",
            Origin::Intended | Origin::Manual => "",
        };
        let notes = change.notes.iter().map(|note| printable(note)).collect();
        let (sign, id) = (change.action.sign(), change.id.to_string());
        Self { sign, id, about: details(change).join(", "), mark, notes }
    }

    pub fn of_blocked(blocked: &Blocked) -> Self {
        let about = format!("{}; {}", printable(&blocked.reason), printable(&blocked.hint));
        Self { sign: '!', id: blocked.id.to_string(), about, mark: "", notes: Vec::new() }
    }

    fn of_note(id: &ResourceId, note: &str) -> Self {
        Self { sign: 'i', id: id.to_string(), about: printable(note), mark: "", notes: Vec::new() }
    }

    /// As reports show it, without the lines of others around it, and without colour.
    pub fn text(&self, width: Width) -> String {
        let address = self.id.chars().count().clamp(NARROWEST, WIDEST);
        self.laid_out(Layout { address, width, color: false })
    }

    /// `  + session/215   title …          drift`, and what does not fit below it.
    fn laid_out(&self, layout: Layout) -> String {
        let Self { sign, id, about, mark, notes } = self;
        let Layout { address, width, color } = layout;
        let style = paint(color, *sign);
        let mut lines = wrap(about, layout, mark);
        notes.iter().for_each(|note| lines.extend(wrap(note, layout, "")));
        let columns = id.chars().count();
        // The details of an address that is too long for its column begin in the line below.
        let (first, rest) = match lines.as_slice() {
            [first, rest @ ..] if columns <= address => (first.as_str(), rest),
            lines => ("", lines),
        };
        let gap = " ".repeat(address.saturating_sub(columns) + 2);
        let mut line = format!("{INDENT}{style}{sign}{style:#} {id}{gap}{first}");
        if !mark.is_empty() {
            let used = margin(address.max(columns)) + first.chars().count();
            line.push_str(&" ".repeat((width.columns_or(EDGE) - mark.len()).saturating_sub(used).max(2)));
            line.push_str(mark);
        }
        let mut out = line.trim_end().to_owned();
        out.push('\n');
        for line in rest {
            out.push_str(&" ".repeat(margin(address)));
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

/// Columns before the details: sign, address, and the blanks around them.
fn margin(address: usize) -> usize {
    INDENT.len() + 2 + address + 2
}

/// `text` in lines that end before the right margin, broken between words; the first leaves room for `mark`.
fn wrap(text: &str, layout: Layout, mark: &str) -> Vec<String> {
    let room = layout.width.beside(margin(layout.address)).max(20);
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
