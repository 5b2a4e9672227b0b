//! A session's wish as a few bytes, and a row of the database compared with it field by field.
//!
//! One byte says which fields are managed, then each of those follows: texts with their length in two bytes, the status
//! as one byte, times as microseconds since 1970 in eight. All numbers are little-endian.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Observed, Session, SessionId, Status};
use crate::change::hex;
use crate::resource::roll::Compact;
use crate::yaml::{Item, Problem};

const TITLE: u8 = 1;
const STATUS: u8 = 1 << 1;
const CREATED_BY: u8 = 1 << 2;
/// Managed; what for, the next bit says.
const STARTS: u8 = 1 << 3;
/// There is a time; otherwise there is to be none.
const STARTS_AT: u8 = 1 << 4;
const EXPIRES: u8 = 1 << 5;
const EXPIRES_AT: u8 = 1 << 6;

/// A row as the database gives it, times in microseconds since 1970.
pub struct RowView<'r> {
    pub title: &'r [u8],
    pub status: &'r [u8],
    pub created_by: &'r [u8],
    pub starts_at: Option<i64>,
    pub expires_at: Option<i64>,
}

/// A session's wish that borrows its texts.
struct Wish<'t> {
    title: Option<&'t str>,
    status: Option<Status>,
    created_by: Option<&'t str>,
    starts_at: Option<Option<DateTime<Utc>>>,
    expires_at: Option<Option<DateTime<Utc>>>,
}

impl<'t> Wish<'t> {
    fn of(item: &Item<'t>) -> Result<(SessionId, Self), Vec<Problem>> {
        let wish = Wish {
            title: item.text("title"),
            status: item.word("status").and_then(Status::from_word),
            created_by: item.text("created_by"),
            starts_at: item.nullable_time("starts_at"),
            expires_at: item.nullable_time("expires_at"),
        };
        if let (Some(Some(starts)), Some(Some(expires))) = (wish.starts_at, wish.expires_at)
            && expires <= starts
        {
            let hint = "a session expires after it starts".to_owned();
            return Err(vec![item.problem("expires_at", "expires_at is not after starts_at", Some(hint))]);
        }
        Ok((SessionId(item.int("id").unwrap_or_default()), wish))
    }

    fn pack(&self, bytes: &mut Vec<u8>) {
        let Wish { title, status, created_by, starts_at, expires_at } = self;
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let mask = bit(title.is_some(), TITLE)
            | bit(status.is_some(), STATUS)
            | bit(created_by.is_some(), CREATED_BY)
            | bit(starts_at.is_some(), STARTS)
            | bit(matches!(starts_at, Some(Some(_))), STARTS_AT)
            | bit(expires_at.is_some(), EXPIRES)
            | bit(matches!(expires_at, Some(Some(_))), EXPIRES_AT);
        bytes.push(mask);
        let text = |text: &Option<&str>, bytes: &mut Vec<u8>| {
            if let Some(text) = text {
                // The section allows a few hundred characters.
                let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(text.as_bytes().get(..length.into()).unwrap_or_default());
            }
        };
        text(title, bytes);
        if let Some(status) = status {
            bytes.push(*status as u8);
        }
        text(created_by, bytes);
        for time in [starts_at, expires_at].into_iter().flatten().flatten() {
            bytes.extend_from_slice(&time.timestamp_micros().to_le_bytes());
        }
    }
}

impl Observed {
    pub(super) fn view(&self) -> RowView<'_> {
        let Observed { title, status, created_by, starts_at, expires_at } = self;
        let micros = |time: &Option<DateTime<Utc>>| time.map(|time| time.timestamp_micros());
        RowView {
            title: title.as_bytes(),
            status: status.as_bytes(),
            created_by: created_by.as_bytes(),
            starts_at: micros(starts_at),
            expires_at: micros(expires_at),
        }
    }
}

impl Compact for Session {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let Session { title, status, created_by, starts_at, expires_at } = self;
        let (title, created_by) = (title.as_deref(), created_by.as_deref());
        Wish { title, status: *status, created_by, starts_at: *starts_at, expires_at: *expires_at }.pack(bytes);
    }

    fn pack_item(item: &Item<'_>, bytes: &mut Vec<u8>) -> Result<SessionId, Vec<Problem>> {
        let (id, wish) = Wish::of(item)?;
        wish.pack(bytes);
        Ok(id)
    }

    fn unpack(bytes: &[u8]) -> Self {
        let mut rest = Rest(bytes);
        let mask = rest.byte();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let time = |micros: i64| DateTime::<Utc>::from_timestamp_micros(micros);
        Session {
            title: (mask & TITLE != 0).then(|| text(rest.text())),
            status: (mask & STATUS != 0)
                .then(|| rest.byte())
                .and_then(|number| Status::ALL.get(usize::from(number)).copied()),
            created_by: (mask & CREATED_BY != 0).then(|| text(rest.text())),
            starts_at: (mask & STARTS != 0).then(|| (mask & STARTS_AT != 0).then(|| time(rest.number())).flatten()),
            expires_at: (mask & EXPIRES != 0).then(|| (mask & EXPIRES_AT != 0).then(|| time(rest.number())).flatten()),
        }
    }
}

