//! Reads the state files as `HEAD` has them, and never as they lie: a file half saved is not there to be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::names::{is_ignored, is_state_path};
use super::walk::text;
use super::{
    FileProblem, Filed, Limits, Make, SourceFile, Tree, TreeError, Version, blocking, by_path, too_large,
    unreadable_name,
};
use crate::desired::git::{self, GitError};
use crate::desired::revision;
use crate::parallel::side_by_side;

/// Reads the files that `HEAD` has below `dir`, which need not exist in the working tree.
pub async fn read<T: Send + Sync + 'static>(
    dir: &Path,
    limits: &Limits,
    known: Arc<[Filed<T>]>,
    make: impl Make<T>,
) -> Result<Tree<T>, TreeError> {
    let failed = |source| TreeError::Git { dir: dir.to_path_buf(), source };
    let asked = dir.to_path_buf();
    let place = blocking(dir, move || Place::of(&asked)).await?;
    let revision = revision::head(&place.base).await.map_err(failed)?;
    // From here on the commit has its own name: `HEAD` may move while its files are read.
    let commit = revision.commit.clone().unwrap_or_default();
    let listed = place.list(&commit).await.map_err(failed)?;
    if listed.is_empty() && !place.is_top().await.map_err(failed)? {
        let commit = commit.chars().take(7).collect();
        return Err(TreeError::NotCommitted { dir: dir.to_path_buf(), commit });
    }
    let Sorted { wanted, mut problems } = sort(dir, &place.rest, &listed, limits)?;
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
        let texts = contents(&place.base, &asked).await.map_err(failed)?;
        let make = Arc::clone(&make);
        let made = blocking(dir, move || side_by_side(texts, |text| Arc::new(make(text)))).await?;
        for (number, made) in part.iter().zip(made) {
            let Wanted { object, size: _, shown } = &wanted[*number];
            files[*number] = Some(Filed { path: Arc::clone(shown), version: Version::Committed(object.clone()), made });
        }
    }
    problems.sort_unstable();
    Ok(Tree { files: files.into_iter().flatten().collect(), revision, problems, reused })
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

/// Where to stand while asking, and what is left of the way from there.
struct Place {
    /// The state directory, or the nearest directory above it that exists.
    base: PathBuf,
    /// From there to the state directory.
    rest: PathBuf,
}

impl Place {
    fn of(dir: &Path) -> Self {
        let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        let base = whole.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_path_buf();
        let rest = whole.strip_prefix(&base).unwrap_or(Path::new("")).to_path_buf();
        Self { base, rest }
    }

    /// All entries that the commit has there, as `git ls-tree` prints them.
    async fn list(&self, commit: &str) -> Result<Vec<u8>, GitError> {
        let tree = format!("{commit}^{{tree}}");
        let rest = [self.rest.as_path()];
        let paths = if self.rest.as_os_str().is_empty() { &[][..] } else { &rest[..] };
        git::ask(&self.base, "ls-tree", &["-r", "-z", "-l", &tree], paths).await
    }

    /// Whether the state directory is the repository's topmost directory, whose tree may well be empty.
    async fn is_top(&self) -> Result<bool, GitError> {
        let prefix = git::ask(&self.base, "rev-parse", &["--show-prefix"], &[]).await?;
        Ok(prefix.trim_ascii().is_empty() && self.rest.as_os_str().is_empty())
    }
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
}

