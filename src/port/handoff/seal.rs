//! An entry as it lies on the disk: a clear head that says until when it waits, then the sealed secret.
//!
//! ```text
//! magic 8 │ until 8, microseconds since 1970, big-endian │ key id 12 │ nonce 24 │ XChaCha20-Poly1305
//! ```
//!
//! The head and the entry's name are bound as associated data: an entry that was given a longer life, or another's
//! name, does not open. The sealing key comes from a host key by HKDF-SHA256.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::port::keys::{ID_LETTERS, KeyRing};
use crate::secret::Secret;

const MAGIC: &[u8; 8] = b"RCHANDO1";
pub(super) const UNTIL: usize = MAGIC.len() + size_of::<i64>();
pub(super) const HEAD: usize = UNTIL + ID_LETTERS;
const NONCE: usize = 24;

/// Why an entry does not open.
pub(super) enum OpenError {
    Damaged,
    UnknownKey(String),
}

/// Why a secret was not sealed.
pub(super) enum SealError {
    Random(getrandom::Error),
    Unsealable,
}

/// Seals `secret` under the ring's current key, for the entry `name`.
pub(super) fn seal(ring: &KeyRing, name: &str, until: DateTime<Utc>, secret: &Secret) -> Result<Vec<u8>, SealError> {
    let (key_id, key) = ring.sealing();
    let mut nonce = [0u8; NONCE];
    getrandom::fill(&mut nonce).map_err(SealError::Random)?;
    let mut entry = Vec::with_capacity(HEAD + NONCE);
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(&until.timestamp_micros().to_be_bytes());
    entry.extend_from_slice(key_id.as_bytes());
    let payload = Payload { msg: secret.expose().as_bytes(), aad: &bound(&entry, name) };
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Unsealable)?;
    entry.extend_from_slice(&nonce);
    entry.extend_from_slice(&sealed);
    Ok(entry)
}

/// Opens what [`seal`] made for the entry `name`.
pub(super) fn open(ring: &KeyRing, name: &str, entry: &[u8]) -> Result<Secret, OpenError> {
    let (head, rest) = entry.split_at_checked(HEAD).ok_or(OpenError::Damaged)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(OpenError::Damaged)?;
    let key_id = key_id(head).ok_or(OpenError::Damaged)?;
    let key = ring.opening(key_id).ok_or_else(|| OpenError::UnknownKey(key_id.to_owned()))?;
    let payload = Payload { msg: sealed, aad: &bound(head, name) };
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let opened = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| OpenError::Damaged)?;
    let opened = Zeroizing::new(opened);
    // Copied to a buffer of just its length: one with room to spare would be moved, and leave a copy behind.
    let text = std::str::from_utf8(&opened).map_err(|_| OpenError::Damaged)?;
    Ok(Secret::new(text.to_owned()))
}

/// Until when an entry waits, from its clear head; `None` if it is not one of ours.
pub(super) fn until(clear: &[u8; UNTIL]) -> Option<DateTime<Utc>> {
    let micros = clear.strip_prefix(MAGIC)?.try_into().ok()?;
    DateTime::from_timestamp_micros(i64::from_be_bytes(micros))
}

/// The id of the key that an entry is sealed with, from its head; `None` if it is not one of ours.
pub(super) fn key_id(head: &[u8]) -> Option<&str> {
    let key_id = head.strip_prefix(MAGIC)?.get(UNTIL - MAGIC.len()..HEAD - MAGIC.len())?;
    // No other name is a key's, and this one is shown.
    let key_id = std::str::from_utf8(key_id).ok()?;
    key_id.bytes().all(|letter| letter.is_ascii_hexdigit()).then_some(key_id)
}

/// What the seal vouches for besides the secret. The head's length is fixed, so the two cannot run into each other.
fn bound(head: &[u8], name: &str) -> Vec<u8> {
    [head, name.as_bytes()].concat()
}
