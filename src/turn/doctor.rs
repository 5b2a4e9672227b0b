//! The way to everything that a turn needs, step by step: the database, then what lies outside of it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::ready::keyed;
use super::{Focus, World};
use crate::kinds::Desired;
use crate::port::handoff::Probe;
use crate::port::keys::{KeyRing, KeySource};
use crate::port::pool::{Pool, PoolError, Sight};
use crate::port::redis::{Borne, Owned, Redis, RedisError};
use crate::store::doctor::{self, Step, Trouble};
use crate::store::error::Cause;
use crate::store::sql::now;

impl World {
    /// Goes the whole way. Writes nothing, and each step has its limit.
    pub async fn examine(&self) -> Vec<Step> {
        let mut steps = doctor::examine(&self.database, self.config.journal_retention.is_some()).await;
        // Whose a store is can be told only where it is known whose we are.
        let is_known = self.database.owner().is_some() || steps.iter().all(|step| step.outcome.is_ok());
        // Files with problems are told of by `validate`; here the servers that are known otherwise do.
        let desired = self.read().await.map(|wanted| wanted.desired).unwrap_or_default();
        steps.extend(self.host_key(&desired).await);
        steps.extend(self.sealed().await);
        let handoff = if let Probe::Redis(store) = self.probe() { Some(store) } else { None };
        let dispatcher = self.broker();
        let broker = dispatcher.as_ref().map(|dispatcher| dispatcher.broker().clone());
        for (name, store) in [("hand-off", handoff), ("broker", broker)] {
            match store {
                Some(store) if is_known => steps.push(owned(name, &store).await),
                Some(store) => steps.push(asked(name, store.redis()).await),
                None => {}
            }
        }
        // The last step is the broker's, where there is one.
        if let (Some(dispatcher), Some(step)) =
            (&dispatcher, steps.last_mut().filter(|step| is_known && step.outcome.is_ok()))
            && let Err(error) = dispatcher.look().await
            && error.refusal().is_some()
        {
            step.outcome = Err(unusable(&error));
        }
        if let Some(results) = &self.results {
            steps.push(asked("results", results.redis()).await);
        }
        for (name, pool) in self.known_pools(&desired).await {
            let begun = Instant::now();
            let outcome = match pool {
                Ok(pool) => looked(&pool).await,
                Err(what) => Err(trouble(what, String::new())),
            };
            steps.push(Step { name: format!("server {name}"), took: begun.elapsed(), outcome });
        }
        steps
    }

    /// The keys, where hosts need them or somebody has configured some: without a rotation nothing else tells that they
    /// cannot be used, and no host can sign in. Whoever has instances alone needs none.
    async fn host_key(&self, desired: &Desired) -> Option<Step> {
        let begun = Instant::now();
        // A database that cannot be read was reported above.
        let in_use = self.keys_in_use().await.unwrap_or_default();
        let source = &self.config.host_keys;
        let keys = source.may_make(keyed(&in_use)).and_then(|()| source.open_existing());
        let outcome = match (source, keys) {
            (KeySource::Missing { .. }, _) if in_use.is_empty() && desired.hosts.is_empty() => return None,
            (_, Ok(None)) => return None,
            (_, Err(error)) => Err(trouble(super::outside::told(&error), error.hint())),
            (source, Ok(Some(ring))) => match lacking(&ring, &in_use) {
                Some(lacking) => Err(lacking),
                None if matches!(source, KeySource::Made(_)) => return None,
                None => Ok(described(&ring)),
            },
        };
        Some(Step { name: "host key".to_owned(), took: begun.elapsed(), outcome })
    }

    /// What lies sealed on this machine and cannot be opened with the keys that are here.
    async fn sealed(&self) -> Option<Step> {
        let begun = Instant::now();
        let Probe::Embedded(shelf) = self.probe() else { return None };
        let ring = self.config.host_keys.open_existing().ok().flatten();
        let outcome = match Probe::Embedded(shelf).sealed_under().await {
            Ok(under) => {
                let is_known = |key: &str| ring.as_ref().is_some_and(|ring| ring.knows(key));
                let (key, count) = under.into_iter().find(|(key, _)| !is_known(key))?;
                let secrets = if count == 1 { "1 secret waits".to_owned() } else { format!("{count} secrets wait") };
                let what = format!("{secrets} here, sealed with host key {key}, which is not in the key ring");
                Err(trouble(
                    what,
                    "put that key back into the ring, below the current one, until they are claimed".to_owned(),
                ))
            }
            Err(error) => Err(trouble(super::outside::told(&error), error.hint().unwrap_or_default())),
        };
        Some(Step { name: "hand-off".to_owned(), took: begun.elapsed(), outcome })
    }

