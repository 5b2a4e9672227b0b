//! Flags and verbs, as they are typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::complete::{addresses, environments, instances, sessions};
use super::interrupt::Work;
use super::values::{life, name, reason};
use crate::change::ResourceId;
use crate::kinds::parse_id;
use crate::resource::instance::InstanceId;
use crate::token::Scope;

/// Keeps sessions, host GUIDs and instance databases as the YAML files in Git say.
///
/// Without a command: the daemon. It reads the desired state, plans, applies, watches, and does so again.
#[derive(Debug, Parser)]
#[command(name = "reconcile", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, or nothing to do; 1 error; 3 refused by the guard. \
With --detailed-exitcode also 2 changes pending, 4 something blocked, 5 only drift.")]
pub struct Cli {
    #[command(flatten)]
    pub mode: Mode,
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What the bare command is to do, other than to be the daemon.
#[derive(Debug, Default, PartialEq, Args)]
pub struct Mode {
    /// Preview what would change; write nothing anywhere
    #[arg(long, conflicts_with_all = ["once", "apply"])]
    pub plan: bool,
    /// Do one turn (plan and apply), then exit
    #[arg(long, conflicts_with = "apply")]
    pub once: bool,
    /// Apply exactly the plan saved in FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub apply: Option<PathBuf>,
    /// With --plan: save the plan to FILE, for --apply
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "plan")]
    pub out: Option<PathBuf>,
    /// With --plan: show all changes of a long plan
    #[arg(long, requires = "plan")]
    pub all: bool,
    /// Plan or apply this resource alone
    #[arg(long, value_name = "KIND/NAME", value_parser = parse_id, add = ArgValueCompleter::new(addresses), conflicts_with = "apply")]
    pub target: Option<ResourceId>,
    /// Apply more than the change budget allows; wants --reason
    #[arg(long, requires = "reason", conflicts_with = "plan")]
    pub force: bool,
    /// Why, for the journal
    #[arg(long, value_name = "R", value_parser = reason, requires = "force")]
    pub reason: Option<String>,
    /// Let the exit code tell what the plan holds: 2, 4 or 5, see below
    #[arg(long)]
    pub detailed_exitcode: bool,
}

