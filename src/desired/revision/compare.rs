//! Whether the files that were read are those that a commit holds, by their contents alone.
//!
//! `git status` would be asked in vain: it runs the filters of the repository, believes its own index where that says
//! that a file need not be looked at (assume-unchanged, skip-worktree), and passes over what lies in a repository within.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{LINK, Lying, SUBMODULE, is_no_submodule, way_is_held};
use crate::change::Compared;
use crate::desired::git::object::{Content, Format, ObjectId};
use crate::desired::git::{self, Git, GitError, Place, links_on_the_way};
use crate::desired::tree::names::{is_ignored, is_state_file, is_state_path};
use crate::file;

/// Submodules that are looked into. With more, what was read counts as not held.
const MOST_SUBMODULES: usize = 64;

/// What a commit holds below the state directory, with what the commits of its submodules hold; by absolute paths.
struct Held {
    /// The state directory.
    root: PathBuf,
    /// The files that were read.
    read: HashSet<PathBuf>,
    /// Of all that the commit holds, state files and what was read: the rest may be much, and does not matter.
    files: HashMap<PathBuf, ObjectId>,
    links: HashMap<PathBuf, ObjectId>,
    /// Files that Git would pass through a filter, which may be a program: not compared.
    filtered: HashSet<PathBuf>,
    /// Files whose line ends belong to their content.
    binary: HashSet<PathBuf>,
}

/// A commit whose files are looked for, and where.
struct Sought {
    git: Git,
    commit: String,
    /// The files of `Lying` that lie there.
    files: Vec<PathBuf>,
}

/// Compares what was read with `commit`.
///
/// Errors: `git` gives no answer; the state directory belongs to a submodule that is not here.
pub async fn compare(git: &Git, commit: &str, lying: Lying) -> Result<Compared, GitError> {
    match way_is_held(git, commit).await {
        Err(GitError::Relinked(_)) => return Ok(Compared::Dirty),
        outcome => outcome?,
    }
    let files: Vec<PathBuf> = lying.files.iter().map(|(path, _)| path.clone()).collect();
    let mut held = Held::of(lying.root.clone(), files.iter().cloned().collect());
    let mut waiting = vec![Sought { git: git.clone(), commit: commit.to_owned(), files }];
    for _ in 0..=MOST_SUBMODULES {
        let Some(sought) = waiting.pop() else { break };
        waiting.extend(held.add(sought).await?);
    }
    if !waiting.is_empty() {
        return Ok(Compared::Dirty);
    }
    if held.files.is_empty() {
        is_no_submodule(git, commit).await?;
    }
    let format = git.format;
    let judged = tokio::task::spawn_blocking(move || held.judge(format, &lying)).await;
    judged.map_err(|ended| GitError::Io { what: "ls-tree", source: std::io::Error::other(ended) })
}

/// Whether what lies at `path` is a link whose target is the blob `held`.
pub fn leads_as(format: Format, path: &Path, held: ObjectId) -> bool {
    let target = file::target(path);
    target.is_ok_and(|target| ObjectId::of_blob(format, std::iter::once(target.as_os_str().as_bytes())) == held)
}

impl Held {
    fn of(root: PathBuf, read: HashSet<PathBuf>) -> Self {
        let (files, links) = (HashMap::new(), HashMap::new());
        Self { root, read, files, links, filtered: HashSet::new(), binary: HashSet::new() }
    }

