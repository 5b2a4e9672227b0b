//! Making things ready: doctor and migrate.

use super::args::MigrateArgs;
use super::print::{out, working};
use crate::change::printable;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::store::doctor;
use crate::store::migrate::{self, Migrated};
use crate::turn::World;

pub async fn doctor(world: &World) -> Result<u8> {
    let steps = working("examining", doctor::examine(&world.database)).await;
    let mut text =
        format!("environment {} · {}\n", world.guard.environment(), printable(world.database.admitted().server()));
    let mut mend = None;
    for step in &steps {
        let took = format!("{} ms", step.took.as_millis());
        match &step.outcome {
            Ok(about) => text.push_str(&format!("  ok    {:<10} {took:>8}  {}\n", step.name, printable(about))),
            Err(trouble) => {
                text.push_str(&format!("  FAIL  {:<10} {took:>8}  {}\n", step.name, printable(&trouble.what)));
                mend = Some(trouble.mend.clone());
            }
        }
    }
    out(&text)?;
    match mend {
        None => Ok(0),
        Some(mend) => Err(Failure::error("the database cannot be used as it is").hint(mend)),
    }
}

pub async fn migrate(config: Config, args: &MigrateArgs) -> Result<u8> {
    let world = match (args.adopt, args.restamp) {
        (true, _) => World::adopting(config)?,
        (_, true) => World::restamping(config)?,
        (false, false) => World::open(config)?,
    };
    let by = world.by_user(None).actor;
    if let Some(reason) = args.reason.as_deref().filter(|_| args.restamp) {
        working("stamping", world.restamp(reason)).await?;
        out(&format!("The database is stamped anew: {}.\n", world.guard.environment()))?;
        return Ok(0);
    }
    let migrated = working("migrating", migrate::migrate(&world.database, &by)).await?;
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
        tracing::warn!(
            "{} sessions have several active hosts ({}): they are blocked until `reconcile host consolidate`",
            duplicates.len(),
            sessions.join(", ")
        );
    }
}
