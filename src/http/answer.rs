//! What an action answers: shown to its caller, and, without what is secret, kept for whoever asks the same again.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::secret::Secret;

/// How an action ends.
pub type Outcome = Result<Answer, Problem>;

/// The answer of an action that was done.
pub struct Answer {
    status: StatusCode,
    shown: Bytes,
    kept: Json,
    location: Option<HeaderValue>,
}

/// What may be kept of an answer, for its repetition. Holds no secret.
#[derive(Clone, Debug)]
pub struct Kept(pub Json);

impl Answer {
    /// Errors: none that the answer's memory does not give.
    pub fn new(status: StatusCode, told: &impl Serialize) -> Outcome {
        let kept = serde_json::to_value(told);
        let kept = kept.map_err(|_| unwritten())?;
        Ok(Self { status, shown: Bytes::from(format!("{kept:#}\n")), kept, location: None })
    }

    /// An answer with a `secret` in it, and what is kept of it, which has none. Its bytes are wiped once they are sent.
    ///
    /// Errors: none that the answer's memory does not give.
    pub fn once(secret: &Secret, shown: &impl Serialize, kept: &impl Serialize) -> Outcome {
        /// Whatever stands beside a secret is shorter.
        const REST: usize = 4096;
        // Made in its whole length, so that no part of it is left where it grew away from.
        let mut bytes = Zeroizing::new(Vec::with_capacity(secret.expose().len() + REST));
        let written = serde_json::to_writer_pretty(&mut *bytes, shown);
        let kept = written.and_then(|()| serde_json::to_value(kept)).map_err(|_| unwritten())?;
        bytes.push(b'\n');
        Ok(Self { status: StatusCode::OK, shown: Bytes::from_owner(bytes), kept, location: None })
    }

    /// Where the same is told later.
    #[must_use]
    pub fn at(self, location: &str) -> Self {
        Self { location: HeaderValue::from_str(location).ok(), ..self }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Self { status, shown, kept, location } = self;
        let mut answer = Response::new(Body::from(shown));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(location) = location {
            answer.headers_mut().insert(LOCATION, location);
        }
        answer.extensions_mut().insert(Kept(kept));
        answer
    }
}

fn unwritten() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "it was done, but the answer cannot be written")
}
