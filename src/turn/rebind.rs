//! Whose the hand-off and the broker are: what was marked stands in the journal, and a person may give them another owner.

use serde_json::{Value as Json, json};

use super::World;
use super::status::{entry, everything};
use crate::change::moment;
use crate::failure::{Failure, Result};
use crate::guard::{Environment, Owner};
use crate::port::handoff::Entry;
use crate::port::redis::{Borne, Owned, RedisError};
use crate::port::{self, Secrets, Shelf};
use crate::resource::{host, instance};
use crate::store::error::Error;
use crate::store::stamp::Stamped;
use crate::store::{Authority, Context, journal, sql};

/// What the journal calls it that a store was marked.
const MARKED: &str = "mark";
/// As many lines of the journal are looked through: what concerns everything is rare.
const LINES: i64 = 1_000;

/// A store that bears another's mark.
pub struct Foreign {
    store: Owned,
    borne: Owner,
    /// How many secrets wait there.
    waiting: usize,
    /// This database had that identity once, before it was restamped.
    is_former: bool,
}

impl Foreign {
    /// `127.0.0.1:6379/0`.
    pub fn server(&self) -> &str {
        self.store.redis().shown()
    }

    /// The owner whose identity has to be typed again before it is taken over: secrets wait there still. That this
    /// database had that identity once does not say that no other has it now: this one may be the restored copy.
    pub fn asks(&self) -> Option<&Owner> {
        let is_of_ours = self.borne.environment() == self.store.owner().environment();
        (self.waiting > 0 && is_of_ours).then_some(&self.borne)
    }

    /// What becomes of the secrets that wait there.
    pub fn fate(&self) -> String {
        let fate = if self.is_former { "what waits stays, as it was this database's" } else { "what waits is removed" };
        format!("{}, and {fate}", self.count())
    }

    fn count(&self) -> String {
        match self.waiting {
            1 => "a secret waits there".to_owned(),
            count => format!("{count} secrets wait there"),
        }
    }

    /// Errors: it may not be taken over, or another identity was typed.
    fn allow(&self, typed: Option<&str>) -> Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        match (self.asks(), typed) {
            (None, _) => {
                let failure = self.store.refused(&self.borne.to_string());
                let why = format!("{} for readers of {}", self.count(), self.borne.environment());
                Err(refused(&failure).hint(why))
            }
            (Some(other), Some(typed)) if typed == other.identity().to_string() => Ok(()),
            (Some(_), Some(_)) => Err(Failure::conflict("that is not the identity, and nothing was done")
                .hint(format!("it is what {} bears behind the environment's name", self.server()))),
            (Some(other), None) => Err(Failure::conflict(format!("{} bears {other}; {}", self.server(), self.fate()))
                .hint(format!("if no database uses it any more: --identity {}", other.identity()))),
        }
    }
}

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

impl World {
    /// Journals the stores that were marked as this database's, for the first time or again.
    pub(super) async fn note_bindings(&self, authority: &Authority, context: &Context) -> Result<()> {
        for server in self.bindings.take() {
            if let Err(failure) = self.note_binding(&server, authority, context).await {
                self.bindings.add(&server);
                return Err(failure);
            }
        }
        Ok(())
    }

    async fn note_binding(&self, server: &str, authority: &Authority, context: &Context) -> Result<()> {
        let before = self.journal_of_everything().await?.into_iter();
        let mut before = before.filter(|line| line.action == MARKED && is_of(&line.after, "redis", server));
        let reason = match before.next() {
            None => "the first use by this database".to_owned(),
            Some(line) => {
                let since = moment(line.at);
                tracing::warn!("Redis at {server} had lost the mark of whose it is; it is set again");
                format!("the mark of {since} was gone, by a flush or an eviction; what waited there may be gone too")
            }
        };
        let after = json!({ "redis": server, "bears": self.owner().await?.to_string() });
        let mut tx = self.database.begin(authority, context).await?;
        journal::write(&mut tx, &entry(None, MARKED, None, Some(after), &reason)).await?;
        Ok(tx.commit().await?)
    }