/// Tells the state files from the rest, and from what cannot be read; sorted by path.
fn sort(dir: &Path, rest: &Path, listed: &[u8], limits: &Limits) -> Result<Sorted, TreeError> {
    let too_much = |what, limit| TreeError::TooMuch { dir: dir.to_path_buf(), what, limit };
    let mut sorted = Sorted { wanted: vec![], problems: vec![] };
    let mut total = 0usize;
    for (count, line) in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()).enumerate() {
        if count == limits.entries {
            return Err(too_much("files and directories", limits.entries));
        }
        let line = String::from_utf8_lossy(line);
        let Some((facts, path)) = line.split_once('\t') else { continue };
        let mut facts = facts.split_ascii_whitespace();
        let (Some(mode), Some(_), Some(object), Some(size)) = (facts.next(), facts.next(), facts.next(), facts.next())
        else {
            continue;
        };
        let below = Path::new(path).strip_prefix(rest).unwrap_or(Path::new(path));
        if below.as_os_str().is_empty() {
            // The path names the file, link or submodule itself.
            return Err(TreeError::NotADirectory(dir.to_path_buf()));
        }
        let below = below.to_string_lossy();
        let shown = text(&dir.join(&*below));
        if below.split('/').any(is_ignored) {
            continue;
        }
        match mode {
            "120000" => sorted.problems.push(uncommitted(shown, "a link", "commit the file itself")),
            "160000" => sorted.problems.push(uncommitted(shown, "a submodule", "commit its files here")),
            _ if !is_state_path(&below) => {}
            _ if below.contains('\u{fffd}') => sorted.problems.push(unreadable_name(shown)),
            _ => {
                let size = size.parse().unwrap_or(usize::MAX);
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
async fn contents(base: &Path, wanted: &[&Wanted]) -> Result<Vec<SourceFile>, GitError> {
    const WHAT: &str = "cat-file";
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    let mut command = git::command(base);
    command.args([WHAT, "--batch", "--buffer"]).stdin(std::process::Stdio::piped());
    let mut child = git::spawn(&mut command, WHAT)?;
    git::bounded(WHAT, async {
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let complaints = git::drain(child.stderr.take(), 1 << 14, WHAT);
        // Asked and read side by side: either pipe may fill up before the other is empty.
        let (_, files, complaint) = tokio::join!(ask(questions, wanted), answer(answers, wanted), complaints);
        match (files, complaint?) {
            (Err(reading), silence) if silence.is_empty() => Err(reading),
            // Where it ended too early, what it complained about is the better reason.
            (files, complaint) => git::finish(child, WHAT, base, &complaint).await.and(files),
        }
    })
    .await
}

/// Writes the ids; an early end is found by the reader.
async fn ask(questions: Option<ChildStdin>, wanted: &[&Wanted]) {
    let Some(mut questions) = questions else { return };
    let ids: String = wanted.iter().flat_map(|file| [file.object.as_str(), "\n"]).collect();
    if questions.write_all(ids.as_bytes()).await.is_ok() {
        // Closing the pipe, which dropping it does, is what ends the batch; a failure here says nothing more.
        questions.shutdown().await.ok();
    }
}

/// Reads `<id> blob <size>\n<content>\n` for each.
async fn answer(answers: Option<ChildStdout>, wanted: &[&Wanted]) -> Result<Vec<SourceFile>, GitError> {
    const WHAT: &str = "cat-file";
    let broken = |complaint: String| GitError::Failed { what: WHAT, complaint };
    let Some(answers) = answers else { return Err(broken("it has no output".to_owned())) };
    let mut answers = BufReader::with_capacity(1 << 16, answers);
    let mut files = Vec::with_capacity(wanted.len());
    let mut header = String::new();
    for file in wanted {
        let io = |source| GitError::Io { what: WHAT, source };
        header.clear();
        (&mut answers).take(256).read_line(&mut header).await.map_err(io)?;
        if header.trim_end() != format!("{} blob {}", file.object, file.size) {
            let said = crate::change::printable(header.trim_end());
            return Err(broken(format!("the content of `{}` is not in the repository: {said}", file.shown)));
        }
        let mut bytes = vec![0; file.size + 1];
        answers.read_exact(&mut bytes).await.map_err(io)?;
        bytes.pop();
        files.push(SourceFile { path: file.shown.clone(), bytes });
    }
    Ok(files)
}
