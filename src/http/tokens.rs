//! Which tokens there are, as the database says: asked as seldom as possible, and as soon as one is shown that is not known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::Instant;

use super::gate::Caller;
use super::problem::Problem;
use crate::store::sql::now;
use crate::store::tokens::Known;
use crate::token::Token;
use crate::turn::World;

/// A token that was revoked is refused this soon.
const FRESH: Duration = Duration::from_secs(5);
/// However many unknown tokens are shown, the database is asked no sooner than this after its last answer. All that were
/// shown before it is asked are looked for in what it says then.
const GAP: Duration = Duration::from_millis(100);
/// The same after it gave no answer.
const AWAY: Duration = Duration::from_secs(1);
/// How long tokens count as the database had them last, while it is away: the metrics are wanted most just then.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// How long the database may take to say which there are.
const LIMIT: Duration = Duration::from_secs(5);

/// The tokens that are known.
pub struct Tokens {
    world: Arc<World>,
    seen: Mutex<Seen>,
    /// Held by whoever asks.
    asking: tokio::sync::Mutex<Option<Asked>>,
}

/// What the database had.
#[derive(Clone, Default)]
struct Seen {
    tokens: Arc<[Known]>,
    /// When it was asked for it.
    at: Option<Instant>,
}

/// When the database was asked last, and what came of it.
#[derive(Clone, Copy)]
struct Asked {
    began: Instant,
    ended: Instant,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    Silent,
    /// Whoever asked is gone.
    BrokenOff,
}

impl Tokens {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, seen: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Whose the token is, and what it allows, if it is good: also where it was made a moment ago, by whichever daemon or
    /// command.
    ///
    /// Errors: the database does not say.
    pub async fn find(&self, token: &Token) -> Result<Option<Caller>, Problem> {
        let shown = Instant::now();
        if let Some(caller) = self.fresh(token) {
            return Ok(Some(caller));
        }
        let has_answered = self.ask(token, shown).await;
        let seen = self.seen();
        let is_kept = seen.at.is_some_and(|at| at.elapsed() < KEPT);
        match good(&seen.tokens, token).filter(|_| is_kept) {
            None if !has_answered => {
                let what = "the database does not say which tokens there are, so nobody is let in";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).retry_after(AWAY.as_secs()))
            }
            found => Ok(found),
        }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As what was read a moment ago has it.
    fn fresh(&self, token: &Token) -> Option<Caller> {
        let seen = self.seen();
        let is_fresh = seen.at.is_some_and(|at| at.elapsed() < FRESH);
        good(&seen.tokens, token).filter(|_| is_fresh)
    }

    /// Waits until the database was asked after the token was `shown`, or the token is known. `false`: it gives no answer.
    async fn ask(&self, token: &Token, shown: Instant) -> bool {
        let mut asking = self.asking.lock().await;
        if self.fresh(token).is_some() {
            return true;
        }
        match *asking {
            Some(Asked { began, outcome: Outcome::Answered, .. }) if began >= shown => return true,
            // Whoever has waited for no answer does not wait for another.
            Some(Asked { ended, outcome: Outcome::Silent, .. }) if ended >= shown || ended.elapsed() < AWAY => {
                return false;
            }
            Some(Asked { ended, .. }) => tokio::time::sleep_until(ended + GAP).await,
            None => {}
        }
        let began = Instant::now();
        *asking = Some(Asked { began, ended: began, outcome: Outcome::BrokenOff });
        let answer = tokio::time::timeout(LIMIT, self.world.tokens()).await;
        let outcome = match answer {
            Ok(Ok(tokens)) => {
                let seen = Seen { tokens: tokens.into(), at: Some(began) };
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
                Outcome::Answered
            }
            Ok(Err(failure)) => {
                tracing::debug!("the tokens cannot be read: {}", failure.line());
                Outcome::Silent
            }
            Err(_) => {
                tracing::debug!("the tokens cannot be read in time");
                Outcome::Silent
            }
        };
        *asking = Some(Asked { began, ended: Instant::now(), outcome });
        outcome == Outcome::Answered
    }
}

/// Compared with each, so that the time tells nothing of which it is nearest to.
fn good(tokens: &[Known], token: &Token) -> Option<Caller> {
    let (hash, now) = (token.hash(), now());
    let alike = tokens.iter().fold(None, |found, known| if known.hash.is(&hash) { Some(known) } else { found });
    let known = alike.filter(|known| known.is_good(now))?;
    Some(Caller { name: known.name.clone(), scope: known.scope })
}
