//! Messages to their receivers: each until it is taken, under the same id, with growing pauses.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;

use super::message::{self, Origin};
use crate::change::{Kind, ResourceId};
use crate::config::{Language, Receiver};
use crate::failure::Result;
use crate::port::client::ClientError;
use crate::store::outbox::{self, Delivery};
use crate::store::sql::now;
use crate::store::{Authority, Context, Entry, journal};
use crate::turn::World;

/// Messages to one receiver in one look, at most, and for how long one after the other is sent: who is slow holds up the
/// others no longer.
const LOOK: (i64, Duration) = (100, Duration::from_secs(10));
/// After the first attempt, and at most: the pause doubles.
const PAUSE: (i64, i64) = (5, 3600);
/// A message that nobody takes for so long is given up.
pub(super) const LIFE: TimeDelta = TimeDelta::days(3);

/// How the journal addresses a message. No file declares one, so that it stands in no register.
const NOTIFICATION: Kind = Kind { name: "notification", plural: "notifications" };

impl World {
    /// Sends what is due, to each receiver one message after the other, to several side by side; to one that does not
    /// take a message no other in the same look. Gives when to look again; `None`: nothing is on its way.
    ///
    /// Errors: the lease was lost, or the database does not answer.
    pub async fn deliver(&self, authority: &Authority, context: &Context) -> Result<Option<DateTime<Utc>>> {
        if self.config.receivers.is_empty() {
            return Ok(None);
        }
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(None) };
        // No pause is so long.
        let latest = now() + TimeDelta::seconds(2 * PAUSE.1);
        let (due, next) = outbox::due(&mut snapshot, now(), latest, LOOK.0).await?;
        snapshot.finish().await?;
        if due.is_empty() {
            return Ok(next);
        }
        let of = |receiver: &Receiver| -> Vec<&Delivery> {
            due.iter().filter(|delivery| delivery.target == receiver.name).collect()
        };
        let begun = Instant::now();
        let sending = self.config.receivers.iter().map(|receiver| async move {
            for delivery in of(receiver).into_iter().take_while(|_| begun.elapsed() < LOOK.1) {
                if !self.send(receiver, delivery, authority, context).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        let taken = join_all(sending).await.into_iter().collect::<Result<Vec<bool>>>()?;
        let is_known = |delivery: &&Delivery| self.config.receivers.iter().any(|one| one.name == delivery.target);
        for orphan in due.iter().filter(|delivery| !is_known(delivery)) {
            // Nobody of that name is configured any more.
            self.end(orphan, authority, context, None).await?;
        }
        // Whoever has just refused one message is not asked to take the next at once.
        Ok(Some(if taken.contains(&false) { now() + TimeDelta::seconds(PAUSE.0) } else { now() }))
    }

    /// Sends one message. `false`: it was not taken.
    async fn send(
        &self,
        receiver: &Receiver,
        delivery: &Delivery,
        authority: &Authority,
        context: &Context,
    ) -> Result<bool> {
        let attempt = delivery.attempts + 1;
        // Before it is sent: after a crash in between, it is marked as sent again.
        let mut tx = self.database.begin(authority, context).await?;
        let is_ours = outbox::attempt(&mut tx, delivery, now() + pause(attempt)).await?;
        tx.commit().await?;
        if !is_ours {
            return Ok(true);
        }
        match self.post(receiver, delivery, attempt).await {
            Ok(()) => {
                tracing::debug!("{} was told of {}", receiver.name, delivery.event.word());
                self.end(delivery, authority, context, None).await?;
                Ok(true)
            }
            Err(why) if now() - delivery.made_at >= LIFE => {
                tracing::error!("{} was not told of {}: {why}", receiver.name, delivery.event.word());
                self.end(delivery, authority, context, Some(why.to_string())).await?;
                Ok(false)
            }
            Err(why) => {
                let line = format!("{} does not take a message (attempt {attempt}): {why}", receiver.name);
                if attempt == 1 {
                    tracing::warn!("{line}")
                } else {
                    tracing::debug!("{line}")
                }
                let mut tx = self.database.begin(authority, context).await?;
                outbox::refused(&mut tx, delivery.id, &why.to_string()).await?;
                tx.commit().await?;
                Ok(false)
            }
        }
    }

    async fn post(
        &self,
        receiver: &Receiver,
        delivery: &Delivery,
        attempt: i64,
    ) -> std::result::Result<(), ClientError> {
        let catalog = self.database.catalog().to_string();
        let origin = Origin { environment: self.guard.environment().as_str(), catalog: &catalog };
        match &receiver.language {
            Language::Slack => receiver.address.post(&[], message::slack(delivery, &origin, attempt)).await,
            Language::Json(keys) => {
                let sent = now();
                let body = message::json(delivery, &origin, attempt, sent);
                let (id, timestamp) = (delivery.id.to_string(), sent.timestamp());
                let signature = keys.sign(&id, timestamp, body.as_bytes());
                let headers = [
                    ("webhook-id", id),
                    ("webhook-timestamp", timestamp.to_string()),
                    ("webhook-signature", signature),
                ];
                receiver.address.post(&headers, body).await
            }
        }
    }

    /// The message is with its receiver; or, with a reason, will never be.
    async fn end(
        &self,
        delivery: &Delivery,
        authority: &Authority,
        context: &Context,
        why: Option<String>,
    ) -> Result<()> {
        let mut tx = self.database.begin(authority, context).await?;
        outbox::done(&mut tx, delivery.id).await?;
        if why.is_some() {
            let after = json!({ "target": delivery.target, "event": delivery.event.word(), "items": delivery.items });
            let id = ResourceId::new(NOTIFICATION, delivery.id);
            let after = Some(after.to_string());
            journal::write(
                &mut tx,
                &Entry { id, actor: None, action: "give up", before: None, after, reason: why, origin: None },
            )
            .await?;
        }
        Ok(tx.commit().await?)
    }
}

/// After so many attempts: doubled from the least to the most, and up to a fifth longer, so that not all come at once.
fn pause(attempts: i64) -> TimeDelta {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(20);
    let seconds = PAUSE.0.saturating_mul(1 << doublings).min(PAUSE.1);
    TimeDelta::milliseconds(seconds * 1000 + fastrand::i64(0..=seconds * 200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        for (attempts, least) in [(1, 5), (2, 10), (3, 20), (10, 2560), (11, 3600), (90, 3600)] {
            let paused = pause(attempts);
            assert!(
                paused >= TimeDelta::seconds(least) && paused <= TimeDelta::seconds(least * 6 / 5),
                "{attempts}: {paused}"
            );
        }
    }
}
