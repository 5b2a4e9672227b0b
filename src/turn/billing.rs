//! What billing tells: noted once, for turns to act on. An event changes nothing by itself.

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::World;
use crate::change::{Kind, ResourceId};
use crate::failure::Result;
use crate::store::{Authority, Entry, billing, journal};

/// How the journal addresses what no file declares: a subscription that was released, and an event that released none.
const SUBSCRIPTION: Kind = Kind { name: "subscription", plural: "subscriptions" };
const EVENT: Kind = Kind { name: "billing-event", plural: "billing-events" };

/// How long an event is known by its id.
const KNOWN: TimeDelta = TimeDelta::days(90);

/// An event, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The sender's id of it, the same however often it is sent. 1 to 255 visible ASCII characters.
    pub id: String,
    /// What happened, such as `INVOICE_PAYMENT_SUCCESS`.
    pub event_type: String,
    /// The subscription that it releases; or why it releases none.
    pub releases: std::result::Result<Uuid, String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It had come before, and nothing was done.
    Known,
    /// Its subscription is released from now on: the next turn provisions what waits for it.
    Released,
    /// Its subscription was released before.
    ReleasedBefore,
    /// It releases nothing.
    Ignored,
}

impl World {
    /// Notes an event, and wakes whoever applies where it released something.
    ///
    /// Guarantees: the same event twice, or events in another order, come to the same. Errors: the database cannot be
    /// written; then the sender has to send it again.
    pub async fn hear_billing(&self, event: &Event, actor: String) -> Result<Heard> {
        self.require().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(Some(actor))).await?;
        let limit = tx.now() - KNOWN;
        billing::forget(&mut tx, limit).await?;
        if !billing::receive(&mut tx, &event.id).await? {
            tx.commit().await?;
            return Ok(Heard::Known);
        }
        let about = json!({ "event": event.id, "event_type": event.event_type });
        let (id, action, reason, heard) = match &event.releases {
            Ok(subscription) => {
                let id = ResourceId::new(SUBSCRIPTION, subscription);
                match billing::release(&mut tx, *subscription, &event.event_type).await? {
                    true => (id, "release", None, Heard::Released),
                    false => (id, "ignore", Some("it was released before".to_owned()), Heard::ReleasedBefore),
                }
            }
            Err(why) => (ResourceId::new(EVENT, &event.id), "ignore", Some(why.clone()), Heard::Ignored),
        };
        let entry =
            Entry { id, actor: None, action, before: None, after: Some(about.to_string()), reason, origin: None };
        journal::write(&mut tx, &entry).await?;
        match heard {
            Heard::Released => self.database.commit_aloud(tx).await?,
            Heard::Known | Heard::ReleasedBefore | Heard::Ignored => tx.commit().await?,
        }
        Ok(heard)
    }
}
