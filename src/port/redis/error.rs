//! What can go wrong with Redis: which server, the cause as an operator would name it, and the way out.
//!
//! Nothing that a server writes is repeated, but for the code in front: Redis quotes the arguments of a command that
//! it does not know, and with them the secret that was to be put there.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redis::{ErrorKind, ServerError};

use crate::guard::Refusal;

/// The oldest Redis that will do: the first with GETDEL.
pub const OLDEST: Version = Version { major: 6, minor: 2, patch: 0 };

/// A Redis server's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    /// Reads `7.0.15`; what follows the third number is left aside.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut numbers = text.trim().splitn(3, '.');
        let mut next = || {
            let part = numbers.next()?;
            let digits = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().ok()
        };
        Some(Self { major: next()?, minor: next()?, patch: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        write!(out, "{major}.{minor}.{patch}")
    }
}

/// Why Redis could not be reached or used, as an operator would name it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The server does not take this user or password, or wants one.
    Login,
    /// The server has no database of that number.
    Database,
    /// The user may not run the command, or use the key.
    Rights,
    /// A replica, which takes no writes.
    ReadOnly,
    /// The server's memory is used up, and nothing may be evicted.
    Full,
    /// The server still reads its data from the disk.
    Loading,
    /// A script of somebody else's keeps the server from answering.
    Busy,
    /// The server cannot save its data, and takes no writes until it can.
    Unsaved,
    /// Something else than we keep there lies under the key.
    Foreign,
    /// The server is older than [`OLDEST`].
    Version(Version),
    /// What answered does not speak as Redis does.
    Protocol,
    /// Another error of the server's, by its code.
    Other(String),
}

impl Cause {
    /// Reads the cause out of the code of a server's error.
    pub(super) fn of_server(error: &ServerError) -> Self {
        match error.code() {
            "NOAUTH" | "WRONGPASS" | "DENIED" => Cause::Login,
            "NOPERM" => Cause::Rights,
            "READONLY" => Cause::ReadOnly,
            "OOM" => Cause::Full,
            "LOADING" => Cause::Loading,
            "MASTERDOWN" => Cause::Network,
            "BUSY" => Cause::Busy,
            "MISCONF" => Cause::Unsaved,
            "WRONGTYPE" => Cause::Foreign,
            "ERR" if error.details().is_some_and(|told| told.starts_with("max number of clients")) => Cause::Busy,
            // An error inside a script is told as ERR in older servers, its own code behind it.
            "ERR" => error.details().and_then(Self::of_nested).unwrap_or(Cause::Other("ERR".to_owned())),
            code => Cause::Other(plain(code)),
        }
    }

    /// The code that stands in the text of an error which a script met.
    fn of_nested(told: &str) -> Option<Self> {
        const NESTED: [(&str, Cause); 7] = [
            ("-OOM ", Cause::Full),
            ("-READONLY ", Cause::ReadOnly),
            ("-MISCONF ", Cause::Unsaved),
            ("-NOPERM ", Cause::Rights),
            ("-WRONGTYPE ", Cause::Foreign),
            // Rights that a script lacks are told in words of their own: up to 7.0, and since.
            ("The user executing the script can't", Cause::Rights),
            ("ACL failure in script", Cause::Rights),
        ];
        NESTED.into_iter().find(|(code, _)| told.contains(code)).map(|(_, cause)| cause)
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            // A Unix socket's file that is not there is a port on which nobody listens.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Cause::Refused,
            io::ErrorKind::TimedOut => Cause::Timeout,
            io::ErrorKind::PermissionDenied => Cause::Rights,
            // What rustls reports of a handshake that came to nothing.
            io::ErrorKind::InvalidData => Cause::Tls,
            // The standard library's own words; it has no kind for it.
            _ if error.to_string().starts_with("failed to lookup address") => Cause::Dns,
            _ => Cause::Network,
        }
    }

    /// What to do about it, where something can be said without knowing more.
    fn mend(&self) -> Option<String> {
        Some(match self {
            Cause::Dns => "check the host's name in the Redis URL".to_owned(),
            Cause::Refused => "check host and port in the Redis URL, and that the server runs".to_owned(),
            Cause::Network => "check the network between here and the server".to_owned(),
            Cause::Timeout => {
                "check that the port is Redis', that it speaks TLS where the URL says rediss:// and only there, \
                               and that no firewall drops packets"
                    .to_owned()
            }
            Cause::Tls => "check that the port speaks TLS, and the server's certificate and its name; \
                           a private authority is given with ?ca=/PATH"
                .to_owned(),
            Cause::Login => "check user and password in the Redis URL".to_owned(),
            Cause::Database => "name a database that the server has, or raise `databases` there".to_owned(),
            Cause::Rights => {
                "give the user the rights it lacks: its commands, scripts and keys; see ACL LOG there".to_owned()
            }
            Cause::ReadOnly => "name the primary in the Redis URL, not a replica".to_owned(),
            Cause::Full => "raise `maxmemory` on the server, or free memory there".to_owned(),
            Cause::Loading => "wait until the server has read its data".to_owned(),
            Cause::Busy => "wait; if it stays, see CLIENT LIST and SCRIPT KILL on the server".to_owned(),
            Cause::Unsaved => "mend what keeps the server from saving: its log names it, mostly a full disk".to_owned(),
            Cause::Foreign => "set a key prefix of our own: something else uses the same names there".to_owned(),
            Cause::Version(_) => format!("upgrade Redis to {}.{} or later", OLDEST.major, OLDEST.minor),
            Cause::Protocol => {
                "check that the port is Redis' own, and speaks TLS only where the URL says rediss://".to_owned()
            }
            Cause::Other(_) => return None,
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Cause::Dns => "the host's name does not resolve",
            Cause::Refused => "nobody listens there",
            Cause::Network => "the connection broke, or the network does not lead there",
            Cause::Timeout => "no answer in time",
            Cause::Tls => "no verified encryption",
            Cause::Login => "the login is refused",
            Cause::Database => "it has no database of that number",
            Cause::Rights => "rights are missing",
            Cause::ReadOnly => "it is a replica, which takes no writes",
            Cause::Full => "its memory is used up",
            Cause::Loading => "it is still reading its data",
            Cause::Busy => "it is busy",
            Cause::Unsaved => "it cannot save its data, and takes no writes",
            Cause::Foreign => "something else lies under the name of a key of ours",
            Cause::Version(found) => {
                let Version { major, minor, patch: _ } = OLDEST;
                return write!(out, "it has version {found}, and {major}.{minor} or later is needed");
            }
            Cause::Protocol => "its answer is not Redis'",
            Cause::Other(code) => return write!(out, "it answers with the error {code}"),
        })
    }
}

