//! The rows of `db_servers`: read in a snapshot, written in a guarded transaction.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::health::{Condition, Health};
use super::{Observed, Profile, ServerName, ServerType, Status, Step};
use crate::resource::Recorded;
use crate::store::error::{Error, Result};
use crate::store::sql::{Id, Row, execute, fetch};
use crate::store::{Snapshot, Tx};

const READ: &str = "read servers";
const WRITE: &str = "write a server";

/// Every server there is. What it holds is counted from the allocations, and from the instances that an older tool has
/// put there.
pub async fn observe(snapshot: &mut Snapshot) -> Result<BTreeMap<ServerName, Observed>> {
    let rows = fetch!(
        snapshot.conn(),
        "SELECT s.id, s.name, s.host, s.port, s.server_type, s.max_instances, s.current_instances, s.status,
             s.health_status, s.priority, r.admin, r.identity, COALESCE(r.failures, 0) AS failures, r.health_since,
             r.last_error, COALESCE(a.places, 0) + COALESCE(i.places, 0) AS allocated
         FROM db_servers s
         LEFT JOIN reconcile_servers r ON r.server_id = s.id
         LEFT JOIN (SELECT server_id, COUNT(*) AS places FROM reconcile_allocations GROUP BY server_id) a
             ON a.server_id = s.id
         LEFT JOIN (SELECT db_server_id, COUNT(*) AS places FROM instances
                    WHERE id NOT IN (SELECT instance_id FROM reconcile_allocations) GROUP BY db_server_id) i
             ON i.db_server_id = s.id
         ORDER BY s.name"
    );
    let rows = rows.map_err(Error::query(READ))?;
    rows.iter().map(observed).collect::<std::result::Result<_, _>>().map_err(Error::query(READ))
}

fn observed(row: &Row) -> std::result::Result<(ServerName, Observed), sqlx::Error> {
    let name = ServerName(row.get("name")?);
    let health = Health {
        condition: row.word("health_status", Condition::from_word)?,
        failures: row.get("failures")?,
        since: row.get("health_since")?,
        last_error: row.get("last_error")?,
    };
    let server = Observed {
        id: row.get("id")?,
        profile: Profile {
            name: name.clone(),
            host: row.get("host")?,
            port: row.get("port")?,
            server_type: row.word("server_type", ServerType::from_word)?,
            max_instances: row.get("max_instances")?,
            priority: row.get("priority")?,
            status: row.word("status", Status::from_word)?,
            admin: row.get("admin")?,
        },
        counter: row.get("current_instances")?,
        allocated: row.get("allocated")?,
        health,
        identity: row.get("identity")?,
    };
    Ok((name, server))
}

/// The id of the server of that name.
pub async fn id_of(name: &ServerName, tx: &mut Tx) -> Result<Option<Id>> {
    let failed = Error::query(READ);
    let rows = fetch!(tx.conn(), "SELECT id FROM db_servers WHERE name = $1", &name.0).map_err(failed)?;
    rows.first().map(|row| row.get("id")).transpose().map_err(failed)
}

/// Writes one server. The row that the plan saw is the expectation; its counter is counted anew.
pub async fn record(step: &Step, tx: &mut Tx) -> Result<Recorded> {
    let id = match &step.before {
        None => insert(&step.after, tx).await?,
        Some(before) => update(before, &step.after, tx).await?,
    };
    let Some(id) = id else { return Ok(Recorded::Conflict) };
    let failed = Error::query(WRITE);
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_servers (server_id, admin) VALUES ($1, $2)
         ON CONFLICT (server_id) DO UPDATE SET admin = excluded.admin",
        id,
        &step.after.admin,
    )
    .map_err(failed)?;
    Ok(Recorded::Done)
}

async fn insert(after: &Profile, tx: &mut Tx) -> Result<Option<Id>> {
    let Profile { name, host, port, server_type, max_instances, priority, status, admin: _ } = after;
    let (id, now) = (Id(Uuid::now_v7()), tx.now());
    let inserted = execute!(
        tx.conn(),
        "INSERT INTO db_servers
             (id, name, host, port, server_type, max_instances, priority, status, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (name) DO NOTHING",
        id,
        &name.0,
        host,
        port,
        server_type.word(),
        max_instances,
        priority,
        status.word(),
        now,
    );
    Ok((inserted.map_err(Error::query(WRITE))? == 1).then_some(id))
}

async fn update(before: &Observed, after: &Profile, tx: &mut Tx) -> Result<Option<Id>> {
    let Profile { name, host, port, server_type, max_instances, priority, status, admin: _ } = after;
    let was = &before.profile;
    let now = tx.now();
    let updated = execute!(
        tx.conn(),
        "UPDATE db_servers SET name = $1, host = $2, port = $3, server_type = $4, max_instances = $5, priority = $6,
             status = $7, updated_at = $8,
             current_instances = (SELECT COUNT(*) FROM reconcile_allocations WHERE server_id = $9)
                 + (SELECT COUNT(*) FROM instances WHERE db_server_id = $9
                    AND id NOT IN (SELECT instance_id FROM reconcile_allocations))
         WHERE id = $9 AND name = $10 AND host = $11 AND port = $12 AND server_type = $13 AND max_instances = $14
           AND priority = $15 AND status = $16 AND current_instances = $17",
        &name.0,
        host,
        port,
        server_type.word(),
        max_instances,
        priority,
        status.word(),
        now,
        before.id,
        &was.name.0,
        &was.host,
        was.port,
        was.server_type.word(),
        was.max_instances,
        was.priority,
        was.status.word(),
        before.counter,
    );
    Ok((updated.map_err(Error::query(WRITE))? == 1).then_some(before.id))
}

/// Writes down how a server is: an observation, not a change.
pub async fn note_health(tx: &mut Tx, id: Id, health: &Health) -> Result<()> {
    let Health { condition, failures, since, last_error } = health;
    let failed = Error::query("note how a server is");
    execute!(tx.conn(), "UPDATE db_servers SET health_status = $1 WHERE id = $2", condition.word(), id)
        .map_err(failed)?;
    execute!(
        tx.conn(),
        "INSERT INTO reconcile_servers (server_id, failures, health_since, last_error) VALUES ($1, $2, $3, $4)
         ON CONFLICT (server_id) DO UPDATE SET failures = excluded.failures, health_since = excluded.health_since,
             last_error = excluded.last_error",
        id,
        failures,
        since,
        last_error,
    )
    .map(drop)
    .map_err(failed)
}

/// Binds a server to the cluster that it is. The first use counts: what is bound stays so.
pub async fn bind(tx: &mut Tx, id: Id, identity: &str) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE reconcile_servers SET identity = $1 WHERE server_id = $2 AND identity IS NULL",
        identity,
        id,
    )
    .map(drop)
    .map_err(Error::query("bind a server"))
}