    async fn journal_of_everything(&self) -> Result<Vec<journal::Line>> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(Vec::new()) };
        let filter = journal::Filter { resource: Some(everything()), most: LINES };
        let lines = journal::read(&mut snapshot, &filter).await?;
        snapshot.finish().await?;
        Ok(lines)
    }

    /// The Redis of the hand-off and that of the broker, where it is another, as `owner`'s.
    fn stores(&self, owner: &Owner) -> Vec<Owned> {
        let handoff = if let Shelf::Redis(store) = &self.shelf { Some(store.owned_by(owner)) } else { None };
        let broker = self.dispatcher.as_ref().map(|dispatcher| dispatcher.broker().owned_by(owner));
        let broker = broker.filter(|broker| handoff.as_ref().is_none_or(|handoff| !handoff.same_store(broker)));
        handoff.into_iter().chain(broker).collect()
    }

    /// The stores that bear another's mark.
    ///
    /// Errors: one cannot be asked, or bears what is no mark of ours, and so is nobody's to take over; no Redis is
    /// configured.
    pub async fn foreign_stores(&self) -> Result<Vec<Foreign>> {
        let owner = self.owner().await?;
        let stores = self.stores(&owner);
        if stores.is_empty() {
            return Err(Failure::conflict("there is no Redis to take over: secrets wait in the data directory"));
        }
        let mut foreign = Vec::new();
        for store in stores {
            let Borne::Other(borne) = store.borne().await.map_err(away)? else { continue };
            let Ok(other) = borne.parse::<Owner>() else { return Err(refused(&store.refused(&borne))) };
            let is_former =
                self.journal_of_everything().await?.iter().any(|line| {
                    line.action == "restamp" && is_of(&line.before, "identity", &other.identity().to_string())
                });
            let waiting = store
                .count_waiting()
                .await
                .map_err(|error| away(error).hint("a user of its own needs `+scan` for this command alone"))?;
            foreign.push(Foreign { store, borne: other, waiting, is_former });
        }
        Ok(foreign)
    }

    /// Makes this database the owner of a store. What the other one has left there is removed, unless that is this
    /// database under its former identity.
    ///
    /// Errors: it may not be taken over; `typed` is another identity; it changed meanwhile.
    pub async fn take_over(&self, foreign: &Foreign, reason: &str, typed: Option<&str>) -> Result<()> {
        foreign.allow(typed)?;
        let Foreign { store, borne, waiting, is_former } = foreign;
        let before = json!({ "redis": foreign.server(), "bears": borne.to_string(), "waiting": waiting });
        let after = json!({ "redis": foreign.server(), "bears": store.owner().to_string() });
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        journal::write(&mut tx, &entry(None, "rebind", Some(before), Some(after), reason)).await?;
        if !store.rebind(&borne.to_string()).await.map_err(away)? {
            return Err(Failure::conflict(format!("{} changed meanwhile, and nothing was done", foreign.server()))
                .hint("try again"));
        }
        tx.commit().await?;
        if *is_former { Ok(()) } else { store.clear().await.map_err(away) }
    }

    /// What there is to be known before the database is stamped anew.
    ///
    /// Errors: the database cannot be asked.
    pub async fn before_restamp(&self) -> Result<Restamping> {
        let Some(mut conn) = self.database.read().await? else { return Err(Error::SchemaMissing.into()) };
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

    /// Stamps the database anew, after a restore or an upgrade, and what bears its former identity with it.
    pub async fn restamp(&self, restamping: &Restamping, reason: &str) -> Result<()> {
        let Restamping { former, stores } = restamping;
        let context = self.by_user(None);
        let identified =
            |environment: &str, identity: String| json!({ "environment": environment, "identity": identity });
        let before = former.as_ref().map(|one| identified(one.environment().as_str(), one.identity().to_string()));
        // Of a schema that is older than this program nothing is known; what waits is then made anew when it is needed.
        let keys = self.keys_that_wait().await.unwrap_or_default();
        let (mut tx, stamp) = self.database.restamp(&context).await?;
        let after = identified(&stamp.environment, stamp.identity.to_string());
        journal::write(&mut tx, &entry(None, "restamp", before, Some(after), reason)).await?;
        let owner = Owner::new(self.guard.environment().clone(), stamp.identity);
        let former = former.as_ref().filter(|former| former.environment() == owner.environment());
        let sealed = match former {
            Some(former) => self.seal_anew(former, &owner, &keys).await,
            None => None,
        };
        tx.commit().await?;
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
        Ok(())
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

/// What gives a store to this database.
const REBIND: &str = "`reconcile handoff rebind --reason R` when it answers";

/// Whether a picture of the journal says `text` of `field`.
fn is_of(picture: &Option<Json>, field: &str, text: &str) -> bool {
    picture.as_ref().is_some_and(|picture| picture[field] == text)
}

/// A store that did not do what it was asked for.
fn away(error: RedisError) -> Failure {
    port::Error::from(port::handoff::HandOffError::from(error)).into()
}

fn refused(error: &RedisError) -> Failure {
    away(error.clone())
}
