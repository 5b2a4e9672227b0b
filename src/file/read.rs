//! Opening, judging and reading.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::{Facts, Fault, Link, Place, Rules, Us};

/// A byte order mark, with which some editors begin UTF-8 text.
const MARK: char = '\u{feff}';

/// A file that is what was asked for.
#[derive(Debug)]
pub struct Opened {
    file: File,
    facts: Metadata,
    limit: u64,
}

/// Opens the file at `path` for reading, without waiting for the other end of a pipe or a device, and judges it.
///
/// Errors: it cannot be opened, or is not what the rules ask for. One that is not there is [`Fault::is_missing`].
pub fn open(path: &Path, rules: &Rules) -> Result<Opened, Fault> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = descriptor(path, flags, rules).map_err(|error| opening(error.into(), rules))?;
    let facts = file.metadata()?;
    rules.judge(&Facts::of(&facts), Us::here(), Place::of(path))?;
    Ok(Opened { file, facts, limit: rules.limit })
}

/// What stands at `path`, by as many links as the rules allow.
fn descriptor(path: &Path, flags: OFlags, rules: &Rules) -> Result<File, Errno> {
    /// A directory is gone through, and not read.
    const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let flags = flags | OFlags::CLOEXEC;
    let opened = match rules.link {
        Link::Followed => openat(CWD, path, flags, Mode::empty())?,
        Link::Refused => openat(CWD, path, flags | OFlags::NOFOLLOW, Mode::empty())?,
        Link::RefusedOnTheWay => {
            let (Some(name), Some(way)) = (path.file_name(), path.parent()) else { return Err(Errno::ISDIR) };
            let start = if path.is_absolute() { "/" } else { "." };
            let mut here = openat(CWD, start, STEP, Mode::empty())?;
            for step in way.components().filter(|step| !matches!(step, Component::RootDir | Component::CurDir)) {
                here = openat(&here, step.as_os_str(), STEP, Mode::empty())?;
            }
            openat(&here, name, flags | OFlags::NOFOLLOW, Mode::empty())?
        }
    };
    Ok(File::from(opened))
}

/// An error of opening that says what stands there is one of the rules' own.
pub(super) fn opening(error: io::Error, rules: &Rules) -> Fault {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP) if rules.link != Link::Followed => Fault::Link,
        // A socket, a device without a driver, a pipe without a reader; a directory that was to be written.
        Some(Errno::NXIO | Errno::NODEV | Errno::ISDIR) => Fault::NotAFile,
        _ => Fault::Io(error),
    }
}

impl Opened {
    /// As they were when it was judged.
    pub fn facts(&self) -> &Metadata {
        &self.facts
    }

    /// As they are now: whether it changed while it was read.
    ///
    /// Errors: the system does not say.
    pub fn facts_now(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Takes from all others what they may do with it.
    ///
    /// Errors: it is not ours.
    pub fn keep_to_ourselves(&self) -> io::Result<()> {
        let mode = self.facts.permissions().mode();
        if mode & 0o077 == 0 { Ok(()) } else { self.file.set_permissions(Permissions::from_mode(mode & 0o700)) }
    }

    /// All of it.
    ///
    /// Errors: it is larger than the rules allow, or cannot be read.
    pub fn read(&mut self) -> Result<Vec<u8>, Fault> {
        let (size, limit) = (self.facts.len(), self.limit);
        if size > limit {
            return Err(Fault::TooLarge { size, limit });
        }
        // Sized before it is filled: a buffer that grows leaves copies of a secret behind. A file of /proc says 0.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        (&mut self.file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() as u64 {
            size if size > limit => Err(Fault::TooLarge { size, limit }),
            _ => Ok(bytes),
        }
    }

    /// As many of its first bytes as fill `head`, or all that there are. [`Opened::read`] gives them too.
    ///
    /// Errors: it cannot be read.
    pub fn head<'a>(&self, head: &'a mut [u8]) -> Result<&'a [u8], Fault> {
        let mut filled = 0;
        while let Some(room) = head.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.file.read_at(room, filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(&head[..filled])
    }
}

/// The bytes of the file at `path`; `None` if there is no such file.
///
/// Errors: as [`open`] and [`Opened::read`].
pub fn read(path: &Path, rules: &Rules) -> Result<Option<Vec<u8>>, Fault> {
    match open(path, rules) {
        Ok(mut opened) => opened.read().map(Some),
        Err(fault) if fault.is_missing() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// As [`read`], for UTF-8 text.
///
/// Errors: as [`read`]; or it is no such text.
pub fn text(path: &Path, rules: &Rules) -> Result<Option<String>, Fault> {
    let Some(bytes) = read(path, rules)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| Fault::NotText)
}

/// As [`text`], for a secret: a byte order mark, carriage returns and the last newline are no part of it, and its bytes
/// are wiped when they are dropped.
///
/// Errors: as [`text`].
pub fn secret(path: &Path, rules: &Rules) -> Result<Option<Zeroizing<String>>, Fault> {
    let Some(bytes) = read(path, rules)?.map(Zeroizing::new) else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| Fault::NotText)?;
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    text.split('\r').for_each(|part| plain.push_str(part));
    if plain.ends_with('\n') {
        plain.pop();
    }
    Ok(Some(plain))
}

/// Judges the file at `path` for somebody else who opens it: what it is, or `None` if nothing is there. It is not opened
/// for reading, so that no lock on it is lost (`fcntl(2)`: closing any descriptor of a file gives up the process's
/// record locks on it; one of `O_PATH`, `open(2)`, does not count).
///
/// Errors: it is not what the rules ask for, or cannot be looked at.
pub fn look(path: &Path, rules: &Rules) -> Result<Option<Metadata>, Fault> {
    let facts = match descriptor(path, OFlags::PATH, rules) {
        Ok(file) => file.metadata()?,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Fault::Io(error.into())),
    };
    rules.judge(&Facts::of(&facts), Us::here(), Place::of(path))?;
    Ok(Some(facts))
}
