//! Looking at the world without a trace: the database in one picture, then what lies outside of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{ATTEMPTS, World};
use crate::failure::{Failure, Result};
use crate::kinds::{Desired, Observed};
use crate::plan::Ledger;
use crate::port::pool::Pool;
use crate::resource::server::{Health, ServerName};
use crate::resource::{host, instance, server, session};
use crate::store::sql::{Id, now};
use crate::store::{self, lease, ledger};

/// What the world has, at one moment.
#[derive(Default)]
pub struct Picture {
    pub observed: Observed,
    pub ledger: Ledger,
    /// Digests of plans that somebody let pass.
    pub approvals: Vec<String>,
    /// There is no schema of ours yet.
    pub is_new: bool,
    /// The fencing number that is in force.
    pub(super) fencing: i64,
    /// The ways to the servers, or why there is none.
    pub(super) pools: BTreeMap<ServerName, std::result::Result<Pool, String>>,
    /// Servers whose health is another than the one recorded.
    pub(super) health: Vec<(Id, Health)>,
}

/// How much of the world a command looks at.
#[derive(Clone, Copy)]
pub enum Focus<'a> {
    /// All of it, with the servers that the files declare.
    Everything(&'a Desired),
    /// One session and its hosts.
    Session(session::SessionId),
}

impl World {
    /// Looks at the world, without a trace: the database in one picture, then what lies outside of it.
    pub async fn look(&self, focus: Focus<'_>, at: DateTime<Utc>) -> Result<Picture> {
        // A closed SQLite file is read without a lock; whoever writes meanwhile makes us look again.
        for _ in 0..ATTEMPTS {
            match self.glimpse(focus, at).await {
                Err(store::error::Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(mut picture) => {
                    self.look_outside(focus, at, &mut picture).await;
                    return Ok(picture);
                }
            }
        }
        Err(unsteady())
    }

    /// The database alone, all of it.
    pub(super) async fn glimpse_of_everything(&self) -> Result<Picture> {
        let nothing = Desired::default();
        for _ in 0..ATTEMPTS {
            match self.glimpse(Focus::Everything(&nothing), now()).await {
                Err(store::error::Error::Conflict { .. }) => {}
                seen => return Ok(seen?),
            }
        }
        Err(unsteady())
    }

    pub(super) async fn glimpse(&self, focus: Focus<'_>, at: DateTime<Utc>) -> store::error::Result<Picture> {
        let Some(mut snapshot) = self.database.snapshot().await? else {
            return Ok(Picture { is_new: true, ..Picture::default() });
        };
        let only = match focus {
            Focus::Everything(_) => None,
            Focus::Session(session) => Some(session),
        };
        let mut observed = Observed {
            sessions: session::rows::observe(&mut snapshot, only).await?,
            hosts: host::rows::observe(&mut snapshot, only, at).await?,
            ..Observed::default()
        };
        if only.is_none() {
            observed.servers = server::rows::observe(&mut snapshot).await?;
            observed.instances = instance::rows::observe(&mut snapshot).await?;
        }
        let known = ledger::read(&mut snapshot).await?;
        let fencing = lease::seen(&mut snapshot).await?.fencing;
        snapshot.finish().await?;
        let approvals = known.approvals.clone();
        Ok(Picture { observed, approvals, ledger: as_planned(known), fencing, ..Picture::default() })
    }
}

fn unsteady() -> Failure {
    Failure::error("the database kept changing while it was read").hint("try again")
}

fn as_planned(known: ledger::Ledger) -> Ledger {
    let ledger::Ledger { applied, suspensions, flaps, approvals: _ } = known;
    let why = |suspension: &ledger::Suspension| {
        let since = crate::change::moment(suspension.suspended_at);
        format!("by {} since {since}: {}", suspension.actor, suspension.reason)
    };
    Ledger {
        applied: applied.into_iter().map(|(kind, name, digest)| ((kind, name), digest)).collect(),
        flaps: flaps.into_iter().map(|(kind, name, digest, turns)| ((kind, name), (digest, turns))).collect(),
        suspended: suspensions
            .iter()
            .map(|row| ((row.kind.clone(), row.name.clone()), why(row)))
            .collect::<BTreeMap<_, _>>(),
    }
}
