//! Resources and their states, page by page: what files declare and what the database has beside, in one order.
//!
//! Pages are read one at a time, each with a look of its own at the sessions that no file names. So a million of them take
//! little memory, and a reader who is slow holds nothing open in the database.

mod render;

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use super::inventory::Inventory;
use super::look::unsteady;
use super::{ATTEMPTS, World};
use crate::change::{Action, Kind, ResourceId, rfc3339};
use crate::failure::Result;
use crate::kinds::{Key, Listed, any_id};
use crate::plan::states::{State, States};
use crate::resource::Resource;
use crate::resource::session::{self, Session, SessionId};
use crate::store::error::Error;
pub use render::{Columns, Counts, begin_json, csv_header};

/// One resource, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: ResourceId,
    /// What people call it; may be empty.
    pub title: String,
    /// `file:line:column`; `None`: no file names it.
    pub place: Option<String>,
    pub states: States,
    /// What the next run does to it.
    pub action: Option<Action>,
    /// Since when it is suspended, or fails.
    pub since: Option<DateTime<Utc>>,
    /// What the change does, and its consequences.
    pub details: Vec<String>,
    pub notes: Vec<String>,
    /// Why it is not as declared, or not to be changed, and the way out.
    pub reason: Option<String>,
    pub hint: Option<String>,
}

/// Which resources are wanted; what is `None` or empty asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub kind: Option<Kind>,
    /// Any of these.
    pub states: States,
    /// A part of the address or of the title, in capitals or not.
    pub text: String,
}

impl Filter {
    pub fn passes(&self, row: &Row) -> bool {
        let Self { kind, states, text } = self;
        kind.is_none_or(|kind| kind == row.id.kind)
            && (states.is_empty() || row.states.meets(*states))
            && (text.is_empty() || row.holds(&text.to_lowercase()))
    }
}

/// Some resources in their order.
pub struct Page {
    pub rows: Vec<Row>,
    /// After which the next begin, where there are more.
    pub next: Option<ResourceId>,
}

impl World {
    /// The first `most` resources that pass the filter, from after `after` on. `declared` is what the inventory has of
    /// those that files declare: one more than `most`, where there are so many.
    pub async fn page(
        &self,
        inventory: &Inventory,
        declared: Vec<Row>,
        filter: &Filter,
        after: Option<&ResourceId>,
        most: usize,
    ) -> Result<Page> {
        let (from, limit) = (after.map(Key::of), most.saturating_add(1));
        // What lies behind the last that fits is for another page.
        let upto = declared.get(most).map(|row| Key::of(&row.id));
        let mut rows = declared;
        if let Some(ids) = sessions_between(from.as_ref(), upto.as_ref()).filter(|_| inventory.has_strangers(filter)) {
            rows.extend(self.strangers(inventory, filter, ids, limit).await?);
        }
        rows.extend(inventory.others(filter, from.as_ref(), upto.as_ref(), limit));
        rows.sort_by_cached_key(|row| Key::of(&row.id));
        let has_more = rows.len() > most;
        rows.truncate(most);
        let next = rows.last().filter(|_| has_more).map(|row| row.id.clone());
        Ok(Page { rows, next })
    }

    /// The row of one resource; `None`: neither a file nor the database has it.
    pub async fn row(&self, inventory: &Inventory, id: &ResourceId) -> Result<Option<Row>> {
        let known = inventory.find(id);
        let session = id.name.parse().ok().filter(|_| known.is_none() && id.kind == Session::KIND);
        let Some(session) = session else { return Ok(known) };
        let rows = self.strangers(inventory, &Filter::default(), session..=session, 1).await?;
        Ok(rows.into_iter().next())
    }

    /// Sessions that no file names.
    async fn strangers(
        &self,
        inventory: &Inventory,
        filter: &Filter,
        ids: RangeInclusive<i64>,
        most: usize,
    ) -> Result<Vec<Row>> {
        /// Rows that are read at once.
        const BATCH: usize = 10_000;
        let (mut rows, mut from) = (Vec::new(), *ids.start());
        loop {
            let batch = self.titles(from..=*ids.end(), BATCH).await?;
            let last = batch.last().filter(|_| batch.len() == BATCH).map(|(id, _)| id.0);
            let unnamed = batch.into_iter().filter(|(id, _)| !inventory.desired.sessions.contains_key(id));
            let strangers = unnamed.map(|(id, title)| Listed::unmanaged(Session::KIND, id, &title));
            let strangers = strangers.map(|listed| inventory.unmanaged_row(listed)).filter(|row| filter.passes(row));
            rows.extend(strangers.take(most - rows.len()));
            match last.and_then(|last| last.checked_add(1)).filter(|_| rows.len() < most) {
                Some(next) if next <= *ids.end() => from = next,
                _ => return Ok(rows),
            }
        }
    }

    /// One look at sessions; none where there is no database.
    async fn titles(&self, ids: RangeInclusive<i64>, most: usize) -> Result<Vec<(SessionId, String)>> {
        // A closed SQLite file is read without a lock; whoever writes meanwhile makes us look again.
        for _ in 0..ATTEMPTS {
            let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(Vec::new()) };
            let found = session::rows::titles(&mut snapshot, ids.clone(), most).await?;
            match snapshot.finish().await {
                Err(Error::Conflict { .. }) => {}
                ended => return Ok(ended.map(|()| found)?),
            }
        }
        Err(unsteady())
    }
}

