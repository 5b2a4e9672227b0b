//! The rest of the world: where keys come from, where a secret waits for its one reader, the servers on which
//! customers' databases lie, and the broker of provisioning tasks.
//!
//! Nothing here decides. Reading halves (`KeySource::open_existing`, `handoff::Probe`, `Pool::look`,
//! `Dispatcher::sent`) leave no trace, so that a preview may use them; whatever changes the world is asked for by the
//! one who applies.

pub mod client;
pub mod guid;
pub mod handoff;
pub mod keys;
pub mod pool;
pub mod redis;
pub mod task;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guid::NoRandomness;
use handoff::{HandOff, HandOffError, Probe};
use keys::{KeyRing, KeySource, SourceError};
use pool::{Pool, PoolError};
use task::{Dispatcher, TaskError};

use crate::guard::{Owner, Refusal};

/// Where secrets are to wait, and whose they are.
#[derive(Clone)]
pub enum Shelf {
    /// Below the data directory, sealed with a key of the ring.
    Embedded {
        data_dir: PathBuf,
        owner: Owner,
    },
    Redis(redis::Owned),
}

impl Shelf {
    /// The same place, for another owner.
    #[must_use]
    pub fn owned_by(&self, owner: &Owner) -> Self {
        match self {
            Shelf::Embedded { data_dir, owner: _ } => {
                Shelf::Embedded { data_dir: data_dir.clone(), owner: owner.clone() }
            }
            Shelf::Redis(store) => Shelf::Redis(store.owned_by(owner)),
        }
    }

    pub fn owner(&self) -> &Owner {
        match self {
            Shelf::Embedded { data_dir: _, owner } => owner,
            Shelf::Redis(store) => store.owner(),
        }
    }

    /// Looks without taking anything.
    pub fn probe(&self) -> Probe {
        match self {
            Shelf::Embedded { data_dir, owner } => Probe::embedded(data_dir, owner),
            Shelf::Redis(store) => Probe::redis(store.clone()),
        }
    }

    /// To take from, and to put to; sealed with the keys of `ring`, where it seals.
    fn handoff(&self, ring: &Arc<KeyRing>) -> HandOff {
        match self {
            Shelf::Embedded { data_dir, owner } => HandOff::embedded(data_dir, owner, Arc::clone(ring)),
            Shelf::Redis(store) => HandOff::redis(store.clone()),
        }
    }
}

/// What making and reading secrets needs.
pub struct Secrets {
    pub keys: Arc<KeyRing>,
    pub handoff: HandOff,
}

/// The world outside, as whoever applies uses it. That a part of it cannot be had stops only what needs it.
pub struct Ports {
    secrets: Result<Secrets, Arc<SourceError>>,
    handoff: Result<HandOff, Arc<SourceError>>,
    pools: BTreeMap<String, Result<Pool, String>>,
    dispatcher: Option<Dispatcher>,
    owner: Owner,
    credentials_life: Duration,
    fencing: i64,
}

/// Why a port did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Keys(#[from] Arc<SourceError>),
    #[error(transparent)]
    HandOff(#[from] Arc<HandOffError>),
    #[error(transparent)]
    Pool(#[from] Arc<PoolError>),
    #[error(transparent)]
    Task(#[from] Arc<TaskError>),
    /// The server cannot be administered, and why.
    #[error("{0}")]
    NoPool(String),
    #[error("no broker of tasks is configured")]
    NoBroker,
    /// A name that cannot be one of ours.
    #[error("{0}")]
    Name(String),
    #[error("the operating system gave no random bytes")]
    Random,
    #[error("the work was interrupted")]
    Interrupted,
}

impl Error {
    /// The guard's no to the hand-off or the broker, which are everybody's; that of a server concerns its instances.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Error::HandOff(error) => error.refusal(),
            Error::Task(error) => error.refusal(),
            Error::Keys(_)
            | Error::Pool(_)
            | Error::NoPool(_)
            | Error::NoBroker
            | Error::Name(_)
            | Error::Random
            | Error::Interrupted => None,
        }
    }

    /// How to mend it, where the operator can.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Keys(error) => Some(error.hint()),
            Error::HandOff(error) => error.hint(),
            Error::Pool(error) => error.hint(),
            Error::Task(error) => error.hint(),
            Error::NoBroker => Some("set celery.broker_url (or redis.url)".to_owned()),
            Error::NoPool(_) | Error::Name(_) | Error::Random | Error::Interrupted => None,
        }
    }
}

