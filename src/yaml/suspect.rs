//! What looks like a secret, and which part of a line must then be hidden.
//!
//! State files are read by everyone who may read the repository, for ever. A secret in one is reported wherever it
//! is found, and hidden in everything that shows the line.

use std::ops::Range;

use crate::credential::{self, may_be_part};

/// What a GUID is where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guids {
    /// It may open a session: hidden.
    Secret,
    /// It names a resource: shown.
    Names,
}

/// Words that say by themselves that a secret follows.
const ANYWHERE: &[&str] = &["password", "passwd", "passphrase", "pwd", "secret", "token", "guid", "apikey"];
/// Words that say so where they end a key: `private_key`, but not `key_id`.
const AT_THE_END: &[&str] = &["key", "auth", "credential"];
/// Random text is at least this long, in characters.
const RANDOM: usize = 32;
/// So many hyphens in a row begin the first line of a key.
const HYPHENS: usize = 5;

/// Whether a key of that name announces a secret: `password`, `dbPassword`, `api-key`, `PGPASSWORD`.
pub fn secret_key(key: &str) -> bool {
    let mut word = String::new();
    let mut last_is_key = false;
    let mut lower_before = false;
    for letter in key.chars().chain(std::iter::once('_')) {
        let camel = letter.is_ascii_uppercase() && lower_before;
        if camel || !letter.is_ascii_alphanumeric() {
            let single = word.strip_suffix('s').unwrap_or(&word);
            if ANYWHERE.iter().any(|known| single.ends_with(known)) {
                return true;
            }
            if !word.is_empty() {
                last_is_key = AT_THE_END.contains(&single);
            }
            word.clear();
        }
        if letter.is_ascii_alphanumeric() {
            word.push(letter.to_ascii_lowercase());
        }
        lower_before = letter.is_ascii_lowercase();
    }
    last_is_key
}

/// What a value looks like, if it looks like a secret: `a private key`.
pub fn secret_value(value: &str, guids: Guids) -> Option<&'static str> {
    let mut found = None;
    scan(value, guids, &mut |_, what| found = found.or(Some(what)));
    found
}

/// The parts of a line of source that must be hidden: byte ranges, in order, apart from each other.
pub fn hidden(line: &str, guids: Guids) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    scan(line, guids, &mut |range, _| ranges.push(range));
    ranges.extend(keyed(line));
    ranges.sort_by_key(|range| range.start);
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// From behind the first key that announces a secret to the end of the line: what a secret may hold is not known,
/// so neither is where it ends.
fn keyed(line: &str) -> Option<Range<usize>> {
    let mut words = runs(line, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let value = words.find_map(|word| {
        let rest = line[word.end..].trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
        let value = rest.strip_prefix([':', '='])?;
        secret_key(&line[word]).then(|| value.trim_start())
    })?;
    (!value.is_empty()).then(|| line.len() - value.len()..line.trim_end().len().max(line.len() - value.len()))
}

/// Whether nothing in `text` looks like a secret by itself, as far as one look can tell: it holds no `://`, no equals
/// sign, no row of hyphens such as a key's first line has, no word as long as random text, and no published credential.
fn is_harmless(text: &str) -> bool {
    is_plain(text.as_bytes()) || (is_harmless_throughout(text) && credential::first(text).is_none())
}

/// Whether the text holds too little of what the others begin with, and no run of letters as long as a credential: seen
/// without a look at each character by itself. Comments are read in half the time so.
fn is_plain(text: &[u8]) -> bool {
    /// No sum of so many runs over.
    const PART: usize = u8::MAX as usize;
    let is_plain = |part: &[u8]| {
        let (mut marks, mut hyphens) = (0, 0);
        for byte in part {
            marks |= u8::from(*byte == b'=') | u8::from(*byte == b':');
            hyphens += u8::from(*byte == b'-');
        }
        marks == 0 && usize::from(hyphens) < HYPHENS
    };
    // A row of hyphens may lie across two parts.
    text.len() <= PART && is_plain(text) && !has_long_run(text)
}

/// Whether a run of what may be part of a credential, or of random text, is as long as the shortest. Such a run covers one
/// of any so many places that follow each other.
fn has_long_run(text: &[u8]) -> bool {
    let mut at = credential::SHORTEST - 1;
    while let Some(byte) = text.get(at) {
        if may_be_part(*byte) {
            let before = text[..at].iter().rev().take_while(|byte| may_be_part(**byte)).count();
            let behind = text[at..].iter().take_while(|byte| may_be_part(**byte)).count();
            if before + behind >= credential::SHORTEST {
                return true;
            }
            at += behind;
        }
        at += credential::SHORTEST;
    }
    false
}

fn is_harmless_throughout(text: &str) -> bool {
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'/');
    let (mut word, mut hyphens, mut before) = (0, 0, 0);
    for byte in text.bytes() {
        hyphens = if byte == b'-' { hyphens + 1 } else { 0 };
        word = if in_word(byte) { word + 1 } else { 0 };
        if byte == b'=' || (before == b':' && byte == b'/') || hyphens == HYPHENS || word == RANDOM {
            return false;
        }
        before = byte;
    }
    true
}

