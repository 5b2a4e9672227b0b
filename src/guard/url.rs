//! Database URLs, read strictly: whatever could lead elsewhere than it seems is refused by name.
//!
//! No refusal shows a part of a URL before it is certain that this part is not a password.

use std::net::IpAddr;
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::file::{self, Place};
use super::policy::Catalog;
use super::refusal::{Fact, Refusal, ascii};
use crate::address;
use crate::change::printable;
use crate::loopback::names_loopback;
use crate::secret::Secret;

const FORMS: &str = "write sqlite:PATH/CATALOG.db or postgres://USER:PASSWORD@HOST:PORT/CATALOG";

/// What the way to a server beyond this machine must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS, with the server's certificate and name verified.
    Verified,
    /// Whatever the URL says: a setting spells out that this network is trusted.
    Unverified,
}

/// How a PostgreSQL connection is encrypted; the words of `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A database, as its URL names it. Nothing has been connected to.
#[derive(Clone)]
pub enum Target {
    Sqlite(SqliteTarget),
    Postgres(PostgresTarget),
}

/// A SQLite file, by the absolute path as it was written, links unresolved.
#[derive(Clone)]
pub struct SqliteTarget {
    path: PathBuf,
    catalog: Catalog,
}

/// A PostgreSQL database. Every field that the driver could take from its environment is settled here.
#[derive(Clone)]
pub struct PostgresTarget {
    /// A name, an address without brackets, or the absolute directory of a Unix socket.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) catalog: Catalog,
    pub(crate) ssl_mode: SslMode,
    pub(crate) ssl_root_cert: Option<PathBuf>,
    pub(crate) application_name: Option<String>,
    pub(crate) connect_timeout: Option<Duration>,
}

impl Target {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, a bare path that ends in `.db`, or
    /// `postgres://user:password@host:port/catalog?sslmode=…`. Percent-encoding is undone once, and what results is
    /// what the driver gets.
    ///
    /// Errors: anything that is not exactly one of these; a catalog whose name is not plain; PostgreSQL beyond this
    /// machine without verified TLS, unless `transport` lets it.
    pub fn parse(url: &str, transport: Transport) -> Result<Self, Refusal> {
        if let Some(letter) = url.chars().find(|letter| letter.is_control()) {
            let why = format!("the database URL holds the control character {}", letter.escape_default());
            return Err(refuse(why, "take it out"));
        }
        if let Some(letter) = url.chars().find(|letter| is_unseen(*letter)) {
            let why = format!("the database URL holds the invisible character {}", letter.escape_unicode());
            return Err(refuse(why, format!("take it out; {FORMS}")));
        }
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        if scheme.eq_ignore_ascii_case("postgres") || scheme.eq_ignore_ascii_case("postgresql") {
            return postgres(url, transport).map(Target::Postgres);
        }
        if scheme.eq_ignore_ascii_case("sqlite") {
            let path = &url[scheme.len() + 1..];
            return sqlite(path.strip_prefix("//").unwrap_or(path)).map(Target::Sqlite);
        }
        if scheme.eq_ignore_ascii_case("file") {
            return Err(refuse("file: URIs can carry options that change what is opened", FORMS));
        }
        let is_like_sqlites = scheme.to_ascii_lowercase().contains("sqlite") || url.contains(":sqlite");
        if (url.ends_with(".db") && !url.contains("://")) || is_like_sqlites {
            return sqlite(url).map(Target::Sqlite);
        }
        Err(refuse("the database URL is neither SQLite's nor PostgreSQL's", FORMS))
    }

    pub fn catalog(&self) -> &Catalog {
        match self {
            Target::Sqlite(target) => &target.catalog,
            Target::Postgres(target) => &target.catalog,
        }
    }

    /// `10.0.0.1:5432`, a socket's directory, or the real path of the file. Never a user or a password.
    pub fn server(&self) -> String {
        match self {
            Target::Sqlite(target) => match target.locate() {
                Ok(place) => place.path().display().to_string(),
                Err(_) => target.path.display().to_string(),
            },
            Target::Postgres(target) => target.server(),
        }
    }

    pub fn driver(&self) -> &'static str {
        match self {
            Target::Sqlite(_) => "sqlite",
            Target::Postgres(_) => "postgres",
        }
    }
}

impl SqliteTarget {
    /// Where the file really is, at this moment.
    ///
    /// Errors: as a clause for a refusal, when it is a hard link, a link that leads nowhere, or not a file.
    pub fn locate(&self) -> Result<Place, String> {
        file::locate(&self.path)
    }

    /// As it was written, made absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl PostgresTarget {
    pub fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The directory of a Unix socket, where there is no host.
    pub fn socket(&self) -> Option<&Path> {
        self.host.starts_with('/').then(|| Path::new(&self.host))
    }

    /// This machine: `localhost`, an address of the loopback, or a Unix socket.
    pub fn is_local(&self) -> bool {
        self.socket().is_some() || names_loopback(&self.host)
    }
}

fn refuse(why: impl Into<String>, mend: impl Into<String>) -> Refusal {
    Refusal::new(Fact::Url, why, mend)
}

