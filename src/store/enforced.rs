//! What is enforced while the files cannot be followed: for whoever asks how things stand, and so that what is new of it
//! is told once; and the commit that was applied last, which a daemon enforces that was started anew meanwhile.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use sqlx::types::Json as Column;

use super::error::{Error, Result};
use super::outbox;
use super::sql::fetch;
use super::tx::{Snapshot, Tx};
use crate::change::{moment, printable, rfc3339};

const TOPIC: &str = "files";
const APPLIED: &str = "applied";

/// The files cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfollowed {
    /// Since when, over all daemons.
    pub since: DateTime<Utc>,
    /// What is enforced instead, such as `commit 4f1c2ab`; `None`: reconciliation is paused.
    pub enforced: Option<String>,
    /// In a few words, what is wrong with the files, and what that means.
    pub trouble: String,
    /// How many problems the files have; 0 where they could not be read at all.
    pub count: u64,
    /// The first problems, each with its place.
    pub problems: Vec<String>,
}

impl Unfollowed {
    /// On one line, for a person.
    pub fn line(&self) -> String {
        let (since, trouble) = (moment(self.since), printable(&self.trouble));
        match &self.enforced {
            Some(enforced) => format!("still enforcing {} since {since}; {trouble}", printable(enforced)),
            None => format!("since {since}: {trouble}"),
        }
    }

    pub fn json(&self) -> Json {
        let Self { since, enforced, trouble, count, problems } = self;
        json!({ "since": rfc3339(*since), "enforced": enforced, "trouble": trouble, "count": count,
                "problems": problems })
    }

    /// `None`: the files are followed, or nothing that this program has written stands there.
    fn read(state: &Json) -> Option<Self> {
        let text = |name: &str| state.get(name)?.as_str().map(str::to_owned);
        let problems = state.get("problems")?.as_array()?;
        Some(Self {
            since: DateTime::parse_from_rfc3339(&text("since")?).ok()?.to_utc(),
            enforced: text("enforced"),
            trouble: text("trouble")?,
            count: state.get("count")?.as_u64()?,
            problems: problems.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        })
    }
}

/// What was noted last.
pub async fn noted(tx: &mut Tx) -> Result<Option<Unfollowed>> {
    Ok(Unfollowed::read(&outbox::told(tx, TOPIC).await?))
}

/// Notes that the files cannot be followed; `None`: that they are.
pub async fn note(tx: &mut Tx, unfollowed: Option<&Unfollowed>) -> Result<()> {
    outbox::tell(tx, TOPIC, &unfollowed.map_or(Json::Null, Unfollowed::json)).await
}

/// Whether the files can be followed, and what is enforced where not.
pub async fn read(snapshot: &mut Snapshot) -> Result<Option<Unfollowed>> {
    Ok(Unfollowed::read(&state(snapshot, TOPIC).await?))
}

/// What the last turn that was carried through has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Full commit id; `None` outside a Git repository.
    pub commit: Option<String>,
    /// The files were what the commit holds.
    pub is_clean: bool,
}

impl Applied {
    fn read(state: &Json) -> Option<Self> {
        let commit = state.get("commit")?.as_str().map(str::to_owned);
        Some(Self { commit, is_clean: state.get("is_clean")?.as_bool()? })
    }
}

/// Notes what a turn has applied, where that is new.
pub async fn note_applied(tx: &mut Tx, applied: &Applied) -> Result<()> {
    if Applied::read(&outbox::told(tx, APPLIED).await?).as_ref() == Some(applied) {
        return Ok(());
    }
    let Applied { commit, is_clean } = applied;
    outbox::tell(tx, APPLIED, &json!({ "commit": commit, "is_clean": is_clean })).await
}

/// What was applied last; `None`: nothing ever was.
pub async fn last_applied(snapshot: &mut Snapshot) -> Result<Option<Applied>> {
    Ok(Applied::read(&state(snapshot, APPLIED).await?))
}

async fn state(snapshot: &mut Snapshot, topic: &str) -> Result<Json> {
    let failed = Error::query("read what is enforced");
    let rows = fetch!(snapshot.conn(), "SELECT state FROM reconcile_told WHERE topic = $1", topic).map_err(&failed)?;
    let Some(row) = rows.first() else { return Ok(Json::Null) };
    let Column(state) = row.get("state").map_err(failed)?;
    Ok(state)
}
