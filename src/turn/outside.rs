//! The world outside of the database, as a turn sees it: the hand-off, the broker, and the pool servers.
//!
//! Each part that does not answer is trouble for what needs it, and for nothing else.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{Focus, Picture, World};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::guard::{Guard, Owner, Refusal, Transport};
use crate::kinds::{Desired, Observed};
use crate::port::handoff::{HandOff, HandOffError, Probe, Unknown, Whereabouts};
use crate::port::pool::{Limits, Pool, Sight};
use crate::port::redis::{Bindings, Owned, Redis, RedisError, RedisTarget};
use crate::port::task::{Dispatcher, Results, TaskError};
use crate::port::{self, Secrets, Shelf};
use crate::resource::host;
use crate::resource::instance::phase::Phase;
use crate::resource::instance::{Allocation, InstanceId, handoff_key};
use crate::resource::server::{self, ServerName};
use crate::secret::Secret;
use crate::store::lease::Lease;
use crate::store::{self, Context, sql};

/// The ways out, as the settings have them. Nothing is connected to.
pub(super) struct Outside {
    pub shelf: Shelf,
    pub dispatcher: Option<Dispatcher>,
    pub results: Option<Results>,
}

impl Outside {
    /// The part of `guard` in it: what has no stamp yet owns nothing out there. Servers that are marked are noted in
    /// `bindings`.
    ///
    /// Errors: a URL cannot be used, and why.
    pub fn of(config: &Config, guard: &Guard, bindings: &Bindings, transport: Transport) -> Result<Self> {
        let limits = port::redis::Limits { connect: config.redis_timeout, answer: config.redis_timeout };
        let nobody = Owner::unstamped(guard.environment().clone());
        let target = |setting: &str, url: &Option<Secret>| {
            let read = url.as_ref().map(|url| RedisTarget::parse(url, transport)).transpose();
            read.map_err(|error| Failure::error(format!("{setting} cannot be used: {error}")).hints(error.hint()))
        };
        let handoff = target("redis.url", &config.redis_url)?;
        let broker = target("celery.broker_url", &config.broker_url)?;
        let results = target("celery.result_url", &config.result_url)?;
        let ours = |target: RedisTarget| {
            Owned::new(Redis::new(target, config.redis_prefix.clone(), limits), nobody.clone(), bindings.clone())
        };
        let kept = handoff.map(ours);
        let dispatcher = broker.map(|target| Dispatcher::new(ours(target), config.celery.clone(), kept.as_ref()));
        let dispatcher = dispatcher.transpose().map_err(|error| {
            Failure::error(format!("celery.credentials cannot be used: {error}")).hints(error.hint())
        })?;
        let sealed = || Shelf::Embedded { data_dir: config.data_dir.clone(), owner: nobody.clone() };
        Ok(Self {
            shelf: kept.map_or_else(sealed, Shelf::Redis),
            dispatcher,
            results: results.map(|target| Results::new(Redis::new(target, config.celery.prefix.clone(), limits))),
        })
    }
}

impl World {
    /// Whose everything is that is written out there for this database.
    ///
    /// Errors: the database cannot be asked, or has no stamp.
    pub(super) async fn owner(&self) -> Result<Owner> {
        if self.database.owner().is_none()
            && let Some(snapshot) = self.database.snapshot().await?
        {
            // Its first statements have read the stamp, whatever else is read meanwhile.
            drop(snapshot.finish().await);
        }
        Ok(self.database.owner().ok_or(store::error::Error::SchemaMissing)?)
    }

    /// As [`World::owner`], as far as it is known: to look with.
    fn looker(&self) -> Owner {
        self.database.owner().unwrap_or_else(|| Owner::unstamped(self.guard.environment().clone()))
    }

    /// Looks without taking anything.
    pub(super) fn probe(&self) -> Probe {
        self.shelf.owned_by(&self.looker()).probe()
    }

    /// The broker, to look at.
    pub(super) fn broker(&self) -> Option<Dispatcher> {
        self.dispatcher.as_ref().map(|dispatcher| dispatcher.owned_by(&self.looker()))
    }

