//! Minting: a GUID into the hand-off first, its hash into the database second.
//!
//! The other way round, a crash in between would make a hash valid whose GUID nobody can ever have.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Mint, SessionId, Step, add};
use crate::port::guid::HostGuid;
use crate::port::handoff::Entry;
use crate::port::keys::GuidHash;
use crate::port::{Error, Ports, Secrets};
use crate::store::sql::{Id, now};

/// What minting leaves for the record: everything but the GUID.
pub struct Receipt {
    pub hash: GuidHash,
    pub attempt: Id,
    pub minted_at: DateTime<Utc>,
    /// When the hand-off forgets the GUID.
    pub handed_off_until: DateTime<Utc>,
    /// Which store that is, where it can say so.
    pub store: Option<String>,
}

/// The hand-off's name for one GUID of one session.
pub fn handoff_key(session: SessionId, attempt: Id) -> String {
    format!("host:{session}:{attempt}")
}

/// Mints what the steps ask for, in one batch. A step without a secret gives no receipt.
///
/// Guarantees: twice equals once, because a GUID that is never recorded opens nothing and expires in the hand-off.
pub async fn perform(steps: &[&Step], ports: &Ports) -> Vec<Result<Option<Receipt>, Error>> {
    let secrets = ports.secrets();
    let mut entries = Vec::new();
    let mut receipts = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            Step::Mint(mint) => {
                match secrets.as_ref().map_err(Clone::clone).and_then(|secrets| mint_one(mint, secrets)) {
                    Ok((receipt, entry)) => {
                        entries.push(entry);
                        receipts.push(Ok(Some(receipt)));
                    }
                    Err(error) => receipts.push(Err(error)),
                }
            }
            Step::Adjust(_) | Step::Revoke(_) => receipts.push(Ok(None)),
        }
    }
    let (outcomes, home) = match secrets {
        Ok(secrets) if !entries.is_empty() => {
            let outcomes = secrets.handoff.put(entries).await;
            // A store that cannot say which it is leaves unknown where these are, and has them all the same.
            (outcomes, secrets.handoff.probe().home().await.unwrap_or_default())
        }
        _ => (Vec::new(), None),
    };
    let mut outcomes = outcomes.into_iter();
    for receipt in &mut receipts {
        if let Ok(Some(minted)) = receipt {
            minted.store.clone_from(&home);
            if let Some(Err(error)) = outcomes.next() {
                *receipt = Err(error.into());
            }
        }
    }
    receipts
}

fn mint_one(mint: &Mint, secrets: &Secrets) -> Result<(Receipt, Entry), Error> {
    let guid = HostGuid::generate()?;
    let attempt = Id(Uuid::new_v4());
    let minted_at = now();
    let receipt = Receipt {
        hash: secrets.keys.hash(&guid),
        attempt,
        minted_at,
        handed_off_until: add(minted_at, mint.claim_life).unwrap_or(minted_at),
        store: None,
    };
    let entry = Entry { key: handoff_key(mint.session, attempt), secret: guid.into_secret(), life: mint.claim_life };
    Ok((receipt, entry))
}
