//! Passwords, and the verifiers that a server is given instead of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::port::guid::NoRandomness;
use crate::secret::Secret;

/// PostgreSQL's own number of rounds.
const ROUNDS: u32 = 4096;
const SALT: usize = 16;
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH: usize = 32;

/// 32 characters of A-Z, a-z and 0-9 from the operating system, each as likely as the others: 190 bits.
///
/// Errors: there are no random bytes.
pub fn password() -> Result<Secret, NoRandomness> {
    let mut text = String::with_capacity(LENGTH);
    let mut bytes = Zeroizing::new([0u8; LENGTH]);
    while text.len() < LENGTH {
        getrandom::fill(bytes.as_mut()).map_err(NoRandomness)?;
        // 248 is the last multiple of 62 in a byte: what is above would make some letters likelier.
        let fair = bytes.iter().filter(|byte| **byte < 248).take(LENGTH - text.len());
        text.extend(fair.map(|byte| char::from(LETTERS[usize::from(byte % 62)])));
    }
    Ok(Secret::new(text))
}

/// What PostgreSQL stores of a password: `SCRAM-SHA-256$<rounds>:<salt>$<StoredKey>:<ServerKey>` (RFC 5803). Computed
/// here, so that the server, and its log, never see the password.
///
/// Not a secret like the password, but nobody's business: not `Debug`.
pub struct Verifier(Zeroizing<String>);

impl Verifier {
    /// Errors: there are no random bytes for the salt.
    pub fn of(password: &Secret) -> Result<Self, NoRandomness> {
        let mut salt = [0u8; SALT];
        getrandom::fill(&mut salt).map_err(NoRandomness)?;
        Ok(Self::salted(password, &salt))
    }

    /// ASCII passwords alone: others would have to be normalised first (SASLprep), and ours are letters and digits.
    fn salted(password: &Secret, salt: &[u8]) -> Self {
        let mut salted = Zeroizing::new([0u8; 32]);
        pbkdf2::pbkdf2::<Hmac<Sha256>>(password.expose().as_bytes(), salt, ROUNDS, salted.as_mut())
            .unwrap_or_else(|_| salted.fill(0));
        let stored = Sha256::digest(keyed(&salted, b"Client Key"));
        let server = keyed(&salted, b"Server Key");
        let (salt, stored, server) = (STANDARD.encode(salt), STANDARD.encode(stored), STANDARD.encode(server));
        Self(Zeroizing::new(format!("SCRAM-SHA-256${ROUNDS}:{salt}${stored}:{server}")))
    }

    /// As a statement holds it: letters, digits and `+/=:$-`, so that it needs no escaping.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

fn keyed(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    // A key of any length will do.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_of_letters_and_digits() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert_eq!(one.expose().len(), 32);
        assert!(one.expose().bytes().all(|letter| letter.is_ascii_alphanumeric()));
        assert_ne!(one.expose(), other.expose());
    }

    /// RFC 7677's example has the same password and salt; its keys follow from them.
    #[test]
    fn the_verifier_is_the_one_that_the_standard_has() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::salted(&Secret::new("pencil".to_owned()), &salt);
        assert_eq!(
            verifier.expose(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
