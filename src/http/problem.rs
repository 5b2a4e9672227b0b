//! Errors as `application/problem+json` (RFC 9457): what could not be done, and the way out.

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::{Class, Failure};
use crate::store::error::Trouble;

/// Problems of files that an answer lists, at most.
const LINES: usize = 50;

/// What could not be done, as RFC 9457 writes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Told {
    /// What could not be done.
    detail: String,
    /// The way out, and where files have problems, these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    hints: Vec<String>,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What the status is called.
    title: String,
    /// No problem has a page of its own.
    #[schema(example = "about:blank")]
    r#type: &'static str,
}

/// Goes with an answer that is held back for a while.
#[derive(Clone, Copy, Debug)]
pub struct Late;

/// An answer that says no.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    hints: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    is_late: bool,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), hints: Vec::new(), headers: Vec::new(), is_late: false }
    }

    /// What a command would have said, for whoever may read it.
    pub fn of(failure: &Failure) -> Self {
        let status = match failure.class {
            Class::Missing => StatusCode::NOT_FOUND,
            Class::Conflict | Class::Held => StatusCode::CONFLICT,
            Class::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Class::Unavailable | Class::Refused => StatusCode::SERVICE_UNAVAILABLE,
            Class::Error | Class::Silent if failure.problems().is_some() => StatusCode::CONFLICT,
            Class::Error | Class::Silent if failure.is_away || failure.is_schema => StatusCode::SERVICE_UNAVAILABLE,
            Class::Error | Class::Silent if failure.trouble == Trouble::Contention => StatusCode::SERVICE_UNAVAILABLE,
            Class::Error | Class::Silent => StatusCode::INTERNAL_SERVER_ERROR,
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

    /// The way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// It may be asked again after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// Whoever asked has to wait for it.
    #[must_use]
    pub fn late(self) -> Self {
        Self { is_late: true, ..self }
    }

    /// The rest of the request will not be read.
    #[must_use]
    pub fn closing(self) -> Self {
        self.header(CONNECTION, "close")
    }

    pub fn answer(self) -> Response {
        let Self { status, detail, hints, headers, is_late } = self;
        let told = Told {
            detail,
            hints,
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            r#type: "about:blank",
        };
        // A list of texts and numbers is always written.
        let body = serde_json::to_string(&told).unwrap_or_default();
        let mut answer = Response::new(Body::from(format!("{body}\n")));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        answer.headers_mut().extend(headers);
        if is_late {
            answer.extensions_mut().insert(Late);
        }
        answer
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.answer()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::of(&failure)
    }
}
