//! The rows of `sessions`: read in a snapshot, written in a guarded transaction.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};

use super::packed::{self, RowView, is_met};
use super::{Observed, Seen, Session, SessionId, Step};
use crate::resource::Recorded;
use crate::resource::roll::{Marks, Roll};
use crate::store::bulk::{self, Values};
use crate::store::error::{Error, Result};
use crate::store::scan::{Cells, Column, Selection, pick, scan};
use crate::store::sql::{Conn, Row, execute, fetch};
use crate::store::{Snapshot, Tx};

const READ: &str = "read sessions";

/// All rows, for [`Comparison::row`].
pub const ALL: Selection = Selection {
    table: "sessions",
    columns: &[
        Column::Int("session_id"),
        Column::Text("title"),
        Column::Text("status"),
        Column::Text("created_by"),
        Column::Time("starts_at"),
        Column::Time("expires_at"),
    ],
    filter: "TRUE",
};

/// What was last applied to sessions: name and digest.
const APPLIED: Selection = Selection {
    table: "reconcile_applied",
    columns: &[Column::Text("name"), Column::Text("digest")],
    filter: "kind = 'session'",
};

/// Compares every row with what is declared, and keeps those that are not so or that `is_wanted` asks for.
pub struct Comparison<'a, W> {
    declared: &'a Roll<Session>,
    is_wanted: W,
    seen: Seen,
    hint: usize,
}

impl<'a, W: Fn(SessionId) -> bool> Comparison<'a, W> {
    pub fn new(declared: &'a Roll<Session>, is_wanted: W) -> Self {
        let seen = Seen { met: Marks::none(declared.len()), ..Seen::default() };
        Self { declared, is_wanted, seen, hint: 0 }
    }

    /// Takes the next row of [`ALL`].
    ///
    /// Errors: it cannot be read.
    pub fn row(&mut self, cells: &mut Cells<'_>) -> std::result::Result<(), sqlx::Error> {
        let Self { declared, is_wanted, seen, hint } = self;
        seen.total += 1;
        let id = SessionId(cells.int()?);
        let row = view(cells)?;
        let number = declared.number_after(&id, hint);
        let met = number.filter(|number| is_met(declared.packed(*number), &row));
        if let Some(number) = met {
            seen.met.set(number, true);
        }
        if (number.is_some() && met.is_none()) || is_wanted(id) {
            seen.rows.insert(id, owned(&row)?);
        }
        Ok(())
    }

    pub fn finish(self) -> Seen {
        self.seen
    }
}

/// Compares the rows of `asked` alone, and keeps those of `wanted` besides. Of all others it is known that they were as
/// declared when they were last compared, and of how many rows there are, that they are `total`.
pub async fn compare_some(
    snapshot: &mut Snapshot,
    declared: &Roll<Session>,
    (asked, wanted): (&BTreeSet<SessionId>, &BTreeSet<SessionId>),
    total: u64,
) -> Result<Seen> {
    let mut seen = Seen { met: Marks::all(declared.len()), total, ..Seen::default() };
    asked.iter().filter_map(|id| declared.number(id)).for_each(|number| seen.met.set(number, false));
    let ids: Vec<i64> = asked.union(wanted).map(|id| id.0).collect();
    if ids.is_empty() {
        return Ok(seen);
    }
    let rows = pick!(
        snapshot.conn(),
        "SELECT session_id, title, status, created_by, starts_at, expires_at FROM sessions WHERE session_id = ANY($1)",
        "SELECT session_id, title, status, created_by, starts_at, expires_at FROM sessions
         WHERE session_id IN (SELECT value FROM json_each($1))",
        &ids,
    );
    for row in &rows.map_err(Error::query(READ))? {
        let (id, row) = observed(row).map_err(Error::query(READ))?;
        let number = declared.number(&id).filter(|_| asked.contains(&id));
        let met = number.is_some_and(|number| is_met(declared.packed(number), &row.view()));
        number.filter(|_| met).into_iter().for_each(|number| seen.met.set(number, true));
        if wanted.contains(&id) || (number.is_some() && !met) {
            seen.rows.insert(id, row);
        }
    }
    Ok(seen)
}

fn view<'r>(cells: &mut Cells<'r>) -> std::result::Result<RowView<'r>, sqlx::Error> {
    let (title, status, created_by) = (cells.text()?, cells.text()?, cells.text()?);
    Ok(RowView { title, status, created_by, starts_at: cells.micros()?, expires_at: cells.micros()? })
}

