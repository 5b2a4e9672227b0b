//! The admin secrets of pool servers: known by name, kept in a file or a variable of their own.

use std::path::{Path, PathBuf};

use super::given::Origin;
use super::report::in_file;
use super::{Config, Entry, HIDDEN, read_secret};
use crate::secret::Secret;

/// The section of the configuration file whose children the operator names.
pub(super) const POOLS: &str = "pools";

/// One admin secret, as the file names it.
pub(super) struct Pool {
    pub name: String,
    /// Absolute, or relative to the working directory.
    pub file: PathBuf,
    pub origin: Origin,
}

impl Pool {
    pub(super) fn shown(&self, env: &impl Fn(&str) -> Option<String>) -> Entry {
        let variable = variable(&self.name);
        let origin = match env(&variable).filter(|url| !url.trim().is_empty()) {
            Some(_) => variable,
            None => in_file(&self.file, &self.origin.shown()),
        };
        let about = "The admin URL of servers that say so in `admin`.";
        Entry { key: format!("{POOLS}.{}.url", self.name), value: HIDDEN.to_owned(), origin, about }
    }
}

/// The variable that holds the admin URL of that name: `RECONCILE_POOL_POOL_1_URL` for `pool-1`.
pub(super) fn variable(name: &str) -> String {
    let word = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("RECONCILE_POOL_{}_URL", name.chars().map(word).collect::<String>())
}

impl Config {
    /// The admin URL that state files know by that name. It is read anew each time, so that a changed password is seen.
    ///
    /// Errors: nobody has configured it, or its file cannot be used; as a clause, with the way out.
    pub fn pool_admin(&self, name: &str) -> Result<Secret, String> {
        let variable = variable(name);
        if let Some(url) = std::env::var(&variable).ok().filter(|url| !url.trim().is_empty()) {
            return Ok(Secret::new(url.trim().to_owned()));
        }
        match self.pools.iter().find(|pool| pool.name == name) {
            Some(pool) => read_secret(Path::new(&pool.file), "the admin URL")
                .map_err(|what| format!("its admin secret {name} is in {}, which {what}", pool.file.display())),
            None => Err(format!(
                "nobody has configured its admin secret {name}: set {variable}, or [{POOLS}.{name}] with url_file"
            )),
        }
    }
}
