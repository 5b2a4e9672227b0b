//! The policy: which environment may touch which catalogs.

use std::collections::BTreeMap;
use std::fmt;

use super::alike;
use super::refusal::{Fact, Refusal, ascii};

/// The catalogs that stay production's, whatever a configuration says.
const PRODUCTION: [&str; 2] = ["KSESSIONS", "KQUR"];

/// The most bytes a PostgreSQL name keeps; a longer one is cut by the server, and so becomes another name.
const LONGEST: usize = 63;

/// An environment's name: lower-case ASCII letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Environment(String);

impl Environment {
    pub const DEVELOPMENT: &'static str = "development";
    pub const PRODUCTION: &'static str = "production";

    /// Errors: the name is empty, too long, or holds other letters than those above.
    pub fn new(name: &str) -> Result<Self, Refusal> {
        let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
            let why = format!("`{}` is not the name of an environment", ascii(name));
            let mend = "write it in lower-case ASCII letters, digits, - and _, such as development";
            return Err(Refusal::new(Fact::Policy, why, mend));
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A catalog's name as it was written: ASCII letters, digits, `_`, `-` and inner dots, 1 to 63 bytes. Two names are
/// equal when they differ in the case of ASCII letters at most.
#[derive(Clone, Debug)]
pub struct Catalog(String);

impl Catalog {
    /// Errors: what is odd about the name, as a clause for a refusal.
    pub fn new(name: &str) -> Result<Self, String> {
        let shown = ascii(name);
        if name.is_empty() {
            return Err("no catalog is named".to_owned());
        }
        if !name.is_ascii() {
            return Err(format!("the catalog `{shown}` holds a letter outside ASCII, which may look like another"));
        }
        if name.chars().any(|letter| letter.is_ascii_control() || letter == ' ') {
            return Err(format!("the catalog `{shown}` holds a blank or a control character"));
        }
        if name.starts_with('.') || name.ends_with('.') {
            return Err(format!("the catalog `{shown}` begins or ends with a dot"));
        }
        if let Some(odd) = name.chars().find(|letter| !letter.is_ascii_alphanumeric() && !"_-.".contains(*letter)) {
            return Err(format!("the catalog's name holds `{odd}`, which no catalog's name may"));
        }
        if name.len() > LONGEST {
            return Err(format!("the catalog's name is longer than {LONGEST} bytes, and the server would cut it"));
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Catalog {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Catalog {}

impl fmt::Display for Catalog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Environments and the catalogs that each may touch. A catalog belongs to one environment.
#[derive(Clone, Debug)]
pub struct Policy {
    environments: BTreeMap<Environment, Vec<Catalog>>,
}

impl Policy {
    /// `development`: KSESSIONS_DEV, KQUR_DEV; `production`: KSESSIONS, KQUR.
    pub fn built_in() -> Self {
        let owned = |name: &str| Environment(name.to_owned());
        let catalogs = |names: [&str; 2]| names.map(|name| Catalog(name.to_owned())).to_vec();
        Self {
            environments: BTreeMap::from([
                (owned(Environment::DEVELOPMENT), catalogs(["KSESSIONS_DEV", "KQUR_DEV"])),
                (owned(Environment::PRODUCTION), catalogs(PRODUCTION)),
            ]),
        }
    }

    /// Lets `environment`, known or new, touch `catalogs` besides what it may touch already.
    ///
    /// Errors: a name is odd; a catalog belongs to another environment, as KSESSIONS and KQUR always belong to
    /// production. Nothing is added then.
    pub fn with<S: AsRef<str>>(
        &mut self,
        environment: &str,
        catalogs: impl IntoIterator<Item = S>,
    ) -> Result<(), Refusal> {
        let environment = Environment::new(environment)?;
        let mut added = Vec::new();
        for name in catalogs {
            let catalog = Catalog::new(name.as_ref()).map_err(|why| {
                Refusal::new(Fact::Policy, why, "write a plain name: ASCII letters, digits, _, - and inner dots")
                    .environment(&environment)
            })?;
            match self.owner(&catalog) {
                Some(owner) if *owner != environment => {
                    return Err(Refusal::new(
                        Fact::Policy,
                        format!("{catalog} belongs to {owner}, and a catalog belongs to one environment"),
                        format!("take {catalog} from the list of {environment} in the configuration"),
                    )
                    .environment(&environment)
                    .catalog(&catalog)
                    .allowed(self.catalogs(&environment)));
                }
                Some(_) => {}
                None if added.contains(&catalog) => {}
                None => added.push(catalog),
            }
        }
        self.environments.entry(environment).or_default().extend(added);
        Ok(())
    }

    pub fn environments(&self) -> impl Iterator<Item = &Environment> {
        self.environments.keys()
    }

    /// What `environment` may touch, in the order of configuration; nothing when it is unknown.
    pub fn catalogs(&self, environment: &Environment) -> &[Catalog] {
        self.environments.get(environment).map_or(&[], Vec::as_slice)
    }

    /// The environment that `catalog` belongs to.
    pub fn owner(&self, catalog: &Catalog) -> Option<&Environment> {
        self.environments.iter().find(|(_, catalogs)| catalogs.contains(catalog)).map(|(owner, _)| owner)
    }

    /// Whether any environment owns a catalog of this name, or of one that reads the same, so that nothing else may be
    /// made or found under it.
    pub fn protects(&self, name: &str) -> bool {
        self.environments.values().flatten().any(|catalog| alike::reads_as(name, &catalog.0))
    }
}
