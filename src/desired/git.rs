//! Asks the `git` program, and never waits long for its answer.
//!
//! Reading is all that is done here: no lock is taken, no prompt shown, no hook or helper started, nothing fetched,
//! and what the caller's environment says about *another* repository does not count.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// How long one call of `git` may take before it is killed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The most that one call may print, in bytes: a listing of some hundred thousand files.
const MOST_OUTPUT: u64 = 64 << 20;

/// Enough of what `git` complains about to know the cause.
const MOST_COMPLAINT: u64 = 16 << 10;

/// Settings that a user may make for every call; all other `GIT_…` variables belong to some other repository or
/// change what is printed. Hooks, for one, run with `GIT_DIR` and `GIT_INDEX_FILE` set.
const KEPT: [&str; 5] =
    ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES"];

/// The same, for `GIT_CONFIG_COUNT`, `GIT_CONFIG_KEY_0` and `GIT_CONFIG_VALUE_0`: how containers set `safe.directory`.
const KEPT_PREFIXES: [&str; 3] = ["GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"];

/// Why `git` gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("the `git` program was not found")]
    Missing,
    #[error("`{}` is not inside a Git repository", .0.display())]
    NoRepository(PathBuf),
    #[error("the Git repository of `{}` has no commit yet", .0.display())]
    NoCommit(PathBuf),
    #[error("git refuses the repository `{}`, because it belongs to another user", .0.display())]
    ForeignOwner(PathBuf),
    #[error("`git {what}` did not finish within {} seconds and was stopped", PATIENCE.as_secs())]
    TooSlow { what: &'static str },
    #[error("`git {what}` printed more than {MOST_OUTPUT} bytes")]
    TooMuch { what: &'static str },
    #[error("`git {what}` failed: {complaint}")]
    Failed { what: &'static str, complaint: String },
    #[error("`git {what}` could not be run")]
    Io { what: &'static str, source: std::io::Error },
}

impl GitError {
    /// The way out.
    pub fn hint(&self) -> String {
        match self {
            GitError::Missing => "install git and make sure that it is on the PATH of this process".to_owned(),
            GitError::NoRepository(_) => {
                "run `git init` and commit the state files, or choose `source: worktree` to read them as they lie"
                    .to_owned()
            }
            GitError::NoCommit(_) => {
                "commit the state files (`git add`, `git commit`), or choose `source: worktree`".to_owned()
            }
            GitError::ForeignOwner(dir) => format!(
                "if you trust it, run `git config --global --add safe.directory '{}'` as the user of this process, \
                 or give it the owner that the process has",
                dir.display()
            ),
            GitError::TooSlow { .. } => {
                "look whether the disk or network file system hangs, or whether another git holds the repository"
                    .to_owned()
            }
            GitError::TooMuch { .. } => "point the state directory at the state files alone".to_owned(),
            GitError::Failed { what, .. } | GitError::Io { what, .. } => {
                format!("run `git {what}` in the state directory by hand to see the cause")
            }
        }
    }
}

/// A call of `git` in `dir`, ready for its arguments.
///
/// `dir` is handed to `-C`, so that a directory that is missing is told from a program that is missing.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_foreign) {
            command.env_remove(&name);
        }
    }
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("LC_ALL", "C")
        .env_remove("LANGUAGE")
        .args(["--no-pager", "--literal-pathspecs"])
        // A file-system monitor is a program that the repository's own configuration names.
        .args(["-c", "core.fsmonitor=false", "-c", "core.quotepath=off", "-c", "log.showSignature=false"])
        .arg("-C")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own process group: Ctrl-C in the terminal is for us, and we end in good order.
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Whether a variable of the environment would lead `git` to another repository, or make it print something else; or is
/// ours, and may be a secret, which is not for `git` and what a repository's configuration makes it run.
fn is_foreign(variable: &str) -> bool {
    variable.starts_with("RECONCILE_")
        || variable.starts_with("GIT_")
            && !KEPT.contains(&variable)
            && !KEPT_PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

/// What `git VERB ARGS -- PATHS` prints in `dir`.
///
/// Errors: every way in which there is no answer, told apart where the way out differs.
pub async fn ask(dir: &Path, what: &'static str, args: &[&str], paths: &[&Path]) -> Result<Vec<u8>, GitError> {
    let mut command = command(dir);
    command.arg(what).args(args);
    if !paths.is_empty() {
        command.arg("--").args(paths);
    }
    let mut child = spawn(&mut command, what)?;
    bounded(what, async {
        let (printed, complaint) = (child.stdout.take(), child.stderr.take());
        let (printed, complaint) =
            tokio::try_join!(drain(printed, MOST_OUTPUT, what), drain(complaint, MOST_COMPLAINT, what))?;
        if printed.len() as u64 > MOST_OUTPUT {
            return Err(GitError::TooMuch { what });
        }
        finish(child, what, dir, &complaint).await?;
        Ok(printed)
    })
    .await
}

/// Starts a command made by [`command`].
pub fn spawn(command: &mut Command, what: &'static str) -> Result<Child, GitError> {
    command.spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => GitError::Missing,
        _ => GitError::Io { what, source },
    })
}

