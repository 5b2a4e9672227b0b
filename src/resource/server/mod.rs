//! Servers: where customers' databases lie, how many there is room for, and how they are.

pub mod diff;
pub mod health;
pub mod rows;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;

pub use health::Health;

use super::{Asked, Resource, Verdict};
use crate::address;
use crate::change::{Kind, Value};
use crate::port::pool::Sight;
use crate::store::sql::Id;
use crate::yaml::{Field, Item, Problem, Section};

/// A server's name: its natural key, unless `formerly` renames it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(pub String);

impl fmt::Display for ServerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Whether a server holds several instances or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerType {
    Shared,
    Dedicated,
}

impl ServerType {
    const WORDS: &'static [&'static str] = &["shared", "dedicated"];

    pub fn word(self) -> &'static str {
        match self {
            ServerType::Shared => "shared",
            ServerType::Dedicated => "dedicated",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [ServerType::Shared, ServerType::Dedicated].into_iter().find(|kind| kind.word() == word)
    }
}

/// Whether a server takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    /// It keeps what it has, and takes no more.
    Maintenance,
}

impl Status {
    const WORDS: &'static [&'static str] = &["active", "maintenance"];

    pub fn word(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Maintenance => "maintenance",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Status::Active, Status::Maintenance].into_iter().find(|status| status.word() == word)
    }
}

/// A server as a file wants it. A field that is left out is not managed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: Option<i64>,
    pub server_type: Option<ServerType>,
    pub max_instances: Option<i64>,
    pub priority: Option<i64>,
    pub status: Option<Status>,
    /// The name of a secret that the configuration knows.
    pub admin: String,
    /// The name that it had before.
    pub formerly: Option<ServerName>,
}

/// The row of a server, in what files may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub name: ServerName,
    pub host: String,
    pub port: i64,
    pub server_type: ServerType,
    pub max_instances: i64,
    pub priority: i64,
    pub status: Status,
    pub admin: Option<String>,
}

/// A server as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub id: Id,
    pub profile: Profile,
    /// The counter in the row.
    pub counter: i64,
    /// The places that are really taken, counted from the rows of those who take them.
    pub allocated: i64,
    pub health: Health,
    /// The cluster that it was bound to at its first use.
    pub identity: Option<String>,
}

/// Write one row: all of it, with what was seen before as the expectation.
#[derive(Clone, Debug)]
pub struct Step {
    pub before: Option<Observed>,
    pub after: Profile,
}

impl Server {
    /// Its row: under its name, or under the name that it had before.
    pub fn row_in<'a>(&self, name: &ServerName, observed: &'a BTreeMap<ServerName, Observed>) -> Option<&'a Observed> {
        observed.get(name).or_else(|| observed.get(self.formerly.as_ref()?))
    }
}

/// Two servers that lead to one cluster: one that was bound to it before stays, and the others are trouble. A place on
/// each of them would be counted twice.
pub fn tell_twins_apart(
    sights: &mut BTreeMap<ServerName, Result<Sight, String>>,
    is_bound: impl Fn(&ServerName) -> bool,
) {
    let mut first: BTreeMap<String, ServerName> = BTreeMap::new();
    let mut names: Vec<ServerName> = sights.keys().cloned().collect();
    names.sort_by_key(|name| !is_bound(name));
    for name in names {
        let Some(Ok(sight)) = sights.get(&name) else { continue };
        match first.get(&sight.identity) {
            None => drop(first.insert(sight.identity.clone(), name)),
            Some(twin) => {
                let trouble = format!("it is the same PostgreSQL cluster as server/{twin}");
                sights.insert(name, Err(trouble));
            }
        }
    }
}

/// [`is_host`] for JSON Schema, in which whatever has two colons may be an IPv6 address.
const HOST_PATTERN: &str = concat!(
    r#"^([^\s\u0000-\u001f\u007f-\u009f/@?#"'\\\[\]:]+"#,
    r#"|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*(%[^\s\u0000-\u001f\u007f-\u009f/@?#"'\\\[\]]*)?)$"#
);

/// Whether a text may be a host's name or address, and nothing else, such as either with a port.
fn is_host(text: &str) -> bool {
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || "/@?#\"'\\[]".contains(letter);
    // The colons of an IPv6 address, which may have a zone behind it, are no port's.
    let is_address = || text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    !text.contains(odd) && (!text.contains(':') || is_address())
}

