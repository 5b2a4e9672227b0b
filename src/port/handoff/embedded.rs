//! The hand-off for one machine: a directory of sealed files, one for each secret.
//!
//! ```text
//! handoff/<SHA-256 of the name>.sealed            waits
//! handoff/<SHA-256 of the name>.<random>.claimed  taken; nothing ever opens it again
//! handoff/<random>.tmp                            being written
//! handoff/.id                                     a UUID: which directory this is, for the record of what is put here
//! ```
//!
//! An entry's name is the identity of its owner's stamp and its key, such as `51179767-…/host:215:…`, so that under equal
//! keys no two databases ever meet. Up to version 0.1 it was the key alone: what was put so waits until its life is over.
//! While a replica of that version puts its own beside ours, the one that waits longer is the one that was put last.
//!
//! A claim is one rename, of which the file system lets exactly one win. It is on the disk before the secret is shown,
//! so that a power cut cannot give the entry back.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::seal::{self, OpenError, SealError};
use super::{Entry, HandOffError, expiry};
use crate::change::hex;
use crate::file::{self, Fault, Rules};
use crate::guard::Owner;
use crate::port::keys::KeyRing;
use crate::secret::Secret;

/// The most bytes of one entry: secrets are short.
const LARGEST: u64 = 1024 * 1024;
/// What an entry is, waiting or claimed.
const RULES: Rules = Rules::own(LARGEST);
/// A file that is being written is done within this time; what is older was left by a crash.
const WRITING: Duration = Duration::from_secs(60 * 60);

/// The file that tells one directory from another.
const ID: &str = ".id";

/// Until when something waits, if it does, and its name.
type Found = (Option<DateTime<Utc>>, String);

/// The directory, as whoever has no key sees it.
#[derive(Clone)]
pub struct Shelf {
    directory: Arc<Path>,
    identity: Uuid,
}

impl Shelf {
    pub(super) fn new(data_dir: &Path, owner: &Owner) -> Self {
        Self { directory: data_dir.join("handoff").into(), identity: owner.identity() }
    }

    /// What the entry `key` is called now, and what it was called before names held an identity.
    fn names(&self, key: &str) -> [String; 2] {
        [format!("{}/{key}", self.identity), key.to_owned()]
    }

    /// Which directory this is; `None` where nothing was ever put.
    pub(super) fn id(&self) -> Result<Option<Uuid>, HandOffError> {
        let path = self.directory.join(ID);
        let unreadable = |source| HandOffError::Unreadable { path: path.clone(), source };
        let text = file::text(&path, &Rules::own(LARGEST)).map_err(unreadable)?;
        Ok(text.and_then(|text| Uuid::try_parse(text.trim()).ok()))
    }

    /// Gives the directory its id, where it has none. Of several processes that come first at once, one does.
    fn identify(&self) -> Result<(), HandOffError> {
        let path = self.directory.join(ID);
        if self.id()?.is_some() {
            return Ok(());
        }
        let aside = file::write_aside(&self.directory, format!("{}\n", Uuid::new_v4()).as_bytes());
        let settled = aside.and_then(|aside| file::settle(&aside, &path));
        settled.map(drop).map_err(failed("write", &path))
    }

