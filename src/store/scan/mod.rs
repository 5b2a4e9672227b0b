//! Reading many rows without keeping any: each is handed over as it arrives, and gone before the next.
//!
//! Both databases send rows as parts, each of many tuples of PostgreSQL's binary `COPY`, so that one reader serves both.
//! PostgreSQL writes that format itself, which costs the server and us half of what typed rows of a query do (a million
//! sessions: 0.7 s and 1.5 s); SQLite is asked for something like it, as `pack` tells. Whoever reads and whoever compares
//! work side by side; between them waits no more than a limited number of bytes.

pub mod cells;
mod copy;
mod pack;
mod part;
mod time;

pub use cells::Cells;
pub(super) use part::{Inlet, Outlet, channel};

use super::sql::{Conn, limited};

/// What is read of a table: all of it is text of this program.
pub struct Selection {
    pub table: &'static str,
    /// In the order in which [`Cells`] gives their values.
    pub columns: &'static [Column],
    /// Which rows; `TRUE` for all.
    pub filter: &'static str,
}

/// A column's name, and what it holds.
#[derive(Clone, Copy)]
pub enum Column {
    /// A `BIGINT` that is never NULL.
    Int(&'static str),
    /// Text that is never NULL.
    Text(&'static str),
    /// A time, or NULL.
    Time(&'static str),
}

impl Column {
    fn name(self) -> &'static str {
        let (Column::Int(name) | Column::Text(name) | Column::Time(name)) = self;
        name
    }
}

impl Selection {
    fn names(&self) -> String {
        self.columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
    }

    /// The query, which takes no arguments and ends without a semicolon.
    fn select(&self) -> String {
        format!("SELECT {} FROM {} WHERE {}", self.names(), self.table, self.filter)
    }
}

/// Hands every selected row to `each`, in no particular order. Assumes a transaction, so that all are of one state.
///
/// Errors: what the database says, or `each`.
pub async fn scan(
    conn: &mut Conn,
    selection: &Selection,
    each: impl FnMut(&mut Cells<'_>) -> Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    let (outlet, mut inlet) = channel();
    let ((), ()) = tokio::try_join!(send(conn, selection, outlet), inlet.each(each))?;
    Ok(())
}

/// Sends all selected rows, and ends early where nobody takes them.
pub(super) async fn send(conn: &mut Conn, selection: &Selection, outlet: Outlet) -> Result<(), sqlx::Error> {
    match conn {
        Conn::Sqlite(conn) => pack::send(conn.get()?, selection, &outlet).await,
        Conn::Postgres(conn, limit) => limited(*limit, copy::send(conn, selection, &outlet)).await,
    }
}

/// `pick!(conn, postgres, sqlite, keys, a)` gives the rows of the statement of the database at hand, as `fetch!` does.
/// The two texts differ in nothing but how they take the list `keys`, which is `$1`: as an array, or as a JSON array.
macro_rules! pick {
    ($conn:expr, $postgres:expr, $sqlite:expr, $keys:expr $(, $arg:expr)* $(,)?) => {
        match $conn {
            $crate::store::sql::Conn::Sqlite(conn) => {
                let keys = serde_json::json!($keys).to_string();
                match conn.get() {
                    Ok(conn) => sqlx::query($sqlite).bind(keys)$(.bind($arg))*.fetch_all(conn).await
                        .map(|rows| rows.into_iter().map($crate::store::sql::Row::Sqlite).collect::<Vec<_>>()),
                    Err(error) => Err(error),
                }
            }
            $crate::store::sql::Conn::Postgres(conn, limit) => $crate::store::sql::limited(
                *limit, sqlx::query($postgres).bind($keys)$(.bind($arg))*.fetch_all(&mut **conn)).await
                .map(|rows| rows.into_iter().map($crate::store::sql::Row::Postgres).collect::<Vec<_>>()),
        }
    };
}

pub(crate) use pick;
