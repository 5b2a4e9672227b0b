//! The doctor names the cause of every common failure, in time.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::super::connect::Options;
use super::super::doctor::{Step, examine};
use super::super::error::Cause;
use super::super::sql::execute;
use super::{make, open, open_with, worlds};

#[tokio::test]
async fn a_port_that_never_answers_ends_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/KSESSIONS_DEV", silent.local_addr().unwrap().port());
    assert_eq!(Options::default().connect_timeout, Duration::from_secs(5));
    let options = Options { connect_timeout: Duration::from_millis(300), ..Options::default() };
    let started = Instant::now();
    let error = open_with("development", &url, options).read().await.map(drop).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(error.cause(), Cause::Timeout, "{}", error.chain());
}

/// The step that failed, after others that did not, and what it says.
fn failed(steps: &[Step]) -> (String, Cause, String) {
    let (last, before) = steps.split_last().unwrap();
    assert!(before.iter().all(|step| step.outcome.is_ok()), "the first failure ends it: {steps:?}");
    let trouble = last.outcome.as_ref().unwrap_err();
    (last.name.clone(), trouble.cause, trouble.what.clone())
}

async fn diagnosis(url: &str) -> (String, Cause, String) {
    let options = Options { connect_timeout: Duration::from_secs(2), ..Options::default() };
    let started = Instant::now();
    let steps = examine(&open_with("development", url, options), false).await;
    assert!(started.elapsed() < Duration::from_secs(6));
    failed(&steps)
}

#[tokio::test]
async fn a_healthy_database_passes_every_step() {
    let (_cluster, _directory, urls) = worlds();
    let expected: [&[&str]; 2] = [
        &["file", "open", "stamp", "schema", "rights"],
        &["resolve name", "connect", "log in", "catalog", "stamp", "schema", "rights"],
    ];
    for (url, expected) in urls.iter().zip(expected) {
        make(&open("development", url)).await;
        let steps = examine(&open("development", url), false).await;
        assert!(steps.iter().all(|step| step.outcome.is_ok()), "{steps:?}");
        assert_eq!(steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_missing_file_is_no_illness() {
    let (_cluster, directory, urls) = worlds();
    let steps = examine(&open("development", &urls[0]), false).await;
    assert!(steps.iter().all(|step| step.outcome.is_ok()), "{steps:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn each_cause_is_named_within_seconds() {
    let (cluster, directory, urls) = worlds();
    let (name, cause, _) = diagnosis("postgres://u@no-such-host.invalid/KSESSIONS_DEV").await;
    assert_eq!((name.as_str(), cause), ("resolve name", Cause::Dns));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (name, cause, _) = diagnosis(&format!("postgres://u@127.0.0.1:{closed}/KSESSIONS_DEV")).await;
    assert_eq!((name.as_str(), cause), ("connect", Cause::Refused));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/KSESSIONS_DEV", silent.local_addr().unwrap().port());
    let (name, cause, _) = diagnosis(&url).await;
    assert_eq!((name.as_str(), cause), ("log in", Cause::Timeout));
    let (name, cause, said) = diagnosis(&urls[1].replace("correct", "mistaken")).await;
    assert_eq!((name.as_str(), cause), ("log in", Cause::Login), "{said}");
    assert!(!said.contains("mistaken"), "{said}");
    let (name, cause, _) = diagnosis(&cluster.url("KQUR_DEV")).await;
    assert_eq!((name.as_str(), cause), ("catalog", Cause::CatalogMissing));
    let (name, cause, said) = diagnosis(&format!("{}?sslmode=verify-full", urls[1])).await;
    assert_eq!((name.as_str(), cause), ("log in", Cause::Tls), "{said}");
    let (name, cause, _) = diagnosis(&urls[1]).await;
    assert_eq!((name.as_str(), cause), ("schema", Cause::SchemaMissing));
    fs::write(directory.path().join("KSESSIONS_DEV.db"), "x".repeat(4096)).unwrap();
    let (name, _, said) = diagnosis(&urls[0]).await;
    assert_eq!(name, "open");
    assert!(said.contains("not a database"), "{said}");
}

#[tokio::test]
async fn a_certificate_must_be_known_and_name_the_server() {
    let (cluster, directory, urls) = worlds();
    make(&open("development", &urls[1])).await;
    let certificate = cluster.encrypt();
    let (name, cause, said) = diagnosis(&format!("{}?sslmode=verify-full", urls[1])).await;
    assert_eq!((name.as_str(), cause), ("log in", Cause::Tls), "{said}");
    let trusted = directory.path().join("root.crt");
    fs::write(&trusted, certificate).unwrap();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", urls[1], trusted.display());
    let (_, cause, said) = diagnosis(&url).await;
    assert_eq!(cause, Cause::Tls, "the name is localhost's alone: {said}");
    open("development", &url.replace("127.0.0.1", "localhost")).read().await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_read_but_not_write_is_named() {
    let (cluster, _directory, urls) = worlds();
    make(&open("development", &urls[1])).await;
    let url = urls[1].replace("//postgres:", "//reader:");
    cluster.sql("postgres", "CREATE ROLE reader LOGIN PASSWORD 'correct horse'");
    for grant in ["USAGE ON SCHEMA canvas", "SELECT ON ALL TABLES IN SCHEMA canvas"] {
        let (name, cause, said) = diagnosis(&url).await;
        assert_eq!((name.as_str(), cause), ("stamp", Cause::RightsMissing), "{said}");
        cluster.sql("KSESSIONS_DEV", &format!("GRANT {grant} TO reader"));
    }
    let plans = examine(&open("development", &url), false).await;
    let said = plans.last().unwrap().outcome.as_ref().unwrap();
    assert!(said.ends_with("tables and write none: enough to plan, and not to apply"), "{said}");
    cluster.sql("KSESSIONS_DEV", "GRANT INSERT ON canvas.sessions TO reader");
    let (name, cause, said) = diagnosis(&url).await;
    assert_eq!((name.as_str(), cause), ("rights", Cause::RightsMissing), "{said}");
    assert_eq!(said, "the role reader may not UPDATE canvas.sessions");
    cluster.sql("KSESSIONS_DEV", "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA canvas TO reader");
    let steps = examine(&open("development", &url), false).await;
    assert!(steps.iter().all(|step| step.outcome.is_ok()), "{steps:?}");
}

#[tokio::test]
async fn a_refusal_ends_the_examination_with_its_way_out() {
    let (_cluster, _directory, urls) = worlds();
    for url in urls {
        let database = open("development", &url);
        make(&database).await;
        let mut conn = database.create().await.unwrap();
        execute!(&mut conn, "UPDATE reconcile_stamp SET environment = 'production'").unwrap();
        conn.close().await;
        let steps = examine(&database, false).await;
        assert_eq!(failed(&steps).0, "stamp");
        let trouble = steps.last().unwrap().outcome.as_ref().unwrap_err();
        assert!(trouble.what.contains("stamped `production`"), "{trouble:?}");
        assert!(trouble.mend.contains("--restamp"), "{trouble:?}");
    }
}
