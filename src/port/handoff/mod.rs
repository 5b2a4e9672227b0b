//! The hand-off: a secret waiting for its one reader.
//!
//! Guarantees: a secret is taken at most once, whoever races and whatever crashes; nothing that only looks leaves a
//! trace; an entry whose life is over is as good as gone. A life is counted in wall-clock time, so setting the clock
//! back lengthens it, and setting it forward shortens it.
//!
//! It has two homes: sealed files for one machine, and Redis for several.

mod embedded;
mod redis;
mod seal;
#[cfg(test)]
pub(crate) mod tests;
mod whereabouts;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::keys::KeyRing;
use super::redis::{Owned, RedisError};
use crate::file::Fault;
use crate::guard::{Owner, Refusal};
use crate::secret::Secret;

use self::redis::Lease;
pub(super) use self::redis::{fence, lengthen};
use embedded::Claim;
pub use embedded::{Embedded, Shelf};
pub use whereabouts::{EMBEDDED, REDIS, Record, Unknown, Whereabouts};

/// A secret, and how long it waits.
pub struct Entry {
    /// Its name, such as `host:215:<attempt>`. Putting under a name that is in use replaces what waits there.
    pub key: String,
    pub secret: Secret,
    /// More than zero; cut to microseconds, and in Redis to milliseconds.
    pub life: Duration,
}

/// What went wrong with a hand-off. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum HandOffError {
    #[error("the hand-off cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the hand-off cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: Fault },
    #[error("the hand-off entry {} was changed after it was written, or belongs under another name", path.display())]
    Damaged { path: PathBuf },
    #[error("the hand-off entry {} is sealed with host key {key_id}, which is not in the key ring", path.display())]
    UnknownKey { path: PathBuf, key_id: String },
    #[error("a secret cannot wait for {} s: the time until then is out of range", life.as_secs())]
    Life { life: Duration },
    #[error("the operating system gave no random bytes")]
    Random(#[source] getrandom::Error),
    #[error("the secret could not be sealed")]
    Unsealable,
    #[error("the hand-off was interrupted")]
    Interrupted,
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("a later applier has put {key} into the hand-off since: its fencing number is {theirs}, ours is {ours}")]
    Fenced { key: String, theirs: i64, ours: i64 },
    #[error("what lay in Redis under {key} is no text, so no secret of ours")]
    NotText { key: String },
}

impl HandOffError {
    /// The guard's no, where that is what it is.
    pub fn refusal(&self) -> Option<&Refusal> {
        if let HandOffError::Redis(error) = self { error.refusal() } else { None }
    }

    /// How to mend it, where the operator can.
    pub fn hint(&self) -> Option<String> {
        match self {
            HandOffError::Io { path, .. } => {
                Some(format!("check the space and the rights of this user in {}", path.parent().unwrap_or(path).display()))
            }
            HandOffError::Unreadable { path, source } => Some(source.hint(path)),
            HandOffError::Damaged { .. } => Some(
                "the secret in it is lost: rotate, so that a new one is made; and find out who can write to the data directory"
                    .to_owned(),
            ),
            HandOffError::UnknownKey { .. } => {
                Some("put that key back into the ring, below the current one, until its secrets are claimed".to_owned())
            }
            HandOffError::Redis(error) => error.hint(),
            HandOffError::NotText { .. } => {
                Some("rotate, so that a new secret is made; and set a key prefix of our own, which nobody else uses".to_owned())
            }
            HandOffError::Life { .. }
            | HandOffError::Random(_)
            | HandOffError::Unsealable
            | HandOffError::Interrupted
            | HandOffError::Fenced { .. } => None,
        }
    }
}

/// The reading half: what waits, and until when. Needs no key, reads no secret, and leaves no trace.
#[derive(Clone)]
pub enum Probe {
    Embedded(Shelf),
    Redis(Owned),
}

impl Probe {
    /// Looks into the embedded hand-off of this data directory, which need not be there, for what `owner` has put there.
    pub fn embedded(data_dir: &Path, owner: &Owner) -> Self {
        Probe::Embedded(Shelf::new(data_dir, owner))
    }

    /// Looks into Redis.
    pub fn redis(store: Owned) -> Self {
        Probe::Redis(store)
    }

    /// For each of `keys`, in order: until when its secret waits, or `None` if there is nothing to take. What somebody
    /// else gave no end waits until [`DateTime::MAX_UTC`].
    ///
    /// Errors: it cannot be asked; in Redis, whose it is is asked also without keys, and another's is refused.
    pub async fn waiting(&self, keys: &[String]) -> Result<Vec<Option<DateTime<Utc>>>, HandOffError> {
        match self {
            Probe::Embedded(shelf) => {
                let (shelf, keys) = (shelf.clone(), keys.to_vec());
                blocking(move || keys.iter().map(|key| shelf.until(key)).collect()).await?
            }
            Probe::Redis(store) => redis::waiting(store, keys).await,
        }
    }

