//! Files that somebody else may have put there: one way to open them, and one to write them.
//!
//! A path proves nothing about what stands behind it: a link, a pipe without a writer, a device, a file of another user,
//! a second name of a file elsewhere. So nothing is judged by its path. A file is opened without waiting
//! (`O_NONBLOCK`, `open(2)`), what is judged is the open descriptor (`fstat(2)`), and what is read has a limit. Whoever
//! needs a file says by [`Rules`] what it must be; a [`Fault`] says what it is instead, and the way out.
//!
//! The one file that is opened by another is the SQLite database, by its library: it and its companions are judged
//! before and after by [`look`], on a descriptor that cannot read (`O_PATH`), because to close any other would take
//! away the library's locks.

mod data_dir;
mod directory;
mod fault;
mod read;
mod save;
mod write;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};
use std::sync::LazyLock;

pub use data_dir::{DataDir, Mark, MarkError, make_directory, make_subdirectory};
pub use directory::{Entry, Right, exists, facts, facts_of_link, is_directory, list, may, real, steps, target};
pub use fault::Fault;
pub use read::{Opened, look, open, read, secret, text};
pub use save::{SaveError, save};
pub use write::{create, remove, rename, replace, rewrite, settle, sync, unique, write_aside};

/// Who may own a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Us,
    UsOrRoot,
    Anybody,
}

/// Who else may get at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Nobody may read or change it. What a platform hands over is let in: see [`Rules::secret`].
    Private,
    /// Nobody may change it but us, root and, where it says so, our primary group.
    Unwritable,
    /// As before; but where anybody may make names (`/tmp`), only their owners take them away (the sticky bit).
    Kept,
    /// Nobody else may change it, no group either.
    OursToWrite,
    Any,
}

/// What a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// A regular file.
    File,
    /// A regular file without a second name (hard link), which may be another's.
    SingleFile,
    Directory,
}

/// What becomes of a symbolic link at the end of the path, or on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Followed,
    Refused,
    /// No link on the way to it either.
    RefusedOnTheWay,
}

/// What is asked of a file before a byte of it is used.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    owner: Owner,
    reach: Reach,
    sort: Sort,
    link: Link,
    /// The most bytes that are read.
    limit: u64,
}

impl Rules {
    /// A file with a secret: ours and mode 0600; or as a platform hands it over: below systemd's
    /// `$CREDENTIALS_DIRECTORY` (systemd.exec(5), *Credentials*), or root's and readable by a group of ours alone, as
    /// Kubernetes does with `fsGroup`. Links are followed: Kubernetes' lead into `..data`.
    pub const fn secret(limit: u64) -> Self {
        Self { owner: Owner::UsOrRoot, reach: Reach::Private, sort: Sort::File, link: Link::Followed, limit }
    }

    /// A file that decides what is done: ours or root's, and nobody else may change it but our primary group.
    pub const fn settings(limit: u64) -> Self {
        Self { owner: Owner::UsOrRoot, reach: Reach::Unwritable, sort: Sort::File, link: Link::Followed, limit }
    }

    /// A file that we made for ourselves: ours alone, by this one name.
    pub const fn own(limit: u64) -> Self {
        Self { owner: Owner::Us, reach: Reach::Private, sort: Sort::SingleFile, link: Link::Refused, limit }
    }

    /// As [`Rules::own`], where others may read it: a copy that a person made is as good.
    pub const fn note(limit: u64) -> Self {
        let (owner, reach) = (Owner::Us, Reach::Unwritable);
        Self { owner, reach, sort: Sort::SingleFile, link: Link::Refused, limit }
    }

    /// The database file and what lies beside it: ours or root's, by this one name, and nobody else may change it.
    pub const fn database() -> Self {
        let (owner, reach) = (Owner::UsOrRoot, Reach::Unwritable);
        Self { owner, reach, sort: Sort::SingleFile, link: Link::Refused, limit: u64::MAX }
    }

    /// A state file: anybody's, but a regular file, and no link, nor one on the way to it: where links lead was decided
    /// when it was found, and since then one may have taken a directory's place.
    pub const fn state(limit: u64) -> Self {
        Self { owner: Owner::Anybody, reach: Reach::Any, sort: Sort::File, link: Link::RefusedOnTheWay, limit }
    }

    /// What is only looked at, and proves itself or is not believed: a saved plan, a file of Git's, of the system's.
    pub const fn anybodys(limit: u64) -> Self {
        Self { owner: Owner::Anybody, reach: Reach::Any, sort: Sort::File, link: Link::Followed, limit }
    }

    /// The directory in which the database lies: nobody else can put another file in the place of one of ours.
    pub const fn database_directory() -> Self {
        let (owner, reach, limit) = (Owner::UsOrRoot, Reach::Kept, 0);
        Self { owner, reach, sort: Sort::Directory, link: Link::Refused, limit }
    }

