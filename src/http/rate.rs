//! How often GUIDs may be tried: so many a second by one token, and so many in vain a minute at one host or instance.
//!
//! Kept in memory, by each daemon for itself, and bounded: when there is no room left, nobody new is let in until what is
//! old has been forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::Instant;

use super::gate::Caller;
use super::problem::Problem;
use crate::change::{ResourceId, span};
use crate::failure::{Class, Failure};

/// Verifications and claims by one token: so many within so long.
const BY_TOKEN: Limit = Limit { most: 10, within: Duration::from_secs(1) };
/// Those in vain for one resource, whoever tries: so many within so long.
const IN_VAIN: Limit = Limit { most: 5, within: Duration::from_secs(60) };
/// What is counted at once, of each sort.
const ROOM: usize = 10_000;

struct Limit {
    most: u32,
    within: Duration,
}

/// Counts within a window of time, which begins with the first.
#[derive(Default)]
struct Counts(HashMap<String, (Instant, u32)>);

impl Counts {
    /// How much longer this name has to wait; `None`: not at all.
    fn wait(&self, name: &str, limit: &Limit, now: Instant) -> Option<Duration> {
        let (begun, count) = self.0.get(name)?;
        let rest = limit.within.saturating_sub(now.duration_since(*begun));
        (*count >= limit.most && !rest.is_zero()).then_some(rest)
    }

    /// Counts one. `false`: there is no room for another name.
    fn count(&mut self, name: &str, limit: &Limit, now: Instant) -> bool {
        let is_over = |begun: Instant| now.duration_since(begun) >= limit.within;
        if self.0.len() >= ROOM && !self.0.contains_key(name) {
            self.0.retain(|_, (begun, _)| !is_over(*begun));
            if self.0.len() >= ROOM {
                return false;
            }
        }
        let (begun, count) = self.0.entry(name.to_owned()).or_insert((now, 0));
        if is_over(*begun) {
            (*begun, *count) = (now, 0);
        }
        *count += 1;
        true
    }
}

/// What was tried lately.
#[derive(Default)]
pub struct Rates {
    by_token: Mutex<Counts>,
    in_vain: Mutex<Counts>,
}

impl Rates {
    /// Whether this may be tried now; if so, it is counted for the token.
    ///
    /// Errors: too often, and when to come back.
    pub fn admit(&self, caller: &Caller, id: &ResourceId) -> Result<(), Problem> {
        let now = Instant::now();
        let in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = in_vain.wait(&id.to_string(), &IN_VAIN, now) {
            let (most, within) = (IN_VAIN.most, span(IN_VAIN.within));
            return Err(later(format!("{id} was tried {most} times in vain within {within}"), rest));
        }
        drop(in_vain);
        let mut by_token = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = by_token.wait(&caller.name, &BY_TOKEN, now) {
            let (most, within) = (BY_TOKEN.most, span(BY_TOKEN.within));
            return Err(later(format!("a token may verify and claim {most} times within {within}"), rest));
        }
        match by_token.count(&caller.name, &BY_TOKEN, now) {
            true => Ok(()),
            false => Err(later("too many tokens verify and claim at once".to_owned(), BY_TOKEN.within)),
        }
    }

    /// Counts a claim in vain: of what is not there, or not any more.
    pub fn judge<T>(&self, id: &ResourceId, claimed: Result<T, Failure>) -> Result<T, Problem> {
        if let Err(Failure { class: Class::Missing | Class::Conflict, .. }) = &claimed {
            self.in_vain(id)?;
        }
        claimed.map_err(Problem::from)
    }

    /// It was tried in vain.
    ///
    /// Errors: there is no room to count it, so that it is not told either.
    pub fn in_vain(&self, id: &ResourceId) -> Result<(), Problem> {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        match in_vain.count(&id.to_string(), &IN_VAIN, Instant::now()) {
            true => Ok(()),
            false => Err(later("too many resources were tried in vain".to_owned(), IN_VAIN.within)),
        }
    }
}

fn later(what: String, rest: Duration) -> Problem {
    // Whole seconds, and not before the time is over.
    let seconds = rest.as_secs() + u64::from(rest.subsec_nanos() > 0);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, what).retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_opens_with_the_first_and_closes_by_itself() {
        let (mut counts, limit, now) =
            (Counts::default(), Limit { most: 2, within: Duration::from_secs(60) }, Instant::now());
        assert_eq!(counts.wait("a", &limit, now), None);
        assert!(counts.count("a", &limit, now) && counts.wait("a", &limit, now).is_none());
        let later = now + Duration::from_secs(20);
        assert!(counts.count("a", &limit, later));
        assert_eq!(counts.wait("a", &limit, later), Some(Duration::from_secs(40)));
        assert_eq!(counts.wait("b", &limit, later), None);
        let over = now + limit.within;
        assert_eq!(counts.wait("a", &limit, over), None);
        assert!(counts.count("a", &limit, over) && counts.wait("a", &limit, over).is_none());
    }

    #[test]
    fn there_is_no_room_without_end() {
        let (mut counts, limit, now) = (Counts::default(), IN_VAIN, Instant::now());
        assert!((0..ROOM).all(|name| counts.count(&name.to_string(), &limit, now)));
        assert!(!counts.count("another", &limit, now) && counts.count("7", &limit, now));
        let over = now + limit.within;
        assert!(counts.count("another", &limit, over));
        assert_eq!(counts.0.len(), 1);
    }
}