/// The ids of sessions that come after one resource and up to another; `None`: sessions do not.
fn sessions_between(after: Option<&Key>, upto: Option<&Key>) -> Option<RangeInclusive<i64>> {
    let from = match after {
        None | Some(Key::Session(None)) => i64::MIN,
        Some(Key::Session(Some(id))) => id.0.checked_add(1)?,
        Some(Key::Host(_) | Key::Server(_) | Key::Instance(_)) => return None,
    };
    let end = match upto {
        Some(Key::Session(Some(id))) => id.0,
        _ => i64::MAX,
    };
    (from <= end).then_some(from..=end)
}

impl Row {
    /// Whether its address or its title holds a text of small letters.
    fn holds(&self, text: &str) -> bool {
        self.title.to_lowercase().contains(text) || self.id.to_string().to_lowercase().contains(text)
    }

    /// For machines: what there is nothing to say of is left out.
    pub fn json(&self) -> Json {
        let Self { id, title, place, states, action, since, details, notes, reason, hint } = self;
        let mut row = json!({
            "address": id.to_string(), "kind": id.kind.name, "name": id.name, "state": states.leading().word(),
            "states": states.iter().map(State::word).collect::<Vec<_>>(),
        });
        let mut set = |name: &str, value: Option<Json>| {
            if let Some(value) = value {
                row[name] = value;
            }
        };
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let texts = |texts: &[String]| (!texts.is_empty()).then(|| json!(texts));
        set("title", (!title.is_empty()).then(|| json!(title)));
        set("declared", text(place));
        set("since", since.map(|since| json!(rfc3339(since))));
        set("action", action.map(|action| json!(action.name())));
        set("details", texts(details));
        set("notes", texts(notes));
        set("reason", text(reason));
        set("hint", text(hint));
        row
    }

    /// What [`Row::json`] has written, elsewhere. `None`: this is something else.
    pub fn read(row: &Json) -> Option<Self> {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        let texts = |name: &str| {
            let texts = row[name].as_array().into_iter().flatten();
            texts.map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        let states = row["states"].as_array()?.iter().map(|state| State::read(state.as_str()?).ok());
        let action = |name: String| Action::ALL.into_iter().find(|action| action.name() == name);
        Some(Self {
            id: any_id(row["address"].as_str()?)?,
            title: text("title").unwrap_or_default(),
            place: text("declared"),
            states: states.collect::<Option<_>>()?,
            action: text("action").and_then(action),
            since: text("since").and_then(|since| since.parse().ok()),
            details: texts("details")?,
            notes: texts("notes")?,
            reason: text("reason"),
            hint: text("hint"),
        })
    }
}

impl Page {
    /// From rows as [`Row::json`] writes them. `None`: they are something else.
    pub fn read(rows: &[Json], next: Option<&str>) -> Option<Self> {
        let rows = rows.iter().map(Row::read).collect::<Option<_>>()?;
        let next = match next {
            Some(next) => Some(any_id(next)?),
            None => None,
        };
        Some(Self { rows, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = Row {
            id: any_id("server/Old Pool").unwrap(),
            title: "Ten".to_owned(),
            place: Some("desired-state/a.yaml:1:2".to_owned()),
            states: [State::Failed, State::Pending].into_iter().collect(),
            action: Some(Action::Rotate),
            since: Some("2026-12-01T12:00:00Z".parse().unwrap()),
            details: vec!["rotation 1 -> 2".to_owned()],
            notes: vec!["its host signs in again".to_owned()],
            reason: Some("why".to_owned()),
            hint: None,
        };
        assert_eq!(Row::read(&row.json()), Some(row.clone()));
        let bare = Row { title: String::new(), place: None, details: Vec::new(), notes: Vec::new(), ..row };
        let bare = Row { action: None, since: None, reason: None, ..bare };
        assert_eq!(Row::read(&bare.json()), Some(bare));
        assert_eq!(Row::read(&json!({ "address": "session/1", "states": ["lost"] })), None);
        assert_eq!(Row::read(&json!({ "address": "nothing/1", "states": [] })), None);
    }

    #[test]
    fn sessions_lie_between_what_was_and_what_comes() {
        let key = |id: &str| Key::of(&any_id(id).unwrap());
        let between =
            |after: Option<&str>, upto: Option<&str>| sessions_between(after.map(key).as_ref(), upto.map(key).as_ref());
        assert_eq!(between(None, None), Some(i64::MIN..=i64::MAX));
        assert_eq!(between(Some("session/7"), Some("session/9")), Some(8..=9));
        assert_eq!(between(Some("session/7"), Some("host/1")), Some(8..=i64::MAX));
        assert_eq!(between(Some("session/9"), Some("session/9")), None);
        assert_eq!(between(Some("session/9223372036854775807"), None), None);
        assert_eq!(between(Some("host/1"), None), None);
    }
}
