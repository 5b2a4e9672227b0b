//! The fast reader against the thorough one: what the fast one takes, the other must take in the same way.
//!
//! Documents are drawn at random, then spoilt in a few places. Every run draws the same ones. A longer run:
//! `YAML_MUTANTS=3000000 cargo nextest run --release --lib --no-capture -E 'test(differential)'`.

use fastrand::Rng;

use super::{FILE, Kept, LIMIT, SECTIONS};
use crate::testing::spoil::{self, one_of};
use crate::yaml::field::Section;
use crate::yaml::problem::Problems;
use crate::yaml::source::Source;
use crate::yaml::{plain, read};

/// How many spoilt documents a usual run reads.
const MUTANTS: usize = 20_000;

#[test]
fn what_the_fast_reader_takes_the_thorough_one_takes_alike() {
    let mutants = std::env::var("YAML_MUTANTS").map_or(MUTANTS, |count| count.parse().unwrap());
    let rng = &mut Rng::with_seed(215);
    let (mut taken, mut items) = (0, 0);
    for _ in 0..mutants {
        let mut text = document(rng);
        for _ in 0..1 + rng.usize(..4) / 3 {
            spoil::text(rng, &mut text, FRAGMENTS);
        }
        if let Some(count) = compare(&text, SECTIONS) {
            taken += 1;
            items += count;
        }
    }
    println!("{mutants} spoilt documents, {taken} of them taken by the fast reader, with {items} items");
    assert!(taken > mutants / 10, "too few to tell anything: {taken} with {items}");
}

#[test]
fn the_fast_reader_takes_what_is_usual() {
    let rng = &mut Rng::with_seed(216);
    for _ in 0..1_000 {
        let text = document(rng);
        assert!(compare(&text, SECTIONS).is_some(), "{text}");
    }
}

#[test]
fn the_fast_reader_leaves_what_is_unusual() {
    for text in [
        "sessions:\n  -id: 1\n",
        "sessions:\n  - id: 1\n    title: \"x # password: y\"\n",
        "sessions:\n  - id: 1\n    title: a\u{2028}b\n",
        "sessions:\n  - id: 1\n    title: a\u{85}b\n",
        "sessions:\n  - id: 1 # token: x\n",
        "sessions:\n  - id: 1\n    title: a\n      b\n",
        "sessions:\n  - id: 1\n    expires_at:\n",
        "sessions:\n  - id: 1\n    title: \"\\u0041\"\n",
        "sessions:\n  - id: 1\n    title: 'it''s'\n",
        "sessions:\n  - {id: 1}\n",
        "sessions:\n  -\n    id: 1\n",
        "sessions:\n\t- id: 1\n",
        "sessions:\r\n  - id: 1\r\n",
        "sessions:\n  - \"id\": 1\n",
        "sessions: []\n",
        "---\nsessions:\n",
        "sessions:\n  - id: 1\n...\n",
    ] {
        assert_eq!(compare(text, SECTIONS), None, "{text:?}");
    }
}

/// How many items the fast reader has taken, if it has taken all; they are then the same for both readers.
pub(crate) fn compare(text: &str, sections: &'static [Section]) -> Option<usize> {
    let (source, problem) = Source::new(FILE.into(), text.as_bytes(), LIMIT);
    let source = source.filter(|_| problem.is_none())?;
    let mut fast = Kept::default();
    plain::read(&source, sections, &mut fast).ok()?;
    let mut thorough = Kept::default();
    let problems = read::thoroughly(&source, Problems::default(), sections, &mut thorough);
    assert!(problems.is_empty(), "{text:?}\n{}", problems.render(false, 120));
    assert_eq!(fast, thorough, "{text:?}");
    Some(fast.0.len())
}

/// A document in plain block style, without a problem.
fn document(rng: &mut Rng) -> String {
    let mut text = String::new();
    let mut kinds = ["sessions", "hosts", "instances"];
    rng.shuffle(&mut kinds);
    for kind in &kinds[..rng.usize(1..=2)] {
        between(rng, &mut text);
        text.push_str(&format!("{kind}:{}", end(rng)));
        let indent = " ".repeat(rng.usize(0..=4));
        for _ in 0..rng.usize(1..=3) {
            between(rng, &mut text);
            let hyphen = format!("-{}", " ".repeat(if rng.u8(0..8) == 0 { rng.usize(1..=3) } else { 1 }));
            let mut lead = format!("{indent}{hyphen}");
            for (key, value) in fields(rng, kind) {
                let gap = " ".repeat(if rng.u8(0..10) == 0 { 3 } else { 1 });
                text.push_str(&format!("{lead}{key}:{gap}{value}{}", end(rng)));
                lead = " ".repeat(lead.len());
                between(rng, &mut text);
            }
        }
    }
    text
}