/// `work`, or [`GitError::TooSlow`]; the child dies with the future that owns it.
pub async fn bounded<T>(what: &'static str, work: impl Future<Output = Result<T, GitError>>) -> Result<T, GitError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(GitError::TooSlow { what }))
}

/// Reads a pipe to its end, or to one byte more than `most`.
pub async fn drain(pipe: Option<impl AsyncRead + Unpin>, most: u64, what: &'static str) -> Result<Vec<u8>, GitError> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most + 1).read_to_end(&mut bytes).await.map_err(|source| GitError::Io { what, source })?;
    }
    Ok(bytes)
}

/// Waits for the end of a child whose pipes are drained, and turns a bad end into its cause.
pub async fn finish(mut child: Child, what: &'static str, dir: &Path, complaint: &[u8]) -> Result<(), GitError> {
    let status = child.wait().await.map_err(|source| GitError::Io { what, source })?;
    if status.success() {
        return Ok(());
    }
    Err(cause(what, dir, &String::from_utf8_lossy(complaint)))
}

/// What a complaint in the C locale means.
fn cause(what: &'static str, dir: &Path, complaint: &str) -> GitError {
    let says = |part: &str| complaint.contains(part);
    if says("detected dubious ownership") {
        // The path that git names is the one that it wants to be told is safe.
        let named = complaint.split('\'').nth(1).map(PathBuf::from);
        GitError::ForeignOwner(named.unwrap_or_else(|| dir.to_path_buf()))
    } else if says("not a git repository") {
        GitError::NoRepository(dir.to_path_buf())
    } else if says("does not have any commits yet") {
        GitError::NoCommit(dir.to_path_buf())
    } else {
        let line = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        GitError::Failed { what, complaint: crate::change::printable(line.trim()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_apart() {
        let dir = Path::new("/state");
        let of = |text| cause("log", dir, text);
        let foreign = of("fatal: detected dubious ownership in repository at '/srv'\nTo add an exception…");
        assert!(foreign.hint().contains("git config --global --add safe.directory '/srv'"), "{}", foreign.hint());
        assert!(matches!(
            of("fatal: not a git repository (or any of the parent directories): .git"),
            GitError::NoRepository(_)
        ));
        assert!(matches!(of("fatal: your current branch 'main' does not have any commits yet"), GitError::NoCommit(_)));
        let GitError::Failed { complaint, .. } = of("\nfatal: bad object \u{1b}[31mHEAD") else {
            panic!("not told apart")
        };
        assert_eq!(complaint, "fatal: bad object \\u{1b}[31mHEAD");
    }

    #[tokio::test]
    async fn a_directory_that_is_missing_is_not_a_program_that_is_missing() {
        let failed = ask(Path::new("/nowhere/at/all"), "log", &["-1"], &[]).await;
        let Err(GitError::Failed { complaint, .. }) = failed else { panic!("expected a failure") };
        assert!(complaint.contains("cannot change to"), "{complaint}");
    }

    #[tokio::test]
    async fn a_program_that_is_missing_says_so() {
        let spawned = spawn(&mut Command::new("git-that-is-not-installed"), "log");
        assert!(matches!(spawned, Err(GitError::Missing)));
    }

    #[test]
    fn another_repositorys_environment_does_not_count() {
        for name in
            ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS", "GIT_TRACE", "GIT_EXTERNAL_DIFF"]
        {
            assert!(is_foreign(name), "{name}");
        }
        assert!(is_foreign("RECONCILE_DATABASE_URL"), "a secret that is not for git");
        for name in ["PATH", "HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT", "GIT_CONFIG_VALUE_0", "GIT_EXEC_PATH"] {
            assert!(!is_foreign(name), "{name}");
        }
    }
}
