//! The database driver: how it is set up so that nothing comes from the environment, and what its errors mean.

#[cfg(test)]
pub mod testing;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::net::lookup_host;

use crate::file::{self, Fault, Rules};
use crate::guard::{PostgresTarget, SslMode};

/// The most bytes of a file of certificates: all authorities of a system are a fifth of it.
const LARGEST_AUTHORITY: u64 = 1024 * 1024;

/// Why a server could not be reached or used, as an operator would name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The host's name does not resolve.
    Dns,
    /// The host answers, and nobody listens on the port, or on the socket.
    Refused,
    /// No route leads to the host, or the connection broke.
    Network,
    /// Nothing answered in time.
    Timeout,
    /// Encryption: not offered, or the certificate does not hold.
    Tls,
    /// The server does not take this user, password or address.
    Login,
    CatalogMissing,
    SchemaMissing,
    RightsMissing,
    /// No connection slot is left.
    TooMany,
    /// Its disk is full.
    Full,
    /// The guard has refused it.
    Guard,
    Other,
}

/// What ends a trouble, which decides when another try is worth while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody else was in the way for a moment: a lock, a deadlock, a row that moved.
    Contention,
    /// A server or network that comes back, or is short of something for a time.
    Transient,
    /// Somebody has to do something: about a password, a right, a certificate, a schema.
    Lasting,
}

impl Cause {
    /// Reads the cause out of a driver's error: the kind of the I/O error, or the SQLSTATE.
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) => Self::of_io(error),
            sqlx::Error::Tls(_) => Cause::Tls,
            sqlx::Error::Database(error) => error.code().map_or(Cause::Other, |code| Self::of_code(&code)),
            _ => Cause::Other,
        }
    }

    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            // A Unix socket's file that is not there is a port on which nobody listens.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Cause::Refused,
            io::ErrorKind::TimedOut => Cause::Timeout,
            io::ErrorKind::PermissionDenied => Cause::RightsMissing,
            // What rustls reports of a handshake that came to nothing.
            io::ErrorKind::InvalidData => Cause::Tls,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Cause::Network,
            _ => Cause::Other,
        }
    }

    /// SQLSTATE on PostgreSQL, which has five letters; the extended result code on SQLite, which is shorter.
    fn of_code(code: &str) -> Self {
        if code.len() < 5 {
            // The low byte is the primary code.
            return match code.parse::<u32>().map(|code| code & 0xff) {
                // PERM, READONLY
                Ok(3 | 8) => Cause::RightsMissing,
                // BUSY, LOCKED
                Ok(5 | 6) => Cause::Timeout,
                // FULL
                Ok(13) => Cause::Full,
                _ => Cause::Other,
            };
        }
        match code {
            "28P01" | "28000" => Cause::Login,
            "3D000" => Cause::CatalogMissing,
            "3F000" | "42P01" => Cause::SchemaMissing,
            // Insufficient privilege, read-only transaction.
            "42501" | "25006" => Cause::RightsMissing,
            "53300" => Cause::TooMany,
            "53100" => Cause::Full,
            // Cancelled by a timeout of ours, lock not available.
            "57014" | "55P03" => Cause::Timeout,
            _ => Cause::Other,
        }
    }

    /// What to do about it, where something can be said without knowing more.
    pub fn mend(self) -> Option<&'static str> {
        Some(match self {
            Cause::Dns => "check the host's name in the database URL",
            Cause::Refused => "check host and port, and that the server runs",
            Cause::Network => "check the network between here and the server",
            Cause::Timeout => "check that the port is PostgreSQL's and no firewall drops packets; see --timeout",
            Cause::Tls => {
                "check the server's certificate and its name; a private authority is given with sslrootcert=/PATH"
            }
            Cause::Login => "check user and password in the database URL, and the server's pg_hba.conf",
            Cause::CatalogMissing => "create the database, or name another in the database URL",
            Cause::SchemaMissing => "run `reconcile migrate` first",
            Cause::RightsMissing => "grant what is lacking; `reconcile doctor` names it",
            Cause::TooMany => "wait, or raise max_connections on the server",
            Cause::Full => "make room on the disk where the database lies",
            Cause::Guard | Cause::Other => return None,
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Cause::Dns => "the host's name does not resolve",
            Cause::Refused => "nobody listens there",
            Cause::Network => "the network does not lead there",
            Cause::Timeout => "no answer in time",
            Cause::Tls => "no verified encryption",
            Cause::Login => "the login is refused",
            Cause::CatalogMissing => "the catalog does not exist",
            Cause::SchemaMissing => "the schema does not exist",
            Cause::RightsMissing => "rights are missing",
            Cause::TooMany => "the server has no connection left",
            Cause::Full => "the disk is full",
            Cause::Guard => "the guard refuses it",
            Cause::Other => "it failed",
        })
    }
}

