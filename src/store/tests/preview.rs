//! A preview leaves no trace; a writer makes the file its owner's alone.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::super::connect::Database;
use super::super::doctor::examine;
use super::super::error::{Cause, Error};
use super::super::sql::{Conn, execute, fetch};
use super::super::testing::{migrate, unprivileged};
use super::{CHILD, again, make, open, refusal};

/// A database in a directory of its own, not made yet.
fn file() -> (TempDir, Database) {
    let directory = TempDir::new().unwrap();
    let database = open("development", &format!("sqlite:{}/KSESSIONS_DEV.db", directory.path().display()));
    (directory, database)
}

/// Every file of a directory, by name, with its content.
fn everything(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn names(directory: &Path) -> Vec<String> {
    everything(directory).into_keys().collect()
}

async fn fencing(conn: &mut Conn) -> i64 {
    fetch!(conn, "SELECT fencing FROM reconcile_lease").unwrap()[0].get("fencing").unwrap()
}

#[tokio::test]
async fn a_preview_of_a_missing_file_makes_nothing() {
    let directory = TempDir::new().unwrap();
    let database = open("development", &format!("sqlite:{}/deep/KSESSIONS_DEV.db", directory.path().display()));
    assert!(database.read().await.unwrap().is_none());
    let before = database.identity().await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    database.create().await.unwrap().close().await;
    assert_eq!(database.identity().await.unwrap(), before, "a plan for a new database stays its plan");
}

#[tokio::test]
async fn a_new_file_is_its_owners_alone() {
    let directory = TempDir::new().unwrap();
    let database = open("development", &format!("sqlite:{}/a/b/KSESSIONS_DEV.db", directory.path().display()));
    let mut conn = database.create().await.unwrap();
    migrate(&mut conn).await;
    let mode = |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
    for name in names(&directory.path().join("a/b")) {
        assert_eq!(mode(&format!("a/b/{name}")), 0o600, "{name}");
    }
    conn.close().await;
}

#[tokio::test]
async fn a_preview_of_a_closed_database_leaves_every_byte_as_it_was() {
    let (directory, database) = file();
    make(&database).await;
    let before = everything(directory.path());
    assert_eq!(names(directory.path()), ["KSESSIONS_DEV.db"], "closed in order");
    assert_eq!(before["KSESSIONS_DEV.db"][18..20], [2, 2], "in the mode of the write-ahead log");
    let (mut conn, freshness) = database.read_fresh().await.unwrap().unwrap();
    assert_eq!(fencing(&mut conn).await, 0);
    assert_eq!(everything(directory.path()), before, "while it is open");
    conn.close().await;
    freshness.confirm().unwrap();
    assert_eq!(everything(directory.path()), before, "after it is closed");
}

#[tokio::test]
async fn a_preview_works_in_a_directory_that_cannot_be_written() {
    if let Ok(url) = std::env::var(CHILD) {
        let database = open("development", &url);
        assert!(fs::File::create(Path::new(url.trim_start_matches("sqlite:")).with_extension("new")).is_err());
        let mut conn = database.read().await.unwrap().unwrap();
        assert_eq!(fencing(&mut conn).await, 0);
        let steps = examine(&database, false).await;
        let rights = steps.last().unwrap();
        assert_eq!(rights.name, "rights");
        assert_eq!(rights.outcome.as_ref().unwrap_err().cause, Cause::RightsMissing);
        return;
    }
    let (directory, database) = file();
    make(&database).await;
    fs::set_permissions(directory.path().join("KSESSIONS_DEV.db"), Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o555)).unwrap();
    let before = everything(directory.path());
    let mut child = unprivileged(&std::env::current_exe().unwrap());
    child.env(CHILD, format!("sqlite:{}/KSESSIONS_DEV.db", directory.path().display()));
    again(&mut child, "store::tests::preview::a_preview_works_in_a_directory_that_cannot_be_written");
    assert_eq!(everything(directory.path()), before);
}