fn owned(row: &RowView<'_>) -> std::result::Result<Observed, sqlx::Error> {
    let RowView { title, status, created_by, starts_at, expires_at } = row;
    let text =
        |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| sqlx::Error::Decode(error.into()));
    // Beyond the calendar lies PostgreSQL's infinity.
    let time = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC);
    Ok(Observed {
        title: text(title)?,
        status: text(status)?,
        created_by: text(created_by)?,
        starts_at: starts_at.map(time),
        expires_at: expires_at.map(time),
    })
}

/// What was noted as last applied: of sessions that are as declared, those whose wish is another; of all others, by
/// name, the digest.
pub async fn noted(
    snapshot: &mut Snapshot,
    declared: &Roll<Session>,
    met: &Marks,
) -> Result<(Marks, Vec<(String, String)>)> {
    let mut unnoted = met.clone();
    let mut others = Vec::new();
    let mut hint = 0;
    let each = |cells: &mut Cells<'_>| {
        let (name, digest) = (cells.text()?, cells.text()?);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let id = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).map(SessionId);
        let number = id.and_then(|id| declared.number_after(&id, &mut hint));
        match number {
            Some(number) if !met.has(number) => others.push((text(name), text(digest))),
            Some(number) if packed::digest(declared.packed(number)).as_bytes() == digest => unnoted.set(number, false),
            _ => {}
        }
        Ok(())
    };
    scan(snapshot.conn(), &APPLIED, each).await.map_err(Error::query("read what was last applied"))?;
    Ok((unnoted, others))
}

/// One session, if it is there.
pub async fn find(snapshot: &mut Snapshot, id: SessionId) -> Result<BTreeMap<SessionId, Observed>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT session_id, title, status, created_by, starts_at, expires_at FROM sessions WHERE session_id = $1",
        id.0,
    );
    let rows = rows.map_err(Error::query(READ))?;
    rows.iter().map(observed).collect::<std::result::Result<_, _>>().map_err(Error::query(READ))
}

/// Ids and titles of the sessions within a range, in order, at most so many.
pub async fn titles(
    snapshot: &mut Snapshot,
    ids: RangeInclusive<i64>,
    most: usize,
) -> Result<Vec<(SessionId, String)>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT session_id, title FROM sessions WHERE session_id BETWEEN $1 AND $2 ORDER BY session_id LIMIT $3",
        *ids.start(),
        *ids.end(),
        i64::try_from(most).unwrap_or(i64::MAX),
    );
    let one = |row: &Row| Ok((SessionId(row.get("session_id")?), row.get("title")?));
    rows.map_err(Error::query(READ))?.iter().map(one).collect::<std::result::Result<_, _>>().map_err(Error::query(READ))
}

/// The ids next to one that is not there, two on each side at most, in order.
pub async fn nearest(snapshot: &mut Snapshot, id: SessionId) -> Result<Vec<SessionId>> {
    let failed = Error::query("look for the nearest sessions");
    let below = fetch!(
        snapshot.conn(),
        "SELECT session_id FROM sessions WHERE session_id < $1 ORDER BY session_id DESC LIMIT 2",
        id.0,
    );
    let above = fetch!(
        snapshot.conn(),
        "SELECT session_id FROM sessions WHERE session_id > $1 ORDER BY session_id LIMIT 2",
        id.0,
    );
    let rows = below.map_err(&failed)?.into_iter().chain(above.map_err(&failed)?);
    let ids = rows.map(|row| row.get("session_id").map(SessionId));
    let mut ids = ids.collect::<std::result::Result<Vec<_>, _>>().map_err(&failed)?;
    ids.sort();
    Ok(ids)
}

fn observed(row: &Row) -> std::result::Result<(SessionId, Observed), sqlx::Error> {
    let session = Observed {
        title: row.get("title")?,
        status: row.get("status")?,
        created_by: row.get("created_by")?,
        starts_at: row.get("starts_at")?,
        expires_at: row.get("expires_at")?,
    };
    Ok((SessionId(row.get("session_id")?), session))
}

/// Writes sessions. The row that the plan saw is the expectation of each; the outcomes are in the order of the steps.
///
/// Errors: [`Error::Conflict`] where one that is to be made is there already, and then nothing is written.
pub async fn record(steps: &[&Step], tx: &mut Tx) -> Result<Vec<Recorded>> {
    let (new, old): (Vec<&Step>, Vec<&Step>) = steps.iter().copied().partition(|step| step.before.is_none());
    insert(&new, tx).await?;
    let mut written = update(&old, tx).await?;
    if written.len() < old.len() {
        let missed: Vec<&Step> = old.into_iter().filter(|step| !written.contains(&step.id)).collect();
        let respelt = respelt(&missed, tx).await?;
        written.extend(update(&respelt, tx).await?);
    }
    let outcome = |step: &&Step| match step.before.is_none() || written.contains(&step.id) {
        true => Recorded::Done,
        false => Recorded::Conflict,
    };
    Ok(steps.iter().map(outcome).collect())
}

