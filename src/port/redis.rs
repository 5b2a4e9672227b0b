//! Redis: the URL read strictly, every call bounded, and a connection for each batch of commands.
//!
//! A batch opens a connection of its own: that costs a round trip or two, and no call ever meets a connection that died
//! unseen.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use url::{Host, Url};

use crate::guard::Transport;
use crate::secret::Secret;

/// The oldest server that can take a secret in one command (`GETDEL`).
const OLDEST: (u32, u32) = (6, 2);
/// The most bytes of an authority's certificate.
const LARGEST_CA: u64 = 1024 * 1024;
const FORMS: &str = "write redis://:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS";

/// How long Redis may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connect: Duration,
    /// For one batch of commands.
    pub answer: Duration,
}

/// A Redis database, as its URL names it. Nothing has been connected to.
#[derive(Clone)]
pub struct RedisTarget {
    host: String,
    port: u16,
    database: i64,
    is_encrypted: bool,
    user: Option<String>,
    password: Option<Secret>,
    /// The certificate of a private authority.
    ca: Option<PathBuf>,
}

/// What went wrong with Redis. No message holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisError {
    /// The URL cannot be used, and why.
    #[error("{0}")]
    Url(String),
    #[error("cannot connect to Redis at {server}")]
    Unreachable {
        server: String,
        #[source]
        source: Arc<redis::RedisError>,
    },
    #[error("Redis at {server} did not answer within {} s", limit.as_secs_f32())]
    Silent { server: String, limit: Duration },
    #[error("Redis at {server} could not {doing}")]
    Failed {
        server: String,
        doing: &'static str,
        #[source]
        source: Arc<redis::RedisError>,
    },
    #[error("Redis at {server} is version {found}, and 6.2 or later is needed")]
    TooOld { server: String, found: String },
}

impl RedisError {
    /// How to mend it, where the operator can.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            RedisError::Url(_) => FORMS,
            RedisError::Silent { .. } => {
                "check that the port is Redis' and no firewall drops packets; see redis.timeout"
            }
            RedisError::TooOld { .. } => "upgrade it",
            RedisError::Unreachable { source, .. } | RedisError::Failed { source, .. } => match source.code() {
                Some("NOAUTH" | "WRONGPASS" | "ERR") if source.to_string().contains("AUTH") => {
                    "check the password in its URL"
                }
                Some("NOAUTH" | "WRONGPASS") => "check the password in its URL",
                Some("NOPERM") => "give its user the right to these commands and keys",
                Some("READONLY") => "name the primary: this one is a replica",
                Some("OOM") => "give it more memory, or a policy that evicts",
                Some("LOADING") => "wait until it has loaded its data",
                _ if source.is_connection_refusal() => "check host and port, and that the server runs",
                _ => return None,
            },
        };
        Some(hint.to_owned())
    }
}

impl RedisTarget {
    /// Reads `redis://[USER][:PASSWORD]@HOST[:PORT][/DATABASE]`, or `rediss://` for verified TLS, with `?ca=/PATH` for
    /// the certificate of a private authority.
    ///
    /// Errors: anything that is not exactly this; no TLS beyond this machine, unless `transport` lets it.
    pub fn parse(url: &Secret, transport: Transport) -> Result<Self, RedisError> {
        let wrong = |what: &str| RedisError::Url(what.to_owned());
        let url = Url::parse(url.expose()).map_err(|_| wrong("it is not a URL"))?;
        let is_encrypted = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong("it is not Redis' URL")),
        };
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(_) => url.host_str().unwrap_or_default().to_owned(),
            None => String::new(),
        };
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number
                .parse()
                .ok()
                .filter(|number| *number >= 0)
                .ok_or_else(|| wrong("what stands behind the host is not the number of a database"))?,
        };
        let mut ca = None;
        for (name, value) in url.query_pairs() {
            match &*name {
                "ca" if value.starts_with('/') => ca = Some(PathBuf::from(&*value)),
                _ => return Err(wrong("it has a parameter other than ca=/PATH")),
            }
        }
        if url.fragment().is_some() {
            return Err(wrong("it has a part behind #"));
        }
        if !is_encrypted && transport == Transport::Verified && !is_loopback(&host) {
            return Err(wrong("Redis beyond this machine wants TLS: rediss://, or allow_insecure"));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
        let user = decoded(url.username()).map_err(|_| wrong("its user is not UTF-8"))?;
        let password = url.password().map(decoded).transpose().map_err(|_| wrong("its password is not UTF-8"))?;
        Ok(Self {
            host,
            port: url.port().unwrap_or(6379),
            database,
            is_encrypted,
            user: (!user.is_empty()).then_some(user),
            password: password.filter(|password| !password.is_empty()).map(Secret::new),
            ca,
        })
    }

    /// Whether both lead to the same database of the same server, as far as their URLs tell.
    pub fn same_server(&self, other: &Self) -> bool {
        (&self.host, self.port, self.database) == (&other.host, other.port, other.database)
    }

    fn client(&self) -> Result<Client, RedisError> {
        let Self { host, port, database, is_encrypted, user, password, ca } = self;
        let address = match is_encrypted {
            false => ConnectionAddr::Tcp(host.clone(), *port),
            true => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
        };
        let unusable = |source| RedisError::Unreachable { server: self.to_string(), source: Arc::new(source) };
        let info: ConnectionInfo = address.into_connection_info().map_err(unusable)?;
        let mut login = info.redis_settings().clone().set_db(*database).set_skip_set_lib_name();
        if let Some(user) = user {
            login = login.set_username(user);
        }
        if let Some(password) = password {
            login = login.set_password(password.expose());
        }
        let info = info.set_redis_settings(login);
        let Some(path) = ca else { return Client::open(info).map_err(unusable) };
        let mut root_cert = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST_CA).read_to_end(&mut root_cert));
        read.map_err(|error| RedisError::Url(format!("its ca {} cannot be read: {error}", path.display())))?;
        Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(root_cert) }).map_err(unusable)
    }
}

