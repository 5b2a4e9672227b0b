//! Reading one picture, and writing in guarded transactions.

use chrono::{DateTime, Utc};

use super::connect::Database;
use super::error::{Error, Result};
use super::file::Freshness;
use super::migrate;
use super::sql::{Conn, Id, begin_to_write, execute, now};
use super::stamp::{self, Stamp};

/// A read-only transaction: one consistent picture of the database. Planning cannot write, because it has nothing else.
pub struct Snapshot {
    conn: Conn,
    freshness: Freshness,
}

impl Snapshot {
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// To be called after the last row has been read: whether the picture was one.
    ///
    /// Errors: [`Error::Conflict`] where the database changed under the reader: look again.
    pub async fn finish(self) -> Result<()> {
        let Self { conn, freshness } = self;
        conn.close().await;
        freshness.confirm()
    }
}

/// Who writes, and by what right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The applier of this moment: its fencing number is compared in every transaction.
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

/// A writing transaction. Guarantees: the database's stamp and the writer's authority were checked inside of it; what is
/// not committed is rolled back, because the connection goes with it.
pub struct Tx {
    conn: Conn,
    context: Context,
    at: DateTime<Utc>,
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

    /// Makes all of it durable.
    pub async fn commit(self) -> Result<()> {
        self.commit_and_keep().await?.close().await;
        Ok(())
    }

    /// Makes all of it durable, and gives the connection back.
    pub async fn commit_and_keep(mut self) -> Result<Conn> {
        execute!(&mut self.conn, "COMMIT").map_err(Error::query("commit"))?;
        Ok(self.conn)
    }
}

impl Database {
    /// One picture of the database; `None` where there is no database, or none with our schema, yet.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>> {
        let Some((mut conn, freshness)) = self.read_fresh().await? else { return Ok(None) };
        let begin = match &conn {
            Conn::Sqlite(_) => "BEGIN",
            Conn::Postgres(..) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        execute!(&mut conn, begin).map_err(Error::query("begin to read"))?;
        Ok(migrate::is_current(&mut conn).await?.then_some(Snapshot { conn, freshness }))
    }

    /// Begins to write.
    ///
    /// Errors: the stamp says another environment, the lease was lost, or the database does not answer.
    pub async fn begin(&self, authority: &Authority, context: &Context) -> Result<Tx> {
        self.begin_on(self.write().await?, authority, context).await
    }

    /// Begins to write by stamping the database anew: the one way past a stamp of another environment or server.
    pub async fn restamp(&self, context: &Context) -> Result<(Tx, Stamp)> {
        let mut conn = self.write().await?;
        begin_to_write(&mut conn).await.map_err(Error::query("begin to write"))?;
        let stamp = stamp::restamp(&mut conn, self, &context.actor).await?;
        Ok((Tx { conn, context: context.clone(), at: now() }, stamp))
    }

    /// As [`Database::begin`], on a connection that is there already.
    pub async fn begin_on(&self, mut conn: Conn, authority: &Authority, context: &Context) -> Result<Tx> {
        begin_to_write(&mut conn).await.map_err(Error::query("begin to write"))?;
        if !migrate::is_current(&mut conn).await? {
            return Err(Error::SchemaMissing);
        }
        stamp::check_stamp(&mut conn, self).await.map(drop)?;
        if let Authority::Lease { holder, fencing } = authority {
            let held = execute!(
                &mut conn,
                "UPDATE reconcile_lease SET heartbeat = heartbeat + 1
                 WHERE lease_id = 1 AND holder = $1 AND fencing = $2",
                holder,
                fencing,
            );
            if held.map_err(Error::query("check the lease"))? != 1 {
                return Err(Error::LeaseLost);
            }
        }
        Ok(Tx { conn, context: context.clone(), at: now() })
    }
}
