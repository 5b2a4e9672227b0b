//! Asks the `git` program, and never waits long for its answer.
//!
//! A repository may come from anybody. Reading it runs nothing that it names, and believes nothing but the repository
//! that holds the state directory. Three things hold that:
//!
//! - *Which repository*: [`Place::find`] finds it; each call begins at its top, searches no further, takes no work tree
//!   but this one, and is compared with what was found ([`Git::open`]). Git's own check of the owner stays in force.
//! - *Whose settings*: no `GIT_…` variable, no system and no user configuration counts. Of those, `safe.directory` alone
//!   is read and passed on, and only when Git asks for it.
//! - *Which commands*: those of the table below, and no other: a [`Verb`] can be made nowhere else.
//!
//! | verb | gives | what it could be made to run | what bars that |
//! |---|---|---|---|
//! | `rev-parse` | hash function, directory | nothing | |
//! | `rev-list` | the commit, its time and its author; the first commit | a fetch of what is missing | the environment: no transport is allowed |
//! | `merge-base` | the newest commit that two contain | the same | the same |
//! | `ls-tree` | names and object ids | the same | the same |
//! | `cat-file --batch`, `--batch-check` | contents, or whether there are any | the same; with `--textconv` or `--filters` programs | the same; neither is given |
//! | `check-attr` | which files have a filter | a file-system monitor, as it reads the index | it gets no index, and `core.fsmonitor=false` |
//! | `config` | the user's `safe.directory` | nothing; it sees no repository | |
//!
//! Commands that look at the files of a work tree (`status`, `diff`, `add`) run filters and monitors and are not among
//! them; `log` and `show` obey settings (`log.showSignature`, `gpg.program`, `format.pretty`, `log.mailmap`) that
//! `rev-list` does not know. None of the seven runs a hook, a pager, an editor or a credential helper, and an alias cannot
//! take the place of a command that exists (git-config(1), `alias.*`).

mod brought;
mod error;
pub mod lineage;
pub mod object;
mod repository;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use crate::file;
pub use brought::{Brought, brought};
pub use error::GitError;
use error::cause;
use object::Format;
pub use repository::{MOST_POINTER, Place, Repository, links_on_the_way};

/// How long one call of `git` may take before it is killed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The most that one call may print, in bytes: a listing of some hundred thousand files.
const MOST_OUTPUT: u64 = 64 << 20;

/// Enough of what `git` complains about to know the cause.
const MOST_COMPLAINT: u64 = 16 << 10;

/// A command of `git` with the options that it always has.
pub struct Verb {
    name: &'static str,
    options: &'static [&'static str],
}

/// The hash function, and where the repository really is, one a line.
const OPEN: Verb = Verb { name: "rev-parse", options: &["--show-object-format", "--absolute-git-dir"] };
/// A commit, when it was committed and by whom it was written, as `commit ID`, then `ID NUL TIME NUL AUTHOR`. `%an` is the
/// name that the commit holds, whatever a `.mailmap` says.
pub const COMMIT: Verb =
    Verb { name: "rev-list", options: &["--max-count=1", "--encoding=UTF-8", "--format=%H%x00%ct%x00%an"] };
/// The first commit of a history, by first parents.
const ROOT: Verb = Verb { name: "rev-list", options: &["--first-parent", "--max-parents=0", "--max-count=1"] };
/// The newest commit that two commits contain; none, and status 1, where they have none in common.
const BASE: Verb = Verb { name: "merge-base", options: &[] };
/// Of each id that is written to it, `ID TYPE SIZE`, or `ID missing`.
const THERE: Verb = Verb { name: "cat-file", options: &["--batch-check"] };
/// All files below a directory, as `MODE TYPE ID TAB PATH NUL`.
pub const LIST: Verb = Verb { name: "ls-tree", options: &["-r", "-z", "--full-tree"] };
/// The same with sizes in bytes: `MODE TYPE ID SIZE TAB PATH NUL`.
pub const SIZES: Verb = Verb { name: "ls-tree", options: &["-r", "-z", "-l", "--full-tree"] };
/// The named entries alone, without what is below them.
pub const ENTRIES: Verb = Verb { name: "ls-tree", options: &["-z", "--full-tree"] };
/// Contents of the objects whose ids are written to it.
pub const CONTENTS: Verb = Verb { name: "cat-file", options: &["--batch", "--buffer"] };
/// What decides whether a file's content is compared, as `PATH NUL ATTRIBUTE NUL VALUE NUL`.
pub const ATTRIBUTES: Verb = Verb { name: "check-attr", options: &["-z", "--stdin", "filter", "text"] };
/// What the user and the system take for safe, as `SCOPE NUL VALUE NUL`.
const SAFE: Verb = Verb { name: "config", options: &["--null", "--show-scope", "--get-all", "safe.directory"] };

