//! The data directory: key, embedded database and handoff. It is ours alone, tells Git to leave it alone, and bears the
//! environment that it belongs to.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::write::new_file;
use super::{Facts, Fault, Found, ROOT, Rules, Us, facts_of_link, is_directory, list, look, open, real, replace, text};

/// What Git reads first; it ignores itself too.
const IGNORE: &str = ".gitignore";
const EVERYTHING: &str = "*\n";
/// What of it is ours, in a directory that others use too.
const NAMES: &str = "/environment\n/host.key\n/handoff\n/*.db\n/*.db-*\n/*.tmp\n";
/// The most bytes of somebody else's.
const LARGEST_IGNORE: u64 = 1024 * 1024;
/// The file that the directory bears its environment in: its name, a blank, and the identity in the database's stamp.
const MARK: &str = "environment";
/// A name of at most 63 bytes and a UUID are shorter.
const LARGEST: u64 = 256;
/// Names that are ours in a data directory; and those of a database and its companions, and of files being written.
const OURS: [&str; 4] = [IGNORE, MARK, "host.key", "handoff"];

/// Whose a data directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub environment: String,
    /// Of the database that was used with it last; `None` before there is one.
    pub identity: Option<String>,
}

impl Mark {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (environment, identity) = (words.next()?.to_owned(), words.next().map(str::to_owned));
        words.next().is_none().then_some(Self { environment, identity })
    }

    fn text(&self) -> String {
        format!("{} {}\n", self.environment, self.identity.as_deref().unwrap_or_default())
    }
}

/// Why a data directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    #[error("the data directory cannot be used: {}: {}", path.display(), fault.told())]
    Unfit { path: PathBuf, fault: Fault },
    #[error("the data directory {} belongs to the environment {theirs}, not {ours}", path.display())]
    Another { path: PathBuf, theirs: String, ours: String },
    #[error("{} has come with the Git repository {}, and whoever committed it may know or have planted what is in it",
            path.display(), repository.display())]
    Brought { path: PathBuf, repository: PathBuf },
    #[error("{} does not say whose the data directory is", path.display())]
    Unreadable { path: PathBuf },
    #[error("the data directory {} cannot be written", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl MarkError {
    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            MarkError::Unfit { path, fault: Fault::Owner { .. } } => {
                let below = path.join("reconcile");
                format!("name a directory of this user's, or one below it that is made: --data-dir {}", below.display())
            }
            MarkError::Unfit { path, fault: Fault::Writable { .. } } => {
                let path = path.display();
                format!(
                    "check what is in it, then run: chmod 700 {path}  (in Kubernetes: fsGroupChangePolicy: OnRootMismatch)"
                )
            }
            MarkError::Unfit { path, fault: Fault::Link } => {
                format!(
                    "name the directory itself with --data-dir; or find out who made {}, and remove it",
                    path.display()
                )
            }
            MarkError::Unfit { path, fault } => fault.hint(path),
            MarkError::Another { .. } => {
                "name a data directory of its own: --data-dir DIR; or, for a copy that shall be \
                                          this environment's: reconcile migrate --restamp --reason REASON"
                    .to_owned()
            }
            MarkError::Brought { path, repository } => format!(
                "name a data directory of its own: --data-dir DIR; if it was committed by mistake, run: git -C '{}' rm -r \
                 --cached '{}'  and commit that; then give every secret in it anew",
                repository.display(),
                path.display()
            ),
            MarkError::Unreadable { path } => format!("find out who wrote {}; then remove it", path.display()),
            MarkError::Io { path, .. } => format!("check the space and the rights of this user in {}", path.display()),
        }
    }
}

/// The data directory of one environment.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
    environment: String,
}

impl DataDir {
    /// Nothing is looked at yet. `environment` is a plain name, without blanks.
    pub fn new(path: &Path, environment: &str) -> Self {
        // Without a `/` at its end, which would follow a link.
        Self { path: path.components().collect(), environment: environment.to_owned() }
    }

    /// Where it is. A link that root made is followed, as systemd makes one for `DynamicUser=`.
    fn place(&self) -> PathBuf {
        let link = facts_of_link(&self.path).is_ok_and(|facts| is_roots_link(&Facts::of(&facts), Us::here()));
        let followed = if link { real(&self.path).ok() } else { None };
        followed.unwrap_or_else(|| self.path.clone())
    }

    /// What it bears; `None` where it is missing, or was made before it bore anything.
    ///
    /// Errors: it, or what it bears, is not ours alone.
    pub fn mark(&self) -> Result<Option<Mark>, MarkError> {
        let unfit = |path: &Path| {
            let path = path.to_owned();
            move |fault| MarkError::Unfit { path, fault }
        };
        let place = self.place();
        if look(&place, &Rules::data_directory()).map_err(unfit(&self.path))?.is_none() {
            return Ok(None);
        }
        let path = place.join(MARK);
        let Some(text) = text(&path, &Rules::note(LARGEST)).map_err(unfit(&path))? else { return Ok(None) };
        Mark::read(&text).map(Some).ok_or(MarkError::Unreadable { path })
    }

