//! `reconcile.toml`: flattened into the table's keys, every unknown one reported with its place.
//!
//! No message shows the file's text: a line that does not parse may well hold a secret.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::given::{Form, Given, Origin};
use super::notify::{NOTIFY, Section};
use super::pools::{POOLS, Pool, variable};
use super::settings::{self, Secrecy, TABLE};
use super::{Entry, Problem, shown};
use crate::file::{self, Fault, Rules};

/// The file that is read where none is named.
const USUAL: &str = "reconcile.toml";
/// The most bytes of the file.
const LARGEST: u64 = 1024 * 1024;
/// The only key whose children the operator names.
const ENVIRONMENTS: &str = "environments";

/// Another environment, as the file has it.
pub(super) struct Environment {
    pub(super) name: String,
    pub(super) catalogs: Vec<String>,
    origin: Origin,
}

impl Environment {
    pub(super) fn shown(&self) -> Entry {
        Entry {
            key: format!("{ENVIRONMENTS}.{}.catalogs", self.name),
            value: self.catalogs.join(", "),
            origin: self.origin.shown(),
            about: "The catalogs that this environment may touch.",
        }
    }
}

/// What the file says; nothing at all where there is none.
#[derive(Default)]
pub(super) struct File {
    /// The file, as it was named.
    pub(super) path: Option<PathBuf>,
    pub(super) named: bool,
    pub(super) given: BTreeMap<&'static str, Given>,
    pub(super) environments: Vec<Environment>,
    pub(super) pools: Vec<Pool>,
    pub(super) receivers: Vec<Section>,
}

impl File {
    /// Reads the file that was named, or else `reconcile.toml` in `cwd` if there is one.
    pub(super) fn read(named: Option<&Path>, cwd: &Path, problems: &mut Vec<Problem>) -> Self {
        let path = named.unwrap_or(Path::new(USUAL));
        let whole = cwd.join(path);
        let text = match file::text(&whole, &Rules::settings(LARGEST)) {
            Ok(Some(text)) => text,
            Ok(None) if named.is_none() => return Self::default(),
            read => {
                let fault = read.err().unwrap_or_else(Fault::missing);
                problems.push(Problem::unreadable(path, &whole, &fault));
                return Self::default();
            }
        };
        // Some editors begin with it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let base = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { path, base, text, problems, file: Self::default() };
        for error in &errors {
            reader.problem(error.span().unwrap_or_default(), &error.message().replace('\n', " "));
        }
        // After a syntax error the rest is a guess.
        if errors.is_empty() {
            reader.table(table.get_ref(), "");
        }
        File { path: Some(path.to_owned()), named: named.is_some(), ..reader.file }
    }
}