/// `127.0.0.1:6379/0`. Never a user or a password.
impl fmt::Display for RedisTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(out, "{host}:{}/{}", self.port, self.database)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A Redis database, and what all our keys there begin with. Nothing is connected to until something is asked.
#[derive(Clone)]
pub struct Redis {
    target: RedisTarget,
    prefix: String,
    limits: Limits,
}

impl Redis {
    pub fn new(target: RedisTarget, prefix: String, limits: Limits) -> Self {
        Self { target, prefix, limits }
    }

    /// The key as it stands in Redis.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// `127.0.0.1:6379/0`.
    pub fn server(&self) -> String {
        self.target.to_string()
    }

    /// Runs a batch of commands over one connection, in one round trip.
    ///
    /// Errors: no answer within the limits, or an answer that is an error.
    pub(super) async fn run<T: redis::FromRedisValue>(
        &self,
        doing: &'static str,
        batch: &redis::Pipeline,
    ) -> Result<T, RedisError> {
        let mut conn = self.connect().await?;
        let answer = tokio::time::timeout(self.limits.answer, batch.query_async(&mut conn)).await;
        match answer {
            Ok(answer) => answer.map_err(|source| self.failed(doing, source)),
            Err(_) => Err(RedisError::Silent { server: self.server(), limit: self.limits.answer }),
        }
    }

    /// The version of the server.
    ///
    /// Errors: as every call; [`RedisError::TooOld`] before 6.2.
    pub async fn version(&self) -> Result<String, RedisError> {
        let mut batch = redis::pipe();
        batch.cmd("INFO").arg("server");
        let (info,): (String,) = self.run("say its version", &batch).await?;
        let found = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown").to_owned();
        let mut numbers = found.split('.').map(|number| number.parse().unwrap_or(0));
        let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < OLDEST {
            return Err(RedisError::TooOld { server: self.server(), found });
        }
        Ok(found)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let Limits { connect, answer } = self.limits;
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(connect)).set_response_timeout(Some(answer));
        let client = self.target.client()?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        // The library's limit is for the handshake; ours is for the name's resolution too.
        match tokio::time::timeout(connect, connecting).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(source)) if source.is_timeout() => Err(RedisError::Silent { server: self.server(), limit: connect }),
            Ok(Err(source)) => Err(RedisError::Unreachable { server: self.server(), source: Arc::new(source) }),
            Err(_) => Err(RedisError::Silent { server: self.server(), limit: connect }),
        }
    }

    fn failed(&self, doing: &'static str, source: redis::RedisError) -> RedisError {
        if source.is_timeout() {
            return RedisError::Silent { server: self.server(), limit: self.limits.answer };
        }
        RedisError::Failed { server: self.server(), doing, source: Arc::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, transport: Transport) -> Result<RedisTarget, String> {
        RedisTarget::parse(&Secret::new(url.to_owned()), transport).map_err(|error| error.to_string())
    }

    #[test]
    fn urls_are_read_strictly() {
        let target = parse("redis://:s%40fe@127.0.0.1:7000/3", Transport::Verified).unwrap();
        assert_eq!(target.to_string(), "127.0.0.1:7000/3");
        assert_eq!(target.password.as_ref().map(Secret::expose), Some("s@fe"));
        assert_eq!(
            parse("rediss://cache.example.org", Transport::Verified).unwrap().to_string(),
            "cache.example.org:6379/0"
        );
        assert!(parse("redis://[::1]:1/0", Transport::Verified).is_ok());
        for odd in [
            "",
            "redis:",
            "redis:///0",
            "http://localhost",
            "redis://localhost/x",
            "redis://localhost/-1",
            "redis://localhost?db=1",
            "redis://localhost?ca=relative",
            "redis://localhost/0#x",
        ] {
            assert!(parse(odd, Transport::Verified).is_err(), "{odd}");
        }
    }

    #[test]
    fn beyond_this_machine_it_wants_tls() {
        let refused = parse("redis://:hush@cache.example.org", Transport::Verified).err().unwrap();
        assert!(refused.contains("wants TLS") && !refused.contains("hush"), "{refused}");
        assert!(parse("redis://:hush@cache.example.org", Transport::Unverified).is_ok());
    }

    #[test]
    fn one_database_is_known_again() {
        let parse = |url: &str| parse(url, Transport::Verified).unwrap();
        assert!(parse("redis://localhost").same_server(&parse("redis://:x@localhost:6379/0")));
        assert!(!parse("redis://localhost/1").same_server(&parse("redis://localhost/0")));
    }
}
