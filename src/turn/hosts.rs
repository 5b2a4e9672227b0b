//! Using hosts: claim, verify, consolidate. Each is one guarded transaction, with its line in the journal.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::World;
use super::status::everything;
use crate::change::{Blocked, ResourceId, moment};
use crate::failure::{Failure, Result};
use crate::kinds::protected;
use crate::port::Secrets;
use crate::port::guid::HostGuid;
use crate::port::handoff::{Taken, Whereabouts};
use crate::port::keys::KeyRing;
use crate::resource::host::KIND;
use crate::resource::host::consolidate::{self, Duplicate};
use crate::resource::host::mint::handoff_key;
use crate::resource::host::rows::{self, Deed};
use crate::resource::host::verify::{Standing, incident, standing};
use crate::resource::session::SessionId;
use crate::secret::Secret;
use crate::store::sql::Id;
use crate::store::{Authority, Tx, migrate, protections};

/// A host may change between looking and claiming; then it is looked at again, so many times.
const ATTEMPTS: usize = 4;

impl World {
    async fn secrets(&self) -> Result<Secrets> {
        self.check_data_dir()?;
        let secrets = Secrets::existing(&self.config.host_keys, &self.shelf().await?);
        Ok(secrets.map_err(crate::port::Error::from)?)
    }

    async fn write_by_hand(&self, actor: Option<String>) -> Result<Tx> {
        Ok(self.database.begin(&Authority::ByHand, &self.by_user(actor)).await?)
    }

    /// Takes a session's GUID out of the hand-off, exactly once, after checking it against the recorded hash.
    ///
    /// Errors: it was claimed already (journalled as an incident), it expired, it was revoked, or there is none.
    pub async fn claim(&self, session: SessionId, actor: Option<String>) -> Result<Secret> {
        let claimed = self.claim_where(session, actor, |_| true).await?;
        claimed.ok_or_else(|| {
            Failure::missing(format!("session {session} has no host")).hint(format!(
                "declare it under hosts:, or `reconcile host create --session-id {session} --created-by NAME`"
            ))
        })
    }

    /// Takes the GUID that a command has just minted, for the one who typed the command. `false` beside it: another
    /// command has replaced the GUID since, as if the two had come one after the other.
    ///
    /// Errors: as [`World::claim`].
    pub async fn claim_own(&self, session: SessionId, attempt: Id, actor: &str) -> Result<(Secret, bool)> {
        // A row that `--force-new` has put aside stays, inactive, and with its attempt.
        let own = |row: &Standing| row.attempt == Some(attempt) && (row.is_active || row.revoked_at.is_some());
        if let Some(secret) = self.claim_where(session, Some(actor.to_owned()), own).await? {
            return Ok((secret, true));
        }
        let Some(taken) = self.secrets().await?.handoff.take(&handoff_key(session, attempt)).await? else {
            let message = format!("another command has replaced the new GUID of session {session}, and taken it away");
            return Err(Failure::conflict(message));
        };
        Ok((kept(taken).await, false))
    }

    /// How the database knows the GUID of this attempt; `None`: another has taken its place.
    pub async fn deed(&self, attempt: Id) -> Result<Option<Deed>> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(None) };
        let deed = rows::deed(&mut snapshot, attempt).await?;
        snapshot.finish().await?;
        Ok(deed)
    }

    /// Claims the GUID of the session's first host that is `wanted`; `None`: there is no such host.
    async fn claim_where(
        &self,
        session: SessionId,
        actor: Option<String>,
        wanted: impl Fn(&Standing) -> bool,
    ) -> Result<Option<Secret>> {
        let secrets = self.secrets().await?;
        let claimed = self.claim_from(&secrets, session, actor.clone(), wanted).await;
        self.note_bindings_by_hand(actor).await;
        claimed
    }

    async fn claim_from(
        &self,
        secrets: &Secrets,
        session: SessionId,
        actor: Option<String>,
        wanted: impl Fn(&Standing) -> bool,
    ) -> Result<Option<Secret>> {
        for _ in 0..ATTEMPTS {
            let mut tx = self.write_by_hand(actor.clone()).await?;
            let rows = standing(session, &mut tx).await?;
            let Some(row) = rows.iter().find(|row| wanted(row)) else { return Ok(None) };
            if let Some(at) = row.claimed_at {
                return Err(claimed_before(session, row, at, tx).await?);
            }
            let attempt = claimable(session, row, tx.now())?;
            // Recorded first, but for good only when it is in our hands: whoever else claims it waits for that.
            if row.claimed(session, attempt, &mut tx).await? {
                return hand_over(session, row, attempt, secrets, tx).await.map(Some);
            }
        }
        Err(Failure::conflict(format!("the host of session {session} kept changing while it was claimed"))
            .hint("try again"))
    }

    /// Whether a GUID opens a session at this moment; if so, its use is noted. Gives no reason for a no.
    pub async fn verify(&self, session: SessionId, guid: &HostGuid) -> Result<bool> {
        let keys: std::sync::Arc<KeyRing> = self.secrets().await?.keys;
        let mut tx = self.write_by_hand(None).await?;
        let now = tx.now();
        let rows = standing(session, &mut tx).await?;
        let Some(row) = rows.iter().find(|row| row.opens(guid, &keys, now)) else { return Ok(false) };
        row.used(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The active hosts of every session that has several, and why those of some sessions are left as they are.
    ///
    /// Errors: applying is suspended as a whole.
    pub async fn duplicates(&self) -> Result<Duplicates> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(Duplicates::default()) };
        let found = consolidate::find(snapshot.conn()).await?;
        snapshot.finish().await?;
        self.spared(found).await
    }

    /// Keeps the newest active host of each session, deactivates the rest, and makes the index that forbids more. Hosts
    /// that are protected or suspended are left as they are, and then the index waits.
    ///
    /// Errors: applying is suspended as a whole.
    pub async fn consolidate(&self) -> Result<Duplicates> {
        let judged = self.duplicates().await?;
        let mut tx = self.write_by_hand(None).await?;
        migrate::alone(tx.conn()).await?;
        let mut duplicates = Duplicates { found: consolidate::find(tx.conn()).await?, left: judged.left };
        for duplicate in &duplicates.found {
            let id = ResourceId::new(KIND, duplicate.session);
            if duplicate.stays || duplicates.left.contains_key(&duplicate.session) {
                continue;
            }
            if protections::is_protected(&mut tx, &id).await? {
                // Since it was looked at.
                duplicates.left.insert(duplicate.session, protected(id, None));
                continue;
            }
            consolidate::deactivate(duplicate, &mut tx).await?;
        }
        migrate::one_active_index(tx.conn()).await?;
        tx.commit().await?;
        Ok(duplicates)
    }

    /// Which of them a command may not touch, as the database has it.
    async fn spared(&self, found: Vec<Duplicate>) -> Result<Duplicates> {
        let ledger = self.glimpse_of_pools().await?.ledger;
        if ledger.all_suspended.is_some()
            && let Some(Blocked { reason, hint, .. }) = ledger.suspension(&everything())
        {
            return Err(Failure::conflict(reason).hint(hint));
        }
        let left = |session: SessionId| {
            let id = ResourceId::new(KIND, session);
            let is_protected = ledger.protected.contains(&id);
            ledger.suspension(&id).or_else(|| is_protected.then(|| protected(id, None)))
        };
        let left = found.iter().filter_map(|one| Some((one.session, left(one.session)?))).collect();
        Ok(Duplicates { found, left })
    }
}