pub(super) struct Reader<'a> {
    path: &'a Path,
    base: Option<&'a Path>,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
    pub(super) file: File,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, prefix: &str) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let section = format!("{key}.");
            if key == ENVIRONMENTS {
                self.environments(value);
            } else if key == POOLS {
                self.pools(value);
            } else if key == NOTIFY {
                self.notify(value);
            } else if let Some(setting) = settings::find(&key) {
                self.setting(setting, value);
            } else if TABLE.iter().any(|setting| setting.key.starts_with(&section)) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(inner, &section),
                    _ => self.problem(value.span(), &format!("{key} must be a section: [{key}]")),
                }
            } else {
                self.unknown(name.span(), &key);
            }
        }
    }

    fn setting(&mut self, setting: &'static settings::Setting, value: &Spanned<DeValue<'_>>) {
        if let Secrecy::Hidden { instead } = setting.secrecy {
            let what = format!(
                "{} is a secret and may not stand in this file: name a file in {instead}, or set {}",
                setting.key, setting.variable
            );
            return self.problem(value.span(), &what);
        }
        let (text, form) = match value.get_ref() {
            DeValue::String(text) => (text.clone().into_owned(), Form::Text),
            DeValue::Integer(number) => (number.to_string(), Form::Integer),
            DeValue::Boolean(flag) => (flag.to_string(), Form::Flag),
            other => match texts(other) {
                Some(texts) => (texts.join(", "), Form::List),
                None => (format!("of the type {}", other.type_str()), Form::Other),
            },
        };
        let given = Given::typed(text, form, self.origin(value.span()), self.base.map(Path::to_owned));
        self.file.given.insert(setting.key, given);
    }

    /// `[environments.NAME]` with `catalogs = ["…"]`.
    fn environments(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(environments) = value.get_ref() else {
            let what = "environments must be sections, such as [environments.staging]";
            return self.problem(value.span(), what);
        };
        for (name, value) in environments {
            let letters = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
            if name.get_ref().is_empty() || !name.get_ref().chars().all(letters) {
                let what = format!(
                    "the environment's name {} must consist of letters, digits, - and _",
                    shown(name.get_ref())
                );
                self.problem(name.span(), &what);
            }
            let key = format!("{ENVIRONMENTS}.{}", name.get_ref());
            let DeValue::Table(inner) = value.get_ref() else {
                self.problem(value.span(), &format!("{key} must be a section with catalogs = [\"…\"]"));
                continue;
            };
            for unknown in inner.keys().filter(|inner| inner.get_ref() != "catalogs") {
                let what = format!("{} is not a key of [{key}]; it has only catalogs", shown(unknown.get_ref()));
                self.problem(unknown.span(), &what);
            }
            match inner.get("catalogs").map(|value| (value, catalogs(value.get_ref()))) {
                Some((value, Some(catalogs))) => {
                    let origin = self.origin(value.span());
                    self.file.environments.push(Environment { name: name.to_string(), catalogs, origin });
                }
                Some((value, None)) => {
                    self.problem(
                        value.span(),
                        &format!("{key}.catalogs must be a list of names, such as [\"A\", \"B\"]"),
                    );
                }
                None => self.problem(name.span(), &format!("{key} has no catalogs: catalogs = [\"…\"]")),
            }
        }
    }

    /// `[pools.NAME]` with `url_file = "…"`.
    fn pools(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(pools) = value.get_ref() else {
            return self.problem(value.span(), "pools must be sections, such as [pools.pool-1]");
        };
        for (name, value) in pools {
            let key = format!("{POOLS}.{}", name.get_ref());
            let letters =
                |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter);
            if name.get_ref().len() > 63
                || !name.get_ref().starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
                || !name.get_ref().chars().all(letters)
            {
                let what = format!(
                    "the pool's name {} must be at most 63 lower-case letters, digits, `.`, `_` and `-`",
                    shown(name.get_ref())
                );
                self.problem(name.span(), &what);
            }
            if let Some(twin) = self.file.pools.iter().find(|pool| variable(&pool.name) == variable(name.get_ref())) {
                let what =
                    format!("{key} would share the variable {} with {POOLS}.{}", variable(&twin.name), twin.name);
                self.problem(name.span(), &what);
            }
            let inner = value.get_ref().as_table();
            for unknown in inner.iter().flat_map(|inner| inner.keys()).filter(|inner| inner.get_ref() != "url_file") {
                let what = format!(
                    "{} is not a key of [{key}]; it has only url_file, and {} holds the URL itself",
                    shown(unknown.get_ref()),
                    variable(name.get_ref())
                );
                self.problem(unknown.span(), &what);
            }
            let file = inner.and_then(|inner| inner.get("url_file"));
            match file.and_then(|file| Some((file.span(), file.get_ref().as_str().filter(|file| !file.is_empty())?))) {
                Some((span, file)) => {
                    let file = self.beside(file);
                    self.file.pools.push(Pool { name: name.to_string(), file, origin: self.origin(span) });
                }
                None => self.problem(name.span(), &format!("{key} has no url_file: url_file = \"…\"")),
            }
        }
    }

    fn unknown(&mut self, span: Range<usize>, key: &str) {
        let similar = similar(key).map(|similar| format!("; did you mean {similar}?")).unwrap_or_default();
        self.problem(span, &format!("there is no setting {}{similar}", shown(key)));
    }

    /// A file that this one names, which is relative to it.
    pub(super) fn beside(&self, file: &str) -> PathBuf {
        self.base.map_or_else(|| file.into(), |base| base.join(file))
    }

    pub(super) fn problem(&mut self, span: Range<usize>, what: &str) {
        self.problems.push(Problem::new(&self.origin(span), what));
    }

    pub(super) fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Origin::File { path: self.path.display().to_string(), line, column }
    }
}

/// The texts of a list that holds nothing else, no comma in any of them.
fn texts<'a>(value: &'a DeValue<'_>) -> Option<Vec<&'a str>> {
    value.as_array()?.iter().map(|text| text.get_ref().as_str().filter(|text| !text.contains(','))).collect()
}

/// The names in a list of at least one text, none of them empty.
fn catalogs(value: &DeValue<'_>) -> Option<Vec<String>> {
    let names = value.as_array().filter(|names| !names.is_empty())?;
    let name =
        |name: &Spanned<DeValue<'_>>| name.get_ref().as_str().filter(|name| !name.trim().is_empty()).map(str::to_owned);
    names.iter().map(name).collect()
}

/// The setting that was probably meant: one in another section, or one a few letters away.
fn similar(key: &str) -> Option<&'static str> {
    const FAR: usize = 3;
    let keys = || TABLE.iter().map(|setting| setting.key).chain([ENVIRONMENTS, POOLS, NOTIFY]);
    let last = key.rsplit('.').next().unwrap_or(key);
    let elsewhere = keys().find(|known| known.rsplit('.').next() == Some(last));
    elsewhere.or_else(|| {
        let near = keys().map(|known| (strsim::damerau_levenshtein(known, key), known)).min()?;
        (near.0 <= FAR.min(key.len() / 2)).then_some(near.1)
    })
}
