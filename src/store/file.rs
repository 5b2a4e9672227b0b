//! The SQLite file: read without leaving a trace, created for its owner alone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

use super::error::{Cause, Error};
use super::sql::{Conn, fetch};
use crate::file as files;
use crate::guard::companion;

/// How long a statement waits for another writer.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// A log without its index is a writer about to open or close, for this long at most.
const BETWEEN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(25);

/// The coarsest clock of a file system's times: a tick of the kernel at 100 Hz, twice.
const TICK: TimeDelta = TimeDelta::milliseconds(20);

/// Whether what was read from a connection still is what stands in the database.
///
/// Where nobody has the file open, it is read as immutable: without locks, and without the `-wal` and `-shm` files that
/// SQLite would else leave beside it. A writer that comes meanwhile is noticed only by looking again.
pub struct Freshness(Option<(PathBuf, Glimpse)>);

impl Freshness {
    /// For a connection that sees one consistent state by itself.
    pub(super) fn held() -> Self {
        Self(None)
    }

    /// To be called after the last row has been read.
    ///
    /// Errors: [`Error::Conflict`] when the file has changed since it was opened: read again.
    pub fn confirm(&self) -> Result<(), Error> {
        match &self.0 {
            Some((path, before)) if Glimpse::of(path)? != *before => {
                Err(Error::Conflict { what: "the database file".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// What tells one state of the file from another. The file itself is never opened here: to close it again would take
/// away the locks that SQLite holds on it for another connection of this process (POSIX advisory locks go with any
/// descriptor), and others would then tidy up its log under it.
#[derive(PartialEq, Eq)]
struct Glimpse {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    log: bool,
    journal: bool,
}

impl Glimpse {
    fn of(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { doing: format!("read {}", path.display()), source };
        let facts = files::facts(path).map_err(failed)?;
        Ok(Self {
            inode: facts.ino(),
            length: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
            log: files::exists(&companion(path, "-wal")),
            journal: files::exists(&companion(path, "-journal")),
        })
    }

    /// Whether the file was changed so short a time ago that another change could bear the same time.
    fn is_hot(&self) -> bool {
        let changed = DateTime::from_timestamp(self.changed.0, u32::try_from(self.changed.1).unwrap_or(0));
        let age = changed.map(|changed| Utc::now().signed_duration_since(changed));
        age.is_some_and(|age| age >= TimeDelta::zero() && age < TICK)
    }
}

/// How to open `path` for reading so that no file appears beside it.
///
/// Errors: the file cannot be read; [`Error::Unclean`] when its log lies there without the index, so that reading would
/// have to make one.
pub(super) async fn reading(path: &Path) -> Result<(SqliteConnectOptions, Freshness), Error> {
    let mut waited = Duration::ZERO;
    loop {
        let glimpse = Glimpse::of(path)?;
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
        if !glimpse.log && !glimpse.journal && glimpse.is_hot() {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if !glimpse.log && !glimpse.journal {
            return Ok((options.immutable(true), Freshness(Some((path.to_owned(), glimpse)))));
        }
        // A rollback journal leaves nothing behind, and a log with its index is there already.
        if !glimpse.log || files::exists(&companion(path, "-shm")) {
            return Ok((options, Freshness::held()));
        }
        if waited >= BETWEEN {
            return Err(Error::Unclean { path: path.display().to_string() });
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
}

/// How to open an existing file for writing. The log is switched on later, by [`use_log`]: that is a write, and the
/// database must prove first that it is ours.
pub(super) fn writing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
}

/// Makes an empty file that its owner alone may read, and the directories on the way to it.
///
/// Errors: a directory or the file cannot be made. That another process has just made it is none.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    let directory = path.parent().map_or(Ok(()), files::make_directory);
    directory
        .and_then(|()| files::create(path).map(drop))
        .map_err(|source| Error::File { doing: format!("create {}", path.display()), source })
}

/// Switches to the write-ahead log, so that readers and the one writer do not wait for each other.
///
/// Errors: the mode cannot be changed within [`BUSY`], because others use the file in its old mode.
pub(super) async fn use_log(conn: &mut Conn) -> Result<(), Error> {
    let mut waited = Duration::ZERO;
    loop {
        // SQLite does not wait by itself for the lock that this change takes.
        match fetch!(&mut *conn, "PRAGMA journal_mode = WAL") {
            Ok(_) => return Ok(()),
            Err(error) if Cause::of(&error) == Cause::Timeout && waited < BUSY => {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
            Err(error) => return Err(Error::query("switch the database to its write-ahead log")(error)),
        }
    }
}