    /// What the store is called in the record of a handoff; `None`: nothing was ever put into it.
    ///
    /// Errors: its id cannot be read.
    pub async fn home(&self) -> Result<Option<String>, HandOffError> {
        match self {
            Probe::Embedded(shelf) => {
                let shelf = shelf.clone();
                let id = blocking(move || shelf.id()).await??;
                Ok(id.map(|id| format!("{EMBEDDED} {id}")))
            }
            Probe::Redis(_) => Ok(Some(REDIS.to_owned())),
        }
    }

    /// How many secrets wait under each key of a ring, by its id; Redis keeps them without.
    ///
    /// Errors: they cannot be listed.
    pub async fn sealed_under(&self) -> Result<BTreeMap<String, usize>, HandOffError> {
        match self {
            Probe::Embedded(shelf) => {
                let shelf = shelf.clone();
                blocking(move || shelf.sealed_under()).await?
            }
            Probe::Redis(_) => Ok(BTreeMap::new()),
        }
    }

    /// Where the secret under each key is, by what the store has and by what is recorded. That the store does not answer
    /// makes it unknown; the answer beside it is the store's.
    pub async fn whereabouts(&self, asked: &[(String, Record)]) -> (Vec<Whereabouts>, Result<(), HandOffError>) {
        let keys: Vec<String> = asked.iter().map(|(key, _)| key.clone()).collect();
        let answer = match (self.waiting(&keys).await, self.home().await) {
            (Ok(found), Ok(here)) => Ok((found, here)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        match answer {
            Ok((found, here)) => {
                // After the store has answered: what it forgot in between by the end of its life is not lost.
                let now = Utc::now();
                let judge = |((_, record), found): (&(String, Record), Option<DateTime<Utc>>)| {
                    Whereabouts::judge(found.is_some(), here.as_deref(), record, now)
                };
                (asked.iter().zip(found).map(judge).collect(), Ok(()))
            }
            Err(error) => {
                let silent = |_| Whereabouts::Unknown(Unknown::Silent(error.to_string()));
                (asked.iter().map(silent).collect(), Err(error))
            }
        }
    }

    /// The highest fencing number of an applier that has put under one of `keys`; 0 where that is not known, as in the
    /// embedded hand-off.
    ///
    /// Errors: as [`Probe::waiting`].
    pub async fn highest_fence(&self, keys: &[String]) -> Result<i64, HandOffError> {
        match self {
            Probe::Embedded(_) => Ok(0),
            Probe::Redis(store) => redis::highest_fence(store, keys).await,
        }
    }
}

/// Where secrets wait.
#[derive(Clone)]
pub enum HandOff {
    Embedded(Embedded),
    Redis(Owned),
}

impl HandOff {
    /// A hand-off for one machine: sealed files below the data directory, which is made when something is put there.
    pub fn embedded(data_dir: &Path, owner: &Owner, ring: Arc<KeyRing>) -> Self {
        HandOff::Embedded(Embedded::new(data_dir, owner, ring))
    }

    /// A hand-off for several machines: keys of a Redis database, in clear text to whoever may read them there. Each call
    /// but a look compares whose it is, in the same step as whatever it does.
    pub fn redis(store: Owned) -> Self {
        HandOff::Redis(store)
    }

    pub fn probe(&self) -> Probe {
        match self {
            HandOff::Embedded(embedded) => Probe::Embedded(embedded.shelf().clone()),
            HandOff::Redis(store) => Probe::Redis(store.clone()),
        }
    }

    /// Puts each secret where its reader finds it; the answers are in the order of `entries`. What is answered with
    /// `Ok` is still there after a power cut; in Redis, where the server's settings for its persistence say so.
    pub async fn put(&self, entries: Vec<Entry>) -> Vec<Result<(), HandOffError>> {
        match self {
            HandOff::Embedded(embedded) => {
                let (embedded, count) = (embedded.clone(), entries.len());
                match blocking(move || embedded.put(&entries)).await {
                    Ok(done) => done,
                    Err(_) => (0..count).map(|_| Err(HandOffError::Interrupted)).collect(),
                }
            }
            HandOff::Redis(store) => redis::put(store, &entries).await,
        }
    }

    /// As [`HandOff::put`], for names that are used again: what an applier with a higher fencing number has put stays.
    /// In Redis, whose clients may be on many machines; in the embedded hand-off the last one wins.
    ///
    /// Errors: [`HandOffError::Fenced`], beside those of [`HandOff::put`].
    pub async fn put_fenced(&self, entries: Vec<Entry>, fencing: i64) -> Vec<Result<(), HandOffError>> {
        match self {
            HandOff::Embedded(_) => self.put(entries).await,
            HandOff::Redis(store) => redis::put_fenced(store, &entries, fencing).await,
        }
    }

    /// Nothing waits under `keys` any more, and no applier with a lower fencing number puts anything there.
    ///
    /// Errors: [`HandOffError::Fenced`], where a later one was here already; and what the hand-off says.
    pub async fn clear_fenced(&self, keys: &[String], fencing: i64) -> Vec<Result<(), HandOffError>> {
        match self {
            HandOff::Redis(store) => redis::clear_fenced(store, keys, fencing).await,
            HandOff::Embedded(_) => {
                let mut done = Vec::with_capacity(keys.len());
                for key in keys {
                    done.push(self.discard(key).await);
                }
                done
            }
        }
    }

    /// Takes back what was put, unless something else waits under `key` by now.
    pub async fn withdraw(&self, key: &str, secret: &Secret) -> Result<(), HandOffError> {
        if let HandOff::Redis(store) = self {
            return redis::withdraw(store, key, secret).await;
        }
        match self.take(key).await? {
            Some(taken) if taken.secret().expose() == secret.expose() => taken.finish().await,
            Some(taken) => taken.restore().await,
            None => Ok(()),
        }
    }

    /// As [`Probe::waiting`].
    pub async fn waiting(&self, keys: &[String]) -> Result<Vec<Option<DateTime<Utc>>>, HandOffError> {
        self.probe().waiting(keys).await
    }

    /// Takes the secret under `key`, exactly once whoever races; `None` if there is none, or its life is over.
    ///
    /// Errors: it is there, but this key ring or this user cannot read it; then it stays where it was.
    pub async fn take(&self, key: &str) -> Result<Option<Taken>, HandOffError> {
        match self {
            HandOff::Embedded(embedded) => {
                let (embedded, key) = (embedded.clone(), key.to_owned());
                let taken = blocking(move || embedded.take(&key)).await??;
                Ok(taken.map(|(secret, claim)| Taken { secret, place: Place::Embedded(claim) }))
            }
            HandOff::Redis(store) => {
                let taken = redis::take(store, key).await?;
                Ok(taken.map(|(secret, lease)| Taken { secret, place: Place::Redis(lease) }))
            }
        }
    }

    /// Looks at the secret under `key` and leaves it there, for whoever passes it on by another way; `None` if there
    /// is none, or its life is over.
    ///
    /// Errors: as [`HandOff::take`].
    pub async fn read(&self, key: &str) -> Result<Option<Secret>, HandOffError> {
        match self {
            HandOff::Embedded(embedded) => {
                let (embedded, key) = (embedded.clone(), key.to_owned());
                blocking(move || embedded.read(&key)).await?
            }
            HandOff::Redis(store) => redis::read(store, key).await,
        }
    }

    /// Removes what waits under `key`, if anything does.
    pub async fn discard(&self, key: &str) -> Result<(), HandOffError> {
        match self {
            HandOff::Embedded(embedded) => {
                let (shelf, key) = (embedded.shelf().clone(), key.to_owned());
                blocking(move || shelf.discard(&key)).await?
            }
            HandOff::Redis(store) => redis::discard(store, key).await,
        }
    }

    /// Removes what nobody can take any more, and answers how many entries that were. Redis does so by itself.
    pub async fn sweep(&self) -> Result<usize, HandOffError> {
        match self {
            HandOff::Embedded(embedded) => {
                let shelf = embedded.shelf().clone();
                blocking(move || shelf.sweep()).await?
            }
            HandOff::Redis(_) => Ok(0),
        }
    }
}

/// A secret that this process alone has taken. Dropped without a word, as by a crash, it is gone: nobody can take it
/// again.
#[must_use = "finish it once its use is recorded, or restore it"]
pub struct Taken {
    secret: Secret,
    place: Place,
}

enum Place {
    Embedded(Claim),
    /// It left the server when it was taken.
    Redis(Lease),
}

impl Taken {
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Deletes it for good. An error leaves something behind that nobody can take, and that a later sweep removes.
    pub async fn finish(self) -> Result<(), HandOffError> {
        match self.place {
            Place::Embedded(claim) => blocking(move || claim.remove()).await?,
            Place::Redis(_) => Ok(()),
        }
    }

    /// Puts it back with what remains of its life: its taking could not be recorded. Where a newer secret waits under
    /// the same name by now, that one stays.
    pub async fn restore(self) -> Result<(), HandOffError> {
        match self.place {
            Place::Embedded(claim) => blocking(move || claim.restore()).await?,
            Place::Redis(lease) => lease.restore(&self.secret).await,
        }
    }
}

/// The end of a life that begins now.
fn expiry(life: Duration) -> Result<DateTime<Utc>, HandOffError> {
    let span = TimeDelta::from_std(life).ok();
    span.and_then(|span| Utc::now().checked_add_signed(span)).ok_or(HandOffError::Life { life })
}

/// Runs `work` where waiting for a disk holds up nobody else.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HandOffError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| HandOffError::Interrupted)
}
