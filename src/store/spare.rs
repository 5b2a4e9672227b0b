//! Connections to PostgreSQL that are kept from one transaction to the next: to make and to prove one takes longer than
//! all that a small turn does with it.
//!
//! What a connection has proved when it was made holds for as long as it lives;
//! the stamp is read again in every transaction all the same. A SQLite file is opened anew each time: it may have been
//! replaced, and its last writer tidies up.

use std::sync::{Arc, Mutex, PoisonError};

use super::sql::Conn;

#[derive(Default)]
pub struct Spares {
    pub readers: Arc<Spare>,
    pub writers: Arc<Spare>,
}

/// A place for as many connections as one process uses at once.
#[derive(Default)]
pub struct Spare(Mutex<Vec<Conn>>);

impl Spare {
    /// Most connections that are kept: two batches are written side by side.
    pub const MOST: usize = 2;

    /// A connection, if one is kept. It may have died meanwhile.
    pub fn take(&self) -> Option<Conn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a connection that is in no transaction, or closes it in order where none is to be kept.
    pub async fn put(&self, conn: Conn) {
        let surplus = match conn {
            Conn::Sqlite(_) => Some(conn),
            Conn::Postgres(..) => {
                let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                match kept.len() < Self::MOST {
                    true => {
                        kept.push(conn);
                        None
                    }
                    false => Some(conn),
                }
            }
        };
        if let Some(surplus) = surplus {
            surplus.close().await;
        }
    }
}
