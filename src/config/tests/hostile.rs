//! Configuration that means harm: `reconcile.toml`, and variables in its comments that begin with `#!`.

use std::collections::BTreeMap;

use super::given::DEFAULT;
use super::*;
use crate::testing::{Answer, Hunt, PASSWORD, holds_a_password, is_printable};

const FILES: &[&str] = &[
    "environment = \"development\"\nstate = \"desired-state\"\ninterval = \"90s\"\nfile_limit = \"1 MiB\"\n\
     allow_insecure = true\n[database]\nurl_file = \"url\"\nschema = \"canvas\"\nconnect_timeout = \"5s\"\n\
     [budget]\npercent = 30\nfrom = 10\n[log]\nlevel = \"debug\"\nformat = \"json\"\n",
    "[database]\nurl = \"postgres://noor:hunter2canary@db/KSESSIONS_DEV\"\n",
    "[redis]\nurl = \"redis://:hunter2canary@localhost\"\n[host]\nkeys = \"hunter2canary\"\n",
    "#! RECONCILE_DATABASE_URL=postgres://noor:hunter2canary@db/KSESSIONS_DEV\n#! RECONCILE_INTERVAL=5m\n\
     [environments.staging]\ncatalogs = [\"STAGE_1\", \"STAGE_2\"]\n[environments.test-2]\ncatalogs = [\"T\"]\n",
    "#! RECONCILE_DATABASE_URL=postgres://db/KSESSIONS_DEV?password=hunter2canary\n#! RECONCILE_BUDGET_PERCENT=101\n",
    "#! RECONCILE_DATABASE_URL=postgres://V?db/KSESSIONS_DEV?password=hunter2canary\n",
    "#! RECONCILE_DATABASE_URL=postgres://db/KSESSIONS_DEVpAssword=hunter2canary\n",
    "#! RECONCILE_DATABASE_URL_FILE=x\0\n",
    "#! RECONCILE_REDIS_URL=redis://noor:hunter2canary@localhost/hunter2canary@localhost/0\n",
    "#! RECONCILE_REDIS_URL=redis://noor:hunter2canary@localhost/#hunter2canary@localhost/0\n",
    "#! RECONCILE_REDIS_URL=redis://noor:hunter2canary@localhost/1\n#! RECONCILE_HOST_KEYS=hunter2canary\n\
     #! RECONCILE_DATABASE_URL_FILE=postgres://noor:hunter2canary@db/KQUR_DEV\n",
    "[pools.pool-1]\nurl_file = \"pool-1.url\"\n[pools.pool_1]\nurl_file = \"x\"\n[journal]\nretention = \"forever\"\n",
    "debounce = \"1s\"\ndebounce_max = \"100ms\"\nintervall = \"5m\"\nlease = 15\n",
    "[celery]\nbroker_url = \"redis://:hunter2canary@localhost\"\n",
    "#! RECONCILE_NOTIFY_OPS_URL=https://noor:hunter2canary@hooks/x\n#! RECONCILE_NOTIFY_OPS_KEYS=whsec_hunter2canary\n\
     [notify.ops]\nevents = [\"drift\"]\n[notify.team]\nformat = \"slack\"\nurl_file = \"url\"\n[notify.x]\n",
];

