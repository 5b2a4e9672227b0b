//! The register: the only file that names every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::change::{Kind, ResourceId, quoted};
use crate::port::pool::Sight;
use crate::resource::host::{self, Host, MissingSession};
use crate::resource::instance::{self, Instance, InstanceId};
use crate::resource::roll::{Page, Roll};
use crate::resource::server::{self, Server, ServerName};
use crate::resource::session::{self, Session, SessionId};
use crate::resource::{Declared, Needs, Resource};
use crate::yaml::{self, Item, Place, Problem, Section, is_name};

/// Every kind, in the order in which changes are shown and applied: what others stand on comes first.
pub const ALL: [Kind; 4] = [Session::KIND, Host::KIND, Server::KIND, Instance::KIND];

/// The kind with that name.
pub fn named(name: &str) -> Option<Kind> {
    ALL.into_iter().find(|kind| kind.name == name)
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
}

/// A declared resource as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: ResourceId,
    /// What people call it; empty where its file does not say.
    pub title: String,
    /// `file:line:column`.
    pub place: String,
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
}

impl Step {
    /// The session that the step writes.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Step::Session(step) => Some(step.id),
            Step::Host(_) | Step::Server(_) | Step::Instance(_) => None,
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

    /// Whether the step gives a server another name.
    pub fn renames(&self) -> bool {
        let Step::Server(step) = self else { return false };
        step.before.as_ref().is_some_and(|before| before.profile.name != step.after.name)
    }

    /// Whether performing the step wants a key: to hash a GUID with, or where the hand-off is sealed.
    pub fn wants_key(&self, is_sealed: bool) -> bool {
        let needs = match self {
            Step::Session(_) | Step::Server(_) => Needs::default(),
            Step::Host(step) => Host::needs(step),
            Step::Instance(step) => Instance::needs(step),
        };
        needs.key || (needs.handoff && is_sealed)
    }
}

