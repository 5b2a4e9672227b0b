//! Tokens as they are kept: hash, scope, and how long they are good for.

use chrono::{DateTime, Utc};

use super::error::{Error, Result};
use super::sql::{execute, fetch};
use super::tx::{Snapshot, Tx};
use crate::token::{Hash, Scope};

/// One that was made, good or not.
#[derive(Clone, Debug)]
pub struct Known {
    pub name: String,
    pub scope: Scope,
    pub hash: Hash,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    /// `None`: good for ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked, and by whom.
    pub revoked: Option<(DateTime<Utc>, String)>,
}

impl Known {
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked.is_none() && self.expires_at.is_none_or(|expires| expires > now)
    }
}

/// Keeps a new one, made by the transaction's actor. `false`: there is one of this name already.
pub async fn create(
    tx: &mut Tx,
    name: &str,
    scope: Scope,
    hash: &Hash,
    expires_at: Option<DateTime<Utc>>,
) -> Result<bool> {
    let (now, actor) = (tx.now(), tx.context().actor.clone());
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_tokens (name, scope, hash, created_at, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING",
        name,
        scope.word(),
        hash.text(),
        now,
        actor,
        expires_at,
    )
    .map(|rows| rows == 1)
    .map_err(Error::query("keep a token"))
}

/// Ends one. `false`: there is none of this name that is not revoked.
pub async fn revoke(tx: &mut Tx, name: &str) -> Result<bool> {
    let (now, actor) = (tx.now(), tx.context().actor.clone());
    execute!(
        tx.conn(),
        "UPDATE reconcile_tokens SET revoked_at = $1, revoked_by = $2 WHERE name = $3 AND revoked_at IS NULL",
        now,
        actor,
        name,
    )
    .map(|rows| rows == 1)
    .map_err(Error::query("revoke a token"))
}

/// All that were ever made, by name.
pub async fn all(snapshot: &mut Snapshot) -> Result<Vec<Known>> {
    let failed = Error::query("read the tokens");
    let rows = fetch!(
        snapshot.conn(),
        "SELECT name, scope, hash, created_at, created_by, expires_at, revoked_at, revoked_by
         FROM reconcile_tokens ORDER BY name"
    );
    let known = |row: &super::sql::Row| {
        let revoked_at: Option<DateTime<Utc>> = row.get("revoked_at")?;
        let revoked_by: Option<String> = row.get("revoked_by")?;
        Ok(Known {
            name: row.get("name")?,
            scope: row.word("scope", Scope::read)?,
            hash: row.word("hash", Hash::read)?,
            created_at: row.get("created_at")?,
            created_by: row.get("created_by")?,
            expires_at: row.get("expires_at")?,
            revoked: revoked_at.map(|at| (at, revoked_by.unwrap_or_default())),
        })
    };
    rows.map_err(failed)?.iter().map(known).collect::<std::result::Result<_, _>>().map_err(failed)
}
