//! Reads every file of the desired state into a sheet of its own, and puts the sheets together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::tree::{self, At, Filed, Limits, SourceFile, TreeError};
use crate::change::{ResourceId, Revision};
use crate::kinds::{Claims, Clashes, Desired, Sheet, sections};
use crate::yaml::{self, Place, Problem, Problems};

/// What one file says, and what is wrong with it.
pub struct Leaf {
    pub sheet: Sheet,
    problems: Problems,
}

impl Leaf {
    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        /// Of a problem with its line.
        const PROBLEM: usize = 1 << 10;
        self.sheet.weight() + self.problems.iter().count() * PROBLEM
    }
}

/// What all files say together.
pub struct Loaded {
    /// Where the problems hold an error, only a part of what the files say: it must not be applied.
    pub desired: Desired,
    pub revision: Revision,
    /// All problems of all files, in the order of files and lines.
    pub problems: Problems,
    /// To be given to the next reading, which then reads only what has changed.
    pub leaves: Arc<[Filed<Leaf>]>,
    /// Files that were not read again.
    pub reused: usize,
}

/// The files changed while they were read twice, so often.
const ATTEMPTS: usize = 4;

/// Reads the state files of `dir`. `known` is what an earlier reading has left; `seen` is told of every file that was
/// read.
///
/// Errors: there is no picture of the files at all.
pub async fn load(
    at: impl Into<At<'_>>,
    dir: &Path,
    limits: &Limits,
    mut known: Arc<[Filed<Leaf>]>,
    seen: impl Fn() + Clone + Send + Sync + 'static,
) -> Result<Loaded, TreeError> {
    let (at, limit) = (at.into(), limits.file);
    let mut attempt = 1;
    loop {
        let seen = seen.clone();
        let read = move |file: SourceFile| {
            seen();
            leaf(file, limit)
        };
        let tree = tree::read(at, dir, limits, known, read).await?;
        let leaves: Arc<[Filed<Leaf>]> = tree.files.into();
        let mut problems = Problems::default();
        for problem in tree.problems {
            let place = Place { file: problem.path, line: 1, column: 1 };
            problems.push(Problem::error(place, problem.message).hint(problem.hint));
        }
        for warning in tree.warnings {
            let place = Place { file: warning.path, line: 1, column: 1 };
            problems.push(Problem::error(place, warning.message).warning().hint(warning.hint));
        }
        leaves.iter().for_each(|leaf| problems.append(leaf.made.problems.clone()));
        let (desired, clashes) = Desired::gather(leaves.iter().map(|leaf| (&leaf.path, &leaf.made.sheet)));
        if !clashes.is_empty() {
            let told = told(at, dir, limits, clashes).await?;
            if told.is_empty() && attempt < ATTEMPTS {
                // Somebody has mended them meanwhile.
                (known, attempt) = (leaves, attempt + 1);
                continue;
            }
            problems.append(told);
        }
        problems.sort();
        return Ok(Loaded { desired, revision: tree.revision, problems, leaves, reused: tree.reused });
    }
}

fn leaf(SourceFile { path, bytes }: SourceFile, limit: usize) -> Leaf {
    let mut sheet = Sheet::default();
    let problems = yaml::read(path, &bytes, limit, sections(), &mut sheet);
    sheet.close();
    Leaf { sheet, problems }
}

/// Reads all files once more, to show where the resources stand that are declared twice: sheets keep no text.
async fn told(at: At<'_>, dir: &Path, limits: &Limits, clashes: Clashes) -> Result<Problems, TreeError> {
    let (limit, clashes) = (limits.file, Arc::new(clashes));
    let read = move |SourceFile { path, bytes }: SourceFile| {
        let mut claims = Claims::of(Arc::clone(&clashes));
        yaml::read(path, &bytes, limit, sections(), &mut claims);
        claims
    };
    let tree = tree::read(at, dir, limits, Arc::from([]), read).await?;
    let mut problems = Problems::default();
    let mut first: BTreeMap<&ResourceId, &Place> = BTreeMap::new();
    for (id, place, problem) in tree.files.iter().flat_map(|file| file.made.found()) {
        match first.get(id) {
            None => drop(first.insert(id, place)),
            Some(first) => problems.push(problem.clone().also((*first).clone(), "it is declared here too")),
        }
    }
    Ok(problems)
}

#[cfg(test)]
pub(crate) mod tests;

/// What one text says, for tests of whatever needs a desired state.
#[cfg(test)]
pub fn of_text(text: &str) -> (Desired, Problems) {
    let file: Arc<str> = Arc::from("week.yaml");
    let Leaf { sheet, problems } = leaf(SourceFile { path: Arc::clone(&file), bytes: text.into() }, 1 << 20);
    (Desired::gather(std::iter::once((&file, &sheet))).0, problems)
}
