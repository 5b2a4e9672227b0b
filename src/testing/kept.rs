//! What libFuzzer came to that nobody had thought of, kept for every run: `tests/data/hostile`, a file for each hunt.
//!
//! Each line is an input, escaped as Rust escapes bytes. The lines are sorted; there is a bound to how many they are, and to
//! how long all of them are. Whoever keeps more has all of them chosen anew: an input that once did harm stands with its
//! hunt, where none is dropped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Inputs of one hunt, and bytes of its file.
const MOST: usize = 800;
const SIZE: usize = 64 * 1024;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile").join(format!("{}.txt", name.replace(' ', "-")))
}

/// The inputs that were kept for the hunt `name`. Panics when a line is none.
#[track_caller]
pub fn read(name: &str) -> Vec<Vec<u8>> {
    let text = match fs::read_to_string(file(name)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", file(name).display()),
    };
    let input = |line| unescaped(line).unwrap_or_else(|| panic!("{name}: no escaped input: {line}"));
    text.lines().map(input).collect()
}

/// Keeps those of `inputs` that there is room for, and says how many they are.
pub fn write(name: &str, inputs: Vec<Vec<u8>>) -> io::Result<usize> {
    let lines = lines(inputs);
    fs::write(file(name), lines.iter().map(String::as_str).collect::<String>())?;
    Ok(lines.len())
}

/// As many of `inputs` as there is room for, the shortest first. An empty one would be no line.
fn lines(mut inputs: Vec<Vec<u8>>) -> BTreeSet<String> {
    inputs.sort_by_key(Vec::len);
    let (mut lines, mut size) = (BTreeSet::new(), 0);
    for input in inputs.iter().filter(|input| !input.is_empty()).take(MOST) {
        let line = format!("{}\n", input.escape_ascii());
        size += line.len();
        if size > SIZE {
            break;
        }
        lines.insert(line);
    }
    lines
}

/// What [`slice::escape_ascii`] made of bytes, as these bytes.
fn unescaped(line: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), line.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                quoted @ (b'\'' | b'"' | b'\\') => quoted,
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_bytes_that_it_was_made_of() {
        let all: Vec<u8> = (0..=255).chain(*b"\\x41 \\").collect();
        assert_eq!(unescaped(&all.escape_ascii().to_string()), Some(all));
        for none in ["\\", "\\x4", "\\xgg", "\\e"] {
            assert_eq!(unescaped(none), None, "{none}");
        }
    }

    #[test]
    fn there_is_a_bound_to_what_is_kept() {
        let many = lines((0_u32..2_000).map(|number| number.to_be_bytes().to_vec()).collect());
        assert_eq!(many.len(), MOST);
        let long =
            lines((0..10).map(|number| vec![b'a' + number; SIZE / 4]).chain([b"short".to_vec(), vec![]]).collect());
        assert_eq!(
            long.iter().map(|line| line.len()).collect::<Vec<_>>(),
            [SIZE / 4 + 1, SIZE / 4 + 1, SIZE / 4 + 1, 6]
        );
    }
}
