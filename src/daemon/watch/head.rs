//! Looks at the commit that `HEAD` names, by reading the few files that say so: `git` itself is only asked where they
//! are, because looking is done every few seconds.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::view::{View, landmarks};
use crate::desired::git::{self, GitError};
use crate::file::{self, Rules};

/// The most bytes of a file that says where references are: `packed-refs` has some 70 for each.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Where a repository keeps its references.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Of this work tree: `HEAD`.
    own: PathBuf,
    /// Of all its work trees: branches.
    common: PathBuf,
}

impl Repository {
    /// The repository of `dir`, or of the nearest directory above it that exists.
    pub async fn locate(dir: &Path) -> Result<Self, GitError> {
        let asked = dir.to_path_buf();
        let nearest =
            move || asked.ancestors().find(|path| file::is_directory(path)).unwrap_or(Path::new("/")).to_path_buf();
        let base = tokio::task::spawn_blocking(nearest)
            .await
            .map_err(|ended| GitError::Io { what: "rev-parse", source: io::Error::other(ended) })?;
        let printed = git::ask(&base, "rev-parse", &["--git-dir", "--git-common-dir"], &[]).await?;
        let mut lines = printed.split(|byte| *byte == b'\n').map(|line| base.join(OsStr::from_bytes(line)));
        match (lines.next(), lines.next()) {
            (Some(own), Some(common)) => Ok(Self { own, common }),
            _ => Err(GitError::NoRepository(base)),
        }
    }

    /// Looks at `HEAD`. Nothing, when it is not there any more: the repository may have moved.
    pub fn view(&self) -> Option<View> {
        let mut seen = BTreeSet::from([self.own.join("HEAD"), self.common.join("packed-refs")]);
        let commit = self.commit(&mut seen)?;
        let mut hasher = DefaultHasher::new();
        commit.hash(&mut hasher);
        let named = seen.iter().flat_map(|path| landmarks(path)).collect();
        Some(View { print: hasher.finish(), dirs: BTreeSet::new(), named })
    }

    /// The commit of `HEAD`, or what else tells its state; adds the files that were looked into.
    fn commit(&self, seen: &mut BTreeSet<PathBuf>) -> Option<String> {
        /// `HEAD` names a branch; a branch that names another is rare, and git itself stops after five.
        const MOST_NAMES: usize = 5;
        let mut text = look_into(&self.own.join("HEAD"))?;
        if let Some(tables) = self.tables(seen) {
            return Some(tables);
        }
        for _ in 0..MOST_NAMES {
            let Some(name) = text.strip_prefix("ref:").map(str::trim).filter(|name| is_plain(name)) else { break };
            let place = self.place_of(name).join(name);
            let loose = look_into(&place);
            seen.insert(place);
            text = match loose {
                Some(text) => text,
                // Packing writes `packed-refs` before it removes the branch's own file, so this order misses nothing.
                None => return Some(self.packed(name).unwrap_or_else(|| format!("{name} has no commit"))),
            };
        }
        Some(text.trim().to_owned())
    }

    /// Where references are kept as tables instead of files, the names of all tables: a new one with every change.
    fn tables(&self, seen: &mut BTreeSet<PathBuf>) -> Option<String> {
        let lists = BTreeSet::from([&self.own, &self.common].map(|dir| dir.join("reftable/tables.list")));
        let read: String = lists.iter().filter_map(|list| look_into(list)).collect();
        (!read.is_empty()).then(|| {
            seen.extend(lists);
            read
        })
    }

    /// The commit of a reference without a file of its own.
    fn packed(&self, name: &str) -> Option<String> {
        let packed = look_into(&self.common.join("packed-refs"))?;
        let commit_of = |line: &str| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned);
        packed.lines().find_map(commit_of)
    }

    /// A few references belong to one work tree; the rest to all.
    fn place_of(&self, name: &str) -> &Path {
        let own = ["refs/bisect/", "refs/worktree/", "refs/rewritten/"].iter().any(|top| name.starts_with(top));
        if own || !name.starts_with("refs/") { &self.own } else { &self.common }
    }
}

/// The text of a file of Git's; nothing where it is missing, no file, or too large.
fn look_into(path: &Path) -> Option<String> {
    file::text(path, &Rules::anybodys(LARGEST)).ok().flatten()
}

/// Whether a reference's name leads to a file inside the repository.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|step| matches!(step, Component::Normal(_)))
}
