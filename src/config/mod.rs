//! Settings: what is in force, and where each value came from.
//!
//! `reconcile.toml` gives way to environment variables, and those to flags. One table, in `settings`, is what the
//! reader, `reconcile config` and the manual are made from. A secret comes from the environment or from a file of its
//! own, never from `reconcile.toml`, which people commit.

mod draft;
mod file;
mod given;
mod listen;
mod notify;
mod pools;
mod report;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod url;
mod variables;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::change::{Source, quoted};
use crate::file::Fault;
use crate::guard::{Fact, Refusal};
use crate::port::keys::KeySource;
use crate::port::task::Style;
use crate::secret::Secret;
use crate::webhook::Keys;

use draft::{Draft, read_secret};
use file::File;
use given::{Given, Origin};
pub use listen::{Certificate, Listen, Network};
pub use notify::{Language, Receiver};
pub use settings::{Fallback, Secrecy, Setting, TABLE, markdown};
pub use variables::check as check_variables;

/// The environment that is meant where none is named: nothing in it is anybody's work.
const DEVELOPMENT: &str = "development";
/// What stands where a secret would.
const HIDDEN: &str = "********";
/// The most bytes of a file that holds one URL.
const LARGEST_URL_FILE: u64 = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What is in force. Paths are absolute, or relative to the working directory that [`load`] was given.
pub struct Config {
    pub environment: String,
    /// The environment was named by someone, and is not the default.
    pub environment_spelled_out: bool,
    pub state: PathBuf,
    pub data_dir: PathBuf,
    /// `None` for [`Config::embedded_database`].
    pub database_url: Option<Secret>,
    /// The schema on PostgreSQL.
    pub schema: String,
    pub source: Source,
    /// Under which name the applied commits are recorded: 1 to 64 letters, digits, `.`, `_`, `-`.
    pub lineage: String,
    /// A commit of which it cannot be told whether it contains the one that was last applied is held.
    pub lineage_strict: bool,
    /// Between two turns that nothing else has asked for. 1 s to 1 day.
    pub interval: Duration,
    /// How long files must be quiet before a turn, and how long to wait for that at most. Up to 1 min.
    pub debounce: Duration,
    pub debounce_max: Duration,
    /// 100 ms to 5 min.
    pub connect_timeout: Duration,
    /// 100 ms to 1 h.
    pub statement_timeout: Duration,
    /// After this long without a sign of life the leader is replaced. 1 s to 10 min.
    pub lease: Duration,
    /// The share of a kind's managed resources that one turn may update or rotate, 0 to 100, and from how many
    /// managed resources up that counts.
    pub budget_percent: u32,
    pub budget_from: u32,
    /// Scheduled rotations in one turn, from 1.
    pub schedule_limit: u32,
    /// How long a new secret waits for its reader. 1 s to 30 days.
    pub claim_life: Duration,
    pub host_keys: KeySource,
    /// The most bytes of one state file.
    pub file_limit: u64,
    /// `None` keeps the journal for ever; otherwise from 1 day.
    pub journal_retention: Option<Duration>,
    /// Servers beyond loopback may be spoken to without verified TLS.
    pub allow_insecure: bool,
    /// Further environments and the catalogs that each may touch, as the configuration file lists them.
    pub environments: Vec<(String, Vec<String>)>,
    /// `None`: secrets wait in the data directory.
    pub redis_url: Option<Secret>,
    pub redis_prefix: String,
    /// 100 ms to 5 min.
    pub redis_timeout: Duration,
    /// The same as `redis_url` where nothing else is said; `None`: no task can be dispatched.
    pub broker_url: Option<Secret>,
    /// `None`: nobody says what became of tasks.
    pub result_url: Option<Secret>,
    pub celery: Style,
    /// How long an instance's credentials wait for their reader. 1 s to 30 days.
    pub credentials_life: Duration,
    /// The only catalog that an admin URL may name.
    pub pool_catalog: String,
    /// Admin URLs of servers, by the names that state files know them by.
    pools: Vec<pools::Pool>,
    /// What billing signs its events with; `None`: it shows a token.
    pub billing_keys: Option<Keys>,
    /// What is shown to a daemon elsewhere.
    pub client_token: Option<Secret>,
    /// Who is told of what happens.
    pub receivers: Vec<Receiver>,
    /// Where HTTP is spoken; `None`: nowhere.
    pub http_listen: Option<Listen>,
    /// It may be spoken beyond loopback without TLS.
    pub http_insecure: bool,
    /// Who adds TLS, and says in `X-Forwarded-For` for whom.
    pub http_proxies: Vec<Network>,
    /// Where probes and metrics alone are answered; `None`: nowhere.
    pub http_probes: Option<Listen>,
    /// `None`: HTTP without TLS.
    pub http_certificate: Option<Certificate>,
    pub log_format: LogFormat,
    pub log_level: tracing::Level,
    /// The configuration file that was read, and whether it was named or found by default.
    pub file: Option<PathBuf>,
    pub file_named: bool,
    /// What is allowed but unwise, for the operator to be told.
    pub warnings: Vec<String>,
    shown: Vec<Entry>,
}

/// One line of `reconcile config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// As it would be written; a secret is `********`.
    pub value: String,
    /// `default`, `reconcile.toml:3`, `RECONCILE_STATE` or `--state`.
    pub origin: String,
    pub about: &'static str,
}

/// What the flags gave.
#[derive(Default)]
pub struct Overrides(Vec<(&'static str, Secret, &'static str)>);

impl Overrides {
    /// Notes that `flag`, such as `--state`, gave the setting `key` this value. The last one counts.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>, flag: &'static str) {
        self.0.push((key, Secret::new(value.into()), flag));
    }

    fn find(&self, key: &str) -> Option<(&Secret, &'static str)> {
        self.0.iter().rev().find(|(known, ..)| *known == key).map(|(_, value, flag)| (value, *flag))
    }
}

