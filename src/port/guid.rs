//! Host GUIDs: the one secret that opens a session, in the one spelling that is hashed.
//!
//! ```compile_fail
//! let guid = reconcile::port::guid::HostGuid::generate().unwrap();
//! println!("{guid:?}");
//! ```

use zeroize::Zeroizing;

use crate::change::hex;
use crate::secret::Secret;

/// Where the hyphens stand in `51179767-693b-49a1-b753-380ca3bb39f7`.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const DIGITS: usize = 32;
const LETTERS: usize = DIGITS + HYPHENS.len();

/// A host's GUID, in lower case with hyphens: 36 characters. Wiped when dropped; neither `Debug` nor `Display`.
#[derive(Clone)]
pub struct HostGuid(Secret);

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness(#[source] pub getrandom::Error);

impl HostGuid {
    /// A new one (version 4: 122 bits from the operating system).
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0u8; DIGITS / 2]);
        getrandom::fill(bytes.as_mut()).map_err(NoRandomness)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let digits = Zeroizing::new(hex(bytes.as_ref()));
        Ok(Self::spell(digits.bytes()))
    }

    /// Reads any accepted spelling: upper or lower case, with hyphens or without any, in braces or not, with blanks
    /// around. `None` for everything else. Every version is accepted: older hosts were not all made with version 4.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = match text.strip_prefix('{') {
            Some(inner) => inner.strip_suffix('}')?,
            None => text,
        };
        let hyphenated = match text.len() {
            LETTERS => true,
            DIGITS => false,
            _ => return None,
        };
        let is_hyphen = |place: usize| hyphenated && HYPHENS.contains(&place);
        let fits = |(place, letter): (usize, u8)| match is_hyphen(place) {
            true => letter == b'-',
            false => letter.is_ascii_hexdigit(),
        };
        if !text.bytes().enumerate().all(fits) {
            return None;
        }
        Some(Self::spell(text.bytes().filter(|letter| *letter != b'-')))
    }

    /// Puts 32 hexadecimal digits into the one spelling. The buffer never grows, so no copy is left behind.
    fn spell(digits: impl Iterator<Item = u8>) -> Self {
        let mut spelled = String::with_capacity(LETTERS);
        for digit in digits {
            if HYPHENS.contains(&spelled.len()) {
                spelled.push('-');
            }
            spelled.push(char::from(digit.to_ascii_lowercase()));
        }
        Self(Secret::new(spelled))
    }

    /// The clear text, in lower case with hyphens.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub fn into_secret(self) -> Secret {
        self.0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::HostGuid;
    use crate::testing::{Answer, Hunt};

    const GUID: &str = "51179767-693b-49a1-b753-380ca3bb39f7";

    #[test]
    fn a_new_guid_is_a_version_4_in_the_one_spelling() {
        let (one, other) = (HostGuid::generate().unwrap(), HostGuid::generate().unwrap());
        let read = uuid::Uuid::try_parse(one.expose()).unwrap();
        assert_eq!((read.get_version_num(), read.get_variant()), (4, uuid::Variant::RFC4122));
        assert_eq!(one.expose(), read.to_string());
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn every_accepted_spelling_is_brought_to_one() {
        for spelling in [
            GUID,
            "51179767-693B-49A1-B753-380CA3BB39F7",
            "{51179767-693b-49a1-b753-380ca3bb39f7}",
            "51179767693b49a1b753380ca3bb39f7",
            " 51179767-693b-49a1-b753-380ca3bb39f7\n",
            "\t{51179767693B49A1B753380CA3BB39F7}\r\n",
        ] {
            assert_eq!(HostGuid::parse(spelling).unwrap().into_secret().expose(), GUID, "{spelling:?}");
        }
    }

    pub(crate) fn hunt() -> Hunt {
        let corpus = [
            GUID,
            "51179767-693B-49A1-B753-380CA3BB39F7",
            "{51179767-693b-49a1-b753-380ca3bb39f7}",
            " 51179767693b49a1b753380ca3bb39f7\n",
            "urn:uuid:51179767-693b-49a1-b753-380ca3bb39f7",
            "00000000-0000-0000-0000-000000000000",
        ];
        let corpus = corpus.map(|spelling| spelling.as_bytes().to_vec()).to_vec();
        let fragments =
            &["-", "{", "}", "{{", "urn:uuid:", " ", "\u{a0}", "\u{2003}", "0", "F", "g", "é", "１", "\0", "+"];
        Hunt { name: "host GUIDs", corpus, fragments, draw: |_| None, usual: 5_000, judge: Box::new(judge) }
    }

    /// What is taken is what the library of UUIDs takes, and every other spelling of it is taken for the same.
    fn judge(bytes: &[u8]) -> Result<Answer, String> {
        let text = String::from_utf8_lossy(bytes);
        let bare = text.trim();
        let bare = bare.strip_prefix('{').map_or(Some(bare), |inner| inner.strip_suffix('}'));
        let known = bare.filter(|bare| !bare.starts_with('{') && !bare.starts_with("urn:"));
        let known = known.and_then(|bare| Uuid::try_parse(bare).ok());
        let read = |text: &str| HostGuid::parse(text).map(|guid| guid.expose().to_owned());
        match (read(&text), known.map(|known| known.to_string())) {
            (None, None) => Ok(Answer::Refused),
            (Some(read_as), Some(known)) if read_as == known => {
                let (upper, plain) = (known.to_uppercase(), known.replace('-', ""));
                for twin in [format!("\t{{{upper}}}\r\n"), format!("{{{plain}}}"), plain, upper, known.clone()] {
                    if read(&twin).as_ref() != Some(&known) {
                        return Err(format!("another spelling of it is not the same: {twin}"));
                    }
                }
                Ok(Answer::Taken)
            }
            (read_as, known) => Err(format!("read as {read_as:?}, and the library reads {known:?}")),
        }
    }

    #[test]
    fn nothing_else_is_a_guid() {
        for wrong in [
            "",
            "{}",
            "51179767-693b-49a1-b753-380ca3bb39f",
            "51179767-693b-49a1-b753-380ca3bb39f77",
            "{51179767-693b-49a1-b753-380ca3bb39f7",
            "51179767-693b-49a1-b753-380ca3bb39f7}",
            "51179767-693b49a1-b753-380ca3bb39f7-",
            "5117976-7693b-49a1-b753-380ca3bb39f7",
            "51179767_693b_49a1_b753_380ca3bb39f7",
            "51179767-693b-49a1-b753-380ca3bb39g7",
            "é1179767-693b-49a1-b753-380ca3bb39f",
            "urn:uuid:51179767-693b-49a1-b753-380ca3bb39f7",
        ] {
            assert!(HostGuid::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