    /// Where the entry called `name` waits: of fixed length and harmless, whatever the name holds.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{}.sealed", hex(&Sha256::digest(name))))
    }

    /// The names under which the entry `key` may wait, and until when it does: the one that was put last comes first.
    fn last_first(&self, key: &str) -> Result<[Found; 2], HandOffError> {
        let [name, former] = self.names(key);
        let read = |name: &str| read_until(&self.path(name));
        let now = Utc::now();
        let mut found = [(read(&name)?, name), (read(&former)?, former)]
            .map(|(until, name)| (until.filter(|until| *until > now), name));
        found.sort_by_key(|(until, _)| Reverse(*until));
        Ok(found)
    }

    /// Until when the entry `key` waits; `None` if there is nothing to take.
    pub(super) fn until(&self, key: &str) -> Result<Option<DateTime<Utc>>, HandOffError> {
        let [(until, _), _] = self.last_first(key)?;
        Ok(until)
    }

    /// How many entries wait under each key, by its id.
    pub(super) fn sealed_under(&self) -> Result<BTreeMap<String, usize>, HandOffError> {
        let mut under = BTreeMap::new();
        if !self.is_there()? {
            return Ok(under);
        }
        for file in file::list(&self.directory).map_err(failed("list", &self.directory))? {
            let path = file.map_err(failed("list", &self.directory))?.path();
            if path.extension().is_some_and(|extension| extension == "sealed")
                && !expired(&path)?
                && let Some(key) =
                    head::<{ seal::HEAD }>(&path)?.and_then(|head| seal::key_id(&head).map(str::to_owned))
            {
                *under.entry(key).or_default() += 1;
            }
        }
        Ok(under)
    }

    pub(super) fn discard(&self, key: &str) -> Result<(), HandOffError> {
        self.is_there()?;
        let mut is_changed = false;
        for name in self.names(key) {
            is_changed |= remove(&self.path(&name))?;
        }
        if is_changed { self.sync() } else { Ok(()) }
    }

    pub(super) fn sweep(&self) -> Result<usize, HandOffError> {
        if !self.is_there()? {
            return Ok(0);
        }
        let files = file::list(&self.directory).map_err(failed("list", &self.directory))?;
        let mut removed = 0;
        for file in files {
            let path = file.map_err(failed("list", &self.directory))?.path();
            let gone = match path.extension().and_then(|extension| extension.to_str()) {
                Some("sealed") => self.sweep_waiting(path)?,
                Some("claimed") => expired(&path)? && remove(&path)?,
                Some("tmp") => abandoned(&path) && remove(&path)?,
                _ => false,
            };
            removed += usize::from(gone);
        }
        Ok(removed)
    }

    /// Removes the entry at `path` if its life is over. It is claimed first and judged again: a newer one may have
    /// taken its name in between.
    fn sweep_waiting(&self, path: PathBuf) -> Result<bool, HandOffError> {
        if !expired(&path)? {
            return Ok(false);
        }
        let Some(claim) = self.claim(path)? else { return Ok(false) };
        if expired(&claim.claimed)? {
            claim.remove()?;
            return Ok(true);
        }
        claim.restore()?;
        Ok(false)
    }

    /// Whether the directory is there.
    ///
    /// Errors: what stands there is not ours alone.
    fn is_there(&self) -> Result<bool, HandOffError> {
        let unfit = |source| HandOffError::Unreadable { path: self.directory.to_path_buf(), source };
        Ok(file::look(&self.directory, &Rules::data_directory()).map_err(unfit)?.is_some())
    }

    /// Takes the file at `path` out of everybody's reach; `None` if it is not there, or somebody was faster.
    fn claim(&self, path: PathBuf) -> Result<Option<Claim>, HandOffError> {
        if !self.is_there()? {
            return Ok(None);
        }
        let unique = file::unique().map_err(failed("claim", &path))?;
        let claimed = path.with_extension(format!("{unique}.claimed"));
        if found(file::rename(&path, &claimed), "claim", &path)?.is_none() {
            return Ok(None);
        }
        self.sync()?;
        Ok(Some(Claim { shelf: self.clone(), waiting: path, claimed }))
    }

    fn sync(&self) -> Result<(), HandOffError> {
        file::sync(&self.directory).map_err(failed("write", &self.directory))
    }
}

/// A file that was taken.
pub(super) struct Claim {
    shelf: Shelf,
    waiting: PathBuf,
    claimed: PathBuf,
}

impl Claim {
    pub(super) fn remove(self) -> Result<(), HandOffError> {
        remove(&self.claimed)?;
        self.shelf.sync()
    }

    /// Puts it back, unless a newer entry has the name by now.
    pub(super) fn restore(self) -> Result<(), HandOffError> {
        file::settle(&self.claimed, &self.waiting).map_err(failed("put back", &self.waiting))?;
        self.shelf.sync()
    }
}

/// The directory, with the keys that seal and open.
#[derive(Clone)]
pub struct Embedded {
    shelf: Shelf,
    ring: Arc<KeyRing>,
}

impl Embedded {
    pub(super) fn new(data_dir: &Path, owner: &Owner, ring: Arc<KeyRing>) -> Self {
        Self { shelf: Shelf::new(data_dir, owner), ring }
    }

    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Writes each entry, then makes all their names durable at once.
    pub(super) fn put(&self, entries: &[Entry]) -> Vec<Result<(), HandOffError>> {
        let directory = &self.shelf.directory;
        let data_dir = directory.parent().unwrap_or(directory);
        let made =
            file::make_directory(data_dir).map_err(Fault::from).and_then(|()| file::make_subdirectory(directory));
        if let Err(fault) = made {
            return entries.iter().map(|_| Err(unmade(directory, &fault))).collect();
        }
        let mut done: Vec<_> = entries.iter().map(|entry| self.put_one(entry)).collect();
        // Without it, what was put is unknown elsewhere, and here too; it is there all the same.
        if let Err(error) = self.shelf.identify() {
            tracing::warn!("the hand-off gets no id: {error}");
        }
        if let Err(error) = file::sync(directory) {
            for one in done.iter_mut().filter(|one| one.is_ok()) {
                *one = Err(failed("write", directory)(error.kind().into()));
            }
        }
        done
    }

