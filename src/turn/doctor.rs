//! The way to everything that a turn needs, step by step: the database, then what lies outside of it.

use std::time::Instant;

use super::{Focus, World};
use crate::kinds::Desired;
use crate::port::handoff::Probe;
use crate::port::keys::KeySource;
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
        steps.extend(self.host_key());
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
        // Files with problems are told of by `validate`; here the servers that are known otherwise do.
        let desired = self.read().await.map(|wanted| wanted.desired).unwrap_or_default();
        for (name, pool) in self.known_pools(&desired).await {
            let begun = Instant::now();
            let outcome = match pool {
                Ok(pool) => looked(&pool).await,
                Err(what) => Err(Trouble { cause: Cause::Other, what, mend: String::new(), refusal: None }),
            };
            steps.push(Step { name: format!("server {name}"), took: begun.elapsed(), outcome });
        }
        steps
    }

    /// The keys, where somebody has configured some: without a rotation nothing else tells that they cannot be used, and
    /// no host can sign in. Whoever has instances alone needs none.
    fn host_key(&self) -> Option<Step> {
        let begun = Instant::now();
        let outcome = match (&self.config.host_keys, self.config.host_keys.open_existing()) {
            (KeySource::Missing { .. }, _) | (KeySource::Made(_), Ok(_)) | (_, Ok(None)) => return None,
            (_, Ok(Some(ring))) => {
                let ids = ring.ids();
                let older = match ids.len().saturating_sub(1) {
                    0 => String::new(),
                    older => format!(", and {older} that only verify"),
                };
                Ok(format!("{}{older}", ids.first().map_or("", String::as_str)))
            }
            (_, Err(error)) => Err(Trouble {
                cause: Cause::Other,
                what: super::outside::told(&error),
                mend: error.hint(),
                refusal: None,
            }),
        };
        Some(Step { name: "host key".to_owned(), took: begun.elapsed(), outcome })
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