/// What `git` gets of this process's environment. `SUDO_UID` is part of its check of the owner.
const KEPT: [&str; 5] = ["PATH", "HOME", "SUDO_UID", "LD_LIBRARY_PATH", "TMPDIR"];

/// What [`SAFE`] gets besides: where a user, or a container, keeps `safe.directory`.
const KEPT_FOR_SAFE: [&str; 5] =
    ["XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT"];
const KEPT_FOR_SAFE_PREFIXES: [&str; 2] = ["GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"];

/// A path where nothing can be.
const NOWHERE: &str = "/dev/null/none";

/// Set for every call. An empty `GIT_ALLOW_PROTOCOL` allows no transport at all, whatever the repository's
/// configuration says: versions of Git that do not know `GIT_NO_LAZY_FETCH` cannot fetch either.
const ALWAYS: [(&str, &str); 7] = [
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ALLOW_PROTOCOL", ""),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_GRAFT_FILE", NOWHERE),
];

/// Set for every call that sees the repository: no configuration but its own, and of that not what is read here.
const OWN_SETTINGS: [(&str, &str); 4] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ATTR_NOSYSTEM", "1"),
];
const OVERRULED: [&str; 4] =
    ["core.fsmonitor=false", "core.hooksPath=/dev/null", "core.attributesFile=/dev/null", "core.commitGraph=false"];

/// The repository that was meant, ready to be asked.
#[derive(Clone, Debug)]
pub struct Git {
    pub place: Place,
    pub format: Format,
    /// The user's `safe.directory`, in its order, where it was asked for.
    safe: Vec<OsString>,
}

impl Git {
    /// Makes sure that `git` reads the repository that was found, and nothing else.
    ///
    /// Errors: as `git` gives them; [`GitError::ForeignOwner`] where it belongs to somebody else, and neither the user's
    /// configuration nor the system's takes it for safe.
    pub async fn open(place: Place) -> Result<Self, GitError> {
        let mut git = Self { place, format: Format::Sha1, safe: Vec::new() };
        let printed = match git.ask(&OPEN, &[], &[]).await {
            Err(GitError::ForeignOwner(top)) => {
                git.safe = safe_directories().await;
                if git.safe.is_empty() {
                    return Err(GitError::ForeignOwner(top));
                }
                git.ask(&OPEN, &[], &[]).await?
            }
            printed => printed?,
        };
        let repository = &git.place.repository;
        let (format, own) =
            printed.trim_ascii_end().split_at(printed.iter().position(|byte| *byte == b'\n').unwrap_or(0));
        let found = PathBuf::from(OsString::from_vec(own.trim_ascii_start().to_vec()));
        if file::real(&found).ok().as_deref() != Some(&*repository.own) {
            return Err(GitError::Another { meant: repository.own.clone(), found });
        }
        let name = String::from_utf8_lossy(format);
        git.format = Format::named(&name).ok_or_else(|| GitError::Failed {
            what: OPEN.name,
            complaint: format!("the hash function {} is not known here", crate::change::quoted(&name)),
        })?;
        Ok(git)
    }

    pub fn top(&self) -> &Path {
        &self.place.repository.top
    }

    /// What `git VERB REVISION -- PATHS` prints; paths begin at the top.
    ///
    /// Errors: every way in which there is no answer, told apart where the fix differs.
    pub async fn ask(&self, verb: &'static Verb, revision: &[&str], paths: &[&Path]) -> Result<Vec<u8>, GitError> {
        let mut command = self.command(verb)?;
        command.args(revision);
        if !paths.is_empty() {
            command.arg("--").args(paths);
        }
        self.answer(command, verb, Vec::new()).await
    }

