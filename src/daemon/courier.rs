//! Whoever carries messages to their receivers, in a task of its own: a receiver that is slow holds up no turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::store::Context;
use crate::store::lease::Lease;
use crate::store::sql::now;
use crate::turn::World;

/// After trouble with the database, which the turns look after, so long.
const PAUSE: Duration = Duration::from_secs(30);

/// Delivers until it is dropped.
pub struct Courier {
    task: JoinHandle<()>,
    new: Arc<Notify>,
}

impl Courier {
    /// `None`: there is nobody to tell.
    pub fn start(world: &Arc<World>, lease: &Arc<Lease>, context: &Context) -> Option<Self> {
        if world.config.receivers.is_empty() {
            return None;
        }
        let new = Arc::new(Notify::new());
        let carrying = carry(Arc::clone(world), Arc::clone(lease), context.clone(), Arc::clone(&new));
        Some(Self { task: tokio::spawn(carrying), new })
    }

    /// There may be something to deliver.
    pub fn wake(&self) {
        self.new.notify_one();
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(world: Arc<World>, lease: Arc<Lease>, context: Context, new: Arc<Notify>) {
    loop {
        let wait = match world.deliver(&lease.authority(), &context).await {
            Ok(Some(next)) => (next - now()).to_std().unwrap_or_default(),
            // Until there is something.
            Ok(None) => Duration::MAX,
            Err(failure) => {
                tracing::debug!("messages cannot be delivered: {}", failure.line());
                PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = new.notified() => {}
        }
    }
}
