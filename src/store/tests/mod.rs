//! What the ways to a database are tried with: databases of both kinds, made and stamped.

mod diverted;
mod doctor;
mod facts;
mod preview;
mod scan;
mod silence;

use std::process::Command;

use tempfile::TempDir;

use super::connect::{Database, Options};
use super::error::Error;
use super::stamp;
use super::testing::{Cluster, migrate};
use crate::guard::{Guard, Policy, Refusal, Transport};

/// Names the database in the child process that a test starts of itself.
const CHILD: &str = "RECONCILE_TEST_URL";

fn open(environment: &str, url: &str) -> Database {
    open_with(environment, url, Options::default())
}

fn open_with(environment: &str, url: &str, options: Options) -> Database {
    let guard = Guard::new(Policy::built_in(), environment, true).unwrap();
    Database::open(guard.target(url, Transport::Verified).unwrap(), &guard, options).unwrap()
}

fn refusal(result: Result<impl Sized, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        Err(other) => panic!("not a refusal: {}", other.chain()),
        Ok(_) => panic!("it was let in"),
    }
}

/// Migrated, stamped and closed.
async fn make(database: &Database) -> stamp::Stamp {
    let mut conn = database.create().await.unwrap();
    migrate(&mut conn).await;
    let stamp = stamp::write(&mut conn, database, "a test").await.unwrap();
    conn.close().await;
    stamp
}

/// An empty database of either kind, and what keeps them alive.
fn worlds() -> (Cluster, TempDir, [String; 2]) {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE DATABASE \"KSESSIONS_DEV\"");
    let directory = TempDir::new().unwrap();
    let urls = [format!("sqlite:{}/KSESSIONS_DEV.db", directory.path().display()), cluster.url("KSESSIONS_DEV")];
    (cluster, directory, urls)
}

/// Runs the one test `name` again in a process of its own, as `child` sets it up.
fn again(child: &mut Command, name: &str) {
    let done = child.args(["--exact", name, "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
}