impl From<HandOffError> for Error {
    fn from(error: HandOffError) -> Self {
        Error::HandOff(Arc::new(error))
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Error::Pool(Arc::new(error))
    }
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        Error::Task(Arc::new(error))
    }
}

impl From<NoRandomness> for Error {
    fn from(_: NoRandomness) -> Self {
        Error::Random
    }
}

/// Whether a key may be made where there is none.
#[derive(Clone, Debug)]
pub enum Minting {
    /// Something is to be sealed or hashed.
    Yes,
    No,
    /// Something is to be, and there is no room for it.
    Impossible(Arc<SourceError>),
}

impl Ports {
    /// The ports with nothing but keys and the hand-off. When minting, a key is made where there is none and one may be
    /// made.
    pub fn new(keys: &KeySource, shelf: &Shelf, minting: Minting) -> Self {
        let secrets = match minting {
            Minting::No => Secrets::existing(keys, shelf),
            Minting::Impossible(error) => Err(error),
            Minting::Yes => keys.open_or_create().map_err(Arc::new).map(|opened| {
                if let Some(path) = opened.made {
                    tracing::warn!("a host key was made in {}: keep it safe, and in no repository", path.display());
                }
                Secrets::new(opened.ring, shelf)
            }),
        };
        let handoff = match shelf {
            // Redis keeps secrets without a key of ours.
            Shelf::Redis(store) => Ok(HandOff::redis(store.clone())),
            Shelf::Embedded { .. } => match &secrets {
                Ok(secrets) => Ok(secrets.handoff.clone()),
                Err(error) => Err(Arc::clone(error)),
            },
        };
        let (pools, dispatcher, owner) = (BTreeMap::new(), None, shelf.owner().clone());
        Self { secrets, handoff, pools, dispatcher, owner, credentials_life: Duration::ZERO, fencing: 0 }
    }

    /// With what instances need: the servers by name, the broker, how long credentials wait, and the applier's fencing
    /// number.
    #[must_use]
    pub fn with_pools(
        self,
        pools: BTreeMap<String, Result<Pool, String>>,
        dispatcher: Option<Dispatcher>,
        credentials_life: Duration,
        fencing: i64,
    ) -> Self {
        Self { pools, dispatcher, credentials_life, fencing, ..self }
    }

    /// Errors: there are no keys to make secrets with.
    pub fn secrets(&self) -> Result<&Secrets, Error> {
        self.secrets.as_ref().map_err(|error| Error::Keys(Arc::clone(error)))
    }

    /// Errors: the embedded hand-off has no keys to seal with.
    pub fn handoff(&self) -> Result<&HandOff, Error> {
        self.handoff.as_ref().map_err(|error| Error::Keys(Arc::clone(error)))
    }

    /// The server of that name. Errors: why it cannot be administered.
    pub fn pool(&self, server: &str) -> Result<Pool, Error> {
        match self.pools.get(server) {
            Some(Ok(pool)) => Ok(pool.clone()),
            Some(Err(why)) => Err(Error::NoPool(why.clone())),
            None => Err(Error::NoPool(format!("the server {server} is not known"))),
        }
    }

    /// Errors: no broker is configured.
    pub fn dispatcher(&self) -> Result<&Dispatcher, Error> {
        self.dispatcher.as_ref().ok_or(Error::NoBroker)
    }

    /// Whose all that is made here is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// How long credentials wait for their reader.
    pub fn credentials_life(&self) -> Duration {
        self.credentials_life
    }

    /// The applier's fencing number, which stands in the mark of every role that it has worked on.
    pub fn fencing(&self) -> i64 {
        self.fencing
    }
}

impl Secrets {
    fn new(ring: KeyRing, shelf: &Shelf) -> Self {
        let keys = Arc::new(ring);
        Self { handoff: shelf.handoff(&keys), keys }
    }

    /// With the keys that are there; makes nothing.
    pub fn existing(keys: &KeySource, shelf: &Shelf) -> Result<Self, Arc<SourceError>> {
        let ring = keys.open_existing().map_err(Arc::new)?;
        let ring = ring.ok_or_else(|| Arc::new(SourceError::NoneYet));
        ring.map(|ring| Self::new(ring, shelf))
    }
}
