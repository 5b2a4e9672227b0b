//! What a running daemon is told of the database: changes that somebody else makes, by PostgreSQL itself (`LISTEN`), and
//! what a command has written that a turn has to heed, such as `resume`.
//!
//! On SQLite, where nobody listens, such a command writes its run's id into a file beside the database, the bell, at
//! which the daemon glances once a second; what others write there, the timer finds.
//!
//! The driver listens only through a pool. This one has a single connection, which proves which database it is, as every
//! other does, before it is used; a notification is a hint and carries no data.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::connect::Database;
use super::error::Error;
use super::sql::{Conn, execute};
use super::tx::Tx;
use crate::change::span;
use crate::driver;
use crate::file::{self, Rules};
use crate::guard::{Admitted, BELL, Guard, PostgresTarget, SqliteTarget, Target, companion};

/// What the triggers of the schema send to.
const CHANNEL: &str = "reconcile";
/// Between two attempts to listen.
const PATIENCE: Duration = Duration::from_secs(5);
/// Notifications of one burst follow each other within `QUIET`; one that does not end is told of after `AT_MOST`.
const QUIET: Duration = Duration::from_millis(20);
const AT_MOST: Duration = Duration::from_millis(250);

/// What the bell of a SQLite file is: a few bytes of ours alone.
const RULES: Rules = Rules::own(uuid::fmt::Hyphenated::LENGTH as u64);
/// Between two glances at it.
const GLANCE: Duration = Duration::from_secs(1);

/// Hears of changes, on either database.
pub enum Listener {
    Server {
        source: Box<Source>,
        listener: Option<PgListener>,
        /// A burst has begun that nobody was told of yet.
        heard: bool,
    },
    Bell(Bell),
}

/// Where to listen, and to prove that it is there.
pub struct Source {
    target: PostgresTarget,
    application_name: String,
    limit: Duration,
    guard: Guard,
    admitted: Admitted,
    /// When to ask again, if need be.
    rested: Instant,
}

impl Source {
    /// `None` also where it was asked a moment ago.
    async fn listen(&mut self) -> Option<PgListener> {
        let now = Instant::now();
        if now < self.rested {
            return None;
        }
        self.rested = now + PATIENCE;
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
            .connect_lazy_with(driver::options(&self.target, &self.application_name)?);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

/// The file beside a SQLite database whose content changes when the daemon is to look.
pub struct Bell {
    file: Option<PathBuf>,
    /// Its content when it rang last; `None`: it never did.
    seen: Option<Vec<u8>>,
}

impl Bell {
    /// What it holds; `None`: nothing, or not all of it yet. Held in memory by the file system, it is read at once.
    fn glance(&self) -> Option<Vec<u8>> {
        let read = file::read(self.file.as_ref()?, &RULES).ok().flatten();
        read.filter(|id| id.len() == uuid::fmt::Hyphenated::LENGTH)
    }

    async fn rung(&mut self) {
        loop {
            match self.glance() {
                Some(found) if self.seen.as_ref() != Some(&found) => {
                    self.seen = Some(found);
                    return;
                }
                _ => tokio::time::sleep(GLANCE).await,
            }
        }
    }
}

/// `None` where the guard refuses the file: then nothing is written either.
fn bell(database: &Database, target: &SqliteTarget) -> Option<PathBuf> {
    Some(companion(database.locate(target).ok()?.path(), BELL))
}

impl Database {
    /// As [`Tx::commit`], and wakes a running daemon, which hears nothing of what `reconcile` itself writes.
    ///
    /// Errors: those of the commit. That the daemon is not told is no error: it finds out by itself, later.
    pub async fn commit_aloud(&self, mut tx: Tx) -> Result<(), Error> {
        let run = tx.context().run.0.to_string();
        if let Conn::Postgres(..) = tx.conn() {
            execute!(tx.conn(), "SELECT pg_catalog.pg_notify($1, '')", CHANNEL)
                .map_err(Error::query("tell the daemon"))?;
        }
        tx.commit().await?;
        if let Target::Sqlite(target) = self.target()
            && let Some(bell) = bell(self, target)
            && let Err(fault) = file::rewrite(&bell, &RULES, run.as_bytes())
        {
            tracing::debug!("the daemon is not told at once: {}", fault.told());
        }
        Ok(())
    }
}

impl Listener {
    /// Connects to nothing yet.
    pub fn new(database: &Database) -> Self {
        match database.target() {
            Target::Sqlite(target) => Self::Bell(Bell { file: bell(database, target), seen: None }),
            Target::Postgres(target) => Self::Server {
                source: Box::new(Source {
                    target: target.clone(),
                    application_name: database.options().application_name.clone(),
                    limit: database.options().connect_timeout,
                    guard: database.guard().clone(),
                    admitted: database.admitted().clone(),
                    rested: Instant::now(),
                }),
                listener: None,
                heard: false,
            },
        }
    }

    /// Begins to listen, where nobody does yet: what happens from now on is told by [`Listener::changed`]. Where it
    /// fails, that tries again. Says whether it has begun now, so that what happened before was told to nobody.
    pub async fn open(&mut self) -> bool {
        match self {
            Self::Server { source, listener, heard: _ } if listener.is_none() => {
                *listener = source.listen().await;
                listener.is_some()
            }
            Self::Server { .. } => false,
            Self::Bell(bell) => {
                let is_first = bell.seen.is_none();
                bell.seen = bell.seen.take().or_else(|| bell.glance());
                is_first && bell.seen.is_some()
            }
        }
    }

    /// Waits for the next burst of changes to be over. May be cancelled; what happened while nobody waited is told at
    /// the next call. To be cut off, and to have begun listening again, count as changes, because one may have been
    /// missed; after a cut it is for the turn that follows to begin again, since the whole server may be away.
    pub async fn changed(&mut self) {
        match self {
            Self::Server { source, listener, heard } => {
                told(source, listener, heard).await;
                *heard = false;
            }
            Self::Bell(bell) => bell.rung().await,
        }
    }
}

/// Waits for the end of a burst. `begun` outlives a wait that is cancelled in the middle of one.
async fn told(source: &mut Source, listener: &mut Option<PgListener>, begun: &mut bool) {
    loop {
        let Some(listening) = listener else {
            *listener = source.listen().await;
            if listener.is_some() {
                return;
            }
            tokio::time::sleep(source.rested.saturating_duration_since(Instant::now())).await;
            continue;
        };
        if !*begun && !heard(listening).await {
            *listener = None;
            return;
        }
        *begun = true;
        let since = Instant::now();
        loop {
            match tokio::time::timeout(QUIET, heard(listening)).await {
                Ok(true) if since.elapsed() < AT_MOST => {}
                Ok(true) | Err(_) => return,
                Ok(false) => {
                    *listener = None;
                    return;
                }
            }
        }
    }
}

/// Waits for one notification; false when the connection broke.
async fn heard(listener: &mut PgListener) -> bool {
    matches!(listener.try_recv().await, Ok(Some(_)))
}
