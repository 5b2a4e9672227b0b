//! Making things ready: doctor and migrate.

use super::args::{Format, MigrateArgs};
use super::only;
use super::print::{out, out_json, working};
use crate::change::{hanging, printable};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::store::doctor;
use crate::store::error::Cause;
use crate::store::migrate::Migrated;
use crate::turn::World;

pub async fn doctor(world: &World, format: Format) -> Result<u8> {
    only(format, &[Format::Text, Format::Json])?;
    let steps = working("examining", &world.progress, world.examine()).await;
    let (environment, server) = (world.guard.environment().to_string(), world.database.admitted().server());
    match format {
        Format::Json => {
            let steps: Vec<_> = steps.iter().map(json).collect();
            let report = serde_json::json!({ "environment": environment, "server": server, "steps": steps });
            out_json(&report)?;
        }
        _ => {
            let width = steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0).max(12);
            let steps: String = steps.iter().map(|step| line(step, width)).collect();
            out(&format!("environment {environment} · {}\n{steps}", printable(server)))?;
        }
    }
    let failed = steps.into_iter().find_map(|step| Some((step.name, step.outcome.err()?)));
    match failed {
        None => Ok(0),
        Some((name, trouble)) => {
            let outside =
                matches!(name.as_str(), "host key" | "hand-off" | "broker" | "results") || name.starts_with("server ");
            let trouble_with = if outside { format!("the {name}") } else { "the database".to_owned() };
            let mend = Some(trouble.mend).filter(|mend| !mend.is_empty());
            let message = format!("{trouble_with} cannot be used as it is");
            let failure = match trouble.cause {
                Cause::Guard => Failure::refused(message),
                _ => Failure::error(message),
            };
            Err(failure.hints(mend))
        }
    }
}

fn line(step: &doctor::Step, width: usize) -> String {
    let (sign, about) = match &step.outcome {
        Ok(about) => ("ok  ", about),
        Err(trouble) => ("FAIL", &trouble.what),
    };
    let took = format!("{} ms", step.took.as_millis());
    format!("{}\n", hanging(&format!("  {sign}  {:<width$} {took:>8}  ", step.name), &printable(about), 8))
}

fn json(step: &doctor::Step) -> serde_json::Value {
    let (about, trouble) = match &step.outcome {
        Ok(about) => (Some(about), None),
        Err(trouble) => (None, Some(trouble)),
    };
    serde_json::json!({
        "step": step.name, "ok": trouble.is_none(), "took_ms": u64::try_from(step.took.as_millis()).ok(),
        "about": about, "trouble": trouble.map(|trouble| &trouble.what), "mend": trouble.map(|trouble| &trouble.mend),
    })
}

pub async fn migrate(config: Config, args: &MigrateArgs) -> Result<u8> {
    let world = match (args.adopt, args.restamp) {
        (true, _) => World::adopting(config)?,
        (_, true) => World::restamping(config)?,
        (false, false) => World::open(config)?,
    };
    if let Some(reason) = args.reason.as_deref().filter(|_| args.restamp) {
        working("stamping", &world.progress, world.restamp(reason)).await?;
        out(&format!("The database is stamped anew: {}.\n", world.guard.environment()))?;
        return Ok(0);
    }
    let migrated = working("migrating", &world.progress, world.migrate()).await?;
    if migrated == Migrated::default() {
        out("The schema is up to date.\n")?;
    }
    told(&migrated);
    Ok(0)
}

/// Says what was made.
pub fn told(migrated: &Migrated) {
    let Migrated { ran, stamped, adopted, duplicates } = migrated;
    if !ran.is_empty() {
        tracing::info!("schema: ran {}", ran.join(", "));
    }
    if !adopted.is_empty() {
        tracing::info!("schema: tables that stood here were adopted; added {}", adopted.join(", "));
    }
    if let Some(environment) = stamped {
        tracing::info!("the database is stamped `{environment}`");
    }
    if !duplicates.is_empty() {
        let sessions: Vec<String> = duplicates.iter().take(10).map(ToString::to_string).collect();
        let more = match duplicates.len() - sessions.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        tracing::warn!(
            "sessions with several active hosts: {}{more}; they are blocked until `reconcile host consolidate`",
            sessions.join(", ")
        );
    }
}
