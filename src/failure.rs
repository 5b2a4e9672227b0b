//! What could not be done, why, and the way out: the edge where every error becomes a message and an exit code.

use std::error::Error as StdError;

use crate::change::{Blocked, Obstacle, printable};
use crate::config::ConfigError;
use crate::desired::tree::TreeError;
use crate::guard::Refusal;
use crate::port;
use crate::port::handoff::HandOffError;
use crate::store;
use crate::store::error::{Cause, Trouble};
use crate::yaml::Problems;

/// A result whose error a person will read.
pub type Result<T> = std::result::Result<T, Failure>;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Exit code 1.
    Error,
    /// What was asked for does not exist: exit code 1.
    Missing,
    /// As things stand it may not be done; once they stand otherwise, it may: exit code 1.
    Conflict,
    /// What was asked for cannot be, however things stand: exit code 1.
    Invalid,
    /// Something that is needed for it does not answer, or cannot be used: exit code 1.
    Unavailable,
    /// Refused by the guard: exit code 3.
    Refused,
    /// Held until somebody lets it pass, and to be told from an error: exit code 4.
    Held,
    /// A question that was answered with no, of which nothing more is said: exit code 1.
    Silent,
}

impl Class {
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Error | Class::Missing | Class::Conflict | Class::Invalid | Class::Unavailable | Class::Silent => 1,
            Class::Refused => 3,
            Class::Held => 4,
        }
    }
}

/// A failure, ready to be shown.
#[derive(Debug)]
pub struct Failure {
    pub class: Class,
    /// What ends it.
    pub trouble: Trouble,
    /// The database is away, so that not even the failure can be noted in it.
    pub is_away: bool,
    /// There is no schema of ours, or one of another version than this program's.
    pub is_schema: bool,
    /// What could not be done.
    pub message: String,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    pub hints: Vec<String>,
    body: Body,
}

/// What is shown in place of the one-line message.
#[derive(Debug)]
enum Body {
    Line,
    Files(Problems),
    Boxed(Refusal),
}

impl Failure {
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            class: Class::Error,
            trouble: Trouble::Transient,
            is_away: false,
            is_schema: false,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            body: Body::Line,
        }
    }

    /// What was asked for does not exist.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { class: Class::Missing, ..Self::error(message) }
    }

    /// As things stand it may not be done.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { class: Class::Conflict, ..Self::error(message) }
    }

    /// What was asked for cannot be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { class: Class::Invalid, ..Self::error(message) }
    }

    /// Something that is needed for it cannot be used now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { class: Class::Unavailable, ..Self::error(message) }
    }

    /// Refused: another environment, another target.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { class: Class::Refused, trouble: Trouble::Lasting, ..Self::error(message) }
    }

    /// A no that gives no reason.
    pub fn silent() -> Self {
        Self { class: Class::Silent, ..Self::error("") }
    }

    /// All problems of all files.
    pub fn files(problems: Problems) -> Self {
        let count = match problems.len() {
            1 => "a problem".to_owned(),
            count => format!("{count} problems"),
        };
        let message = format!("the state files have {count}; nothing was applied");
        Self { body: Body::Files(problems), ..Self::error(message) }
    }

    /// An error with everything that stands behind it.
    pub fn caused(error: &dyn StdError) -> Self {
        Self { causes: store::error::causes(error), ..Self::error(error.to_string()) }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub fn hints(mut self, hints: impl IntoIterator<Item = String>) -> Self {
        self.hints.extend(hints);
        self
    }

    pub fn exit_code(&self) -> u8 {
        self.class.exit_code()
    }

    /// On one line, for a log.
    pub fn line(&self) -> String {
        let mut line = printable(&self.message);
        for cause in &self.causes {
            line.push_str(": ");
            line.push_str(&printable(cause));
        }
        line
    }

    /// For a terminal `width` columns wide.
    pub fn report(&self, color: bool, width: usize) -> String {
        let mut report = match &self.body {
            Body::Boxed(refusal) => format!("{}\n", refusal.boxed(width).trim_end()),
            Body::Files(problems) => format!("{}\n", problems.render(color, width).trim_end()),
            Body::Line => String::new(),
        };
        if !matches!(self.body, Body::Boxed(_)) && self.class != Class::Silent {
            report.push_str(&format!("error: {}\n", printable(&self.message)));
        }
        for cause in &self.causes {
            report.push_str(&format!("  because: {}\n", printable(cause)));
        }
        for hint in &self.hints {
            report.push_str(&format!("  hint: {}\n", printable(hint)));
        }
        report
    }

    /// The problems of the files, where that is what failed.
    pub fn problems(&self) -> Option<&Problems> {
        match &self.body {
            Body::Files(problems) => Some(problems),
            Body::Line | Body::Boxed(_) => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { body: Body::Boxed(refusal.clone()), ..Self::refused(refusal.to_string()) }
    }
}

impl From<store::error::Error> for Failure {
    fn from(error: store::error::Error) -> Self {
        match error {
            store::error::Error::Refused(refusal) => refusal.into(),
            error => Self {
                trouble: error.trouble(),
                is_away: error.is_away(),
                is_schema: error.cause() == Cause::SchemaMissing || error.is_of_another_version(),
                ..Self::caused(&error).hints(error.hint())
            },
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        if let Some(refusal) = error.refusal() {
            return refusal.clone().into();
        }
        match error.0.as_slice() {
            [_] => Self::caused(&error),
            problems => Self {
                causes: problems.iter().map(ToString::to_string).collect(),
                ..Self::error(format!("the settings have {} problems", problems.len()))
            },
        }
    }
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        Self::caused(&error).hint(error.hint())
    }
}

impl From<HandOffError> for Failure {
    fn from(error: HandOffError) -> Self {
        if let Some(refusal) = error.refusal() {
            return refusal.clone().into();
        }
        Self { class: Class::Unavailable, ..Self::caused(&error).hints(error.hint()) }
    }
}

impl From<port::Error> for Failure {
    fn from(error: port::Error) -> Self {
        if let Some(refusal) = error.refusal() {
            return refusal.clone().into();
        }
        Self { class: Class::Unavailable, ..Self::caused(&error).hints(error.hint()) }
    }
}

/// For whoever asked for just this: a plan lists it, and goes on.
impl From<Blocked> for Failure {
    fn from(blocked: Blocked) -> Self {
        let Blocked { id: _, obstacle, reason, hint } = blocked;
        let class = match obstacle {
            Obstacle::Missing => Class::Missing,
            Obstacle::Keys | Obstacle::HandOff | Obstacle::Broker => Class::Unavailable,
            Obstacle::Suspended | Obstacle::Protected | Obstacle::Flapping | Obstacle::Resource => Class::Conflict,
        };
        Self { class, ..Self::error(reason).hint(hint) }
    }
}
