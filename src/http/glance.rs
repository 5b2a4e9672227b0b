//! How things stand, looked up once for all who ask at the same time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::board::Board;
use crate::change::span;
use crate::failure::{Failure, Result};
use crate::turn::World;
use crate::turn::status::Status;

/// How long the database is asked. What it did not say by then nobody knows, for as long as a glance is good.
const LOOK: Duration = Duration::from_secs(3);

/// Shared by all who ask.
pub struct Glance {
    world: Arc<World>,
    board: Arc<Board>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    status: Arc<Result<Status>>,
    /// What the board had counted before.
    news: u64,
    at: Instant,
}

impl Glance {
    pub fn new(world: Arc<World>, board: Arc<Board>) -> Self {
        Self { world, board, kept: Mutex::default() }
    }

    /// How things stand, or why nobody knows: looked up less than `fresh` ago, and since something happened here last.
    pub async fn status(&self, fresh: Duration) -> Arc<Result<Status>> {
        let mut kept = self.kept.lock().await;
        let news = *self.board.news().borrow();
        if let Some(known) = kept.as_ref()
            && known.news == news
            && known.at.elapsed() < fresh
        {
            return Arc::clone(&known.status);
        }
        let status = tokio::time::timeout(LOOK, self.world.status()).await.unwrap_or_else(|_| {
            let mut silent = Failure::error(format!("the database does not answer within {}", span(LOOK)));
            silent.is_away = true;
            Err(silent)
        });
        let status = Arc::new(status);
        *kept = Some(Kept { status: Arc::clone(&status), news, at: Instant::now() });
        status
    }
}
