//! The key ring: what host GUIDs are hashed with, and what the hand-off is sealed with.
//!
//! The first key is current; the others only verify, so that a key can be retired without ending every session.

mod source;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::guid::HostGuid;
use crate::change::hex;
use crate::secret::Secret;

pub use source::{KeySource, Opened, SourceError};

/// The fewest bytes of a current key: as many as SHA-256 gives.
pub const SHORTEST: usize = 32;

/// Keys that stand in published code and documentation. Whoever holds one can make valid hashes, also where it was
/// only made longer to pass for another.
const PUBLISHED: [&str; 3] =
    ["noor-canvas-host-secret-2025", "your-256-bit-secret", "a-string-secret-at-least-256-bits-long"];

/// What a key's own name is made of; see [`KeyRing::current_id`].
const ID_MESSAGE: &[u8] = b"reconcile key id";
const ID_BYTES: usize = 6;
/// Characters of a key's id.
pub(super) const ID_LETTERS: usize = ID_BYTES * 2;

/// Keeps the sealing key apart from every other use of the same key.
const SEALING: &[u8] = b"reconcile hand-off v1";

/// A key of 256 bits, wiped when dropped.
pub(super) type SealingKey = Zeroizing<[u8; 32]>;

/// Why a list of keys is no ring.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("there is no key in it")]
    Empty,
    #[error("the current key, which is the first, has {bytes} bytes; it must have at least {SHORTEST}")]
    TooShort { bytes: usize },
    #[error("the current key, which is the first, is published: whoever knows it can open every session")]
    Published,
    #[error("the key has a length that HMAC-SHA256 cannot take")]
    Unfit,
}

impl KeyError {
    /// How to mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            KeyError::Empty | KeyError::TooShort { .. } | KeyError::Unfit => {
                "put a new key on the first line, for instance what `openssl rand -base64 32` prints; the older ones, which only verify, go below it"
            }
            KeyError::Published => {
                "put a new key above it, for instance what `openssl rand -base64 32` prints; the published one still verifies older hosts"
            }
        }
    }
}

/// A GUID's hash as it is stored, and the key that it was made with.
#[derive(Clone, Debug)]
pub struct GuidHash {
    pub key_id: String,
    /// Standard Base64 of HMAC-SHA256(key, GUID in lower case with hyphens): 44 characters.
    pub hash: String,
}

/// One key, ready for use. The text that it came from is not kept.
struct Key {
    id: String,
    mac: Hmac<Sha256>,
    sealing: SealingKey,
}

impl Key {
    fn new(text: &Secret) -> Result<Self, KeyError> {
        let bytes = text.expose().as_bytes();
        let mac = Hmac::<Sha256>::new_from_slice(bytes).map_err(|_| KeyError::Unfit)?;
        let name = mac.clone().chain_update(ID_MESSAGE).finalize().into_bytes();
        let mut sealing = SealingKey::default();
        Hkdf::<Sha256>::new(None, bytes).expand(SEALING, sealing.as_mut()).map_err(|_| KeyError::Unfit)?;
        Ok(Self { id: hex(&name[..ID_BYTES]), mac, sealing })
    }

    fn hash(&self, guid: &HostGuid) -> Hmac<Sha256> {
        self.mac.clone().chain_update(guid.expose())
    }
}

/// At least one key: the first is current, the others only verify.
pub struct KeyRing {
    current: Key,
    /// Without the current one, in the order given, each once.
    retired: Vec<Key>,
}

impl KeyRing {
    /// Makes a ring of `keys`. A retired key may be short or published, for older hosts were hashed with such.
    pub fn new(keys: Vec<Secret>) -> Result<Self, KeyError> {
        let (first, others) = keys.split_first().ok_or(KeyError::Empty)?;
        // Published before too short: some published keys are both, and a longer spelling of one is no cure.
        let spelled = Zeroizing::new(first.expose().to_ascii_lowercase());
        if PUBLISHED.iter().any(|known| spelled.contains(known)) {
            return Err(KeyError::Published);
        }
        let bytes = first.expose().len();
        if bytes < SHORTEST {
            return Err(KeyError::TooShort { bytes });
        }
        let mut ring = Self { current: Key::new(first)?, retired: Vec::new() };
        for other in others {
            let key = Key::new(other)?;
            if !ring.knows(&key.id) {
                ring.retired.push(key);
            }
        }
        Ok(ring)
    }

    /// The current key's id: the first 12 hexadecimal digits of HMAC-SHA256(key, `reconcile key id`). It is the same
    /// wherever the key is used, and says nothing about it.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// The ids of all keys, the current one first.
    pub fn ids(&self) -> Vec<String> {
        self.keys().map(|key| key.id.clone()).collect()
    }

    pub fn knows(&self, key_id: &str) -> bool {
        self.find(key_id).is_some()
    }

    pub fn is_current(&self, key_id: &str) -> bool {
        self.current.id == key_id
    }

    /// `guid` under the current key.
    pub fn hash(&self, guid: &HostGuid) -> GuidHash {
        let hash = self.current.hash(guid).finalize().into_bytes();
        GuidHash { key_id: self.current.id.clone(), hash: BASE64.encode(hash) }
    }

    /// Whether `stored_hash` is `guid`'s, compared in constant time. `key_id` names the key it was made with; a row
    /// from before keys had ids has none, and every key is tried.
    pub fn matches(&self, key_id: Option<&str>, stored_hash: &str, guid: &HostGuid) -> bool {
        let Ok(stored) = BASE64.decode(stored_hash) else { return false };
        let fits = |key: &Key| key.hash(guid).verify_slice(&stored).is_ok();
        match key_id {
            Some(id) => self.find(id).is_some_and(fits),
            // No early end: the time it takes does not tell which key fitted.
            None => self.keys().fold(false, |found, key| found | fits(key)),
        }
    }

    /// The id of the key that new secrets are sealed with, and that key.
    pub(super) fn sealing(&self) -> (&str, &SealingKey) {
        (&self.current.id, &self.current.sealing)
    }

    /// The key that opens what was sealed under `key_id`.
    pub(super) fn opening(&self, key_id: &str) -> Option<&SealingKey> {
        self.find(key_id).map(|key| &key.sealing)
    }

    fn find(&self, key_id: &str) -> Option<&Key> {
        self.keys().find(|key| key.id == key_id)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.retired)
    }
}
