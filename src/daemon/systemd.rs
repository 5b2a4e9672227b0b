//! What the service manager is told: ready, how it goes, still alive, ending. Where there is none, nobody is told.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon does its work; also one that follows another, or waits for its database.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// How it goes, on one line.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that we live, twice within the time that the manager waits for it (`WatchdogSec=`). It is to be awaited beside
/// the daemon's own loop, in one task, so that it falls silent when the loop hangs.
pub async fn watchdog() -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return std::future::pending().await;
    };
    let mut pulse = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        pulse.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}
