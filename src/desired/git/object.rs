//! Object ids, computed here: what tells whether a file is the one that a commit holds, without asking anything that
//! could run a filter over it.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// How a repository names its objects (gitformat-hash-function-transition(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Sha1,
    Sha256,
}

impl Format {
    /// As `git rev-parse --show-object-format` prints it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(Format::Sha1),
            "sha256" => Some(Format::Sha256),
            _ => None,
        }
    }

    /// How many hexadecimal digits an id has.
    pub fn digits(self) -> usize {
        match self {
            Format::Sha1 => 40,
            Format::Sha256 => 64,
        }
    }
}

/// The id of an object: 20 bytes with SHA-1, followed by zeros; 32 with SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId([u8; 32]);

impl ObjectId {
    /// Reads 40 or 64 hexadecimal digits.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        if !matches!(hex.len(), 40 | 64) {
            return None;
        }
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = (digit(*pair.first()?)? << 4) | digit(*pair.last()?)?;
        }
        Some(Self(id))
    }

    /// The id that Git would give to a blob of `parts`, one after the other.
    pub fn of_blob<'p>(format: Format, parts: impl Iterator<Item = &'p [u8]> + Clone) -> Self {
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        let header = format!("blob {length}\0");
        match format {
            Format::Sha1 => Self::hashed::<Sha1>(header.as_bytes(), parts),
            Format::Sha256 => Self::hashed::<Sha256>(header.as_bytes(), parts),
        }
    }

    fn hashed<'p, D: Digest>(header: &[u8], parts: impl Iterator<Item = &'p [u8]>) -> Self {
        let mut digest = D::new_with_prefix(header);
        parts.for_each(|part| digest.update(part));
        let mut id = [0; 32];
        id.iter_mut().zip(digest.finalize()).for_each(|(byte, hashed)| *byte = hashed);
        Self(id)
    }
}

/// What a file holds, by the ids that it would have in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub format: Format,
    /// As it lies.
    pub exact: ObjectId,
    /// With every CRLF an LF, as Git's end-of-line rule stores text; `None` where there is no CRLF.
    pub lf: Option<ObjectId>,
}

impl Content {
    pub fn of(format: Format, bytes: &[u8]) -> Self {
        let exact = ObjectId::of_blob(format, std::iter::once(bytes));
        let has_crlf = bytes.contains(&b'\r') && bytes.windows(2).any(|pair| pair == b"\r\n");
        let lf = has_crlf.then(|| ObjectId::of_blob(format, without_cr(bytes)));
        Self { format, exact, lf }
    }
}

/// The parts of a text that are left where each CRLF becomes an LF.
fn without_cr(bytes: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    bytes.split_inclusive(|byte| *byte == b'\n').flat_map(|line| match line.strip_suffix(b"\r\n") {
        Some(text) => [text, &b"\n"[..]],
        None => [line, &b""[..]],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::testing::Place;

    #[test]
    fn ids_are_those_of_git() {
        for (init, format) in [("init -q", Format::Sha1), ("init -q --object-format=sha256", Format::Sha256)] {
            let place = Place::temporary();
            place.git(init);
            for text in ["", "sessions: []\n", "a\r\nb\rc\n\r\n", "no end\r"] {
                place.write("file", text);
                let id = |args: &str| ObjectId::parse(place.git(args).as_bytes()).unwrap();
                let content = Content::of(format, text.as_bytes());
                assert_eq!(content.exact, id("hash-object --no-filters file"), "{text:?}");
                place.write(".gitattributes", "file text\n");
                let stored = content.lf.unwrap_or(content.exact);
                assert_eq!(stored, id("hash-object file"), "{text:?}");
            }
        }
    }

    #[test]
    fn only_whole_ids_are_read() {
        let whole = "0123456789abcdef0123456789abcdef01234567";
        assert!(ObjectId::parse(whole.as_bytes()).is_some());
        for hex in ["", "0", &whole[1..], &whole.replace('a', "g")] {
            assert!(ObjectId::parse(hex.as_bytes()).is_none(), "{hex}");
        }
    }
}
