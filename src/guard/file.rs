//! Where a SQLite file really is: links decide nothing, the real path does.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::file::{self, Fault, Rules};

/// What follows the database's name in that of the file beside it that wakes a running daemon.
pub const BELL: &str = "-bell";
/// What follows it in those of SQLite's own: its log, the log's index, its journal.
pub const SQLITES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What stands at the end of a path, after all links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing yet; the path that a new file would have.
    Missing(PathBuf),
    /// A regular file with one name; its device and inode tell it from another that takes its place.
    File { path: PathBuf, device: u64, inode: u64 },
}

impl Place {
    pub fn path(&self) -> &Path {
        match self {
            Place::Missing(path) | Place::File { path, .. } => path,
        }
    }

    /// The catalog that the file system reports: the real file's name without `.db`.
    pub fn reported(&self) -> String {
        let name = self.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.strip_suffix(".db").map_or_else(|| name.clone(), str::to_owned)
    }
}

/// Follows `path` to its end.
///
/// Errors: what makes it unfit, as a clause for a refusal: a hard link, a link that leads nowhere, something else than
/// a file, a directory that cannot be read, a name that SQLite does not take.
pub fn locate(path: &Path) -> Result<Place, String> {
    let place = found(path)?;
    match place.path().to_str() {
        Some(_) => Ok(place),
        None => Err(format!("{} is not valid UTF-8, and SQLite opens no such path", place.path().display())),
    }
}

fn found(path: &Path) -> Result<Place, String> {
    match file::real(path) {
        Ok(real) => {
            around(&real)?;
            let facts = file::look(&real, &Rules::database()).map_err(|fault| unfit(&real, &fault))?;
            let facts = facts.ok_or_else(|| format!("{} has gone", real.display()))?;
            for suffix in SQLITES.into_iter().chain([BELL]) {
                beside(&real, suffix)?;
            }
            Ok(Place::File { path: real, device: facts.dev(), inode: facts.ino() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if file::exists(path) {
                return Err(format!("{} is a link that leads nowhere", path.display()));
            }
            let place = future(path)?;
            around(&place)?;
            for suffix in SQLITES.into_iter().chain([BELL]) {
                beside(&place, suffix)?;
            }
            Ok(Place::Missing(place))
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// The path beside a database file that SQLite uses for its log, index or journal.
pub fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The real path of a file that does not exist yet: its nearest existing ancestor, and the plain rest.
fn future(path: &Path) -> Result<PathBuf, String> {
    for ancestor in path.ancestors().skip(1) {
        match file::real(ancestor) {
            Ok(real) => {
                let rest = path.strip_prefix(ancestor).unwrap_or(path);
                if rest.components().any(|part| !matches!(part, Component::Normal(_))) {
                    return Err(format!("{} leads through a directory that does not exist", path.display()));
                }
                return Ok(real.join(rest));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(ancestor, &error)),
        }
    }
    Err(format!("{} has no directory that exists", path.display()))
}

/// The directory, where it is there: whoever can take names away in it could exchange a file between our look and SQLite's.
fn around(path: &Path) -> Result<(), String> {
    let directory = path.parent().unwrap_or(path);
    file::look(directory, &Rules::database_directory()).map(drop).map_err(|fault| unfit(directory, &fault))
}

/// SQLite follows links at its companion files too, so that one could lead its writes into another database's log.
fn beside(path: &Path, suffix: &str) -> Result<(), String> {
    let companion = companion(path, suffix);
    file::look(&companion, &Rules::database()).map(drop).map_err(|fault| unfit(&companion, &fault))
}

fn unfit(path: &Path, fault: &Fault) -> String {
    match fault {
        Fault::Io(error) => unreadable(path, error),
        Fault::Names { count } => {
            format!("{} has {count} names (hard links), and may be another catalog", path.display())
        }
        fault => {
            let what = fault.to_string();
            match what.strip_prefix("it ") {
                Some(what) => format!("{} {what}", path.display()),
                None => format!("{}: {what}", path.display()),
            }
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be looked at: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_that_sqlite_cannot_be_told_is_unfit_also_behind_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join(OsStr::from_bytes(b"caf\xe9")), directory.path().join("cafe"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        for content in [None, Some("")] {
            content.iter().for_each(|text| fs::write(real.join("KSESSIONS_DEV.db"), text).unwrap());
            for way in [&real, &link] {
                let told = locate(&way.join("KSESSIONS_DEV.db")).unwrap_err();
                assert!(told.ends_with("KSESSIONS_DEV.db is not valid UTF-8, and SQLite opens no such path"), "{told}");
            }
        }
    }
}