/// The fields of one item, the required one among them, in any order.
fn fields(rng: &mut Rng, kind: &str) -> Vec<(&'static str, String)> {
    let mut fields = vec![match kind {
        "sessions" => ("id", rng.u32(1..).to_string()),
        "hosts" => ("session", rng.u8(1..).to_string()),
        _ => ("id", one_of(rng, UUIDS).to_owned()),
    }];
    let others: &[(&'static str, &[&'static str])] = match kind {
        "sessions" => &[
            ("title", TEXTS),
            ("status", &["active", "'inactive'", "\"ended\""]),
            ("expires_at", TIMES),
            ("expires_at", &["null", "~", "Null"]),
            ("protect", &["true", "false"]),
        ],
        "hosts" => &[
            ("rotation", &["1", "1000", "+7"]),
            ("reason", TEXTS),
            ("expires_in", &["90d", "1h 30m", "'15min'"]),
            ("expires_at", TIMES),
            ("missing_session", &["create", "~", "null"]),
            ("active", &["true", "false"]),
        ],
        _ => &[("name", &["acme", "a.b-c_1", "'9lives'"]), ("note", TEXTS), ("note", UUIDS)],
    };
    for (key, values) in others {
        let clash = |(other, _): &(&str, String)| other == key || (*other == "expires_in" && *key == "expires_at");
        if rng.bool() && !fields.iter().any(clash) {
            fields.push((key, one_of(rng, values).to_owned()));
        }
    }
    rng.shuffle(&mut fields);
    fields
}

/// The end of a line: sometimes blanks, or a comment.
fn end(rng: &mut Rng) -> &'static str {
    const ENDS: &[&str] = &[" # why\n", "  # a: b - c\n", " #\n", "   \n", " # سبب\n", " # c# # d\n"];
    if rng.u8(0..5) == 0 { one_of(rng, ENDS) } else { "\n" }
}

/// Lines that say nothing.
fn between(rng: &mut Rng, text: &mut String) {
    if rng.u8(0..8) == 0 {
        text.push_str(["\n", "  \n", "# a comment\n", "      # deep\n", "\n\n#\n"][rng.usize(..5)]);
    }
}

const TEXTS: &[&str] = &[
    "Surah Al-Fatiha",
    "x",
    "سورة الفاتحة",
    "a:b",
    "C# and F#",
    "'single # one'",
    "\"double: one\"",
    "yes",
    "(a, b) [c] {d}",
    "été",
    "1st",
    "a - b",
    "'2'",
    "\"~\"",
    "12:30",
    "_",
    "/srv/x",
    "a'b\"c",
    "𝄞",
];
const TIMES: &[&str] =
    &["2026-12-31T23:59:59Z", "2028-02-29T00:00:00Z", "2026-12-31T23:59:59.5+03:00", "'0001-01-01T00:00:00Z'"];
const UUIDS: &[&str] = &[
    "fbaa8c92-0000-4000-8000-000000000001",
    "FBAA8C92-0000-4000-8000-00000000000A",
    "'fbaa8c92-0000-4000-8000-000000000002'",
];

#[rustfmt::skip] // So many on a line as there is room for.
pub(crate) const FRAGMENTS: &[&str] = &[
    "\n", "\r", "\r\n", "\t", " ", "  ", "\u{85}", "\u{2028}", "\u{2029}", "\u{feff}", "\u{a0}", "\u{3000}", "\0",
    "\u{7f}", "\u{80}", "\u{9f}", "\u{fffd}", "\u{fffe}", "\u{ffff}", "\u{1}", "\u{202e}", "\u{200b}", "é", "س", "𝄞",
    "\u{1fffe}", "\u{e000}", "\u{d7ff}",
    ":", ": ", " :", "::", "- ", "-", " - ", "? ", "?", "#", " #", "# ", ", ", "[", "]", "{", "}", "&a ", "*a", "!x ",
    "!!str ", "!", "|", "|\n", ">", ">-\n", "'", "''", "\"", "\\", "\\n", "%", "%YAML 1.1\n", "@", "`", "---", "---\n",
    "--- ", "...", "...\n", "<<", "<<: x\n", "=", "~", "null", "Null", "nULL", "true", "True", "yes", "0", "00", "017",
    "0x1F", "0o17", "1e5", "1.5", ".5", ".nan", ".inf", "+", "-1", "1_000", "9223372036854775807",
    "9223372036854775808", "999999999999999999", "1000000000000000000", "sessions:\n", "hosts:\n", "instances:\n",
    "sessions: []\n", "id: 1\n", "  - id: 7\n", "- id: 7\n", "    title: x\n", "title: x", "  status: active\n",
    "protect: true\n", "password: x", " # password: x\n", " # guid 51179767-693b-49a1-b753-380ca3bb39f7\n", "k=v",
    "'x # password: y'",
    "password=x", "a://b:c@d", "-----BEGIN PRIVATE KEY", "51179767-693b-49a1-b753-380ca3bb39f7",
    "d425c7f257b1439fd425c7f257b1439f", "2026-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "T", "Z", "60", "24:00",
    "0000", "90d", "1M", "Ünïcödé", "a very long text that goes on and on and on and on and on and on and on and on",
];
