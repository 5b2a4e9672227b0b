//! What one file wants of every kind, and what several of them claim.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Desired;
use crate::change::ResourceId;
use crate::resource::host::Host;
use crate::resource::instance::{Instance, InstanceId};
use crate::resource::roll::{Page, Roll};
use crate::resource::server::{Server, ServerName};
use crate::resource::session::{Session, SessionId};
use crate::resource::{Declared, Resource};
use crate::yaml::{self, Item, Place, Problem, Section};

/// What one file wants.
#[derive(Default)]
pub struct Sheet {
    sessions: Arc<Page<Session>>,
    hosts: Vec<(SessionId, Declared<Host>)>,
    servers: Vec<(ServerName, Declared<Server>)>,
    instances: Vec<(InstanceId, Declared<Instance>)>,
    lifts: Vec<(ResourceId, Place)>,
    /// What the items name that have a problem.
    wrong: Vec<ResourceId>,
}

impl Sheet {
    /// What it has of the kind that may have a million.
    pub fn sessions(&self) -> &Page<Session> {
        &self.sessions
    }

    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        let Self { sessions, hosts, servers, instances, lifts, wrong } = self;
        // Texts are about as long as the fields that hold them.
        let others = size_of_val(&**hosts) + size_of_val(&**servers) + size_of_val(&**instances);
        sessions.weight() + 2 * (others + size_of_val(&**lifts) + size_of_val(&**wrong))
    }

    /// After the last item: gives back the memory that nothing was put in.
    pub fn close(&mut self) {
        Arc::get_mut(&mut self.sessions).into_iter().for_each(Page::shrink);
    }
}

impl yaml::Sheet for Sheet {
    fn insert(&mut self, section: &'static Section, item: &Item<'_>) -> Vec<Problem> {
        if item.only_lifts() {
            self.lifts.extend(named_by(section, item).map(|id| (id, item.place())));
            return Vec::new();
        }
        let declared = match section.kind {
            // Nobody else has the page before it is full.
            Session::KIND => Arc::get_mut(&mut self.sessions).map_or(Ok(()), |page| page.take(item)),
            Host::KIND => declare(item).map(|declared| self.hosts.push(declared)),
            Server::KIND => declare(item).map(|declared| self.servers.push(declared)),
            _ => declare(item).map(|declared| self.instances.push(declared)),
        };
        declared.err().map_or_else(Vec::new, |problems| {
            self.wrong(section, item);
            problems
        })
    }

    fn wrong(&mut self, section: &'static Section, item: &Item<'_>) {
        self.wrong.extend(named_by(section, item));
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The resource that an item names; `None`: its key is wrong.
fn named_by(section: &Section, item: &Item<'_>) -> Option<ResourceId> {
    let key = section.key()?.name;
    let name = match section.kind {
        Session::KIND | Host::KIND => item.int(key)?.to_string(),
        Server::KIND => item.text(key)?.to_owned(),
        _ => item.uuid(key)?.to_string(),
    };
    Some(ResourceId { kind: section.kind, name })
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
        for (file, Sheet { sessions, hosts, servers, instances, lifts, wrong: here }) in sheets {
            pages.push((Arc::clone(file), Arc::clone(sessions)));
            for (id, place) in lifts {
                if desired.lifts.insert(id.clone(), place.clone()).is_some() {
                    clashes.0.insert(id.clone());
                }
            }
            clashes.0.extend(here.iter().filter(|id| !desired.wrong.insert((*id).clone())).cloned());
            clashes.put(&mut desired.hosts, hosts);
            clashes.put(&mut desired.servers, servers);
            clashes.put(&mut desired.instances, instances);
        }
        desired.sessions = Roll::gather(pages);
        clashes.0.extend(desired.sessions.clashes().map(|key| ResourceId::new(Session::KIND, key)));
        clashes.0.extend(desired.lifts.keys().filter(|id| desired.declares(id)).cloned());
        clashes.0.extend(desired.wrong.iter().filter(|id| desired.place(id).is_some()).cloned());
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

    fn claim(&mut self, section: &'static Section, item: &Item<'_>) {
        let Some(id) = named_by(section, item).filter(|id| self.clashes.0.contains(id)) else { return };
        let hint = Some("keep one of the two".to_owned());
        let key = section.key().map_or("", |key| key.name);
        let problem = item.problem(key, format!("{id} is declared twice"), hint);
        self.found.push((id, item.place(), problem));
    }
}

impl yaml::Sheet for Claims {
    fn insert(&mut self, section: &'static Section, item: &Item<'_>) -> Vec<Problem> {
        self.claim(section, item);
        Vec::new()
    }

    fn wrong(&mut self, section: &'static Section, item: &Item<'_>) {
        self.claim(section, item);
    }

    fn clear(&mut self) {
        self.found.clear();
    }
}
