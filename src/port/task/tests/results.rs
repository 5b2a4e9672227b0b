//! What is read of a result, however it was written.

use super::super::result::{Outcome, READ, outcome};

fn failure(exception: &str) -> Option<Outcome> {
    Some(Outcome::Failure { exception: exception.to_owned() })
}

#[test]
fn states_are_read_as_celery_writes_them() {
    let told = |written: &str| outcome(written.as_bytes());
    assert_eq!(told(""), Some(Outcome::Pending));
    assert_eq!(told(r#"{"status": "PENDING", "result": null}"#), Some(Outcome::Pending));
    assert_eq!(told(r#"{"status": "STARTED", "result": {"pid": 7, "hostname": "h"}}"#), Some(Outcome::Started));
    assert_eq!(told(r#"{"status": "PROGRESS", "result": "half way"}"#), Some(Outcome::Started));
    assert_eq!(
        told(r#"{"status": "SUCCESS", "result": {"exc_type": "x"}, "traceback": null}"#),
        Some(Outcome::Success)
    );
    let failed = r#"{"exc_type": "OperationalError", "exc_message": ["staple"], "exc_module": "psycopg"}"#;
    for (status, expected) in [
        ("FAILURE", failure("OperationalError")),
        ("REVOKED", failure("OperationalError")),
        ("RETRY", Some(Outcome::Retry)),
    ] {
        let written = format!(r#"{{"status": "{status}", "result": {failed}, "children": [], "date_done": "x"}}"#);
        assert_eq!(told(&written), expected);
        assert!(!format!("{:?}", told(&written)).contains("staple"));
    }
}

#[test]
fn a_failure_without_a_plain_exception_is_one_all_the_same() {
    let long = "x".repeat(101);
    for result in [
        "null",
        "true",
        "-1",
        "1",
        "0.5",
        r#""staple""#,
        r#"["staple", {}]"#,
        "{}",
        r#"{"exc_type": "it was staple"}"#,
        r#"{"exc_type": ""}"#,
        &format!(r#"{{"exc_type": "{long}"}}"#),
    ] {
        let written = format!(r#"{{"status": "FAILURE", "result": {result}}}"#);
        assert_eq!(outcome(written.as_bytes()), failure("an exception without a plain name"), "{result}");
    }
}

#[test]
fn a_long_result_is_read_as_far_as_it_matters() {
    let cut = |written: String| outcome(&written.as_bytes()[..READ]);
    let long = "x".repeat(2 * READ);
    assert_eq!(cut(format!(r#"{{"status": "SUCCESS", "result": "{long}"}}"#)), Some(Outcome::Success));
    let failed =
        format!(r#"{{"status": "FAILURE", "result": {{"exc_type": "ValueError", "exc_message": ["{long}"]}}}}"#);
    assert_eq!(cut(failed), failure("ValueError"));
    assert_eq!(cut(format!(r#"{{"result": "{long}", "status": "SUCCESS"}}"#)), None, "the status is beyond the cut");
}

#[test]
fn what_is_no_result_is_not_taken_for_one() {
    for written in ["x", "{", "{}", "[]", "null", r#"{"status": 1}"#, r#"{"status": "SUCCESS""#, "\u{80}staple"] {
        assert_eq!(outcome(written.as_bytes()), None, "{written}");
    }
}
