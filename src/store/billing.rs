//! What billing has said: its events, each once, and the subscriptions that it has released.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::error::{Error, Result};
use super::sql::{Id, Row, execute, fetch};
use super::tx::{Snapshot, Tx};

const WRITE: &str = "note a billing event";
const READ: &str = "read what billing has released";

/// Notes that the event has come. `false`: it is known.
pub async fn receive(tx: &mut Tx, id: &str) -> Result<bool> {
    let now = tx.now();
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_billing_events (id, received_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        id,
        now,
    )
    .map(|rows| rows == 1)
    .map_err(Error::query(WRITE))
}

/// Forgets the events that came before `limit`. One that comes again after that is taken for a new one, which releases
/// what is released already.
pub async fn forget(tx: &mut Tx, limit: DateTime<Utc>) -> Result<()> {
    execute!(tx.conn(), "DELETE FROM reconcile_billing_events WHERE received_at < $1", limit)
        .map(drop)
        .map_err(Error::query(WRITE))
}

/// Releases the subscription. `false`: it is released.
pub async fn release(tx: &mut Tx, subscription: Uuid, event_type: &str) -> Result<bool> {
    let now = tx.now();
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_releases (subscription_id, event_type, released_at) VALUES ($1, $2, $3)
         ON CONFLICT (subscription_id) DO NOTHING",
        Id(subscription),
        event_type,
        now,
    )
    .map(|rows| rows == 1)
    .map_err(Error::query(WRITE))
}

/// The subscriptions that are released, each with the type of the event that did it.
pub async fn releases(snapshot: &mut Snapshot) -> Result<BTreeMap<Uuid, String>> {
    let rows = fetch!(snapshot.conn(), "SELECT subscription_id, event_type FROM reconcile_releases");
    let one = |row: &Row| {
        let subscription: Id = row.get("subscription_id")?;
        Ok((subscription.0, row.get("event_type")?))
    };
    rows.map_err(Error::query(READ))?.iter().map(one).collect::<std::result::Result<_, _>>().map_err(Error::query(READ))
}
