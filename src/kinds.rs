//! The register: the only room that names every kind.

mod sheet;

mod listed;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::change::{Blocked, Kind, Obstacle, ResourceId, quoted};
use crate::port::pool::Sight;
use crate::resource::host::{self, Host, MissingSession};
use crate::resource::instance::{self, Instance, InstanceId};
use crate::resource::roll::Roll;
use crate::resource::server::{self, Server, ServerName};
use crate::resource::session::{self, Session, SessionId};
use crate::resource::{Declared, Needs, Resource};
use crate::yaml::{Place, Problem, Section, is_name};
pub use listed::{Key, Listed, Numbers};
pub use sheet::{Claims, Clashes, Sheet};

/// Every kind, in the order in which changes are shown and applied: what others stand on comes first.
pub const ALL: [Kind; 4] = [Session::KIND, Host::KIND, Server::KIND, Instance::KIND];

/// The kind with that name.
pub fn named(name: &str) -> Option<Kind> {
    ALL.into_iter().find(|kind| kind.name == name)
}

/// The kind that is called so, of one or of many: `session` and `sessions`.
///
/// Errors: the text says what would do.
pub fn called(name: &str) -> Result<Kind, String> {
    let known = ALL.map(|kind| kind.name).join(", ");
    let found = ALL.into_iter().find(|kind| kind.name == name || kind.plural == name);
    found.ok_or_else(|| format!("kind must be one of {known}"))
}

static SECTIONS: [Section; 4] = [Session::SECTION, Host::SECTION, Server::SECTION, Instance::SECTION];

/// What files may hold, kind by kind.
pub fn sections() -> &'static [Section] {
    &SECTIONS
}

/// What all files together want.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The kind that may have a million.
    pub sessions: Roll<Session>,
    pub hosts: BTreeMap<SessionId, Declared<Host>>,
    pub servers: BTreeMap<ServerName, Declared<Server>>,
    pub instances: BTreeMap<InstanceId, Declared<Instance>>,
    /// Items that hold their key and `protect: false` alone: they end protection, and manage nothing.
    pub lifts: BTreeMap<ResourceId, Place>,
    /// What the items name that have a problem: nothing more is known of them.
    pub wrong: BTreeSet<ResourceId>,
}

/// What the world has.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub sessions: session::Seen,
    pub hosts: BTreeMap<SessionId, host::Observed>,
    pub servers: BTreeMap<ServerName, server::Observed>,
    pub instances: BTreeMap<InstanceId, instance::Observed>,
    /// What each server has, by the name that it has in the files or else in the database; or why it cannot be asked.
    pub sights: BTreeMap<ServerName, Result<Sight, String>>,
    /// The subscriptions that billing has released, each with the type of the event that did it.
    pub releases: BTreeMap<Uuid, String>,
    /// Why the hand-off, or the broker, cannot be asked.
    pub handoff_trouble: Option<String>,
    pub broker_trouble: Option<String>,
    /// Why the results of tasks cannot be read.
    pub results_trouble: Option<String>,
}

/// The smallest unit of work of any kind.
#[derive(Clone, Debug)]
pub enum Step {
    Session(session::Step),
    Host(Box<host::Step>),
    Server(Box<server::Step>),
    Instance(Box<instance::steps::Step>),
    /// Nothing beside the end of protection, whatever the kind.
    Lift,
}

impl Step {
    /// The session that the step writes.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Step::Session(step) => Some(step.id),
            Step::Host(_) | Step::Server(_) | Step::Instance(_) | Step::Lift => None,
        }
    }

    /// Whether the step makes a session beside what it is for.
    pub fn makes_a_session(&self) -> bool {
        let Step::Host(step) = self else { return false };
        matches!(&**step, host::Step::Mint(mint) if mint.create_session.is_some())
    }

    /// Whether the step takes a place on a server.
    pub fn takes_a_place(&self) -> bool {
        matches!(self, Step::Instance(step) if step.reserves().is_some())
    }

    /// Whether performing the step wants a key: to hash a GUID with, or where the hand-off is sealed.
    pub fn wants_key(&self, is_sealed: bool) -> bool {
        let needs = match self {
            Step::Session(_) | Step::Server(_) | Step::Lift => Needs::default(),
            Step::Host(step) => Host::needs(step),
            Step::Instance(step) => Instance::needs(step),
        };
        needs.key || (needs.handoff && is_sealed)
    }
}

