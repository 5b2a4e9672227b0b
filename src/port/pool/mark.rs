//! The mark in a role's comment: whose it is, and which applier worked on it last.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The role whose comment says which environment a server belongs to. It cannot log in, and owns nothing.
pub(super) const SERVER_ROLE: &str = "reconcile_pool";

/// `reconcile environment=development instance=fbaa8c92-0000-4000-8000-000000000001 fencing=12`
///
/// Only a role that may make roles can write a comment on one, so a customer cannot forge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub environment: String,
    pub instance: Uuid,
    /// Never goes back.
    pub fencing: i64,
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { environment, instance, fencing } = self;
        write!(out, "reconcile environment={environment} instance={instance} fencing={fencing}")
    }
}

impl FromStr for Mark {
    type Err = ();

    /// Reads just what [`fmt::Display`] writes: anything else is no mark of ours.
    fn from_str(comment: &str) -> Result<Self, ()> {
        let mut words = comment.split(' ');
        let mut word = |name: &str| {
            let word = words.next()?;
            if name.is_empty() { Some(word) } else { word.strip_prefix(name)?.strip_prefix('=') }
        };
        let read = || {
            (word("")? == "reconcile").then_some(())?;
            Some(Mark {
                environment: word("environment")?.to_owned(),
                instance: word("instance")?.parse().ok()?,
                fencing: word("fencing")?.parse().ok()?,
            })
        };
        let mark = { read }().ok_or(())?;
        if mark.to_string() == comment { Ok(mark) } else { Err(()) }
    }
}

/// What the server's own role says.
pub(super) fn server_mark(environment: &str) -> String {
    format!("reconcile environment={environment}")
}

/// Which environment a comment of ours names, on an instance's role or on the server's.
pub(super) fn environment_of(comment: &str) -> Option<&str> {
    comment.strip_prefix("reconcile environment=")?.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written_and_in_no_other_way() {
        let mark = Mark { environment: "development".to_owned(), instance: Uuid::from_u128(7), fencing: 12 };
        let text = mark.to_string();
        assert_eq!(text.parse(), Ok(mark));
        for odd in [
            "",
            "reconcile",
            &format!("{text} "),
            &format!(" {text}"),
            &text.replace("=12", "=+12"),
            &text.to_uppercase(),
        ] {
            assert_eq!(odd.parse::<Mark>(), Err(()), "{odd}");
        }
        assert_eq!(environment_of(&text), Some("development"));
        assert_eq!(environment_of(&server_mark("production")), Some("production"));
        assert_eq!(environment_of("somebody's role"), None);
    }
}
