//! Refusals: what the guard says instead of yes, on one line or in a box.

use std::fmt;
use std::ops::Deref;

use crate::change::printable;

/// Which of the guard's facts did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The configuration: an unknown environment, or a catalog that two environments claim.
    Policy,
    /// Fact 1: the catalog that the URL names.
    Url,
    /// Fact 2: the catalog that the server, or the file system, says it is.
    Answer,
    /// Fact 3: the stamp inside the database.
    Stamp,
    /// What a Redis says about whose it is.
    Mark,
    /// The way to the server is not verified.
    Transport,
    /// The data directory is another's, or another environment's.
    DataDir,
    /// The configuration file is one that somebody else may have put there.
    Settings,
}

impl Fact {
    fn label(self) -> &'static str {
        match self {
            Fact::Policy => "the configuration of environments",
            Fact::Url => "fact 1 of 3, the database URL",
            Fact::Answer => "fact 2 of 3, what the server says it is",
            Fact::Stamp => "fact 3 of 3, the stamp in the database",
            Fact::Mark => "the mark in Redis that says whose it is",
            Fact::Transport => "the connection's encryption",
            Fact::DataDir => "the data directory",
            Fact::Settings => "the configuration file",
        }
    }
}

/// Everything that a refusal tells. No field ever holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The environment in force; `None` before one is chosen.
    pub environment: Option<String>,
    /// `10.0.0.1:5432`, or the real path of a file.
    pub server: Option<String>,
    pub catalog: Option<String>,
    /// What a store beside the database says about whose it is; such a store has no catalog.
    pub bears: Option<String>,
    pub fact: Fact,
    /// What is wrong, as one clause without a full stop.
    pub why: String,
    /// What would have been admitted: catalogs, or environments where the environment is unknown.
    pub allowed: Vec<String>,
    /// What to do about it, as one clause without a full stop.
    pub mend: String,
}

/// A refusal. `Display` is one line; [`Refusal::boxed`] is the message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Box<Details>);

impl Refusal {
    pub fn new(fact: Fact, why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self(Box::new(Details {
            environment: None,
            server: None,
            catalog: None,
            bears: None,
            fact,
            why: why.into(),
            allowed: Vec::new(),
            mend: mend.into(),
        }))
    }

    pub(crate) fn environment(mut self, environment: impl fmt::Display) -> Self {
        self.0.environment = Some(environment.to_string());
        self
    }

    pub(crate) fn server(mut self, server: impl Into<String>) -> Self {
        self.0.server = Some(server.into());
        self
    }

    pub(crate) fn catalog(mut self, catalog: impl fmt::Display) -> Self {
        self.0.catalog = Some(catalog.to_string());
        self
    }

    pub(crate) fn bears(mut self, bears: impl Into<String>) -> Self {
        self.0.bears = Some(bears.into());
        self
    }

    pub(crate) fn allowed(mut self, allowed: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        self.0.allowed = allowed.into_iter().map(|one| one.to_string()).collect();
        self
    }

    /// The refusal in a box of `width` columns, at least 40: environment, server, catalog, which fact failed, what is
    /// allowed and how to mend it.
    pub fn boxed(&self, width: usize) -> String {
        let Details { environment, server, catalog, bears, fact, why, allowed, mend } = &*self.0;
        let unknown = || "(not known)".to_owned();
        let rows = [
            ("environment", environment.clone().unwrap_or_else(unknown)),
            ("server", server.clone().unwrap_or_else(unknown)),
            match bears {
                Some(bears) => ("bears", bears.clone()),
                None => ("catalog", catalog.clone().unwrap_or_else(unknown)),
            },
            ("failed", fact.label().to_owned()),
            ("because", why.clone()),
            ("allowed", if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") }),
            ("to mend", mend.clone()),
        ];
        let inner = width.max(40) - 4;
        let label_width = 13;
        let title = "─ refused by the guard ";
        let mut out = format!("┌{title}{}┐\n", "─".repeat(inner + 2 - title.chars().count()));
        for (label, text) in rows {
            for (nth, line) in wrap(&visible(&text), inner - label_width).into_iter().enumerate() {
                let label = if nth == 0 { label } else { "" };
                out.push_str(&format!("│ {label:<label_width$}{line:<rest$} │\n", rest = inner - label_width));
            }
        }
        out.push_str(&format!("└{}┘", "─".repeat(inner + 2)));
        out
    }
}

impl Deref for Refusal {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "refused by the guard: {}", visible(&self.why))
    }
}

impl std::error::Error for Refusal {}

/// `text` in ASCII alone, so that a letter that only looks like another is seen for what it is.
pub(super) fn ascii(text: &str) -> String {
    text.chars()
        .flat_map(|letter| if letter.is_ascii() { vec![letter] } else { letter.escape_unicode().collect() })
        .collect()
}

/// Safe for a terminal; unlike `printable`, ordinary quotes and backslashes stay as they are.
fn visible(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '"' | '\\' => letter.to_string(),
            _ => printable(&letter.to_string()),
        })
        .collect()
}

/// Lines of at most `width` characters, broken at blanks, or within a word that is longer than a line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(String::new());
            used = 0;
        }
        while !word.is_empty() {
            let blank = usize::from(used > 0);
            let fits = word.len().min(width - used - blank);
            if let Some(line) = lines.last_mut() {
                line.push_str(&" ".repeat(blank));
                line.extend(word.drain(..fits));
            }
            used += blank + fits;
            if !word.is_empty() {
                lines.push(String::new());
                used = 0;
            }
        }
    }
    lines
}
