//! What a request says in its body: a JSON object, read into a type that names each field and what it may hold.
//!
//! A field that is refused is named together with what is allowed, and its value is never repeated: it may be a secret
//! that got into the wrong place.

use std::marker::PhantomData;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, de};
use serde_json::Value as Json;
use serde_json::error::Category;

use super::limits::BODY_SIZE;
use super::problem::Problem;
use crate::change::ResourceId;
use crate::kinds::parse_id;
use crate::port::guid::HostGuid;
use crate::resource::session::SessionId;
use crate::secret::Secret;

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
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
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

/// A text of 1 to `most` characters, of which none is a control character and the first is no blank.
fn text(value: Json, most: usize) -> Option<String> {
    let Json::String(text) = value else { return None };
    let begins = text.chars().next().is_some_and(|first| !first.is_whitespace());
    let fits = begins && !text.chars().any(char::is_control) && text.chars().count() <= most;
    fits.then_some(text)
}

/// Why, as the journal keeps it.
pub enum Reason {}

impl Kind for Reason {
    type Value = String;
    const NAME: &'static str = "reason";
    const ALLOWED: &'static str = "1 to 500 characters, none of them a control character, not beginning with a blank";

    fn read(value: Json) -> Option<String> {
        text(value, 500)
    }
}

/// For whom a GUID is made.
pub enum CreatedBy {}

impl Kind for CreatedBy {
    type Value = String;
    const NAME: &'static str = "created_by";
    const ALLOWED: &'static str = "1 to 128 characters, none of them a control character, not beginning with a blank";

    fn read(value: Json) -> Option<String> {
        text(value, 128)
    }
}

/// For whom a GUID is replaced.
pub enum RotatedBy {}

impl Kind for RotatedBy {
    type Value = String;
    const NAME: &'static str = "rotated_by";
    const ALLOWED: &'static str = CreatedBy::ALLOWED;

    fn read(value: Json) -> Option<String> {
        CreatedBy::read(value)
    }
}

/// Of which resource.
pub enum Resource {}

impl Kind for Resource {
    type Value = ResourceId;
    const NAME: &'static str = "resource";
    const ALLOWED: &'static str = "an address, such as host/215 or instance/UUID";

    fn read(value: Json) -> Option<ResourceId> {
        parse_id(value.as_str()?).ok()
    }
}

/// Of which plan.
pub enum Digest {}

impl Kind for Digest {
    type Value = String;
    const NAME: &'static str = "digest";
    const ALLOWED: &'static str = "32 hexadecimal digits, as the status of a plan that is held back shows them";

    fn read(value: Json) -> Option<String> {
        let Json::String(digest) = value else { return None };
        (digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
    }
}

/// Of which session.
pub enum Session {}

impl Kind for Session {
    type Value = SessionId;
    const NAME: &'static str = "session";
    const ALLOWED: &'static str = "the number of a session: a whole number above zero";

    fn read(value: Json) -> Option<SessionId> {
        value.as_i64().filter(|id| *id > 0).map(SessionId)
    }
}

/// How long a GUID is valid.
pub enum ExpiresIn {}

impl Kind for ExpiresIn {
    type Value = Duration;
    const NAME: &'static str = "expires_in";
    const ALLOWED: &'static str = "1 to 999 minutes, hours or days, such as 90m, 12h or 30d";

    fn read(value: Json) -> Option<Duration> {
        let text = value.as_str()?;
        let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let minutes = match unit {
            "m" => 1,
            "h" => 60,
            "d" => 24 * 60,
            _ => return None,
        };
        let is_plain = (1..=3).contains(&count.len()) && count.bytes().all(|digit| digit.is_ascii_digit());
        let count: u64 = count.parse().ok().filter(|_| is_plain && !count.starts_with('0'))?;
        Some(Duration::from_secs(60 * minutes * count))
    }
}

/// As [`CreatedBy`], in the older shape.
pub enum CreatedByName {}

impl Kind for CreatedByName {
    type Value = String;
    const NAME: &'static str = "createdBy";
    const ALLOWED: &'static str = CreatedBy::ALLOWED;

    fn read(value: Json) -> Option<String> {
        CreatedBy::read(value)
    }
}

/// As [`Session`], in the older shape.
pub enum SessionNumber {}

impl Kind for SessionNumber {
    type Value = SessionId;
    const NAME: &'static str = "sessionId";
    const ALLOWED: &'static str = Session::ALLOWED;

    fn read(value: Json) -> Option<SessionId> {
        Session::read(value)
    }
}

/// Whether a new row is made, and the one before it put aside.
pub enum ForceNew {}

impl Kind for ForceNew {
    type Value = bool;
    const NAME: &'static str = "force_new";
    const ALLOWED: &'static str = "true or false";

    fn read(value: Json) -> Option<bool> {
        value.as_bool()
    }
}

/// What may be a session's GUID. `None`: it is none, and opens nothing.
pub enum Guid {}

impl Kind for Guid {
    type Value = Option<HostGuid>;
    const NAME: &'static str = "guid";
    const ALLOWED: &'static str = "a text of at most 256 characters";

    fn read(value: Json) -> Option<Option<HostGuid>> {
        let Json::String(text) = value else { return None };
        // Wiped when it has been read.
        let text = Secret::new(text);
        (text.expose().chars().count() <= 256).then(|| HostGuid::parse(text.expose()))
    }
}

/// An instance's name, typed again.
pub enum Name {}

impl Kind for Name {
    type Value = String;
    const NAME: &'static str = "name";
    const ALLOWED: &'static str = "the instance's name, typed again: at most 500 characters";

    fn read(value: Json) -> Option<String> {
        let Json::String(name) = value else { return None };
        (name.chars().count() <= 500).then_some(name)
    }
}

/// How long to wait for a turn.
pub enum Wait {}

impl Kind for Wait {
    type Value = Duration;
    const NAME: &'static str = "wait";
    const ALLOWED: &'static str = "0 to 30 seconds, as a whole number";

    fn read(value: Json) -> Option<Duration> {
        value.as_u64().filter(|seconds| *seconds <= 30).map(Duration::from_secs)
    }
}

/// Nothing has to be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        session: Field<Session>,
        #[serde(default)]
        guid: Option<Field<Guid>>,
        #[serde(default)]
        expires_in: Option<Field<ExpiresIn>>,
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
            ("{\"session\": 1.0}", "422: session must be"),
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
        for wrong in ["", "m", "0m", "01h", "1000d", "+1d", "1 d", "30", "ä"] {
            assert!(ExpiresIn::read(wrong.into()).is_none(), "{wrong}");
        }
        for wrong in ["", " ", " x", "a\nb", "a\u{0}", &"x".repeat(129)] {
            assert!(CreatedBy::read(wrong.into()).is_none(), "{wrong}");
        }
        assert_eq!(CreatedBy::read("Noor Team".into()).as_deref(), Some("Noor Team"));
    }
}
