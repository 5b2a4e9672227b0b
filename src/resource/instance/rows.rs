//! The rows of `instances` and of their allocations: read in a snapshot, written in a guarded transaction.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::names::Names;
use super::phase::Phase;
use super::steps::{Place, Receipt, Stage, Step};
use super::{Allocation, InstanceId, KIND, Observed, Profile, State, Tier, handoff_key};
use crate::change::ResourceId;
use crate::port::handoff::Record;
use crate::resource::{Recorded, server};
use crate::store::error::{Error, Result};
use crate::store::sql::{Id, Row, execute, fetch};
use crate::store::{Snapshot, Tx};

const READ: &str = "read instances";
const WRITE: &str = "write an instance";

/// Every instance, as far as the database knows it.
pub async fn observe(snapshot: &mut Snapshot) -> Result<BTreeMap<InstanceId, Observed>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT i.id, i.customer_id, i.subscription_id, i.name, i.plan_tier, i.status, i.provisioning_status,
             i.db_server_id, i.db_host, i.db_port, a.server_id, a.db_name, a.db_user, a.credentials_rotation,
             a.passwords, a.dispatches, a.task_id, a.released_at, a.outcome, a.handed_off_store,
             a.handed_off_until
         FROM instances i LEFT JOIN reconcile_allocations a ON a.instance_id = i.id ORDER BY i.id"
    );
    let rows = rows.map_err(Error::query(READ))?;
    rows.iter().map(observed).collect::<std::result::Result<_, _>>().map_err(Error::query(READ))
}

fn observed(row: &Row) -> std::result::Result<(InstanceId, Observed), sqlx::Error> {
    let id: Id = row.get("id")?;
    let subscription: Option<Id> = row.get("subscription_id")?;
    let customer: Id = row.get("customer_id")?;
    let profile = Profile {
        customer: customer.0,
        subscription: subscription.map(|id| id.0),
        name: row.get("name")?,
        tier: row.word("plan_tier", Tier::from_word)?,
        state: row.word("status", State::from_word)?,
    };
    let server: Option<Id> = row.get("server_id")?;
    let allocation = match server {
        None => None,
        Some(server) => Some(Allocation {
            server,
            database: row.get("db_name")?,
            role: row.get("db_user")?,
            rotation: row.get("credentials_rotation")?,
            passwords: row.get("passwords")?,
            dispatches: row.get("dispatches")?,
            last_task: row.get::<Option<Id>>("task_id")?.map(|id| id.0),
            released_at: row.get("released_at")?,
            handoff: Record { store: row.get("handed_off_store")?, until: row.get("handed_off_until")? },
            outcome: row.get("outcome")?,
        }),
    };
    let instance = Observed {
        profile,
        phase: row.word("provisioning_status", Phase::from_word)?,
        db_host: row.get("db_host")?,
        db_port: row.get("db_port")?,
        server: row.get("db_server_id")?,
        allocation,
        waiting: false,
        unknown: None,
        sent: false,
        outcome: None,
    };
    Ok((InstanceId(id.0), instance))
}

/// How many instances stand in each phase, in the order of the phases.
pub async fn by_phase(snapshot: &mut Snapshot) -> Result<Vec<(String, i64)>> {
    let failed = Error::query(READ);
    let rows = fetch!(
        snapshot.conn(),
        "SELECT provisioning_status, COUNT(*) AS instances FROM instances GROUP BY provisioning_status"
    );
    let rows = rows.map_err(&failed)?;
    let mut counts = BTreeMap::new();
    for row in &rows {
        let phase = row.word("provisioning_status", Phase::from_word).map_err(&failed)?;
        let count: i64 = row.get("instances").map_err(&failed)?;
        counts.insert(phase, count);
    }
    Ok(counts.into_iter().map(|(phase, count)| (phase.word().to_owned(), count)).collect())
}

/// The credentials that may still wait for their reader: the instance's address, and the hand-off's name for them.
pub async fn may_wait(snapshot: &mut Snapshot) -> Result<Vec<(String, String)>> {
    let failed = Error::query(READ);
    let rows = fetch!(
        snapshot.conn(),
        "SELECT instance_id FROM reconcile_allocations WHERE handed_off_until > $1 ORDER BY instance_id",
        crate::store::sql::now(),
    );
    let one = |row: &Row| {
        let id: Id = row.get("instance_id")?;
        let id = InstanceId(id.0);
        Ok((ResourceId::new(KIND, id).to_string(), handoff_key(id)))
    };
    rows.map_err(failed)?.iter().map(one).collect::<std::result::Result<_, _>>().map_err(failed)
}