    /// Adds what a commit holds, and gives the submodules in it that are looked at too.
    ///
    /// Errors: a submodule is not here, so that nobody knows which files are missing.
    async fn add(&mut self, sought: Sought) -> Result<Vec<Sought>, GitError> {
        let Sought { git, commit, mut files } = sought;
        let (revision, paths) = ([&*commit], git.place.paths());
        let (listed, attributes) = tokio::join!(git.ask(&git::LIST, &revision, &paths), attributes(&git, &files));
        let (listed, attributes) = (listed?, attributes?);
        let mut within = Vec::new();
        for git::Entry { mode, object, size: _, path } in git::entries(&listed) {
            let path = git.top().join(path);
            let Some(id) = ObjectId::parse(object.as_bytes()) else { continue };
            match mode {
                LINK => drop(self.links.insert(path, id)),
                SUBMODULE => {
                    let (inside, outside): (Vec<_>, _) = files.into_iter().partition(|file| file.starts_with(&path));
                    files = outside;
                    match submodule(&path).await {
                        Some(git) => within.push(Sought { git, commit: object.to_owned(), files: inside }),
                        // What was read there is found to be held by no commit.
                        None if !inside.is_empty() || !is_seen(&self.root, &path) => {}
                        None => return Err(git.submodule(&path)),
                    }
                }
                _ if self.read.contains(&path) || is_state_file(&name(&path)) => drop(self.files.insert(path, id)),
                _ => {}
            }
        }
        self.note(&git, &attributes);
        Ok(within)
    }

    /// Notes which files Git would change on their way into a commit.
    fn note(&mut self, git: &Git, attributes: &[u8]) {
        let mut words = attributes.split(|byte| *byte == 0);
        while let (Some(path), Some(attribute), Some(value)) = (words.next(), words.next(), words.next()) {
            let path = || git.top().join(OsStr::from_bytes(path));
            match (attribute, value) {
                (b"filter", b"unspecified" | b"unset" | b"set") => {}
                (b"filter", _) => drop(self.filtered.insert(path())),
                (b"text", b"unset") => drop(self.binary.insert(path())),
                _ => {}
            }
        }
    }

    fn judge(&self, format: Format, lying: &Lying) -> Compared {
        let differs = lying.files.iter().any(|(path, content)| self.differs(path, content))
            || lying.links.iter().any(|link| !self.holds_all_links_to(format, link))
            || self.links.iter().any(|(link, held)| is_seen(&self.root, link) && !leads_as(format, link, *held))
            || self.lacks_some();
        match differs {
            true => Compared::Dirty,
            false if self.filtered.is_empty() => Compared::Clean,
            false => Compared::Filtered,
        }
    }

    fn differs(&self, path: &Path, content: &Content) -> bool {
        let Some(held) = self.files.get(path) else { return true };
        let is_equal = content.exact == *held || (content.lf == Some(*held) && !self.binary.contains(path));
        !is_equal && !self.filtered.contains(path)
    }

    /// Whether each link that is followed where one was is the commit's.
    fn holds_all_links_to(&self, format: Format, link: &Path) -> bool {
        let is_held = |link: &PathBuf| self.links.get(link).is_some_and(|held| leads_as(format, link, *held));
        links_on_the_way(link).is_some_and(|links| links.iter().all(is_held))
    }

    /// Whether the commit holds a state file that was not read.
    fn lacks_some(&self) -> bool {
        let is_state =
            |path: &Path| path.strip_prefix(&self.root).is_ok_and(|below| is_state_path(&below.to_string_lossy()));
        self.files.keys().any(|path| is_state(path) && !self.read.contains(path))
    }
}

/// Whether reading comes by a link or a submodule of the commit, so that it matters where it leads.
fn is_seen(root: &Path, link: &Path) -> bool {
    link.strip_prefix(root).is_ok_and(|below| !below.to_string_lossy().split('/').any(is_ignored))
}

fn name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// What Git is told of the files by their attributes.
async fn attributes(git: &Git, files: &[PathBuf]) -> Result<Vec<u8>, GitError> {
    let below = files.iter().filter_map(|file| file.strip_prefix(git.top()).ok());
    let questions: Vec<u8> = below.flat_map(|path| [path.as_os_str().as_bytes(), b"\0"].concat()).collect();
    if questions.is_empty() { Ok(Vec::new()) } else { git.ask_of(&git::ATTRIBUTES, questions).await }
}

/// The repository of the submodule at `path`, if it is here and can be believed.
async fn submodule(path: &Path) -> Option<Git> {
    let asked = path.to_path_buf();
    let place = tokio::task::spawn_blocking(move || Place::find(&asked)).await.ok()?.ok()?;
    if place.repository.top == path { Git::open(place).await.ok() } else { None }
}
