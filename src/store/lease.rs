//! The lease: one applier at a time, over all replicas.
//!
//! The row carries a fencing number, raised at each take-over and compared in every writing transaction, and a heartbeat
//! that its holder raises. Whether a holder is dead is judged by the follower's own monotonic clock over an unchanged
//! heartbeat, so that no two clocks need to agree.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::connect::Database;
use super::error::{Error, Result};
use super::sql::{Conn, execute, fetch, now};
use super::tx::{Authority, Context, Snapshot, Tx};

/// The longest pause between two looks at another's heartbeat.
const POLL: Duration = Duration::from_secs(1);

/// What to do while somebody else holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Wait, as a follower, for as long as it takes.
    Follow,
    /// Give up as soon as the holder shows that it is alive.
    UntilAlive,
}

/// The row as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub holder: Option<String>,
    pub fencing: i64,
    pub heartbeat: i64,
}

/// The lease in our hands, with the connection that keeps it alive.
pub struct Lease {
    holder: String,
    fencing: i64,
    conn: Mutex<Option<Conn>>,
}

/// Takes the lease. `life` is how long a dead holder may stand in the way, from its last heartbeat until another has
/// taken over. `waiting` is told whom we wait for, once for each holder.
///
/// Guarantees: while it waits, it holds one connection and no transaction; it may be cancelled.
/// Errors: [`Error::LeaseHeld`] under [`Patience::UntilAlive`], and whatever the database says.
pub async fn acquire(
    database: &Database,
    context: &Context,
    holder: &str,
    life: Duration,
    patience: Patience,
    mut waiting: impl FnMut(&str),
) -> Result<Lease> {
    // A heartbeat is seen up to one pause late, and its silence noticed up to another: both count as part of the life.
    let (silence, pause) = (life.mul_f64(0.75), POLL.min(life / 10));
    let mut unchanged: Option<(Seen, Instant)> = None;
    let mut conn = None;
    loop {
        let mut tx = match conn.take() {
            Some(conn) => database.begin_on(conn, &Authority::ByHand, context).await?,
            None => database.begin(&Authority::ByHand, context).await?,
        };
        let seen = look(tx.conn()).await?;
        let since = match &unchanged {
            Some((before, since)) if *before == seen => *since,
            before => {
                let alive = before.as_ref().is_some_and(|(before, _)| before.fencing == seen.fencing);
                if let Some(other) = seen.holder.as_ref().filter(|_| alive && patience == Patience::UntilAlive) {
                    return Err(Error::LeaseHeld { holder: other.clone() });
                }
                if let Some(other) = seen.holder.as_deref().filter(|_| !alive) {
                    waiting(other);
                }
                Instant::now()
            }
        };
        if (seen.holder.is_none() || since.elapsed() >= silence) && take(tx.conn(), holder, &seen).await? {
            let conn = Mutex::new(Some(tx.commit_and_keep().await?));
            return Ok(Lease { holder: holder.to_owned(), fencing: seen.fencing.saturating_add(1), conn });
        }
        conn = Some(tx.commit_and_keep().await?);
        unchanged = Some((seen, since));
        tokio::time::sleep(pause).await;
    }
}

/// Takes it from whom it was `seen` with; false when somebody was quicker, or the holder has shown that it lives.
async fn take(conn: &mut Conn, holder: &str, seen: &Seen) -> Result<bool> {
    let taken = execute!(
        conn,
        "UPDATE reconcile_lease SET holder = $1, fencing = $2, heartbeat = heartbeat + 1, acquired_at = $3
         WHERE lease_id = 1 AND fencing = $4 AND heartbeat = $5",
        holder,
        seen.fencing.saturating_add(1),
        now(),
        seen.fencing,
        seen.heartbeat,
    );
    Ok(taken.map_err(Error::query("take the lease"))? == 1)
}

async fn look(conn: &mut Conn) -> Result<Seen> {
    let failed = Error::query("read the lease");
    let rows = fetch!(conn, "SELECT holder, fencing, heartbeat FROM reconcile_lease WHERE lease_id = 1");
    let rows = rows.map_err(&failed)?;
    let row = rows.first().ok_or_else(|| failed(sqlx::Error::RowNotFound))?;
    Ok(Seen {
        holder: row.get("holder").map_err(&failed)?,
        fencing: row.get("fencing").map_err(&failed)?,
        heartbeat: row.get("heartbeat").map_err(&failed)?,
    })
}

/// Who holds the lease, as one snapshot has it.
pub async fn seen(snapshot: &mut Snapshot) -> Result<Seen> {
    look(snapshot.conn()).await
}

impl Lease {
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The number that every write under this lease is compared by.
    pub fn fencing(&self) -> i64 {
        self.fencing
    }

    pub fn authority(&self) -> Authority {
        Authority::Lease { holder: self.holder.clone(), fencing: self.fencing }
    }

    /// Shows that we live. To be called at least three times in the life of the lease; may be cancelled.
    ///
    /// Errors: [`Error::LeaseLost`] when somebody took over; on any error the connection is opened anew next time.
    pub async fn beat(&self, database: &Database, context: &Context) -> Result<()> {
        let mut kept = self.conn.lock().await;
        let conn = match kept.take() {
            Some(conn) => conn,
            None => database.write().await?,
        };
        // Committing under the lease's authority is the beat.
        let tx = database.begin_on(conn, &self.authority(), context).await?;
        *kept = Some(tx.commit_and_keep().await?);
        Ok(())
    }

    /// Gives the lease back, so that the next applier need not wait.
    ///
    /// Errors: [`Error::LeaseLost`] when somebody took over before; whatever the database says.
    pub async fn release(&self, database: &Database, context: &Context) -> Result<()> {
        let conn = match self.conn.lock().await.take() {
            Some(conn) => conn,
            None => database.write().await?,
        };
        let mut tx = database.begin_on(conn, &Authority::ByHand, context).await?;
        let released = execute!(
            tx.conn(),
            "UPDATE reconcile_lease SET holder = NULL WHERE lease_id = 1 AND holder = $1 AND fencing = $2",
            &self.holder,
            self.fencing,
        );
        match released.map_err(Error::query("release the lease"))? {
            1 => tx.commit().await,
            _ => Err(Error::LeaseLost),
        }
    }
}

/// Lets the fencing number rise to `least`, and by `more` at the least: whoever holds the lease is replaced.
///
/// Errors: [`Error::Query`].
pub async fn raise(tx: &mut Tx, least: i64, more: i64) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE reconcile_lease SET fencing = CASE WHEN fencing + $2 < $1 THEN $1 ELSE fencing + $2 END WHERE lease_id = 1",
        least,
        more,
    )
    .map(drop)
    .map_err(Error::query("raise the fencing number"))
}