/// Whether nothing in `line` would be hidden, as far as one look can tell: nor does a key announce a secret in it.
pub fn shows_nothing(line: &str) -> bool {
    is_plain(line.as_bytes()) || (!line.contains(':') && is_harmless(line))
}

/// Hands over every part of `text` that looks like a secret by itself.
fn scan(text: &str, guids: Guids, found: &mut dyn FnMut(Range<usize>, &'static str)) {
    // As nearly every value is.
    if !is_harmless(text) {
        search(text, guids, found);
    }
}

fn search(text: &str, guids: Guids, found: &mut dyn FnMut(Range<usize>, &'static str)) {
    for (range, what) in credential::find(text) {
        found(range, what);
    }
    let mut end = 0;
    for (equals, _) in text.match_indices('=') {
        let key = text[..equals].rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next();
        // What stands in a value that was found is found with it.
        if equals >= end && key.is_some_and(secret_key) {
            let value = text[equals + 1..].split([' ', ';', '&', ',']).next().unwrap_or_default();
            if !value.is_empty() {
                end = equals + 1 + value.len();
                found(equals + 1..end, "a password");
            }
        }
    }
    for run in runs(text, |byte| byte.is_ascii_hexdigit() || byte == b'-') {
        if guids == Guids::Secret && has_guid(&text[run.clone()]) {
            found(run, "a GUID");
        }
    }
    for run in runs(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')) {
        if is_random(&text[run.clone()], guids) {
            found(run, "a long random text");
        }
    }
}

/// The longest stretches of `text` whose bytes, all ASCII, are `wanted`.
fn runs(text: &str, wanted: impl Fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + bytes[at..].iter().position(|byte| wanted(*byte))?;
        let length = bytes[start..].iter().position(|byte| !wanted(*byte)).unwrap_or(bytes.len() - start);
        at = start + length;
        Some(start..at)
    })
}

/// Whether 8-4-4-4-12 hexadecimal digits stand in `run`, which holds nothing but digits and hyphens.
fn has_guid(run: &str) -> bool {
    run.as_bytes()
        .windows(36)
        .any(|window| window.iter().enumerate().all(|(at, byte)| (*byte == b'-') == matches!(at, 8 | 13 | 18 | 23)))
}

