//! What the daemon is told from outside by signals.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result};

static CAUGHT: AtomicBool = AtomicBool::new(false);

/// Whether somebody in this process minds signals by [`Signals`].
pub fn are_caught() -> bool {
    CAUGHT.load(Ordering::Relaxed)
}

/// Signals that are caught from now on. One that comes while nobody waits is told at the next call.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// How often the end was asked for.
    ends: u32,
}

/// What one of them asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    End,
    Look,
}

impl Signals {
    /// Errors: the system gives no signals.
    pub fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).map_err(|error| Failure::error(format!("signals cannot be received: {error}")));
        let (terminate, interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
        let signals = Self { terminate, interrupt, hangup: catch(SignalKind::hangup())?, ends: 0 };
        CAUGHT.store(true, Ordering::Relaxed);
        Ok(signals)
    }

    /// Waits for any of them.
    pub async fn any(&mut self) -> Told {
        let Self { terminate, interrupt, hangup, ends } = self;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => return Told::Look,
        }
        *ends += 1;
        Told::End
    }

    /// Waits to be told to end. A request to look stays for later.
    pub async fn end(&mut self) {
        let Self { terminate, interrupt, hangup: _, ends } = self;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        *ends += 1;
    }

    /// Whether the end was asked for more than once: then nothing is waited for.
    pub fn are_urgent(&self) -> bool {
        self.ends > 1
    }
}
