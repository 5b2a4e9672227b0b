//! Tokens for HTTP: made, listed, revoked.

use super::args::{Format, TokenVerb};
use super::only;
use super::print::{out, out_json, out_once};
use crate::change::{moment, printable, rfc3339};
use crate::failure::Result;
use crate::store::sql::now;
use crate::store::tokens::Known;
use crate::token::Scope;
use crate::turn::World;

pub async fn token(world: &World, verb: &TokenVerb, format: Format) -> Result<u8> {
    match verb {
        TokenVerb::Create { name, scope, expires } => {
            only(format, &[Format::Text])?;
            let token = world.create_token(name, *scope, *expires).await?;
            // Nothing beside it, so that it can be put into a file.
            out_once(token.expose(), "`reconcile token create` and another name")?;
            tracing::info!("this is shown once; `reconcile token revoke {name} --reason R` ends it");
        }
        TokenVerb::List => {
            only(format, &[Format::Text, Format::Json])?;
            world.must_exist().await?;
            let tokens = world.tokens().await?;
            match format {
                Format::Json => out_json(&serde_json::Value::from_iter(tokens.iter().map(json)))?,
                _ => out(&text(&tokens))?,
            }
        }
        TokenVerb::Revoke { name, reason } => {
            only(format, &[Format::Text])?;
            world.revoke_token(name, reason).await?;
            out(&format!("Revoked: {name}. Daemons that run refuse it within some seconds.\n"))?;
        }
    }
    Ok(0)
}

fn text(tokens: &[Known]) -> String {
    if tokens.is_empty() {
        return "There are no tokens.\n".to_owned();
    }
    let longest = |of: fn(&Known) -> usize| tokens.iter().map(of).max().unwrap_or(0);
    let (name, scope) = (longest(|token| token.name.len()), longest(|token| token.scope.word().len()));
    let line = |token: &Known| {
        let Known { name: called, scope: allows, hash: _, created_at, created_by, expires_at, revoked } = token;
        let state = match (revoked, expires_at) {
            (Some((at, by)), _) => format!("revoked {} by {}", moment(*at), printable(by)),
            (None, None) => "good for ever".to_owned(),
            (None, Some(at)) if *at > now() => format!("good until {}", moment(*at)),
            (None, Some(at)) => format!("expired {}", moment(*at)),
        };
        let (allows, created_by) = (allows.word(), printable(created_by));
        format!("  {called:<name$}  {allows:<scope$}  made {} by {created_by}; {state}\n", moment(*created_at))
    };
    tokens.iter().map(line).collect()
}

fn json(token: &Known) -> serde_json::Value {
    let Known { name, scope, hash: _, created_at, created_by, expires_at, revoked } = token;
    serde_json::json!({
        "name": name, "scope": scope.word(), "created_at": rfc3339(*created_at), "created_by": created_by,
        "expires_at": expires_at.map(rfc3339), "revoked_at": revoked.as_ref().map(|(at, _)| rfc3339(*at)),
        "revoked_by": revoked.as_ref().map(|(_, by)| by), "good": token.is_good(now()),
    })
}

/// A scope as it is typed.
pub fn scope(text: &str) -> std::result::Result<Scope, String> {
    Scope::read(text).ok_or_else(|| "it is none of read, operate, secrets".to_owned())
}

/// A name as it is typed: plain, so that it can be quoted anywhere.
pub fn name(text: &str) -> std::result::Result<String, String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    match text.len() {
        1..=63 if text.chars().all(plain) => Ok(text.to_owned()),
        _ => Err("it must be at most 63 letters, digits, `.`, `_` and `-`".to_owned()),
    }
}
