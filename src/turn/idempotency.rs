//! Keys under which actions are asked for, so that asking twice does once.

use chrono::TimeDelta;
use uuid::Uuid;

use super::World;
use crate::failure::Result;
use crate::store::Authority;
use crate::store::idempotency::{self, Done, Key, Limits, Standing};
use crate::store::sql::Id;

/// An answer is kept for so long.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// Far longer than any action takes: one that has no answer after that was broken off, and may be asked for again.
const BROKEN_OFF: TimeDelta = TimeDelta::minutes(3);

impl World {
    /// Takes the key where it is free, or says how it stands.
    pub async fn take_key(&self, key: &Key<'_>) -> Result<Standing> {
        self.require().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        let before = |span| tx.now().checked_sub_signed(span).unwrap_or_default();
        let limits = Limits { kept: before(KEPT), broken_off: before(BROKEN_OFF) };
        let standing = idempotency::take(&mut tx, key, Id(Uuid::new_v4()), &limits).await?;
        tx.commit().await?;
        Ok(standing)
    }

    /// Keeps what was answered; `None`: gives the key back, because nothing was done.
    pub async fn settle_key(&self, key: &Key<'_>, attempt: Id, done: Option<&Done>) -> Result<()> {
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        match done {
            Some(done) => idempotency::done(&mut tx, key, attempt, done).await?,
            None => idempotency::free(&mut tx, key, attempt).await?,
        }
        Ok(tx.commit().await?)
    }
}
