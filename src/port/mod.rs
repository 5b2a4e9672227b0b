//! The rest of the world: where keys come from, and where a secret waits for its one reader.
//!
//! Nothing here decides. Reading halves (`KeySource::open_existing`, `handoff::Probe`) leave no trace, so that a
//! preview may use them; whatever changes the world is asked for by the one who applies.

pub mod guid;
pub mod handoff;
pub mod keys;
pub mod private;
pub mod redis;
pub mod task;

use std::path::Path;
use std::sync::Arc;

use guid::NoRandomness;
use handoff::{HandOff, HandOffError};
use keys::{KeyRing, KeySource, SourceError};

/// What making and reading secrets needs.
pub struct Secrets {
    pub keys: Arc<KeyRing>,
    pub handoff: HandOff,
}

/// The world outside, as whoever applies uses it. That a part of it cannot be had stops only what needs it.
pub struct Ports {
    secrets: Result<Secrets, Arc<SourceError>>,
}

/// Why a port did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Keys(#[from] Arc<SourceError>),
    #[error(transparent)]
    HandOff(#[from] Arc<HandOffError>),
    #[error("the operating system gave no random bytes")]
    Random,
}

impl Error {
    /// How to mend it, where the operator can.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Keys(error) => Some(error.hint()),
            Error::HandOff(error) => error.hint(),
            Error::Random => None,
        }
    }
}

impl From<HandOffError> for Error {
    fn from(error: HandOffError) -> Self {
        Error::HandOff(Arc::new(error))
    }
}

impl From<NoRandomness> for Error {
    fn from(_: NoRandomness) -> Self {
        Error::Random
    }
}

impl Ports {
    /// For changes that mint secrets: a key is made where there is none and one may be made.
    pub fn minting(keys: &KeySource, data_dir: &Path) -> Self {
        let opened = keys.open_or_create().map_err(Arc::new).map(|opened| {
            if let Some(path) = opened.made {
                tracing::warn!("a host key was made in {}: keep it safe, and in no repository", path.display());
            }
            Secrets::new(opened.ring, data_dir)
        });
        Self { secrets: opened }
    }

    /// The ports, for changes that mint nothing: no key is made for them.
    pub fn plain(keys: &KeySource, data_dir: &Path) -> Self {
        Self { secrets: Secrets::existing(keys, data_dir) }
    }

    /// Errors: there are no keys to make secrets with.
    pub fn secrets(&self) -> Result<&Secrets, Error> {
        self.secrets.as_ref().map_err(|error| Error::Keys(Arc::clone(error)))
    }
}

impl Secrets {
    fn new(ring: KeyRing, data_dir: &Path) -> Self {
        let keys = Arc::new(ring);
        Self { handoff: HandOff::embedded(data_dir, Arc::clone(&keys)), keys }
    }

    /// With the keys that are there; makes nothing.
    pub fn existing(keys: &KeySource, data_dir: &Path) -> Result<Self, Arc<SourceError>> {
        let ring = keys.open_existing().map_err(Arc::new)?;
        let ring = ring.ok_or_else(|| Arc::new(SourceError::NoneYet));
        ring.map(|ring| Self::new(ring, data_dir))
    }
}

/// `bytes` in lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text
}
