//! What one look sees: a number that tells two states apart, and where to wait for the next.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::desired::tree::names::is_state_file;
use crate::desired::tree::{Limits, walk};
use crate::file;

/// What one look sees.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Differs from that of any other state, as far as can be told without reading the files.
    pub print: u64,
    /// Directories of state files.
    pub dirs: BTreeSet<PathBuf>,
    /// Single names outside of those.
    pub named: BTreeSet<PathBuf>,
    /// Names in the repository, whose change says nothing that the print does not say.
    pub compared: BTreeSet<PathBuf>,
}

impl View {
    /// What both see together.
    pub fn and(mut self, other: View) -> View {
        let View { print, dirs, named, compared } = other;
        let mut hasher = DefaultHasher::new();
        (self.print, print).hash(&mut hasher);
        self.print = hasher.finish();
        self.dirs.extend(dirs);
        self.named.extend(named);
        self.compared.extend(compared);
        self
    }

    /// All directories that want a watch.
    pub fn watched(&self) -> BTreeSet<PathBuf> {
        let above = self.named.iter().chain(&self.compared).filter_map(|path| path.parent()).map(Path::to_path_buf);
        self.dirs.iter().cloned().chain(above).collect()
    }
}

/// Looks at the files as they lie: names, sizes, times and inodes, as reading would find them.
pub fn of_worktree(dir: &Path) -> View {
    // How many files are too many is the reader's to say.
    let limits = Limits { files: usize::MAX, ..Limits::default() };
    let mut view = View { named: landmarks(dir), ..View::default() };
    let mut hasher = DefaultHasher::new();
    match walk::list(dir, &limits) {
        Ok(listing) => {
            view.dirs.extend(listing.dirs);
            for walk::Found { real, shown, stamp } in listing.files {
                (&real, stamp).hash(&mut hasher);
                let usual = real.file_name().and_then(|name| name.to_str()).is_some_and(is_state_file);
                let listed = real.parent().is_some_and(|parent| view.dirs.contains(parent));
                if !(usual && listed) {
                    // Only a link leads there: in a hidden directory, or by another name; and perhaps over others.
                    view.named.extend(std::path::absolute(&*shown).iter().flat_map(|path| landmarks(path)));
                    view.named.insert(real);
                }
            }
            listing.problems.hash(&mut hasher);
        }
        Err(error) => error.to_string().hash(&mut hasher),
    }
    view.print = hasher.finish();
    view
}

/// The names on which the meaning of an absolute path depends: each link on the way, what it leads to at last, or the
/// first name on the way that is missing.
///
/// Directories further up are not among them: the topmost ones are busy, and are hardly ever moved.
pub fn landmarks(path: &Path) -> BTreeSet<PathBuf> {
    /// As many as Linux follows.
    const MOST_LINKS: usize = 40;
    let mut marks = BTreeSet::new();
    let mut here = PathBuf::from("/");
    let mut ahead = file::steps(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        match file::facts_of_link(&next) {
            Ok(meta) if meta.is_symlink() && links < MOST_LINKS => {
                links += 1;
                let Ok(target) = file::target(&next) else { continue };
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                ahead.extend(file::steps(&target));
                marks.insert(next);
            }
            Ok(_) => here = next,
            Err(_) => {
                marks.insert(next);
                return marks;
            }
        }
    }
    marks.insert(here);
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::testing::Place;

    #[test]
    fn the_way_is_marked_by_its_links() {
        let place = Place::temporary();
        let marks = |name: &str| -> Vec<String> {
            let marks = landmarks(&place.path(name));
            marks.iter().map(|mark| mark.strip_prefix(&place.root).unwrap().display().to_string()).collect()
        };
        place.dir("releases/2/state");
        place.link("releases/current", "2");
        place.link("state", place.path("releases/current/state"));
        place.link("broken", "releases/3/state");
        place.link("circle", "circle");
        assert_eq!(marks("releases/2/state"), ["releases/2/state"]);
        assert_eq!(marks("state"), ["releases/2/state", "releases/current", "state"]);
        assert_eq!(marks("broken"), ["broken", "releases/3"]);
        assert_eq!(marks("none/at/all"), ["none"]);
        assert!(marks("circle").contains(&"circle".to_owned()));
    }
}
