//! How long trouble is left alone before the next attempt: jittered, so that many daemons do not come back at the same
//! moment, and by what ends it.

use std::time::Duration;

use crate::store::error::Trouble;

/// Between two attempts: at least, whatever the trouble.
pub const LEAST: Duration = Duration::from_secs(1);
/// Between two attempts while something is away for long, unless the timer is due sooner.
const MOST: Duration = Duration::from_secs(30);
/// A pause of transient trouble is up to so many times its step long.
const SPREAD: f64 = 1.5;

/// How long the next pause is.
#[derive(Clone, Debug)]
pub struct Backoff {
    /// Between two turns that nothing has asked for.
    interval: Duration,
    /// What the next pause of transient trouble begins from; it doubles with each.
    step: Duration,
}

impl Backoff {
    pub fn new(interval: Duration) -> Self {
        Self { interval, step: LEAST }
    }

    /// The trouble is over.
    pub fn reset(&mut self) {
        self.step = LEAST;
    }

    /// Until the next attempt. `dice`: from 0 to 1, thrown anew for each pause.
    ///
    /// Guarantees: at least a second; and no more than one timer period of at least that, and its jitter, so that
    /// whatever has ended meanwhile is found within two.
    pub fn pause(&mut self, trouble: Trouble, dice: f64) -> Duration {
        match trouble {
            Trouble::Contention => LEAST.mul_f64(1.0 + dice * (SPREAD - 1.0)),
            Trouble::Transient => {
                let most = MOST.min(self.interval).div_f64(SPREAD).max(LEAST);
                let step = self.step.min(most);
                self.step = (step * 2).min(most);
                step.mul_f64(1.0 + dice * (SPREAD - 1.0))
            }
            Trouble::Lasting => period(self.interval, dice).max(LEAST),
        }
    }
}

/// One period of the timer: a tenth more or less.
pub fn period(interval: Duration, dice: f64) -> Duration {
    interval.mul_f64(0.9 + dice * 0.2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TROUBLES: [Trouble; 3] = [Trouble::Contention, Trouble::Transient, Trouble::Lasting];

    fn seconds(pause: Duration) -> f64 {
        pause.as_secs_f64()
    }

    proptest! {
        #[test]
        fn no_pause_is_under_a_second_and_none_outlasts_the_timer(
            interval in 1_000_u64..86_400_000,
            troubles in proptest::collection::vec((0_usize..3, 0.0..=1.0), 1..40),
        ) {
            let interval = Duration::from_millis(interval);
            let mut backoff = Backoff::new(interval);
            for (trouble, dice) in troubles {
                let pause = backoff.pause(TROUBLES[trouble], dice);
                prop_assert!(pause >= LEAST, "{pause:?}");
                // A timer of a second is no longer than a pause has to be.
                let most = interval.max(LEAST).mul_f64(SPREAD.max(1.1));
                prop_assert!(pause <= most, "{pause:?} of {interval:?}");
                if TROUBLES[trouble] != Trouble::Lasting {
                    prop_assert!(pause <= MOST, "{pause:?}");
                }
            }
        }

        #[test]
        fn transient_trouble_is_asked_ever_more_seldom_until_it_is_over(
            interval in 1_u64..86_400,
            dice in proptest::collection::vec(0.0..=1.0, 8..20),
        ) {
            let mut backoff = Backoff::new(Duration::from_secs(interval));
            let pauses: Vec<_> = dice.iter().map(|_| backoff.pause(Trouble::Transient, 0.0)).collect();
            prop_assert!(pauses.is_sorted(), "{pauses:?}");
            let last = *pauses.last().unwrap();
            let most = Duration::from_secs(interval.min(30)).div_f64(SPREAD).max(LEAST);
            prop_assert_eq!(last, most);
            let jittered = backoff.clone().pause(Trouble::Transient, dice[0]);
            prop_assert!(seconds(jittered) <= seconds(last) * SPREAD + 1e-6 && jittered >= last, "{jittered:?}");
            backoff.reset();
            prop_assert_eq!(backoff.pause(Trouble::Transient, 0.0), LEAST);
        }

        #[test]
        fn the_pauses_of_two_daemons_differ(one in 0.0..0.45, more in 0.01..0.5) {
            for trouble in TROUBLES {
                let pause = |dice| Backoff::new(Duration::from_secs(60)).pause(trouble, dice);
                prop_assert!(pause(one) < pause(one + more), "{trouble:?}");
            }
        }
    }

    #[test]
    fn contention_is_tried_again_soon_however_often_it_is_met() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        for _ in 0..10 {
            assert!(backoff.pause(Trouble::Contention, 1.0) <= LEAST.mul_f64(SPREAD));
        }
        assert_eq!(backoff.pause(Trouble::Transient, 0.0), LEAST, "it has not grown meanwhile");
    }

    #[test]
    fn what_needs_somebody_waits_for_the_timer() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        for dice in [0.0, 1.0] {
            let pause = backoff.pause(Trouble::Lasting, dice);
            assert!((54.0..=66.0).contains(&seconds(pause)), "{pause:?}");
        }
    }
}
