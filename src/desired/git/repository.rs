//! Finds the repository that holds the state directory, without asking `git`, which would also take a directory for one
//! that somebody has committed as plain files.
//!
//! What counts is a `.git` directory or file (gitrepository-layout(5)) in the state directory or in the nearest
//! directory above it, on the same file system. A bare repository counts in one place alone: where the path of the
//! state directory leads into it, so that no such directory exists, and no `.git` lies above.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::GitError;
use crate::file::{self, Fault, Rules};

/// The most that a file which leads somewhere else may hold, in bytes: `HEAD`, `.git`, `commondir`. Git's own limit for
/// paths is a quarter of it.
pub const MOST_POINTER: u64 = 16 << 10;

/// The most that `packed-refs` may hold, in bytes: some millions of references.
const MOST_PACKED: u64 = 1 << 30;

/// Where the history of the state files is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The directory that holds `.git`; of a bare repository, itself. Without links.
    pub top: PathBuf,
    /// Of this work tree: `HEAD`.
    pub own: PathBuf,
    /// Of all its work trees: branches and objects.
    pub common: PathBuf,
    pub(super) is_bare: bool,
}

/// Where a state directory stands in its repository.
#[derive(Clone, Debug)]
pub struct Place {
    pub repository: Repository,
    /// From the top to the state directory; empty where both are one.
    pub inside: PathBuf,
    /// Links below the top that the way to the state directory leads over, from the top.
    pub links: Vec<PathBuf>,
}

impl Place {
    /// Finds the repository of `dir`, which need not exist in the work tree. Reads a few small files, and runs nothing.
    ///
    /// Errors: [`GitError::NoRepository`] where there is none, [`GitError::Boundary`] where one lies beyond a mount
    /// point, [`GitError::Broken`] and [`GitError::ForeignObjects`] where it is none that can be believed.
    pub fn find(dir: &Path) -> Result<Self, GitError> {
        let place = Self::around(dir)?;
        place.repository.own_objects()?;
        Ok(place)
    }

    /// As [`Place::find`], wherever the repository takes its objects from.
    pub fn around(dir: &Path) -> Result<Self, GitError> {
        let none = || GitError::NoRepository(dir.to_path_buf());
        let whole = std::path::absolute(dir).map_err(|_| none())?;
        let nearest = whole.ancestors().find(|path| file::is_directory(path)).ok_or_else(none)?;
        let base = file::real(nearest).map_err(|_| none())?;
        let rest = whole.strip_prefix(nearest).unwrap_or(Path::new(""));
        if !is_plain(rest) {
            return Err(none());
        }
        let Some(repository) = above(&base)? else {
            let bare = if rest.as_os_str().is_empty() { None } else { Repository::bare(&base)? }.ok_or_else(none)?;
            return Ok(Self { repository: bare, inside: rest.to_path_buf(), links: Vec::new() });
        };
        let below = |path: &Path| path.strip_prefix(&repository.top).ok().map(Path::to_path_buf);
        let inside = below(&base).unwrap_or_default().join(rest);
        let links = links_on_the_way(nearest).unwrap_or_default();
        let links = links.iter().filter_map(|link| below(link)).collect();
        Ok(Self { inside, links, repository })
    }

    /// The repository of `dir` as it is shown to the user, or why it is not believed; `None` where there is none.
    pub fn told(dir: &Path) -> Option<String> {
        match Self::find(dir) {
            Ok(place) => Some(place.repository.named()),
            Err(GitError::NoRepository(_)) => None,
            Err(error) => Some(format!("not believed: {error}")),
        }
    }

    /// The state directory, without any link in its path.
    pub fn dir(&self) -> PathBuf {
        self.repository.top.join(&self.inside)
    }

    /// What is named to a command that is to look at the state directory alone.
    pub fn paths(&self) -> Vec<&Path> {
        if self.inside.as_os_str().is_empty() { Vec::new() } else { vec![&self.inside] }
    }
}

/// What of a directory is looked at besides its names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Directories,
    Nothing,
}

