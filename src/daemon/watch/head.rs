//! Looks at the commit that `HEAD` names, by reading the few files that say so: looking is done every few seconds, and
//! runs nothing.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::view::{View, landmarks};
use crate::desired::git::{MOST_POINTER, Place};
use crate::file::{self, Rules};

/// The most that is read of a list of references or of tables, in bytes. Of one that is larger, its size and times say
/// whether it has changed: a hint too many costs a look.
const MOST_LIST: u64 = 1 << 20;

/// Looks at the commit of the state directory. The repository is found anew each time: a link on the way to it may have
/// been turned to another work tree, a `.git` file to another directory. `files` are those that it was looked up in when it
/// was there last: where they come back is where it does.
pub fn view(dir: &Path, files: &mut BTreeSet<PathBuf>) -> View {
    let mut hasher = DefaultHasher::new();
    match Place::around(dir) {
        Ok(place) => {
            let inside = place.dir();
            let repository = Repository { own: place.repository.own, common: place.repository.common };
            let mut seen = BTreeSet::from([
                place.repository.top.join(".git"),
                repository.own.join("commondir"),
                repository.own.join("HEAD"),
                repository.common.join("packed-refs"),
            ]);
            (inside, &repository.own, repository.commit(&mut seen)).hash(&mut hasher);
            *files = seen;
        }
        // The reader will say why there is none; here it is only looked for again.
        Err(error) => error.to_string().hash(&mut hasher),
    }
    let compared = files.iter().flat_map(|path| landmarks(path)).collect();
    View { print: hasher.finish(), dirs: BTreeSet::new(), named: landmarks(dir), compared }
}

/// Where a repository keeps its references.
struct Repository {
    /// Of this work tree: `HEAD`.
    own: PathBuf,
    /// Of all its work trees: branches.
    common: PathBuf,
}

impl Repository {
    /// The commit of `HEAD`, or what else tells its state; adds the files that were looked into.
    fn commit(&self, seen: &mut BTreeSet<PathBuf>) -> Option<String> {
        /// `HEAD` names a branch; a branch that names another is rare, and git itself stops after five.
        const MOST_NAMES: usize = 5;
        let mut text = short(&self.own.join("HEAD"))?;
        if let Some(tables) = self.tables(seen) {
            return Some(tables);
        }
        for _ in 0..MOST_NAMES {
            let Some(name) = text.strip_prefix("ref:").map(str::trim).filter(|name| is_plain(name)) else { break };
            let file = self.place_of(name).join(name);
            let loose = short(&file);
            seen.insert(file);
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
        let read: String = lists.iter().filter_map(|list| text(list, MOST_LIST)).collect();
        (!read.is_empty()).then(|| {
            seen.extend(lists);
            read
        })
    }

    /// The commit of a reference without a file of its own, or what else tells the list's state.
    fn packed(&self, name: &str) -> Option<String> {
        let packed = self.common.join("packed-refs");
        let facts = file::facts(&packed).ok()?;
        if facts.len() > MOST_LIST {
            return Some(format!("{} {} {}.{}", facts.ino(), facts.len(), facts.mtime(), facts.mtime_nsec()));
        }
        let commit_of = |line: &str| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned);
        text(&packed, MOST_LIST)?.lines().find_map(commit_of)
    }

    /// A few references belong to one work tree; the rest to all.
    fn place_of(&self, name: &str) -> &Path {
        let own = ["refs/bisect/", "refs/worktree/", "refs/rewritten/"].iter().any(|top| name.starts_with(top));
        if own || !name.starts_with("refs/") { &self.own } else { &self.common }
    }
}

/// Whether a reference's name leads to a file inside the repository.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|step| matches!(step, Component::Normal(_)))
}

/// What a small file says: a `HEAD`, or the file of a branch.
fn short(path: &Path) -> Option<String> {
    text(path, MOST_POINTER)
}

/// The text of a regular file of at most `most` bytes.
fn text(path: &Path, most: u64) -> Option<String> {
    file::text(path, &Rules::anybodys(most)).ok().flatten()
}