/// Sessions with several active hosts.
#[derive(Debug, Default)]
pub struct Duplicates {
    /// The newest of each session first.
    pub found: Vec<Duplicate>,
    /// Those whose hosts stay as they are, and why.
    pub left: BTreeMap<SessionId, Blocked>,
}

/// The attempt under which the GUID of `row` lies in the hand-off.
fn claimable(session: SessionId, row: &Standing, now: DateTime<Utc>) -> Result<Id> {
    if row.revoked_at.is_some() || !row.is_active {
        return Err(Failure::conflict(format!("the host of session {session} is revoked or inactive"))
            .hint(way_to_another(session)));
    }
    if let Some(at) = row.expires_at.filter(|at| *at <= now) {
        return Err(Failure::conflict(format!("the GUID of session {session} expired at {}", moment(at)))
            .hint(way_to_another(session)));
    }
    row.attempt.ok_or_else(|| {
        let message = format!("the GUID of session {session} was not made here, so there is nothing to claim");
        Failure::conflict(message).hint(way_to_another(session))
    })
}

fn way_to_another(session: SessionId) -> String {
    format!("raise rotation, or `reconcile host rotate --session-id {session}`")
}

/// Journals the second claim of one GUID, and gives what its claimer is told.
async fn claimed_before(session: SessionId, row: &Standing, at: DateTime<Utc>, mut tx: Tx) -> Result<Failure> {
    let by = row.claimed_by.as_deref().unwrap_or("somebody");
    let at = moment(at);
    incident(session, &format!("claimed again after {by} claimed it at {at}"), &mut tx).await?;
    tx.commit().await?;
    Ok(Failure::conflict(format!("the GUID of session {session} was already claimed by {by} at {at}"))
        .hint("if that was not you, it is in the wrong hands: raise rotation, or `reconcile host rotate`")
        .hint("this attempt stands in the journal as an incident"))
}

/// Takes the GUID, and makes the record of its claim durable; or puts it back.
async fn hand_over(session: SessionId, row: &Standing, attempt: Id, secrets: &Secrets, tx: Tx) -> Result<Secret> {
    let Some(taken) = secrets.handoff.take(&handoff_key(session, attempt)).await? else {
        let here = secrets.handoff.probe().home().await?;
        return Err(not_there(session, Whereabouts::judge(false, here.as_deref(), &row.handoff, tx.now())));
    };
    let fits = HostGuid::parse(taken.secret().expose()).is_some_and(|guid| row.holds(&guid, &secrets.keys));
    if !fits {
        taken.restore().await?;
        let message = format!("the hand-off holds another GUID for session {session} than the database knows");
        return Err(Failure::conflict(message).hint(way_to_another(session)));
    }
    if let Err(error) = tx.commit().await {
        taken.restore().await?;
        return Err(error.into());
    }
    Ok(kept(taken).await)
}

/// What a claimer is told where nothing is to be taken.
fn not_there(session: SessionId, whereabouts: Whereabouts) -> Failure {
    let gone = format!("the GUID of session {session} is no longer in the hand-off");
    match whereabouts {
        Whereabouts::Unknown(why) => {
            Failure::conflict(format!("the GUID of session {session} is unknown from here: {why}")).hint(why.hint())
        }
        Whereabouts::Expired => {
            Failure::conflict(format!("{gone}: it expired unclaimed")).hint(way_to_another(session))
        }
        Whereabouts::Lost | Whereabouts::Waiting => {
            Failure::conflict(format!("{gone}: it was lost there, or a claim was cut short"))
                .hint("where a file declares the host, the next run makes it anew: `reconcile --once`")
                .hint(way_to_another(session))
        }
    }
}

/// The secret, which is ours now: what cannot be deleted any more, nobody can take, and a later turn sweeps it.
async fn kept(taken: Taken) -> Secret {
    let secret = taken.secret().clone();
    if let Err(error) = taken.finish().await {
        tracing::warn!("a claimed GUID could not be deleted from the hand-off: {error}");
    }
    secret
}