const DEFAULT_PORT: i64 = 5432;
const DEFAULT_PRIORITY: i64 = 100;

/// What a file may say of a server.
pub const SECTION: Section = Section {
    kind: Kind { name: "server", plural: "servers" },
    about: "PostgreSQL servers on which instances get their databases.",
    fields: &[
        Field::name("name").required().about("The server's name: its natural key."),
        Field::text("host", 1, 255)
            .required()
            .pattern(HOST_PATTERN)
            .about("The host that instances are told to connect to."),
        Field::int("port", 1, 65_535).default("5432").about("The port that they are told."),
        Field::word("type", ServerType::WORDS)
            .default("shared")
            .about("dedicated: for one premium or enterprise instance."),
        Field::int("max_instances", 1, 1_000_000)
            .default("1, where the type is dedicated")
            .about("How many instances there is room for."),
        Field::int("priority", 0, 1_000_000).default("100").about("The lower is tried first."),
        Field::word("state", Status::WORDS)
            .default("active")
            .about("maintenance: it keeps what it has, and takes no more."),
        Field::name("admin")
            .required()
            .about("The name of a secret that the configuration knows; never a password, a path or a variable."),
        Field::name("formerly").about("The name that it had before: renames it."),
    ],
    exclusive: &[],
};

impl Resource for Server {
    const KIND: Kind = SECTION.kind;
    const SECTION: Section = SECTION;
    type Key = ServerName;
    type Observed = Observed;
    type Scope<'a> = diff::Scope<'a>;
    type Step = Step;

    fn former(&self) -> Option<&ServerName> {
        self.formerly.as_ref()
    }

    fn declare(item: &Item<'_>) -> Result<(ServerName, Self), Vec<Problem>> {
        let name = ServerName(item.text("name").unwrap_or_default().to_owned());
        let server = Server {
            host: item.text("host").unwrap_or_default().to_owned(),
            port: item.int("port"),
            server_type: item.word("type").and_then(ServerType::from_word),
            max_instances: item.int("max_instances"),
            priority: item.int("priority"),
            status: item.word("state").and_then(Status::from_word),
            admin: item.text("admin").unwrap_or_default().to_owned(),
            formerly: item.text("formerly").map(|name| ServerName(name.to_owned())),
        };
        let mut problems = Vec::new();
        let mut wrong = |field: &str, what: &str, hint: &str| {
            problems.push(item.problem(field, what, Some(hint.to_owned())));
        };
        match (server.server_type, server.max_instances) {
            (Some(ServerType::Dedicated), Some(max)) if max != 1 => {
                wrong("max_instances", "a dedicated server holds one instance", "write 1, or leave it out");
            }
            (Some(ServerType::Dedicated), _) | (_, Some(_)) => {}
            (_, None) => wrong("name", "max_instances is missing", "say how many instances there is room for"),
        }
        if !is_host(&server.host) {
            wrong("host", "host is not the name or address of a host", "write it without scheme, user, port or path");
        } else if let Err((what, hint)) = address::is_usual(&server.host) {
            wrong("host", &format!("host {} {what}", server.host), &hint);
        }
        if server.formerly.as_ref() == Some(&name) {
            wrong("formerly", "formerly is the name that it has now", "take the line away");
        }
        if problems.is_empty() { Ok((name, server)) } else { Err(problems) }
    }

    fn managed(&self) -> Vec<(&'static str, Value)> {
        // How it was called once is the way to its row, and no wish for it.
        let Server { host, port, server_type, max_instances, priority, status, admin, formerly: _ } = self;
        let fields = [
            ("host", Some(Value::word(host))),
            ("port", port.map(Value::Int)),
            ("type", server_type.map(|kind| Value::word(kind.word()))),
            ("max_instances", max_instances.map(Value::Int)),
            ("priority", priority.map(Value::Int)),
            ("state", status.map(|status| Value::word(status.word()))),
            ("admin", Some(Value::word(admin))),
        ];
        fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
    }

    fn diff(asked: &Asked<'_, Self>, scope: &mut diff::Scope<'_>) -> Verdict<Step> {
        diff::diff(asked, scope)
    }
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_a_name_or_an_address_alone() {
        for host in ["10.0.0.11", "db.example", "db-1", "::1", "fe80::1%eth0", "2001:db8::7"] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "db.example:5432",
            "10.0.0.11:5432",
            "[::1]",
            "[::1]:5432",
            "noor@db",
            "postgres://db",
            "a b",
            "db/x",
            " db",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