#[rustfmt::skip] // So many on a line as there is room for.
const PIECES: &[&str] = &[
    "=", " = ", "\"", "'", "\"\"\"", "'''", "[", "]", "[[", "]]", "{", "}", ".", ",", "#", "#! ", "\n", "\r", "\r\n", "\t",
    "\0", "\\", "\\u0000", "\\ud800", "\\e", "\u{feff}", "\u{202e}", "\u{1b}[2J", "é", "س", "0", "-1", "1e400", "0x1F", "1_000",
    "99999999999999999999", "inf", "nan", "true", "false", "\"\"", "[]", "{}", "1979-05-27T07:32:00Z", "\"5m\"", "\"5 M\"",
    "\"99999999999999999999d\"", "\"0ms\"", "\"forever\"", "\"1 GiB\"", "\"18446744073709551615 GiB\"", "\"../x\"", "\"/\"",
    "environment = \"production\"\n", "environment = 5\n", "[database]\n", "[environments]\n", "[environments.x]\n",
    "catalogs = [\"A\"]\n", "catalogs = []\n", "[pools]\n", "[pools.x]\n", "url_file = \"x\"\n", "url = \"sqlite:x.db\"\n",
    "[notify]\n", "[notify.ops]\n", "format = \"json\"\n", "events = [\"rotation\"]\n", "keys_file = \"x\"\n",
    "database.url", "budget", "percent = 50\n", "url = \"postgres://noor:hunter2canary@db/KQUR_DEV\"\n",
    "keys = \"hunter2canary\"\n", "#! RECONCILE_STATE=\u{1b}[2J\n", "#! RECONCILE_SOURCE=head\n",
    "#! RECONCILE_REDIS_URL=:hunter2canary@\n", "#! RECONCILE_POOL_POOL_1_URL=postgres://a:hunter2canary@b/postgres\n",
];

pub fn hunt() -> Hunt {
    let directory = tempfile::tempdir().unwrap();
    let corpus = FILES.iter().map(|file| file.as_bytes().to_vec()).collect();
    let judge = Box::new(move |bytes: &[u8]| judge(directory.path(), bytes));
    Hunt { name: "configuration", corpus, fragments: PIECES, draw: |_| None, usual: 2_500, judge }
}

fn judge(directory: &Path, bytes: &[u8]) -> Result<Answer, String> {
    fs::write(directory.join("reconcile.toml"), bytes).unwrap();
    let text = String::from_utf8_lossy(bytes);
    let variables = variables(&text);
    let env = |name: &str| variables.get(name).cloned();
    let keeps = |said: &str| match has_the_password_open(&text) || !said.contains(PASSWORD) {
        true => Ok(()),
        false => Err(format!("the password is shown: {said}")),
    };
    let config = match load(None, &Overrides::default(), env, directory, Secrets::Read) {
        Ok(config) => config,
        Err(error) => {
            keeps(&format!("{error}\n{error:?}"))?;
            let mut problems = error.0.iter();
            problems.try_for_each(|problem| explained(problem, &text))?;
            return Ok(Answer::Refused);
        }
    };
    let report = config.report();
    keeps(&format!("{report:?}\n{:?}", config.warnings))?;
    // All that is open, given by variables alone, is in force again.
    let again: BTreeMap<&str, String> = report.iter().filter_map(in_a_variable).collect();
    fs::write(directory.join("reconcile.toml"), sections(&config)).unwrap();
    let env = |name: &str| again.get(name).or_else(|| variables.get(name).filter(|_| is_secret(name))).cloned();
    let twin = load(None, &Overrides::default(), env, directory, Secrets::Read)
        .map_err(|error| format!("given by variables it is wrong: {error}"))?;
    match differs(report, twin.report()) {
        Some(difference) => Err(difference),
        None => Ok(Answer::Taken),
    }
}

/// The variables that stand in comments.
fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("#! ")?.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn is_secret(variable: &str) -> bool {
    let known = TABLE.iter().find(|setting| setting.variable == variable);
    known.is_some_and(|setting| !matches!(setting.secrecy, Secrecy::Open)) || variable.starts_with("RECONCILE_POOL_")
}

/// Whether the password stands where none is expected: in a name, in a setting that is no secret, or in a URL and not
/// as its password.
fn has_the_password_open(text: &str) -> bool {
    let open = |name: &str, value: &str| match TABLE.iter().find(|setting| setting.variable == name) {
        Some(setting) => stands_open(setting, value),
        None => name.contains(PASSWORD),
    };
    variables(text).iter().any(|(name, value)| open(name, value))
        || text.parse::<toml::Table>().is_ok_and(|table| below(&table, ""))
}

