//! The register: the only file that names every kind.

use std::collections::BTreeMap;

use crate::change::{Kind, ResourceId};
use crate::resource::host::{self, Host, MissingSession};
use crate::resource::session::{self, Session, SessionId};
use crate::resource::{Declared, Resource};
use crate::yaml::{Item, Problem, Register, Section};

/// Every kind, in the order in which changes are shown and applied: what others stand on comes first.
pub const ALL: [Kind; 2] = [Session::KIND, Host::KIND];

static SECTIONS: [Section; 2] = [Session::SECTION, Host::SECTION];

/// What files may hold, kind by kind.
pub fn sections() -> &'static [Section] {
    &SECTIONS
}

/// What all files together want.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    pub sessions: BTreeMap<SessionId, Declared<Session>>,
    pub hosts: BTreeMap<SessionId, Declared<Host>>,
}

/// What the world has.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub sessions: BTreeMap<SessionId, session::Observed>,
    pub hosts: BTreeMap<SessionId, host::Observed>,
}

/// The smallest unit of work of any kind.
#[derive(Clone, Debug)]
pub enum Step {
    Session(session::Step),
    Host(Box<host::Step>),
}

impl Step {
    /// The session that the step writes.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Step::Session(step) => Some(step.id),
            Step::Host(_) => None,
        }
    }

    /// Whether performing the step makes a secret.
    pub fn mints(&self) -> bool {
        matches!(self, Step::Host(step) if matches!(**step, host::Step::Mint(_)))
    }
}

impl Desired {
    /// How many resources the files declare.
    pub fn len(&self) -> usize {
        let Desired { sessions, hosts } = self;
        sessions.len() + hosts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `7 sessions and 1 host`.
    pub fn counts(&self) -> String {
        let Desired { sessions, hosts } = self;
        let count = |count: usize, kind: Kind| format!("{count} {}", if count == 1 { kind.name } else { kind.plural });
        format!("{} and {}", count(sessions.len(), Session::KIND), count(hosts.len(), Host::KIND))
    }

    /// What only the database can decide: hosts whose session no file declares.
    pub fn doubts(&self) -> Vec<Problem> {
        let undeclared = self.hosts.iter().filter(|(id, host)| {
            !self.sessions.contains_key(id) && host.value.missing_session != Some(MissingSession::Create)
        });
        let doubt = |(id, host): (&SessionId, &Declared<Host>)| {
            Problem::error(host.place.clone(), format!("session {id} is not declared here"))
                .warning()
                .hint("unless the database has it, the host is blocked: declare it under sessions: or set missing_session: create")
        };
        undeclared.map(doubt).collect()
    }

    /// Where a file declares the resource.
    pub fn place(&self, id: &ResourceId) -> Option<String> {
        let key = SessionId(id.name.parse().ok()?);
        let place = match id.kind {
            Session::KIND => &self.sessions.get(&key)?.place,
            _ => &self.hosts.get(&key)?.place,
        };
        Some(place.to_string())
    }
}

impl Observed {
    /// Whether the world has the resource.
    pub fn has(&self, id: &ResourceId) -> bool {
        let Ok(key) = id.name.parse().map(SessionId) else { return false };
        match id.kind {
            Session::KIND => self.sessions.contains_key(&key),
            _ => self.hosts.contains_key(&key),
        }
    }
}

impl Register for Desired {
    fn sections(&self) -> &'static [Section] {
        &SECTIONS
    }

    fn insert(&mut self, section: &'static Section, item: Item) -> Vec<Problem> {
        match section.kind {
            Session::KIND => declare(&mut self.sessions, &item, "id"),
            _ => declare(&mut self.hosts, &item, "session"),
        }
    }
}

fn declare<R: Resource>(into: &mut BTreeMap<R::Key, Declared<R>>, item: &Item, key_field: &str) -> Vec<Problem> {
    let (key, value) = match R::declare(item) {
        Ok(declared) => declared,
        Err(problems) => return problems,
    };
    if let Some(first) = into.get(&key) {
        let message = format!("{}/{key} is declared twice", R::KIND);
        let hint = "keep one of the two".to_owned();
        return vec![item.problem(key_field, message, Some(hint)).also(first.place.clone(), "it is declared here too")];
    }
    into.insert(key, Declared { value, place: item.place().clone(), protect: item.protect() });
    Vec::new()
}

/// Reads an address such as `host/215`.
///
/// Errors: the text says what is wrong with it and what would do.
pub fn parse_id(address: &str) -> Result<ResourceId, String> {
    let names: Vec<&str> = ALL.iter().map(|kind| kind.name).collect();
    let wrong =
        || format!("\"{address}\" is not an address: write KIND/NAME, with one of {} as the kind", names.join(", "));
    let (kind, name) = address.split_once('/').ok_or_else(wrong)?;
    let kind = ALL.into_iter().find(|known| known.name == kind || known.plural == kind).ok_or_else(wrong)?;
    match name.parse::<i64>() {
        Ok(id) if id > 0 => Ok(ResourceId::new(kind, id)),
        _ => Err(format!("\"{name}\" does not name a {kind}: it is a whole number above zero")),
    }
}
