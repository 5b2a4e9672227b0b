//! Reads the state files as a commit has them, and never as they lie: a file half saved is not there to be read.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStdout;

use super::names::{is_ignored, is_misspelt, is_state_path};
use super::walk::text;
use super::{
    FileProblem, Filed, Limits, Make, SourceFile, Tree, TreeError, Version, blocking, by_path, too_large,
    unreadable_name,
};
use crate::desired::git::{self, CONTENTS, Git, GitError, Place};
use crate::desired::revision;
use crate::parallel::side_by_side;

/// Reads the files that the commit, or else `HEAD`, has below `dir`, which need not exist in the working tree.
pub async fn read<T: Send + Sync + 'static>(
    place: Result<Place, GitError>,
    commit: Option<&str>,
    dir: &Path,
    limits: &Limits,
    known: Arc<[Filed<T>]>,
    make: impl Make<T>,
) -> Result<Tree<T>, TreeError> {
    let failed = |source| TreeError::Git { dir: dir.to_path_buf(), source };
    let git = Git::open(place.map_err(failed)?).await.map_err(failed)?;
    let revision = match commit {
        Some(commit) => revision::of_commit(&git, commit).await.map_err(failed)?,
        None => {
            git.place.repository.at_rest().map_err(failed)?;
            revision::head(&git).await.map_err(failed)?
        }
    };
    // From here on the commit has its own name: `HEAD` may move while its files are read.
    let commit = revision.commit.clone().unwrap_or_default();
    revision::way_is_held(&git, &commit).await.map_err(failed)?;
    let inside = git.place.inside.clone();
    let listed = git.ask(&git::SIZES, &[&commit], &git.place.paths()).await.map_err(failed)?;
    if !git::entries(&listed).any(|entry| entry.path.starts_with(&inside)) && !inside.as_os_str().is_empty() {
        revision::is_no_submodule(&git, &commit).await.map_err(failed)?;
        let commit = commit.chars().take(7).collect();
        return Err(TreeError::NotCommitted { dir: dir.to_path_buf(), commit });
    }
    let Sorted { wanted, mut problems, warnings } = sort(dir, &git, &listed, limits)?;
    let mut files: Vec<Option<Filed<T>>> = {
        let known = by_path(&known);
        let same = |file: &Wanted| known.get(&*file.shown).filter(|filed| filed.is(&file.object)).copied().cloned();
        wanted.iter().map(same).collect()
    };
    let reused = files.iter().flatten().count();
    let missing: Vec<usize> = (0..files.len()).filter(|number| files[*number].is_none()).collect();
    let make = Arc::new(make);
    for part in portions(&missing, &wanted) {
        let asked: Vec<&Wanted> = part.iter().map(|number| &wanted[*number]).collect();
        let texts = contents(&git, &asked).await.map_err(failed)?;
        let make = Arc::clone(&make);
        let made = blocking(dir, move || side_by_side(texts, |text| Arc::new(make(text)))).await?;
        for (number, made) in part.iter().zip(made) {
            let Wanted { object, size: _, shown } = &wanted[*number];
            files[*number] = Some(Filed { path: Arc::clone(shown), version: Version::Committed(object.clone()), made });
        }
    }
    problems.sort_unstable();
    let files = files.into_iter().flatten().collect();
    Ok(Tree { files, revision, problems, warnings, reused })
}

impl<T> Filed<T> {
    fn is(&self, object: &str) -> bool {
        matches!(&self.version, Version::Committed(known) if known == object)
    }
}

