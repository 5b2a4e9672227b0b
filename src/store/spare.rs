//! Connections to PostgreSQL that are kept from one transaction to the next: to make and to prove one takes longer than
//! all that a small turn does with it.
//!
//! One for readers and one for writers. What a connection has proved when it was made holds for as long as it lives;
//! the stamp is read again in every transaction all the same. A SQLite file is opened anew each time: it may have been
//! replaced, and its last writer tidies up.

use std::sync::{Arc, Mutex, PoisonError};

use super::sql::Conn;

#[derive(Default)]
pub struct Spares {
    pub readers: Arc<Spare>,
    pub writers: Arc<Spare>,
}

/// A place for one connection.
#[derive(Default)]
pub struct Spare(Mutex<Option<Conn>>);

impl Spare {
    /// The connection, if one is kept. It may have died meanwhile.
    pub fn take(&self) -> Option<Conn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps a connection that is in no transaction, or closes it in order where none is to be kept.
    pub async fn put(&self, conn: Conn) {
        let surplus = match conn {
            Conn::Sqlite(_) => Some(conn),
            Conn::Postgres(..) => self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(conn),
        };
        if let Some(surplus) = surplus {
            surplus.close().await;
        }
    }
}
