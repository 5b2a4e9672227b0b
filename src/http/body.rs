//! What a request says in its body: a JSON object, read into a type that names each field and what it may hold.
//!
//! A field that is refused is named together with what is allowed, and its value is never repeated: it may be a secret
//! that got into the wrong place.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, de};
use serde_json::Value as Json;
use serde_json::error::Category;
use std::marker::PhantomData;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::limits::BODY_SIZE;
use super::problem::Problem;

/// The body as a `T`. It has to say that it is JSON: a form of a web page cannot.
pub struct Told<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Told<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let what = "the body must be JSON, and say so: `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
        }
        let bytes = to_bytes(request.into_body(), BODY_SIZE).await;
        let bytes = bytes.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body cannot be read"))?;
        read(&bytes).map(Self)
    }
}

/// An empty body stands for an empty object.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = bytes.trim_ascii();
    let text = if text.is_empty() { b"{}" } else { text };
    let told = match text.first() {
        // A type with fields could also be read from a list, and says of anything else what it was.
        Some(b'{') => serde_json::from_slice(text),
        _ => {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the body must be a JSON object"));
        }
    };
    told.map_err(|error| match error.classify() {
        Category::Data => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body is no JSON: {error}"))
        }
    })
}

/// One field: its name, and what it may hold.
pub trait Kind {
    type Value;
    const NAME: &'static str;
    /// Completes "NAME must be …".
    const ALLOWED: &'static str;

    fn read(value: Json) -> Option<Self::Value>;

    /// The same as JSON Schema has it.
    fn schema() -> ObjectBuilder;
}

/// The value of a field of this kind.
pub struct Field<K: Kind>(pub K::Value, PhantomData<K>);

impl<'de, K: Kind> Deserialize<'de> for Field<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value: Json = de::Deserialize::deserialize(deserializer)?;
        let refused = || D::Error::custom(format_args!("{} must be {}", K::NAME, K::ALLOWED));
        K::read(value).map(|value| Self(value, PhantomData)).ok_or_else(refused)
    }
}

impl<K: Kind> PartialSchema for Field<K> {
    fn schema() -> RefOr<Schema> {
        K::schema().description(Some(K::ALLOWED)).into()
    }
}

impl<K: Kind> ToSchema for Field<K> {}

/// Nothing has to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::fields::{ExpiresIn, Guid, Session};
    use crate::resource::session::SessionId;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        session: Session,
        #[serde(default)]
        guid: Option<Guid>,
        #[serde(default)]
        expires_in: Option<ExpiresIn>,
    }

    fn refusal(text: &str) -> String {
        match read::<Wish>(text.as_bytes()) {
            Ok(_) => panic!("{text} is accepted"),
            Err(problem) => format!("{problem:?}"),
        }
    }

    #[test]
    fn what_is_refused_is_named_with_what_is_allowed_and_its_value_is_not_repeated() {
        for (text, told) in [
            ("", "422: missing field `session`"),
            ("{", "400: the body is no JSON: EOF"),
            ("{\"session\": 1,}", "400: the body is no JSON: trailing comma"),
            ("[1]", "422: the body must be a JSON object"),
            ("\"hush\"", "422: the body must be a JSON object"),
            ("{\"session\": \"hush\"}", "422: session must be the number of a session: a whole number above zero"),
            ("{\"session\": 0}", "422: session must be"),
            ("{\"session\": 1.5}", "422: session must be"),
            ("{\"session\": 9223372036854775808}", "422: session must be"),
            ("{\"session\": 1, \"session\": 2}", "422: duplicate field `session`"),
            ("{\"session\": 1, \"guid\": [\"hush\"]}", "422: guid must be a text"),
            ("{\"session\": 1, \"x\": \"hush\"}", "422: unknown field `x`, expected one of `session`, `guid`"),
            ("{\"session\": 1, \"expires_in\": \"5s\"}", "422: expires_in must be 1 to 999 minutes, hours or days"),
        ] {
            let refusal = refusal(text);
            let (status, told) = told.split_once(": ").unwrap();
            let is_told = refusal.contains(&format!("status: {status}, detail: \"{told}"));
            assert!(is_told && !refusal.contains("hush"), "{text}: {refusal}");
        }
    }

    #[test]
    fn what_is_allowed_is_read() {
        let wish: Wish = read(b" {\"session\": 215, \"guid\": \"nonsense\", \"expires_in\": \"90m\"} ").ok().unwrap();
        assert_eq!(wish.session.0, SessionId(215));
        assert!(wish.guid.is_some_and(|guid| guid.0.is_none()));
        assert_eq!(wish.expires_in.map(|life| life.0), Some(Duration::from_secs(5400)));
    }
}
