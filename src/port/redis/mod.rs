//! Redis: one connection that is made when it is needed, shared by all who ask, and made anew when it breaks.
//!
//! Every call is bounded by [`Limits`]. The driver copies what it sends and receives through buffers of its own, which
//! it does not wipe; ours are.

mod error;
mod owned;
mod takeover;
mod target;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisConnectionInfo,
    TlsCertificates, Value,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use error::{Cause, OLDEST, RedisError, Version};
pub(super) use owned::owned_script;
pub use owned::{Bindings, Borne, Owned};
pub use target::RedisTarget;
use target::{Place, Tls};

use crate::file::{self, Fault, Rules};

/// How many commands travel together. More would let others wait for the server too long.
pub(super) const TOGETHER: usize = 1000;

/// What stands before a name for the fencing number of whoever put under it last.
pub const FENCING: &str = "reconcile:fencing:";

/// A connection that nobody has used for so long is tried before it is trusted with a command that may not be
/// repeated: servers and firewalls drop idle ones without a word.
const TRUSTED: Duration = Duration::from_secs(1);

/// The largest file of certificates.
const LARGEST_AUTHORITY: u64 = 1024 * 1024;

/// How long each part of a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection, its encryption and login.
    pub connect: Duration,
    /// For the answers to one pipeline.
    pub answer: Duration,
}

impl Default for Limits {
    /// Five seconds each.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(5) }
    }
}

/// One database of a Redis server. Clones share the connection.
///
/// Guarantees: nothing is connected to before the first call; a connection that broke is made anew by the next call;
/// a call takes no longer than four times the sum of its limits.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    target: RedisTarget,
    server: String,
    prefix: String,
    limits: Limits,
    open: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    open: Option<Open>,
    /// How many connections there have been; names the present one.
    made: u64,
}

struct Open {
    connection: MultiplexedConnection,
    version: Version,
    used: Instant,
}

/// A connection for one call.
struct Lent {
    connection: MultiplexedConnection,
    number: u64,
    /// How long nobody had used it; `None` for one that was made for this call.
    idle: Option<Duration>,
    version: Version,
}

impl Redis {
    /// `prefix` stands before every key, and may be empty.
    pub fn new(target: RedisTarget, prefix: String, limits: Limits) -> Self {
        let server = target.shown();
        Self(Arc::new(Shared { target, server, prefix, limits, open: Mutex::default() }))
    }

    /// `host:port/db`, without user or password.
    pub fn shown(&self) -> &str {
        &self.0.server
    }

