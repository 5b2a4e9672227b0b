//! The heartbeat of a lease, in a task of its own, so that a long turn does not look like a death.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::store::Context;
use crate::store::error::Error;
use crate::store::lease::Lease;
use crate::turn::World;

/// Beats five times in the life of the lease, until it is stopped or dropped.
pub struct Heart {
    task: JoinHandle<Error>,
}

impl Heart {
    pub fn start(world: Arc<World>, lease: Arc<Lease>, context: Context) -> Self {
        Self { task: tokio::spawn(beat(world, lease, context)) }
    }

    /// Waits until it has stopped by itself: the lease was lost, or the database is away. Not to be called again then.
    pub async fn stopped(&mut self) {
        match (&mut self.task).await {
            Ok(error) => tracing::debug!("the heartbeat stopped: {}", error.chain()),
            Err(error) => tracing::error!("the heartbeat failed: {error}"),
        }
    }

    /// Stops it. Nothing of it is under way afterwards.
    pub async fn stop(mut self) {
        self.task.abort();
        if !self.task.is_finished() {
            drop((&mut self.task).await);
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A beat that meets a lock is not the last one. When the server is away, whoever takes the turns asks for it again:
/// two who ask would ask too often.
async fn beat(world: Arc<World>, lease: Arc<Lease>, context: Context) -> Error {
    let mut pulse = tokio::time::interval(world.config.lease / 5);
    pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        match lease.beat(&world.database, &context).await {
            Ok(()) => {}
            Err(error) if error.stops_everybody() || error.is_away() => return error,
            Err(error) => tracing::debug!("a heartbeat failed: {}", error.chain()),
        }
    }
}