impl Desired {
    /// How many resources the files declare.
    pub fn len(&self) -> usize {
        let Desired { sessions, hosts, servers, instances, lifts: _, wrong: _ } = self;
        sessions.len() + hosts.len() + servers.len() + instances.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.lifts.is_empty()
    }

    /// `7 sessions and 1 host`, and what else there is.
    pub fn counts(&self) -> String {
        let Desired { sessions, hosts, servers, instances, lifts: _, wrong: _ } = self;
        let count = |count: usize, kind: Kind| format!("{count} {}", if count == 1 { kind.name } else { kind.plural });
        let mut counts = vec![count(sessions.len(), Session::KIND), count(hosts.len(), Host::KIND)];
        // Most files know nothing of these.
        let others = [(servers.len(), Server::KIND), (instances.len(), Instance::KIND)];
        counts.extend(others.into_iter().filter(|(many, _)| *many > 0).map(|(many, kind)| count(many, kind)));
        let last = counts.pop().unwrap_or_default();
        format!("{} and {last}", counts.join(", "))
    }

    /// What only the database can decide: hosts whose session, and pins whose server, no file declares.
    pub fn doubts(&self) -> Vec<Problem> {
        let pinned = self.instances.values().filter_map(|instance| Some((instance, instance.value.server.as_ref()?)));
        let is_here = |id: ResourceId| self.declares(&id) || self.wrong.contains(&id);
        let unknown =
            pinned.filter(|(_, server)| !is_here(ResourceId::new(Server::KIND, server))).map(|(instance, server)| {
                Problem::error(instance.place.clone(), format!("server {server} is not declared here")).warning().hint(
                "unless the database has it, the instance is blocked: declare it under servers:, or take the pin away",
            )
            });
        let undeclared = self.hosts.iter().filter(|(id, host)| {
            let create = host.value.missing_session == Some(MissingSession::Create);
            !create && !is_here(ResourceId::new(Session::KIND, id))
        });
        let doubt = |(id, host): (&SessionId, &Declared<Host>)| {
            Problem::error(host.place.clone(), format!("session {id} is not declared here"))
                .warning()
                .hint("unless the database has it, the host is blocked: declare it under sessions: or set missing_session: create")
        };
        undeclared.map(doubt).chain(unknown).collect()
    }

    /// Whether a file manages the resource.
    pub fn declares(&self, id: &ResourceId) -> bool {
        let name = id.name.as_str();
        match id.kind {
            Session::KIND => session_id(name).is_some_and(|key| self.sessions.contains_key(&key)),
            Host::KIND => session_id(name).is_some_and(|key| self.hosts.contains_key(&key)),
            Server::KIND => self.servers.contains_key(&ServerName(name.to_owned())),
            _ => instance_id(name).is_some_and(|key| self.instances.contains_key(&key)),
        }
    }

    /// Where a file declares the resource.
    pub fn place(&self, id: &ResourceId) -> Option<String> {
        let name = id.name.as_str();
        let place = match id.kind {
            Session::KIND => session_id(name).and_then(|key| Some(self.sessions.get(&key)?.place)),
            Host::KIND => session_id(name).and_then(|key| Some(self.hosts.get(&key)?.place.clone())),
            Server::KIND => self.servers.get(&ServerName(name.to_owned())).map(|server| server.place.clone()),
            _ => instance_id(name).and_then(|key| Some(self.instances.get(&key)?.place.clone())),
        };
        place.or_else(|| self.lifts.get(id).cloned()).map(|place| place.to_string())
    }
}

