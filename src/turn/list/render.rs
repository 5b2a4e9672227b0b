//! The list as people and machines read it, written page by page.

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value as Json, json};

use super::{Page, Row};
use crate::change::{ResourceId, printable, rfc3339};
use crate::plan::Header;
use crate::plan::render::{FORMAT_VERSION, json_revision};
use crate::plan::states::State;
use crate::turn::inventory::Inventory;

/// The columns of text, as wide as the first page wants them, within bounds: no row is kept for those that come later.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    widths: [usize; 4],
    color: bool,
}

const TITLES: [&str; 5] = ["STATE", "RESOURCE", "TITLE", "DECLARED", "ABOUT"];
const WIDEST: [usize; 4] = [28, 45, 32, 40];
/// In place of what there is not.
const NOTHING: &str = "-";

impl Columns {
    pub fn of(rows: &[Row], color: bool) -> Self {
        let mut widths = [0, 1, 2, 3].map(|place: usize| TITLES.get(place).map_or(0, |title| title.len()));
        for row in rows {
            for ((width, widest), cell) in widths.iter_mut().zip(WIDEST).zip(cells(row)) {
                *width = (*width).max(cell.chars().count().min(widest));
            }
        }
        Self { widths, color }
    }

    /// The line above all rows.
    pub fn head(&self) -> String {
        let [state, rest @ ..] = TITLES.map(str::to_owned);
        self.line(&state, Style::new(), &rest)
    }

    pub fn row(&self, row: &Row) -> String {
        let [state, id, title, place] = cells(row);
        let style = match row.states.leading() {
            _ if !self.color => Style::new(),
            State::Failed | State::Blocked => AnsiColor::Red.on_default(),
            State::Drifted => AnsiColor::Yellow.on_default(),
            State::Pending => AnsiColor::Cyan.on_default(),
            State::Unmanaged | State::Suspended => AnsiColor::Magenta.on_default(),
            State::InSync | State::Protected => Style::new(),
        };
        self.line(&state, style, &[id, title, place, about(row)])
    }

    fn line(&self, state: &str, style: Style, rest: &[String]) -> String {
        let [first, widths @ ..] = self.widths;
        let mut line = format!("{style}{state}{style:#}{:1$}", "", first.saturating_sub(state.chars().count()));
        // The last has no width: nothing stands behind it.
        for (text, width) in rest.iter().zip(widths.into_iter().chain([0])) {
            line.push_str(&format!("  {text:<width$}"));
        }
        format!("{}\n", line.trim_end())
    }
}

fn cells(row: &Row) -> [String; 4] {
    let or_nothing = |text: String| if text.is_empty() { NOTHING.to_owned() } else { text };
    let states: Vec<&str> = row.states.iter().map(State::label).collect();
    let place = row.place.as_deref().map(printable).unwrap_or_default();
    [states.join(", "), printable(&row.id.to_string()), or_nothing(printable(&row.title)), or_nothing(place)]
}

fn about(row: &Row) -> String {
    let mut parts = Vec::new();
    match row.action {
        Some(action) if row.details.is_empty() => parts.push(action.name().to_owned()),
        Some(action) => parts.push(format!("{}: {}", action.name(), row.details.join(", "))),
        None => {}
    }
    parts.extend(row.reason.iter().chain(&row.hint).cloned());
    printable(&parts.join("; "))
}

/// How many rows were listed, by state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    all: u64,
    of: [u64; State::ALL.len()],
}

impl Counts {
    pub fn add(&mut self, row: &Row) {
        self.all += 1;
        for state in row.states.iter() {
            self.of.get_mut(state as usize).into_iter().for_each(|count| *count += 1);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all == 0
    }

    fn count(&self, state: State) -> u64 {
        self.of.get(state as usize).copied().unwrap_or_default()
    }

    /// `7 resources: 4 in sync, 1 pending, 1 blocked, 1 unmanaged; 1 drifted, 1 suspended.` Each resource is one of the
    /// first four.
    pub fn sentence(&self) -> String {
        let some = |states: &[State]| {
            let counted = states.iter().map(|state| (self.count(*state), state.label()));
            let counted = counted.filter(|(count, _)| *count > 0).map(|(count, label)| format!("{count} {label}"));
            counted.collect::<Vec<_>>().join(", ")
        };
        let all = if self.all == 1 { "1 resource".to_owned() } else { format!("{} resources", self.all) };
        let first = some(&[State::InSync, State::Pending, State::Blocked, State::Unmanaged]);
        let besides = some(&[State::Failed, State::Drifted, State::Suspended, State::Protected]);
        let besides = if besides.is_empty() { besides } else { format!("; {besides}") };
        format!("{all}: {first}{besides}.")
    }

    fn json(&self) -> Json {
        let of = State::ALL.into_iter().map(|state| (state.word().to_owned(), json!(self.count(state))));
        [("resources".to_owned(), json!(self.all))].into_iter().chain(of).collect::<Map<_, _>>().into()
    }

    /// The end of the document: see [`begin_json`].
    pub fn end_json(&self) -> String {
        format!("\n  ],\n  \"summary\": {}\n}}\n", self.json())
    }
}

impl Inventory {
    /// What is listed, for machines.
    pub fn heading(&self) -> Map<String, Json> {
        let Header { environment, catalog, driver, state, revision, actor: _, is_new } = &self.header;
        let heading = [
            ("format_version", json!(FORMAT_VERSION)),
            ("environment", json!(environment)),
            ("catalog", json!(catalog)),
            ("driver", json!(driver)),
            ("state", json!(state)),
            ("schema_missing", json!(is_new)),
            ("revision", json_revision(revision)),
            ("observed_at", json!(rfc3339(self.made_at))),
        ];
        heading.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

/// The beginning of a document that ends with [`Counts::end_json`]; the rows between them, with commas, are those of
/// [`Row::json`].
pub fn begin_json(heading: &Map<String, Json>) -> String {
    let fields = heading.iter().map(|(name, value)| format!("  {}: {value},\n", json!(name)));
    format!("{{\n{}  \"resources\": [", fields.collect::<String>())
}

/// The names of the fields of [`Row::record`].
pub fn csv_header() -> [&'static str; 13] {
    [
        "address", "kind", "name", "title", "state", "states", "declared", "since", "action", "details", "notes",
        "reason", "hint",
    ]
}

impl Row {
    /// For a table: one text for each column.
    pub fn record(&self) -> [String; 13] {
        let Self { id, title, place, states, action, since, details, notes, reason, hint } = self;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            id.to_string(),
            id.kind.name.to_owned(),
            id.name.clone(),
            title.clone(),
            states.leading().word().to_owned(),
            states.iter().map(State::word).collect::<Vec<_>>().join(" "),
            text(place),
            since.map(rfc3339).unwrap_or_default(),
            action.map(|action| action.name().to_owned()).unwrap_or_default(),
            details.join("; "),
            notes.join("; "),
            text(reason),
            text(hint),
        ]
    }
}

impl Page {
    /// As an answer over HTTP has it.
    pub fn json(&self, inventory: &Inventory) -> Json {
        let mut page = inventory.heading();
        page.insert("resources".to_owned(), self.rows.iter().map(Row::json).collect());
        page.insert("next".to_owned(), json!(self.next.as_ref().map(ResourceId::to_string)));
        page.into()
    }
}
