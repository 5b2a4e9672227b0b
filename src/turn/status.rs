//! How things stand, and the words that start and stop applying.

use serde_json::json;

use super::World;
use crate::change::{ResourceId, hanging, moment, printable, rfc3339};
use crate::failure::Result;
use crate::kinds::ALL;
use crate::resource::host::rows::waiting;
use crate::store::lease::{self, Seen};
use crate::store::ledger::{self, Suspension};
use crate::store::turns::{self, Turn};
use crate::store::{Authority, Entry, journal};

/// What `status` tells.
#[derive(Debug)]
pub struct Status {
    pub header: String,
    /// `None`: there is no schema of ours yet.
    pub known: Option<Known>,
}

#[derive(Debug)]
pub struct Known {
    pub lease: Seen,
    pub last: Option<Turn>,
    pub suspensions: Vec<Suspension>,
    /// GUIDs in the hand-off: session, and until when.
    pub waiting: Vec<(String, chrono::DateTime<chrono::Utc>)>,
}

impl World {
    pub async fn status(&self) -> Result<Status> {
        let (environment, database) = (self.guard.environment(), &self.database);
        let header = format!("environment {environment} · catalog {} · {}", database.catalog(), database.driver());
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(Status { header, known: None }) };
        let probe = crate::port::handoff::Probe::embedded(&self.config.data_dir);
        let known = Known {
            lease: lease::seen(&mut snapshot).await?,
            last: turns::last(&mut snapshot).await?,
            suspensions: ledger::suspensions(&mut snapshot).await?,
            waiting: waiting(&mut snapshot, &probe).await?,
        };
        Ok(Status { header, known: Some(known) })
    }

    /// Stamps the database anew, after a restore or an upgrade.
    pub async fn restamp(&self, reason: &str) -> Result<()> {
        let context = self.by_user(None);
        let (mut tx, stamp) = self.database.restamp(&context).await?;
        let after = json!({ "environment": stamp.environment, "identity": stamp.identity.to_string() });
        journal::write(&mut tx, &entry(None, "restamp", Some(after), reason)).await?;
        Ok(tx.commit().await?)
    }

    /// Lets the daemon apply the plan with this digest.
    pub async fn approve(&self, digest: &str, reason: &str) -> Result<()> {
        self.prepare().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        ledger::approve(&mut tx, digest, reason).await?;
        journal::write(&mut tx, &entry(None, "approve", Some(json!({ "digest": digest })), reason)).await?;
        Ok(tx.commit().await?)
    }

    /// Stops applying, for one resource or for all.
    pub async fn suspend(&self, id: Option<&ResourceId>, reason: &str) -> Result<()> {
        let (kind, name) = names(id);
        self.prepare().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        ledger::suspend(&mut tx, kind, name, reason).await?;
        journal::write(&mut tx, &entry(id, "suspend", None, reason)).await?;
        Ok(tx.commit().await?)
    }

    /// Starts applying again. Gives whether anything was suspended.
    pub async fn resume(&self, id: Option<&ResourceId>, reason: &str) -> Result<bool> {
        let (kind, name) = names(id);
        self.prepare().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        let was = ledger::resume(&mut tx, kind, name).await?;
        if was {
            journal::write(&mut tx, &entry(id, "resume", None, reason)).await?;
        }
        tx.commit().await?;
        Ok(was)
    }
}

fn names(id: Option<&ResourceId>) -> (&str, &str) {
    id.map_or(("", ""), |id| (id.kind.name, id.name.as_str()))
}

fn entry(id: Option<&ResourceId>, action: &'static str, after: Option<serde_json::Value>, reason: &str) -> Entry {
    // What concerns everything stands under the first kind of the register, with a star for a name.
    let id = id.cloned().unwrap_or_else(|| ResourceId::new(ALL[0], "*"));
    Entry { id, actor: None, action, before: None, after, reason: Some(reason.to_owned()) }
}

impl Status {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.header);
        let Some(Known { lease, last, suspensions, waiting }) = &self.known else {
            text.push_str("  nothing was applied yet: there is no schema\n");
            return text;
        };
        let mut line = |name: &str, about: String| {
            text.push_str(&hanging(&format!("  {name:<10} "), &about, 13));
            text.push('\n');
        };
        line(
            "applier",
            match &lease.holder {
                Some(holder) => format!("{} (fencing {})", printable(holder), lease.fencing),
                None => "nobody".to_owned(),
            },
        );
        match last {
            None => line("last turn", "none yet".to_owned()),
            Some(turn) => {
                let revision = printable(&turn.revision);
                line("last turn", format!("{} @ {revision}: {}", moment(turn.finished_at), printable(&turn.outcome)));
                line("its plan", turn.summary.as_str().map(printable).unwrap_or_default());
                line("last good", turn.good_at.map_or_else(|| "never".to_owned(), moment));
            }
        }
        for suspension in suspensions {
            let Suspension { kind, name, actor, reason, suspended_at } = suspension;
            let what = if kind.is_empty() { "everything".to_owned() } else { format!("{kind}/{}", printable(name)) };
            let (actor, reason) = (printable(actor), printable(reason));
            line("suspended", format!("{what} by {actor} since {}: {reason}", moment(*suspended_at)));
        }
        for (session, until) in waiting {
            line("hand-off", format!("host/{session} waits to be claimed until {}", moment(*until)));
        }
        text
    }

    pub fn json(&self) -> serde_json::Value {
        let Some(Known { lease, last, suspensions, waiting }) = &self.known else {
            return json!({ "schema_missing": true });
        };
        let last = last.as_ref().map(|turn| {
            json!({
                "run": turn.run.to_string(), "holder": turn.holder, "started_at": rfc3339(turn.started_at),
                "finished_at": rfc3339(turn.finished_at), "revision": turn.revision, "outcome": turn.outcome,
                "summary": turn.summary, "good_at": turn.good_at.map(rfc3339),
            })
        });
        let suspension = |row: &Suspension| {
            json!({ "kind": row.kind, "name": row.name, "actor": row.actor, "reason": row.reason,
                    "suspended_at": rfc3339(row.suspended_at) })
        };
        let handoff =
            |(session, until): &(String, _)| json!({ "address": format!("host/{session}"), "until": rfc3339(*until) });
        json!({
            "schema_missing": false,
            "lease": { "holder": lease.holder, "fencing": lease.fencing },
            "last_turn": last,
            "suspended": suspensions.iter().map(suspension).collect::<Vec<_>>(),
            "hand_offs": waiting.iter().map(handoff).collect::<Vec<_>>(),
        })
    }
}
