//! The fields that bodies have: of each its name, what it may hold, and that as JSON Schema.

use std::time::Duration;

use serde_json::Value as Json;
use utoipa::openapi::{ObjectBuilder, Type};

use super::body::{Field, Kind};
use crate::change::ResourceId;
use crate::credential;
use crate::kinds::parse_id;
use crate::port::guid::HostGuid;
use crate::resource::session::SessionId;
use crate::secret::Secret;

/// A schema of texts.
fn texts() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A whole number. To JSON Schema `215.0` is one, too; but beyond 2^53 such a number may not be the one that was meant.
fn whole(value: &Json) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_991.0;
    let exact = || value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT);
    // Whole, and small enough: nothing is cut off.
    value.as_i64().or_else(|| exact().map(|number| number as i64))
}

/// The schema of what [`text`] reads.
fn plain(most: usize) -> ObjectBuilder {
    let pattern = r"^[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
    texts().min_length(Some(1)).max_length(Some(most)).pattern(Some(pattern))
}

/// A text of 1 to `most` characters, of which none is a control character and the first is no blank; and no credential,
/// because the journal keeps it, and shows it to whoever may read.
fn text(value: Json, most: usize) -> Option<String> {
    let Json::String(text) = value else { return None };
    let begins = text.chars().next().is_some_and(|first| !first.is_whitespace());
    let fits = begins && !text.chars().any(char::is_control) && text.chars().count() <= most;
    (fits && credential::first(&text).is_none()).then_some(text)
}

/// Why, as the journal keeps it.
pub type Reason = Field<ReasonKind>;

pub enum ReasonKind {}

impl Kind for ReasonKind {
    type Value = String;
    const NAME: &'static str = "reason";
    const ALLOWED: &'static str =
        "1 to 500 characters, none of them a control character, not beginning with a blank, and no credential";

    fn read(value: Json) -> Option<String> {
        text(value, 500)
    }

    fn schema() -> ObjectBuilder {
        plain(500)
    }
}

/// For whom a GUID is made.
pub type CreatedBy = Field<CreatedByKind>;

pub enum CreatedByKind {}

impl Kind for CreatedByKind {
    type Value = String;
    const NAME: &'static str = "created_by";
    const ALLOWED: &'static str =
        "1 to 128 characters, none of them a control character, not beginning with a blank, and no credential";

    fn read(value: Json) -> Option<String> {
        text(value, 128)
    }

    fn schema() -> ObjectBuilder {
        plain(128)
    }
}

/// For whom a GUID is replaced.
pub type RotatedBy = Field<RotatedByKind>;

pub enum RotatedByKind {}

impl Kind for RotatedByKind {
    type Value = String;
    const NAME: &'static str = "rotated_by";
    const ALLOWED: &'static str = CreatedByKind::ALLOWED;

    fn read(value: Json) -> Option<String> {
        CreatedByKind::read(value)
    }

    fn schema() -> ObjectBuilder {
        CreatedByKind::schema()
    }
}

/// Of which resource.
pub type Resource = Field<ResourceKind>;

pub enum ResourceKind {}

impl Kind for ResourceKind {
    type Value = ResourceId;
    const NAME: &'static str = "resource";
    const ALLOWED: &'static str = "an address, such as host/215 or instance/UUID";

    fn read(value: Json) -> Option<ResourceId> {
        parse_id(value.as_str()?).ok()
    }

    fn schema() -> ObjectBuilder {
        texts().pattern(Some(ADDRESS))
    }
}

/// What [`parse_id`] reads, to the last letter: session and host ids are whole numbers of 64 bits.
pub const ADDRESS: &str = concat!(
    "^((sessions?|hosts?)/([1-9][0-9]{0,17}|[1-8][0-9]{18}|9[01][0-9]{17}|92[01][0-9]{16}|922[0-2][0-9]{15}",
    "|9223[0-2][0-9]{14}|92233[0-6][0-9]{13}|922337[01][0-9]{12}|92233720[0-2][0-9]{10}|922337203[0-5][0-9]{9}",
    "|9223372036[0-7][0-9]{8}|92233720368[0-4][0-9]{7}|922337203685[0-3][0-9]{6}|9223372036854[0-6][0-9]{5}",
    "|92233720368547[0-6][0-9]{4}|922337203685477[0-4][0-9]{3}|9223372036854775[0-7][0-9]{2}",
    "|922337203685477580[0-7])",
    "|servers?/[a-z0-9][a-z0-9._-]{0,62}",
    "|instances?/[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})$"
);

/// Of which plan.
pub type Digest = Field<DigestKind>;

pub enum DigestKind {}

impl Kind for DigestKind {
    type Value = String;
    const NAME: &'static str = "digest";
    const ALLOWED: &'static str = "32 hexadecimal digits, as the status of a plan that is held back shows them";

    fn read(value: Json) -> Option<String> {
        let Json::String(digest) = value else { return None };
        (digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
    }

    fn schema() -> ObjectBuilder {
        texts().pattern(Some("^[0-9A-Fa-f]{32}$"))
    }
}

/// Of which session.
pub type Session = Field<SessionKind>;

pub enum SessionKind {}

impl Kind for SessionKind {
    type Value = SessionId;
    const NAME: &'static str = "session";
    const ALLOWED: &'static str = "the number of a session: a whole number above zero";

