//! Making things ready: doctor and migrate.

use std::io::IsTerminal;

use super::args::{Format, MigrateArgs};
use super::handoff::ask;
use super::only;
use super::print::{Terminal, out, out_json, working};
use crate::change::{Width, hanging, printable};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::store::doctor::{self, Trouble};
use crate::store::error::Cause;
use crate::store::migrate::Migrated;
use crate::turn::World;
use crate::turn::restamp::{BEYOND, Restamping};

pub async fn doctor(world: &World, format: Format, terminal: Terminal) -> Result<u8> {
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
            let columns = steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0).max(12);
            let steps: String = steps.iter().map(|step| line(step, columns, terminal.width)).collect();
            let header = format!("environment {environment} · {}", printable(server));
            out(&format!("{}\n{steps}", hanging("", &header, 2, terminal.width)))?;
        }
    }
    let mut failed: Vec<_> = steps.into_iter().filter_map(|step| Some((step.name, step.outcome.err()?))).collect();
    // An error before a refusal, as everywhere.
    failed.sort_by_key(|(_, trouble)| trouble.cause == Cause::Guard);
    let Some((name, Trouble { mend, refusal, cause, what: _ })) = failed.into_iter().next() else { return Ok(0) };
    if let Some(refusal) = refusal {
        return Err(refusal.into());
    }
    let outside =
        matches!(name.as_str(), "host key" | "hand-off" | "broker" | "results") || name.starts_with("server ");
    let trouble_with = if outside { format!("the {name}") } else { "the database".to_owned() };
    let mend = Some(mend).filter(|mend| !mend.is_empty());
    let message = format!("{trouble_with} cannot be used as it is");
    let failure = if cause == Cause::Guard { Failure::refused(message) } else { Failure::error(message) };
    Err(failure.hints(mend))
}

fn line(step: &doctor::Step, columns: usize, width: Width) -> String {
    let (sign, about) = match &step.outcome {
        Ok(about) => ("ok  ", about),
        Err(trouble) => ("FAIL", &trouble.what),
    };
    let took = format!("{} ms", step.took.as_millis());
    format!("{}\n", hanging(&format!("  {sign}  {:<columns$} {took:>8}  ", step.name), &printable(about), 8, width))
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

pub async fn migrate(config: Config, args: &MigrateArgs, terminal: Terminal) -> Result<u8> {
    let world = match (args.adopt, args.restamp) {
        (true, _) => World::adopting(config).await?,
        (_, true) => World::restamping(config).await?,
        (false, false) => World::open(config).await?,
    };
    if let Some(reason) = args.reason.as_deref().filter(|_| args.restamp) {
        let restamping = working("looking", &world.progress, world.before_restamp()).await?;
        confirm(&restamping, args.yes, terminal)?;
        let unasked = working("stamping", &world.progress, world.restamp(&restamping, reason)).await?;
        out(&format!("The database is stamped anew: {}.\n", world.guard.environment()))?;
        if !unasked.is_empty() {
            let why =
                format!("Its fencing number rose by {BEYOND}, as these could not be asked: {}.", unasked.join(", "));
            out(&format!("{}\n", hanging("", &printable(&why), 0, terminal.width)))?;
        }
        return Ok(0);
    }
    let migrated = working("migrating", &world.progress, world.migrate()).await?;
    if migrated == Migrated::default() {
        out("The schema is up to date.\n")?;
    }
    told(&migrated);
    Ok(0)
}

/// What the former database still uses would be taken from it, if it lives on beside a restored copy.
fn confirm(restamping: &Restamping, yes: bool, terminal: Terminal) -> Result<()> {
    let servers = restamping.servers().join(", ");
    if servers.is_empty() || yes {
        return Ok(());
    }
    if std::io::stdin().is_terminal() {
        let question = format!(
            "Redis at {servers} bears the former identity of this database. If the database that this one was restored \
             from lives on, it could use that no more. Let it bear the new one? Type yes: "
        );
        if ask(&question, terminal)? == "yes" {
            return Ok(());
        }
    }
    Err(Failure::conflict(format!("Redis at {servers} bears the former identity of this database; nothing was done"))
        .hint("if the database that this one was restored from is gone for good: --yes")
        .hint("if it lives on: give this one a redis.prefix of its own first"))
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