fn sqlite(written: &str) -> Result<SqliteTarget, Refusal> {
    if written.is_empty() || written.to_ascii_lowercase().contains(":memory:") {
        return Err(refuse("a database in memory has no catalog", "name a file: sqlite:PATH/CATALOG.db"));
    }
    if written.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:")) {
        return Err(refuse("file: URIs can carry options that change what is opened", FORMS));
    }
    let first = written.split('/').next().unwrap_or_default();
    let login = first.split_once(':').is_some_and(|(_, rest)| rest.contains('@'));
    if login || gives_password(written) {
        return Err(refuse("the SQLite path holds what looks like a password", FORMS));
    }
    if let Some((scheme, _)) = first.split_once(':') {
        let why = match scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+.- ".contains(letter)) {
            true => format!("the database URL's scheme `{scheme}:` is unknown"),
            false => "the database URL's scheme is unknown".to_owned(),
        };
        let meant = if first.to_ascii_lowercase().contains("sqlite") { "did you mean sqlite:? " } else { "" };
        return Err(refuse(why, format!("{meant}{FORMS}; a path with a colon begins with ./ or /")));
    }
    if written.starts_with(char::is_whitespace) {
        return Err(refuse("the SQLite path begins with a blank", format!("take it out; {FORMS}")));
    }
    if let Some(odd) = written.chars().find(|letter| "?#%".contains(*letter)) {
        let why = format!("the SQLite path holds `{odd}`: parameters and percent-encoding are not read there");
        return Err(refuse(why, "write the path alone, as it is on disk"));
    }
    let absolute = path::absolute(written).map_err(|error| {
        refuse(format!("the SQLite path cannot be made absolute: {error}"), "write it from the root")
    })?;
    let name = absolute.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(stem) = name.strip_suffix(".db").filter(|_| written.ends_with(".db")) else {
        let why = format!("the SQLite file `{}` does not end in .db", ascii(&printable(name)));
        return Err(refuse(why, "a catalog's file is its name and .db: KSESSIONS_DEV.db"));
    };
    let catalog = Catalog::new(stem).map_err(|why| refuse(why, "name the file after its catalog: KSESSIONS_DEV.db"))?;
    Ok(SqliteTarget { path: absolute, catalog })
}

fn postgres(url: &str, transport: Transport) -> Result<PostgresTarget, Refusal> {
    let rest = url.split_once("://").map(|(_, rest)| rest).ok_or_else(|| refuse("the URL has no //", FORMS))?;
    check_authority(rest)?;
    let parsed = Url::parse(url).map_err(|error| refuse(format!("the URL is malformed: {error}"), FORMS))?;
    let path = rest.split(['?', '#']).next().unwrap_or_default().split_once('/').map_or("", |(_, path)| path);
    if parsed.fragment().is_some() || path.contains('/') {
        return Err(refuse("the URL goes on after the catalog's name", FORMS));
    }
    let name = decoded(path, "the catalog's name")?;
    if gives_password(&name) {
        return Err(refuse("the catalog's name holds what looks like a password", FORMS));
    }
    let catalog = Catalog::new(&name).map_err(|why| refuse(why, FORMS))?;
    let user = decoded(parsed.username(), "the user's name")?;
    if user.is_empty() {
        return Err(refuse("the URL names no user", FORMS).catalog(&catalog));
    }
    let password = parsed.password().map(|password| decoded(password, "the password")).transpose()?;
    let mut settings = Settings::read(&parsed).map_err(|refusal| refusal.catalog(&catalog))?;
    let host = host(&parsed, settings.socket.take())?;
    let mut target = PostgresTarget {
        host,
        port: parsed.port().unwrap_or(5432),
        user,
        password: password.map(Secret::new),
        catalog,
        ssl_mode: SslMode::Prefer,
        ssl_root_cert: settings.ssl_root_cert,
        application_name: settings.application_name,
        connect_timeout: settings.connect_timeout,
    };
    target.ssl_mode = encryption(&target, settings.ssl_mode, transport)?;
    Ok(target)
}

/// Byte order marks, joiners and the like: what editors and web pages leave behind, and nobody sees.
fn is_unseen(letter: char) -> bool {
    matches!(letter, '\u{feff}' | '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}')
}

/// Whether a password is given where none is read, behind a `?` that is lost: then what stands there is not shown.
fn gives_password(text: &str) -> bool {
    text.to_ascii_lowercase().contains("password=")
}

/// What the URL parser would accept, repair or strip in silence.
fn check_authority(rest: &str) -> Result<(), Refusal> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest.matches('@').count() != authority.matches('@').count() || authority.matches('@').count() > 1 {
        let why = "an @ stands outside its place before the host";
        return Err(refuse(why, "percent-encode special characters of the password: @ is %40, / is %2F, ? is %3F"));
    }
    if authority.contains(',') {
        return Err(refuse("the URL names several hosts, and which one answers is chance", "name one host"));
    }
    if !rest.is_ascii() {
        let why = "the URL holds a letter outside ASCII, which may look like another";
        return Err(refuse(why, "write ASCII; percent-encode special characters of the password"));
    }
    if rest.contains([' ', '\\']) {
        return Err(refuse("the URL holds a blank or a backslash", "take it out, or percent-encode it in a password"));
    }
    Ok(())
}