    /// Where secrets wait, as this database's.
    ///
    /// Errors: as [`World::owner`].
    pub(super) async fn shelf(&self) -> Result<Shelf> {
        Ok(self.shelf.owned_by(&self.owner().await?))
    }

    /// The hand-off, to take from: where it is sealed, with the keys that are there.
    pub(super) async fn handoff(&self) -> Result<HandOff> {
        self.check_data_dir()?;
        match self.shelf().await? {
            Shelf::Redis(store) => Ok(HandOff::redis(store)),
            shelf @ Shelf::Embedded { .. } => {
                let secrets = Secrets::existing(&self.config.host_keys, &shelf);
                Ok(secrets.map_err(port::Error::from)?.handoff)
            }
        }
    }

    /// Adds to the picture what lies outside of the database.
    ///
    /// Errors: the guard refuses the hand-off or the broker: another environment or database uses it.
    pub(super) async fn look_outside(&self, focus: Focus<'_>, at: DateTime<Utc>, picture: &mut Picture) -> Result<()> {
        let probe = self.probe();
        // Also where nothing waits it is asked whose the hand-off is, and whether it answers.
        picture.observed.handoff_trouble =
            trouble(host::rows::ask(&mut picture.observed.hosts, &probe).await, HandOffError::refusal)?.err();
        let Some(desired) = focus.desired() else { return Ok(()) };
        self.ask_handoff(&probe, &mut picture.observed).await?;
        let broker = self.broker();
        if let Some(dispatcher) = broker.as_ref().filter(|_| !desired.instances.is_empty()) {
            picture.observed.broker_trouble = trouble(dispatcher.look().await, RedisError::refusal)?.err();
        }
        self.ask_broker(broker.as_ref(), &mut picture.observed).await?;
        picture.pools = self.pools(desired, &picture.observed);
        picture.observed.sights = look_at(&picture.pools).await;
        let Observed { servers, sights, .. } = &mut picture.observed;
        server::tell_twins_apart(sights, |name| {
            row_of(name, desired, servers).is_some_and(|row| row.identity.is_some())
        });
        picture.judge(desired, at);
        picture.know_by_former_names(desired);
        Ok(())
    }

    /// Which credentials wait. Asked only where the answer decides something.
    async fn ask_handoff(&self, probe: &Probe, observed: &mut Observed) -> Result<()> {
        let allocated = in_phase(observed, Phase::Allocated);
        let (ids, asked): (Vec<_>, Vec<_>) =
            allocated.map(|(id, one)| (id, (handoff_key(id), one.handoff.clone()))).unzip();
        if asked.is_empty() {
            return Ok(());
        }
        let (found, answer) = probe.whereabouts(&asked).await;
        for (id, whereabouts) in ids.into_iter().zip(found) {
            if let Some(instance) = observed.instances.get_mut(&id) {
                instance.waiting = whereabouts == Whereabouts::Waiting;
                // That the store is silent is said of the store.
                instance.unknown = whereabouts.unknown().filter(|why| !matches!(why, Unknown::Silent(_))).cloned();
            }
        }
        if let Err(trouble) = trouble(answer, HandOffError::refusal)? {
            observed.handoff_trouble = Some(trouble);
        }
        Ok(())
    }

