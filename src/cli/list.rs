//! `reconcile list`: resources and their states, printed while they are read.

use std::collections::BTreeSet;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap_complete::engine::ArgValueCompleter;
use serde_json::{Map, Value as Json};

use super::args::Format;
use super::complete::addresses;
use super::only;
use super::print::{Terminal, harmless_json, inert, stream, working};
use super::remote::Daemon;
use crate::change::{Kind, ResourceId};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kinds::{ALL, Key, called, parse_id};
use crate::plan::states::State;
use crate::turn::World;
use crate::turn::inventory::Inventory;
use crate::turn::list::{Columns, Counts, Filter, Page, Row, begin_json, csv_header};

/// Resources that are read and printed at once.
const PAGE: usize = 5_000;

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this kind alone
    #[arg(value_name = "KIND", value_parser = kinds())]
    pub kind: Option<Kind>,
    /// In this state, or in any of several: `blocked,failed`
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = states())]
    pub only: Vec<State>,
    /// This resource alone; repeatable
    #[arg(long, value_name = "KIND/NAME", value_parser = parse_id, add = ArgValueCompleter::new(addresses), conflicts_with = "daemon")]
    pub target: Vec<ResourceId>,
    /// Ask this daemon, over HTTP, instead of files and database: http://127.0.0.1:7326
    #[arg(long, value_name = "URL")]
    pub daemon: Option<String>,
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    let values = ALL.map(|kind| PossibleValue::new(kind.plural).alias(kind.name));
    PossibleValuesParser::new(values).try_map(|name| called(&name))
}

fn states() -> impl TypedValueParser<Value = State> {
    let one = |state: State| match state {
        State::InSync => PossibleValue::new(state.word()).alias("in-sync"),
        state => PossibleValue::new(state.word()),
    };
    PossibleValuesParser::new(State::ALL.map(one)).try_map(|word| State::read(&word.replace('-', "_")))
}

impl ListArgs {
    fn filter(&self) -> Filter {
        Filter { kind: self.kind, states: self.only.iter().copied().collect(), text: String::new() }
    }
}

/// Lists what files and database have.
pub async fn list(world: &World, args: &ListArgs, format: Format, terminal: Terminal) -> Result<u8> {
    only(format, &[Format::Text, Format::Json, Format::Csv])?;
    let (inventory, warnings) = working("reading", &world.progress, world.inventory(usize::MAX)).await?;
    terminal.warned(&warnings);
    let (filter, mut printer) = (args.filter(), Printer::new(format, terminal.color));
    match args.target.is_empty() {
        true => all(world, &inventory, &filter, &mut printer).await?,
        false => some(world, &inventory, args, &mut printer).await?,
    }
    printer.end().await
}

async fn all(world: &World, inventory: &Inventory, filter: &Filter, printer: &mut Printer) -> Result<()> {
    let mut after = None;
    loop {
        let declared = inventory.declared(filter, after.as_ref(), PAGE + 1);
        let page = world.page(inventory, declared, filter, after.as_ref(), PAGE).await?;
        if !printer.page(&page.rows, || inventory.heading()).await? || page.next.is_none() {
            return Ok(());
        }
        after = page.next;
    }
}

/// Those that are named.
///
/// Errors: one of them is nowhere; then none is printed.
async fn some(world: &World, inventory: &Inventory, args: &ListArgs, printer: &mut Printer) -> Result<()> {
    let filter = args.filter();
    let mut named: Vec<&ResourceId> = args.target.iter().collect::<BTreeSet<_>>().into_iter().collect();
    named.sort_by_cached_key(|id| Key::of(id));
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for id in named {
        match world.row(inventory, id).await? {
            Some(row) => rows.push(row),
            None => missing.push(id),
        }
    }
    if let Some(first) = missing.first() {
        let unknown = missing.iter().map(|id| format!("{id} is in no state file, and not in the database"));
        return Err(Failure::error(format!("not found: {first}")).hints(unknown));
    }
    rows.retain(|row| filter.passes(row));
    printer.page(&rows, || inventory.heading()).await.map(drop)
}

