//! Who is told of what happens: receivers, by names that the operator gives them.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::file::Reader;
use super::given::Origin;
use super::report::in_file;
use super::{Entry, HIDDEN, Problem, read_secret, shown};
use crate::notice::Event;
use crate::port::client::Address;
use crate::secret::Secret;
use crate::webhook::Keys;

/// The section of the configuration file whose children the operator names.
pub(super) const NOTIFY: &str = "notify";

/// What a receiver reads.
#[derive(Clone)]
pub enum Language {
    /// Our own JSON, signed with the first of these keys.
    Json(Keys),
    /// What Slack's incoming webhooks take, and those of many others.
    Slack,
}

/// Somebody who is told.
#[derive(Clone)]
pub struct Receiver {
    pub name: String,
    pub address: Address,
    pub language: Language,
    /// Of what; at least one.
    pub events: Vec<Event>,
}

/// One receiver, as the file names it.
pub(super) struct Section {
    name: String,
    url_file: Option<PathBuf>,
    keys_file: Option<PathBuf>,
    is_slack: bool,
    events: Vec<Event>,
    origin: Origin,
}

/// The variable that holds the URL, or the keys, of the receiver of that name: `RECONCILE_NOTIFY_OPS_URL` for `ops`.
fn variable(name: &str, what: &str) -> String {
    let word = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("RECONCILE_NOTIFY_{}_{what}", name.chars().map(word).collect::<String>())
}

impl Reader<'_> {
    /// `[notify.NAME]` with `url_file`, `format`, `keys_file` and `events`.
    pub(super) fn notify(&mut self, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(receivers) = value.get_ref() else {
            return self.problem(value.span(), "notify must be sections, such as [notify.ops]");
        };
        for (name, value) in receivers {
            let key = format!("{NOTIFY}.{}", name.get_ref());
            let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
            if !(1..=63).contains(&name.get_ref().len()) || !name.get_ref().chars().all(letters) {
                let what = format!(
                    "the receiver's name {} must be at most 63 lower-case letters, digits and `-`",
                    shown(name.get_ref())
                );
                self.problem(name.span(), &what);
            }
            let DeValue::Table(inner) = value.get_ref() else {
                self.problem(value.span(), &format!("{key} must be a section with url_file = \"…\""));
                continue;
            };
            let origin = self.origin(name.span());
            let mut section = Section {
                name: name.to_string(),
                url_file: None,
                keys_file: None,
                is_slack: false,
                events: Event::ALL.to_vec(),
                origin,
            };
            for (field, value) in inner {
                let text = value.get_ref().as_str().filter(|text| !text.is_empty());
                let path = text.map(|text| self.beside(text));
                match (field.get_ref().as_ref(), text) {
                    ("url_file", Some(_)) => section.url_file = path,
                    ("keys_file", Some(_)) => section.keys_file = path,
                    ("url_file" | "keys_file", None) => {
                        self.problem(value.span(), &format!("{key}.{} must be the name of a file", field.get_ref()));
                    }
                    ("format", Some("json")) => section.is_slack = false,
                    ("format", Some("slack")) => section.is_slack = true,
                    ("format", _) => self.problem(value.span(), &format!("{key}.format must be json or slack")),
                    ("events", _) => match events(value.get_ref()) {
                        Some(events) => section.events = events,
                        None => {
                            let words = Event::ALL.map(Event::word).join(", ");
                            self.problem(value.span(), &format!("{key}.events must be a list of some of {words}"));
                        }
                    },
                    (unknown, _) => {
                        let what = format!(
                            "{} is not a key of [{key}]; it has url_file, format, keys_file and events",
                            shown(unknown)
                        );
                        self.problem(field.span(), &what);
                    }
                }
            }
            self.file.receivers.push(section);
        }
    }
}

/// The events in a list of at least one word, each once.
fn events(value: &DeValue<'_>) -> Option<Vec<Event>> {
    let words = value.as_array().filter(|words| !words.is_empty())?;
    let mut events: Vec<Event> =
        words.iter().map(|word| Event::read(word.get_ref().as_str()?)).collect::<Option<_>>()?;
    events.sort_unstable();
    events.dedup();
    Some(events)
}

impl Section {
    pub(super) fn shown(&self, env: &impl Fn(&str) -> Option<String>) -> Vec<Entry> {
        let entry = |what: &str, file: &Option<PathBuf>, about| {
            let variable = variable(&self.name, &what.to_ascii_uppercase());
            let (value, origin) = match (env(&variable).filter(|text| !text.trim().is_empty()), file) {
                (Some(_), _) => (HIDDEN, variable),
                (None, Some(file)) => (HIDDEN, in_file(file, &self.origin.shown())),
                (None, None) => ("(none)", self.origin.shown()),
            };
            Entry { key: format!("{NOTIFY}.{}.{what}", self.name), value: value.to_owned(), origin, about }
        };
        let mut entries = vec![entry("url", &self.url_file, "Who is told of what happens.")];
        if !self.is_slack {
            entries.push(entry("keys", &self.keys_file, "What is told there is signed with the first of these."));
        }
        entries
    }

    /// The receiver, with its secrets read.
    pub(super) fn read(
        self,
        env: &impl Fn(&str) -> Option<String>,
        cwd: &Path,
        unverified: bool,
        problems: &mut Vec<Problem>,
    ) -> Option<Receiver> {
        let Self { name, url_file, keys_file, is_slack, events, origin } = self;
        let key = format!("{NOTIFY}.{name}");
        let secret = |file: Option<PathBuf>, what: &str, field: &str, holds: &str| {
            let variable = variable(&name, what);
            if let Some(text) = env(&variable).filter(|text| !text.trim().is_empty()) {
                return Ok(Secret::new(text));
            }
            let file = file.ok_or_else(|| format!("has no {field}: {field} = \"…\", or {variable}"))?;
            read_secret(&cwd.join(&file), holds).map_err(|what| format!("names {}, which {what}", file.display()))
        };
        let language = match is_slack {
            true if keys_file.is_some() => Err("has keys_file, and Slack checks no signatures".to_owned()),
            true => Ok(Language::Slack),
            false => secret(keys_file, "KEYS", "keys_file", "the keys that messages are signed with")
                .and_then(|keys| Keys::read(&keys))
                .map(Language::Json),
        };
        let address =
            secret(url_file, "URL", "url_file", "the receiver's URL").and_then(|url| Address::read(&url, unverified));
        let mut report = |what: String| problems.push(Problem::new(&origin, format!("{key} {what}")));
        let language = language.map_err(&mut report).ok();
        let address = address.map_err(&mut report).ok();
        Some(Receiver { name, address: address?, language: language?, events })
    }
}
