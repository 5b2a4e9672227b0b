//! One survey for all who read: made by one of them at a time, and only while somebody asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::asked::Asked;
use super::board::Board;
use crate::failure::Result;
use crate::turn::World;
use crate::turn::list::Page;
use crate::turn::survey::Survey;

/// A survey is good for so long, unless a turn happens;
const FRESH: Duration = Duration::from_secs(5);
/// and for so many times as long as it took to make: where there are a million resources, readers who ask again and again
/// take at most a tenth of the time.
const REST: u32 = 9;
/// One that nobody can be given any more is let go after so long.
const KEPT: Duration = Duration::from_secs(60);

/// Keeps the survey that was made last.
pub struct Lookout {
    world: Arc<World>,
    board: Arc<Board>,
    /// Shared with whoever else makes plans: one takes as much memory as a turn.
    plans: Arc<Semaphore>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    survey: Arc<Survey>,
    /// What the board had counted before it was made.
    news: u64,
    made_at: Instant,
    good_for: Duration,
}

impl Lookout {
    pub fn new(world: Arc<World>, board: Arc<Board>, plans: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self { world, board, plans, kept: Mutex::default() })
    }

    /// How everything stands. Waits where another is making it. `None`: the daemon is about to end.
    pub async fn survey(self: &Arc<Self>) -> Option<Arc<Survey>> {
        let mut kept = self.kept.lock().await;
        let news = *self.board.news().borrow();
        if let Some(known) = kept.as_ref()
            && known.news == news
            && known.made_at.elapsed() < known.good_for
        {
            return Some(Arc::clone(&known.survey));
        }
        // Let go before the next is made, so that there are not two of them.
        *kept = None;
        let _place = self.plans.acquire().await.ok()?;
        let begun = Instant::now();
        let survey = Arc::new(self.world.survey().await);
        let made_at = Instant::now();
        let good_for = FRESH.max((made_at - begun) * REST);
        *kept = Some(Kept { survey: Arc::clone(&survey), news, made_at, good_for });
        drop(kept);
        tokio::spawn(Arc::clone(self).let_go(made_at, KEPT.max(good_for)));
        Some(survey)
    }

    /// A page of the resources that the survey has. Of what no file names it looks into the database: one of the few who
    /// may at once. `None`: the daemon is about to end.
    pub async fn page(&self, survey: &Arc<Survey>, asked: &Asked) -> Option<Result<Page>> {
        let (shared, asked) = (Arc::clone(survey), asked.clone());
        // Of a million resources, a search takes longer than other requests should wait for a thread.
        let found = tokio::task::spawn_blocking(move || {
            let inventory = shared.inventory.as_ref().ok()?;
            let declared = inventory.declared(&asked.filter, asked.after.as_ref(), asked.limit + 1);
            Some((declared, asked))
        });
        let (declared, Asked { filter, after, limit }) = found.await.ok()??;
        let inventory = survey.inventory.as_ref().ok()?;
        let _place = match inventory.has_strangers(&filter) {
            true => Some(self.plans.acquire().await.ok()?),
            false => None,
        };
        Some(self.world.page(inventory, declared, &filter, after.as_ref(), limit).await)
    }

    /// Lets the survey go that was made then, if it is still kept after so long.
    async fn let_go(self: Arc<Self>, made_at: Instant, after: Duration) {
        tokio::time::sleep(after).await;
        self.kept.lock().await.take_if(|kept| kept.made_at == made_at);
    }
}
