//! Redis URLs, read strictly: whatever could lead elsewhere than it seems is refused, and nothing of it is shown
//! before it is certain that it is not a password.

use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::error::RedisError;
use crate::address;
use crate::guard::Transport;
use crate::loopback::names_loopback;
use crate::secret::Secret;

const FORMS: &str = "write redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss://… for TLS, \
                     or redis+unix:///PATH?db=DATABASE";
const PORT: u16 = 6379;

/// A Redis database, as its URL names it. Nothing has been connected to.
#[derive(Clone)]
pub struct RedisTarget {
    pub(super) place: Place,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
}

#[derive(Clone)]
pub(super) enum Place {
    /// `host`: a name, or an address without brackets.
    Tcp {
        host: String,
        port: u16,
        tls: Option<Tls>,
    },
    Unix(PathBuf),
}

/// Encryption, with the server's certificate and name verified.
#[derive(Clone)]
pub(super) struct Tls {
    /// A file of certificates in PEM form, in place of the authorities that this machine trusts.
    pub(super) authority: Option<PathBuf>,
}

impl RedisTarget {
    /// Reads `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`; `rediss://…`, which is TLS with the server's
    /// certificate and name verified, `?ca=/PATH` giving a private authority; or `redis+unix:///PATH` (also
    /// `unix:///PATH`) with `?db=`, `?user=` and `?password=`. Percent-encoding is undone once.
    ///
    /// Errors: anything that is not exactly one of these; a server beyond this machine without TLS, unless
    /// `transport` lets it. No message shows a password.
    pub fn parse(url: &Secret, transport: Transport) -> Result<Self, RedisError> {
        let url = url.expose();
        if url.contains(|letter: char| !letter.is_ascii_graphic()) {
            return Err(refuse("it holds a blank, a control character or a letter outside ASCII", FORMS));
        }
        if url.contains(['#', '\\']) {
            return Err(refuse("it holds a # or a backslash", "percent-encode it: # is %23, a backslash is %5C"));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse("it has no ://", FORMS))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut settings = Settings::read(query)?;
        let target = match scheme.to_ascii_lowercase().as_str() {
            "redis" => tcp(rest, None)?,
            "rediss" => tcp(rest, Some(Tls { authority: settings.authority.take() }))?,
            "redis+unix" | "unix" => unix(rest, &mut settings)?,
            _ => return Err(refuse("its scheme is not Redis'", FORMS)),
        };
        settings.nothing_left()?;
        if transport == Transport::Verified && !target.is_private() {
            return Err(RedisError::Transport { server: target.shown() });
        }
        Ok(target)
    }

    /// `10.0.0.1:6379/0`, or `/run/redis.sock/0`. Never a user or a password.
    pub fn shown(&self) -> String {
        let database = self.database;
        match &self.place {
            Place::Tcp { host, port, tls: _ } if host.contains(':') => format!("[{host}]:{port}/{database}"),
            Place::Tcp { host, port, tls: _ } => format!("{host}:{port}/{database}"),
            Place::Unix(path) => format!("{}/{database}", path.display()),
        }
    }

    /// Whether both name the same database of the same server in the same words. Two names for one server count as
    /// two servers.
    pub fn same_server(&self, other: &Self) -> bool {
        let same_place = match (&self.place, &other.place) {
            (Place::Tcp { host, port, tls: _ }, Place::Tcp { host: other_host, port: other_port, tls: _ }) => {
                host.eq_ignore_ascii_case(other_host) && port == other_port
            }
            (Place::Unix(path), Place::Unix(other)) => path == other,
            _ => false,
        };
        same_place && self.database == other.database
    }

    /// What is said there is overheard by nobody: it is encrypted, or does not leave this machine.
    fn is_private(&self) -> bool {
        match &self.place {
            Place::Tcp { tls: Some(_), .. } | Place::Unix(_) => true,
            Place::Tcp { host, port: _, tls: None } => names_loopback(host),
        }
    }
}

fn refuse(why: &str, mend: &'static str) -> RedisError {
    RedisError::Url { why: why.to_owned(), mend }
}

/// `[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`.
fn tcp(rest: &str, tls: Option<Tls>) -> Result<RedisTarget, RedisError> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains('@') || authority.matches('@').count() > 1 {
        let mend = "percent-encode special characters of the password: @ is %40, / is %2F, ? is %3F, : is %3A";
        return Err(refuse("an @ stands outside its place before the host", mend));
    }
    let (login, server) = match authority.split_once('@') {
        Some((login, server)) => (Some(login), server),
        None => (None, authority),
    };
    let (user, password) = login.map_or(Ok((None, None)), credentials)?;
    let (host, port) = host_and_port(server)?;
    let database = if path.is_empty() { 0 } else { database(path)? };
    Ok(RedisTarget { place: Place::Tcp { host, port, tls }, user, password, database })
}