/// Whether the row is as the packed wish has it, in every field that is managed.
pub fn is_met(wish: &[u8], row: &RowView<'_>) -> bool {
    let RowView { title, status, created_by, starts_at, expires_at } = row;
    let mut rest = Rest(wish);
    let mask = rest.byte();
    let time = |rest: &mut Rest<'_>, bit: u8| (mask & bit != 0).then(|| rest.number());
    (mask & TITLE == 0 || rest.text() == *title)
        && (mask & STATUS == 0
            || Status::ALL.get(usize::from(rest.byte())).is_some_and(|wish| wish.word().as_bytes() == *status))
        && (mask & CREATED_BY == 0 || rest.text() == *created_by)
        && (mask & STARTS == 0 || time(&mut rest, STARTS_AT) == *starts_at)
        && (mask & EXPIRES == 0 || time(&mut rest, EXPIRES_AT) == *expires_at)
}

/// A digest of a packed wish. 32 hexadecimal digits.
pub fn digest(wish: &[u8]) -> String {
    hex(&Sha256::digest(wish)[..16])
}

/// What is still to be read. Beyond the end there are empty texts and zeros, which nothing that was packed asks for.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn text(&mut self) -> &'b [u8] {
        let length = self.take(2).try_into().map_or(0, u16::from_le_bytes);
        self.take(length.into())
    }

    fn number(&mut self) -> i64 {
        self.take(8).try_into().map_or(0, i64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::change::Origin;
    use crate::change::ResourceId;
    use crate::resource::{Asked, Resource, Verdict};

    fn time() -> impl Strategy<Value = DateTime<Utc>> {
        (0i64..5).prop_map(|number| DateTime::from_timestamp_micros(number * 1_234_567_891 - 2_000_000_000).unwrap())
    }

    fn wish() -> impl Strategy<Value = Session> {
        let title = proptest::option::of("[aé]{1,3}");
        let status = proptest::option::of(proptest::sample::select(Status::ALL.to_vec()));
        let creator = proptest::option::of("[ab]{1,2}");
        let times = || proptest::option::of(proptest::option::of(time()));
        (title, status, creator, times(), times()).prop_map(|(title, status, created_by, starts_at, expires_at)| {
            Session { title, status, created_by, starts_at, expires_at }
        })
    }

    fn row() -> impl Strategy<Value = Observed> {
        let status = proptest::sample::select(vec!["active", "inactive", "ended", "lost"]);
        let times = || proptest::option::of(time());
        ("[aé]{1,3}", status, "[ab]{1,2}", times(), times()).prop_map(
            |(title, status, created_by, starts_at, expires_at)| Observed {
                title,
                status: status.to_owned(),
                created_by,
                starts_at,
                expires_at,
            },
        )
    }

    /// As near to the wish as a row can be.
    fn met(wish: &Session, row: &Observed) -> Observed {
        wish.over(SessionId(1), Some(row))
    }

    fn packed(wish: &Session) -> Vec<u8> {
        let mut bytes = Vec::new();
        wish.pack(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_unpacked_is_what_was_packed(one in wish(), other in wish()) {
            prop_assert_eq!(&Session::unpack(&packed(&one)), &one);
            prop_assert_eq!(packed(&one) == packed(&other), one == other);
        }

        /// The quick comparison and the planner agree on what needs no thought.
        #[test]
        fn a_wish_is_met_where_the_planner_finds_nothing_to_do(wish in wish(), row in row(), near in any::<bool>()) {
            let row = if near { met(&wish, &row) } else { row };
            let id = ResourceId::new(Session::KIND, 1);
            let (key, origin) = (SessionId(1), Origin::Drift);
            let asked = Asked { id: &id, key: &key, desired: &wish, observed: Some(&row), origin };
            let nothing_to_do = matches!(Session::diff(&asked, &mut ()), Verdict::InSync);
            prop_assert_eq!(is_met(&packed(&wish), &row.view()), nothing_to_do);
        }
    }

    #[test]
    fn bytes_that_end_too_early_are_no_trouble() {
        let wish = Session { title: Some("long".into()), starts_at: Some(None), ..Session::default() };
        for end in 0..packed(&wish).len() {
            drop(Session::unpack(&packed(&wish)[..end]));
        }
    }
}
