//! Writing files for ourselves: mode 0600, whole or not at all, through no link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::read::opening;
use super::{Facts, Fault, Place, Rules, Us};

/// Makes an empty file at `path`, mode 0600; `false` if something is there already, be it a link.
///
/// Errors: it cannot be made.
pub fn create(path: &Path) -> io::Result<bool> {
    match new_file(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// `O_EXCL` follows no link.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes `bytes` to a new file in `directory` under a name that nobody looks for, mode 0600, and waits until they
/// are on the disk. The caller gives it its name by [`rename`] or [`settle`].
///
/// Errors: it cannot be written; then nothing is left of it.
pub fn write_aside(directory: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = directory.join(format!("{}.tmp", unique()?));
    let mut file = new_file(&path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    match written {
        Ok(()) => Ok(path),
        Err(error) => {
            // The first failure is the one to report.
            let _ = fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Puts a file with these bytes at `path`, mode 0600, whole or not at all; what bears that name gives way, be it a link.
///
/// Errors: it cannot be written; then what was there is still there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = write_aside(directory, bytes)?;
    fs::rename(&aside, path).inspect_err(|_| {
        // The first failure is the one to report.
        let _ = fs::remove_file(&aside);
    })?;
    sync(directory)
}

/// Writes `bytes` in the place of what the file at `path` holds, which is made where it is missing. Not a byte of it is
/// touched before it is judged. Nothing waits for the disk: it is for what need not survive a power cut.
///
/// Errors: it is not what the rules ask for, or cannot be written.
pub fn rewrite(path: &Path, rules: &Rules, bytes: &[u8]) -> Result<(), Fault> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags.bits().cast_signed());
    let mut file = options.open(path).map_err(|error| opening(error, rules))?;
    rules.judge(&Facts::of(&file.metadata()?), Us::here(), Place::Elsewhere)?;
    file.set_len(0)?;
    Ok(file.write_all(bytes)?)
}

/// Gives the file `from` the name `to`, unless that name is taken: then `from` is removed, and the answer is `false`.
/// Of any number who try at once, exactly one gets `true`. After an error `from` is still there.
///
/// Errors: the file system says no.
pub fn settle(from: &Path, to: &Path) -> io::Result<bool> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(true),
        Err(Errno::EXIST) => {}
        // A file system that cannot, such as NFS: for a moment the file has two names.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::hard_link(from, to) {
            Ok(()) => return fs::remove_file(from).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error.into()),
    }
    fs::remove_file(from).map(|()| false)
}

/// Gives the file `from` the name `to`; what bears that name gives way, be it a link.
///
/// Errors: nothing bears the name `from`, or the file system says no.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Takes the name `path` away; where it is a link, the link.
///
/// Errors: nothing bears it, or the file system says no.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Waits until the names in `directory` are on the disk.
///
/// Errors: it is no directory, or the disk says no.
pub fn sync(directory: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECTORY.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(directory)?.sync_all()
}

/// A name that nobody else has: 16 hexadecimal digits.
///
/// Errors: the system gives no random bytes.
pub fn unique() -> io::Result<String> {
    Ok(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?))
}
