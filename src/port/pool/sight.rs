//! What is on a pool server, as one look has it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Mark;

/// What the admin role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub create_databases: bool,
    pub create_roles: bool,
    /// More than it needs.
    pub superuser: bool,
}

/// A role with a name like ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRole {
    /// `None`: it is not ours.
    pub mark: Option<Mark>,
    pub can_login: bool,
}

/// A database with a name like ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenDatabase {
    pub owner: String,
}

/// One look at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The cluster by its own identifier, or by its address where the role may not read that.
    pub identity: String,
    /// `server_version_num`, such as 150018.
    pub version: i32,
    pub rights: Rights,
    pub roles: BTreeMap<String, SeenRole>,
    pub databases: BTreeMap<String, SeenDatabase>,
}

/// Whose the names of an instance are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Neither role nor database is there.
    Nothing,
    /// The role is ours, and its database is not there.
    Partly,
    Ours {
        can_login: bool,
    },
    /// Somebody else's: which of the two, as the beginning of a sentence.
    Foreign(String),
}

impl Sight {
    pub fn standing(&self, instance: Uuid, database: &str, role: &str, environment: &str) -> Standing {
        let ours = |mark: &Mark| mark.environment == environment && mark.instance == instance;
        let seen = match self.roles.get(role) {
            Some(seen) if !seen.mark.as_ref().is_some_and(ours) => {
                return Standing::Foreign(format!("there is a role {role}"));
            }
            seen => seen,
        };
        match (seen, self.databases.get(database)) {
            (None, None) => Standing::Nothing,
            (Some(_), None) => Standing::Partly,
            (Some(seen), Some(found)) if found.owner == role => Standing::Ours { can_login: seen.can_login },
            (_, Some(_)) => Standing::Foreign(format!("there is a database {database}")),
        }
    }
}
