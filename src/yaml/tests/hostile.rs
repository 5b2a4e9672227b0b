//! Input made to break the reader: none may panic, and none may cost more than its length.

use std::time::Duration;

use proptest::prelude::*;

use super::reading;

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        reading(&bytes).problems.render(true, 80);
    }

    #[test]
    fn pieces_of_yaml_never_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        reading(pieces.concat()).problems.render(false, 40);
    }
}

const PIECES: &[&str] = &[
    "sessions",
    "hosts",
    "instances",
    ":",
    ": ",
    "\n",
    "\r",
    "\r\n",
    "  ",
    "- ",
    "-",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a ",
    "&b ",
    "*b",
    "!x ",
    "!!str ",
    "!",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "\\",
    "#",
    " #",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "? ",
    "<<",
    "\t",
    "id: 1\n",
    "title: é",
    "password: x",
    "-----BEGIN PRIVATE KEY",
    "a://b:c@d",
    "\u{feff}",
    "\0",
    "~",
    "\u{202e}",
    "51179767-693b-49a1-b753-380ca3bb39f7",
    "null",
    "d425c7f257b1439fd425c7f257b1439f",
    "k=",
    "=",
];

/// How long a processor takes to read so many kilobytes of `piece`, over and over, behind `before`.
fn reading_time(before: &str, piece: &str, kilobytes: usize) -> Duration {
    let text = before.to_owned() + &piece.repeat(kilobytes * 1024 / piece.len());
    let start = processor_time();
    reading(text).problems.render(false, 120);
    processor_time() - start
}

/// How long this thread has had a processor.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

#[test]
fn time_grows_with_length_and_no_faster() {
    for (before, piece) in [
        ("sessions:\n", "- x\n"),
        ("sessions:\n", "- {id: 1, id: 1}\n"),
        ("sessions: [", "{id: 1, titel: x, password: y}, "),
        ("sessions: [{id: 1, title: ", "x"),
        ("sessions: [{id: 1, title: \"", "x "),
        ("sessions: ", "["),
        ("sessions: [", "[],"),
        ("sessions:\n", "- - - "),
        ("", "? "),
        ("", "a: &a x\n"),
        ("a: &a [x]\n", "b: *a\n"),
        ("a: &a [x, x, x, x, x, x, x, x]\nsessions:\n", "- *a\n"),
        ("a: &a [", "x,"),
        ("", "--- [\n"),
        ("", "--- &a [*a]\n"),
        ("", "---\n- x\n"),
        ("", "# password: x\n"),
        ("", "#"),
        ("", "\r"),
        ("", "%"),
        ("", "!"),
        ("", "\t"),
        ("sessions:\n- id: 1\n  title: |\n", "    password: x\n"),
        ("", "&a "),
        ("", "'"),
        ("", "{"),
        ("", "k: v\n"),
        ("{", "k: v, "),
        ("", "password=\u{e9}://x:y@"),
    ] {
        // Eight times as long: eight times the time, not sixty-four times.
        let short = reading_time(before, piece, 32).max(Duration::from_millis(10));
        let long = reading_time(before, piece, 256);
        assert!(long < short * 32, "{before:?} {piece:?}: {short:?}, then {long:?}");
    }
}
