//! Errors as `application/problem+json` (RFC 9457): what could not be done, and the way out.

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::failure::Failure;

/// Problems of files that an answer lists, at most.
const LINES: usize = 50;

/// An answer that says no.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    hints: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), hints: Vec::new(), headers: Vec::new() }
    }

    /// What a command would have said, for whoever may read it.
    pub fn of(failure: &Failure) -> Self {
        let status = match () {
            () if failure.problems().is_some() => StatusCode::CONFLICT,
            () if failure.is_away || failure.is_schema => StatusCode::SERVICE_UNAVAILABLE,
            () => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problems = failure.problems().into_iter().flat_map(|problems| problems.iter());
        let lines = problems.map(|problem| format!("{}: {}", problem.place, problem.message)).take(LINES);
        let hints = failure.hints.iter().cloned().chain(lines).collect();
        Self { hints, ..Self::new(status, failure.line()) }
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// The rest of the request will not be read.
    #[must_use]
    pub fn closing(self) -> Self {
        self.header(CONNECTION, "close")
    }

    pub fn answer(self) -> Response {
        let Self { status, detail, hints, headers } = self;
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": detail,
        });
        if let (false, Some(members)) = (hints.is_empty(), body.as_object_mut()) {
            members.insert("hints".to_owned(), json!(hints));
        }
        let mut answer = Response::new(Body::from(format!("{body}\n")));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        answer.headers_mut().extend(headers);
        answer
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.answer()
    }
}