impl Desired {
    /// How many resources the files declare.
    pub fn len(&self) -> usize {
        let Desired { sessions, hosts, servers, instances } = self;
        sessions.len() + hosts.len() + servers.len() + instances.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `7 sessions and 1 host`, and what else there is.
    pub fn counts(&self) -> String {
        let Desired { sessions, hosts, servers, instances } = self;
        let count = |count: usize, kind: Kind| format!("{count} {}", if count == 1 { kind.name } else { kind.plural });
        let mut counts = vec![count(sessions.len(), Session::KIND), count(hosts.len(), Host::KIND)];
        // Most files know nothing of these.
        let others = [(servers.len(), Server::KIND), (instances.len(), Instance::KIND)];
        counts.extend(others.into_iter().filter(|(many, _)| *many > 0).map(|(many, kind)| count(many, kind)));
        let last = counts.pop().unwrap_or_default();
        format!("{} and {last}", counts.join(", "))
    }

    /// Every resource from the one with this number on. They are numbered in the order of their kinds, and in each in the
    /// order of their keys.
    pub fn listed(&self, from: usize) -> impl Iterator<Item = Listed> {
        let Desired { sessions, hosts, servers, instances } = self;
        let place = |place: &Place| place.to_string();
        let sessions_from = (from..sessions.len()).filter_map(|number| sessions.declared(number));
        let session = move |(key, session): (SessionId, Declared<Session>)| {
            let title = session.value.title.unwrap_or_default();
            Listed { id: ResourceId::new(Session::KIND, key), title, place: place(&session.place) }
        };
        let title = |key: &SessionId| sessions.get(key).and_then(|session| session.value.title).unwrap_or_default();
        let host = move |(key, host): (&SessionId, &Declared<Host>)| Listed {
            id: ResourceId::new(Host::KIND, key),
            title: title(key),
            place: place(&host.place),
        };
        let server = move |(key, server): (&ServerName, &Declared<Server>)| Listed {
            id: ResourceId::new(Server::KIND, key),
            title: server.value.host.clone(),
            place: place(&server.place),
        };
        let instance = move |(key, instance): (&InstanceId, &Declared<Instance>)| Listed {
            id: ResourceId::new(Instance::KIND, key),
            title: instance.value.name.clone(),
            place: place(&instance.place),
        };
        let [_, hosts_begin, servers_begin, instances_begin] =
            ALL.map(|kind| from.saturating_sub(self.numbers(kind).start));
        let hosts = hosts.iter().skip(hosts_begin).map(host);
        let servers = servers.iter().skip(servers_begin).map(server);
        let instances = instances.iter().skip(instances_begin).map(instance);
        sessions_from.map(session).chain(hosts).chain(servers).chain(instances)
    }

    /// The numbers of the resources of a kind.
    pub fn numbers(&self, kind: Kind) -> std::ops::Range<usize> {
        let Desired { sessions, hosts, servers, instances } = self;
        let lengths = [sessions.len(), hosts.len(), servers.len(), instances.len()];
        let place = ALL.into_iter().position(|known| known == kind).unwrap_or(ALL.len());
        let start = lengths.iter().take(place).sum();
        start..start + lengths.get(place).copied().unwrap_or_default()
    }

    /// The number of the first resource that comes after this one, which need not be declared itself.
    pub fn number_behind(&self, id: &ResourceId) -> usize {
        let (name, start) = (id.name.as_str(), self.numbers(id.kind).start);
        start
            + match id.kind {
                Session::KIND => session_id(name).map_or(0, |key| self.sessions.number_behind(&key)),
                Host::KIND => session_id(name).map_or(0, |key| self.hosts.range(..=key).count()),
                Server::KIND => self.servers.range(..=ServerName(name.to_owned())).count(),
                _ => instance_id(name).map_or(0, |key| self.instances.range(..=key).count()),
            }
    }

    /// What only the database can decide: hosts whose session, and pins whose server, no file declares.
    pub fn doubts(&self) -> Vec<Problem> {
        let pinned = self.instances.values().filter_map(|instance| Some((instance, instance.value.server.as_ref()?)));
        let unknown = pinned.filter(|(_, server)| !self.servers.contains_key(*server)).map(|(instance, server)| {
            Problem::error(instance.place.clone(), format!("server {server} is not declared here")).warning().hint(
                "unless the database has it, the instance is blocked: declare it under servers:, or take the pin away",
            )
        });
        let undeclared = self.hosts.iter().filter(|(id, host)| {
            !self.sessions.contains_key(id) && host.value.missing_session != Some(MissingSession::Create)
        });
        let doubt = |(id, host): (&SessionId, &Declared<Host>)| {
            Problem::error(host.place.clone(), format!("session {id} is not declared here"))
                .warning()
                .hint("unless the database has it, the host is blocked: declare it under sessions: or set missing_session: create")
        };
        undeclared.map(doubt).chain(unknown).collect()
    }

    /// Where a file declares the resource.
    pub fn place(&self, id: &ResourceId) -> Option<String> {
        let name = id.name.as_str();
        let place = match id.kind {
            Session::KIND => &self.sessions.get(&session_id(name)?)?.place.clone(),
            Host::KIND => &self.hosts.get(&session_id(name)?)?.place,
            Server::KIND => &self.servers.get(&ServerName(name.to_owned()))?.place,
            _ => &self.instances.get(&instance_id(name)?)?.place,
        };
        Some(place.to_string())
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

/// What one file wants.
#[derive(Default)]
pub struct Sheet {
    sessions: Arc<Page<Session>>,
    hosts: Vec<(SessionId, Declared<Host>)>,
    servers: Vec<(ServerName, Declared<Server>)>,
    instances: Vec<(InstanceId, Declared<Instance>)>,
}

impl Sheet {
    /// What it has of the kind that may have a million.
    pub fn sessions(&self) -> &Page<Session> {
        &self.sessions
    }

    /// After the last item: gives back the memory that nothing was put in.
    pub fn close(&mut self) {
        Arc::get_mut(&mut self.sessions).into_iter().for_each(Page::shrink);
    }
}

impl yaml::Sheet for Sheet {
    fn insert(&mut self, section: &'static Section, item: &Item<'_>) -> Vec<Problem> {
        let declared = match section.kind {
            // Nobody else has the page before it is full.
            Session::KIND => Arc::get_mut(&mut self.sessions).map_or(Ok(()), |page| page.take(item)),
            Host::KIND => declare(item).map(|declared| self.hosts.push(declared)),
            Server::KIND => declare(item).map(|declared| self.servers.push(declared)),
            _ => declare(item).map(|declared| self.instances.push(declared)),
        };
        declared.err().unwrap_or_default()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn declare<R: Resource>(item: &Item<'_>) -> Result<(R::Key, Declared<R>), Vec<Problem>> {
    let (key, value) = R::declare(item)?;
    Ok((key, Declared { value, place: item.place(), protect: item.protect() }))
}

impl Desired {
    /// Puts together what the files want, in the order of their paths; and what two of them claim.
    pub fn gather<'s>(sheets: impl Iterator<Item = (&'s Arc<str>, &'s Sheet)>) -> (Self, Clashes) {
        let (mut desired, mut clashes) = (Self::default(), Clashes::default());
        let mut pages = Vec::new();
        for (file, Sheet { sessions, hosts, servers, instances }) in sheets {
            pages.push((Arc::clone(file), Arc::clone(sessions)));
            clashes.put(&mut desired.hosts, hosts);
            clashes.put(&mut desired.servers, servers);
            clashes.put(&mut desired.instances, instances);
        }
        desired.sessions = Roll::gather(pages);
        clashes.0.extend(desired.sessions.clashes().map(|key| ResourceId::new(Session::KIND, key)));
        (desired, clashes)
    }
}

/// Resources that are declared more than once.
#[derive(Debug, Default)]
pub struct Clashes(BTreeSet<ResourceId>);

impl Clashes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put<R: Resource + Clone>(&mut self, into: &mut BTreeMap<R::Key, Declared<R>>, from: &[(R::Key, Declared<R>)]) {
        for (key, declared) in from {
            if into.insert(key.clone(), declared.clone()).is_some() {
                self.0.insert(ResourceId::new(R::KIND, key));
            }
        }
    }
}

/// A sheet that takes down nothing but where the resources stand that clash, with their lines.
pub struct Claims {
    clashes: Arc<Clashes>,
    found: Vec<(ResourceId, Place, Problem)>,
}

impl Claims {
    pub fn of(clashes: Arc<Clashes>) -> Self {
        Self { clashes, found: Vec::new() }
    }

    /// Each with the place where its item begins, and what is to be said of it if it is not the first.
    pub fn found(&self) -> &[(ResourceId, Place, Problem)] {
        &self.found
    }

    fn claim<R: Resource>(&mut self, item: &Item<'_>, key_field: &str) {
        let Ok((key, _)) = R::declare(item) else { return };
        let id = ResourceId::new(R::KIND, key);
        if self.clashes.0.contains(&id) {
            let hint = Some("keep one of the two".to_owned());
            let problem = item.problem(key_field, format!("{id} is declared twice"), hint);
            self.found.push((id, item.place(), problem));
        }
    }
}

impl yaml::Sheet for Claims {
    fn insert(&mut self, section: &'static Section, item: &Item<'_>) -> Vec<Problem> {
        match section.kind {
            Session::KIND => self.claim::<Session>(item, "id"),
            Host::KIND => self.claim::<Host>(item, "session"),
            Server::KIND => self.claim::<Server>(item, "name"),
            _ => self.claim::<Instance>(item, "id"),
        }
        Vec::new()
    }

    fn clear(&mut self) {
        self.found.clear();
    }
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
            Ok(id) => Ok(ResourceId::new(kind, InstanceId(id))),
            Err(_) => Err(misnamed("a UUID")),
        },
        _ => match name.parse::<i64>() {
            Ok(id) if id > 0 => Ok(ResourceId::new(kind, id)),
            _ => Err(misnamed("a whole number above zero")),
        },
    }
}
