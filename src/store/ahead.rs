//! Rows that are under way before it is known what they are to be compared with.
//!
//! A database needs as long to send a million rows as we need to read the files that declare them. So it begins while
//! the files are still being read; what comes too early waits, up to a limit, and then the database waits. Planning a
//! million sessions on PostgreSQL takes 0.7 s so, and 1.0 s one after the other.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::connect::Database;
use super::error::{Error, Result};
use super::scan::{Cells, Inlet, Selection, channel, send};
use super::tx::Snapshot;

/// A snapshot that is being read.
pub struct Ahead {
    inlet: Inlet,
    task: JoinHandle<Result<Option<Snapshot>>>,
}

impl Ahead {
    /// Begins to read the selected rows, as [`super::scan::scan`] does.
    pub fn begin(database: &Arc<Database>, selection: &'static Selection) -> Self {
        let (outlet, inlet) = channel();
        let database = Arc::clone(database);
        let task = tokio::spawn(async move {
            let Some(mut snapshot) = database.snapshot().await? else { return Ok(None) };
            send(snapshot.conn(), selection, outlet).await.map_err(Error::query("read rows ahead"))?;
            Ok(Some(snapshot))
        });
        Self { inlet, task }
    }

    /// Hands every row to `each`; then gives the snapshot that they are from. `None` where there is none, as
    /// [`Database::snapshot`] says.
    ///
    /// Errors: what the database says, or `each`.
    pub async fn rows(
        mut self,
        each: impl FnMut(&mut Cells<'_>) -> std::result::Result<(), sqlx::Error>,
    ) -> Result<Option<Snapshot>> {
        self.inlet.each(each).await.map_err(Error::query("read rows ahead"))?;
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