/// Lists what a daemon knows.
pub async fn list_of_daemon(
    config: &Config,
    args: &ListArgs,
    url: &str,
    format: Format,
    terminal: Terminal,
) -> Result<u8> {
    only(format, &[Format::Text, Format::Json, Format::Csv])?;
    let daemon = Daemon::at(config, url)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", "500");
    if let Some(kind) = args.kind {
        query.append_pair("kind", kind.name);
    }
    if !args.only.is_empty() {
        query.append_pair("state", &args.only.iter().map(|state| state.word()).collect::<Vec<_>>().join(","));
    }
    let query = query.finish();
    let mut printer = Printer::new(format, terminal.color);
    let mut after = String::new();
    loop {
        let (heading, page) = asked(&daemon, &format!("api/v1/resources?{query}{after}")).await?;
        if !printer.page(&page.rows, || heading).await? {
            break;
        }
        let Some(next) = page.next else { break };
        let mut behind = url::form_urlencoded::Serializer::new(String::new());
        after = format!("&{}", behind.append_pair("after", &next.to_string()).finish());
    }
    printer.end().await
}

async fn asked(daemon: &Daemon, path: &str) -> Result<(Map<String, Json>, Page)> {
    let Json::Object(mut answer) = daemon.json(path).await? else { return Err(daemon.stranger()) };
    let (rows, next) = (answer.remove("resources"), answer.remove("next"));
    let rows = rows.as_ref().and_then(Json::as_array);
    let page = rows.and_then(|rows| Page::read(rows, next.as_ref().and_then(Json::as_str)));
    page.map(|page| (answer, page)).ok_or_else(|| daemon.stranger())
}

/// One list on its way to stdout.
struct Printer {
    format: Format,
    color: bool,
    counts: Counts,
    /// Of text, once the first page was seen.
    columns: Option<Columns>,
    has_begun: bool,
    has_reader: bool,
}

impl Printer {
    fn new(format: Format, color: bool) -> Self {
        let counts = Counts::default();
        Self { format, color, counts, columns: None, has_begun: false, has_reader: true }
    }

    /// Prints some rows. Gives whether somebody still reads.
    async fn page(&mut self, rows: &[Row], heading: impl FnOnce() -> Map<String, Json>) -> Result<bool> {
        let mut text = String::new();
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        match self.format {
            Format::Json => {
                if is_first {
                    text.push_str(&begin_json(&heading()));
                }
                for row in rows {
                    let comma = if self.counts.is_empty() { "" } else { "," };
                    text.push_str(&format!("{comma}\n    {}", row.json()));
                    self.counts.add(row);
                }
                text = harmless_json(text);
            }
            Format::Csv => {
                text = csv(is_first, rows)?;
                rows.iter().for_each(|row| self.counts.add(row));
            }
            Format::Text | Format::Markdown => {
                let columns = *self.columns.get_or_insert_with(|| Columns::of(rows, self.color));
                if is_first && !rows.is_empty() {
                    text.push_str(&columns.head());
                }
                for row in rows {
                    text.push_str(&columns.row(row));
                    self.counts.add(row);
                }
            }
        }
        self.has_reader = stream(text).await?;
        Ok(self.has_reader)
    }

    async fn end(&mut self) -> Result<u8> {
        let text = match self.format {
            _ if !self.has_reader => return Ok(0),
            Format::Json => self.counts.end_json(),
            Format::Csv => String::new(),
            _ if self.counts.is_empty() => "No resources.\n".to_owned(),
            Format::Text | Format::Markdown => format!("\n{}\n", self.counts.sentence()),
        };
        stream(text).await.map(|_| 0)
    }
}

fn csv(is_first: bool, rows: &[Row]) -> Result<String> {
    let failed = |error: &dyn std::error::Error| Failure::error(format!("the list cannot be written as CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    if is_first {
        writer.write_record(csv_header()).map_err(|error| failed(&error))?;
    }
    for row in rows {
        writer.write_record(row.record().iter().map(|field| inert(field))).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}
