//! A database that is stamped anew, after a restore or an upgrade: with its identity goes what waits for its readers, and
//! its fencing number rises above every one that the world outside has seen of it.

use serde_json::json;

use super::World;
use super::outside::look_at;
use super::status::entry;
use crate::failure::Result;
use crate::guard::{Environment, Owner};
use crate::kinds::Desired;
use crate::port::handoff::Entry;
use crate::port::redis::{Borne, Owned};
use crate::port::{Secrets, Shelf};
use crate::resource::instance::handoff_key;
use crate::resource::{host, instance};
use crate::store::stamp::Stamped;
use crate::store::{journal, lease, sql};

/// How much more the fencing number rises where something could not be asked: no applier was ever replaced so often.
pub const BEYOND: i64 = 1_000_000;

/// What a restamping meets.
pub struct Restamping {
    /// Whose the database was; `None`: it has no stamp.
    former: Option<Owner>,
    /// The stores that bear it, and would bear the new one.
    stores: Vec<Owned>,
}

impl Restamping {
    /// The servers that are to bear the new identity.
    pub fn servers(&self) -> Vec<&str> {
        self.stores.iter().map(|store| store.redis().shown()).collect()
    }
}

/// What gives a store to this database.
const REBIND: &str = "`reconcile handoff rebind --reason R` when it answers";

/// What the world outside has seen of the database's fencing numbers.
#[derive(Default)]
struct Fences {
    highest: i64,
    /// What could not be asked.
    unasked: Vec<String>,
}

impl World {
    /// What there is to be known before the database is stamped anew.
    ///
    /// Errors: the database cannot be asked.
    pub async fn before_restamp(&self) -> Result<Restamping> {
        let Some(mut conn) = self.database.read().await? else { return Err(self.absent()) };
        let stamped = self.database.stamped(&mut conn).await;
        conn.close().await;
        let Stamped::Ours(stamp) = stamped? else { return Ok(Restamping { former: None, stores: Vec::new() }) };
        let former = Owner::new(Environment::new(&stamp.environment)?, stamp.identity);
        let mut stores = Vec::new();
        for store in self.stores(&former) {
            let (server, borne) = (store.redis().shown().to_owned(), store.borne().await);
            match borne {
                // Another environment's stays its own: this is a copy.
                Ok(Borne::Ours) if former.environment() == self.guard.environment() => stores.push(store),
                Ok(_) => {}
                Err(error) => tracing::warn!("{error}; if {server} bears the former identity: {REBIND}"),
            }
        }
        Ok(Restamping { former: Some(former), stores })
    }

    /// Stamps the database anew, after a restore or an upgrade, and what bears its former identity with it. Gives what
    /// could not be asked for the fencing numbers that it bears; where that is something, ours rises by [`BEYOND`] more.
    pub async fn restamp(&self, restamping: &Restamping, reason: &str) -> Result<Vec<String>> {
        let Restamping { former, stores } = restamping;
        let context = self.by_user(None);
        let identified =
            |environment: &str, identity: String| json!({ "environment": environment, "identity": identity });
        let before = former.as_ref().map(|one| identified(one.environment().as_str(), one.identity().to_string()));
        // Of a schema that is older than this program nothing is known; what waits is then made anew when it is needed.
        let keys = self.keys_that_wait().await.unwrap_or_default();
        let Fences { highest, unasked } = self.fences(former.as_ref()).await;
        let (mut tx, stamp) = self.database.restamp(&context).await?;
        let beyond = if unasked.is_empty() { 1 } else { BEYOND };
        lease::raise(&mut tx, highest.saturating_add(beyond), beyond).await?;
        let after = identified(&stamp.environment, stamp.identity.to_string());
        journal::write(&mut tx, &entry(None, "restamp", before, Some(after), reason)).await?;
        let owner = Owner::new(self.guard.environment().clone(), stamp.identity);
        let former = former.as_ref().filter(|former| former.environment() == owner.environment());
        let sealed = match former {
            Some(former) => self.seal_anew(former, &owner, &keys).await,
            None => None,
        };
        tx.commit().await?;
        self.restamp_data_dir(stamp.identity)?;
        if let Some(secrets) = sealed {
            for key in &keys {
                // What stays is sealed, and nobody looks for it under this name any more.
                drop(secrets.handoff.discard(key).await);
            }
        }
        for store in stores {
            let (former, store) = (store.owner().to_string(), store.owned_by(&owner));
            if let Err(error) = store.rebind(&former).await {
                tracing::warn!("{error}; it still bears the former identity: {REBIND}");
            }
        }
        Ok(unasked)
    }

    /// The highest number that the hand-off and the servers bear: a restored database may know only lower ones, with which
    /// it would change nothing there.
    async fn fences(&self, former: Option<&Owner>) -> Fences {
        let mut fences = Fences::default();
        let Ok(picture) = self.glimpse_of_pools().await else {
            fences.unasked.push("the servers and instances of another schema".to_owned());
            return fences;
        };
        let keys: Vec<String> = picture.observed.instances.keys().map(|id| handoff_key(*id)).collect();
        if let Some(former) = former.filter(|_| !keys.is_empty()) {
            match self.shelf.owned_by(former).probe().highest_fence(&keys).await {
                Ok(number) => fences.highest = number,
                // Another's bears none of ours.
                Err(error) if error.refusal().is_some() => {}
                Err(error) => fences.unasked.push(format!("the hand-off ({error})")),
            }
        }
        for (name, sight) in look_at(&self.pools(&Desired::default(), &picture.observed)).await {
            match sight {
                Ok(sight) => {
                    let marks = sight.roles.values().filter_map(|role| role.mark.as_ref());
                    fences.highest = marks.map(|mark| mark.fencing).fold(fences.highest, i64::max);
                }
                Err(why) => fences.unasked.push(format!("the server {name} ({why})")),
            }
        }
        fences
    }

    /// The names of all that may wait for its reader.
    async fn keys_that_wait(&self) -> Result<Vec<String>> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(Vec::new()) };
        let hosts = host::rows::unclaimed(&mut snapshot).await?;
        let instances = instance::rows::may_wait(&mut snapshot).await?;
        snapshot.finish().await?;
        Ok(hosts.into_iter().chain(instances).map(|(_, key)| key).collect())
    }

    /// Seals what waits in the embedded hand-off under its new owner's names, beside the former ones; gives where those
    /// are. What cannot be opened is as good as lost, and is made anew when it is needed.
    async fn seal_anew(&self, former: &Owner, owner: &Owner, keys: &[String]) -> Option<Secrets> {
        if matches!(self.shelf, Shelf::Redis(_)) {
            return None;
        }
        let secrets = |owner| Secrets::existing(&self.config.host_keys, &self.shelf.owned_by(owner)).ok();
        let (from, to) = (secrets(former)?, secrets(owner)?);
        let waiting = from.handoff.waiting(keys).await.ok()?;
        for (key, until) in keys.iter().zip(waiting) {
            let life = until.and_then(|until| (until - sql::now()).to_std().ok());
            let (Some(life), Ok(Some(secret))) = (life, from.handoff.read(key).await) else { continue };
            let put = to.handoff.put(vec![Entry { key: key.clone(), secret, life }]).await;
            for error in put.into_iter().filter_map(std::result::Result::err) {
                tracing::warn!("{key} does not wait any more: {error}");
            }
        }
        Some(from)
    }
}
