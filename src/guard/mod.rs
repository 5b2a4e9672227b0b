//! The guard: no environment reaches a catalog that is not its own.
//!
//! Three facts must agree before anything is read or written: the catalog in the URL ([`Guard::admit`]), what the
//! server says it is ([`Guard::agree`]), and the stamp inside the database ([`Guard::agree_stamp`]). Whatever is not
//! known, not plain or not answered is refused.
//!
//! [`Admitted`] is the proof of the first fact, and nobody else can make one:
//!
//! ```compile_fail,E0451
//! use reconcile::guard::{Admitted, Catalog};
//! let forged = Admitted { catalog: Catalog::new("KSESSIONS").unwrap(), server: String::new() };
//! ```

mod alike;
mod file;
mod inherited;
mod owner;
mod policy;
mod pool;
mod refusal;
mod url;

pub use file::{BELL, Place, SQLITES, companion};
pub use inherited::{leaking, shed};
pub use owner::{LONGEST_MARK, Owner};
pub use policy::{Catalog, Environment, Policy};
pub use pool::PoolTarget;
pub use refusal::{Details, Fact, Refusal};
pub use url::{PostgresTarget, SqliteTarget, SslMode, Target, Transport};

/// One environment, and what it may touch.
#[derive(Clone, Debug)]
pub struct Guard {
    policy: Policy,
    environment: Environment,
}

/// The proof that the guard has admitted a target by its URL. Only [`Guard::admit`] makes one.
#[derive(Clone, Debug)]
pub struct Admitted {
    catalog: Catalog,
    server: String,
}

impl Admitted {
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub fn server(&self) -> &str {
        &self.server
    }
}

impl Guard {
    /// `spelled_out`: a flag, a variable or a configuration file names the environment; it is not the default.
    ///
    /// Errors: the environment is unknown; or it is another than development and nobody has spelled it out.
    pub fn new(policy: Policy, environment: &str, spelled_out: bool) -> Result<Self, Refusal> {
        let environment = Environment::new(environment)?;
        if !policy.environments().any(|known| *known == environment) {
            let why = format!("the environment `{environment}` is unknown");
            return Err(Refusal::new(Fact::Policy, why, "name one that is known, or list it in the configuration")
                .allowed(policy.environments())
                .environment(&environment));
        }
        if environment.as_str() != Environment::DEVELOPMENT && !spelled_out {
            let why = format!("{environment} is never entered by default");
            let mend = format!("spell it out: --environment {environment}");
            return Err(Refusal::new(Fact::Policy, why, mend)
                .allowed([Environment::DEVELOPMENT])
                .environment(&environment));
        }
        Ok(Self { policy, environment })
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Reads a database URL; a refusal names the environment and what it may touch.
    ///
    /// Errors: as [`Target::parse`].
    pub fn target(&self, url: &str, transport: Transport) -> Result<Target, Refusal> {
        Target::parse(url, transport)
            .map_err(|refusal| refusal.environment(&self.environment).allowed(self.policy.catalogs(&self.environment)))
    }

    /// Fact 1: the catalog that the URL names is one of this environment's. Nothing is connected to.
    ///
    /// Errors: it belongs to another environment, or to none.
    pub fn admit(&self, target: &Target) -> Result<Admitted, Refusal> {
        let admitted = Admitted { catalog: target.catalog().clone(), server: target.server() };
        if self.owns(&admitted.catalog) {
            return Ok(admitted);
        }
        let (why, mend) = match self.policy.owner(&admitted.catalog) {
            Some(owner) => (
                format!("{} belongs to {owner}, not to {}", admitted.catalog, self.environment),
                format!("name a catalog of {}, or spell out --environment {owner} if you mean that", self.environment),
            ),
            None => (
                format!("no environment knows the catalog {}", admitted.catalog),
                format!("name a catalog of {}, or list this one for it in the configuration", self.environment),
            ),
        };
        Err(self.refuse(&admitted, Fact::Url, why, mend))
    }

    /// Fact 2: the server, or the file system, reports the very catalog that the URL named.
    ///
    /// Errors: it reports another, or one that is not a plain name.
    pub fn agree(&self, admitted: &Admitted, reported: &str) -> Result<(), Refusal> {
        let named = &admitted.catalog;
        match Catalog::new(reported) {
            Ok(catalog) if catalog == *named && self.owns(&catalog) => Ok(()),
            _ => {
                let why = format!("the URL names {named}, but it leads to `{}`", refusal::ascii(reported));
                let mend = "look for a pooler, a renamed database or a link on the way, and name the database itself";
                Err(self.refuse(admitted, Fact::Answer, why, mend))
            }
        }
    }

    /// Fact 3: the database's stamp names this environment.
    ///
    /// Errors: it names another.
    pub fn agree_stamp(&self, admitted: &Admitted, stamped: &str) -> Result<(), Refusal> {
        if stamped == self.environment.as_str() {
            return Ok(());
        }
        let why = format!("the database is stamped `{}`, not {}", refusal::ascii(stamped), self.environment);
        let mend = "name another database; if this is a restored copy that shall be its own: \
                    reconcile migrate --restamp --reason REASON";
        Err(self.refuse(admitted, Fact::Stamp, why, mend))
    }

    /// A refusal of an admitted target, with all that the guard knows about it.
    pub(crate) fn refuse(
        &self,
        admitted: &Admitted,
        fact: Fact,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Refusal {
        Refusal::new(fact, why, mend)
            .environment(&self.environment)
            .server(admitted.server.clone())
            .catalog(&admitted.catalog)
            .allowed(self.policy.catalogs(&self.environment))
    }

    fn owns(&self, catalog: &Catalog) -> bool {
        self.policy.catalogs(&self.environment).contains(catalog)
    }
}

#[cfg(test)]
pub(crate) mod tests;