    /// The same for a verb that reads its questions.
    pub async fn ask_of(&self, verb: &'static Verb, questions: Vec<u8>) -> Result<Vec<u8>, GitError> {
        let mut command = self.command(verb)?;
        command.stdin(Stdio::piped());
        self.answer(command, verb, questions).await
    }

    async fn answer(&self, command: Command, verb: &'static Verb, questions: Vec<u8>) -> Result<Vec<u8>, GitError> {
        let (status, printed, complaint) = run(command, verb, questions).await?;
        if status.success() { Ok(printed) } else { Err(self.cause(verb, &complaint)) }
    }

    /// Starts a verb that reads its questions and is read by the caller, who ends with [`Git::finish`].
    pub fn start(&self, verb: &'static Verb) -> Result<Child, GitError> {
        spawn(self.command(verb)?.stdin(Stdio::piped()), verb)
    }

    /// Waits for the end of a child whose pipes are drained, and turns a bad end into its cause.
    pub async fn finish(&self, mut child: Child, verb: &'static Verb, complaint: &[u8]) -> Result<(), GitError> {
        let status = child.wait().await.map_err(|source| GitError::Io { what: verb.name, source })?;
        if status.success() { Ok(()) } else { Err(self.cause(verb, complaint)) }
    }

    fn cause(&self, verb: &Verb, complaint: &[u8]) -> GitError {
        match cause(verb.name, self.top(), &String::from_utf8_lossy(complaint)) {
            // So it says where a directory of the commit is not here.
            GitError::Failed { complaint, .. }
                if complaint.contains("not a tree object") && self.place.repository.is_partial() =>
            {
                GitError::NotHere(self.top().to_path_buf())
            }
            cause => cause,
        }
    }

    /// The submodule at `path` from the top, whose files are not here.
    pub fn submodule(&self, path: &Path) -> GitError {
        GitError::Submodule { top: self.top().to_path_buf(), path: self.top().join(path) }
    }

    /// A file of the commit whose content is not here.
    pub fn missing(&self, shown: &str) -> GitError {
        match self.place.repository.is_partial() {
            true => GitError::NotHere(self.top().to_path_buf()),
            false => {
                let complaint = format!("the content of `{shown}` is not in the repository");
                GitError::Failed { what: CONTENTS.name, complaint }
            }
        }
    }

    fn command(&self, verb: &Verb) -> Result<Command, GitError> {
        let repository = &self.place.repository;
        let mut command = command(&KEPT, &[])?;
        command.envs(OWN_SETTINGS);
        // Nothing is looked for above the top, and no index is read: what is staged belongs to no commit.
        command.env("GIT_CEILING_DIRECTORIES", repository.top.parent().unwrap_or(Path::new("/")));
        command.env("GIT_INDEX_FILE", repository.own.join("reconcile-reads-no-index"));
        for setting in OVERRULED {
            command.args(["-c", setting]);
        }
        for directory in &self.safe {
            let mut setting = OsString::from("safe.directory=");
            setting.push(directory);
            command.arg("-c").arg(setting);
        }
        if repository.is_bare {
            // Found by its own path, and not by searching.
            command.args(["-c", "safe.bareRepository=all"]);
        } else {
            command.args(["-c", "safe.bareRepository=explicit"]).arg("--work-tree").arg(&repository.top);
        }
        command.arg("-C").arg(&repository.top).arg(verb.name).args(verb.options);
        Ok(command)
    }
}