    fn read(value: Json) -> Option<SessionId> {
        whole(&value).filter(|id| *id > 0).map(SessionId)
    }

    fn schema() -> ObjectBuilder {
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(i64::MAX))
    }
}

/// How long a GUID is valid.
pub type ExpiresIn = Field<ExpiresInKind>;

pub enum ExpiresInKind {}

impl Kind for ExpiresInKind {
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

    fn schema() -> ObjectBuilder {
        texts().pattern(Some("^[1-9][0-9]{0,2}[mhd]$"))
    }
}

/// As [`CreatedBy`], in the older shape.
pub type CreatedByName = Field<CreatedByNameKind>;

pub enum CreatedByNameKind {}

impl Kind for CreatedByNameKind {
    type Value = String;
    const NAME: &'static str = "createdBy";
    const ALLOWED: &'static str = CreatedByKind::ALLOWED;

    fn read(value: Json) -> Option<String> {
        CreatedByKind::read(value)
    }

    fn schema() -> ObjectBuilder {
        CreatedByKind::schema()
    }
}

/// As [`Session`], in the older shape.
pub type SessionNumber = Field<SessionNumberKind>;

pub enum SessionNumberKind {}

impl Kind for SessionNumberKind {
    type Value = SessionId;
    const NAME: &'static str = "sessionId";
    const ALLOWED: &'static str = SessionKind::ALLOWED;

    fn read(value: Json) -> Option<SessionId> {
        SessionKind::read(value)
    }

    fn schema() -> ObjectBuilder {
        SessionKind::schema()
    }
}

/// Whether a new row is made, and the one before it put aside.
pub type ForceNew = Field<ForceNewKind>;

pub enum ForceNewKind {}

impl Kind for ForceNewKind {
    type Value = bool;
    const NAME: &'static str = "force_new";
    const ALLOWED: &'static str = "true or false";

    fn read(value: Json) -> Option<bool> {
        value.as_bool()
    }

    fn schema() -> ObjectBuilder {
        ObjectBuilder::new().schema_type(Type::Boolean)
    }
}

/// What may be a session's GUID. `None`: it is none, and opens nothing.
pub type Guid = Field<GuidKind>;

pub enum GuidKind {}

impl Kind for GuidKind {
    type Value = Option<HostGuid>;
    const NAME: &'static str = "guid";
    const ALLOWED: &'static str = "a text of at most 256 characters";

    fn read(value: Json) -> Option<Option<HostGuid>> {
        let Json::String(text) = value else { return None };
        // Wiped when it has been read.
        let text = Secret::new(text);
        (text.expose().chars().count() <= 256).then(|| HostGuid::parse(text.expose()))
    }

    fn schema() -> ObjectBuilder {
        texts().max_length(Some(256))
    }
}

/// An instance's name, typed again.
pub type Name = Field<NameKind>;

pub enum NameKind {}

impl Kind for NameKind {
    type Value = String;
    const NAME: &'static str = "name";
    const ALLOWED: &'static str = "the instance's name, typed again: at most 500 characters";

    fn read(value: Json) -> Option<String> {
        let Json::String(name) = value else { return None };
        (name.chars().count() <= 500).then_some(name)
    }

    fn schema() -> ObjectBuilder {
        texts().max_length(Some(500))
    }
}

/// How long to wait for a turn.
pub type Wait = Field<WaitKind>;

pub enum WaitKind {}

impl Kind for WaitKind {
    type Value = Duration;
    const NAME: &'static str = "wait";
    const ALLOWED: &'static str = "0 to 30 seconds, as a whole number";

    fn read(value: Json) -> Option<Duration> {
        let seconds = whole(&value).and_then(|seconds| u64::try_from(seconds).ok());
        seconds.filter(|seconds| *seconds <= 30).map(Duration::from_secs)
    }

    fn schema() -> ObjectBuilder {
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_read_and_nothing_else() {
        assert_eq!(ExpiresInKind::read("90m".into()), Some(Duration::from_secs(5400)));
        for wrong in ["", "m", "0m", "01h", "1000d", "+1d", "1 d", "30", "ä"] {
            assert!(ExpiresInKind::read(wrong.into()).is_none(), "{wrong}");
        }
        for wrong in ["", " ", " x", "a\nb", "a\u{0}", "see AKIAIOSFODNN7EXAMPLE", &"x".repeat(129)] {
            assert!(CreatedByKind::read(wrong.into()).is_none(), "{wrong}");
        }
        assert_eq!(CreatedByKind::read("Noor Team".into()).as_deref(), Some("Noor Team"));
        let numbers = ["215", "215.0", "2.15e2", "9007199254740993", "1.5", "9007199254740993.0", "1e300", "-215", "0"];
        let read = numbers.map(|number| SessionKind::read(serde_json::from_str(number).unwrap()).map(|id| id.0));
        let (small, large) = (Some(215), Some(9_007_199_254_740_993));
        assert_eq!(read, [small, small, small, large, None, None, None, None, None]);
    }
}