/// Whether `run` was rather drawn than written: long hexadecimal, or long base64 that keeps changing between lower
/// case, upper case and digits, as no word does.
fn is_random(run: &str, guids: Guids) -> bool {
    if run.len() < RANDOM {
        return false;
    }
    let has = |class: fn(&u8) -> bool| run.bytes().any(|byte| class(&byte));
    if run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let unhyphenated_name = guids == Guids::Names && run.len() == 32;
        return !unhyphenated_name && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    }
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let turns = run.bytes().zip(run.bytes().skip(1)).filter(|(left, right)| class(*left) != class(*right)).count();
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit) && turns * 9 >= run.len() * 4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::credential::MASK;

    proptest! {
        /// The quick look knows less than the thorough one, and never more.
        #[test]
        fn what_is_plain_is_harmless(text in "[a-z:=/ -]{0,20}[a-f0-9+/-]{0,40}[ a:-]{0,8}[a-z0-9]{28,34}.{0,300}") {
            for end in text.char_indices().map(|(at, _)| at) {
                let text = &text[..end];
                prop_assert!(!is_plain(text.as_bytes()) || is_harmless_throughout(text), "{}", text);
            }
        }

        #[test]
        fn a_long_run_is_found_wherever_it_stands(before in 0usize..100, length in 0usize..80, behind in 0usize..100) {
            let text = [",".repeat(before), "a".repeat(length), " ".repeat(behind)].concat();
            prop_assert_eq!(has_long_run(text.as_bytes()), length >= credential::SHORTEST);
            prop_assert_eq!(is_plain(text.as_bytes()), length < credential::SHORTEST && text.len() <= 255);
        }
    }

    #[test]
    fn keys_that_announce_a_secret() {
        for key in [
            "password",
            "db_password",
            "dbPassword",
            "PGPASSWORD",
            "Passwords",
            "api-key",
            "apiKey",
            "private_key",
            "key",
            "token",
            "access_tokens",
            "host_guid",
            "client_secret",
            "credentials",
            "auth",
        ] {
            assert!(secret_key(key), "{key}");
        }
        for key in [
            "title",
            "key_id",
            "credentials_rotation",
            "keyboard",
            "author",
            "monkey",
            "rotated_by",
            "guide",
            "subscription",
            "",
        ] {
            assert!(!secret_key(key), "{key}");
        }
    }

    #[test]
    fn values_that_look_like_a_secret() {
        for (value, what) in [
            ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
            ("postgres://admin:hunter2@10.0.0.1/postgres", "a URL with a password"),
            ("Server=db;Password=abc;Timeout=5", "a password"),
            ("51179767-693b-49a1-b753-380ca3bb39f7", "a GUID"),
            ("{51179767-693B-49A1-B753-380CA3BB39F7}", "a GUID"),
            ("rp6aIQGJs+3BWW864Cbz52TtR83KkuL0jXJkYAxqXvs=", "a long random text"),
            ("d425c7f257b1439fd425c7f257b1439f", "a long random text"),
        ] {
            assert_eq!(secret_value(value, Guids::Secret), Some(what), "{value}");
        }
        for value in [
            "Surah Al-Fatiha",
            "https://example.org:8080/a@b",
            "postgres://admin@10.0.0.1/postgres",
            "Auto-Generated-Session-For-Surah-Al-Baqara-215-And-More",
            "/Users/Noor/Documents/SessionsOf2025/RecordingNumber12",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "00000000000000000000000000000000000000000",
            "the secret of patience",
            "سورة الفاتحة سورة الفاتحة سورة الفاتحة",
        ] {
            assert_eq!(secret_value(value, Guids::Secret), None, "{value}");
        }
        assert_eq!(secret_value("51179767-693b-49a1-b753-380ca3bb39f7", Guids::Names), None);
    }

    #[test]
    fn nothing_is_found_in_what_one_look_calls_harmless() {
        const PIECES: &[&str] = &[
            "51179767",
            "-",
            "693b-49a1-b753",
            "380ca3bb39f7",
            "-----BEGIN",
            "PRIVATE KEY",
            " ",
            "\"",
            "=",
            ":",
            "://",
            "@",
            "password",
            "aB3",
            "+",
            "/",
            "d425c7f257b1439f",
            "ghp_16C7e42F292c6912E771",
            "AKIAIOSFODNN7EXAMPLE",
            "x",
            "é",
            "Surah Al-Fatiha",
            "\t",
            "----",
        ];
        let rng = &mut fastrand::Rng::with_seed(5);
        let (mut harmless, mut secret) = (0, 0);
        for _ in 0..20_000 {
            let text: String = (0..rng.usize(1..12)).map(|_| PIECES[rng.usize(..PIECES.len())]).collect();
            let mut found = false;
            search(&text, Guids::Secret, &mut |_, _| found = true);
            assert!(!found || !is_harmless(&text), "{text}");
            assert!(!(found || keyed(&text).is_some()) || !shows_nothing(&text), "{text}");
            harmless += u32::from(is_harmless(&text));
            secret += u32::from(found);
        }
        assert!(harmless > 1_000 && secret > 1_000, "{harmless} harmless, {secret} secret");
    }

    #[test]
    fn hidden_parts_of_a_line() {
        let masked = |line: &str| {
            let mut shown = line.to_owned();
            hidden(line, Guids::Secret).into_iter().rev().for_each(|range| shown.replace_range(range, MASK));
            shown
        };
        assert_eq!(masked("    password: hunter2  "), "    password: ********  ");
        assert_eq!(masked("  - {name: a, \"token\": 'x, y', port: 1}"), "  - {name: a, \"token\": ********");
        assert_eq!(masked("admin: postgres://a:b@c/d, e"), "admin: postgres://a:********@c/d, e");
        assert_eq!(masked("password:"), "password:");
        assert_eq!(masked("title: Surah Al-Fatiha"), "title: Surah Al-Fatiha");
        assert_eq!(masked("reason: é 51179767-693b-49a1-b753-380ca3bb39f7 é"), "reason: é ******** é");
    }
}