    /// The data directory: ours, and nobody else may change what is in it.
    pub const fn data_directory() -> Self {
        let (owner, reach, limit) = (Owner::Us, Reach::OursToWrite, 0);
        Self { owner, reach, sort: Sort::Directory, link: Link::Refused, limit }
    }

    fn judge(&self, facts: &Facts, us: &Us, place: Place) -> Result<(), Fault> {
        let Facts { sort, mode, is_sticky, owner, group, names } = *facts;
        match (self.sort, sort) {
            (_, Found::Link) => return Err(Fault::Link),
            (Sort::File | Sort::SingleFile, Found::File) | (Sort::Directory, Found::Directory) => {}
            (Sort::File | Sort::SingleFile, _) => return Err(Fault::NotAFile),
            (Sort::Directory, _) => return Err(Fault::NotADirectory),
        }
        let is_owner_fit = match self.owner {
            Owner::Us => owner == us.user,
            Owner::UsOrRoot => owner == us.user || owner == ROOT,
            Owner::Anybody => true,
        };
        if !is_owner_fit {
            return Err(Fault::Owner { owner });
        }
        // A file that its owner has just deleted counts no name any more.
        if self.sort == Sort::SingleFile && names > 1 {
            return Err(Fault::Names { count: names });
        }
        let others = mode & 0o077;
        match self.reach {
            Reach::Private if others == 0 && owner == us.user => Ok(()),
            Reach::Private if us.is_handed_over(facts, place) && self.owner == Owner::UsOrRoot => Ok(()),
            Reach::Private if others == 0 => Err(Fault::Owner { owner }),
            Reach::Private => Err(Fault::Exposed { mode }),
            Reach::Kept if is_sticky => Ok(()),
            Reach::Unwritable | Reach::Kept if mode & 0o002 != 0 => Err(Fault::Writable { mode }),
            Reach::Unwritable | Reach::Kept if mode & 0o020 != 0 && group != us.group => Err(Fault::Writable { mode }),
            Reach::OursToWrite if mode & 0o022 != 0 => Err(Fault::Writable { mode }),
            Reach::Unwritable | Reach::Kept | Reach::OursToWrite | Reach::Any => Ok(()),
        }
    }
}

const ROOT: u32 = 0;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    File,
    Directory,
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// What a descriptor says about its file, as far as it is judged.
#[derive(Clone, Copy, Debug)]
struct Facts {
    sort: Found,
    /// The nine bits of rights.
    mode: u32,
    is_sticky: bool,
    owner: u32,
    group: u32,
    names: u64,
}

impl Facts {
    fn of(meta: &Metadata) -> Self {
        let sort = match meta.file_type() {
            sort if sort.is_file() => Found::File,
            sort if sort.is_dir() => Found::Directory,
            sort if sort.is_symlink() => Found::Link,
            _ => Found::Other,
        };
        let (mode, is_sticky) = (meta.mode() & 0o777, meta.mode() & 0o1000 != 0);
        Self { sort, mode, is_sticky, owner: meta.uid(), group: meta.gid(), names: meta.nlink() }
    }
}

/// Where a secret lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the directory in which systemd hands over credentials.
    Credentials,
    Elsewhere,
}

impl Place {
    fn of(path: &Path) -> Self {
        let is_down = |step| step != Component::ParentDir;
        match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(directory) if !directory.is_empty() && path.starts_with(&directory) => {
                match path.components().all(is_down) {
                    true => Place::Credentials,
                    false => Place::Elsewhere,
                }
            }
            _ => Place::Elsewhere,
        }
    }
}

/// Who this process is: it never changes.
#[derive(Clone, Debug)]
struct Us {
    user: u32,
    /// The primary group.
    group: u32,
    groups: Vec<u32>,
}

impl Us {
    fn here() -> &'static Self {
        static US: LazyLock<Us> = LazyLock::new(|| Us {
            user: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
            groups: rustix::process::getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect(),
        });
        &US
    }

    /// Whether a secret is as a platform hands it over: root's, nobody may write it but root, and nobody may read it but
    /// our group, or whom an access list names (which shows as the group's right). Where we are root ourselves, a file
    /// that its owner may write was made by a person, who can give it mode 0600.
    fn is_handed_over(&self, facts: &Facts, place: Place) -> bool {
        let Facts { mode, owner, group, .. } = *facts;
        let is_in_group = group == self.group || self.groups.contains(&group);
        let by_root = self.user != ROOT || mode & 0o200 == 0;
        owner == ROOT && mode & 0o037 == 0 && by_root && (is_in_group || place == Place::Credentials)
    }
}

#[cfg(test)]
mod tests;