    /// Which tasks are sent and not recorded, and what the worker says of those that are.
    async fn ask_broker(&self, broker: Option<&Dispatcher>, observed: &mut Observed) -> Result<()> {
        if let (Some(dispatcher), None) = (broker, &observed.broker_trouble) {
            let identity = dispatcher.broker().owner().identity();
            let (ids, tasks): (Vec<_>, Vec<_>) =
                in_phase(observed, Phase::Allocated).map(|(id, one)| (id, one.next_task(identity, id))).unzip();
            let sent = if tasks.is_empty() { Ok(Vec::new()) } else { dispatcher.sent(&tasks).await };
            match trouble(sent, TaskError::refusal)? {
                Ok(sent) => {
                    for (id, sent) in ids.into_iter().zip(sent) {
                        if let Some(instance) = observed.instances.get_mut(&id) {
                            instance.sent = sent;
                        }
                    }
                }
                Err(trouble) => observed.broker_trouble = Some(trouble),
            }
        }
        let Some(results) = &self.results else { return Ok(()) };
        let (ids, tasks): (Vec<_>, Vec<_>) =
            in_phase(observed, Phase::Provisioning).filter_map(|(id, one)| Some((id, one.last_task?))).unzip();
        if tasks.is_empty() {
            return Ok(());
        }
        match results.outcomes(&tasks).await {
            Ok(outcomes) => {
                for (id, outcome) in ids.into_iter().zip(outcomes) {
                    if let Some(instance) = observed.instances.get_mut(&id) {
                        instance.outcome = Some(outcome);
                    }
                }
            }
            // What is not known now is known at the next turn; nothing waits for it.
            Err(error) => {
                let trouble = told(&error);
                tracing::warn!("the results of tasks cannot be read: {trouble}");
                observed.results_trouble = Some(trouble);
            }
        }
        Ok(())
    }

    /// The ways to all servers, declared or not.
    pub(super) fn pools(
        &self,
        desired: &Desired,
        observed: &Observed,
    ) -> BTreeMap<ServerName, std::result::Result<Pool, String>> {
        let declared = desired.servers.iter().map(|(name, server)| {
            let bound = row_of(name, desired, &observed.servers).and_then(|row| row.identity.clone());
            (name.clone(), Some(server.value.admin.clone()), bound)
        });
        let renamed: Vec<&ServerName> = former_names(desired, &observed.servers).map(|(_, former)| former).collect();
        let is_another = |name: &ServerName| !desired.servers.contains_key(name) && !renamed.contains(&name);
        let others = observed.servers.iter().filter(|(name, _)| is_another(name));
        let others = others.map(|(name, row)| (name.clone(), row.profile.admin.clone(), row.identity.clone()));
        declared
            .chain(others)
            .map(|(name, admin, bound)| {
                let pool = match admin {
                    Some(admin) => self.pool(&admin, bound),
                    None => Err("nobody has named its admin secret: `admin` in its file".to_owned()),
                };
                (name, pool)
            })
            .collect()
    }

    fn pool(&self, admin: &str, bound: Option<String>) -> std::result::Result<Pool, String> {
        let url = self.config.pool_admin(admin)?;
        let transport = if self.config.allow_insecure { Transport::Unverified } else { Transport::Verified };
        let target = self.guard.admit_pool(url.expose(), &self.config.pool_catalog, transport);
        let target = target.map_err(|refusal| format!("refused by the guard: {}; {}", refusal.why, refusal.mend))?;
        let limits = Limits { connect: self.config.connect_timeout, statement: self.config.statement_timeout };
        Ok(Pool::new(target, &self.guard, bound, limits))
    }

    /// Servers that were registered just now were looked at before they had a row: how they are is written down too.
    pub(super) async fn note_first_health(
        &self,
        lease: &Lease,
        context: &Context,
        picture: &Picture,
        desired: &Desired,
    ) -> Result<()> {
        let known = &picture.observed.servers;
        if desired.servers.iter().all(|(name, server)| server.value.row_in(name, known).is_some()) {
            return Ok(());
        }
        let mut now_there = self.glimpse_of_pools().await?;
        now_there.observed.servers.retain(|name, _| !known.contains_key(name));
        now_there.observed.sights.clone_from(&picture.observed.sights);
        now_there.judge(desired, sql::now());
        self.note_health(lease, context, &now_there).await
    }

    /// Writes down which servers have become better or worse.
    pub(super) async fn note_health(&self, lease: &Lease, context: &Context, picture: &Picture) -> Result<()> {
        if picture.health.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin(&lease.authority(), context).await?;
        for (id, health) in &picture.health {
            server::rows::note_health(&mut tx, *id, health).await?;
        }
        Ok(tx.commit().await?)
    }
}

