//! Actions are carried through once they have begun, and under an `Idempotency-Key` only once.
//!
//! A caller that hangs up, or whose time is over, breaks off nothing. What was done is kept under the key, without what
//! was secret in the answer; asking again gives that. What was refused has done nothing, so it is not kept, and may be
//! asked again under the same key. Between an action and the record of it a crash leaves the key under way, and after a
//! while it is free again: a repetition then meets what the action has done, as it would without a key.
//!
//! What may be another truth by now is never answered again: that a secret was taken under a key is kept, and nothing of
//! the answer; and a question, such as whether a GUID opens its session, is asked anew, whatever key stands beside it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::answer::Kept;
use super::board::Board;
use super::gate::Caller;
use super::limits::BODY_SIZE;
use super::problem::Problem;
use super::routes::answer;
use crate::change::hex;
use crate::store::idempotency::{Done, Key, Standing};
use crate::turn::World;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Actions at once, those included whose caller has hung up.
pub const ACTIONS: usize = 64;
/// How long an action waits for its place.
const QUEUE: Duration = Duration::from_secs(10);
/// How long one may take: more than every wait of it has as its limit.
const LIMIT: Duration = Duration::from_secs(120);

/// What comes of a key under which something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The same is answered, without what was secret in it.
    Told,
    /// Nothing is: the answer was a secret.
    Refused,
}

/// Where actions are carried out.
pub struct Once {
    world: Arc<World>,
    /// Tells whoever looks on that something was done.
    board: Arc<Board>,
    places: Arc<Semaphore>,
    again: Again,
}

impl Once {
    /// `places` are those of all actions together.
    pub fn new(world: Arc<World>, board: Arc<Board>, places: Arc<Semaphore>, again: Again) -> Self {
        Self { world, board, places, again }
    }
}

/// A request under a key, as it is kept.
struct Keyed {
    token: String,
    word: String,
    digest: String,
}

impl Keyed {
    fn key(&self) -> Key<'_> {
        Key { token: &self.token, word: &self.word, digest: &self.digest }
    }
}

/// The key that a request is made under, if it is.
///
/// Errors: it is none.
fn word(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(KEY).iter();
    let Some(word) = given.next() else { return Ok(None) };
    let is_visible = |word: &[u8]| (1..=255).contains(&word.len()) && word.iter().all(u8::is_ascii_graphic);
    match word.to_str() {
        Ok(word) if given.next().is_none() && is_visible(word.as_bytes()) => Ok(Some(word.to_owned())),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "Idempotency-Key must be one word of 1 to 255 visible ASCII characters",
        )),
    }
}

/// Of all that makes two requests the same, as 64 hexadecimal digits.
fn digest(method: &Method, path: &str, body: &Bytes) -> String {
    let mut digest = Sha256::new();
    for part in [method.as_str().as_bytes(), path.as_bytes(), body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex(&digest.finalize())
}

/// Carries a request through that acts.
pub async fn hold(State(once): State<Arc<Once>>, request: Request, next: Next) -> Response {
    let place = tokio::time::timeout(QUEUE, Arc::clone(&once.places).acquire_owned()).await;
    let Ok(Ok(place)) = place else {
        let what = format!("{ACTIONS} actions are under way");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).retry_after(1).answer();
    };
    let acting = tokio::spawn(async move {
        let ended = tokio::time::timeout(LIMIT, act(&once, request, next)).await;
        if ended.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            once.board.acted();
        }
        drop(place);
        ended
    });
    match acting.await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the action did not end in time").answer(),
        Err(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the action was broken off").answer(),
    }
}

