//! The rest of the world: where keys come from, and where a secret waits for its one reader.
//!
//! Nothing here decides. Reading halves (`KeySource::open_existing`, `handoff::Probe`) leave no trace, so that a
//! preview may use them; whatever changes the world is asked for by the one who applies.

pub mod guid;
pub mod handoff;
pub mod keys;
pub mod private;

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
