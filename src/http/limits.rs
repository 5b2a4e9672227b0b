//! The limits of the door, and what holds a request to them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use zeroize::Zeroizing;

use super::problem::{Late, Problem};
use super::slots::Tag;
use crate::change::span;

/// A request's line and headers, bytes.
pub const HEAD_SIZE: usize = 16 * 1024;
/// Headers of a request.
pub const HEADERS: usize = 64;
/// From a connection's opening, or from its last answer, until the next head is there as a whole: what sends slowly and
/// what sends nothing are ended alike.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// A request's body, bytes.
pub const BODY_SIZE: usize = 64 * 1024;
/// How long it may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long an answer may take to be made, from the head on.
const WHOLE_TIME: Duration = Duration::from_secs(40);
/// How much later whoever has made too many wrong tries is answered.
const LATE: Duration = Duration::from_secs(1);
/// A connection's life. Afterwards the request under way is finished, and the next needs a new connection.
pub const LIFE: Duration = Duration::from_secs(5 * 60);
/// How long a request under way may go on after that, its answer being taken by the client included.
pub const GRACE: Duration = Duration::from_secs(45);
/// The same when the daemon ends.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// Takes the body in within its limits before anything looks at it, and limits the time of the answer.
pub async fn hold(request: Request, next: Next) -> Response {
    let tag = request.extensions().get::<Tag>().cloned();
    let answer = async {
        let (head, body) = request.into_parts();
        match take_in(&head.headers, body).await {
            Ok(body) => {
                let _answering = tag.as_ref().map(Tag::answers);
                let answer = next.run(Request::from_parts(head, Body::from(body))).await;
                if answer.extensions().get::<Late>().is_some() {
                    tokio::time::sleep(LATE).await;
                }
                answer
            }
            Err(problem) => problem.answer(),
        }
    };
    let late = || {
        let what = format!("the answer was not ready within {}", span(WHOLE_TIME));
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).answer()
    };
    let mut answer = tokio::time::timeout(WHOLE_TIME, answer).await.unwrap_or_else(|_| late());
    // What is true now is not true later, and is what its header says that it is.
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The whole body. Errors: it is, or says that it is, too large; it does not arrive in time; it breaks off.
async fn take_in(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a request's body may have {} KiB", BODY_SIZE / 1024));
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_SIZE as u64) {
        return Err(too_large());
    }
    let read = async {
        // It may hold a secret. With its length known it is never moved, and it is wiped in the end.
        let room = length.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let (mut read, mut parts) = (Zeroizing::new(Vec::with_capacity(room)), body.into_data_stream());
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the request's body broke off"))?;
            if read.len() + part.len() > BODY_SIZE {
                return Err(too_large());
            }
            read.extend_from_slice(&part);
        }
        Ok(Bytes::from_owner(read))
    };
    let late = || {
        let what = format!("the request's body did not arrive within {}", span(BODY_TIME));
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, what).closing())
    };
    tokio::time::timeout(BODY_TIME, read).await.unwrap_or_else(|_| late())
}
