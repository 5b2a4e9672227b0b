//! Looking without touching: validate, explain, schema, completions, config.

use super::args::Format;
use super::print::{Terminal, out, out_json};
use super::{complete, only};
use crate::change::{ResourceId, printable};
use crate::config::{Config, Entry};
use crate::desired::git::Place;
use crate::desired::schema::json_schema;
use crate::failure::Result;
use crate::kinds::sections;
use crate::turn::World;

pub async fn validate(config: &Config, format: Format, terminal: Terminal) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    let wanted = match crate::turn::read(config).await {
        Err(failure) if format == Format::Json => {
            let Some(problems) = failure.problems() else { return Err(failure) };
            out_json(&serde_json::json!({ "valid": false, "problems": problems }))?;
            return Ok(1);
        }
        wanted => wanted?,
    };
    let warnings = wanted.warnings;
    if format == Format::Json {
        out_json(&serde_json::json!({ "valid": true, "problems": warnings }))?;
        return Ok(0);
    }
    terminal.warned(&warnings);
    out(&format!("{} is valid: {} @ {}.\n", config.state.display(), wanted.desired.counts(), wanted.revision.label()))?;
    Ok(0)
}

pub async fn explain(world: &World, id: &ResourceId, format: Format, terminal: Terminal) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    let explanation = world.explain(id).await?;
    match format {
        Format::Json => out_json(&explanation.json())?,
        _ => out(&explanation.text(terminal.width))?,
    }
    Ok(0)
}

pub fn schema() -> Result<u8> {
    out_json(&json_schema(sections()))?;
    Ok(0)
}

pub fn completions(shell: clap_complete::Shell) -> Result<u8> {
    out(&complete::script(shell)?)?;
    Ok(0)
}

pub fn config(config: &Config, format: Format) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    let mut report = config.report().to_vec();
    report.push(Entry {
        key: "repository".to_owned(),
        value: Place::told(&config.state).unwrap_or_else(|| "(none)".to_owned()),
        origin: "found from state".to_owned(),
        about: "The Git repository that holds the state directory",
    });
    if format == Format::Json {
        let entry = |entry: &Entry| {
            (
                entry.key.clone(),
                serde_json::json!({ "value": entry.value, "origin": entry.origin, "about": entry.about }),
            )
        };
        let entries: serde_json::Map<_, _> = report.iter().map(entry).collect();
        out_json(&serde_json::Value::Object(entries))?;
        return Ok(0);
    }
    out(&report.iter().map(line).collect::<String>())?;
    Ok(0)
}

/// `interval                    60s                     default`; the origin of a long value stands below it.
fn line(entry: &Entry) -> String {
    /// The longest key has 26 columns; most values are short.
    const COLUMNS: (usize, usize) = (26, 26);
    let (key, value) = (printable(&entry.key), printable(&entry.value));
    let lead = format!("{key:<0$}  {value:<1$}  ", COLUMNS.0, COLUMNS.1);
    let below = COLUMNS.0 + COLUMNS.1 + 4;
    let fits = lead.chars().count() <= below && below + entry.origin.chars().count() <= 80;
    match fits {
        true => format!("{lead}{}\n", entry.origin),
        false => format!("{}\n{:indent$}{}\n", lead.trim_end(), "", entry.origin, indent = COLUMNS.0 + 2),
    }
}
