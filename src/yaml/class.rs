//! Classes of bytes, for the fast reader: which of them ask for a second look.

/// No control character but the line break may stand anywhere, and that ends a value.
pub(super) const CONTROL: u8 = 1;
/// Begins or ends something in a text without quotes, or does not: that depends on its neighbours.
const TURN: u8 = 1 << 1;
/// Part of a character beyond ASCII.
pub(super) const BEYOND_ASCII: u8 = 1 << 2;
/// Begins a character beyond ASCII that may be a control, a break or a mark.
pub(super) const DOUBTFUL: u8 = 1 << 3;
/// One of those without which no text looks like a secret that is shorter than a credential.
pub(super) const TELLING: u8 = 1 << 4;
/// Where a text without quotes wants a second look.
pub(super) const HALT: u8 = CONTROL | TURN | DOUBTFUL;

pub(super) static CLASS: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte {
            ..0x20 | 0x7f => CONTROL,
            0x23 => TURN,           // #
            0x3a => TURN | TELLING, // :
            0x3d => TELLING,        // =
            0xc2 | 0xe2 | 0xef => BEYOND_ASCII | DOUBTFUL,
            0x80.. => BEYOND_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// Bytes that are looked at together. Most texts are longer than this, and few much longer.
pub(super) const STRIDE: usize = 8;

/// Whether none of these bytes is of any class. One look at all of them, without a table, takes a processor as long as
/// one byte does.
pub(super) fn is_unmarked(bytes: &[u8; STRIDE]) -> bool {
    let marked = |byte: u8| !(0x20..0x7f).contains(&byte) | (byte == b'#') | (byte == b':') | (byte == b'=');
    !bytes.iter().fold(false, |any, byte| any | marked(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmarked_bytes_are_those_of_no_class() {
        for byte in 0..=u8::MAX {
            for at in 0..STRIDE {
                let mut bytes = [b'a'; STRIDE];
                bytes[at] = byte;
                assert_eq!(is_unmarked(&bytes), CLASS[usize::from(byte)] == 0, "{byte:#x} at {at}");
            }
        }
    }
}
