//! What became of a task, as a worker with a Redis result backend writes it down.
//!
//! Only its status and the name of its exception are kept. A result, a message and a traceback may hold what the task
//! was given, and are never shown.

use std::fmt;

use redis::{Pipeline, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::TaskError;
use crate::port::redis::Redis;

/// As much of a result as is read. Celery writes the status first, and the exception's name right behind it.
pub(super) const READ: usize = 16 * 1024;

/// How many results are read together.
const TOGETHER: usize = 100;

/// The longest name of an exception that is shown, in letters.
const LONGEST: usize = 100;

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is known: it waits, the worker writes no results, or what it wrote has expired.
    Pending,
    /// A worker is at it. Also for states that the task made up itself.
    Started,
    /// It failed, and a worker will try again.
    Retry,
    Success,
    /// It failed, or was revoked.
    Failure {
        /// The name of the exception's type, such as `OperationalError`.
        exception: String,
    },
}

/// Reads results.
#[derive(Clone)]
pub struct Results {
    redis: Redis,
}

impl Results {
    /// From the result backend of the workers, which must be JSON as is Celery's default. The key prefix is what is
    /// `global_keyprefix` in their `result_backend_transport_options`.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Where results are left.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// How far each of the tasks is, in the order of `ids`. Leaves no trace.
    pub async fn outcomes(&self, ids: &[Uuid]) -> Result<Vec<Outcome>, TaskError> {
        let mut outcomes = Vec::with_capacity(ids.len());
        for ids in ids.chunks(TOGETHER) {
            let mut commands = Pipeline::with_capacity(ids.len());
            for id in ids {
                commands.cmd("GETRANGE").arg(self.key(*id)).arg(0).arg(READ - 1);
            }
            for (id, answer) in ids.iter().zip(self.redis.ask(&commands).await?) {
                let Value::BulkString(written) = self.redis.checked(answer)? else {
                    return Err(self.redis.unexpected().into());
                };
                outcomes.push(outcome(&Zeroizing::new(written)).ok_or(TaskError::Result { id: *id })?);
            }
        }
        Ok(outcomes)
    }

    /// Celery puts an underscore behind a prefix of results that does not end as one.
    fn key(&self, id: Uuid) -> String {
        let between = match self.redis.prefix().chars().last() {
            None | Some(':' | '_' | '-' | '.') => "",
            Some(_) => "_",
        };
        self.redis.key(&format!("{between}celery-task-meta-{id}"))
    }
}

/// The outcome that `written` tells of; `None` if it is not a result.
pub(super) fn outcome(written: &[u8]) -> Option<Outcome> {
    if written.is_empty() {
        return Some(Outcome::Pending);
    }
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_slice(written);
    if let Err(error) = (Meta { found: &mut found }).deserialize(&mut reader) {
        // Cut off by us; what is needed stands in front.
        if !(error.is_eof() && written.len() >= READ) {
            return None;
        }
    }
    let Found { status, exception } = found;
    Some(match status?.as_str() {
        "PENDING" | "RECEIVED" => Outcome::Pending,
        "RETRY" => Outcome::Retry,
        "SUCCESS" => Outcome::Success,
        "FAILURE" | "REVOKED" | "REJECTED" => Outcome::Failure { exception: shown(exception.as_deref()) },
        _ => Outcome::Started,
    })
}

/// The name of a type, if that is what it is.
fn shown(exception: Option<&str>) -> String {
    let plain = |name: &&str| {
        !name.is_empty()
            && name.chars().count() <= LONGEST
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.".contains(letter))
    };
    exception.filter(plain).unwrap_or("an exception without a plain name").to_owned()
}

/// What was found before the end, or the cut.
#[derive(Default)]
struct Found {
    status: Option<String>,
    exception: Option<String>,
}

/// The whole of a result.
struct Meta<'a> {
    found: &'a mut Found,
}

/// The member `result`, which is an exception where the task failed.
struct Exception<'a> {
    name: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Meta<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Meta<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a result of Celery's")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "status" => self.found.status = Some(members.next_value()?),
                "result" => {
                    // A result of success may be anything, and is passed over unread.
                    let failed = self.found.status.as_deref().is_some_and(|status| status != "SUCCESS");
                    if failed {
                        members.next_value_seed(Exception { name: &mut self.found.exception })?;
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Exception<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Exception<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an exception of Celery's, or what the task put there itself")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<(), S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if name == "exc_type" {
                *self.name = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