impl Mode {
    /// One turn is taken under a lease, which is to be given back whatever becomes of the turn.
    pub fn takes_lease(&self) -> bool {
        self.once || self.apply.is_some()
    }
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The configuration file [default: reconcile.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// The environment, which names the catalogs that may be touched [default: development]
    #[arg(long, global = true, value_name = "NAME", add = ArgValueCompleter::new(environments))]
    pub environment: Option<String>,
    /// The directory of the state files [default: desired-state]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: Option<String>,
    /// The database [default: the SQLite file KSESSIONS_DEV.db in the data directory]
    #[arg(long, global = true, value_name = "URL")]
    pub database: Option<String>,
    /// The directory of key, embedded database and hand-off [default: .reconcile]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<String>,
    /// How to print; each command has its own choice of these
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How to log, on stderr [default: text]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub log_format: Option<String>,
    /// Log more; twice: everything
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log only warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to use colour (NO_COLOR is honoured)
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// End after so long, such as 30s [default: each wait has its own limit]
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Markdown,
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check the state files alone; no database
    Validate,
    /// Answer "why is this not done?" for one resource
    Explain {
        /// The resource, such as host/215
        #[arg(value_name = "KIND/NAME", value_parser = parse_id, add = ArgValueCompleter::new(addresses))]
        id: ResourceId,
    },
    /// List resources and their states
    List(super::list::ListArgs),
    /// Work on hosts by hand
    #[command(subcommand)]
    Host(HostVerb),
    /// Work on instances by hand
    #[command(subcommand)]
    Instance(InstanceVerb),
    /// Say whose the Redis of hand-off and broker is
    #[command(subcommand)]
    Handoff(super::handoff::HandoffVerb),
    /// Test connectivity and rights, step by step
    Doctor,
    /// Create or upgrade the schema (the embedded database: by itself)
    Migrate(MigrateArgs),
    /// Let a run pass that the change budget or lineage holds
    Approve {
        /// The plan's digest, as `status` and the log show it
        digest: String,
        /// Why, for the journal
        #[arg(long, value_name = "R", value_parser = reason)]
        reason: String,
    },
    /// Show the last turn, the lease, and what waits or is held
    Status {
        /// Ask this daemon, over HTTP, instead of the database: http://127.0.0.1:7326
        #[arg(long, value_name = "URL")]
        daemon: Option<String>,
    },
    /// Show the journal, the newest first
    History {
        /// Of this resource alone
        #[arg(value_name = "KIND/NAME", value_parser = parse_id, add = ArgValueCompleter::new(addresses))]
        id: Option<ResourceId>,
        /// At most so many lines
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
        limit: i64,
    },
    /// Stop applying, for one resource or for all
    Suspend(SuspendArgs),
    /// Start applying again
    Resume(SuspendArgs),
    /// Make, list and revoke tokens for HTTP
    #[command(subcommand)]
    Token(TokenVerb),
    /// Print alert rules for Prometheus
    Alerts,
    /// Show what is in force and from where; secrets hidden
    Config,
    /// Print the JSON Schema of the state files
    Schema,
    /// Print completions for a shell
    Completions {
        /// For bash: `. <(reconcile completions bash)`
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// What the command does, as far as a signal is concerned.
    pub fn work(&self) -> Work {
        match &self.verb {
            None if self.mode.plan => Work::Reads,
            None => Work::Serves,
            Some(verb) => verb.work(),
        }
    }
}

impl Verb {
    fn work(&self) -> Work {
        match self {
            Verb::Validate | Verb::Explain { .. } | Verb::List(_) | Verb::Doctor => Work::Reads,
            Verb::Status { .. } | Verb::History { .. } => Work::Reads,
            Verb::Alerts | Verb::Config | Verb::Schema | Verb::Completions { .. } => Work::Reads,
            Verb::Host(HostVerb::Create { dry_run: true, .. } | HostVerb::Consolidate { dry_run: true }) => Work::Reads,
            Verb::Token(TokenVerb::List) => Work::Reads,
            Verb::Host(_) | Verb::Instance(_) | Verb::Handoff(_) | Verb::Migrate(_) | Verb::Approve { .. } => {
                Work::Changes
            }
            Verb::Suspend(_) | Verb::Resume(_) | Verb::Token(_) => Work::Changes,
        }
    }

    /// Whether it works on nothing but files that people commit: then it runs where no secret is.
    pub fn is_without_secrets(&self) -> bool {
        matches!(self, Verb::Validate | Verb::Schema | Verb::Alerts | Verb::Completions { .. })
    }

    /// Whether it looks at `--format`; the others print text, or one format of their own.
    pub fn has_formats(&self) -> bool {
        match self {
            Verb::Validate | Verb::Explain { .. } | Verb::List(_) | Verb::Doctor => true,
            Verb::Status { .. } | Verb::History { .. } | Verb::Config | Verb::Token(_) => true,
            // Always JSON.
            Verb::Schema => true,
            Verb::Host(_) | Verb::Instance(_) | Verb::Handoff(_) | Verb::Migrate(_) => false,
            Verb::Approve { .. } => false,
            Verb::Suspend(_) | Verb::Resume(_) | Verb::Alerts | Verb::Completions { .. } => false,
        }
    }
}

#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Take over a database that has tables of its own; wants --environment
    #[arg(long, requires = "environment")]
    pub adopt: bool,
    /// Stamp the database anew, after a restore or an upgrade; wants --reason
    #[arg(long, requires = "reason", conflicts_with = "adopt")]
    pub restamp: bool,
    /// Why, for the journal
    #[arg(long, value_name = "R", value_parser = reason, requires = "restamp")]
    pub reason: Option<String>,
    /// Let a Redis that bears the former identity bear the new one [default: asked for]
    #[arg(long, requires = "restamp")]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct SuspendArgs {
    /// This resource alone; without it: everything
    #[arg(value_name = "KIND/NAME", value_parser = parse_id, add = ArgValueCompleter::new(addresses))]
    pub id: Option<ResourceId>,
    /// Why, for the journal
    #[arg(long, value_name = "R", value_parser = reason)]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub enum HostVerb {
    /// Make a host or a new GUID for the one there is; print it once
    Create {
        /// The session that the host opens
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), add = ArgValueCompleter::new(sessions))]
        session_id: i64,
        /// Who asks for it
        #[arg(long, value_name = "NAME", value_parser = name, default_value = "Interactive User")]
        created_by: String,
        /// Connect, validate and tell the outcome, but change nothing and print no GUID
        #[arg(long)]
        dry_run: bool,
        /// Keep the old row, deactivated, and insert a new one
        #[arg(long)]
        force_new: bool,
        /// Why, for the journal
        #[arg(long, value_name = "R", value_parser = reason)]
        rotation_reason: Option<String>,
        /// How long the GUID is valid, such as 30d [default: for ever]
        #[arg(long, value_name = "DURATION", value_parser = life)]
        expires_in: Option<Duration>,
    },
    /// Give a host a new GUID, to be claimed
    Rotate {
        /// The session that the host opens
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), add = ArgValueCompleter::new(sessions))]
        session_id: i64,
        /// Who asks for it
        #[arg(long, value_name = "NAME", value_parser = name, default_value = "Interactive User")]
        rotated_by: String,
        /// Why, for the journal
        #[arg(long, value_name = "R", value_parser = reason)]
        rotation_reason: Option<String>,
        /// How long the GUID is valid, such as 30d [default: for ever]
        #[arg(long, value_name = "DURATION", value_parser = life)]
        expires_in: Option<Duration>,
    },
    /// Take a host's GUID out of the hand-off and print it, exactly once
    Claim {
        /// The session that the host opens
        #[arg(value_name = "SESSION", value_parser = clap::value_parser!(i64).range(1..), add = ArgValueCompleter::new(sessions))]
        session_id: i64,
    },
    /// Read a GUID on stdin; exit 0 if it opens the session now, else 1
    Verify {
        /// The session that the host opens
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), add = ArgValueCompleter::new(sessions))]
        session_id: i64,
    },
    /// End a host's GUID for good
    Revoke {
        /// The session that the host opens
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..), add = ArgValueCompleter::new(sessions))]
        session_id: i64,
        /// Who asks for it
        #[arg(long, value_name = "NAME", value_parser = name, default_value = "Interactive User")]
        revoked_by: String,
        /// Why, for the journal
        #[arg(long, value_name = "R", value_parser = reason)]
        reason: Option<String>,
    },
    /// Of several active hosts of one session, keep the newest
    Consolidate {
        /// Only list them
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum InstanceVerb {
    /// Release an instance that waits for billing: dispatch its task
    Provision {
        /// The instance's id
        #[arg(value_name = "ID", value_parser = super::instance::parse, add = ArgValueCompleter::new(instances))]
        id: InstanceId,
        /// Who asks for it
        #[arg(long, value_name = "NAME", value_parser = name, default_value = "Interactive User")]
        by: String,
    },
    /// Try again what the worker could not do, with a new password
    Retry {
        /// The instance's id
        #[arg(value_name = "ID", value_parser = super::instance::parse, add = ArgValueCompleter::new(instances))]
        id: InstanceId,
        /// Who asks for it
        #[arg(long, value_name = "NAME", value_parser = name, default_value = "Interactive User")]
        by: String,
    },
    /// Give the place of a retired instance back; its database stays
    Forget {
        /// The instance's id
        #[arg(value_name = "ID", value_parser = super::instance::parse, add = ArgValueCompleter::new(instances))]
        id: InstanceId,
        /// Who asks for it
        #[arg(long, value_name = "NAME", value_parser = name, default_value = "Interactive User")]
        by: String,
        /// The instance's name, typed again [default: asked for]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Take an instance's credentials out of the hand-off and print them
    Claim {
        /// The instance's id
        #[arg(value_name = "ID", value_parser = super::instance::parse, add = ArgValueCompleter::new(instances))]
        id: InstanceId,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token and print it once
    Create {
        /// What it is called, for good
        #[arg(long, value_name = "NAME", value_parser = super::token::name)]
        name: String,
        /// What it allows: read, operate or secrets; each allows what those before it do
        #[arg(long, value_name = "SCOPE", value_parser = super::token::scope)]
        scope: Scope,
        /// How long it is good, such as 90d [default: for ever]
        #[arg(long, value_name = "DURATION", value_parser = life)]
        expires: Option<Duration>,
    },
    /// Show all tokens that were ever made
    List,
    /// End a token
    Revoke {
        /// What it is called
        #[arg(value_name = "NAME")]
        name: String,
        /// Why, for the journal
        #[arg(long, value_name = "R", value_parser = reason)]
        reason: String,
    },
}