/// `[USER]:PASSWORD`.
fn credentials(login: &str) -> Result<(Option<String>, Option<Secret>), RedisError> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    if password.is_empty() || password.contains(':') {
        let mend = "write [USER]:PASSWORD before the @; a colon in the password is %3A";
        return Err(refuse("what stands before the @ is not a user and a password", mend));
    }
    let user = decoded(user)?;
    Ok(((!user.is_empty()).then(|| user.to_string()), Some(Secret::new(decoded(password)?.to_string()))))
}

fn host_and_port(server: &str) -> Result<(String, u16), RedisError> {
    // An address of version 6 stands in brackets, for its own colons.
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) if host.contains(':') && host.parse::<IpAddr>().is_ok() => (
            host,
            rest.strip_prefix(':')
                .or(rest.is_empty().then_some(""))
                .ok_or_else(|| refuse("its port is malformed", FORMS))?,
        ),
        _ => server.split_once(':').unwrap_or((server, "")),
    };
    if host.is_empty() {
        return Err(refuse("it names no host", "write the host, also when it is localhost"));
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if host.parse::<IpAddr>().is_err() && !host.chars().all(plain) {
        return Err(refuse("its host's name is not plain", "name one host or address"));
    }
    if address::is_usual(host).is_err() {
        let why = "its host is an address in a form that programs read in different ways";
        return Err(refuse(why, "write four decimal numbers without leading zeros, such as 10.0.0.11"));
    }
    let port = match port {
        "" => PORT,
        port => number(port)
            .filter(|port| *port > 0)
            .ok_or_else(|| refuse("its port is not a number", "write 1 to 65535"))?,
    };
    Ok((host.to_owned(), port))
}

/// `/PATH`, the rest being in the query.
fn unix(path: &str, settings: &mut Settings) -> Result<RedisTarget, RedisError> {
    // An encoded `/` in front would stand where other readers look for a server's name.
    let is_absolute = path.starts_with('/');
    let path = decoded(path)?;
    if !is_absolute || path.ends_with('/') {
        return Err(refuse("it names no socket by its absolute path", FORMS));
    }
    if path.split('/').any(|name| name == "..") {
        // Some readers take it out together with the name before it, which is another file where that is a link.
        return Err(refuse("its path goes up again by ..", "write the path without"));
    }
    if settings.user.is_some() && settings.password.is_none() {
        return Err(refuse("it names a user and no password", "give ?password= too"));
    }
    Ok(RedisTarget {
        place: Place::Unix(PathBuf::from(path.as_str())),
        user: settings.user.take(),
        password: settings.password.take(),
        database: settings.database.take().unwrap_or(0),
    })
}

/// The parameters that a URL may carry, each used up by the form that knows it.
#[derive(Default)]
struct Settings {
    authority: Option<PathBuf>,
    database: Option<u32>,
    user: Option<String>,
    password: Option<Secret>,
}

impl Settings {
    fn read(query: &str) -> Result<Self, RedisError> {
        let mut settings = Self::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = decoded(value)?;
            let again = match name {
                "ca" if value.starts_with('/') => settings.authority.replace(PathBuf::from(value.as_str())).is_some(),
                "ca" => return Err(refuse("?ca= is not an absolute path", "write it from the root")),
                "db" => settings.database.replace(database(&value)?).is_some(),
                "user" => settings.user.replace(value.to_string()).is_some(),
                "password" => settings.password.replace(Secret::new(value.to_string())).is_some(),
                _ => {
                    let mend = "take it out; known are ca for rediss://, and db, user and password for redis+unix://";
                    return Err(refuse("it carries a parameter that is not known", mend));
                }
            };
            if again {
                return Err(refuse("it gives one parameter twice", "give it once"));
            }
        }
        Ok(settings)
    }

    /// What was given, and is not for a URL of this form.
    fn nothing_left(self) -> Result<(), RedisError> {
        let Self { authority, database, user, password } = self;
        if authority.is_some() {
            return Err(refuse("?ca= is given, and there is no TLS", "write rediss://, or take ?ca= out"));
        }
        if database.is_some() || user.is_some() || password.is_some() {
            return Err(refuse("?db=, ?user= and ?password= are for a Unix socket", FORMS));
        }
        Ok(())
    }
}

fn database(text: &str) -> Result<u32, RedisError> {
    number(text).ok_or_else(|| refuse("its database is not a number", "write the number of the database, mostly 0"))
}

/// Digits alone: no sign, no blanks.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|letter| letter.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Percent-encoding undone once.
fn decoded(text: &str) -> Result<Zeroizing<String>, RedisError> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| refuse("a part of it is not UTF-8 once decoded", "percent-encode its UTF-8 bytes"))?;
    let text = Zeroizing::new(text.into_owned());
    if text.chars().any(char::is_control) {
        return Err(refuse("a part of it holds an encoded control character", "take it out"));
    }
    Ok(text)
}
