//! Tokens by command: made, listed, revoked, and each of that in the journal.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use super::World;
use crate::change::{Kind, ResourceId, quoted, rfc3339};
use crate::failure::{Failure, Result};
use crate::store::sql::now;
use crate::store::tokens::{self, Known};
use crate::store::{Authority, Entry, journal};
use crate::token::{Scope, Token};

/// How the journal addresses a token. No file declares one, so that it stands in no register.
const TOKEN: Kind = Kind { name: "token", plural: "tokens" };

impl World {
    /// Makes a token, good for so long or for ever. It is given here, once, and kept nowhere.
    ///
    /// Errors: there is, or was, one of this name.
    pub async fn create_token(&self, name: &str, scope: Scope, life: Option<Duration>) -> Result<Token> {
        let token = Token::mint()
            .map_err(|error| Failure::error(format!("the system gives no random bytes for a token: {error}")))?;
        let too_long = || Failure::error("the token would expire later than can be written down");
        let life = life.map(|life| TimeDelta::from_std(life).map_err(|_| too_long())).transpose()?;
        let expires_at = life.map(|life| now().checked_add_signed(life).ok_or_else(too_long)).transpose()?;
        self.require().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        if !tokens::create(&mut tx, name, scope, &token.hash(), expires_at).await? {
            return Err(Failure::error(format!("there is, or was, a token named {}", quoted(name)))
                .hint("a name is used once, so that the journal speaks of one token: choose another"));
        }
        let after = json!({ "scope": scope.word(), "expires_at": expires_at.map(rfc3339) });
        journal::write(&mut tx, &entry(name, "create", Some(after.to_string()), None)).await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Ends a token.
    ///
    /// Errors: there is none of this name, or it is revoked already.
    pub async fn revoke_token(&self, name: &str, reason: &str) -> Result<()> {
        self.require().await?;
        let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(None)).await?;
        if !tokens::revoke(&mut tx, name).await? {
            return Err(Failure::error(format!("there is no token named {} that could be revoked", quoted(name)))
                .hint("`reconcile token list` shows all"));
        }
        journal::write(&mut tx, &entry(name, "revoke", None, Some(reason.to_owned()))).await?;
        Ok(tx.commit().await?)
    }

    /// All tokens that were ever made, by name; none where there is no schema yet.
    pub async fn tokens(&self) -> Result<Vec<Known>> {
        let Some(mut snapshot) = self.database.snapshot().await? else { return Ok(Vec::new()) };
        let known = tokens::all(&mut snapshot).await?;
        snapshot.finish().await?;
        Ok(known)
    }
}

fn entry(name: &str, action: &'static str, after: Option<String>, reason: Option<String>) -> Entry {
    Entry { id: ResourceId::new(TOKEN, name), actor: None, action, before: None, after, reason, origin: None }
}
