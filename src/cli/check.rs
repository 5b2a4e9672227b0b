//! Looking without touching: validate, explain, schema, completions, config.

use clap::CommandFactory;

use super::args::{Cli, Format};
use super::only;
use super::print::{Terminal, err, out};
use crate::change::ResourceId;
use crate::config::Config;
use crate::desired::schema::json_schema;
use crate::failure::{Failure, Result};
use crate::kinds::sections;
use crate::turn::World;

pub async fn validate(config: &Config, format: Format, terminal: Terminal) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    let wanted = match crate::turn::read(config).await {
        Err(failure) if format == Format::Json => {
            let Some(problems) = failure.problems() else { return Err(failure) };
            out(&format!("{:#}\n", serde_json::json!({ "valid": false, "problems": problems })))?;
            return Ok(1);
        }
        wanted => wanted?,
    };
    let mut warnings = wanted.warnings;
    wanted.desired.doubts().into_iter().for_each(|doubt| warnings.push(doubt));
    warnings.sort();
    if format == Format::Json {
        out(&format!("{:#}\n", serde_json::json!({ "valid": true, "problems": warnings })))?;
        return Ok(0);
    }
    if !warnings.is_empty() {
        err(&warnings.render(terminal.color_err, terminal.width));
    }
    out(&format!("{} is valid: {} @ {}.\n", config.state.display(), wanted.desired.counts(), wanted.revision.label()))?;
    Ok(0)
}

pub async fn explain(world: &World, id: &ResourceId) -> Result<u8> {
    out(&world.explain(id).await?.text())?;
    Ok(0)
}

pub fn schema() -> Result<u8> {
    out(&format!("{:#}\n", json_schema(sections())))?;
    Ok(0)
}

pub fn completions(shell: clap_complete::Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "reconcile", &mut script);
    let script = String::from_utf8(script).map_err(|_| Failure::error("the completions are not text"))?;
    out(&script)?;
    Ok(0)
}

pub fn config(config: &Config, format: Format) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    let report = config.report();
    if format == Format::Json {
        let entry = |entry: &crate::config::Entry| {
            (
                entry.key.clone(),
                serde_json::json!({ "value": entry.value, "origin": entry.origin, "about": entry.about }),
            )
        };
        let entries: serde_json::Map<_, _> = report.iter().map(entry).collect();
        out(&format!("{:#}\n", serde_json::Value::Object(entries)))?;
        return Ok(0);
    }
    let key = report.iter().map(|entry| entry.key.len()).max().unwrap_or(0);
    let value = report.iter().map(|entry| entry.value.chars().count()).max().unwrap_or(0).min(32);
    let mut text = String::new();
    for entry in report {
        let shown = crate::change::printable(&entry.value);
        text.push_str(&format!("{:<key$}  {shown:<value$}  {}\n", entry.key, entry.origin));
    }
    out(&text)?;
    Ok(0)
}
