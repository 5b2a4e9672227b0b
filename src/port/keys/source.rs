//! Where the keys come from: a file, the environment, or, in development, a key made on first use.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::{KeyError, KeyRing, SHORTEST};
use crate::file::{self, Fault, Rules};
use crate::secret::Secret;

/// The most bytes of a key file: hundreds of keys.
const LARGEST_FILE: u64 = 64 * 1024;

/// What the key file that we made is.
const MADE: Rules = Rules::own(LARGEST_FILE);

/// Where the keys come from, as the configuration says.
pub enum KeySource {
    /// A file, one key on a line, the first current. Empty lines and lines that begin with `#` are skipped.
    File(PathBuf),
    /// Keys given directly, separated by commas or newlines, the first current; `origin` names the variable.
    Given { keys: Secret, origin: String },
    /// Development with nothing configured: a key of our own in this file of the data directory, made at the first
    /// apply.
    Made(PathBuf),
    /// Nothing configured where no key may be made by itself.
    Missing { environment: String },
}

/// Why there is no key ring.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("no host key is configured, and in {environment} none is made by itself")]
    Missing { environment: String },
    #[error("there is no host key yet, so no GUID was ever made here")]
    NoneYet,
    #[error("the key file {} cannot be used", path.display())]
    Unreadable { path: PathBuf, source: Fault },
    #[error("the keys of {origin} cannot be used")]
    Unfit { origin: String, source: KeyError },
    #[error(
        "the host key {} is gone, and {} made with it: no other key is made in its place", path.display(),
        if *hosts == 1 { "1 host was".to_owned() } else { format!("{hosts} hosts were") }
    )]
    Gone { path: PathBuf, hosts: usize },
    #[error("no key could be made in {}", path.display())]
    NotMade { path: PathBuf, source: io::Error },
}

impl SourceError {
    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            SourceError::Missing { .. } => "put a key of at least 32 bytes into a file that only this user can read, and name it as host.keys_file \
                 (or RECONCILE_HOST_KEYS_FILE), or give the key in RECONCILE_HOST_KEYS"
                .to_owned(),
            SourceError::NoneYet => "the first apply makes one: `reconcile --once`, or start the daemon".to_owned(),
            SourceError::Gone { path, hosts: _ } => format!(
                "put it back from a backup, as {}; or give its hosts up: `reconcile host revoke` for each, then rotate",
                path.display()
            ),
            SourceError::Unreadable { path, source } => source.hint(path),
            SourceError::Unfit { source, .. } => source.hint().to_owned(),
            SourceError::NotMade { path, .. } => {
                format!("check that this user may write to {}", path.parent().unwrap_or(path).display())
            }
        }
    }
}

/// The keys, and whether there were any before.
pub struct Opened {
    pub ring: KeyRing,
    /// The file that was made just now, for the operator to be told of.
    pub made: Option<PathBuf>,
}

impl KeySource {
    /// The keys as they are; makes nothing. `None` means that applying would make one.
    ///
    /// Errors: keys are configured but cannot be used, or must be and are not.
    pub fn open_existing(&self) -> Result<Option<KeyRing>, SourceError> {
        match self {
            KeySource::Made(path) => read(path, &MADE),
            _ => self.open().map(Some),
        }
    }

    /// Why no key may be made although none is there: `hosts` were made with one.
    ///
    /// Errors: as said. Keys that are there but cannot be used are for [`KeySource::open_existing`] to tell.
    pub fn may_make(&self, hosts: usize) -> Result<(), SourceError> {
        match self {
            KeySource::Made(path) if hosts > 0 && !file::exists(path) => {
                Err(SourceError::Gone { path: path.clone(), hosts })
            }
            _ => Ok(()),
        }
    }

    /// The keys, for applying: makes one where that is allowed and none is there. Of several processes that come
    /// first at once, one makes it and all use it.
    pub fn open_or_create(&self) -> Result<Opened, SourceError> {
        let made = match self {
            KeySource::Made(path) => {
                let not_made = |source| SourceError::NotMade { path: path.clone(), source };
                make(path).map_err(not_made)?.then(|| path.clone())
            }
            _ => None,
        };
        Ok(Opened { ring: self.open()?, made })
    }

    /// The keys, which must be there.
    fn open(&self) -> Result<KeyRing, SourceError> {
        match self {
            KeySource::File(path) => there(path, &Rules::secret(LARGEST_FILE)),
            KeySource::Made(path) => there(path, &MADE),
            KeySource::Given { keys, origin } => ring(keys.expose().split([',', '\n']).map(str::trim), origin),
            KeySource::Missing { environment } => Err(SourceError::Missing { environment: environment.clone() }),
        }
    }
}

/// Makes the key file at `path`, 0600, whole or not at all; `false` if it is there already, or another process was
/// first.
fn make(path: &Path) -> io::Result<bool> {
    if file::exists(path) {
        return Ok(false);
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    file::make_directory(directory)?;
    let mut key = Zeroizing::new([0u8; SHORTEST]);
    getrandom::fill(key.as_mut()).map_err(io::Error::other)?;
    let mut line = Zeroizing::new(BASE64.encode(key.as_ref()).into_bytes());
    line.push(b'\n');
    let aside = file::write_aside(directory, &line)?;
    let ours = file::settle(&aside, path).inspect_err(|_| {
        // The first failure is the one to report.
        let _ = file::remove(&aside);
    })?;
    file::sync(directory)?;
    Ok(ours)
}

/// As [`read`], where the file must be there.
fn there(path: &Path, rules: &Rules) -> Result<KeyRing, SourceError> {
    read(path, rules)?.ok_or_else(|| SourceError::Unreadable { path: path.to_owned(), source: Fault::missing() })
}

/// The ring in the file at `path`; `None` if there is no such file.
fn read(path: &Path, rules: &Rules) -> Result<Option<KeyRing>, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    let Some(text) = file::secret(path, rules).map_err(unreadable)? else { return Ok(None) };
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    ring(lines, &path.display().to_string()).map(Some)
}

fn ring<'a>(keys: impl Iterator<Item = &'a str>, origin: &str) -> Result<KeyRing, SourceError> {
    let keys = keys.filter(|key| !key.is_empty()).map(|key| Secret::new(key.to_owned())).collect();
    KeyRing::new(keys).map_err(|source| SourceError::Unfit { origin: origin.to_owned(), source })
}
