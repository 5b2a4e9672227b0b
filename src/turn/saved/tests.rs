//! Saved plans that mean harm: read or refused, with the file's name and the place in it.

use crate::change::Width;
use std::path::Path;

use super::read;
use crate::kinds::parse_id;
use crate::testing::{Answer, Hunt, is_printable};

#[rustfmt::skip] // So many on a line as there is room for.
const PIECES: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "\\u001b[2J", "null", "true", "0", "-1", "1e400", "1e-400",
    "18446744073709551616", "NaN", "\"\"", "[]", "{}", "\"format_version\": \"1.0\"", "\"format_version\": \"2.0\"",
    "\"1.0\"", "\"now\": \"2026-11-21T13:37:27Z\"", "\"9999-12-31T23:59:59Z\"", "\"-262143-01-01T00:00:00Z\"",
    "\"+262142-12-31T23:59:60Z\"", "\"driver\": \"postgres\"", "\"cluster\": \"7\"", "\"oid\": 5", "\"path\": \"/\"",
    "\"target\": \"host/0\"", "\"session/9223372036854775808\"", "\"sqlite\"", "\"plan\": ", "\0", "\u{feff}", "\u{202e}", "é",
    "\n", "\r", "\t", "//", "/* */", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

pub fn hunt() -> Hunt {
    let directory = tempfile::tempdir().unwrap();
    let whole: &[u8] = include_bytes!("../../../tests/data/saved_plan.json");
    let corpus = [whole, b"{}", b"", b"null", b"[]", b"\xff\xfe", &b"[".repeat(9_000)].map(<[u8]>::to_vec).to_vec();
    let judge = Box::new(move |bytes: &[u8]| judge(&directory.path().join("saved.plan"), bytes));
    Hunt { name: "saved plans", corpus, fragments: PIECES, draw: |_| None, usual: 5_000, judge }
}

fn judge(file: &Path, bytes: &[u8]) -> Result<Answer, String> {
    std::fs::write(file, bytes).unwrap();
    let saved = match read(file) {
        Ok(saved) => saved,
        Err(failure) => {
            let report = failure.report(false, Width::UNLIMITED);
            is_printable(&report)?;
            let named = failure.message.contains(&*file.to_string_lossy());
            let placed = failure.message.contains(" at line ") || failure.message.contains("plan format");
            return match named && placed && !failure.hints.is_empty() {
                true => Ok(Answer::Refused),
                false => Err(format!("no file, no place, or no way out: {report}")),
            };
        }
    };
    // What the plan is for is text until it is applied.
    let target = saved.target.as_deref().map(parse_id).transpose();
    is_printable(&target.err().unwrap_or_default().escape_debug().to_string())?;
    let written = serde_json::to_vec_pretty(&saved).map_err(|error| error.to_string())?;
    std::fs::write(file, &written).unwrap();
    let again = read(file).map_err(|failure| format!("written again it is wrong: {}", failure.message))?;
    match serde_json::to_vec_pretty(&again).is_ok_and(|again| again == written) {
        true => Ok(Answer::Taken),
        false => Err("written again it is another plan".to_owned()),
    }
}