    /// `name` with the prefix before it, as the key is called on the server.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.0.prefix)
    }

    pub(super) fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// As [`RedisTarget::same_server`]. The prefixes may differ.
    pub fn same_server(&self, other: &Self) -> bool {
        self.0.target.same_server(&other.0.target)
    }

    /// The server's version. Connects, and so checks address, encryption, login and database.
    ///
    /// Errors: the server cannot be used; among other reasons because it is older than [`OLDEST`].
    pub async fn version(&self) -> Result<Version, RedisError> {
        let mut ping = redis::pipe();
        ping.cmd("PING");
        for answer in self.ask(&ping).await? {
            self.checked(answer)?;
        }
        Ok(self.lend().await?.version)
    }

    /// Sends commands that only read, and gives their answers in order; each may be an error of the server's. They are
    /// sent again, once, when an older connection turns out to be broken.
    pub(super) async fn ask(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let lent = self.lend().await?;
        let older = lent.idle.is_some();
        match self.send(lent, commands).await {
            Err(error) if older && matches!(error.cause(), Some(Cause::Network)) => {
                self.send(self.lend().await?, commands).await
            }
            answers => answers,
        }
    }

    /// As [`Redis::ask`], for commands that may not be sent twice. After an error nobody knows whether they were done.
    pub(super) async fn act(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let mut lent = self.lend().await?;
        if lent.idle.is_some_and(|idle| idle > TRUSTED) {
            let mut ping = redis::pipe();
            ping.cmd("PING");
            self.ask(&ping).await?;
            lent = self.lend().await?;
        }
        self.send(lent, commands).await
    }

    /// The answer to one command, or the server's error.
    pub(super) fn checked(&self, answer: Value) -> Result<Value, RedisError> {
        match answer {
            Value::ServerError(error) => Err(RedisError::failed(&self.0.server, Cause::of_server(&error))),
            answer => Ok(answer),
        }
    }

    /// The error for an answer of a type that the command never has.
    pub(super) fn unexpected(&self) -> RedisError {
        RedisError::failed(&self.0.server, Cause::Protocol)
    }

    async fn send(&self, lent: Lent, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let Lent { mut connection, number, idle: _, version: _ } = lent;
        let answers = timeout(self.0.limits.answer, connection.req_packed_commands(commands, 0, commands.len())).await;
        let failed = match answers {
            Ok(Ok(answers)) if answers.len() == commands.len() => return Ok(answers),
            Ok(Ok(_)) => self.unexpected(),
            Ok(Err(error)) => RedisError::driver(&self.0.server, &error),
            Err(_) => RedisError::failed(&self.0.server, Cause::Timeout),
        };
        // Unless somebody has put a new one in its place already.
        let mut slot = self.0.open.lock().await;
        if slot.made == number {
            slot.open = None;
        }
        Err(failed)
    }

    /// The open connection, or a new one. Whoever waits for another's attempt to connect waits within its own limit.
    async fn lend(&self) -> Result<Lent, RedisError> {
        let lending = async {
            let mut slot = self.0.open.lock().await;
            let number = slot.made;
            if let Some(open) = &mut slot.open {
                let (connection, version) = (open.connection.clone(), open.version);
                let idle = Some(std::mem::replace(&mut open.used, Instant::now()).elapsed());
                return Ok(Lent { connection, number, idle, version });
            }
            let (connection, version) = self.connect().await?;
            slot.made += 1;
            slot.open = Some(Open { connection: connection.clone(), version, used: Instant::now() });
            Ok(Lent { connection, number: slot.made, idle: None, version })
        };
        let limit = self.0.limits.connect;
        timeout(limit, lending).await.unwrap_or_else(|_| Err(RedisError::failed(&self.0.server, Cause::Timeout)))
    }

    /// Connects, logs in, chooses the database and looks at the version.
    #[expect(clippy::disallowed_methods, reason = "the target is read strictly, and its transport is settled")]
    async fn connect(&self) -> Result<(MultiplexedConnection, Version), RedisError> {
        let Shared { target, server, .. } = &*self.0;
        // Both limits are ours: the driver's would not reach over login and version.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let driver = |error: redis::RedisError| RedisError::driver(server, &error);
        let client = client(target, server)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(driver)?;
        let mut greeting = redis::pipe();
        if let Some(password) = &target.password {
            greeting.cmd("AUTH").arg(target.user.as_deref()).arg(password.expose());
        }
        if target.database != 0 {
            greeting.cmd("SELECT").arg(target.database);
        }
        greeting.cmd("INFO").arg("server");
        let answers = connection.req_packed_commands(&greeting, 0, greeting.len()).await.map_err(driver)?;
        let mut answers = answers.into_iter();
        let mut next = |otherwise: Cause| match answers.next().unwrap_or_default() {
            Value::ServerError(error) => {
                let cause = Cause::of_server(&error);
                Err(RedisError::failed(server, if matches!(cause, Cause::Other(_)) { otherwise } else { cause }))
            }
            answer => Ok(answer),
        };
        if target.password.is_some() {
            next(Cause::Login)?;
        }
        if target.database != 0 {
            next(Cause::Database)?;
        }
        let about: String = redis::from_redis_value(next(Cause::Protocol)?).map_err(|_| self.unexpected())?;
        let version = about.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let version = version.and_then(Version::read).ok_or_else(|| self.unexpected())?;
        if version < OLDEST {
            return Err(RedisError::failed(server, Cause::Version(version)));
        }
        Ok((connection, version))
    }
}

/// What connects to `target`. The login is not the driver's: it would tell its errors in fewer words.
fn client(target: &RedisTarget, server: &str) -> Result<Client, RedisError> {
    let driver = |error: redis::RedisError| RedisError::driver(server, &error);
    let settings = RedisConnectionInfo::default().set_lib_name("reconcile", env!("CARGO_PKG_VERSION"));
    let info = |address: ConnectionAddr| -> Result<ConnectionInfo, RedisError> {
        Ok(address.into_connection_info().map_err(driver)?.set_redis_settings(settings))
    };
    match &target.place {
        Place::Unix(path) => Client::open(info(ConnectionAddr::Unix(path.clone()))?).map_err(driver),
        Place::Tcp { host, port, tls: None } => {
            Client::open(info(ConnectionAddr::Tcp(host.clone(), *port))?).map_err(driver)
        }
        Place::Tcp { host, port, tls: Some(Tls { authority }) } => {
            let address = ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None };
            let Some(path) = authority else { return Client::open(info(address)?).map_err(driver) };
            let unusable = |error| RedisError::Authority { path: path.clone(), source: Arc::new(error) };
            let root_cert = Some(certificates(path).map_err(unusable)?);
            Client::build_with_tls(info(address)?, TlsCertificates { client_tls: None, root_cert })
                .map_err(|error| unusable(io::Error::other(error)))
        }
    }
}

/// The certificates in the file at `path`, which need not be private, but may not be another's to change.
fn certificates(path: &Path) -> io::Result<Vec<u8>> {
    let read = file::read(path, &Rules::settings(LARGEST_AUTHORITY)).map_err(|fault| match fault {
        Fault::Io(error) => error,
        fault => io::Error::other(fault),
    })?;
    read.ok_or_else(|| io::ErrorKind::NotFound.into())
}
