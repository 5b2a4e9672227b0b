//! How input is spoilt: a text in one place, by what does most harm there; bytes anywhere.

use fastrand::Rng;

/// Changes one place of `text`.
pub fn text(rng: &mut Rng, text: &mut String, fragments: &[&'static str]) {
    let start = place(rng, text);
    let length = if rng.u8(0..16) == 0 { rng.usize(..80) } else { rng.usize(1..5) };
    let end = text.floor_char_boundary(start + length).max(start);
    let part = text[start..end].to_owned();
    let line = text[..start].rfind('\n').map_or(0, |line_break| line_break + 1);
    match rng.u8(0..12) {
        0 => text.replace_range(start..end, ""),
        1 => text.insert_str(start, &part),
        2 => {
            let elsewhere = place(rng, text);
            text.insert_str(elsewhere, &part);
        }
        3..=5 => text.insert_str(start, one_of(rng, fragments)),
        6 => text.replace_range(start..end, one_of(rng, fragments)),
        7 => text.insert_str(line, one_of(rng, &[" ", "  ", "    "])),
        8 => {
            let blanks = text[line..].bytes().take_while(|byte| *byte == b' ').count();
            text.replace_range(line..line + blanks.min(rng.usize(1..4)), "");
        }
        9 => {
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            let (left, right) = (rng.usize(..=lines.len()), rng.usize(..=lines.len()));
            if left.max(right) < lines.len() {
                lines.swap(left, right);
            }
            *text = lines.concat();
        }
        _ => {
            // Whatever stands at a value's beginning and end does most of the harm.
            let value = text[line..].find(": ").map_or(line, |colon| line + colon + 2);
            let value_end = text[value..].find('\n').map_or(text.len(), |length| value + length);
            if rng.bool() {
                return text.replace_range(value..value_end, one_of(rng, fragments));
            }
            text.insert_str(value_end, one_of(rng, &["\"", "'", " ", " #", ":", " # '", "\"  # \""]));
            text.insert_str(value, one_of(rng, &["\"", "'", "", "", "  "]));
        }
    }
}

/// Changes a few bytes, or goes on as another of `others` does.
pub fn bytes(rng: &mut Rng, mut input: Vec<u8>, others: &[Vec<u8>]) -> Vec<u8> {
    let at = rng.usize(..=input.len());
    match rng.u8(0..5) {
        0 => input.insert(at, rng.u8(..)),
        1 => input.truncate(at),
        2 => {
            let other = &others[rng.usize(..others.len())];
            input.truncate(at);
            input.extend_from_slice(&other[rng.usize(..=other.len())..]);
        }
        3 => {
            let end = (at + rng.usize(1..64)).min(input.len());
            let part = input[at..end].to_vec();
            let times = if part.len() < 8 { rng.usize(1..200) } else { 2 };
            input.splice(at..at, part.repeat(times));
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.u8(0..8);
            }
        }
    }
    input
}

pub fn one_of(rng: &mut Rng, of: &[&'static str]) -> &'static str {
    of[rng.usize(..of.len())]
}

/// A boundary between two characters.
fn place(rng: &mut Rng, text: &str) -> usize {
    text.floor_char_boundary(rng.usize(..=text.len()))
}
