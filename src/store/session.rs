//! One PostgreSQL session: every parameter set here, nothing taken from the environment.

use super::connect::{Access, Options};
use super::error::{Cause, Error};
use super::sql::{Conn, fetch};
use crate::driver;
use crate::guard::PostgresTarget;

/// Resolves the host's name, so that a wrong one is told from a server that is down.
///
/// Errors: [`Error::Unreachable`] with [`Cause::Dns`].
pub(super) async fn resolve(target: &PostgresTarget) -> Result<Vec<std::net::SocketAddr>, Error> {
    driver::resolve(target).await.map_err(|source| Error::Unreachable {
        server: target.server(),
        cause: Cause::Dns,
        source: sqlx::Error::Io(source),
    })
}

/// Sets the session's parameters, and asks in the same round trip which catalog this really is.
///
/// Errors: [`Error::Query`].
pub(super) async fn settle(conn: &mut Conn, options: &Options, access: Access) -> Result<String, Error> {
    let failed = || Error::query("set up the session");
    let milliseconds = |limit: std::time::Duration| limit.as_millis().to_string();
    let read_only = match access {
        Access::Read => "on",
        Access::Write => "off",
    };
    // Temporary tables last: unnamed, they would be searched first and could stand before ours.
    let path = format!("{}, pg_temp", options.schema.quoted());
    // A connection outlives many turns: a plan that was made while a table was empty must not be kept until it is full.
    // A batch finds its rows by their keys: to merge or to hash would read all of a table for each of many batches. And
    // our statements are too short to be worth compiling.
    let rows = fetch!(
        conn,
        "SELECT pg_catalog.current_database()::text AS catalog,
                pg_catalog.set_config('search_path', $1, false),
                pg_catalog.set_config('TimeZone', 'UTC', false),
                pg_catalog.set_config('statement_timeout', $2, false),
                pg_catalog.set_config('lock_timeout', $3, false),
                pg_catalog.set_config('idle_in_transaction_session_timeout', $4, false),
                pg_catalog.set_config('default_transaction_read_only', $5, false),
                pg_catalog.set_config('plan_cache_mode', 'force_custom_plan', false),
                pg_catalog.set_config('enable_mergejoin', 'off', false),
                pg_catalog.set_config('enable_hashjoin', 'off', false),
                pg_catalog.set_config('jit', 'off', false)",
        path,
        milliseconds(options.statement_timeout),
        milliseconds(options.lock_timeout),
        milliseconds(options.idle_timeout),
        read_only,
    )
    .map_err(failed())?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(failed())?;
    row.get("catalog").map_err(failed())
}