/// The repository whose `.git` lies in `base` or in the nearest directory above it.
fn above(base: &Path) -> Result<Option<Repository>, GitError> {
    let device = |path: &Path| file::facts(path).map(|facts| facts.dev()).ok();
    let mut mount: Option<&Path> = None;
    let mut last = base;
    for dir in base.ancestors() {
        if mount.is_none() && device(dir) != device(base) {
            mount = Some(last);
        }
        last = dir;
        let Some(repository) = Repository::at(dir)? else { continue };
        return match mount {
            None => Ok(Some(repository)),
            Some(mount) => Err(GitError::Boundary { mount: mount.to_path_buf(), repository: repository.top }),
        };
    }
    Ok(None)
}

impl Repository {
    /// The repository whose work tree begins at `dir`. A `.git` directory that is none is passed over, as Git does.
    pub fn at(dir: &Path) -> Result<Option<Self>, GitError> {
        let dot = dir.join(".git");
        let broken = |why: &str| GitError::Broken { path: dot.clone(), why: why.to_owned() };
        match file::facts(&dot).map(|facts| facts.file_type()) {
            Ok(sort) if sort.is_dir() => Self::of(dir, &dot),
            Ok(sort) if sort.is_file() => {
                let text = pointer(&dot)?;
                let path = text.strip_prefix(b"gitdir: ").ok_or_else(|| broken("is no `.git` file of Git's form"))?;
                let own = dir.join(OsStr::from_bytes(path.trim_ascii_end()));
                let found = Self::of(dir, &own)?;
                found.map(Some).ok_or_else(|| broken("leads to a directory that is no Git repository"))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(GitError::Unreadable(dot)),
            _ => Ok(None),
        }
    }

    /// The bare repository at `dir` itself.
    fn bare(dir: &Path) -> Result<Option<Self>, GitError> {
        Ok(Self::of(dir, dir)?.map(|repository| Self { is_bare: true, ..repository }))
    }

    /// What makes a directory a repository, as Git judges it: `HEAD`, `objects` and `refs`.
    fn of(top: &Path, own: &Path) -> Result<Option<Self>, GitError> {
        let Ok(own) = file::real(own) else { return Ok(None) };
        let Some(head) = head(&own.join("HEAD"))? else { return Ok(None) };
        let common = match pointer_if_there(&own.join("commondir"))? {
            Some(path) => match file::real(&own.join(OsStr::from_bytes(path.trim_ascii_end()))) {
                Ok(common) => common,
                Err(_) => return Ok(None),
            },
            None => own.clone(),
        };
        // gitrepository-layout(5), *commondir*: a linked work tree is kept by the repository that it belongs to.
        if own != common && !own.starts_with(common.join("worktrees")) {
            let why = format!("leads to `{}`, which does not keep this work tree", common.display());
            return Err(GitError::Broken { path: own.join("commondir"), why });
        }
        if !["objects", "refs"].iter().all(|dir| file::is_directory(&common.join(dir))) {
            return Ok(None);
        }
        // Git would read them whole, and wait for a pipe.
        bounded(&common.join(&head), MOST_POINTER)?;
        bounded(&common.join("packed-refs"), MOST_PACKED)?;
        bounded(&common.join("shallow"), MOST_PACKED)?;
        Ok(Some(Self { top: top.to_path_buf(), own, common, is_bare: false }))
    }

    /// Refuses objects from elsewhere than the repository's own directory. Git does not look whom they belong to, nor whether they are what their names say; and
    /// what lists them may name others that list more.
    fn own_objects(&self) -> Result<(), GitError> {
        let objects = self.common.join("objects");
        let list = objects.join("info/alternates");
        let text = pointer_if_there(&list)?.unwrap_or_default();
        let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        if let Some(line) = lines.next() {
            let store = objects.join(OsStr::from_bytes(line));
            return Err(GitError::ForeignObjects { top: self.top.clone(), list, store });
        }
        self.no_links(&objects, Below::Directories)
    }

    /// Refuses links in the place of `dir`, in it, and in the directories of objects and packs in it: no Git makes any.
    fn no_links(&self, dir: &Path, below: Below) -> Result<(), GitError> {
        self.is_no_link(dir)?;
        let Ok(found) = file::list(dir) else { return Ok(()) };
        for entry in found.flatten() {
            match entry.sort() {
                Ok(sort) if sort.is_symlink() => self.is_no_link(&entry.path())?,
                Ok(sort) if sort.is_dir() && below == Below::Directories => {
                    self.no_links(&entry.path(), Below::Nothing)?
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_no_link(&self, path: &Path) -> Result<(), GitError> {
        match file::target(path) {
            Ok(store) => Err(GitError::ForeignObjects { top: self.top.clone(), list: path.to_path_buf(), store }),
            Err(_) => Ok(()),
        }
    }

    /// Whether it was cloned without some of its objects.
    pub(super) fn is_partial(&self) -> bool {
        let packs = file::list(&self.common.join("objects/pack"));
        packs.is_ok_and(|mut packs| {
            packs.any(|pack| pack.is_ok_and(|pack| pack.path().extension() == Some("promisor".as_ref())))
        })
    }

    /// Errors: `HEAD` passes through commits that nobody meant, as long as a rebase or a search for a bad commit lasts.
    pub fn at_rest(&self) -> Result<(), GitError> {
        const WORK: [(&str, &str, &str); 3] = [
            ("rebase-merge", "a rebase", "rebase --abort"),
            ("rebase-apply", "a rebase", "rebase --abort"),
            ("BISECT_LOG", "a bisection", "bisect reset"),
        ];
        match WORK.iter().find(|(mark, _, _)| file::exists(&self.own.join(mark))) {
            None => Ok(()),
            Some((_, what, verb)) => Err(GitError::UnderWay { top: self.top.clone(), what, verb }),
        }
    }

    /// As shown to the user.
    pub fn named(&self) -> String {
        let (top, own) = (self.top.display(), self.own.display());
        match self.is_bare || self.own == self.top.join(".git") {
            true => top.to_string(),
            false => format!("{top} (its repository is {own})"),
        }
    }
}

/// What a small file that leads elsewhere says.
fn pointer(path: &Path) -> Result<Vec<u8>, GitError> {
    let opened = file::open(path, &Rules::anybodys(MOST_POINTER));
    opened.and_then(|mut opened| opened.read()).map_err(|fault| match fault {
        Fault::Io(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            GitError::Unreadable(path.to_path_buf())
        }
        Fault::Io(source) => GitError::Io { what: "rev-parse", source },
        _ => no_file(path, MOST_POINTER),
    })
}

/// The same; `None` where there is no such file.
fn pointer_if_there(path: &Path) -> Result<Option<Vec<u8>>, GitError> {
    match pointer(path) {
        Err(GitError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

/// Errors: something is there that is no regular file, or is larger than `most` bytes.
fn bounded(path: &Path, most: u64) -> Result<(), GitError> {
    match file::facts(path) {
        Ok(facts) if !facts.is_dir() && (!facts.is_file() || facts.len() > most) => Err(no_file(path, most)),
        _ => Ok(()),
    }
}

fn no_file(path: &Path, most: u64) -> GitError {
    GitError::Broken { path: path.to_path_buf(), why: format!("is no file of at most {most} bytes") }
}

/// What a `HEAD` names: a reference, or a commit by its id. `None` where it is no `HEAD`.
fn head(path: &Path) -> Result<Option<PathBuf>, GitError> {
    if let Ok(target) = file::target(path) {
        return Ok(Some(target).filter(|target| target.starts_with("refs")));
    }
    let text = pointer_if_there(path)?.unwrap_or_default();
    let name = text.strip_prefix(b"ref:").map_or(&*text, |name| name.trim_ascii_start()).trim_ascii_end();
    let is_id = matches!(name.len(), 40 | 64) && name.iter().all(u8::is_ascii_hexdigit);
    let named = is_id || (text.starts_with(b"ref:") && name.starts_with(b"refs/"));
    Ok(named.then(|| PathBuf::from(OsStr::from_bytes(name))))
}

/// Whether a path goes down only.
fn is_plain(path: &Path) -> bool {
    path.components().all(|step| matches!(step, Component::Normal(_)))
}

/// The links, each where it really lies, that must be followed to come to an absolute path; `None` where there are more
/// than the system follows, or one leads nowhere.
pub fn links_on_the_way(path: &Path) -> Option<Vec<PathBuf>> {
    /// As many as Linux follows.
    const MOST_LINKS: usize = 40;
    let mut here = PathBuf::from("/");
    let mut ahead = file::steps(path);
    let mut links = Vec::new();
    while let Some(name) = ahead.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        if !file::facts_of_link(&next).ok()?.file_type().is_symlink() {
            here = next;
            continue;
        }
        if links.len() == MOST_LINKS {
            return None;
        }
        let target = file::target(&next).ok()?;
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        ahead.extend(file::steps(&target));
        links.push(next);
    }
    Some(links)
}
