//! Changes that somebody else makes in the database, told by PostgreSQL itself (`LISTEN`); on SQLite the timer finds them.
//!
//! The driver listens only through a pool. This one has a single connection, which proves which database it is, as every
//! other does, before it is used; a notification is a hint and carries no data.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::connect::Database;
use super::session;
use crate::guard::{Admitted, Guard, Target};

/// What the triggers of the schema send to.
const CHANNEL: &str = "reconcile";
/// Between two attempts to listen.
const PATIENCE: Duration = Duration::from_secs(5);

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
    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
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
                options: session::driver_options(target, database.options()),
                limit: database.options().connect_timeout,
                guard: database.guard().clone(),
                admitted: database.admitted().clone(),
            }),
        };
        Self { heard_from, listener: None }
    }

    /// Waits for a change. May be cancelled; what happened while nobody waited is told at the next call.
    pub async fn changed(&mut self) {
        let Some(source) = &self.heard_from else { return std::future::pending().await };
        loop {
            if self.listener.is_none() {
                match source.listen().await {
                    Ok(listener) => self.listener = Some(listener),
                    Err(error) => {
                        tracing::debug!("nobody listens to the database: {error}");
                        tokio::time::sleep(PATIENCE).await;
                        continue;
                    }
                }
            }
            let Some(listener) = &mut self.listener else { continue };
            match listener.try_recv().await {
                Ok(Some(_)) => return,
                // The connection broke: something may have been missed, so it counts as a change.
                Ok(None) | Err(_) => {
                    self.listener = None;
                    tokio::time::sleep(PATIENCE).await;
                    return;
                }
            }
        }
    }
}