const WRITE: &str = "write sessions";

async fn insert(steps: &[&Step], tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    let at = || Values::Times(vec![now; steps.len()]);
    let columns = [
        ("session_id", Values::Ints(steps.iter().map(|step| step.id.0).collect())),
        ("title", Values::Texts(steps.iter().map(|step| &*step.after.title).collect())),
        ("status", Values::Texts(steps.iter().map(|step| &*step.after.status).collect())),
        ("created_by", Values::Texts(steps.iter().map(|step| &*step.after.created_by).collect())),
        ("starts_at", Values::MaybeTimes(steps.iter().map(|step| step.after.starts_at).collect())),
        ("expires_at", Values::MaybeTimes(steps.iter().map(|step| step.after.expires_at).collect())),
        ("created_at", at()),
        ("updated_at", at()),
    ];
    bulk::append(tx.conn(), "sessions", &columns).await.map_err(|error| match &error {
        sqlx::Error::Database(said) if said.is_unique_violation() => Error::Conflict { what: "a session".to_owned() },
        _ => Error::query(WRITE)(error),
    })
}

async fn update(steps: &[&Step], tx: &mut Tx) -> Result<HashSet<SessionId>> {
    let now = tx.now();
    let steps: Vec<_> = steps.iter().filter_map(|step| Some((step.id, step.before.as_ref()?, &step.after))).collect();
    let rows = bulk::write(
        tx.conn(),
        "UPDATE sessions SET title = n.title, status = n.status, created_by = n.created_by, starts_at = n.starts_at,
             expires_at = n.expires_at, updated_at = n.at
         FROM {rows}
         WHERE sessions.session_id = n.id AND sessions.title = n.was_title AND sessions.status = n.was_status
           AND sessions.created_by = n.was_created_by AND sessions.starts_at IS NOT DISTINCT FROM n.was_starts_at
           AND sessions.expires_at IS NOT DISTINCT FROM n.was_expires_at
         RETURNING session_id",
        &[
            ("id", Values::Ints(steps.iter().map(|(id, ..)| id.0).collect())),
            ("title", Values::Texts(steps.iter().map(|(.., is)| &*is.title).collect())),
            ("status", Values::Texts(steps.iter().map(|(.., is)| &*is.status).collect())),
            ("created_by", Values::Texts(steps.iter().map(|(.., is)| &*is.created_by).collect())),
            ("starts_at", Values::MaybeTimes(steps.iter().map(|(.., is)| is.starts_at).collect())),
            ("expires_at", Values::MaybeTimes(steps.iter().map(|(.., is)| is.expires_at).collect())),
            ("at", Values::Times(vec![now; steps.len()])),
            ("was_title", Values::Texts(steps.iter().map(|(_, was, _)| &*was.title).collect())),
            ("was_status", Values::Texts(steps.iter().map(|(_, was, _)| &*was.status).collect())),
            ("was_created_by", Values::Texts(steps.iter().map(|(_, was, _)| &*was.created_by).collect())),
            ("was_starts_at", Values::MaybeTimes(steps.iter().map(|(_, was, _)| was.starts_at).collect())),
            ("was_expires_at", Values::MaybeTimes(steps.iter().map(|(_, was, _)| was.expires_at).collect())),
        ],
    )
    .await;
    let ids = rows.and_then(|rows| rows.iter().map(|row| row.get("session_id").map(SessionId)).collect());
    ids.map_err(Error::query(WRITE))
}

/// SQLite keeps times as text, and others may spell a moment in another way than we do. Such a row is what the plan
/// saw, and yet compares differently: its times are brought to our spelling. Gives the steps whose rows are so; the rows
/// of the others have really changed.
async fn respelt<'s>(steps: &[&'s Step], tx: &mut Tx) -> Result<Vec<&'s Step>> {
    let mut respelt = Vec::new();
    for step in steps {
        let (Conn::Sqlite(_), Some(was)) = (tx.conn(), &step.before) else { return Ok(Vec::new()) };
        let rows = fetch!(
            tx.conn(),
            "SELECT session_id, title, status, created_by, starts_at, expires_at FROM sessions WHERE session_id = $1",
            step.id.0,
        );
        let failed = Error::query(READ);
        let found = rows.map_err(&failed)?.first().map(observed).transpose().map_err(&failed)?;
        if found.is_none_or(|(_, now)| now != *was) {
            continue;
        }
        let done = execute!(
            tx.conn(),
            "UPDATE sessions SET starts_at = $1, expires_at = $2 WHERE session_id = $3",
            was.starts_at,
            was.expires_at,
            step.id.0,
        );
        done.map_err(Error::query(WRITE))?;
        respelt.push(*step);
    }
    Ok(respelt)
}
