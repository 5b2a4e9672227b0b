//! Using hosts: claim, verify, consolidate. Each is one guarded transaction, with its line in the journal.

use super::World;
use crate::failure::{Failure, Result};
use crate::port::Secrets;
use crate::port::guid::HostGuid;
use crate::port::keys::KeyRing;
use crate::resource::host::consolidate::{self, Duplicate};
use crate::resource::host::mint::handoff_key;
use crate::resource::host::verify::{Standing, incident, standing};
use crate::resource::session::SessionId;
use crate::secret::Secret;
use crate::store::sql::Id;
use crate::store::{Authority, Tx, migrate};

impl World {
    fn secrets(&self) -> Result<Secrets> {
        let secrets = Secrets::existing(&self.config.host_keys, &self.config.data_dir);
        Ok(secrets.map_err(crate::port::Error::from)?)
    }

    async fn write_by_hand(&self, actor: Option<String>) -> Result<Tx> {
        Ok(self.database.begin(&Authority::ByHand, &self.by_user(actor)).await?)
    }

    /// Takes a session's GUID out of the hand-off, exactly once, after checking it against the recorded hash.
    ///
    /// Errors: it was claimed already (journalled as an incident), it expired, it was revoked, or there is none.
    pub async fn claim(&self, session: SessionId, actor: Option<String>) -> Result<Secret> {
        let secrets = self.secrets()?;
        let mut tx = self.write_by_hand(actor).await?;
        let rows = standing(session, &mut tx).await?;
        let row = rows.first().ok_or_else(|| {
            Failure::error(format!("session {session} has no host")).hint(format!(
                "declare it under hosts:, or `reconcile host create --session-id {session} --created-by NAME`"
            ))
        })?;
        if let Some(at) = row.claimed_at {
            let by = row.claimed_by.as_deref().unwrap_or("somebody");
            let why = format!("claimed again after {by} claimed it at {}", crate::change::rfc3339(at));
            incident(session, &why, &mut tx).await?;
            tx.commit().await?;
            return Err(Failure::error(format!(
                "the GUID of session {session} was already claimed by {by} at {}",
                crate::change::rfc3339(at)
            ))
            .hint("if that was not you, it is in the wrong hands: raise rotation, or `reconcile host rotate`")
            .hint("this attempt stands in the journal as an incident"));
        }
        self.take(session, row, secrets, tx).await
    }

    /// Takes the GUID that a command has just minted, for the one who typed the command. `false` beside it: another
    /// command has replaced the GUID since, as if the two had come one after the other.
    pub async fn claim_own(&self, session: SessionId, attempt: Id, actor: &str) -> Result<(Secret, bool)> {
        let secrets = self.secrets()?;
        let mut tx = self.write_by_hand(Some(actor.to_owned())).await?;
        let rows = standing(session, &mut tx).await?;
        if let Some(row) = rows.first().filter(|row| row.attempt == Some(attempt)) {
            return Ok((self.take(session, row, secrets, tx).await?, true));
        }
        drop(tx);
        let Some(taken) = secrets.handoff.take(&handoff_key(session, attempt)).await? else {
            let message = format!("another command has replaced the new GUID of session {session}, and taken it away");
            return Err(Failure::error(message));
        };
        let secret = taken.secret().clone();
        taken.finish().await?;
        Ok((secret, false))
    }

    async fn take(&self, session: SessionId, row: &Standing, secrets: Secrets, mut tx: Tx) -> Result<Secret> {
        let rotate = format!("raise rotation, or `reconcile host rotate --session-id {session}`");
        if row.revoked_at.is_some() || !row.is_active {
            return Err(Failure::error(format!("the host of session {session} is revoked or inactive")).hint(rotate));
        }
        let Some(attempt) = row.attempt else {
            let message = format!("the GUID of session {session} was not made here, so there is nothing to claim");
            return Err(Failure::error(message).hint(rotate));
        };
        let Some(taken) = secrets.handoff.take(&handoff_key(session, attempt)).await? else {
            let message = format!("the GUID of session {session} is no longer in the hand-off: it expired unclaimed");
            return Err(Failure::error(message).hint(rotate));
        };
        let fits = HostGuid::parse(taken.secret().expose()).is_some_and(|guid| row.holds(&guid, &secrets.keys));
        if !fits {
            taken.restore().await?;
            let message = format!("the hand-off holds another GUID for session {session} than the database knows");
            return Err(Failure::error(message).hint(rotate));
        }
        let recorded = match row.claimed(session, attempt, &mut tx).await {
            Ok(true) => tx.commit().await.map_err(Failure::from),
            Ok(false) => Err(Failure::error(format!("the GUID of session {session} was claimed at this very moment"))),
            Err(error) => Err(error.into()),
        };
        if let Err(failure) = recorded {
            taken.restore().await?;
            return Err(failure);
        }
        let secret = taken.secret().clone();
        taken.finish().await?;
        Ok(secret)
    }

    /// Whether a GUID opens a session at this moment; if so, its use is noted. Gives no reason for a no.
    pub async fn verify(&self, session: SessionId, guid: &HostGuid) -> Result<bool> {
        let keys: std::sync::Arc<KeyRing> = self.secrets()?.keys;
        let mut tx = self.write_by_hand(None).await?;
        let now = tx.now();
        let rows = standing(session, &mut tx).await?;
        let Some(row) = rows.iter().find(|row| row.opens(guid, &keys, now)) else { return Ok(false) };
        row.used(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The active hosts of every session that has several.
    pub async fn duplicates(&self) -> Result<Vec<Duplicate>> {
        match self.database.snapshot().await? {
            Some(mut snapshot) => Ok(consolidate::find(snapshot.conn()).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Keeps the newest active host of each session, deactivates the rest, and makes the index that forbids more.
    pub async fn consolidate(&self) -> Result<Vec<Duplicate>> {
        let mut tx = self.write_by_hand(None).await?;
        let found = consolidate::find(tx.conn()).await?;
        for duplicate in found.iter().filter(|duplicate| !duplicate.stays) {
            consolidate::deactivate(duplicate, &mut tx).await?;
        }
        migrate::one_active_index(tx.conn()).await?;
        tx.commit().await?;
        Ok(found)
    }
}
