//! Tokens: who has one may ask over HTTP for as much as its scope allows.
//!
//! A token is `rct_`, 32 random bytes as base64url, and a checksum, so that a mistyped one is known as such and a scanner
//! finds those that were left lying. Its SHA-256 is all that is kept: what is as random as a key needs no salt and no
//! slow hash.
//!
//! ```compile_fail
//! let token = reconcile::token::Token::mint().unwrap();
//! println!("{token:?}");
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::Secret;

const PREFIX: &str = "rct_";
/// Random bytes of a token.
const BYTES: usize = 32;
/// Letters of those, and of the checksum's four bytes.
const LETTERS: (usize, usize) = (43, 6);

/// What a token allows. Each allows what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To look.
    Read,
    /// To act, without being shown a secret.
    Operate,
    /// To take secrets out of the hand-off.
    Secrets,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Secrets];

    pub fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Operate => "operate",
            Scope::Secrets => "secrets",
        }
    }

    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

/// A token in clear text: shown to whoever makes it, once. Without `Debug` and `Display`, and wiped when dropped.
pub struct Token(Secret);

impl Token {
    /// Errors: the system gives no random bytes.
    pub fn mint() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        let random = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Ok(Self(Secret::new(format!("{PREFIX}{}{}", random.as_str(), checksum(&random)))))
    }

    /// What was shown as a token; `None`: it is none, whichever are known.
    pub fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (random, sum) = rest.split_at_checked(LETTERS.0)?;
        (sum.len() == LETTERS.1 && checksum(random) == sum).then(|| Self(Secret::new(text.to_owned())))
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub fn hash(&self) -> Hash {
        Hash(Sha256::digest(self.0.expose()).into())
    }
}

fn checksum(random: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(random)[..4])
}

/// What is kept of a token. Two are compared in constant time, and in no other way.
#[derive(Clone, Debug)]
pub struct Hash([u8; 32]);

impl Hash {
    /// As 64 hexadecimal digits.
    pub fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `None`: it is not the text of one.
    pub fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made_and_no_two_are_alike() {
        let (one, other) = (Token::mint().unwrap(), Token::mint().unwrap());
        assert_eq!(one.expose().len(), PREFIX.len() + LETTERS.0 + LETTERS.1);
        let again = Token::read(one.expose()).unwrap();
        assert!(again.hash().is(&one.hash()) && !other.hash().is(&one.hash()));
        let kept = Hash::read(&one.hash().text()).unwrap();
        assert!(kept.is(&one.hash()));
    }

    #[test]
    fn what_is_mistyped_is_no_token() {
        let token = Token::mint().unwrap();
        let text = token.expose();
        for place in 0..text.len() {
            let other = if text.as_bytes()[place] == b'A' { "B" } else { "A" };
            let mut mistyped = text.to_owned();
            mistyped.replace_range(place..=place, other);
            assert!(Token::read(&mistyped).is_none(), "{place}");
            assert!(Token::read(&text[..place]).is_none(), "{place}");
        }
        assert!(Token::read(&format!("{text}A")).is_none());
        assert!(Token::read("rct_äääääääääääääääääääääääääääääääääääää").is_none());
        assert!(Hash::read("ä").is_none() && Hash::read(&"zz".repeat(32)).is_none());
    }

    #[test]
    fn scopes_are_ordered() {
        assert!(Scope::Read < Scope::Operate && Scope::Operate < Scope::Secrets);
        assert!(Scope::ALL.iter().all(|scope| Scope::read(scope.word()) == Some(*scope)));
    }
}
