//! Looking at the world without a trace: the database in one picture, then what lies outside of it.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::memory::Since;
use super::{ATTEMPTS, World, protection};
use crate::change::ResourceId;
use crate::failure::{Failure, Result};
use crate::kinds::{self, Desired, Observed};
use crate::plan::Ledger;
use crate::port::pool::Pool;
use crate::resource::roll::Marks;
use crate::resource::server::{Health, ServerName};
use crate::resource::session::rows::Comparison;
use crate::resource::session::{self, Seen, Session, SessionId, packed};
use crate::resource::{Resource, host, instance, server};
use crate::store::ahead::Ahead;
use crate::store::error::Error;
use crate::store::lineage::{self, Applied};
use crate::store::scan::{Cells, scan};
use crate::store::sql::{Id, now};
use crate::store::{self, Snapshot, billing, failures, lease, ledger};

/// What the world has, at one moment.
#[derive(Default)]
pub struct Picture {
    pub observed: Observed,
    pub ledger: Ledger,
    /// What the ledger has of suspensions, with who, when and why.
    pub suspensions: Vec<ledger::Suspension>,
    /// Digests of plans that somebody let pass.
    pub approvals: Vec<String>,
    /// The commit that was last applied, where that is to be known.
    pub applied: Option<Applied>,
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
    /// All of it, with the servers that the files declare: to be shown.
    Everything(&'a Desired),
    /// All of it, to be applied: also what was last applied to resources that are as declared.
    ToApply(&'a Desired),
    /// As the last, but of the sessions only those that may have changed.
    Changed(&'a Desired, &'a Since),
    /// Servers and instances, with the servers that the files declare.
    Pools(&'a Desired),
    /// One session and its hosts.
    Session(SessionId),
}

impl<'a> Focus<'a> {
    /// What the files declare, where that counts.
    pub(super) fn desired(self) -> Option<&'a Desired> {
        match self {
            Focus::Everything(desired)
            | Focus::ToApply(desired)
            | Focus::Changed(desired, _)
            | Focus::Pools(desired) => Some(desired),
            Focus::Session(_) => None,
        }
    }
}

impl World {
    /// Looks at the world, without a trace: the database in one picture, then what lies outside of it.
    pub async fn look(&self, focus: Focus<'_>, at: DateTime<Utc>) -> Result<Picture> {
        self.look_on(focus, at, None).await
    }

    /// As [`World::look`], where all sessions are under way already.
    pub(super) async fn look_on(&self, focus: Focus<'_>, at: DateTime<Utc>, ahead: Option<Ahead>) -> Result<Picture> {
        let mut ahead = ahead.filter(|_| matches!(focus, Focus::Everything(_) | Focus::ToApply(_)));
        // A closed SQLite file is read without a lock; whoever writes meanwhile makes us look again.
        for _ in 0..ATTEMPTS {
            let is_ahead = ahead.is_some();
            match self.glimpse_on(focus, at, ahead.take()).await {
                // What a second attempt says counts: the first had to wait for us, and may have been given up.
                Err(Error::Query { .. }) if is_ahead => {}
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(mut picture) => {
                    self.look_outside(focus, at, &mut picture).await?;
                    return Ok(picture);
                }
            }
        }
        Err(unsteady())
    }

    /// The database alone, and of that no more than servers and instances.
    pub(super) async fn glimpse_of_pools(&self) -> Result<Picture> {
        self.look_inside(Focus::Pools(&Desired::default()), now()).await
    }

    /// As [`World::look`], but into the database alone.
    pub(super) async fn look_inside(&self, focus: Focus<'_>, at: DateTime<Utc>) -> Result<Picture> {
        for _ in 0..ATTEMPTS {
            match self.glimpse(focus, at).await {
                Err(Error::Conflict { .. }) => {}
                seen => return Ok(seen?),
            }
        }
        Err(unsteady())
    }

    pub(super) async fn glimpse(&self, focus: Focus<'_>, at: DateTime<Utc>) -> store::error::Result<Picture> {
        self.glimpse_on(focus, at, None).await
    }

    async fn glimpse_on(
        &self,
        focus: Focus<'_>,
        at: DateTime<Utc>,
        ahead: Option<Ahead>,
    ) -> store::error::Result<Picture> {
        let mut observed = Observed::default();
        let opened = match focus {
            Focus::Everything(desired) | Focus::ToApply(desired) => {
                let compared = self.compare(desired, ahead).await?;
                compared.map(|(snapshot, seen)| {
                    observed.sessions = seen;
                    snapshot
                })
            }
            Focus::Changed(..) | Focus::Pools(_) | Focus::Session(_) => self.database.snapshot().await?,
        };
        let Some(mut snapshot) = opened else { return Ok(Picture { is_new: true, ..Picture::default() }) };
        match focus {
            Focus::Pools(_) => {}
            Focus::Session(id) => {
                observed.sessions.rows = session::rows::find(&mut snapshot, id).await?;
                observed.hosts = host::rows::observe(&mut snapshot, Some(id), at).await?;
            }
            Focus::Everything(_) | Focus::ToApply(_) => {
                observed.hosts = host::rows::observe(&mut snapshot, None, at).await?;
            }
            Focus::Changed(desired, Since { asked, total }) => {
                let wanted = desired.hosts.keys().copied().collect();
                let which = (asked, &wanted);
                observed.sessions =
                    session::rows::compare_some(&mut snapshot, &desired.sessions, which, *total).await?;
                observed.hosts = host::rows::observe(&mut snapshot, None, at).await?;
            }
        }
        if let Some(desired) = focus.desired() {
            observed.servers = server::rows::observe(&mut snapshot).await?;
            observed.instances = instance::rows::observe(&mut snapshot).await?;
            observed.releases = billing::releases(&mut snapshot).await?;
            neighbours(&mut snapshot, desired, &mut observed.sessions).await?;
        }
        let known = ledger::read(&mut snapshot).await?;
        let failures = failures::read(&mut snapshot).await?;
        let (unnoted, sessions) = self.noted(&mut snapshot, focus, &observed).await?;
        let (protected, protected_sessions) = protection::read(&mut snapshot, focus).await?;
        let fencing = lease::seen(&mut snapshot).await?.fencing;
        let applied = lineage::last(&mut snapshot, &self.config.lineage).await?;
        snapshot.finish().await?;
        let (approvals, suspensions) = (known.approvals.clone(), known.suspensions.clone());
        let ledger = Ledger { unnoted, protected, protected_sessions, ..as_planned(known, failures, sessions) };
        Ok(Picture { observed, approvals, applied, ledger, suspensions, fencing, ..Picture::default() })
    }

    /// All sessions, compared with what is declared, and the snapshot that they are from. `None`: there is none yet.
    async fn compare(&self, desired: &Desired, ahead: Option<Ahead>) -> store::error::Result<Option<(Snapshot, Seen)>> {
        let rows = &self.progress.rows;
        rows.begin(desired.sessions.len() as u64);
        let mut comparison = Comparison::new(&desired.sessions, |id| desired.hosts.contains_key(&id));
        let each = |cells: &mut Cells<'_>| {
            rows.add(1);
            comparison.row(cells)
        };
        let snapshot = match ahead {
            Some(ahead) => ahead.rows(each).await?,
            None => match self.database.snapshot().await? {
                Some(mut snapshot) => {
                    scan(snapshot.conn(), &session::rows::ALL, each).await.map_err(Error::query("read sessions"))?;
                    Some(snapshot)
                }
                None => None,
            },
        };
        Ok(snapshot.map(|snapshot| (snapshot, comparison.finish())))
    }

    /// The sessions that are as declared, and whose wish was not noted as applied; none where nothing is to be applied.
    /// And what was last applied to those that are not: names and digests.
    async fn noted(
        &self,
        snapshot: &mut Snapshot,
        focus: Focus<'_>,
        observed: &Observed,
    ) -> store::error::Result<(Marks, Vec<(String, String)>)> {
        /// To ask for so many by name takes as long as to read all.
        const MANY: usize = 20_000;
        let (desired, asked) = match focus {
            Focus::Everything(desired) | Focus::ToApply(desired) => (desired, None),
            Focus::Changed(desired, Since { asked, .. }) => (desired, Some(asked)),
            Focus::Pools(_) | Focus::Session(_) => return Ok(Default::default()),
        };
        let (declared, met) = (&desired.sessions, &observed.sessions.met);
        let others = declared.len() - met.count();
        if matches!(focus, Focus::ToApply(_)) || others > MANY {
            let (unnoted, others) = session::rows::noted(snapshot, declared, met).await?;
            return Ok(if matches!(focus, Focus::ToApply(_)) { (unnoted, others) } else { (Marks::default(), others) });
        }
        // A million are met, and what is noted of them is as it was; some were asked for, and may be met now.
        let numbers = asked.into_iter().flatten().filter_map(|id| declared.number(id));
        let mut unnoted = Marks::none(declared.len());
        numbers.filter(|number| met.has(*number)).for_each(|number| unnoted.set(number, true));
        let names = met.unset(declared.len()).chain(unnoted.iter());
        let names: Vec<String> = names.filter_map(|number| declared.key(number)).map(|id| id.to_string()).collect();
        let mut others = Vec::new();
        for (name, digest) in ledger::applied_to(snapshot, Session::KIND, &names).await? {
            let number = name.parse().ok().and_then(|id| declared.number(&SessionId(id)));
            match number {
                Some(number) if unnoted.has(number) => {
                    unnoted.set(number, packed::digest(declared.packed(number)) != digest);
                }
                _ => others.push((name, digest)),
            }
        }
        Ok((unnoted, others))
    }
}

/// Finds the ids next to the sessions that hosts want and that are neither declared nor there: so that a slip of the
/// pen shows.
async fn neighbours(snapshot: &mut Snapshot, desired: &Desired, seen: &mut Seen) -> store::error::Result<()> {
    /// More than these nobody reads.
    const MOST: usize = 100;
    let missing = desired.hosts.keys().filter(|id| !seen.rows.contains_key(id) && !desired.sessions.contains_key(id));
    for id in missing.take(MOST).copied().collect::<Vec<_>>() {
        let near = session::rows::nearest(snapshot, id).await?;
        seen.near.insert(id, near);
    }
    Ok(())
}

pub(super) fn unsteady() -> Failure {
    Failure::error("the database kept changing while it was read").hint("try again")
}

/// The ledger as the planner reads it. What it has of kinds that this program does not know is left alone.
fn as_planned(known: ledger::Ledger, failures: Vec<failures::Named>, sessions: Vec<(String, String)>) -> Ledger {
    let ledger::Ledger { applied, suspensions, flaps, approvals: _ } = known;
    let id = |kind: &str, name: String| kinds::named(kind).map(|kind| ResourceId { kind, name });
    let why = |suspension: &ledger::Suspension| {
        let since = crate::change::moment(suspension.suspended_at);
        format!("by {} since {since}: {}", suspension.actor, suspension.reason)
    };
    let sessions = sessions.into_iter().map(|(name, digest)| (ResourceId { kind: Session::KIND, name }, digest));
    let others = applied.into_iter().filter_map(|(kind, name, digest)| Some((id(&kind, name)?, digest)));
    let flaps = flaps.into_iter().filter_map(|(kind, name, digest, turns)| Some((id(&kind, name)?, (digest, turns))));
    let suspended = suspensions.iter().filter_map(|row| Some((id(&row.kind, row.name.clone())?, why(row))));
    Ledger {
        applied: sessions.chain(others).collect(),
        flaps: flaps.collect(),
        suspended: suspended.collect(),
        all_suspended: suspensions.iter().find(|row| row.kind.is_empty()).map(why),
        unnoted: Marks::default(),
        protected: HashSet::new(),
        protected_sessions: Marks::default(),
        failures: failures.into_iter().filter_map(|(kind, name, failed)| Some((id(&kind, name)?, failed))).collect(),
    }
}
