//! Resources in the order in which lists show them: kind by kind, and in each by key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::{ALL, Desired, Observed, instance_id, session_id};
use crate::change::{Kind, ResourceId, masked};
use crate::resource::host::Host;
use crate::resource::instance::phase::Phase;
use crate::resource::instance::{Instance, InstanceId};
use crate::resource::server::{self, Server, ServerName};
use crate::resource::session::{Session, SessionId};
use crate::resource::{Declared, Resource};
use crate::yaml::Place;

/// A resource as a list names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: ResourceId,
    /// What people call it, with credentials masked; empty where nobody says.
    pub title: String,
    /// `file:line:column`, where a file declares it.
    pub place: Option<String>,
}

impl Listed {
    fn declared(kind: Kind, key: impl std::fmt::Display, title: &str, place: &Place) -> Self {
        Self { id: ResourceId::new(kind, key), title: masked(title).into_owned(), place: Some(place.to_string()) }
    }

    /// One that the database has and no file names.
    pub fn unmanaged(kind: Kind, key: impl std::fmt::Display, title: &str) -> Self {
        Self { id: ResourceId::new(kind, key), title: masked(title).into_owned(), place: None }
    }

    /// Whether its address or its title holds a text of small letters.
    pub fn holds(&self, text: &str) -> bool {
        text.is_empty() || self.title.to_lowercase().contains(text) || self.id.to_string().to_lowercase().contains(text)
    }
}

/// What a list is sorted by: the kind, then the resource's own key. Nobody's name comes before all of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Session(Option<SessionId>),
    Host(Option<SessionId>),
    Server(ServerName),
    Instance(Option<InstanceId>),
}

impl Key {
    pub fn of(id: &ResourceId) -> Self {
        let name = id.name.as_str();
        match id.kind {
            Session::KIND => Key::Session(session_id(name)),
            Host::KIND => Key::Host(session_id(name)),
            Server::KIND => Key::Server(ServerName(name.to_owned())),
            _ => Key::Instance(instance_id(name)),
        }
    }
}

/// Finds the numbers of declared resources: see [`Desired::listed`].
pub struct Numbers<'a> {
    desired: &'a Desired,
    /// Of all but the sessions, which may be a million, and know theirs.
    others: HashMap<ResourceId, usize>,
}

impl Numbers<'_> {
    /// `None`: no file declares it.
    pub fn of(&self, id: &ResourceId) -> Option<usize> {
        match id.kind {
            Session::KIND => self.desired.sessions.number(&session_id(&id.name)?),
            _ => self.others.get(id).copied(),
        }
    }
}

impl Desired {
    /// Every resource from the one with this number on. They are numbered in the order of their kinds, and in each in the
    /// order of their keys.
    pub fn listed(&self, from: usize) -> impl Iterator<Item = Listed> {
        let Desired { sessions, hosts, servers, instances, lifts: _, wrong: _ } = self;
        let sessions_from = (from..sessions.len()).filter_map(|number| sessions.declared(number));
        let session = move |(key, session): (SessionId, Declared<Session>)| {
            Listed::declared(Session::KIND, key, session.value.title.as_deref().unwrap_or_default(), &session.place)
        };
        let host = |(key, host): (&SessionId, &Declared<Host>)| {
            Listed::declared(Host::KIND, key, &self.title_of(key), &host.place)
        };
        let server = |(key, server): (&ServerName, &Declared<Server>)| {
            Listed::declared(Server::KIND, key, &server.value.host, &server.place)
        };
        let instance = |(key, instance): (&InstanceId, &Declared<Instance>)| {
            Listed::declared(Instance::KIND, key, &instance.value.name, &instance.place)
        };
        let [_, hosts_begin, servers_begin, instances_begin] =
            ALL.map(|kind| from.saturating_sub(self.numbers(kind).start));
        let hosts = hosts.iter().skip(hosts_begin).map(host);
        let servers = servers.iter().skip(servers_begin).map(server);
        let instances = instances.iter().skip(instances_begin).map(instance);
        sessions_from.map(session).chain(hosts).chain(servers).chain(instances)
    }

    /// The title that a file gives a session.
    fn title_of(&self, session: &SessionId) -> String {
        self.sessions.get(session).and_then(|session| session.value.title).unwrap_or_default()
    }

    /// The numbers of the resources of a kind.
    pub fn numbers(&self, kind: Kind) -> Range<usize> {
        let Desired { sessions, hosts, servers, instances, lifts: _, wrong: _ } = self;
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

    /// For whoever asks for the numbers of many.
    pub fn numbered(&self) -> Numbers<'_> {
        let first = self.sessions.len();
        Numbers { desired: self, others: self.listed(first).map(|listed| listed.id).zip(first..).collect() }
    }

    /// The numbers of those whose files protect them.
    pub fn protected(&self) -> impl Iterator<Item = usize> {
        let Desired { sessions, hosts, servers, instances, lifts: _, wrong: _ } = self;
        let others = hosts.values().map(|host| host.protect);
        let others = others.chain(servers.values().map(|server| server.protect));
        let others = others.chain(instances.values().map(|instance| instance.protect));
        let others = others
            .enumerate()
            .filter_map(|(number, protect)| (protect == Some(true)).then_some(sessions.len() + number));
        (0..sessions.len()).filter(|number| sessions.is_protected(*number)).chain(others)
    }

    /// The names that rows of servers still bear, and that files have replaced by others.
    pub fn former_names(&self, observed: &BTreeMap<ServerName, server::Observed>) -> BTreeSet<&ServerName> {
        let waiting = self.servers.iter().filter(|(name, _)| !observed.contains_key(name));
        let former = waiting.filter_map(|(_, server)| server.value.formerly.as_ref());
        former.filter(|name| observed.contains_key(name) && !self.servers.contains_key(name)).collect()
    }
}

impl Observed {
    /// What no file names, in order. Without the sessions, of which no row was kept.
    pub fn unmanaged(&self, desired: &Desired) -> Vec<Listed> {
        let hosts = self.hosts.keys().filter(|key| !desired.hosts.contains_key(key));
        let hosts = hosts.map(|key| Listed::unmanaged(Host::KIND, key, &desired.title_of(key)));
        let former = desired.former_names(&self.servers);
        let is_named = |name: &ServerName| desired.servers.contains_key(name) || former.contains(name);
        let servers = self.servers.iter().filter(|(name, _)| !is_named(name));
        let servers = servers.map(|(name, row)| Listed::unmanaged(Server::KIND, name, &row.profile.host));
        let instances = self.instances.iter().filter(|(key, _)| !desired.instances.contains_key(key));
        let instances = instances.map(|(key, row)| Listed::unmanaged(Instance::KIND, key, &row.profile.name));
        hosts.chain(servers).chain(instances).collect()
    }

    /// What a worker has tried, and could not do.
    pub fn failed(&self) -> impl Iterator<Item = ResourceId> {
        let failed = self.instances.iter().filter(|(_, instance)| instance.phase == Phase::Failed);
        failed.map(|(key, _)| ResourceId::new(Instance::KIND, key))
    }
}
