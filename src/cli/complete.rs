//! Completions: what a shell offers while somebody types, also of what the state files declare.
//!
//! The shell asks the program itself, at each press of the key, through a variable; so nothing may be printed here but what it
//! understands, and what cannot be read is no error, but nothing to offer.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::Shell;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};

use super::args::{Cli, Global};
use crate::change::{Kind, printable};
use crate::config::{Config, Secrets};
use crate::failure::{Failure, Result};
use crate::guard::Policy;
use crate::kinds::{self, Desired};
use crate::resource::Resource;
use crate::resource::instance::Instance;
use crate::resource::session::Session;
use crate::turn;

/// By which the shell asks.
const VARIABLE: &str = "_RECONCILE_COMPLETE";
/// More than these nobody reads.
const MOST: usize = 500;
/// How long the files may take to be read: somebody waits with a finger on the key.
const LIMIT: Duration = Duration::from_secs(2);

/// Answers a shell that asks, and gives whether one did.
pub fn answered() -> bool {
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(Cli::command).var(VARIABLE);
    // A question that cannot be understood is answered with nothing.
    asked.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

/// The script that makes a shell ask.
///
/// Errors: there is none for it.
pub fn script(shell: Shell) -> Result<String> {
    let name = shell.to_string();
    let failed = || Failure::error(format!("there are no completions for {name}"));
    let mut script = Vec::new();
    let completer = Shells::builtins();
    let completer = completer.completer(&name).ok_or_else(failed)?;
    completer.write_registration(VARIABLE, "reconcile", "reconcile", "reconcile", &mut script).map_err(|_| failed())?;
    String::from_utf8(script).map_err(|_| failed())
}

/// Addresses: kinds as long as there is no slash, then the resources of that kind that files declare.
pub fn addresses(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let Some((kind, name)) = typed.split_once('/') else {
        let begun = |kind: &Kind| kind.name.starts_with(&*typed);
        return kinds::ALL
            .iter()
            .filter(|kind| begun(kind))
            .map(|kind| candidate(format!("{}/", kind.name), kind.plural))
            .collect();
    };
    let Some(known) = kinds::ALL.into_iter().find(|known| known.name == kind || known.plural == kind) else {
        return Vec::new();
    };
    names(known, name).into_iter().map(|one| one.add_prefix(format!("{kind}/"))).collect()
}

/// The numbers of declared sessions.
pub fn sessions(typed: &OsStr) -> Vec<CompletionCandidate> {
    names(Session::KIND, &typed.to_string_lossy())
}

/// The ids of declared instances.
pub fn instances(typed: &OsStr) -> Vec<CompletionCandidate> {
    names(Instance::KIND, &typed.to_string_lossy())
}

/// The environments that the settings know.
pub fn environments(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(config) = config() else { return Vec::new() };
    let mut policy = Policy::built_in();
    for (environment, catalogs) in &config.environments {
        if policy.with(environment, catalogs).is_err() {
            return Vec::new();
        }
    }
    let typed = typed.to_string_lossy();
    let known = policy.environments().filter(|known| known.as_str().starts_with(&*typed));
    known.map(|known| candidate(known.as_str(), "")).collect()
}

fn names(kind: Kind, typed: &str) -> Vec<CompletionCandidate> {
    let Some(desired) = desired() else { return Vec::new() };
    let numbers = desired.numbers(kind);
    let declared = desired.listed(numbers.start).take(numbers.len());
    let begun = declared.filter(|one| one.id.name.starts_with(typed));
    begun.take(MOST).map(|one| candidate(one.id.name, &one.title)).collect()
}

fn candidate(value: impl Into<OsString>, help: &str) -> CompletionCandidate {
    let help = (!help.is_empty()).then(|| printable(help).into());
    CompletionCandidate::new(value).help(help)
}

/// The settings, as far as what is typed already says which.
fn config() -> Option<Config> {
    // Behind the first `--` stands what is typed.
    let typed = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(typed).ok()?;
    // What is being typed need not be valid yet: only the options of every command count.
    let mut global = Global::from_arg_matches(&matches).ok()?;
    // Which environment it is decides nothing here, and it may be what is being typed.
    global.environment = None;
    super::gather(&global, Secrets::LeftAlone).ok()
}

fn desired() -> Option<Desired> {
    let config = config()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let read = async { tokio::time::timeout(LIMIT, turn::read(&config)).await.ok()?.ok() };
    let desired = runtime.block_on(read).map(|read| read.desired);
    runtime.shutdown_background();
    desired
}
