//! One PostgreSQL session: every parameter set here, nothing taken from the environment.

use std::io;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::net::lookup_host;

use super::connect::{Access, Options};
use super::error::{Cause, Error};
use super::sql::{Conn, fetch};
use crate::guard::{PostgresTarget, SslMode};

/// The driver's options for `target`. The driver starts from `PG*` variables and forgets what is set again, so every
/// field is; the three that cannot be are `guard::leaking`.
pub(super) fn driver_options(target: &PostgresTarget, options: &Options) -> PgConnectOptions {
    let mode = match target.ssl_mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Prefer => PgSslMode::Prefer,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    };
    let driver = PgConnectOptions::new_without_pgpass()
        .host(&target.host)
        .port(target.port)
        .username(&target.user)
        .password(target.password.as_ref().map_or("", |password| password.expose()))
        .database(target.catalog.as_str())
        .ssl_mode(mode)
        .application_name(target.application_name.as_deref().unwrap_or(&options.application_name));
    let driver = match target.socket() {
        Some(directory) => driver.host("localhost").socket(directory),
        None => driver,
    };
    match &target.ssl_root_cert {
        Some(path) => driver.ssl_root_cert(path),
        // No authority besides the system's own.
        None => driver.ssl_root_cert_from_pem(Vec::new()),
    }
}

/// Resolves the host's name, so that a wrong one is told from a server that is down.
///
/// Errors: [`Error::Unreachable`] with [`Cause::Dns`].
pub(super) async fn resolve(target: &PostgresTarget) -> Result<Vec<std::net::SocketAddr>, Error> {
    if target.socket().is_some() {
        return Ok(Vec::new());
    }
    let unresolved = |source: io::Error| Error::Unreachable {
        server: target.server(),
        cause: Cause::Dns,
        source: sqlx::Error::Io(source),
    };
    let addresses: Vec<_> = lookup_host((target.host.as_str(), target.port)).await.map_err(unresolved)?.collect();
    if addresses.is_empty() {
        return Err(unresolved(io::Error::other("the name has no address")));
    }
    Ok(addresses)
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
    let rows = fetch!(
        conn,
        "SELECT pg_catalog.current_database()::text AS catalog,
                pg_catalog.set_config('search_path', $1, false),
                pg_catalog.set_config('TimeZone', 'UTC', false),
                pg_catalog.set_config('statement_timeout', $2, false),
                pg_catalog.set_config('lock_timeout', $3, false),
                pg_catalog.set_config('idle_in_transaction_session_timeout', $4, false),
                pg_catalog.set_config('default_transaction_read_only', $5, false)",
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
