//! One turn: read, observe, plan, approve, apply, report.

pub mod billing;
pub mod by_hand;
mod doctor;
pub mod explain;
mod files;
pub mod history;
pub mod hosts;
mod idempotency;
pub mod instances;
pub mod inventory;
pub mod last_good;
mod lineage;
pub mod list;
mod look;
mod memory;
mod notices;
mod outside;
mod protection;
mod ready;
pub mod rebind;
pub mod requests;
pub mod restamp;
pub mod saved;
pub mod status;
pub mod survey;
mod tokens;
mod trouble;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{DateTime, Utc};
use last_good::{Enforced, Unreadable};
use memory::Memory;
use uuid::Uuid;

use crate::apply::{Applier, Report};
use crate::change::{ResourceId, Revision};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::guard::{Guard, Policy, Target, Transport};
use crate::plan::budget::{Approved, Budget, Force};
use crate::plan::{self, Header, Keys, Plan, Terms};
use crate::port::redis::Bindings;
use crate::port::task::{Dispatcher, Results};
use crate::port::{Minting, Ports, Secrets, Shelf};
use crate::progress::Progress;
use crate::resource::Resource;
use crate::resource::server::Server;
use crate::resource::session;
use crate::store::ahead::Ahead;
use crate::store::connect::{Database, Options};
use crate::store::lease::Lease;
use crate::store::schema::Schema;
use crate::store::sql::{Id, now};
use crate::store::{self, Context};
use crate::yaml::Problems;
pub use files::{Wanted, read};
pub use look::{Focus, Picture};

/// Everything that a turn works on. To have one is to have passed the guard's first question.
pub struct World {
    pub config: Config,
    pub guard: Guard,
    pub database: Arc<Database>,
    shelf: Shelf,
    dispatcher: Option<Dispatcher>,
    results: Option<Results>,
    /// Servers that were marked as this database's, for the journal.
    bindings: Bindings,
    memory: Memory,
    /// Since when the database does not answer, and why.
    outage: Mutex<Option<(DateTime<Utc>, String)>>,
    /// For whoever waits.
    pub progress: Arc<Progress>,
}

/// What is asked of one turn.
#[derive(Clone, Debug)]
pub struct Request {
    pub now: DateTime<Utc>,
    pub target: Option<ResourceId>,
    pub force: Option<Force>,
    pub extent: Extent,
    pub unreadable: Unreadable,
}

/// How much a turn looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Everything,
    /// Of the sessions only those whose files have changed since the last turn, where that is known.
    Changes,
}

impl Request {
    /// Everything, now.
    pub fn everything() -> Self {
        let (extent, unreadable) = (Extent::Everything, Unreadable::Fails);
        Self { now: now(), target: None, force: None, extent, unreadable }
    }
}

/// A turn that was carried through.
#[derive(Debug)]
pub struct Turned {
    /// What it held is part of it.
    pub plan: Plan,
    pub report: Report,
    /// What the files were read with.
    pub warnings: Problems,
    pub work: Work,
    /// What was gone by in the place of files that cannot be followed.
    pub enforced: Option<Enforced>,
}

/// How much a turn had to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// State files.
    pub files: usize,
    /// Of them, those that had not changed since they were read last.
    pub reused: usize,
    /// Rows of sessions compared with what is declared.
    pub rows: u64,
}

/// A turn that meets rows that moved under it is planned again, so many times.
const ATTEMPTS: usize = 4;

impl World {
    /// Errors: the guard refuses the environment or the catalog; nothing was connected.
    pub async fn open(config: Config) -> Result<Self> {
        let world = Self::build(config, Database::open)?;
        world.check_data_dir()?;
        world.check_origin().await.map(|()| world)
    }

    /// As [`World::open`], for `migrate --adopt` alone.
    pub async fn adopting(config: Config) -> Result<Self> {
        let world = Self::build(config, Database::adopting)?;
        world.check_data_dir()?;
        world.check_origin().await.map(|()| world)
    }

    /// As [`World::open`], for `migrate --restamp` alone.
    pub async fn restamping(config: Config) -> Result<Self> {
        let world = Self::build(config, Database::restamping)?;
        world.judge_data_dir()?;
        world.check_origin().await.map(|()| world)
    }