async fn act(once: &Once, request: Request, next: Next) -> Response {
    let (request, keyed) = match keyed(request).await {
        Ok(found) => found,
        Err(problem) => return problem.answer(),
    };
    let Some(keyed) = keyed else { return next.run(request).await };
    match once.world.take_key(&keyed.key()).await {
        Ok(Standing::Ours(attempt)) => {
            let response = next.run(request).await;
            let done = done(&response, once.again);
            // That it is not kept hurts nobody: a repetition meets what was done.
            if let Err(failure) = once.world.settle_key(&keyed.key(), attempt, done.as_ref()).await {
                tracing::warn!("what was done under an Idempotency-Key is not kept: {}", failure.line());
            }
            response
        }
        Ok(Standing::Other) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used for another request: choose a new one for each",
        )
        .answer(),
        Ok(Standing::UnderWay) => {
            Problem::new(StatusCode::CONFLICT, "the request of this Idempotency-Key is still under way")
                .retry_after(1)
                .answer()
        }
        Ok(Standing::Done(done)) => match once.again {
            Again::Told => replay(&done),
            Again::Refused => Problem::new(
                StatusCode::CONFLICT,
                "a secret was taken under this Idempotency-Key, and is not given again",
            )
            .hint("who took it, and when, is in the journal: `GET /api/v1/history`")
            .hint("a secret whose answer did not arrive is lost: rotate it, and claim the new one under another key")
            .answer(),
        },
        Err(failure) => Problem::from(failure).answer(),
    }
}

/// The request, with its body as it was; and its key.
async fn keyed(request: Request) -> Result<(Request, Option<Keyed>), Problem> {
    let Some(word) = word(request.headers())? else { return Ok((request, None)) };
    let (mut head, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_SIZE).await;
    let bytes = bytes.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body cannot be read"))?;
    let digest = digest(&head.method, head.uri.path(), &bytes);
    // Whoever needs no token has no keys.
    let caller = head.extensions.get_mut::<Caller>().map(|caller| caller.name.clone());
    let keyed = caller.map(|token| Keyed { token, word, digest });
    Ok((Request::from_parts(head, Body::from(bytes)), keyed))
}

/// What may be kept of an answer; `None`: nothing was done.
fn done(response: &Response, again: Again) -> Option<Done> {
    let Kept(answer) = response.extensions().get().filter(|_| response.status().is_success())?;
    let status = i64::from(response.status().as_u16());
    Some(match again {
        Again::Refused => Done { status, location: None, answer: Json::Null },
        Again::Told => Done {
            status,
            location: response.headers().get(LOCATION).and_then(|at| at.to_str().ok()).map(str::to_owned),
            answer: answer.clone(),
        },
    })
}

fn replay(done: &Done) -> Response {
    let Done { status, location, answer: kept } = done;
    let status = u16::try_from(*status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let mut response =
        answer(status.unwrap_or(StatusCode::OK), "application/json", format!("{kept:#}\n")).into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(location) = location.as_deref().and_then(|at| HeaderValue::from_str(at).ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word_that_can_be_seen() {
        let read = |words: &[&[u8]]| {
            let headers = words.iter().map(|word| (KEY, HeaderValue::from_bytes(word).unwrap()));
            word(&headers.collect()).ok()
        };
        assert_eq!(read(&[]), Some(None));
        assert_eq!(read(&[b"8e03978e-40d5-43e8-bc93-6894a57f9324"]).flatten().as_deref().map(str::len), Some(36));
        assert_eq!(read(&[&[b'x'; 255]]).flatten().map(|word| word.len()), Some(255));
        for wrong in [&[b"".as_slice()][..], &[b"two words"], &[&[b'x'; 256]], &["ä".as_bytes()], &[b"one", b"two"]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn requests_differ_by_each_of_their_parts() {
        let of = |path: &str, body: &'static str| digest(&Method::POST, path, &Bytes::from_static(body.as_bytes()));
        let all = [
            of("/a", "b"),
            of("/ab", ""),
            of("/", "ab"),
            of("/a", "bb"),
            digest(&Method::PUT, "/a", &Bytes::from_static(b"b")),
        ];
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|digest| digest.len() == 64));
    }
}
