//! The rights that each of our tables wants on PostgreSQL, and no more: what an applier needs, and of it a planner only
//! to read. The manual has them as SQL, and a test holds it to this table.

use super::connect::Database;
use super::error::Error;
use super::sql::{Conn, fetch};
use crate::guard::PostgresTarget;

/// `SELECT` goes without saying. The stamp and the register of migrations are written by whoever owns the tables.
const NEEDS: &[(&str, &str)] = &[
    ("sessions", "INSERT UPDATE"),
    ("host_sessions", "INSERT UPDATE"),
    ("db_servers", "INSERT UPDATE"),
    ("instances", "INSERT UPDATE"),
    ("reconcile_allocations", "INSERT UPDATE DELETE"),
    ("reconcile_applied", "INSERT UPDATE"),
    ("reconcile_approvals", "INSERT DELETE"),
    ("reconcile_billing_events", "INSERT DELETE"),
    ("reconcile_deliveries", "INSERT UPDATE DELETE"),
    ("reconcile_failures", "INSERT UPDATE DELETE"),
    ("reconcile_flaps", "INSERT UPDATE DELETE"),
    ("reconcile_handoffs", "INSERT UPDATE DELETE"),
    ("reconcile_idempotency", "INSERT UPDATE DELETE"),
    ("reconcile_journal", "INSERT"),
    ("reconcile_lease", "UPDATE"),
    ("reconcile_lineage", "INSERT UPDATE DELETE"),
    ("reconcile_migrations", ""),
    ("reconcile_outbox", "INSERT DELETE"),
    ("reconcile_protections", "INSERT DELETE"),
    ("reconcile_releases", "INSERT"),
    ("reconcile_requests", "INSERT UPDATE DELETE"),
    ("reconcile_servers", "INSERT UPDATE"),
    ("reconcile_stamp", ""),
    ("reconcile_suspensions", "INSERT UPDATE DELETE"),
    ("reconcile_tokens", "INSERT UPDATE"),
    ("reconcile_told", "INSERT UPDATE"),
    ("reconcile_turns", "INSERT UPDATE"),
];

/// What the role needs besides, where `journal.retention` shortens the journal.
const TO_PRUNE: (&str, &str) = ("reconcile_journal", "DELETE");

/// The names of all our tables.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    NEEDS.iter().map(|(table, _)| *table)
}

/// What the role may do here, as a sentence. `prunes` is whether turns shorten the journal.
///
/// Errors: [`Error::Rights`] with the first right that is missing; that a role may write nothing at all is none,
/// because it can plan.
pub(super) async fn examine(
    database: &Database,
    target: &PostgresTarget,
    conn: &mut Conn,
    prunes: bool,
) -> Result<(String, ()), Error> {
    let failed = || Error::query("ask for the role's rights");
    let schema = &database.options().schema;
    let lacks = |what: String, mend: String| Error::Rights { who: format!("the role {}", target.user), what, mend };
    let rows = fetch!(
        conn,
        "SELECT pg_catalog.has_schema_privilege($1, 'USAGE') AS may_use, pg_catalog.pg_is_in_recovery() AS standby,
                pg_catalog.quote_ident(current_user::text) AS role",
        schema.as_str()
    )
    .map_err(failed())?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(failed())?;
    let role: String = row.get("role").map_err(failed())?;
    if !row.get::<bool>("may_use").map_err(failed())? {
        return Err(lacks(format!("use the schema {schema}"), format!("GRANT USAGE ON SCHEMA {schema} TO {role};")));
    }
    let is_standby: bool = row.get("standby").map_err(failed())?;
    let held = held(conn, schema.as_str(), prunes).await.map_err(failed())?;
    let missing = |right: &Right| {
        let Right { table, right, .. } = right;
        lacks(format!("{right} {schema}.{table}"), format!("GRANT {right} ON {schema}.{table} TO {role};"))
    };
    let (reads, writes): (Vec<&Right>, Vec<&Right>) = held.iter().partition(|right| right.right == "SELECT");
    if let Some(right) = reads.iter().find(|right| !right.is_held) {
        return Err(missing(right));
    }
    let tables = reads.len();
    if writes.iter().all(|right| !right.is_held) {
        return Ok((format!("may read {tables} tables and write none: enough to plan, and not to apply"), ()));
    }
    if let Some(right) = writes.iter().find(|right| !right.is_held) {
        return Err(missing(right));
    }
    match is_standby {
        true => Err(lacks("write here: the server is a standby".to_owned(), "name the primary server".to_owned())),
        false => Ok((format!("may read and write {tables} tables"), ())),
    }
}

struct Right {
    table: String,
    right: String,
    is_held: bool,
}

/// Each right that is needed on a table that is there, in the order of the tables' names.
async fn held(conn: &mut Conn, schema: &str, prunes: bool) -> Result<Vec<Right>, sqlx::Error> {
    let mut needed = Vec::new();
    for (table, rights) in NEEDS {
        let rights = std::iter::once("SELECT").chain(rights.split_whitespace());
        let besides = Some(TO_PRUNE.1).filter(|_| prunes && *table == TO_PRUNE.0);
        needed.extend(rights.chain(besides).map(|right| format!("{table}:{right}")));
    }
    let rows = fetch!(
        conn,
        "SELECT c.relname::text AS name, pg_catalog.split_part(n.need, ':', 2) AS needed,
                pg_catalog.has_table_privilege(c.oid, pg_catalog.split_part(n.need, ':', 2)) AS is_held
         FROM pg_catalog.unnest(pg_catalog.string_to_array($2, ' ')) WITH ORDINALITY AS n (need, place)
         JOIN pg_catalog.pg_class c ON c.relname::text = pg_catalog.split_part(n.need, ':', 1)
         JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
         WHERE s.nspname = $1 AND c.relkind IN ('r', 'p')
         ORDER BY n.place",
        schema,
        needed.join(" ")
    )?;
    let right = |row: &super::sql::Row| {
        Ok(Right { table: row.get("name")?, right: row.get("needed")?, is_held: row.get("is_held")? })
    };
    rows.iter().map(right).collect()
}