impl Observed {
    /// Whether the world has the resource, as far as it was looked at: of a session that is as declared no row is kept.
    pub fn has(&self, id: &ResourceId) -> bool {
        let name = id.name.as_str();
        match id.kind {
            Session::KIND => session_id(name).is_some_and(|key| self.sessions.rows.contains_key(&key)),
            Host::KIND => session_id(name).is_some_and(|key| self.hosts.contains_key(&key)),
            Server::KIND => self.servers.contains_key(&ServerName(name.to_owned())),
            _ => instance_id(name).is_some_and(|key| self.instances.contains_key(&key)),
        }
    }
}

fn session_id(name: &str) -> Option<SessionId> {
    name.parse().ok().map(SessionId)
}

fn instance_id(name: &str) -> Option<InstanceId> {
    Uuid::try_parse(name).ok().map(InstanceId)
}

/// The lines of a state file that end a resource's protection, and manage nothing.
pub fn lifting(id: &ResourceId) -> String {
    let section = SECTIONS.iter().find(|section| section.kind == id.kind);
    let (list, key) = (id.kind.plural, section.and_then(Section::key).map_or("", |key| key.name));
    format!("{list}:\n  - {key}: {}\n    protect: false\n", id.name)
}

/// Why nobody changes a resource that is protected, neither a run nor a command, and the lines that lift it: in its own
/// item, where one stands at `place`, otherwise in a new one, which needs nothing else.
pub fn protected(id: ResourceId, place: Option<&str>) -> Blocked {
    let section = SECTIONS.iter().find(|section| section.kind == id.kind);
    let (list, key) = (id.kind.plural, section.and_then(Section::key).map_or("", |key| key.name));
    let line = format!("`{list}: [{{{key}: {}, protect: false}}]`", id.name);
    let hint = match place {
        Some(place) => format!("to change it, write `protect: false` in its item at {place}"),
        None => format!("to change it, write `protect: false` in its item, or {line} where no file has one"),
    };
    Blocked { id, obstacle: Obstacle::Protected, reason: "it is protected".to_owned(), hint }
}

/// The address of what the database may have, which is more than files may declare: other programs write names of their
/// own. `None`: nothing can have it.
pub fn any_id(address: &str) -> Option<ResourceId> {
    let (kind, name) = address.split_once('/')?;
    let id = ResourceId::new(called(kind).ok()?, name);
    let is_one = match Key::of(&id) {
        Key::Session(key) | Key::Host(key) => key.is_some_and(|key| key.to_string() == name),
        Key::Server(_) => !name.is_empty() && name.trim() == name && !name.contains(char::is_control),
        Key::Instance(key) => key.is_some_and(|key| key.to_string() == name),
    };
    is_one.then_some(id)
}

/// Reads an address such as `host/215`.
///
/// Errors: the text says what is wrong with it and what would do.
pub fn parse_id(address: &str) -> Result<ResourceId, String> {
    let names: Vec<&str> = ALL.iter().map(|kind| kind.name).collect();
    let wrong = || {
        format!("{} is not an address: write KIND/NAME, with one of {} as the kind", quoted(address), names.join(", "))
    };
    let (kind, name) = address.split_once('/').ok_or_else(wrong)?;
    let kind = ALL.into_iter().find(|known| known.name == kind || known.plural == kind).ok_or_else(wrong)?;
    let misnamed = |what: &str| format!("{} does not name a {kind}: it is {what}", quoted(name));
    match kind {
        Server::KIND => match is_name(name) {
            true => Ok(ResourceId::new(kind, name)),
            false => Err(misnamed("a name of at most 63 lower-case letters, digits, `.`, `_` and `-`")),
        },
        Instance::KIND => match Uuid::try_parse(name) {
            // As files have it, and no other spelling.
            Ok(id) if name.len() == uuid::fmt::Hyphenated::LENGTH => Ok(ResourceId::new(kind, InstanceId(id))),
            _ => Err(misnamed("a UUID with its hyphens")),
        },
        _ => match name.parse::<i64>() {
            Ok(id) if name.starts_with(|first: char| ('1'..='9').contains(&first)) => Ok(ResourceId::new(kind, id)),
            _ => Err(misnamed("a whole number above zero")),
        },
    }
}
