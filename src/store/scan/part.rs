//! Parts of a table on their way from whoever reads them to whoever takes them.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::cells::{Cells, tuples};

/// Bytes that may wait to be taken: what PostgreSQL sends of a million sessions while their files are being read.
const WAITING: u32 = 42 << 20;

/// What a row of the driver takes, about: each of its values is an allocation of SQLite's.
const ROW: usize = 1 << 10;

/// Several rows.
pub enum Part {
    /// Whole tuples of binary `COPY`.
    Tuples(Vec<u8>),
    /// Rows of SQLite as its driver gives them.
    Rows(Vec<SqliteRow>),
}

impl Part {
    fn size(&self) -> u32 {
        let size = match self {
            Part::Tuples(bytes) => bytes.capacity(),
            Part::Rows(rows) => rows.len().saturating_mul(ROW),
        };
        // A part that is larger than all the room is sent alone.
        u32::try_from(size).unwrap_or(u32::MAX).min(WAITING)
    }
}

/// Where parts go in.
pub struct Outlet {
    parts: mpsc::UnboundedSender<(Part, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// Where they come out.
pub struct Inlet(mpsc::UnboundedReceiver<(Part, OwnedSemaphorePermit)>);

/// A way for parts, which holds [`WAITING`] bytes.
pub fn channel() -> (Outlet, Inlet) {
    let (parts, taken) = mpsc::unbounded_channel();
    (Outlet { parts, room: Arc::new(Semaphore::new(WAITING as usize)) }, Inlet(taken))
}

impl Outlet {
    /// Waits for room, and sends.
    ///
    /// Errors: nobody takes parts any more.
    pub async fn send(&self, part: Part) -> Result<(), sqlx::Error> {
        let nobody = || sqlx::Error::Protocol("nobody wants the rows".to_owned());
        let room = Arc::clone(&self.room).acquire_many_owned(part.size()).await.map_err(|_| nobody())?;
        self.parts.send((part, room)).map_err(|_| nobody())
    }
}

impl Inlet {
    /// Hands every row to `each`, until the other end is gone.
    ///
    /// Errors: a part cannot be read, or what `each` says.
    pub async fn each(
        &mut self,
        mut each: impl FnMut(&mut Cells<'_>) -> Result<(), sqlx::Error>,
    ) -> Result<(), sqlx::Error> {
        while let Some((part, _room)) = self.0.recv().await {
            match part {
                Part::Tuples(bytes) => tuples(&bytes, &mut each)?,
                Part::Rows(rows) => rows.iter().try_for_each(|row| each(&mut Cells::Stepped(row, 0)))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_nobody_has_taken_yet_is_limited() {
        let (outlet, mut inlet) = channel();
        let large = || Part::Tuples(vec![0; (WAITING / 2 + 1) as usize]);
        outlet.send(large()).await.unwrap();
        let mut second = std::pin::pin!(outlet.send(large()));
        assert!(timeout(Duration::from_millis(20), &mut second).await.is_err(), "there is no room");
        drop(inlet.0.recv().await);
        second.await.unwrap();
        drop(inlet);
        assert!(outlet.send(large()).await.is_err(), "nobody takes it");
    }
}