    async fn known_pools(&self, desired: &Desired) -> Vec<(String, Result<Pool, String>)> {
        // A database that cannot be read was reported above.
        let observed = match self.glimpse(Focus::Pools(desired), now()).await {
            Ok(picture) => picture.observed,
            Err(_) => crate::kinds::Observed::default(),
        };
        self.pools(desired, &observed).into_iter().map(|(name, pool)| (name.0, pool)).collect()
    }
}

fn trouble(what: String, mend: String) -> Trouble {
    Trouble { cause: Cause::Other, what, mend, refusal: None }
}

/// The current key's id, and how many others there are.
fn described(ring: &KeyRing) -> String {
    let ids = ring.ids();
    let older = match ids.len().saturating_sub(1) {
        0 => String::new(),
        older => format!(", and {older} that only verify"),
    };
    format!("{}{older}", ring.current_id())
}

/// That active hosts were made with a key that is not in the ring.
fn lacking(ring: &KeyRing, in_use: &BTreeMap<Option<String>, usize>) -> Option<Trouble> {
    let lacking = in_use.iter().filter_map(|(key, hosts)| Some((key.as_ref()?, hosts)));
    let lacking: Vec<String> = lacking
        .filter(|(key, _)| !ring.knows(key))
        .map(|(key, hosts)| format!("{key} ({hosts} active host{})", if *hosts == 1 { "" } else { "s" }))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let what = format!("hosts were made with keys that are not in the ring: {}", lacking.join(", "));
    Some(trouble(what, "put them back into the ring, below the current one; or rotate these hosts".to_owned()))
}

async fn asked(name: &str, redis: &Redis) -> Step {
    let begun = Instant::now();
    let outcome = redis.version().await.map(|version| format!("{}, Redis {version}", redis.shown()));
    Step { name: name.to_owned(), took: begun.elapsed(), outcome: outcome.map_err(|error| unusable(&error)) }
}

/// As [`asked`], and whose it is.
async fn owned(name: &str, store: &Owned) -> Step {
    let begun = Instant::now();
    let mut step = asked(name, store.redis()).await;
    if let Ok(about) = &mut step.outcome {
        match store.borne().await {
            Ok(Borne::Ours) => about.push_str(", this database's"),
            Ok(Borne::Nothing) => about.push_str(", nobody's yet: the first write makes it this database's"),
            Ok(Borne::Other(borne)) => step.outcome = Err(unusable(&store.refused(&borne))),
            Err(error) => step.outcome = Err(unusable(&error)),
        }
    }
    step.took = begun.elapsed();
    step
}

fn unusable(error: &RedisError) -> Trouble {
    let (what, mend) = (super::outside::told(error), error.hint().unwrap_or_default());
    Trouble { cause: Cause::Other, what, mend, refusal: error.refusal().cloned() }
}

async fn looked(pool: &Pool) -> Result<String, Trouble> {
    let Sight { identity, version, rights, roles: _, databases: _ } = pool.look().await.map_err(|error| Trouble {
        cause: error.cause(),
        what: super::outside::told(&error),
        mend: error.hint().unwrap_or_default(),
        refusal: if let PoolError::Refused(refusal) = &error { Some(refusal.clone()) } else { None },
    })?;
    if !rights.create_databases || !rights.create_roles {
        return Err(Trouble {
            cause: Cause::RightsMissing,
            what: "the admin role may not make roles and databases".to_owned(),
            mend: "as a superuser: ALTER ROLE … CREATEDB CREATEROLE".to_owned(),
            refusal: None,
        });
    }
    let more = if rights.superuser { "; its admin role is a superuser, which is more than it needs" } else { "" };
    Ok(format!("PostgreSQL {}.{}, cluster {identity}{more}", version / 10_000, version % 10_000))
}