/// Parts of `numbers` whose files have at most [`PORTION`] bytes together, or one file.
fn portions<'n>(numbers: &'n [usize], wanted: &[Wanted]) -> Vec<&'n [usize]> {
    let (mut portions, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, number) in numbers.iter().enumerate() {
        let size = wanted[*number].size;
        if bytes + size > PORTION && at > start {
            portions.push(&numbers[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    portions.push(&numbers[start..]);
    portions.retain(|portion| !portion.is_empty());
    portions
}

/// One file to be read: its object's id, its size in bytes, its path as shown.
struct Wanted {
    object: String,
    size: usize,
    shown: Arc<str>,
}

struct Sorted {
    wanted: Vec<Wanted>,
    problems: Vec<FileProblem>,
    /// What looks like a state file, or may lead to some, and is not read.
    warnings: Vec<FileProblem>,
}

/// Tells the state files from the rest, and from what cannot be read; sorted by path.
fn sort(dir: &Path, git: &Git, listed: &[u8], limits: &Limits) -> Result<Sorted, TreeError> {
    let too_much = |what, limit| TreeError::TooMuch { dir: dir.to_path_buf(), what, limit };
    let mut sorted = Sorted { wanted: vec![], problems: vec![], warnings: vec![] };
    let mut total = 0usize;
    for (count, git::Entry { mode, object, size, path }) in git::entries(listed).enumerate() {
        if count == limits.entries {
            return Err(too_much("files and directories", limits.entries));
        }
        let Ok(below) = path.strip_prefix(&git.place.inside) else { continue };
        if below.as_os_str().is_empty() {
            // The path names the file, link or submodule itself.
            return Err(match mode {
                "160000" => TreeError::Git { dir: dir.to_path_buf(), source: git.submodule(path) },
                _ => TreeError::NotADirectory(dir.to_path_buf()),
            });
        }
        let below = below.to_string_lossy();
        let shown = text(&dir.join(&*below));
        if below.split('/').any(is_ignored) {
            continue;
        }
        match mode {
            "120000" if is_state_path(&below) => {
                sorted.problems.push(uncommitted(shown, "a link", "commit the file itself"));
            }
            // It may lead to a directory.
            "120000" if !below.rsplit('/').next().is_some_and(|name| name.contains('.')) => {
                let hint =
                    "state files behind it are not read; commit them here, or choose `source: worktree`".to_owned();
                sorted.warnings.push(FileProblem {
                    path: shown,
                    message: "is a link, which is not followed".to_owned(),
                    hint,
                });
            }
            "120000" => {}
            "160000" => sorted.problems.push(uncommitted(shown, "a submodule", "commit its files here")),
            _ if below.rsplit('/').next().is_some_and(is_misspelt) => sorted.warnings.push(super::misspelt(shown)),
            _ if !is_state_path(&below) => {}
            _ if below.contains('\u{fffd}') => sorted.problems.push(unreadable_name(shown)),
            _ => {
                let Some(size) = size else {
                    return Err(TreeError::Git { dir: dir.to_path_buf(), source: git.missing(&shown) });
                };
                if size > limits.file {
                    sorted.problems.push(too_large(shown, size as u64, limits.file));
                    continue;
                }
                total += size;
                sorted.wanted.push(Wanted { object: object.to_owned(), size, shown });
            }
        }
        if total > limits.total {
            return Err(too_much("bytes in state files", limits.total));
        }
        if sorted.wanted.len() > limits.files {
            return Err(too_much("state files", limits.files));
        }
    }
    sorted.wanted.sort_unstable_by(|one, other| one.shown.cmp(&other.shown));
    Ok(sorted)
}

fn uncommitted(path: Arc<str>, what: &str, way_out: &str) -> FileProblem {
    FileProblem {
        path,
        message: format!("is {what}, and what it leads to is not part of the commit's own tree"),
        hint: format!("{way_out}, or choose `source: worktree`"),
    }
}

/// So many bytes of files are read before something is made of them.
const PORTION: usize = 8 << 20;

/// The contents of all files, by one `git cat-file`.
async fn contents(git: &Git, wanted: &[&Wanted]) -> Result<Vec<SourceFile>, GitError> {
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    let mut child = git.start(&CONTENTS)?;
    git::bounded(&CONTENTS, async {
        let ids: String = wanted.iter().flat_map(|file| [file.object.as_str(), "\n"]).collect();
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let complaints = git::complaints(&mut child, &CONTENTS);
        // Asked and read side by side: either pipe may fill up before the other is empty.
        let asked = git::put(questions, ids.as_bytes());
        let ((), files, complaint) = tokio::join!(asked, answer(git, answers, wanted), complaints);
        match (files, complaint?) {
            (Err(reading), silence) if silence.is_empty() => Err(reading),
            // Where it ended too early, what it complained about is the better reason.
            (files, complaint) => git.finish(child, &CONTENTS, &complaint).await.and(files),
        }
    })
    .await
}

/// Reads `<id> blob <size>\n<content>\n` for each.
async fn answer(git: &Git, answers: Option<ChildStdout>, wanted: &[&Wanted]) -> Result<Vec<SourceFile>, GitError> {
    let Some(answers) = answers else { return Ok(vec![]) };
    let mut answers = BufReader::with_capacity(1 << 16, answers);
    let mut files = Vec::with_capacity(wanted.len());
    let mut header = String::new();
    for file in wanted {
        let io = |source| GitError::Io { what: "cat-file", source };
        header.clear();
        (&mut answers).take(256).read_line(&mut header).await.map_err(io)?;
        if header.trim_end() != format!("{} blob {}", file.object, file.size) {
            return Err(git.missing(&file.shown));
        }
        let mut bytes = vec![0; file.size + 1];
        answers.read_exact(&mut bytes).await.map_err(io)?;
        bytes.pop();
        files.push(SourceFile { path: file.shown.clone(), bytes });
    }
    Ok(files)
}