/// `git` without a repository, a prompt or a word of ours in its environment.
fn command(kept: &[&str], prefixes: &[&str]) -> Result<Command, GitError> {
    let mut command = Command::new(program(std::env::var_os("PATH")).ok_or(GitError::Missing)?);
    let is_kept = |name: &str| kept.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix));
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_kept)))
        .envs(ALWAYS)
        .args(["--no-pager", "--literal-pathspecs"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own process group: Ctrl-C in the terminal is for us, and we end in good order.
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// The program, by the directories of `PATH`; not by those that begin where this process stands, which may be a
/// repository that holds a file called `git`.
fn program(path: Option<OsString>) -> Option<PathBuf> {
    let path = path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let is_program = |path: &PathBuf| {
        file::facts(path).is_ok_and(|facts| facts.file_type().is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("git")).find(is_program)
}

/// What the user and the system take for safe. Nothing where they do not say, or cannot be read.
async fn safe_directories() -> Vec<OsString> {
    const TRUSTED: [&[u8]; 3] = [b"system", b"global", b"command"];
    let kept = [KEPT.as_slice(), &KEPT_FOR_SAFE].concat();
    let Ok(mut command) = command(&kept, &KEPT_FOR_SAFE_PREFIXES) else { return Vec::new() };
    command.env("GIT_DIR", NOWHERE).arg(SAFE.name).args(SAFE.options);
    let Ok((_, printed, _)) = run(command, &SAFE, Vec::new()).await else { return Vec::new() };
    let mut words = printed.split(|byte| *byte == 0);
    let mut found = Vec::new();
    while let (Some(scope), Some(value)) = (words.next(), words.next()) {
        if TRUSTED.contains(&scope) {
            found.push(OsString::from_vec(value.to_vec()));
        }
    }
    found
}

/// Runs a command to its end: how it ended, what it printed, and what it complained about.
async fn run(
    mut command: Command,
    verb: &'static Verb,
    questions: Vec<u8>,
) -> Result<(std::process::ExitStatus, Vec<u8>, Vec<u8>), GitError> {
    let mut child = spawn(&mut command, verb)?;
    bounded(verb, async {
        let (asked, printed, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // Asked and read side by side: either pipe may fill up before the other is empty.
        let ((), printed, complaint) = tokio::join!(
            put(asked, &questions),
            drain(printed, MOST_OUTPUT, verb),
            drain(complaint, MOST_COMPLAINT, verb)
        );
        let printed = printed?;
        if printed.len() as u64 > MOST_OUTPUT {
            return Err(GitError::TooMuch { what: verb.name });
        }
        let status = child.wait().await.map_err(|source| GitError::Io { what: verb.name, source })?;
        Ok((status, printed, complaint?))
    })
    .await
}

fn spawn(command: &mut Command, verb: &Verb) -> Result<Child, GitError> {
    command.spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => GitError::Missing,
        _ => GitError::Io { what: verb.name, source },
    })
}

/// `work`, or [`GitError::TooSlow`]; the child dies with the future that owns it.
pub async fn bounded<T>(verb: &Verb, work: impl Future<Output = Result<T, GitError>>) -> Result<T, GitError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(GitError::TooSlow { what: verb.name }))
}

/// Writes all questions; an early end is found by whoever reads the answers.
pub async fn put(pipe: Option<ChildStdin>, questions: &[u8]) {
    let Some(mut pipe) = pipe else { return };
    if pipe.write_all(questions).await.is_ok() {
        // Closing the pipe, which dropping it does, is what ends the questions; a failure here says nothing more.
        pipe.shutdown().await.ok();
    }
}

/// Reads a pipe to its end, or to one byte more than `most`.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, most: u64, verb: &Verb) -> Result<Vec<u8>, GitError> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most + 1).read_to_end(&mut bytes).await.map_err(|source| GitError::Io { what: verb.name, source })?;
    }
    Ok(bytes)
}

/// All that a child whose answers are read elsewhere complains about.
pub fn complaints(child: &mut Child, verb: &'static Verb) -> impl Future<Output = Result<Vec<u8>, GitError>> + use<> {
    drain(child.stderr.take(), MOST_COMPLAINT, verb)
}

/// One entry of a commit's tree, as [`LIST`], [`SIZES`] and [`ENTRIES`] print it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// `100644`, `100755`, `120000` for a link, `160000` for a submodule.
    pub mode: &'a str,
    /// In hexadecimal digits.
    pub object: &'a str,
    /// In bytes; `None` where it was not asked for, or the object is not here.
    pub size: Option<usize>,
    /// From the top.
    pub path: &'a Path,
}

/// The entries of a listing.
pub fn entries(listed: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    listed.split(|byte| *byte == 0).filter_map(|line| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let path = Path::new(std::ffi::OsStr::from_bytes(line.get(tab + 1..)?));
        let mut facts = std::str::from_utf8(line.get(..tab)?).ok()?.split_ascii_whitespace();
        let (mode, _, object) = (facts.next()?, facts.next()?, facts.next()?);
        Some(Entry { mode, object, size: facts.next().and_then(|size| size.parse().ok()), path })
    })
}

#[cfg(test)]
mod tests;