#[tokio::test]
async fn a_preview_beside_a_running_writer_sees_its_commits_and_adds_no_file() {
    let (directory, database) = file();
    make(&database).await;
    let mut writer = database.create().await.unwrap();
    execute!(&mut writer, "UPDATE reconcile_lease SET fencing = 41").unwrap();
    let before = names(directory.path());
    let (mut reader, freshness) = database.read_fresh().await.unwrap().unwrap();
    assert_eq!(fencing(&mut reader).await, 41);
    reader.close().await;
    freshness.confirm().unwrap();
    assert_eq!(names(directory.path()), before);
    writer.close().await;
    assert_eq!(names(directory.path()), ["KSESSIONS_DEV.db"]);
}

#[tokio::test]
async fn a_writer_that_comes_during_a_preview_makes_it_stale() {
    let (_directory, database) = file();
    make(&database).await;
    for closes_first in [false, true] {
        let (reader, freshness) = database.read_fresh().await.unwrap().unwrap();
        freshness.confirm().unwrap();
        let mut writer = Some(database.create().await.unwrap());
        execute!(writer.as_mut().unwrap(), "UPDATE reconcile_lease SET fencing = fencing + 1").unwrap();
        if closes_first {
            writer.take().unwrap().close().await;
        }
        assert!(matches!(freshness.confirm(), Err(Error::Conflict { .. })));
        reader.close().await;
        if let Some(writer) = writer {
            writer.close().await;
        }
    }
}

#[tokio::test]
async fn a_log_without_its_index_waits_for_a_writer() {
    let (directory, database) = file();
    make(&database).await;
    let copy = directory.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let mut writer = database.create().await.unwrap();
    execute!(&mut writer, "UPDATE reconcile_lease SET fencing = 41").unwrap();
    for name in ["KSESSIONS_DEV.db", "KSESSIONS_DEV.db-wal"] {
        fs::copy(directory.path().join(name), copy.join(name)).unwrap();
    }
    writer.close().await;
    let before = everything(&copy);
    let copied = open("development", &format!("sqlite:{}/KSESSIONS_DEV.db", copy.display()));
    assert!(matches!(copied.read().await.map(drop), Err(Error::Unclean { .. })));
    assert_eq!(everything(&copy), before);
    let mut recovered = copied.create().await.unwrap();
    assert_eq!(fencing(&mut recovered).await, 41);
    recovered.close().await;
    copied.read().await.unwrap().unwrap().close().await;
}

#[tokio::test]
async fn a_refused_file_keeps_every_byte() {
    let (directory, database) = file();
    make(&database).await;
    let mut conn = database.create().await.unwrap();
    execute!(&mut conn, "UPDATE reconcile_stamp SET environment = 'production'").unwrap();
    conn.close().await;
    let before = everything(directory.path());
    refusal(database.create().await);
    refusal(database.read().await);
    assert_eq!(everything(directory.path()), before);
}

#[tokio::test]
async fn twenty_writers_may_make_one_file_at_once() {
    let (directory, _database) = file();
    let url = format!("sqlite:{}/KSESSIONS_DEV.db", directory.path().display());
    let race = |_| {
        let database = open("development", &url);
        tokio::spawn(async move { database.create().await.map(drop).map_err(|error| error.chain()) })
    };
    for racer in (0..20).map(race).collect::<Vec<_>>() {
        racer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn looking_takes_no_lock_away_from_a_writer() {
    let (directory, database) = file();
    make(&database).await;
    let mut writer = database.create().await.unwrap();
    execute!(&mut writer, "UPDATE reconcile_lease SET fencing = 7").unwrap();
    // Each of these looks at the file while this very process has it open for writing.
    let (reader, freshness) = database.read_fresh().await.unwrap().unwrap();
    freshness.confirm().unwrap();
    reader.close().await;
    database.identity().await.unwrap();
    // Another process tidies up the log as soon as nobody else seems to hold the file.
    let path = directory.path().join("KSESSIONS_DEV.db");
    let other = std::process::Command::new("sqlite3").arg(&path).arg("SELECT fencing FROM reconcile_lease").output();
    let other = other.expect("the program sqlite3 (Debian: apt-get install sqlite3)");
    assert_eq!(String::from_utf8_lossy(&other.stdout), "7\n", "{}", String::from_utf8_lossy(&other.stderr));
    assert!(directory.path().join("KSESSIONS_DEV.db-wal").exists(), "the log was taken from under its writer");
    execute!(&mut writer, "UPDATE reconcile_lease SET fencing = 8").unwrap();
    writer.close().await;
}
