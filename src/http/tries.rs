//! Wrong tries: of a token at the door, of a GUID, of what is not there to be claimed. Whoever makes them is slowed down;
//! what is right is never refused, whoever else tries.
//!
//! Each try counts as a wrong one before it is checked, and is taken back unless it was wrong: so many at once are no way
//! around the limit. No lock is needed beyond that: a GUID has 122 random bits, and a token 256.
//!
//! Kept in memory, by each daemon for itself, and bounded: where there is no room to count somebody, their wrong tries are
//! taken for too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::Instant;

use super::board::Board;
use super::metrics::Wrong;
use super::peer::Peer;
use super::problem::Problem;
use crate::change::span;
use crate::failure::{Class, Failure};

/// Whoever tries is counted for so long from the first on.
const WITHIN: Duration = Duration::from_secs(60);
/// Those who are counted at once.
const ROOM: usize = 10_000;

/// Who tries: with which token, if that is what was shown before, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Who {
    token: Option<String>,
    peer: Peer,
}

/// What was tried lately.
pub struct Tries {
    what: Wrong,
    /// So many wrong ones are answered as what they are.
    most: u32,
    counts: Mutex<HashMap<Who, Count>>,
    board: Arc<Board>,
}

#[derive(Clone, Copy)]
struct Count {
    since: Instant,
    wrong: u32,
}

impl Tries {
    pub fn new(what: Wrong, most: u32, board: Arc<Board>) -> Self {
        Self { what, most, counts: Mutex::default(), board }
    }

    /// Begins a try, which counts until it is dropped; and for good where it was [`Try::wrong`].
    pub fn begin(&self, token: Option<&str>, peer: Peer) -> Try<'_> {
        let who = Who { token: token.map(str::to_owned), peer };
        let rest = self.count(&who, Instant::now());
        Try { tries: self, who, rest, was_wrong: false }
    }

    /// Counts one more. How long its maker has to wait, if there are too many.
    fn count(&self, who: &Who, now: Instant) -> Option<Duration> {
        let is_over = |count: &Count| now.duration_since(count.since) >= WITHIN;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= ROOM && !counts.contains_key(who) {
            counts.retain(|_, count| !is_over(count));
            if counts.len() >= ROOM {
                return Some(WITHIN);
            }
        }
        let count = counts.entry(who.clone()).or_insert(Count { since: now, wrong: 0 });
        if is_over(count) {
            *count = Count { since: now, wrong: 0 };
        }
        count.wrong = count.wrong.saturating_add(1);
        (count.wrong > self.most).then(|| WITHIN.saturating_sub(now.duration_since(count.since)))
    }

    fn take_back(&self, who: &Who) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(who) {
            count.wrong = count.wrong.saturating_sub(1);
            if count.wrong == 0 {
                counts.remove(who);
            }
        }
    }
}

/// One try, while it is checked.
pub struct Try<'t> {
    tries: &'t Tries,
    who: Who,
    /// There were too many before, for so much longer.
    rest: Option<Duration>,
    was_wrong: bool,
}

impl Try<'_> {
    /// It was wrong, and stays counted.
    ///
    /// Errors: there were too many. The answer is late, and says when to come back.
    pub fn wrong(mut self) -> Result<(), Problem> {
        self.was_wrong = true;
        self.tries.board.metrics.wrong(self.tries.what);
        let Some(rest) = self.rest else { return Ok(()) };
        // Whole seconds, and not before the time is over.
        let seconds = rest.as_secs() + u64::from(rest.subsec_nanos() > 0);
        let what = format!("that was wrong, like more than {} tries within {}", self.tries.most, span(WITHIN));
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, what).retry_after(seconds.max(1)).late())
    }

    /// What came of a claim: of what is not there, or not any more, is wrong.
    ///
    /// Errors: those of the claim; or there were too many that were wrong.
    pub fn judge<T>(self, claimed: Result<T, Failure>) -> Result<T, Problem> {
        if let Err(Failure { class: Class::Missing | Class::Conflict, .. }) = &claimed {
            self.wrong()?;
        }
        claimed.map_err(Problem::from)
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if !self.was_wrong {
            self.tries.take_back(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn tries() -> Tries {
        Tries::new(Wrong::Secret, 5, Arc::new(Board::new("development", "KSESSIONS_DEV")))
    }

    fn peer(number: u32) -> Peer {
        Peer::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn is_told(one: Try<'_>) -> bool {
        one.wrong().is_ok()
    }

    #[test]
    fn of_many_wrong_ones_at_once_few_are_told_so() {
        let tries = tries();
        let at_once: Vec<Try<'_>> = (0..60).map(|_| tries.begin(Some("app"), peer(1))).collect();
        assert_eq!(at_once.into_iter().map(is_told).filter(|told| *told).count(), 5);
        // Another token, and the same from elsewhere, are others.
        assert!(is_told(tries.begin(Some("other"), peer(1))) && is_told(tries.begin(Some("app"), peer(2))));
    }

    #[test]
    fn what_is_right_does_not_count_however_often() {
        let tries = tries();
        (0..1000).for_each(|_| drop(tries.begin(Some("app"), peer(1))));
        assert!(tries.counts.lock().unwrap().is_empty());
        assert!((0..5).all(|_| is_told(tries.begin(Some("app"), peer(1)))));
        (0..1000).for_each(|_| drop(tries.begin(Some("app"), peer(1))));
        assert!(!is_told(tries.begin(Some("app"), peer(1))));
    }

    #[test]
    fn a_window_opens_with_the_first_and_closes_by_itself() {
        let (tries, now) = (tries(), Instant::now());
        let who = Who { token: None, peer: peer(1) };
        assert!((0..5).all(|second| tries.count(&who, now + Duration::from_secs(second)).is_none()));
        assert_eq!(tries.count(&who, now + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(tries.count(&who, now + WITHIN), None);
    }

    #[test]
    fn there_is_no_room_without_end_and_who_finds_none_is_not_told() {
        let (tries, now) = (tries(), Instant::now());
        let who = |number| Who { token: None, peer: peer(number) };
        assert!((0..10_000).all(|number| tries.count(&who(number), now).is_none()));
        assert!(tries.count(&who(10_000), now).is_some() && tries.count(&who(7), now).is_none());
        assert_eq!(tries.counts.lock().unwrap().len(), ROOM);
        assert!(tries.count(&who(10_000), now + WITHIN).is_none());
        assert_eq!(tries.counts.lock().unwrap().len(), 1);
    }
}
