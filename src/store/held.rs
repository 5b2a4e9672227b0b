//! An open SQLite file that is closed in order whatever becomes of whoever has it.
//!
//! The driver closes a connection that is dropped in a thread of its own, and nobody can wait for that. A program that
//! ended meanwhile would leave the file's log behind, which its last writer is to tidy up: the next reader, who must not
//! leave a trace, could not read the file.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Connections on their way to being closed.
static CLOSING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// A connection; dropped, it is closed in the background.
pub struct Held(Option<Box<SqliteConnection>>);

impl Held {
    pub(super) fn new(conn: SqliteConnection) -> Self {
        Self(Some(Box::new(conn)))
    }

    /// Errors: it is closed.
    pub fn get(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::WorkerCrashed)
    }

    /// Closes it in order.
    pub(super) async fn close(mut self) -> Result<(), sqlx::Error> {
        match self.0.take() {
            Some(conn) => conn.close().await,
            None => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (Some(conn), Ok(runtime)) = (self.0.take(), Handle::try_current()) else { return };
        let closing = runtime.spawn(async move {
            if let Err(error) = conn.close().await {
                tracing::debug!(%error, "a connection did not close in order");
            }
        });
        let mut all = CLOSING.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| !one.is_finished());
        all.push(closing);
    }
}

/// Waits until all connections that were dropped are closed, for a second at most. To be called before the program ends.
pub async fn all_closed() {
    const LIMIT: Duration = Duration::from_secs(1);
    let all = std::mem::take(&mut *CLOSING.lock().unwrap_or_else(PoisonError::into_inner));
    let waiting = async {
        for one in all {
            drop(one.await);
        }
    };
    drop(tokio::time::timeout(LIMIT, waiting).await);
}
