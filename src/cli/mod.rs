//! The command line: flags and verbs, one file per verb. It prints, and decides nothing.

mod args;
mod check;
mod complete;
mod crash;
mod handoff;
mod host;
mod instance;
mod interrupt;
mod journal;
mod list;
mod print;
mod remote;
mod run;
mod setup;
mod token;
mod values;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::change::span;
use crate::config::{self, Config, LogFormat, Overrides, Secrets};
use crate::credential;
use crate::failure::{Failure, Result};
use crate::log;
use crate::store::held;
use crate::turn::World;
use args::{Cli, Format, Global, Mode, Verb};
use print::{Terminal, err};

/// How long the end of the program waits for its last log lines.
const FLUSH: Duration = Duration::from_secs(1);

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let code = run();
    log::flush(FLUSH);
    code
}

fn run() -> ExitCode {
    // The driver would read PostgreSQL's variables by itself; here they are without effect.
    if let Err(error) = crate::guard::shed() {
        err(&format!("error: {error}\n"));
        return ExitCode::from(1);
    }
    if complete::answered() {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = crash::leave_nothing() {
        err(&format!("warning: core dumps could not be turned off, and would hold secrets: {error}\n"));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // The parser's own code for a mistake is 2, which means "changes pending" here.
        Err(mut asked) => {
            mask(&mut asked);
            drop(asked.print());
            return ExitCode::from(u8::from(asked.use_stderr()));
        }
    };
    let mut terminal = Terminal::of(&cli.global);
    let config = match settings(&cli) {
        Ok(config) => config,
        Err(failure) => {
            terminal.failed(&failure);
            return ExitCode::from(failure.exit_code());
        }
    };
    terminal.log = config.log_format;
    log_to_stderr(&config, terminal);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            err(&format!("error: the runtime could not be started: {error}\n"));
            return ExitCode::from(1);
        }
    };
    let ended = runtime.block_on(async {
        let ended = within(&cli, config, terminal).await;
        held::all_closed().await;
        ended
    });
    // Whatever still runs in the background must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            terminal.failed(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Hides what was typed and holds a credential: the parser repeats what it does not take. What stands beside one may be its
/// other half, so nothing of it is left.
fn mask(refused: &mut clap::Error) {
    let typed: Vec<ContextKind> = refused
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) if credential::first(text).is_some() => Some(kind),
            _ => None,
        })
        .collect();
    for kind in typed {
        refused.insert(kind, ContextValue::String(credential::MASK.to_owned()));
    }
}

async fn within(cli: &Cli, config: Config, terminal: Terminal) -> Result<u8> {
    interrupt::mind(cli.work())?;
    // Whoever takes the lease minds the limit itself, to give the lease back.
    let limit = cli.global.timeout.filter(|_| !cli.mode.takes_lease());
    limited(limit, act(cli, config, terminal)).await
}

/// Gives up what takes longer.
async fn limited<T>(limit: Option<Duration>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(limit) = limit else { return work.await };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = span(limit);
        Err(Failure::error(format!("it took longer than --timeout {limit}"))
            .hint("`reconcile doctor` shows what waits"))
    })
}

async fn act(cli: &Cli, config: Config, terminal: Terminal) -> Result<u8> {
    let global = &cli.global;
    match &cli.verb {
        None => run::run(World::open(config).await?, &cli.mode, global, terminal).await,
        // A target that was passed over would make `suspend` stop everything.
        Some(_) if cli.mode != Mode::default() => {
            Err(Failure::error("--plan, --once, --apply and what goes with them stand alone, without a command")
                .hint("one resource is named behind the command: `reconcile suspend KIND/NAME --reason R`"))
        }
        Some(verb) => {
            if !verb.has_formats() {
                only(global.format, &[Format::Text])?;
            }
            command(verb, config, global.format, terminal).await
        }
    }
}

