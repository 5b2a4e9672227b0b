//! What the process inherits: PostgreSQL's own environment variables, which must be without effect.
//!
//! The driver reads them whenever it builds its options. Most are overridden field by field; of these three it offers
//! no way to forget, and taking a variable from a running process is unsafe. So the program starts itself again
//! without them, and a connection is refused as long as one is set.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `PGOPTIONS` could set any parameter of the session, the others present a certificate that nobody configured.
const STUBBORN: [&str; 3] = ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY"];

/// The variables that are set and would reach the server.
pub fn leaking() -> Vec<&'static str> {
    STUBBORN.into_iter().filter(|name| env::var_os(name).is_some()).collect()
}

/// Replaces the process by itself without those variables, same arguments and same process id. Returns when none is
/// set. To be called first of all, before any thread is started.
///
/// Errors: the program cannot be started again.
pub fn shed() -> io::Result<()> {
    if leaking().is_empty() {
        return Ok(());
    }
    let arguments: Vec<OsString> = env::args_os().collect();
    let mut again = Command::new(env::current_exe()?);
    if let Some((name, rest)) = arguments.split_first() {
        again.arg0(name).args(rest);
    }
    for name in STUBBORN {
        again.env_remove(name);
    }
    Err::<Infallible, _>(again.exec()).map(|never| match never {})
}