/// One thing that is wrong with the settings.
#[derive(Debug)]
pub struct Problem {
    /// `reconcile.toml:3:12`, `RECONCILE_STATE` or `--state`.
    pub at: String,
    /// What is wrong, and what is allowed.
    pub what: String,
    order: (u8, usize, usize),
    /// Where the guard says no.
    refusal: Option<Refusal>,
}

impl Problem {
    fn new(origin: &Origin, what: impl Into<String>) -> Self {
        Self { at: origin.place(), what: what.into(), order: origin.order(), refusal: None }
    }

    /// The configuration file at `path`, shown as it was named, is not one to obey.
    fn unreadable(named: &Path, path: &Path, fault: &Fault) -> Self {
        let what = format!("the configuration file cannot be read: {}", fault.told());
        let refusal = match fault {
            Fault::Owner { .. } | Fault::Writable { .. } => {
                let why = format!("the configuration file {} is not obeyed: {fault}", named.display());
                Some(Refusal::new(Fact::Settings, why, fault.hint(path)))
            }
            _ => None,
        };
        Self { at: named.display().to_string(), what, order: (0, 0, 0), refusal }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.at, self.what)
    }
}

/// Everything that is wrong with the settings, at once. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    /// What the guard says, where it is the guard that says no.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.0.iter().find_map(|problem| problem.refusal.as_ref())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                out.write_str("\n")?;
            }
            problem.fmt(out)?;
        }
        Ok(())
    }
}

/// What becomes of the files that hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    Read,
    /// For what works on the state files alone: secrets are where the daemon is, and not where the state files are checked.
    LeftAlone,
}

/// Gathers the settings.
///
/// `named` is the file that `--config` names, which must be there; without it, `reconcile.toml` in `cwd` is read if it
/// is there. Relative paths in the file are relative to the file's directory, others to `cwd`.
///
/// Errors: all unknown keys and wrong values of all sources at once.
pub fn load(
    named: Option<&Path>,
    overrides: &Overrides,
    env: impl Fn(&str) -> Option<String>,
    cwd: &Path,
    secrets: Secrets,
) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    for (key, _, flag) in &overrides.0 {
        if settings::find(key).is_none() {
            problems.push(Problem::new(&Origin::Flag(flag), format!("there is no setting {key}")));
        }
    }
    let mut file = File::read(named, cwd, &mut problems);
    let mut given: Vec<Given> = TABLE
        .iter()
        .map(|setting| {
            if let Some((value, flag)) = overrides.find(setting.key) {
                return Given::text(value.clone(), Origin::Flag(flag));
            }
            if let Some(value) = env(setting.variable) {
                return Given::text(Secret::new(value), Origin::Variable(setting.variable));
            }
            file.given.remove(setting.key).unwrap_or_else(|| Given::fallback(setting))
        })
        .collect();
    settle_rivals(&mut given, &mut problems);

    let environments: Vec<Entry> = file.environments.iter().map(file::Environment::shown).collect();
    let pools: Vec<Entry> = file.pools.iter().map(|pool| pool.shown(&env)).collect();
    let told: Vec<Entry> = file.receivers.iter().flat_map(|section| section.shown(&env)).collect();
    let receivers = std::mem::take(&mut file.receivers);
    let mut draft = Draft::new(file);
    for (setting, given) in TABLE.iter().zip(&given) {
        let taken = if given.is_rule() { Ok(()) } else { (setting.take)(&mut draft, given) };
        if let Err(what) = taken {
            problems.push(Problem::new(&given.origin, format!("{} {what}", setting.key)));
        }
        draft.config.shown.push(given.shown(setting));
    }
    draft.config.shown.extend(environments);
    draft.config.shown.extend(pools);
    draft.config.shown.extend(told);
    let mut config = draft.finish(&given, cwd, secrets, &mut problems);
    let unverified = config.allow_insecure;
    if secrets == Secrets::Read {
        let read = receivers.into_iter().filter_map(|section| section.read(&env, cwd, unverified, &mut problems));
        config.receivers = read.collect();
    }
    problems.sort_by_key(|problem| problem.order);
    if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
}

/// Two ways to give one thing: the one from the stronger source counts, and two from one source are a mistake.
fn settle_rivals(given: &mut [Given], problems: &mut Vec<Problem>) {
    for (one, other) in settings::RIVALS {
        let place = |key| TABLE.iter().position(|setting| setting.key == key);
        let (Some(first), Some(second)) = (place(one), place(other)) else { continue };
        let weaker = match given[first].origin.rank().cmp(&given[second].origin.rank()) {
            std::cmp::Ordering::Less => first,
            std::cmp::Ordering::Greater => second,
            std::cmp::Ordering::Equal => {
                if !given[first].is_rule() {
                    let what = format!("{one} and {other} are both given; keep one of them");
                    problems.push(Problem::new(&given[second].origin, what));
                }
                continue;
            }
        };
        given[weaker] = Given::fallback(TABLE[weaker]);
    }
}

impl Config {
    /// The SQLite file that stands in where no database is configured.
    pub fn embedded_database(&self) -> PathBuf {
        self.data_dir.join("KSESSIONS_DEV.db")
    }

    /// What is in force and where it came from, in the table's order, then the further environments.
    pub fn report(&self) -> &[Entry] {
        &self.shown
    }
}

/// A wrong value as a message shows it: short, and printable.
fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let cut: String = text.chars().take(MOST).collect();
    quoted(&format!("{cut}{}", if cut.len() < text.len() { "…" } else { "" }))
}
