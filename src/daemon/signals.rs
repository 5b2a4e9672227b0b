//! What the daemon is told from outside by signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result};

/// Signals that are caught from now on. One that comes while nobody waits is told at the next call.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
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
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// Waits for any of them.
    pub async fn any(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Look,
        }
    }

    /// Waits to be told to end. A request to look stays for later.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