/// Why Redis could not be used. No message holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisError {
    /// The URL is malformed, or says what it may not.
    #[error("the Redis URL cannot be used: {why}")]
    Url { why: String, mend: &'static str },
    /// Passwords and secrets would cross a network in clear text.
    #[error("the way to Redis at {server} is not encrypted")]
    Transport { server: String },
    /// The file that `?ca=` names.
    #[error("the certificate authority in {} cannot be used", path.display())]
    Authority {
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    /// The guard says no: it is another environment's, or another database's.
    #[error(transparent)]
    Refused(Refusal),
    /// The server is not reached, or does not do what it was asked for.
    #[error("Redis at {server} cannot be used: {cause}")]
    Failed {
        server: String,
        cause: Cause,
        #[source]
        source: Option<Arc<io::Error>>,
    },
}

impl RedisError {
    pub(super) fn failed(server: &str, cause: Cause) -> Self {
        RedisError::Failed { server: server.to_owned(), cause, source: None }
    }

    /// An error that the driver met before the server answered.
    pub(super) fn driver(server: &str, error: &redis::RedisError) -> Self {
        let source = io_error(error);
        let cause = match (&source, error.kind()) {
            (Some(error), _) => Cause::of_io(error),
            // A name that no certificate can hold, or no trusted authority on this machine.
            (None, ErrorKind::Io | ErrorKind::InvalidClientConfig) => Cause::Tls,
            (None, _) => Cause::Protocol,
        };
        RedisError::Failed { server: server.to_owned(), cause, source: source.map(Arc::new) }
    }

    /// Why, where a server was asked.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            RedisError::Failed { cause, .. } => Some(cause),
            RedisError::Url { .. }
            | RedisError::Transport { .. }
            | RedisError::Authority { .. }
            | RedisError::Refused(_) => None,
        }
    }

    /// The guard's no, where that is what it is.
    pub fn refusal(&self) -> Option<&Refusal> {
        if let RedisError::Refused(refusal) = self { Some(refusal) } else { None }
    }

    /// How to mend it, where the operator can.
    pub fn hint(&self) -> Option<String> {
        match self {
            RedisError::Url { why: _, mend } => Some((*mend).to_owned()),
            RedisError::Transport { server: _ } => Some(
                "write rediss:// where the server speaks TLS, with ?ca=/PATH for a private authority; where the network \
                 itself is trusted, set allow_insecure"
                    .to_owned(),
            ),
            RedisError::Authority { path, source: _ } => {
                Some(format!("name a readable file of certificates in PEM form instead of {}", path.display()))
            }
            RedisError::Refused(refusal) => Some(refusal.mend.clone()),
            RedisError::Failed { server: _, cause, source: _ } => cause.mend(),
        }
    }
}

/// The I/O error inside a driver's error, which it keeps to itself.
fn io_error(error: &redis::RedisError) -> Option<io::Error> {
    let inner = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    let inner = inner.downcast_ref::<io::Error>()?;
    Some(io::Error::new(inner.kind(), inner.to_string()))
}

/// A server's error code, or as much of it as looks like one.
fn plain(code: &str) -> String {
    code.chars().take_while(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit()).take(20).collect()
}