impl Picture {
    /// How each server is, now that it was asked; what that changes is to be written down.
    fn judge(&mut self, desired: &Desired, at: DateTime<Utc>) {
        let Observed { servers, sights, .. } = &mut self.observed;
        for (name, sight) in sights.iter() {
            let row = row_of(name, desired, servers).map(|row| row.profile.name.clone());
            let Some(row) = row.and_then(|name| servers.get_mut(&name)) else { continue };
            let health = row.health.judge(sight.as_ref().map(drop).map_err(Clone::clone), at);
            if health != row.health {
                self.health.push((row.id, health.clone()));
                row.health = health;
            }
        }
    }

    /// A server that gets another name is known by the former one too, for as long as it is not renamed: it may be that
    /// something holds that back.
    fn know_by_former_names(&mut self, desired: &Desired) {
        let Observed { servers, sights, .. } = &mut self.observed;
        for (name, former) in former_names(desired, servers) {
            if let (Some(sight), Some(pool)) = (sights.get(name).cloned(), self.pools.get(name).cloned()) {
                sights.insert(former.clone(), sight);
                self.pools.insert(former.clone(), pool);
            }
        }
    }
}

/// The row of the server that is called so, by the files or by the database. A name that files use is not another's
/// former name.
fn row_of<'a>(
    name: &ServerName,
    desired: &Desired,
    observed: &'a BTreeMap<ServerName, server::Observed>,
) -> Option<&'a server::Observed> {
    match desired.servers.get(name) {
        Some(server) => {
            let row = server.value.row_in(name, observed)?;
            let former = &row.profile.name;
            (former == name || !desired.servers.contains_key(former)).then_some(row)
        }
        None => observed.get(name),
    }
}

/// The servers that files rename, each with the name that its row still has and that no file uses any more.
fn former_names<'a>(
    desired: &'a Desired,
    observed: &'a BTreeMap<ServerName, server::Observed>,
) -> impl Iterator<Item = (&'a ServerName, &'a ServerName)> {
    let named = desired.servers.keys().filter_map(|name| Some((name, &row_of(name, desired, observed)?.profile.name)));
    named.filter(|(name, former)| name != former)
}

/// Instances in that phase that are allocated here.
fn in_phase(observed: &Observed, phase: Phase) -> impl Iterator<Item = (InstanceId, &Allocation)> {
    let there = observed.instances.iter().filter(move |(_, instance)| instance.phase == phase);
    there.filter_map(|(id, instance)| Some((*id, instance.allocation.as_ref()?)))
}

/// Looks at all servers side by side, each within its limit.
pub(super) async fn look_at(
    pools: &BTreeMap<ServerName, std::result::Result<Pool, String>>,
) -> BTreeMap<ServerName, std::result::Result<Sight, String>> {
    let mut looking = tokio::task::JoinSet::new();
    let mut sights = BTreeMap::new();
    for (name, pool) in pools {
        match pool {
            Err(trouble) => drop(sights.insert(name.clone(), Err(trouble.clone()))),
            Ok(pool) => {
                // Until it answers, it has not.
                sights.insert(name.clone(), Err("it was not asked to the end".to_owned()));
                let (name, pool) = (name.clone(), pool.clone());
                looking.spawn(async move { (name, pool.look().await.map_err(|error| told(&error))) });
            }
        }
    }
    while let Some(ended) = looking.join_next().await {
        if let Ok((name, sight)) = ended {
            sights.insert(name, sight);
        }
    }
    sights
}

/// What an answer was, or the trouble that kept it away, which concerns only what needs it.
///
/// Errors: the guard's no, which is everybody's.
fn trouble<T, E: std::error::Error>(
    answer: std::result::Result<T, E>,
    refusal: fn(&E) -> Option<&Refusal>,
) -> Result<std::result::Result<T, String>> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => match refusal(&error) {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(Err(told(&error))),
        },
    }
}

/// What an error says, with what stands behind it.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    crate::store::error::causes(error).into_iter().fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
