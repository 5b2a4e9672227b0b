//! The table of settings: from it the reader, `reconcile config` and the manual are made.

mod git;
mod http;
mod outside;

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use super::given::{Given, Origin};
use super::{Draft, LogFormat, Source, url};
use crate::guard::Environment;
use crate::secret::Secret;

/// What holds where nobody says anything.
pub enum Fallback {
    Value(&'static str),
    /// Not one value, but a rule that yields it.
    Rule(&'static str),
}

/// How much of a value may be shown.
pub enum Secrecy {
    Open,
    /// A URL: all but the password. With a password it may not stand in `reconcile.toml`.
    Url,
    /// Nothing; and it may not stand in `reconcile.toml`: `instead` names the setting that may.
    Hidden {
        instead: &'static str,
    },
}

/// One setting.
pub struct Setting {
    /// Its place in `reconcile.toml`: `database.url` is `url` below `[database]`.
    pub key: &'static str,
    /// The environment variable: `RECONCILE_`, then the key in capitals with `_` for `.`.
    pub variable: &'static str,
    pub fallback: Fallback,
    pub secrecy: Secrecy,
    pub about: &'static str,
    /// Reads the value into the draft, or says what is wrong with it, to be put after the key.
    pub(super) take: fn(&mut Draft, &Given) -> Result<(), String>,
}

/// Settings that say the same thing in two ways.
pub(super) const RIVALS: [(&str, &str); 7] = [
    ("database.url", "database.url_file"),
    ("host.keys", "host.keys_file"),
    ("redis.url", "redis.url_file"),
    ("celery.broker_url", "celery.broker_url_file"),
    ("celery.result_url", "celery.result_url_file"),
    ("billing.keys", "billing.keys_file"),
    ("client.token", "client.token_file"),
];

const MS_100: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The setting that is written so.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    TABLE.iter().copied().find(|setting| setting.key == key)
}

/// Every setting, in the order in which they are shown.
pub static TABLE: LazyLock<Vec<&'static Setting>> =
    LazyLock::new(|| MAIN.iter().chain(&git::GIT).chain(&http::HTTP).chain(&outside::OUTSIDE).collect());

/// A URL that may hold a password, into its place in the draft; in a file that people commit it may not.
fn secret_url(draft: &mut Draft, given: &Given, instead: (&str, &str)) -> Result<Secret, String> {
    let text = given.secret()?;
    if url::has_password(text.expose()) {
        let (file, variable) = instead;
        match given.origin {
            Origin::File { .. } => {
                return Err(format!(
                    "holds a password, which may not stand in this file: put the URL into a file that only this user can \
                     read and name it as {file}, or set {variable}"
                ));
            }
            Origin::Flag(flag) => draft.config.warnings.push(format!(
                "{flag} holds a password, which every user of this machine can see: use {variable} or {file}"
            )),
            Origin::Variable(_) | Origin::Default => {}
        }
    }
    Ok(text)
}

/// The settings of the daemon itself, its database and its hosts.
static MAIN: [Setting; 24] = [
    Setting {
        key: "environment",
        variable: "RECONCILE_ENVIRONMENT",
        fallback: Fallback::Value("development"),
        secrecy: Secrecy::Open,
        about: "Which databases may be touched. `production` only when it is spelled out.",
        take: |draft, given| {
            let name = given.string()?;
            draft.config.environment_spelled_out = match given.origin {
                Origin::Default => false,
                // Whoever happens to stand in a directory has not asked for what a file in it says.
                Origin::File { .. } => draft.config.file_named || name != Environment::PRODUCTION,
                Origin::Variable(_) | Origin::Flag(_) => true,
            };
            draft.config.environment = name;
            Ok(())
        },
    },
    Setting {
        key: "state",
        variable: "RECONCILE_STATE",
        fallback: Fallback::Value("desired-state"),
        secrecy: Secrecy::Open,
        about: "The directory of the desired state.",
        take: |draft, given| given.path().map(|path| draft.config.state = path),
    },
    Setting {
        key: "data_dir",
        variable: "RECONCILE_DATA_DIR",
        fallback: Fallback::Value(".reconcile"),
        secrecy: Secrecy::Open,
        about: "The directory for the embedded database, the hand-off and, in development, the host key.",
        take: |draft, given| given.path().map(|path| draft.config.data_dir = path),
    },
    Setting {
        key: "source",
        variable: "RECONCILE_SOURCE",
        fallback: Fallback::Rule("worktree in development, otherwise head"),
        secrecy: Secrecy::Open,
        about: "`worktree` reads the files as they are; `head` reads the committed tree of HEAD.",
        take: |draft, given| {
            draft.source = Some(given.word(&[("worktree", Source::Worktree), ("head", Source::Head)])?);
            Ok(())
        },
    },
    Setting {
        key: "database.url",
        variable: "RECONCILE_DATABASE_URL",
        fallback: Fallback::Rule("the SQLite file KSESSIONS_DEV.db in data_dir"),
        secrecy: Secrecy::Url,
        about: "The database: `postgres://…` or `sqlite:…`. With a password, only by variable or in `database.url_file`.",
        take: |draft, given| {
            let url = secret_url(draft, given, ("database.url_file", "RECONCILE_DATABASE_URL"))?;
            draft.config.database_url = Some(url);
            Ok(())
        },
    },
    Setting {
        key: "database.url_file",
        variable: "RECONCILE_DATABASE_URL_FILE",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "A file with the database URL, readable by its owner alone (mode 0600).",
        take: |draft, given| given.path().map(|path| draft.url_file = Some(path)),
    },
    Setting {
        key: "database.schema",
        variable: "RECONCILE_DATABASE_SCHEMA",
        fallback: Fallback::Value("canvas"),
        secrecy: Secrecy::Open,
        about: "The schema of our tables on PostgreSQL.",
        take: |draft, given| {
            let name = given.string()?;
            let word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
            let begins = name.starts_with(|letter: char| !letter.is_ascii_digit()) && !name.starts_with("pg_");
            if name.len() > 63 || !name.chars().all(word) || !begins {
                return Err(
                    "must be at most 63 lower-case letters, digits and underscores, not beginning with a digit or pg_"
                        .to_owned(),
                );
            }
            draft.config.schema = name;
            Ok(())
        },
    },
    Setting {
        key: "database.connect_timeout",
        variable: "RECONCILE_DATABASE_CONNECT_TIMEOUT",
        fallback: Fallback::Value("5s"),
        secrecy: Secrecy::Open,
        about: "How long connecting may take.",
        take: |draft, given| given.duration(MS_100..=5 * MINUTE).map(|limit| draft.config.connect_timeout = limit),
    },
    Setting {
        key: "database.statement_timeout",
        variable: "RECONCILE_DATABASE_STATEMENT_TIMEOUT",
        fallback: Fallback::Value("30s"),
        secrecy: Secrecy::Open,
        about: "How long one statement may take.",
        take: |draft, given| given.duration(MS_100..=HOUR).map(|limit| draft.config.statement_timeout = limit),
    },
    Setting {
        key: "interval",
        variable: "RECONCILE_INTERVAL",
        fallback: Fallback::Value("60s"),
        secrecy: Secrecy::Open,
        about: "The daemon takes a turn at least this often.",
        take: |draft, given| given.duration(SECOND..=DAY).map(|interval| draft.config.interval = interval),
    },
    Setting {
        key: "debounce",
        variable: "RECONCILE_DEBOUNCE",
        fallback: Fallback::Value("20ms"),
        secrecy: Secrecy::Open,
        about: "The files must be quiet this long before a turn.",
        take: |draft, given| given.duration(Duration::ZERO..=MINUTE).map(|quiet| draft.config.debounce = quiet),
    },
    Setting {
        key: "debounce_max",
        variable: "RECONCILE_DEBOUNCE_MAX",
        fallback: Fallback::Value("250ms"),
        secrecy: Secrecy::Open,
        about: "Quiet or not, a turn begins this long after the first change.",
        take: |draft, given| given.duration(Duration::ZERO..=MINUTE).map(|most| draft.config.debounce_max = most),
    },
    Setting {
        key: "lease",
        variable: "RECONCILE_LEASE",
        fallback: Fallback::Value("15s"),
        secrecy: Secrecy::Open,
        about: "A leader without a sign of life is replaced after this long.",
        take: |draft, given| given.duration(SECOND..=10 * MINUTE).map(|lease| draft.config.lease = lease),
    },
    Setting {
        key: "budget.percent",
        variable: "RECONCILE_BUDGET_PERCENT",
        fallback: Fallback::Value("30"),
        secrecy: Secrecy::Open,
        about: "A turn that updates or rotates more than this share of a kind is held back.",
        take: |draft, given| given.count(0..=100).map(|percent| draft.config.budget_percent = percent),
    },
    Setting {
        key: "budget.from",
        variable: "RECONCILE_BUDGET_FROM",
        fallback: Fallback::Value("10"),
        secrecy: Secrecy::Open,
        about: "The share counts from this many managed resources of a kind up.",
        take: |draft, given| given.count(0..=1_000_000).map(|from| draft.config.budget_from = from),
    },
    Setting {
        key: "schedule_limit",
        variable: "RECONCILE_SCHEDULE_LIMIT",
        fallback: Fallback::Value("100"),
        secrecy: Secrecy::Open,
        about: "At most this many scheduled rotations in one turn.",
        take: |draft, given| given.count(1..=1_000_000).map(|limit| draft.config.schedule_limit = limit),
    },
    Setting {
        key: "host.claim_life",
        variable: "RECONCILE_HOST_CLAIM_LIFE",
        fallback: Fallback::Value("1h"),
        secrecy: Secrecy::Open,
        about: "A new host GUID waits this long to be claimed.",
        take: |draft, given| given.duration(SECOND..=30 * DAY).map(|life| draft.config.claim_life = life),
    },
    Setting {
        key: "host.keys",
        variable: "RECONCILE_HOST_KEYS",
        fallback: Fallback::Rule("in development, made at the first apply"),
        secrecy: Secrecy::Hidden { instead: "host.keys_file" },
        about: "The keys that host GUIDs are hashed with, separated by commas or newlines. The first is current, the others only verify.",
        take: |draft, given| {
            draft.keys = Some((given.secret()?, given.origin.shown()));
            Ok(())
        },
    },
    Setting {
        key: "host.keys_file",
        variable: "RECONCILE_HOST_KEYS_FILE",
        fallback: Fallback::Rule("none"),
        secrecy: Secrecy::Open,
        about: "A file with the same, one key on a line, readable by its owner alone (mode 0600).",
        take: |draft, given| given.path().map(|path| draft.keys_file = Some(path)),
    },
    Setting {
        key: "file_limit",
        variable: "RECONCILE_FILE_LIMIT",
        fallback: Fallback::Value("16 MiB"),
        secrecy: Secrecy::Open,
        about: "A state file may not be larger.",
        take: |draft, given| given.size(1 << 10..=1 << 30).map(|limit| draft.config.file_limit = limit),
    },
    Setting {
        key: "journal.retention",
        variable: "RECONCILE_JOURNAL_RETENTION",
        fallback: Fallback::Value("forever"),
        secrecy: Secrecy::Open,
        about: "How long the journal is kept.",
        take: |draft, given| {
            draft.config.journal_retention = given.duration_or_forever(DAY..=36_500 * DAY)?;
            Ok(())
        },
    },
    Setting {
        key: "allow_insecure",
        variable: "RECONCILE_ALLOW_INSECURE",
        fallback: Fallback::Value("false"),
        secrecy: Secrecy::Open,
        about: "Speak to servers beyond this machine without verified TLS.",
        take: |draft, given| given.flag().map(|allow| draft.config.allow_insecure = allow),
    },
    Setting {
        key: "log.format",
        variable: "RECONCILE_LOG_FORMAT",
        fallback: Fallback::Value("text"),
        secrecy: Secrecy::Open,
        about: "How log lines are written: `text` or `json`.",
        take: |draft, given| {
            draft.config.log_format = given.word(&[("text", LogFormat::Text), ("json", LogFormat::Json)])?;
            Ok(())
        },
    },
    Setting {
        key: "log.level",
        variable: "RECONCILE_LOG_LEVEL",
        fallback: Fallback::Value("info"),
        secrecy: Secrecy::Open,
        about: "Which log lines are written: `error`, `warn`, `info`, `debug` or `trace`.",
        take: |draft, given| {
            draft.config.log_level = given.word(&[
                ("error", tracing::Level::ERROR),
                ("warn", tracing::Level::WARN),
                ("info", tracing::Level::INFO),
                ("debug", tracing::Level::DEBUG),
                ("trace", tracing::Level::TRACE),
            ])?;
            Ok(())
        },
    },
];

/// The table as the manual shows it.
pub fn markdown() -> String {
    let mut text = "| setting | variable | default | meaning |\n|---|---|---|---|\n".to_owned();
    for Setting { key, variable, fallback, secrecy: _, about, take: _ } in TABLE.iter().copied() {
        let fallback = match fallback {
            Fallback::Value(value) => format!("`{value}`"),
            Fallback::Rule(rule) => (*rule).to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{key}` | `{variable}` | {fallback} | {about} |");
    }
    text
}