/// Writes one stage. What the plan saw, or the stage before has left, is the expectation.
pub async fn record(step: &Step, round: usize, receipt: &Receipt, tx: &mut Tx) -> Result<Recorded> {
    let Some(stage) = step.stages.get(round) else { return Ok(Recorded::Conflict) };
    let touched = match (stage, receipt) {
        (_, Receipt::Moved) => 0,
        (Stage::Reserve, _) => reserve(step, tx).await?,
        (Stage::Create, _) => created(step, tx).await?,
        (Stage::Lose, _) => advance(step.id, Phase::Allocated, Phase::DatabaseCreated, tx).await?,
        (Stage::HandOver { passwords, rotation, from, to, why: _ }, Receipt::HandedOver(handoff)) => {
            let over = HandedOver { passwords: *passwords, rotation: *rotation, from: *from, to: *to, handoff };
            handed_over(step, &over, tx).await?
        }
        (Stage::Dispatch { number }, Receipt::Dispatched(task)) => dispatched(step.id, *number, *task, tx).await?,
        (Stage::Release { by }, _) => release(step.id, by, tx).await?,
        (Stage::Finish { to, outcome }, _) => finish(step.id, *to, outcome.as_deref(), tx).await?,
        // The role itself is the record; that the row is still there is all that is asked.
        (Stage::Login { .. }, _) => touch(step.id, tx).await?,
        (Stage::Write, _) => write(step, tx).await?,
        (Stage::Forget, _) => forget(step, tx).await?,
        (Stage::HandOver { .. } | Stage::Dispatch { .. }, _) => 0,
    };
    Ok(if touched == 1 { Recorded::Done } else { Recorded::Conflict })
}

/// Takes a place and writes the row. A count of places would let several through at once; the conditional update lets
/// just as many through as there is room for.
async fn reserve(step: &Step, tx: &mut Tx) -> Result<u64> {
    let Some(place) = &step.place else { return Ok(0) };
    let failed = Error::query("take a place on a server");
    let now = tx.now();
    let taken = execute!(
        tx.conn(),
        "UPDATE db_servers SET current_instances = current_instances + 1, last_allocated_at = $1, updated_at = $1
         WHERE name = $2 AND status = 'active' AND current_instances < max_instances",
        now,
        &place.server.0,
    );
    if taken.map_err(&failed)? != 1 {
        return Ok(0);
    }
    let Some(server) = server::rows::id_of(&place.server, tx).await? else { return Ok(0) };
    let Profile { customer, subscription, name, tier, state } = &step.profile;
    let inserted = execute!(
        tx.conn(),
        "INSERT INTO instances (id, customer_id, subscription_id, name, plan_tier, status, provisioning_status,
             created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'reserved', $7, $7) ON CONFLICT (id) DO NOTHING",
        Id(step.id.0),
        Id(*customer),
        subscription.map(Id),
        name,
        tier.word(),
        state.word(),
        now,
    );
    let inserted = inserted.map_err(Error::query(WRITE))?;
    let Names { database, role } = &place.names;
    let allocated = match inserted {
        1 => execute!(
            tx.conn(),
            "INSERT INTO reconcile_allocations (instance_id, server_id, db_name, db_user) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            Id(step.id.0),
            server,
            database,
            role,
        )
        .map_err(Error::query(WRITE))?,
        inserted => inserted,
    };
    match allocated {
        1 => Ok(1),
        // Nothing of this transaction may stay: a place would be taken, and nobody in it.
        _ => Err(Error::Conflict { what: format!("instance {}", step.id) }),
    }
}

async fn created(step: &Step, tx: &mut Tx) -> Result<u64> {
    bind(step, tx).await?;
    advance(step.id, Phase::Reserved, Phase::DatabaseCreated, tx).await
}

/// The first use of a server binds it to the cluster that it is.
async fn bind(step: &Step, tx: &mut Tx) -> Result<()> {
    let Some(Place { server, identity: Some(identity), .. }) = &step.place else { return Ok(()) };
    match server::rows::id_of(server, tx).await? {
        Some(id) => server::rows::bind(tx, id, identity).await,
        None => Ok(()),
    }
}

async fn advance(id: InstanceId, from: Phase, to: Phase, tx: &mut Tx) -> Result<u64> {
    let now = tx.now();
    execute!(
        tx.conn(),
        "UPDATE instances SET provisioning_status = $1, updated_at = $2 WHERE id = $3 AND provisioning_status = $4",
        to.word(),
        now,
        Id(id.0),
        from.word(),
    )
    .map_err(Error::query(WRITE))
}

struct HandedOver<'a> {
    passwords: i64,
    rotation: i64,
    from: Phase,
    to: Phase,
    handoff: &'a Record,
}

async fn handed_over(step: &Step, over: &HandedOver<'_>, tx: &mut Tx) -> Result<u64> {
    let Some(place) = &step.place else { return Ok(0) };
    let HandedOver { passwords, rotation, from, to, handoff: Record { store, until } } = over;
    let now = tx.now();
    let counted = execute!(
        tx.conn(),
        "UPDATE reconcile_allocations SET passwords = passwords + 1, credentials_rotation = $1, handed_off_at = $2,
             handed_off_until = $3, handed_off_store = $6
         WHERE instance_id = $4 AND passwords = $5",
        rotation,
        now,
        *until,
        Id(step.id.0),
        passwords,
        store.as_deref(),
    );
    if counted.map_err(Error::query(WRITE))? != 1 {
        return Ok(0);
    }
    let advanced = execute!(
        tx.conn(),
        "UPDATE instances SET provisioning_status = $1, db_host = $2, db_port = $3, updated_at = $4,
             db_server_id = (SELECT server_id FROM reconcile_allocations WHERE instance_id = $5)
         WHERE id = $5 AND provisioning_status = $6",
        to.word(),
        &place.host,
        place.port,
        now,
        Id(step.id.0),
        from.word(),
    );
    whole(advanced.map_err(Error::query(WRITE))?, step.id)
}

