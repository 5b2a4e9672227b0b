//! Whose a store is: what we write to besides the database bears the environment and the one database that uses it.
//!
//! A Redis, or a part of one with a prefix of its own, is one database's: under equal ids two of them would take each
//! other's secrets, and each other's tasks for sent.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::policy::Environment;
use super::refusal::{Fact, Refusal, ascii};

/// As much of a mark as is read: one of ours is shorter.
pub const LONGEST_MARK: usize = 128;

/// An environment, and the identity of its database's stamp. Written `development 51179767-693b-49a1-b753-380ca3bb39f7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    environment: Environment,
    /// `None`: the database has no stamp yet, and so nothing is its.
    identity: Option<Uuid>,
}

impl Owner {
    pub fn new(environment: Environment, identity: Uuid) -> Self {
        Self { environment, identity: Some(identity) }
    }

    /// A database that has no stamp yet: it may look, and every mark is another's.
    pub fn unstamped(environment: Environment) -> Self {
        Self { environment, identity: None }
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Nil for a database without a stamp.
    pub fn identity(&self) -> Uuid {
        self.identity.unwrap_or_default()
    }

    /// The refusal of a store at `server` that bears `borne` under the key `mark`, and not this owner.
    pub fn refuse(&self, server: &str, mark: &str, borne: &str) -> Refusal {
        let this = match self.identity {
            Some(_) => format!("this is the database {self}"),
            None => format!("this is a database of {} that has no stamp yet", self.environment),
        };
        let apart = "give this one a redis.prefix of its own, or another server";
        let (why, mend) = match borne.parse::<Owner>() {
            Ok(other) if other.environment == self.environment => (
                format!("another database of {} uses this Redis, and {this}", self.environment),
                format!("{apart}; if the other is gone for good: reconcile handoff rebind --reason REASON"),
            ),
            Ok(other) => (
                format!("this Redis belongs to {}, and {this}", other.environment),
                format!(
                    "{apart}; if {} has left it empty: reconcile handoff rebind --reason REASON",
                    other.environment
                ),
            ),
            Err(()) => (
                format!("what lies there under {} is no mark of ours, and {this}", ascii(mark)),
                format!("{apart}; or look at that key, find out who wrote it, and delete it by hand"),
            ),
        };
        Refusal::new(Fact::Mark, why, mend)
            .environment(&self.environment)
            .server(server)
            .bears(format!("{} under {}", ascii(borne), ascii(mark)))
            .allowed([self])
    }

    /// The refusal of the queue `queue` at `server`, whose tasks are those of `borne`, as is kept under the key `mark`.
    pub fn refuse_queue(&self, server: &str, queue: &str, mark: &str, borne: &str) -> Refusal {
        let (queue, mark, borne) = (ascii(queue), ascii(mark), ascii(borne));
        let why = format!("the queue {queue} carries the tasks of {borne}, and its workers would take ours too");
        let mend =
            format!("name a celery.queue of its own, with workers of its own; if {borne} has left it: DEL {mark}");
        Refusal::new(Fact::Mark, why, mend)
            .environment(&self.environment)
            .server(server)
            .bears(format!("{borne} under {mark}"))
            .allowed([&self.environment])
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.identity {
            Some(identity) => write!(out, "{} {identity}", self.environment),
            None => write!(out, "{} (no stamp yet)", self.environment),
        }
    }
}

impl FromStr for Owner {
    type Err = ();

    /// Reads just what [`fmt::Display`] writes of a database with a stamp: anything else is no mark of ours.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (environment, identity) = text.split_once(' ').ok_or(())?;
        let environment = Environment::new(environment).map_err(drop)?;
        let owner = Self::new(environment, Uuid::try_parse(identity).map_err(drop)?);
        if owner.to_string() == text { Ok(owner) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(environment: &str, identity: u128) -> Owner {
        Owner::new(Environment::new(environment).unwrap(), Uuid::from_u128(identity))
    }

    #[test]
    fn a_mark_is_read_as_it_is_written_and_in_no_other_way() {
        let one = owner("development", 7);
        let text = one.to_string();
        assert_eq!((text.parse(), text.len() < LONGEST_MARK), (Ok(one.clone()), true));
        assert!(owner(&"e".repeat(63), u128::MAX).to_string().len() < LONGEST_MARK);
        for odd in
            ["", "development", &format!("{text} "), &text.to_uppercase(), &text.replace('-', ""), "development "]
        {
            assert_eq!(odd.parse::<Owner>(), Err(()), "{odd}");
        }
        let unstamped = Owner::unstamped(Environment::new("development").unwrap());
        assert_eq!(unstamped.to_string().parse::<Owner>(), Err(()), "and it is never found in a store");
    }

    #[test]
    fn a_refusal_says_whose_it_is_and_how_to_go_on() {
        let refused = |borne: &str| owner("development", 7).refuse("localhost:6379/0", "reconcile:environment", borne);
        for (borne, why, mend) in [
            (owner("production", 8).to_string(), "belongs to production", "redis.prefix"),
            (owner("development", 8).to_string(), "another database of development", "handoff rebind"),
            ("\u{1b}[2J\n".to_owned(), "no mark of ours", "delete it by hand"),
        ] {
            let refusal = refused(&borne);
            assert!(refusal.why.contains(why) && refusal.mend.contains(mend), "{refusal:?}");
            let boxed = refusal.boxed(80);
            assert!(boxed.contains("bears") && boxed.contains("development 00000000-"), "{boxed}");
            assert!(!boxed.contains('\u{1b}') && !boxed.contains("catalog"), "{boxed}");
        }
    }
}
