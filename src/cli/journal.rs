//! What was done and what is held: status, history, approve, suspend, resume.

use serde_json::Value as Json;

use super::args::{Format, SuspendArgs};
use super::only;
use super::print::{Terminal, inert, out, out_json};
use crate::change::{EVERYTHING, NO_COMMIT, Origin, ResourceId, Width, hanging, moment, printable, quoted, rfc3339};
use crate::failure::{Failure, Result};
use crate::store::journal::Line;
use crate::turn::{World, history};

pub async fn approve(world: &World, digest: &str, reason: &str) -> Result<u8> {
    world.approve(digest, reason, None).await?;
    out(&format!("Approved for a day: the next run that plans just these changes applies them ({digest}).\n"))?;
    Ok(0)
}

pub async fn suspend(world: &World, args: &SuspendArgs, terminal: Terminal) -> Result<u8> {
    world.suspend(args.id.as_ref(), &args.reason, None).await?;
    let again = args.id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let what = what(args.id.as_ref());
    out(&format!("Suspended: {what}. `reconcile resume{again} --reason R` starts it again.\n"))?;
    // A slip of the pen would leave running what is to stand still. Files that cannot be read are no reason not to.
    if let Some(id) = &args.id
        && let Ok(wanted) = world.read().await
        && wanted.desired.place(id).is_none()
    {
        let state = world.config.state.display();
        terminal.note(&format!("No file in {state} declares {id}: make sure that it is the one you mean.\n"));
    }
    Ok(0)
}

pub async fn resume(world: &World, args: &SuspendArgs) -> Result<u8> {
    match world.resume(args.id.as_ref(), &args.reason, None).await? {
        true => out(&format!("Resumed: {}.\n", what(args.id.as_ref())))?,
        false => out(&format!("Nothing to resume: {} was not suspended.\n", what(args.id.as_ref())))?,
    }
    Ok(0)
}

fn what(id: Option<&ResourceId>) -> String {
    id.map_or_else(|| EVERYTHING.name.to_owned(), ToString::to_string)
}

pub async fn status(world: &World, format: Format, terminal: Terminal) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    world.must_exist().await?;
    let status = world.status().await?;
    match format {
        Format::Json => out_json(&status.json())?,
        _ => out(&status.text(terminal.width))?,
    }
    Ok(0)
}

pub async fn history(
    world: &World,
    id: Option<ResourceId>,
    most: i64,
    format: Format,
    terminal: Terminal,
) -> Result<u8> {
    only(format, &[Format::Text, Format::Json, Format::Csv])?;
    world.must_exist().await?;
    let lines = world.history(id.clone(), most).await?;
    match (format, id) {
        (Format::Json, _) => out_json(&history::json(&lines))?,
        (Format::Csv, _) => out(&csv(&lines)?)?,
        (_, Some(id)) if lines.is_empty() => out(&format!("The journal has nothing of {id}.\n"))?,
        _ => out(&text(&lines, terminal.width))?,
    }
    Ok(0)
}

fn text(lines: &[Line], width: Width) -> String {
    if lines.is_empty() {
        return "The journal is empty.\n".to_owned();
    }
    let address = |line: &Line| match line.kind == EVERYTHING.name {
        true => EVERYTHING.name.to_owned(),
        false => format!("{}/{}", printable(&line.kind), printable(&line.name)),
    };
    let longest = |of: &dyn Fn(&Line) -> usize, most: usize| lines.iter().map(of).max().unwrap_or(0).min(most);
    let action = longest(&|line| line.action.chars().count(), 12);
    let name = longest(&|line| address(line).chars().count(), 24);
    let line = |line: &Line| {
        let lead = format!("{}  {:<action$}  {:<name$}  ", moment(line.at), printable(&line.action), address(line));
        let mut about = changed(line);
        about.push_str(&format!("by {}", printable(&line.actor)));
        // What the files changed is the rule.
        if let Some(origin) = line.origin.as_ref().filter(|origin| *origin != Origin::Intended.name()) {
            about.push_str(&format!(" ({})", printable(origin)));
        }
        if line.revision != NO_COMMIT {
            about.push_str(&format!(" @ {}", printable(&line.revision)));
        }
        if let Some(reason) = &line.reason {
            about.push_str(&format!(": {}", printable(reason)));
        }
        format!("{}\n", hanging(&lead, &about, 22, width))
    };
    lines.iter().map(line).collect()
}

/// What is another now, as a plan writes it: `title "Al Baqara" -> "Al-Baqara", `. Nothing of what is new.
fn changed(line: &Line) -> String {
    let Some(Json::Object(before)) = &line.before else { return String::new() };
    let value = |side: Option<&Json>| match side {
        None | Some(Json::Null) => "none".to_owned(),
        Some(Json::String(text)) if text.contains(char::is_whitespace) => quoted(text),
        Some(Json::String(text)) => printable(text),
        Some(other) => printable(&other.to_string()),
    };
    let after = |field: &str| line.after.as_ref().and_then(|after| after.get(field));
    let one = |(field, before): (&String, &Json)| {
        format!("{} {} -> {}, ", printable(field), value(Some(before)), value(after(field)))
    };
    before.iter().filter(|(field, before)| after(field) != Some(*before)).map(one).collect()
}

fn csv(lines: &[Line]) -> Result<String> {
    let failed =
        |error: &dyn std::error::Error| Failure::error(format!("the journal cannot be written as CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = [
        "journal_id",
        "at",
        "environment",
        "run",
        "actor",
        "revision",
        "kind",
        "name",
        "action",
        "before",
        "after",
        "reason",
        "origin",
    ];
    writer.write_record(header).map_err(|error| failed(&error))?;
    for line in lines {
        let picture = |side: &Option<serde_json::Value>| side.as_ref().map(ToString::to_string).unwrap_or_default();
        let record = [
            line.journal_id.to_string(),
            rfc3339(line.at),
            line.environment.clone(),
            line.run.to_string(),
            line.actor.clone(),
            line.revision.clone(),
            line.kind.clone(),
            line.name.clone(),
            line.action.clone(),
            picture(&line.before),
            picture(&line.after),
            line.reason.clone().unwrap_or_default(),
            line.origin.clone().unwrap_or_default(),
        ];
        writer.write_record(record.iter().map(|field| inert(field))).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}
