//! Reading one picture, and writing in guarded transactions.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::connect::Database;
use super::error::{Error, Result};
use super::file::Freshness;
use super::migrate;
use super::spare::Spare;
use super::sql::{Conn, Id, begin_to_write, execute, fetch, now};
use super::stamp::{self, Stamp};
use crate::guard::Target;

const CHECK: &str = "check the lease";

/// A read-only transaction: one consistent picture of the database. Planning cannot write, because it has nothing else.
pub struct Snapshot {
    conn: Conn,
    freshness: Freshness,
    home: Arc<Spare>,
}

impl Snapshot {
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// To be called after the last row has been read: whether the picture was one.
    ///
    /// Errors: [`Error::Conflict`] where the database changed under the reader: look again.
    pub async fn finish(self) -> Result<()> {
        let Self { mut conn, freshness, home } = self;
        if execute!(&mut conn, "COMMIT").is_ok() {
            home.put(conn).await;
        }
        freshness.confirm()
    }
}

/// Who writes, and by what right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The applier of this moment: its fencing number is compared at the beginning of every transaction, and at its end
    /// again with the lease's row locked. Until then the lock is free, so that two transactions of one applier can be
    /// under way side by side.
    Lease { holder: String, fencing: i64 },
    /// A command by hand, serialised by the expectation in each of its statements.
    ByHand,
}

/// What the journal says of every change of one run.
#[derive(Clone, Debug)]
pub struct Context {
    pub run: Id,
    pub environment: String,
    pub actor: String,
    pub revision: String,
}

/// A writing transaction. Guarantees: the database's stamp and the writer's authority were checked inside of it, and
/// nothing is committed by whom another has taken the lease from; what is not committed is rolled back, because the
/// connection goes with it.
pub struct Tx {
    conn: Conn,
    authority: Authority,
    context: Context,
    at: DateTime<Utc>,
    home: Arc<Spare>,
}

impl Tx {
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// The time of the transaction, the same for all of its rows.
    pub fn now(&self) -> DateTime<Utc> {
        self.at
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether a command writes, and not the applier.
    pub fn is_manual(&self) -> bool {
        self.authority == Authority::ByHand
    }

    /// Makes all of it durable. Under a lease this is a heartbeat.
    ///
    /// Errors: [`Error::LeaseLost`] when somebody took over meanwhile; whatever the database says.
    pub async fn commit(self) -> Result<()> {
        let home = Arc::clone(&self.home);
        home.put(self.commit_and_keep().await?).await;
        Ok(())
    }

    /// As [`Tx::commit`], and gives the connection back.
    pub async fn commit_and_keep(mut self) -> Result<Conn> {
        match self.end().await {
            Ok(()) => Ok(self.conn),
            Err(error) => {
                self.conn.close().await;
                Err(error)
            }
        }
    }

    async fn end(&mut self) -> Result<()> {
        if let Authority::Lease { holder, fencing } = &self.authority {
            let held = execute!(
                &mut self.conn,
                "UPDATE reconcile_lease SET heartbeat = heartbeat + 1
                 WHERE lease_id = 1 AND holder = $1 AND fencing = $2",
                holder,
                fencing,
            );
            if held.map_err(Error::query(CHECK))? != 1 {
                return Err(Error::LeaseLost);
            }
        }
        execute!(&mut self.conn, "COMMIT").map(drop).map_err(Error::query("commit"))
    }
}

impl Database {
    /// One picture of the database; `None` where there is no database, or none with our schema, yet.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>> {
        if let Some(conn) = self.spares.readers.take()
            && let Ok(found) = self.snapshot_on(conn, Freshness::held()).await
        {
            return Ok(found);
        }
        // A connection that was kept may be dead by now: what a new one says counts.
        let Some((conn, freshness)) = self.read_fresh().await? else { return Ok(None) };
        self.snapshot_on(conn, freshness).await
    }

    async fn snapshot_on(&self, mut conn: Conn, freshness: Freshness) -> Result<Option<Snapshot>> {
        let begin = match &conn {
            Conn::Sqlite(_) => "BEGIN",
            Conn::Postgres(..) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        execute!(&mut conn, begin).map_err(Error::query("begin to read"))?;
        self.check(&mut conn).await?;
        let home = Arc::clone(&self.spares.readers);
        Ok(migrate::is_current(&mut conn).await?.then_some(Snapshot { conn, freshness, home }))
    }

    /// How many transactions may write side by side to some purpose: SQLite has one writer at a time.
    pub fn writers(&self) -> usize {
        match self.target() {
            Target::Sqlite(_) => 1,
            Target::Postgres(_) => Spare::MOST,
        }
    }

    /// Begins to write.
    ///
    /// Errors: the stamp says another environment, the lease was lost, or the database does not answer.
    pub async fn begin(&self, authority: &Authority, context: &Context) -> Result<Tx> {
        if let Some(conn) = self.spares.writers.take() {
            match self.begin_on(conn, authority, context).await {
                // A connection that was kept may be dead by now: what a new one says counts.
                Err(error) if error.is_of_the_connection() => {}
                begun => return begun,
            }
        }
        self.begin_on(self.write().await?, authority, context).await
    }

    /// Begins to write by stamping the database anew: the one way past a stamp of another environment or server.
    pub async fn restamp(&self, context: &Context) -> Result<(Tx, Stamp)> {
        let mut conn = self.write().await?;
        begin_to_write(&mut conn).await.map_err(Error::query("begin to write"))?;
        let stamp = stamp::restamp(&mut conn, self, &context.actor).await?;
        Ok((self.transaction(conn, &Authority::ByHand, context), stamp))
    }

    /// As [`Database::begin`], on a connection that is there already.
    pub async fn begin_on(&self, mut conn: Conn, authority: &Authority, context: &Context) -> Result<Tx> {
        begin_to_write(&mut conn).await.map_err(Error::query("begin to write"))?;
        if !migrate::is_current(&mut conn).await? {
            return Err(Error::SchemaMissing);
        }
        stamp::check_stamp(&mut conn, self).await.map(drop)?;
        if let Authority::Lease { holder, fencing } = authority {
            let held = fetch!(
                &mut conn,
                "SELECT 1 AS held FROM reconcile_lease WHERE lease_id = 1 AND holder = $1 AND fencing = $2",
                holder,
                fencing,
            );
            if held.map_err(Error::query(CHECK))?.is_empty() {
                return Err(Error::LeaseLost);
            }
        }
        Ok(self.transaction(conn, authority, context))
    }

    fn transaction(&self, conn: Conn, authority: &Authority, context: &Context) -> Tx {
        let (authority, context) = (authority.clone(), context.clone());
        Tx { conn, authority, context, at: now(), home: Arc::clone(&self.spares.writers) }
    }
}
