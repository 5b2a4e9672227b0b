//! Results that mean harm: only a status and a plain name come out of them.

use serde_json::Value as Json;

use super::super::result::{Outcome, READ, outcome};
use crate::testing::{Answer, Hunt};

/// What a task was given, and nobody is to be shown.
const HUSH: &str = "hush, hush";

const RESULTS: &[&str] = &[
    "",
    r#"{"status": "SUCCESS", "result": {"password": "hush, hush"}, "traceback": null, "children": [], "task_id": "x"}"#,
    r#"{"status": "FAILURE", "result": {"exc_type": "OperationalError", "exc_message": ["hush, hush"],
        "exc_module": "sqlalchemy.exc"}, "traceback": "hush, hush", "children": []}"#,
    r#"{"status": "RETRY", "result": {"exc_type": "hush, hush", "exc_message": "x"}}"#,
    r#"{"status": "PROGRESS", "result": [1, -1, 1e9, true, null, "x", {"a": {}}]}"#,
    r#"{"result": "x", "status": "REVOKED"}"#,
];

#[rustfmt::skip] // So many on a line as there is room for.
const PIECES: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "null", "true", "1e400", "18446744073709551616", "\"\"",
    "[]", "{}", "\"status\":", "\"result\":", "\"exc_type\":", "\"PENDING\"", "\"STARTED\"", "\"FAILURE\"", "\"REJECTED\"",
    "\"hush, hush\"", "\0", "\u{feff}", "é", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

pub(crate) fn hunt() -> Hunt {
    let corpus = RESULTS.iter().map(|result| result.as_bytes().to_vec()).collect();
    Hunt { name: "task results", corpus, fragments: PIECES, draw: |_| None, usual: 5_000, judge: Box::new(judge) }
}

fn judge(bytes: &[u8]) -> Result<Answer, String> {
    let bytes = &bytes[..bytes.len().min(READ)];
    let Some(read) = outcome(bytes) else { return Ok(Answer::Refused) };
    let shown = format!("{read:?}");
    if shown.contains(HUSH) || shown.len() > 200 {
        return Err(format!("too much is shown: {shown}"));
    }
    // Where the whole is JSON, the last status counts; where it was cut off, the last before that.
    let Ok(whole) = serde_json::from_slice::<Json>(bytes) else { return Ok(Answer::Taken) };
    let is_right = match whole["status"].as_str() {
        None | Some("PENDING" | "RECEIVED") => read == Outcome::Pending,
        Some("RETRY") => read == Outcome::Retry,
        Some("SUCCESS") => read == Outcome::Success,
        Some("FAILURE" | "REVOKED" | "REJECTED") => matches!(read, Outcome::Failure { .. }),
        Some(_) => read == Outcome::Started,
    };
    if is_right { Ok(Answer::Taken) } else { Err(format!("it is read as {read:?}")) }
}
