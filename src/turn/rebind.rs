//! Whose the hand-off and the broker are: what was marked stands in the journal, and a person may give them another owner.

use serde_json::{Value as Json, json};

use super::World;
use super::status::{entry, everything};
use crate::change::moment;
use crate::failure::{Failure, Result};
use crate::guard::Owner;
use crate::port::redis::{Borne, Owned, RedisError};
use crate::port::{self, Shelf};
use crate::store::{Authority, Context, journal};

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

    /// As [`World::note_bindings`], for whoever has a secret in his hands that must not be lost for that.
    pub(super) async fn note_bindings_by_hand(&self, actor: Option<String>) {
        if let Err(failure) = self.note_bindings(&Authority::ByHand, &self.by_user(actor)).await {
            tracing::warn!("that a store was marked could not be journalled: {}", failure.line());
        }
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
    pub(super) fn stores(&self, owner: &Owner) -> Vec<Owned> {
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
}

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
