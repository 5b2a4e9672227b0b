//! Turns that were asked for: kept until one has answered, by whoever holds the lease.

use std::time::Instant;

use chrono::TimeDelta;
use uuid::Uuid;

use super::{Extent, Request, Turned, World};
use crate::failure::{Class, Failure, Result};
use crate::store::Authority;
use crate::store::error::Error;
use crate::store::lease::Lease;
use crate::store::requests::{self, Asked};
use crate::store::sql::Id;

/// An answer can be read for so long.
const KEPT: TimeDelta = TimeDelta::days(1);
/// The database may change while it is read; then it is read again, so many times.
const ATTEMPTS: usize = 4;

/// Who is to take the turn, as far as whoever is asked knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applier {
    /// This very process, which is told by other means.
    Here,
    /// Another, which the database tells.
    Elsewhere,
}

impl World {
    /// Asks for a turn that looks at everything. Gives the request's id, under which [`World::request`] tells of it.
    ///
    /// Errors: too many have asked, whom nobody has answered.
    pub async fn ask(&self, reason: Option<&str>, actor: String, applier: Applier) -> Result<Id> {
        self.require().await?;
        let id = Id(Uuid::now_v7());
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(Some(actor))).await?;
        let limit = tx.now().checked_sub_signed(KEPT).unwrap_or_default();
        if !requests::ask(&mut tx, id, reason, limit).await? {
            return Err(Failure::unavailable("more turns were asked for in a day than are kept")
                .hint("ask less often: one turn answers all who have asked before it began"));
        }
        match applier {
            Applier::Here => tx.commit().await?,
            Applier::Elsewhere => self.database.commit_aloud(tx).await?,
        }
        Ok(id)
    }

    /// Tells whoever holds the lease that somebody has asked.
    pub async fn tell(&self) -> Result<()> {
        let tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        Ok(self.database.commit_aloud(tx).await?)
    }

    /// How a request stands; `None`: there is none, or it was answered more than a day ago.
    pub async fn request(&self, id: Id) -> Result<Option<Asked>> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(None) };
        let found = requests::find(&mut snapshot, id).await?;
        snapshot.finish().await?;
        Ok(found)
    }

    /// One turn, under the lease. One that looks at everything, and at more than one target, answers all who had asked for
    /// it before it read anything, whatever it comes to.
    pub async fn turn(&self, lease: &Lease, request: &Request) -> Result<Turned> {
        let begun = Instant::now();
        let asked = match (request.extent, &request.target) {
            (Extent::Everything, None) => self.asked().await,
            // No answer for those who ask that all be looked at: they are told of by the database, or by the next timer.
            (Extent::Everything, Some(_)) | (Extent::Changes, _) => Vec::new(),
        };
        let ended = self.carry_out(lease, request, &asked).await;
        if let Err(failure) = &ended
            && !asked.is_empty()
            && !failure.is_away
            && failure.class != Class::Refused
            && let Err(error) = self.answer_with_failure(lease, &asked, begun, failure).await
        {
            tracing::debug!("those who asked for the turn could not be told of its failure: {}", error.line());
        }
        ended
    }

    /// Who has asked. What is in the way of knowing it is in the way of the turn, which tells of it.
    async fn asked(&self) -> Vec<Id> {
        let look = async || {
            let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(Vec::new()) };
            let found = requests::open(&mut snapshot).await?;
            snapshot.finish().await.map(|()| found)
        };
        for _ in 0..ATTEMPTS {
            match look().await {
                Err(Error::Conflict { .. }) => {}
                Ok(found) => return found,
                Err(error) => {
                    tracing::debug!("who has asked for a turn cannot be read: {}", error.chain());
                    break;
                }
            }
        }
        Vec::new()
    }

    async fn answer_with_failure(&self, lease: &Lease, asked: &[Id], begun: Instant, failure: &Failure) -> Result<()> {
        let context = self.by_user(None);
        let mut tx = self.database.begin(&lease.authority(), &context).await?;
        requests::answered(&mut tx, asked, &super::trouble::failed(lease, &context, begun, failure)).await?;
        Ok(tx.commit().await?)
    }
}
