//! How a server is, from how it answered: with hysteresis, so that one lost packet does not move an instance, and one
//! lucky answer does not trust a server again.
//!
//! ```text
//! unknown ─ok─► healthy ─✗─► degraded ─✗✗─► unhealthy
//!                  ▲            │  ▲            │
//!                  └─────ok─────┘  └─────ok─────┘      (from unhealthy, two answers in a row lead back)
//! ```

use chrono::{DateTime, Utc};

/// Checks in a row that must fail until a server counts as down.
const DOWN_AFTER: i64 = 3;

/// How a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It was never asked.
    #[default]
    Unknown,
    Healthy,
    /// It failed lately: it keeps what it has, and is given no more.
    Degraded,
    Unhealthy,
}

impl Condition {
    pub fn word(self) -> &'static str {
        match self {
            Condition::Unknown => "unknown",
            Condition::Healthy => "healthy",
            Condition::Degraded => "degraded",
            Condition::Unhealthy => "unhealthy",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Condition::Unknown, Condition::Healthy, Condition::Degraded, Condition::Unhealthy]
            .into_iter()
            .find(|condition| condition.word() == word)
    }
}

/// What is remembered of a server's answers. Of a calm server nothing changes from check to check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub condition: Condition,
    /// Checks in a row that failed, 0 to 3.
    pub failures: i64,
    /// Since when it is in this condition.
    pub since: Option<DateTime<Utc>>,
    /// Why the last check failed, until one succeeds.
    pub last_error: Option<String>,
}

impl Health {
    /// Whether it may be given more.
    pub fn takes_more(&self) -> bool {
        matches!(self.condition, Condition::Unknown | Condition::Healthy)
    }

    /// The health after one more check, at `now`.
    pub fn judge(&self, answer: Result<(), String>, now: DateTime<Utc>) -> Self {
        let (condition, failures, last_error) = match answer {
            Ok(()) => match self.condition {
                Condition::Unhealthy => (Condition::Degraded, 0, None),
                Condition::Unknown | Condition::Healthy | Condition::Degraded => (Condition::Healthy, 0, None),
            },
            Err(why) => {
                let failures = (self.failures + 1).min(DOWN_AFTER);
                let down = failures == DOWN_AFTER || self.condition == Condition::Unhealthy;
                let condition = if down { Condition::Unhealthy } else { Condition::Degraded };
                (condition, failures, Some(why))
            }
        };
        let since = if condition == self.condition { self.since } else { Some(now) };
        Self { condition, failures, since, last_error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(answers: &[bool]) -> Vec<&'static str> {
        let mut health = Health::default();
        let step = |(minute, up): (usize, &bool)| {
            let now = DateTime::from_timestamp(minute as i64 * 60, 0).unwrap();
            health = health.judge(if *up { Ok(()) } else { Err("down".to_owned()) }, now);
            health.condition.word()
        };
        answers.iter().enumerate().map(step).collect()
    }

    #[test]
    fn it_falls_by_steps_and_comes_back_by_steps() {
        assert_eq!(after(&[true, true]), ["healthy", "healthy"]);
        assert_eq!(after(&[true, false, true]), ["healthy", "degraded", "healthy"]);
        assert_eq!(after(&[true, false, false, false]), ["healthy", "degraded", "degraded", "unhealthy"]);
        assert_eq!(
            after(&[false, false, false, true, true]),
            ["degraded", "degraded", "unhealthy", "degraded", "healthy"]
        );
        assert_eq!(
            after(&[false, false, false, true, false]),
            ["degraded", "degraded", "unhealthy", "degraded", "degraded"]
        );
    }

    #[test]
    fn a_calm_server_leaves_nothing_to_write() {
        let now = DateTime::from_timestamp(0, 0).unwrap();
        let later = DateTime::from_timestamp(60, 0).unwrap();
        let healthy = Health::default().judge(Ok(()), now);
        assert_eq!(healthy.judge(Ok(()), later), healthy);
        let mut down = healthy.clone();
        for _ in 0..3 {
            down = down.judge(Err("down".to_owned()), now);
        }
        assert_eq!(down.judge(Err("down".to_owned()), later), down);
        assert_eq!(down.since, Some(now));
        assert_eq!(down.last_error.as_deref(), Some("down"));
        assert!(!down.takes_more() && healthy.takes_more() && Health::default().takes_more());
    }
}