impl Trouble {
    /// Reads the trouble out of a driver's error: the kind of the I/O error, or the SQLSTATE.
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) => Self::of_io(error),
            sqlx::Error::Database(error) => error.code().map_or(Trouble::Transient, |code| Self::of_code(&code)),
            // A certificate, an option, or a value of another type than we know stays as it is.
            sqlx::Error::Tls(_)
            | sqlx::Error::Configuration(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::TypeNotFound { .. } => Trouble::Lasting,
            _ => Trouble::Transient,
        }
    }

    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            // What rustls reports of a handshake that came to nothing.
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData => Trouble::Lasting,
            _ => Trouble::Transient,
        }
    }

    /// As [`Cause::of_code`]. What nobody has thought of is taken to pass: it is tried again sooner, never too often.
    fn of_code(code: &str) -> Self {
        if code.len() < 5 {
            return match code.parse::<u32>().map(|code| code & 0xff) {
                // BUSY, LOCKED
                Ok(5 | 6) => Trouble::Contention,
                // PERM, READONLY, CORRUPT, AUTH, NOTADB
                Ok(3 | 8 | 11 | 23 | 26) => Trouble::Lasting,
                _ => Trouble::Transient,
            };
        }
        match (code.get(..2).unwrap_or_default(), code) {
            // Serialisation and deadlock; lock not available, in use.
            ("40", _) | (_, "55P03" | "55006") => Trouble::Contention,
            // Login, catalog, schema, and what the statement names or may not touch.
            ("28" | "3D" | "3F" | "42", _) => Trouble::Lasting,
            // Everything else: out of resources, shutting down, a disk that fails; and a read-only transaction, since a
            // standby says so until it is promoted.
            _ => Trouble::Transient,
        }
    }
}

/// What stands behind `error`, the nearest cause first, each said once.
///
/// The driver repeats what stands behind its own errors, with words of its own before and the line in the server's
/// source code after it: what the server or the system said is what counts.
pub fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let shared = cause.downcast_ref::<Arc<sqlx::Error>>().map(AsRef::as_ref);
        let plain = match cause.downcast_ref::<sqlx::Error>().or(shared) {
            Some(sqlx::Error::Io(error)) => Some(error.to_string()),
            Some(sqlx::Error::Database(error)) => Some(error.message().to_owned()),
            _ => None,
        };
        source = if plain.is_some() { None } else { cause.source() };
        causes.push(plain.unwrap_or_else(|| cause.to_string()));
    }
    causes.dedup();
    causes
}

/// The driver's options for `target`. The driver starts from `PG*` variables and forgets what is set again, so every
/// field is; the three that cannot be are `guard::leaking`.
///
/// Errors: the file of the authority cannot be used.
pub fn options(target: &PostgresTarget, application_name: &str) -> Result<PgConnectOptions, sqlx::Error> {
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
        .application_name(target.application_name.as_deref().unwrap_or(application_name));
    let driver = match target.socket() {
        Some(directory) => driver.host("localhost").socket(directory),
        None => driver,
    };
    let authority = match &target.ssl_root_cert {
        Some(path) => authority(path)?,
        // None besides the system's own.
        None => Vec::new(),
    };
    Ok(driver.ssl_root_cert_from_pem(authority))
}

/// The certificates in the file that `sslrootcert` names. The driver would open it itself, whatever it is.
fn authority(path: &Path) -> Result<Vec<u8>, sqlx::Error> {
    let read = file::read(path, &Rules::settings(LARGEST_AUTHORITY));
    let found = read.and_then(|found| found.ok_or_else(Fault::missing));
    found.map_err(|fault| {
        let why = format!("sslrootcert names {}, which cannot be used: {}", path.display(), fault.told());
        sqlx::Error::Tls(why.into())
    })
}

/// Resolves the host's name, so that a wrong one is told from a server that is down. Nothing for a socket.
///
/// Errors: the name does not resolve.
pub async fn resolve(target: &PostgresTarget) -> io::Result<Vec<SocketAddr>> {
    if target.socket().is_some() {
        return Ok(Vec::new());
    }
    let addresses: Vec<_> = lookup_host((target.host.as_str(), target.port)).await?.collect();
    match addresses.is_empty() {
        true => Err(io::Error::other("the name has no address")),
        false => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_ends_the_trouble() {
        let codes: [(Trouble, &[&str]); 3] = [
            // The last are SQLite's: busy, and busy with a snapshot.
            (Trouble::Contention, &["40001", "40P01", "55P03", "55006", "5", "6", "517"]),
            // Too many connections, disk full, shutting down, starting up, a standby; on SQLite full, I/O, no descriptor.
            (Trouble::Transient, &["53300", "53100", "57P01", "57P03", "25006", "25P03", "XX000", "13", "10", "14"]),
            (Trouble::Lasting, &["28P01", "28000", "3D000", "3F000", "42501", "42P01", "8", "11", "26"]),
        ];
        for (trouble, codes) in codes {
            for code in codes {
                assert_eq!(Trouble::of_code(code), trouble, "{code}");
            }
        }
    }

    #[test]
    fn a_server_that_is_down_passes_and_a_certificate_does_not() {
        let io = |kind: io::ErrorKind| Trouble::of(&sqlx::Error::Io(kind.into()));
        assert_eq!(io(io::ErrorKind::ConnectionRefused), Trouble::Transient);
        assert_eq!(io(io::ErrorKind::TimedOut), Trouble::Transient);
        // No descriptor is left.
        assert_eq!(Trouble::of_io(&io::Error::from_raw_os_error(24)), Trouble::Transient);
        assert_eq!(io(io::ErrorKind::PermissionDenied), Trouble::Lasting);
        assert_eq!(Trouble::of(&sqlx::Error::Tls("a bad certificate".into())), Trouble::Lasting);
    }
}