/// Percent-encoding undone once. A NUL or line end could smuggle parameters into the start of a session.
fn decoded(text: &str, what: &str) -> Result<String, Refusal> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| refuse(format!("{what} is not UTF-8 once decoded"), "percent-encode its UTF-8 bytes"))?;
    if text.chars().any(char::is_control) {
        return Err(refuse(format!("{what} holds an encoded control character"), "take it out"));
    }
    Ok(text.into_owned())
}

fn host(parsed: &Url, socket: Option<String>) -> Result<String, Refusal> {
    let encoded = parsed.host_str().unwrap_or_default();
    let written = decoded(encoded, "the host")?;
    let host = match (written.is_empty(), socket) {
        (true, Some(directory)) => directory,
        (true, None) => {
            return Err(refuse("the URL names no host", "write the host, also when it is localhost"));
        }
        (false, Some(_)) => {
            return Err(refuse("the URL names a host and a socket in ?host=", "name one of them"));
        }
        (false, None) => written,
    };
    if host.starts_with('/') {
        return Ok(host);
    }
    // Only a directory has to be encoded, and not every reader would decode a name.
    let bare = encoded.trim_start_matches('[').trim_end_matches(']');
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if bare.parse::<IpAddr>().is_ok() || bare.chars().all(plain) {
        address::is_usual(bare).map_err(|(what, mend)| refuse(format!("the host {bare} {what}"), mend))?;
        return Ok(bare.to_owned());
    }
    Err(refuse("the host's name is not plain", "name one host or address"))
}

/// The parameters that a URL may carry.
#[derive(Default)]
struct Settings {
    ssl_mode: Option<SslMode>,
    ssl_root_cert: Option<PathBuf>,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    socket: Option<String>,
}

impl Settings {
    fn read(parsed: &Url) -> Result<Self, Refusal> {
        let mut settings = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for part in parsed.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decoded(name, "a parameter's name")?, decoded(value, "a parameter")?);
            if seen.contains(&name) {
                return Err(refuse(format!("the URL gives {name} twice"), "give it once"));
            }
            settings.take(&name, value)?;
            seen.push(name);
        }
        Ok(settings)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        match name {
            "sslmode" => self.ssl_mode = Some(ssl_mode(&value)?),
            "sslrootcert" if value.starts_with('/') => self.ssl_root_cert = Some(PathBuf::from(value)),
            "sslrootcert" => return Err(refuse("sslrootcert is not an absolute path", "write it from the root")),
            "application_name" => self.application_name = Some(value),
            "connect_timeout" => match value.parse() {
                Ok(seconds @ 1..=300) => self.connect_timeout = Some(Duration::from_secs(seconds)),
                _ => return Err(refuse("connect_timeout is not a number of seconds", "write 1 to 300")),
            },
            "host" if value.starts_with('/') => self.socket = Some(value),
            "host" => return Err(refuse("?host= names a host besides the URL's own", "name one host, before the /")),
            "dbname" => {
                return Err(refuse(
                    "?dbname= would name another catalog than the path",
                    "name the catalog in the path",
                ));
            }
            "options" => {
                let mend = "take it out; the schema is a setting of its own";
                return Err(refuse("?options= could set any parameter of the session", mend));
            }
            _ if gives_password(name) => {
                let mend = "percent-encode special characters of the password: & is %26";
                return Err(refuse("a parameter's name holds what looks like a password", mend));
            }
            _ => {
                let why = format!("the URL carries the parameter `{}`, which is not known", ascii(&printable(name)));
                let mend = "take it out; known are sslmode, sslrootcert, application_name, connect_timeout";
                return Err(refuse(why, mend));
            }
        }
        Ok(())
    }
}

fn ssl_mode(word: &str) -> Result<SslMode, Refusal> {
    match word {
        "disable" => Ok(SslMode::Disable),
        "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        _ => Err(refuse("sslmode is not known", "write disable, prefer, require, verify-ca or verify-full")),
    }
}

/// Beyond this machine the server must prove who it is.
fn encryption(target: &PostgresTarget, asked: Option<SslMode>, transport: Transport) -> Result<SslMode, Refusal> {
    match (asked, transport) {
        (Some(SslMode::VerifyFull), _) => Ok(SslMode::VerifyFull),
        (None, Transport::Verified) if !target.is_local() => Ok(SslMode::VerifyFull),
        (Some(_), Transport::Verified) if !target.is_local() => Err(Refusal::new(
            Fact::Transport,
            "sslmode does not verify who the server beyond this machine is",
            "write sslmode=verify-full, with sslrootcert=/PATH for a private authority; where the network itself is \
             trusted, set allow_insecure",
        )
        .server(target.server())
        .catalog(&target.catalog)),
        (asked, _) => Ok(asked.unwrap_or(SslMode::Prefer)),
    }
}
