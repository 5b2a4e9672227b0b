//! Rows that are under way before it is known what they are to be compared with.
//!
//! PostgreSQL needs as long to send a million rows as we need to read the files that declare them. So it begins while
//! the files are still being read; what comes too early waits here, up to a limit, and then PostgreSQL waits. Planning a
//! million sessions takes 0.7 s so, and 1.0 s one after the other.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connect::Database;
use super::error::{Error, Result};
use super::scan::{Cells, copy_in_parts, tuples};
use super::sql::Conn;
use super::tx::Snapshot;

/// Parts that may wait; each has about 64 KiB.
const WAITING: usize = 384;

/// A snapshot that is being read.
pub struct Ahead {
    parts: mpsc::Receiver<Vec<u8>>,
    task: JoinHandle<Result<Option<Snapshot>>>,
}

impl Ahead {
    /// Begins to read all rows of `select`, as [`super::scan::scan`] does. `None` on SQLite, which hands over its rows at
    /// once.
    pub fn begin(database: &Arc<Database>, select: &'static str) -> Option<Self> {
        if database.driver() != "postgres" {
            return None;
        }
        let (sender, parts) = mpsc::channel(WAITING);
        let database = Arc::clone(database);
        let task = tokio::spawn(async move {
            let Some(mut snapshot) = database.snapshot().await? else { return Ok(None) };
            if let Conn::Postgres(conn, limit) = snapshot.conn() {
                copy_in_parts(conn, *limit, select, sender).await.map_err(Error::query("read rows ahead"))?;
            }
            Ok(Some(snapshot))
        });
        Some(Self { parts, task })
    }

    /// Hands every row to `each`; then gives the snapshot that they are from. `None` where there is none, as
    /// [`Database::snapshot`] says.
    ///
    /// Errors: what the database says, or `each`.
    pub async fn rows(
        mut self,
        mut each: impl FnMut(&mut Cells<'_>) -> std::result::Result<(), sqlx::Error>,
    ) -> Result<Option<Snapshot>> {
        while let Some(part) = self.parts.recv().await {
            tuples(&part, &mut each).map_err(Error::query("read rows ahead"))?;
        }
        let ended =
            |error| Error::query("read rows ahead")(sqlx::Error::Protocol(format!("the reader ended: {error}")));
        (&mut self.task).await.map_err(ended)?
    }
}

impl Drop for Ahead {
    /// Nobody wants the rest.
    fn drop(&mut self) {
        self.task.abort();
    }
}