    /// That it is fit to be read from: ours alone, and of this environment or of none yet.
    ///
    /// Errors: it is another's.
    pub fn check(&self) -> Result<Option<Mark>, MarkError> {
        match self.mark()? {
            Some(Mark { environment: theirs, .. }) if theirs != self.environment => {
                Err(MarkError::Another { path: self.path.clone(), theirs, ours: self.environment.clone() })
            }
            mark => Ok(mark),
        }
    }

    /// Makes it ready to be written to: made where it is missing, ignored by Git, for us alone, and of this environment.
    /// `identity`: of the database, where it is known.
    ///
    /// Errors: it is another's, or cannot be written.
    pub fn ready(&self, identity: Option<String>) -> Result<(), MarkError> {
        let known = self.check()?;
        self.take(known, identity)
    }

    /// As [`DataDir::ready`], whatever environment it was of.
    ///
    /// Errors: it is not ours alone, or cannot be written.
    pub fn restamp(&self, identity: Option<String>) -> Result<(), MarkError> {
        let known = self.mark()?;
        self.take(known, identity)
    }

    fn take(&self, known: Option<Mark>, identity: Option<String>) -> Result<(), MarkError> {
        let failed = |source| MarkError::Io { path: self.path.clone(), source };
        let place = self.place();
        make_directory(&place).map_err(failed)?;
        let unfit = |fault| MarkError::Unfit { path: self.path.clone(), fault };
        let opened = open(&place, &Rules::data_directory()).map_err(unfit)?;
        // Others may need what else is in it; what is ours keeps itself to us.
        if is_ours_alone(&place).map_err(failed)? {
            opened.keep_to_ourselves().map_err(failed)?;
        }
        keep_from_git(&place).map_err(failed)?;
        let identity = identity.or_else(|| known.as_ref().and_then(|mark| mark.identity.clone()));
        let mark = Mark { environment: self.environment.clone(), identity };
        if known.as_ref() == Some(&mark) {
            return Ok(());
        }
        replace(&place.join(MARK), mark.text().as_bytes()).map_err(failed)
    }

    /// Whether what bears that name in it is believed: the database, its companions, keys, secrets and the mark.
    pub fn believes(name: &OsStr) -> bool {
        let is_believed = |name: &str| is_ours(name) && name != IGNORE && !name.ends_with(".tmp");
        name.to_str().is_some_and(is_believed)
    }

    /// Whether a file of that real path is one of ours in it.
    pub fn keeps(&self, place: &Path) -> bool {
        let is_in = |directory: &Path| real(&self.path).is_ok_and(|own| directory.starts_with(own));
        place.parent().is_some_and(is_in) && place.file_name().and_then(|name| name.to_str()).is_none_or(is_ours)
    }
}

/// One that somebody else made tells Git of all of it, where nothing else is in it; otherwise of what is ours.
fn keep_from_git(directory: &Path) -> io::Result<()> {
    let path = directory.join(IGNORE);
    let known = text(&path, &Rules::anybodys(LARGEST_IGNORE));
    if matches!(&known, Ok(Some(text)) if text == EVERYTHING) {
        return Ok(());
    }
    if is_ours_alone(directory)? {
        return replace(&path, EVERYTHING.as_bytes());
    }
    let theirs = known.map_err(|fault| io::Error::other(format!("{}: {}", path.display(), fault.told())))?;
    match theirs.unwrap_or_default() {
        // The last pattern that matches decides (gitignore(5)).
        theirs if theirs.ends_with(NAMES) => Ok(()),
        theirs if theirs.is_empty() || theirs.ends_with('\n') => replace(&path, format!("{theirs}{NAMES}").as_bytes()),
        theirs => replace(&path, format!("{theirs}\n{NAMES}").as_bytes()),
    }
}

/// Whether nothing else is in it than what we put there.
fn is_ours_alone(directory: &Path) -> io::Result<bool> {
    for entry in list(directory)? {
        if !entry?.name().to_str().is_some_and(is_ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether it is a link that nobody but root can have made: not by Git, whose files are this user's.
pub(super) fn is_roots_link(facts: &Facts, us: &Us) -> bool {
    facts.sort == Found::Link && facts.owner == ROOT && us.user != ROOT
}

fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || name.ends_with(".tmp") || name.ends_with(".db") || name.contains(".db-")
}

/// Makes `path` in a directory that tells Git to leave it alone, mode 0700; one that is there must be ours alone.
///
/// Errors: it cannot be made, or is not what [`Rules::data_directory`] asks for.
pub fn make_subdirectory(path: &Path) -> Result<(), Fault> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => look(path, &Rules::data_directory()).map(drop),
    }
}

/// Makes `path` and its missing parents, mode 0700. It often lies in the repository of the desired state, so it tells Git
/// to leave it alone before anything else is in it: a `git add .` must not take a key along. One that is there stays as
/// it is.
///
/// Errors: it cannot be made.
pub fn make_directory(path: &Path) -> io::Result<()> {
    if is_directory(path) {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let ignore = path.join(IGNORE);
    let written = match new_file(&ignore) {
        Ok(mut file) => io::Write::write_all(&mut file, EVERYTHING.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    written.inspect_err(|_| {
        // On a full disk; it would be taken for finished the next time, and a key put into it unprotected.
        let _ = fs::remove_file(&ignore);
        let _ = fs::remove_dir(path);
    })
}
