//! What `reconcile config` shows of what was given in a roundabout way: by a rule, or in a file of its own.

use std::path::PathBuf;

use super::given::DEFAULT;
use super::{Config, Entry, HIDDEN, Secrecy, TABLE, settings, url};
use crate::change::Source;
use crate::port::keys::KeySource;
use crate::secret::Secret;

/// The file that holds the value of the setting `key`.
pub(super) struct InFile {
    pub key: &'static str,
    /// `None`: no file is in force.
    pub path: Option<PathBuf>,
}

/// Where a value came from that stands in a file: which, and who named it.
pub(super) fn in_file(path: &std::path::Path, named_by: &str) -> String {
    // It may be the URL itself that was put here by mistake.
    format!("{}, named by {named_by}", url::masked(&path.display().to_string()))
}

impl Config {
    /// Puts values in the place of the rules and files that yielded them, so that what is shown is what is in force.
    pub(super) fn show_what_is_in_force(&mut self, files: Vec<InFile>) {
        for InFile { key, path } in files {
            let twin = settings::RIVALS.iter().find(|(one, _)| *one == key).map(|(_, file)| *file);
            let named_by = self.shown.iter().find(|entry| Some(entry.key.as_str()) == twin);
            let (Some(path), Some(named_by)) = (path, named_by) else { continue };
            let (origin, value) = (in_file(&path, &named_by.origin), self.hidden(key));
            self.show(key, value, Some(origin));
        }
        self.show("source", word(self.source).to_owned(), None);
        if self.database_url.is_none() && self.is_by_default("database.url") {
            self.show("database.url", format!("sqlite:{}", self.embedded_database().display()), None);
        }
        if self.broker_url.is_some() && self.is_by_default("celery.broker_url") {
            let value = self.hidden("celery.broker_url");
            self.show("celery.broker_url", value, Some("redis.url".to_owned()));
        }
        if self.is_by_default("host.keys") {
            let value = match &self.host_keys {
                KeySource::Made(path) => format!("(made at the first apply: {})", path.display()),
                KeySource::File(_) | KeySource::Given { .. } => HIDDEN.to_owned(),
                KeySource::Missing { .. } => "(none)".to_owned(),
            };
            self.show("host.keys", value, None);
        }
    }

    /// A value that was read out of a file, as far as it may be shown.
    fn hidden(&self, key: &str) -> String {
        let read: Option<&Secret> = match key {
            "database.url" => self.database_url.as_ref(),
            "redis.url" => self.redis_url.as_ref(),
            "celery.broker_url" => self.broker_url.as_ref(),
            "celery.result_url" => self.result_url.as_ref(),
            _ => None,
        };
        let is_url = TABLE.iter().any(|setting| setting.key == key && matches!(setting.secrecy, Secrecy::Url));
        read.filter(|_| is_url).map_or_else(|| HIDDEN.to_owned(), |url| url::masked(url.expose()))
    }

    fn is_by_default(&self, key: &str) -> bool {
        self.shown.iter().any(|entry| entry.key == key && entry.origin == DEFAULT)
    }

    fn show(&mut self, key: &str, value: String, origin: Option<String>) {
        if let Some(entry) = self.shown.iter_mut().find(|entry| entry.key == key) {
            let Entry { origin: before, .. } = &*entry;
            let origin = origin.unwrap_or_else(|| before.clone());
            *entry = Entry { value, origin, ..entry.clone() };
        }
    }
}

fn word(source: Source) -> &'static str {
    match source {
        Source::Worktree => "worktree",
        Source::Head => "head",
    }
}