    fn build(
        config: Config,
        open: fn(Target, &Guard, Options) -> std::result::Result<Database, store::error::Error>,
    ) -> Result<Self> {
        let mut policy = Policy::built_in();
        for (environment, catalogs) in &config.environments {
            policy.with(environment, catalogs)?;
        }
        let guard = Guard::new(policy, &config.environment, config.environment_spelled_out)?;
        let transport = if config.allow_insecure { Transport::Unverified } else { Transport::Verified };
        let target = match &config.database_url {
            Some(url) => guard.target(url.expose(), transport)?,
            None => guard.target(&format!("sqlite:{}", config.embedded_database().display()), transport)?,
        };
        let options = Options {
            connect_timeout: config.connect_timeout,
            statement_timeout: config.statement_timeout,
            schema: Schema::new(&config.schema)?,
            ..Options::default()
        };
        let database = Arc::new(open(target, &guard, options)?);
        let bindings = Bindings::default();
        let outside::Outside { shelf, dispatcher, results } =
            outside::Outside::of(&config, &guard, &bindings, transport)?;
        let (memory, outage, progress) = (Memory::default(), Mutex::default(), Arc::default());
        Ok(Self { config, guard, database, shelf, dispatcher, results, bindings, memory, outage, progress })
    }

    /// Plans, and writes nothing anywhere.
    pub async fn preview(&self, request: &Request) -> Result<(Plan, Wanted)> {
        let (plan, wanted, _) = self.preview_from(request).await?;
        Ok((plan, wanted))
    }

    /// As [`World::preview`], with what was observed.
    async fn preview_from(&self, request: &Request) -> Result<(Plan, Wanted, Picture)> {
        let ahead = Ahead::begin(&self.database, &session::rows::ALL);
        let wanted = self.read().await?;
        let picture = self.look_on(Focus::Everything(&wanted.desired), request.now, Some(ahead)).await?;
        let plan = self.judged(self.plan(&wanted, &picture, request), &picture).await?;
        Ok((plan, wanted, picture))
    }

    pub fn plan(&self, wanted: &Wanted, picture: &Picture, request: &Request) -> Plan {
        let header = self.header(wanted.revision.clone(), picture.is_new);
        let begun = Instant::now();
        let terms = self.terms(picture, request);
        let plan = plan::plan(header, &wanted.desired, &picture.observed, &picture.ledger, &terms);
        let plan = plan.hold(self.budget(), &picture.approvals);
        let (rows, changes) = (self.progress.rows.done(), plan.changes.len());
        let took_ms = begun.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(resources = wanted.desired.len(), rows, changes, took_ms, "the plan is computed");
        plan
    }

    fn header(&self, revision: Revision, is_new: bool) -> Header {
        Header {
            environment: self.guard.environment().to_string(),
            catalog: self.database.catalog().to_string(),
            driver: self.database.driver(),
            state: self.config.state.display().to_string(),
            actor: revision.actor(),
            revision,
            is_new,
        }
    }

    fn terms(&self, picture: &Picture, request: &Request) -> Terms {
        let keyed = picture.observed.hosts.values().filter(|host| host.is_active && host.key_id.is_some()).count();
        let keys = self.config.host_keys.may_make(keyed).and_then(|()| self.config.host_keys.open_existing());
        Terms {
            now: request.now,
            claim_life: self.config.claim_life,
            schedule_limit: u64::from(self.config.schedule_limit),
            target: request.target.clone(),
            keys: match keys {
                Ok(Some(ring)) => Keys::Known(ring.ids()),
                Ok(None) => Keys::Made,
                Err(error) => Keys::Unusable { reason: error.to_string(), hint: error.hint() },
            },
            is_handoff_sealed: matches!(self.shelf, Shelf::Embedded { .. }),
            has_broker: self.dispatcher.is_some(),
        }
    }

    fn budget(&self) -> Budget {
        Budget { percent: self.config.budget_percent.into(), from: self.config.budget_from.into() }
    }

    /// What the journal will say of a run that is attributed to `actor`.
    pub fn context(&self, actor: String, revision: &Revision) -> Context {
        Context {
            run: Id(Uuid::now_v7()),
            environment: self.guard.environment().to_string(),
            actor,
            revision: revision.label(),
        }
    }

    /// The context of a command by hand.
    pub fn by_user(&self, actor: Option<String>) -> Context {
        let user = crate::desired::revision::user();
        self.context(actor.unwrap_or_else(|| user.clone()), &Revision { user, ..Revision::default() })
    }