async fn command(verb: &Verb, config: Config, format: Format, terminal: Terminal) -> Result<u8> {
    match verb {
        Verb::Validate => check::validate(&config, format, terminal).await,
        Verb::Explain { id } => check::explain(&World::open(config).await?, id, format, terminal).await,
        Verb::List(args) => match &args.daemon {
            None => list::list(&World::open(config).await?, args, format, terminal).await,
            Some(url) => list::list_of_daemon(&config, args, url, format, terminal).await,
        },
        Verb::Host(verb) => host::host(&World::open(config).await?, verb, terminal).await,
        Verb::Instance(verb) => instance::instance(&World::open(config).await?, verb, terminal).await,
        Verb::Handoff(verb) => handoff::handoff(&World::open(config).await?, verb, terminal).await,
        Verb::Doctor => setup::doctor(&World::open(config).await?, format, terminal).await,
        Verb::Migrate(args) => setup::migrate(config, args, terminal).await,
        Verb::Approve { digest, reason } => journal::approve(&World::open(config).await?, digest, reason).await,
        Verb::Status { daemon: None } => journal::status(&World::open(config).await?, format, terminal).await,
        Verb::Status { daemon: Some(url) } => remote::status(&config, url, format).await,
        Verb::History { id, limit } => {
            journal::history(&World::open(config).await?, id.clone(), *limit, format, terminal).await
        }
        Verb::Suspend(args) => journal::suspend(&World::open(config).await?, args, terminal).await,
        Verb::Resume(args) => journal::resume(&World::open(config).await?, args).await,
        Verb::Token(verb) => token::token(&World::open(config).await?, verb, format).await,
        Verb::Alerts => print::out(crate::http::ALERTS).map(|()| 0),
        Verb::Config => check::config(&config, format),
        Verb::Schema => check::schema(),
        Verb::Completions { shell } => check::completions(*shell),
    }
}

fn settings(cli: &Cli) -> Result<Config> {
    match cli.verb.as_ref().is_some_and(Verb::is_without_secrets) {
        true => gather(&cli.global, Secrets::LeftAlone),
        false => gather(&cli.global, Secrets::Read),
    }
}

fn gather(global: &Global, secrets: Secrets) -> Result<Config> {
    let mut overrides = Overrides::default();
    let given = [
        ("environment", &global.environment, "--environment"),
        ("state", &global.state, "--state"),
        ("database.url", &global.database, "--database"),
        ("data_dir", &global.data_dir, "--data-dir"),
        ("log.format", &global.log_format, "--log-format"),
    ];
    for (key, value, flag) in given {
        if let Some(value) = value {
            overrides.set(key, value.clone(), flag);
        }
    }
    match (global.quiet, global.verbose) {
        (true, _) => overrides.set("log.level", "warn", "--quiet"),
        (false, 0) => {}
        (false, 1) => overrides.set("log.level", "debug", "--verbose"),
        (false, _) => overrides.set("log.level", "trace", "--verbose"),
    }
    let here = std::env::current_dir()
        .map_err(|error| Failure::error(format!("the working directory cannot be read: {error}")))?;
    let warnings = config::check_variables(std::env::vars_os())?;
    let env = |name: &str| std::env::var(name).ok();
    let named = global.config.as_deref();
    let mut config = config::load(named, &overrides, env, &here, secrets)?;
    config.warnings.extend(warnings);
    Ok(config)
}

fn log_to_stderr(config: &Config, terminal: Terminal) {
    // The libraries below are told of only when something is wrong, or when all is asked for; the file events that
    // are watched never, because what is made of them is.
    let level = config.log_level;
    let others = if level >= Level::DEBUG { Level::INFO } else { Level::WARN };
    let filter = EnvFilter::new(format!("reconcile={level},{others},notify=off"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| log::Log).with_target(false);
    // That a line could not be written would be written to the same place, and a second failure there ends the program.
    let builder = builder.log_internal_errors(false);
    match config.log_format {
        LogFormat::Text => builder.with_ansi(terminal.color_err).with_timer(Clock).init(),
        LogFormat::Json => builder.json().flatten_event(true).with_timer(Clock).init(),
    }
}

/// Log times: RFC 3339 in UTC, to the millisecond.
struct Clock;

impl tracing_subscriber::fmt::time::FormatTime for Clock {
    fn format_time(&self, out: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(out, "{}", chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    }
}

/// Refuses a format that a command does not have.
fn only(format: Format, allowed: &[Format]) -> Result<()> {
    if allowed.contains(&format) {
        return Ok(());
    }
    let names: Vec<String> = allowed.iter().map(|format| format!("{format:?}").to_lowercase()).collect();
    let format = format!("{format:?}").to_lowercase();
    Err(Failure::error(format!("this command has no format {format}")).hint(format!("it has {}", names.join(", "))))
}
