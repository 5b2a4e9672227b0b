//! `reconcile handoff …`: whose the Redis of hand-off and broker is.

use std::io::{BufRead, IsTerminal, Read};

use clap::Subcommand;

use super::interrupt::asking;
use super::print::{Terminal, out, working};
use super::values::reason;
use crate::failure::{Failure, Result};
use crate::turn::World;

#[derive(Debug, Subcommand)]
pub enum HandoffVerb {
    /// Take over a Redis that another database has left
    Rebind {
        /// Why, for the journal
        #[arg(long, value_name = "R", value_parser = reason)]
        reason: String,
        /// The other database's identity, typed again, where secrets of it still wait [default: asked for]
        #[arg(long, value_name = "UUID")]
        identity: Option<String>,
    },
}

pub async fn handoff(world: &World, verb: &HandoffVerb, terminal: Terminal) -> Result<u8> {
    let HandoffVerb::Rebind { reason, identity } = verb;
    let foreign = working("looking", &world.progress, world.foreign_stores()).await?;
    if foreign.is_empty() {
        out("Nothing to take over: it is this database's, or nobody's yet.\n")?;
    }
    for store in &foreign {
        let typed = match (store.asks(), identity) {
            (Some(_), Some(identity)) => Some(identity.clone()),
            (Some(other), None) if std::io::stdin().is_terminal() => {
                let (server, fate) = (store.server(), store.fate());
                let question = format!("{server} bears {other}; {fate}. Type its identity to take it over: ");
                Some(ask(&question, terminal)?)
            }
            (Some(_), None) | (None, _) => None,
        };
        working("taking over", &world.progress, world.take_over(store, reason, typed.as_deref())).await?;
        out(&format!("Redis at {} is this database's now.\n", store.server()))?;
    }
    Ok(0)
}

/// One line that somebody types.
pub fn ask(question: &str, terminal: Terminal) -> Result<String> {
    /// Any answer is shorter.
    const MOST: u64 = 1024;
    terminal.note(question);
    let mut line = String::new();
    let read = asking(|| std::io::stdin().lock().take(MOST).read_line(&mut line));
    read.map_err(|error| Failure::error(format!("stdin cannot be read: {error}")))?;
    Ok(line.trim().to_owned())
}