    fn put_one(&self, Entry { key, secret, life }: &Entry) -> Result<(), HandOffError> {
        let until = expiry(*life)?;
        let [name, former] = self.shelf.names(key);
        let sealed = seal::seal(&self.ring, &name, until, secret).map_err(|error| match error {
            SealError::Random(source) => HandOffError::Random(source),
            SealError::Unsealable => HandOffError::Unsealable,
        })?;
        let directory = &self.shelf.directory;
        let aside = file::write_aside(directory, &sealed).map_err(failed("write to", directory))?;
        let path = self.shelf.path(&name);
        // What it replaces goes first: it must not be taken after this one.
        let former = remove(&self.shelf.path(&former)).map(drop);
        former.and_then(|()| file::rename(&aside, &path).map_err(failed("write", &path))).inspect_err(|_| {
            // The first failure is the one to report; a sweep removes what stays aside.
            let _ = file::remove(&aside);
        })
    }

    pub(super) fn take(&self, key: &str) -> Result<Option<(Secret, Claim)>, HandOffError> {
        let [(until, last), (_, other)] = self.shelf.last_first(key)?;
        if until.is_some() {
            // What the last one has replaced goes first: it must not be taken after this one.
            remove(&self.shelf.path(&other))?;
        }
        match self.take_named(&last)? {
            Some(taken) => Ok(Some(taken)),
            None => self.take_named(&other),
        }
    }

    fn take_named(&self, name: &str) -> Result<Option<(Secret, Claim)>, HandOffError> {
        let Some(claim) = self.shelf.claim(self.shelf.path(name))? else { return Ok(None) };
        if expired(&claim.claimed)? {
            claim.remove()?;
            return Ok(None);
        }
        match self.open(name, &claim.claimed, &claim.waiting) {
            Ok(secret) => Ok(Some((secret, claim))),
            Err(error) => {
                claim.restore()?;
                Err(error)
            }
        }
    }

    /// What waits under `key`, which stays where it is.
    pub(super) fn read(&self, key: &str) -> Result<Option<Secret>, HandOffError> {
        for (until, name) in self.shelf.last_first(key)? {
            let path = self.shelf.path(&name);
            if until.is_none() {
                continue;
            }
            match self.open(&name, &path, &path) {
                Ok(secret) => return Ok(Some(secret)),
                // Somebody took it in between.
                Err(HandOffError::Unreadable { source, .. }) if source.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Opens the file at `path`; errors name it as `shown`.
    fn open(&self, name: &str, path: &Path, shown: &Path) -> Result<Secret, HandOffError> {
        let unreadable = |source| HandOffError::Unreadable { path: shown.to_owned(), source };
        let sealed = file::read(path, &RULES).map_err(unreadable)?;
        let sealed = sealed.ok_or_else(|| unreadable(io::Error::from(io::ErrorKind::NotFound).into()))?;
        seal::open(&self.ring, name, &sealed).map_err(|error| match error {
            OpenError::Damaged => HandOffError::Damaged { path: shown.to_owned() },
            OpenError::UnknownKey(key_id) => HandOffError::UnknownKey { path: shown.to_owned(), key_id },
        })
    }
}

/// Until when the file at `path` waits, from its clear head; the sealed part is not read. `None` if there is no such
/// file, or it is not an entry.
fn read_until(path: &Path) -> Result<Option<DateTime<Utc>>, HandOffError> {
    Ok(head::<{ seal::UNTIL }>(path)?.and_then(|head| seal::until(&head)))
}

/// The first bytes of the file at `path`; `None` if there is no such file, or it has fewer.
fn head<const LENGTH: usize>(path: &Path) -> Result<Option<[u8; LENGTH]>, HandOffError> {
    let unreadable = |source| HandOffError::Unreadable { path: path.to_owned(), source };
    let opened = match file::open(path, &RULES) {
        Ok(opened) => opened,
        Err(fault) if fault.is_missing() => return Ok(None),
        Err(fault) => return Err(unreadable(fault)),
    };
    let mut head = [0; LENGTH];
    let whole = opened.head(&mut head).map_err(unreadable)?.len() == LENGTH;
    Ok(whole.then_some(head))
}

fn expired(path: &Path) -> Result<bool, HandOffError> {
    Ok(read_until(path)?.is_some_and(|until| until <= Utc::now()))
}

/// Whether the file at `path` was last written so long ago that nobody is at it any more.
fn abandoned(path: &Path) -> bool {
    let written = file::facts_of_link(path).and_then(|about| about.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > WRITING))
}

/// Removes the file at `path`; `false` if it was gone.
fn remove(path: &Path) -> Result<bool, HandOffError> {
    Ok(found(file::remove(path), "remove", path)?.is_some())
}

/// `None` instead of the error that there is nothing.
fn found<T>(result: io::Result<T>, doing: &'static str, path: &Path) -> Result<Option<T>, HandOffError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(doing, path)(error)),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HandOffError {
    move |source| HandOffError::Io { doing, path: path.to_owned(), source }
}

/// The error for each entry that a directory was wanted for.
fn unmade(path: &Path, fault: &Fault) -> HandOffError {
    let source = match fault {
        Fault::Io(error) => error.kind().into(),
        fault => io::Error::other(fault.to_string()),
    };
    HandOffError::Io { doing: "make", path: path.to_owned(), source }
}