    /// One turn, which answers those who have asked for it.
    async fn carry_out(&self, lease: &Lease, request: &Request, asked: &[Id]) -> Result<Turned> {
        let started_at = now();
        let mut ahead = match request.extent {
            Extent::Everything => Some(Ahead::begin(&self.database, &session::rows::ALL)),
            Extent::Changes => None,
        };
        let (wanted, enforced) = self.follow(request).await?;
        let context = self.context(wanted.revision.actor(), &wanted.revision);
        let mut request = request.clone();
        let mut total = Report::default();
        let mut first: Option<(Plan, u64, Work)> = None;
        let mut since = match request.extent {
            Extent::Changes => self.memory.since(&wanted),
            Extent::Everything => {
                self.memory.forget();
                None
            }
        };
        for _ in 0..ATTEMPTS {
            let focus = match &since {
                Some(since) => Focus::Changed(&wanted.desired, since),
                None => Focus::ToApply(&wanted.desired),
            };
            let picture = self.look_on(focus, request.now, ahead.take()).await?;
            self.note_health(lease, &context, &picture).await?;
            let plan = self.judged(self.plan(&wanted, &picture, &request), &picture).await?;
            let approved = plan.approve(request.force.clone());
            let report = self.apply(&approved, lease.authority(), &context, &picture).await?;
            self.note_first_health(lease, &context, &picture, &wanted.desired).await?;
            warn_of_fills(approved.plan());
            total.applied += report.applied;
            let room = Report::LINES.saturating_sub(total.lines.len());
            total.lines.extend(report.lines.into_iter().take(room));
            total.failed = report.failed;
            total.conflicts = report.conflicts;
            let work = wanted.work(since.as_ref(), &picture);
            first.get_or_insert_with(|| (approved.into_plan(), picture.observed.sessions.total, work));
            if total.conflicts.is_empty() {
                break;
            }
            (request.now, since) = (now(), None);
        }
        let (plan, rows, work) = first.ok_or_else(|| Failure::error("the turn was never planned"))?;
        let warnings = wanted.warnings.clone();
        let turned = Turned { plan, report: total, warnings, work, enforced };
        self.sweep().await;
        self.remember(lease, &context, started_at, &request, &turned, asked).await?;
        self.memory.settle(&wanted, &turned, rows);
        Ok(turned)
    }

    async fn apply(
        &self,
        approved: &Approved,
        authority: store::Authority,
        context: &Context,
        picture: &Picture,
    ) -> Result<Report> {
        let ports = self.ports(approved.plan(), &authority, picture).await?;
        let applier = Applier {
            database: &self.database,
            authority: authority.clone(),
            context: context.clone(),
            ports: &ports,
            progress: &self.progress,
        };
        let applied = applier.apply(approved).await;
        let noted = self.note_bindings(&authority, context).await;
        let report = applied?;
        noted.map(|()| report)
    }

    /// What applying the plan needs of the world outside.
    ///
    /// Errors: the database has no stamp by which it owns anything out there; the data directory, where it is needed, is
    /// another's.
    pub async fn ports(&self, plan: &Plan, authority: &store::Authority, picture: &Picture) -> Result<Ports> {
        let shelf = self.shelf().await?;
        let is_sealed = matches!(shelf, Shelf::Embedded { .. });
        let minting = match plan.changes.iter().any(|planned| planned.change.step.wants_key(is_sealed)) {
            true => self.ready_to_mint().await?,
            false => Minting::No,
        };
        let fencing = match authority {
            store::Authority::Lease { fencing, .. } => *fencing,
            store::Authority::ByHand => picture.fencing,
        };
        let pools = picture.pools.iter().map(|(name, pool)| (name.0.clone(), pool.clone())).collect();
        let dispatcher = self.dispatcher.as_ref().map(|dispatcher| dispatcher.owned_by(shelf.owner()));
        let ports = Ports::new(&self.config.host_keys, &shelf, minting);
        Ok(ports.with_pools(pools, dispatcher, self.config.credentials_life, fencing))
    }

    /// Removes secrets that nobody can take any more. That it fails hurts nobody: they are sealed, and expired.
    async fn sweep(&self) {
        let Ok(shelf) = self.shelf().await else { return };
        let Ok(secrets) = Secrets::existing(&self.config.host_keys, &shelf) else { return };
        match secrets.handoff.sweep().await {
            Ok(0) => {}
            Ok(count) => tracing::debug!("{count} expired hand-offs were removed"),
            Err(error) => tracing::warn!("expired hand-offs could not be removed: {error}"),
        }
    }
}

/// Where places were taken, the operator is told which servers fill up.
fn warn_of_fills(plan: &Plan) {
    if !plan.changes.iter().any(|planned| planned.change.step.takes_a_place()) {
        return;
    }
    for (id, note) in plan.notes.iter().filter(|(id, _)| id.kind == Server::KIND) {
        tracing::warn!("{id}: {note}");
    }
}
