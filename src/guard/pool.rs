//! Pool servers have a policy of their own: our databases there belong to customers, and to no environment's catalogs.
//!
//! An admin URL may name only the maintenance catalog; a server that hosts a protected catalog, or that another
//! environment has marked as its own, is refused.

use super::refusal::{Fact, Refusal, ascii};
use super::url::{PostgresTarget, Target, Transport};
use super::{Catalog, Guard};

/// The way to a pool server that the guard has admitted by its URL. Only [`Guard::admit_pool`] makes one.
#[derive(Clone)]
pub struct PoolTarget(PostgresTarget);

impl PoolTarget {
    pub fn postgres(&self) -> &PostgresTarget {
        &self.0
    }

    /// `10.0.0.11:5432`. Never a user or a password.
    pub fn server(&self) -> String {
        self.0.server()
    }
}

impl Guard {
    /// Admits an admin URL that names the `maintenance` catalog. Nothing is connected to.
    ///
    /// Errors: another catalog, one that an environment protects, not PostgreSQL, or no verified TLS beyond this machine.
    pub fn admit_pool(&self, url: &str, maintenance: &str, transport: Transport) -> Result<PoolTarget, Refusal> {
        let refuse = |why: String, mend: &str| Refusal::new(Fact::Url, why, mend).environment(&self.environment);
        let Target::Postgres(target) = self.target(url, transport)? else {
            return Err(refuse("the admin URL of a server is not PostgreSQL's".to_owned(), "write postgres://…"));
        };
        let named = &target.catalog;
        if self.policy.protects(named.as_str()) || self.policy.protects(maintenance) {
            let why = format!("the admin URL names {named}, which belongs to an environment");
            return Err(refuse(why, "name the maintenance catalog").catalog(named));
        }
        // Exactly: beside `postgres`, PostgreSQL may well have another catalog `Postgres`.
        if named.as_str() != maintenance {
            let why =
                format!("the admin URL names {named}, and only the maintenance catalog {maintenance} may be named");
            return Err(refuse(why, "name that, or set pool.catalog").catalog(named));
        }
        Ok(PoolTarget(target))
    }

    /// What the server itself says: it leads to the maintenance catalog, hosts nothing that is protected, and is marked
    /// by no other environment.
    ///
    /// Errors: one of these does not hold.
    pub fn agree_pool<'a>(
        &self,
        target: &PoolTarget,
        reported: &str,
        catalogs: impl IntoIterator<Item = &'a str>,
        marks: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Refusal> {
        let refuse = |fact: Fact, why: String, mend: &str| {
            Refusal::new(fact, why, mend).environment(&self.environment).server(target.server())
        };
        if reported != target.0.catalog.as_str() {
            let why = format!("the admin URL names {}, but it leads to `{}`", target.0.catalog, ascii(reported));
            let mend = "look for a pooler or a renamed database on the way, and name the server itself";
            return Err(refuse(Fact::Answer, why, mend));
        }
        if let Some(catalog) = catalogs.into_iter().find(|name| self.policy.protects(name)) {
            let why = format!("the server hosts {}, which belongs to an environment", ascii(catalog));
            let mend = "give customers a server of their own";
            return Err(refuse(Fact::Answer, why, mend).catalog(ascii(catalog)));
        }
        if let Some(mark) = marks.into_iter().find(|mark| *mark != self.environment.as_str()) {
            let why = format!("the server is marked by the environment `{}`", ascii(mark));
            return Err(refuse(Fact::Stamp, why, "name a server of this environment"));
        }
        Ok(())
    }

    /// The server that was bound at its first use is another one now.
    pub fn refuse_other_cluster(&self, target: &PoolTarget, bound: &str, found: &str) -> Refusal {
        let why = format!("the server was bound to the cluster {}, and this is {}", ascii(bound), ascii(found));
        let mend = "look where its address leads; a new cluster wants a server with a name of its own";
        Refusal::new(Fact::Stamp, why, mend).environment(&self.environment).server(target.server())
    }

    /// A refusal of the way to a pool server: a variable that the driver would obey.
    pub(crate) fn refuse_leak(&self, target: &PoolTarget, variable: &str) -> Refusal {
        let why = format!("the variable {variable} is set, and the driver would obey it");
        Refusal::new(Fact::Transport, why, format!("unset {variable}"))
            .environment(&self.environment)
            .server(target.server())
            .catalog(&target.0.catalog)
    }

    /// Whether a name that we would make there is one that an environment protects.
    pub fn may_make(&self, name: &str) -> bool {
        Catalog::new(name).is_ok() && !self.policy.protects(name)
    }
}