fn stands_open(setting: &Setting, value: &str) -> bool {
    let may_be_shown = match setting.secrecy {
        Secrecy::Hidden { .. } => false,
        Secrecy::Url => !holds_a_password(value),
        // A URL that was put in the place of its file's name by mistake is shown without its password.
        Secrecy::Open => !(setting.key.ends_with("url_file") && holds_a_password(value)),
    };
    may_be_shown && value.contains(PASSWORD)
}

fn below(table: &toml::Table, prefix: &str) -> bool {
    table.iter().any(|(name, value)| {
        let key = format!("{prefix}{name}");
        match (value, settings::find(&key)) {
            _ if name.contains(PASSWORD) => true,
            (toml::Value::Table(table), _) => below(table, &format!("{key}.")),
            (value, Some(setting)) => stands_open(setting, &value.to_string()),
            (value, None) => value.to_string().contains(PASSWORD),
        }
    })
}

/// Whether a problem says where, inside what was given, and what.
fn explained(problem: &Problem, text: &str) -> Result<(), String> {
    let Problem { at, what, order: _, refusal: _ } = problem;
    // A path may be repeated, however long it is: as it is written, and where it was looked for.
    if what.len() < 10 || what.len() > 1_000 + 2 * text.len() {
        return Err(format!("too short or too long: {problem}"));
    }
    is_printable(&crate::change::printable(&problem.to_string()))?;
    let Some(place) = at.strip_prefix("reconcile.toml") else {
        let known = TABLE.iter().any(|setting| setting.variable == at);
        return if known { Ok(()) } else { Err(format!("from nowhere: {problem}")) };
    };
    let mut numbers = place.split(':').skip(1).map(|number| number.parse::<usize>().unwrap_or_default());
    let (line, column) = match (numbers.next(), numbers.next()) {
        (Some(line), Some(column)) => (line, column),
        // What cannot be read at all has no lines.
        _ if what.contains("cannot be read") => return Ok(()),
        _ => return Err(format!("without a place: {problem}")),
    };
    let lines: Vec<&str> = text.split('\n').collect();
    let inside = lines.get(line.wrapping_sub(1)).is_some_and(|line| (1..=line.chars().count() + 1).contains(&column));
    if inside { Ok(()) } else { Err(format!("not in the file: {problem}")) }
}

/// The variable that gives an open setting again.
fn in_a_variable(entry: &Entry) -> Option<(&'static str, String)> {
    let setting = settings::find(&entry.key).filter(|setting| matches!(setting.secrecy, Secrecy::Open))?;
    (entry.origin != DEFAULT).then(|| (setting.variable, entry.value.clone()))
}

/// What no variable gives: the further environments and the pools.
fn sections(config: &Config) -> String {
    let mut text = String::new();
    for (name, catalogs) in &config.environments {
        text.push_str(&format!("[environments.{name}]\ncatalogs = {}\n", toml::Value::from(catalogs.clone())));
    }
    for pool in &config.pools {
        let file = toml::Value::String(pool.file.display().to_string());
        text.push_str(&format!("[pools.\"{}\"]\nurl_file = {file}\n", pool.name));
    }
    text
}

/// The first value that is not the same in both.
fn differs(one: &[Entry], other: &[Entry]) -> Option<String> {
    let values = |entries: &[Entry]| -> Vec<(String, String)> {
        entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    };
    let (one, other) = (values(one), values(other));
    let open = |(key, _): &&(String, String)| {
        settings::find(key).is_none_or(|setting| matches!(setting.secrecy, Secrecy::Open))
    };
    let (one, other): (Vec<_>, Vec<_>) = (one.iter().filter(open).collect(), other.iter().filter(open).collect());
    if one == other {
        return None;
    }
    Some(format!("given by variables it is another configuration:\n{one:?}\n{other:?}"))
}
