//! Changes that somebody else makes in the database, told by PostgreSQL itself (`LISTEN`); on SQLite the timer finds them.
//!
//! The driver listens only through a pool. This one has a single connection, which proves which database it is, as every
//! other does, before it is used; a notification is a hint and carries no data.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::connect::Database;

use crate::change::span;
use crate::driver;
use crate::guard::{Admitted, Guard, Target};

/// What the triggers of the schema send to.
const CHANNEL: &str = "reconcile";
/// Between two attempts to listen.
const PATIENCE: Duration = Duration::from_secs(5);
/// Notifications of one burst follow each other within `QUIET`; one that does not end is told of after `AT_MOST`.
const QUIET: Duration = Duration::from_millis(20);
const AT_MOST: Duration = Duration::from_millis(250);

/// Listens, or waits for ever where there is nothing to listen to.
pub struct Listener {
    heard_from: Option<Source>,
    listener: Option<PgListener>,
}

struct Source {
    options: PgConnectOptions,
    limit: Duration,
    guard: Guard,
    admitted: Admitted,
}

impl Source {
    async fn listen(&self) -> Option<PgListener> {
        let why = match tokio::time::timeout(self.limit, self.connect()).await {
            Ok(Ok(listener)) => return Some(listener),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {}", span(self.limit)),
        };
        tracing::debug!("changes of others in the database are found by looking alone: {why}");
        None
    }

    async fn connect(&self) -> Result<PgListener, sqlx::Error> {
        let (guard, admitted) = (self.guard.clone(), self.admitted.clone());
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.limit)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |conn, _| {
                let (guard, admitted) = (guard.clone(), admitted.clone());
                Box::pin(async move {
                    let sql = "SELECT pg_catalog.current_database()::text";
                    let reported: String = sqlx::query_scalar(sql).fetch_one(conn).await?;
                    guard.agree(&admitted, &reported).map_err(|refusal| sqlx::Error::Protocol(refusal.to_string()))
                })
            })
            .connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

impl Listener {
    /// Connects to nothing yet.
    pub fn new(database: &Database) -> Self {
        let heard_from = match database.target() {
            Target::Sqlite(_) => None,
            Target::Postgres(target) => Some(Source {
                options: driver::options(target, &database.options().application_name),
                limit: database.options().connect_timeout,
                guard: database.guard().clone(),
                admitted: database.admitted().clone(),
            }),
        };
        Self { heard_from, listener: None }
    }

    /// Begins to listen, where nobody does yet: what happens from now on is told by [`Listener::changed`]. Where it
    /// fails, that tries again.
    pub async fn open(&mut self) {
        if let (Some(source), None) = (&self.heard_from, &self.listener) {
            self.listener = source.listen().await;
        }
    }

    /// Waits for the next burst of changes to be over. May be cancelled; what happened while nobody waited is told at
    /// the next call. To have begun listening again counts as a change, because one may have been missed.
    pub async fn changed(&mut self) {
        let Some(source) = &self.heard_from else { return std::future::pending().await };
        loop {
            let Some(listener) = &mut self.listener else {
                self.listener = source.listen().await;
                if self.listener.is_some() {
                    return;
                }
                tokio::time::sleep(PATIENCE).await;
                continue;
            };
            if !heard(listener).await {
                self.listener = None;
                continue;
            }
            let begun = Instant::now();
            loop {
                match tokio::time::timeout(QUIET, heard(listener)).await {
                    Ok(true) if begun.elapsed() < AT_MOST => {}
                    Ok(true) | Err(_) => return,
                    Ok(false) => {
                        self.listener = None;
                        return;
                    }
                }
            }
        }
    }
}

/// Waits for one notification; false when the connection broke.
async fn heard(listener: &mut PgListener) -> bool {
    matches!(listener.try_recv().await, Ok(Some(_)))
}