async fn dispatched(id: InstanceId, number: i64, task: Uuid, tx: &mut Tx) -> Result<u64> {
    if advance(id, Phase::Allocated, Phase::Provisioning, tx).await? != 1 {
        return Ok(0);
    }
    let now = tx.now();
    let noted = execute!(
        tx.conn(),
        "UPDATE reconcile_allocations SET dispatches = $1, task_id = $2, dispatched_at = $3, outcome = NULL,
             finished_at = NULL
         WHERE instance_id = $4 AND dispatches = $1 - 1",
        number,
        Id(task),
        now,
        Id(id.0),
    );
    whole(noted.map_err(Error::query(WRITE))?, id)
}

async fn release(id: InstanceId, by: &str, tx: &mut Tx) -> Result<u64> {
    let now = tx.now();
    execute!(
        tx.conn(),
        "UPDATE reconcile_allocations SET released_at = $1, released_by = $2
         WHERE instance_id = $3 AND released_at IS NULL",
        now,
        by,
        Id(id.0),
    )
    .map_err(Error::query(WRITE))
}

async fn finish(id: InstanceId, to: Phase, outcome: Option<&str>, tx: &mut Tx) -> Result<u64> {
    if advance(id, Phase::Provisioning, to, tx).await? != 1 {
        return Ok(0);
    }
    let now = tx.now();
    let noted = execute!(
        tx.conn(),
        "UPDATE reconcile_allocations SET finished_at = $1, outcome = $2 WHERE instance_id = $3",
        now,
        outcome,
        Id(id.0),
    );
    whole(noted.map_err(Error::query(WRITE))?, id)
}

async fn touch(id: InstanceId, tx: &mut Tx) -> Result<u64> {
    let now = tx.now();
    execute!(tx.conn(), "UPDATE instances SET updated_at = $1 WHERE id = $2", now, Id(id.0))
        .map_err(Error::query(WRITE))
}

async fn write(step: &Step, tx: &mut Tx) -> Result<u64> {
    let Some(before) = &step.before else { return Ok(0) };
    let Profile { customer: _, subscription, name, tier, state } = &step.profile;
    let was = &before.profile;
    // What was not allocated here keeps the address that it has.
    let place = step.place.as_ref().filter(|_| before.server.is_some());
    let host = place.map(|place| place.host.clone()).or_else(|| before.db_host.clone());
    let port = place.map(|place| place.port).or(before.db_port);
    let now = tx.now();
    execute!(
        tx.conn(),
        "UPDATE instances SET subscription_id = $1, name = $2, plan_tier = $3, status = $4, db_host = $5, db_port = $6,
             updated_at = $7
         WHERE id = $8 AND name = $9 AND plan_tier = $10 AND status = $11
           AND subscription_id IS NOT DISTINCT FROM $12 AND db_host IS NOT DISTINCT FROM $13",
        subscription.map(Id),
        name,
        tier.word(),
        state.word(),
        host,
        port,
        now,
        Id(step.id.0),
        &was.name,
        was.tier.word(),
        was.state.word(),
        was.subscription.map(Id),
        &before.db_host,
    )
    .map_err(Error::query(WRITE))
}

async fn forget(step: &Step, tx: &mut Tx) -> Result<u64> {
    let Some(server) = step.before.as_ref().and_then(Observed::server_id) else { return Ok(0) };
    let now = tx.now();
    let gone = execute!(
        tx.conn(),
        "UPDATE instances SET status = 'forgotten', provisioning_status = 'forgotten', db_server_id = NULL,
             db_host = NULL, db_port = NULL, updated_at = $1
         WHERE id = $2 AND status <> 'forgotten'",
        now,
        Id(step.id.0),
    );
    if gone.map_err(Error::query(WRITE))? != 1 {
        return Ok(0);
    }
    let failed = Error::query("give a place back");
    execute!(tx.conn(), "DELETE FROM reconcile_allocations WHERE instance_id = $1", Id(step.id.0)).map_err(&failed)?;
    execute!(
        tx.conn(),
        "UPDATE db_servers SET current_instances = current_instances - 1, updated_at = $1
         WHERE id = $2 AND current_instances > 0",
        now,
        server,
    )
    .map_err(&failed)?;
    Ok(1)
}

/// The second statement of a stage must go with the first, or both must not.
fn whole(touched: u64, id: InstanceId) -> Result<u64> {
    match touched {
        1 => Ok(1),
        _ => Err(Error::Conflict { what: format!("instance {id}") }),
    }
}
