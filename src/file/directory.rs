//! What is known of a path and not of an open file: names, links, and what a directory lists.
//!
//! Nothing here decides that a file may be used: it finds names, and notices that something has changed.

use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};

/// A name in a directory.
#[derive(Debug)]
pub struct Entry(fs::DirEntry);

impl Entry {
    pub fn name(&self) -> OsString {
        self.0.file_name()
    }

    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// What it is; a link is a link.
    ///
    /// Errors: it has gone.
    pub fn sort(&self) -> io::Result<FileType> {
        self.0.file_type()
    }

    /// The facts of the name itself: a link's are the link's.
    ///
    /// Errors: it has gone.
    pub fn facts(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }
}

/// The names in the directory at `path`, in no order. What is no directory is not opened.
///
/// Errors: it is no directory, or may not be read; later, that the next name cannot be read.
pub fn list(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
    Ok(fs::read_dir(path)?.map(|entry| entry.map(Entry)))
}

/// `path` without any link in it.
///
/// Errors: nothing is there, or a directory on the way may not be passed.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// The names of a path, the last one first.
pub fn steps(path: &Path) -> Vec<OsString> {
    let named = |step: Component<'_>| match step {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(named).collect()
}

/// Where the link at `path` leads.
///
/// Errors: it is no link.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    path.read_link()
}

/// The facts of what stands behind `path`.
///
/// Errors: nothing is there.
pub fn facts(path: &Path) -> io::Result<Metadata> {
    path.metadata()
}

/// As [`facts`]; but a link's are the link's.
///
/// Errors: nothing is there.
pub fn facts_of_link(path: &Path) -> io::Result<Metadata> {
    path.symlink_metadata()
}

pub fn is_directory(path: &Path) -> bool {
    path.is_dir()
}

/// Whether something bears this name, be it a link that leads nowhere.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// What this user may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Read,
    Write,
    /// In a directory: make, rename and remove names.
    WriteIn,
}

/// Whether this user may do that, as far as the system tells beforehand (`access(2)`): to be shown, never to be relied on.
///
/// Errors: it may not.
pub fn may(path: &Path, right: Right) -> io::Result<()> {
    let right = match right {
        Right::Read => Access::READ_OK,
        Right::Write => Access::WRITE_OK,
        Right::WriteIn => Access::WRITE_OK | Access::EXEC_OK,
    };
    Ok(access(path, right)?)
}
