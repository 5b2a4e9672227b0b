//! The three facts on real servers: what is let in, and everything that is refused.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use super::super::connect::{Database, Options};
use super::super::error::{Cause, Error};
use super::super::identity::TargetIdentity;
use super::super::sql::{Conn, execute, fetch};
use super::super::stamp::{self, Stamped};
use super::super::testing::migrate;
use super::{CHILD, again, make, open, refusal, worlds};
use crate::guard::Fact;

#[tokio::test]
async fn an_empty_database_is_let_in_stamped_once_and_known_again() {
    let (_cluster, _directory, urls) = worlds();
    for url in urls {
        let database = open("development", &url);
        let mut conn = database.create().await.unwrap();
        assert_eq!(database.stamped(&mut conn).await.unwrap(), Stamped::Nothing);
        assert!(matches!(stamp::check_stamp(&mut conn, &database).await, Err(Error::SchemaMissing)));
        migrate(&mut conn).await;
        let written = stamp::write(&mut conn, &database, "a test").await.unwrap();
        assert!(stamp::write(&mut conn, &database, "another").await.is_err(), "a stamp is written once");
        assert_eq!(written.system_identifier.is_some(), url.starts_with("postgres"));
        assert_eq!(stamp::check_stamp(&mut conn, &database).await.unwrap(), written);
        conn.close().await;
        let mut conn = database.read().await.unwrap().unwrap();
        assert_eq!(database.stamped(&mut conn).await.unwrap(), Stamped::Ours(written));
    }
}

#[tokio::test]
async fn a_connection_for_reading_cannot_write() {
    let (_cluster, _directory, urls) = worlds();
    for url in urls {
        let database = open("development", &url);
        make(&database).await;
        let mut conn = database.read().await.unwrap().unwrap();
        let error = execute!(&mut conn, "UPDATE reconcile_lease SET fencing = 1").unwrap_err();
        assert_eq!(Cause::of(&error), Cause::RightsMissing, "{error}");
    }
}

#[tokio::test]
async fn tables_without_a_stamp_are_refused_until_adopted() {
    let (_cluster, _directory, urls) = worlds();
    for url in urls {
        let database = open("development", &url);
        let mut conn = database.create().await.unwrap();
        // On PostgreSQL outside our schema: the whole database is ours, or none of it.
        let table = match &conn {
            Conn::Sqlite(_) => "CREATE TABLE invoices (id BIGINT)",
            Conn::Postgres(..) => "CREATE TABLE public.invoices (id BIGINT)",
        };
        execute!(&mut conn, table).unwrap();
        conn.close().await;
        for result in [database.read().await.map(drop), database.create().await.map(drop)] {
            let refusal = refusal(result);
            assert_eq!(refusal.fact, Fact::Stamp);
            assert!(refusal.why.contains("invoices"), "{refusal}");
            assert!(refusal.mend.contains("migrate --adopt --environment development"), "{}", refusal.mend);
        }
        let target = database.target().clone();
        make(&Database::adopting(target, database.guard(), Options::default()).unwrap()).await;
        database.create().await.unwrap().close().await;
    }
}

#[tokio::test]
async fn the_stamp_of_another_environment_is_refused_until_restamped() {
    let (_cluster, _directory, urls) = worlds();
    for url in urls {
        let database = open("development", &url);
        make(&database).await;
        let mut conn = database.create().await.unwrap();
        execute!(&mut conn, "UPDATE reconcile_stamp SET environment = 'production'").unwrap();
        assert_eq!(refusal(stamp::check_stamp(&mut conn, &database).await).fact, Fact::Stamp);
        conn.close().await;
        for result in [database.read().await.map(drop), database.create().await.map(drop)] {
            assert!(refusal(result).why.contains("stamped `production`, not development"));
        }
        let target = database.target().clone();
        let restamping = Database::restamping(target, database.guard(), Options::default()).unwrap();
        let mut conn = restamping.create().await.unwrap();
        let stamp = stamp::restamp(&mut conn, &restamping, "a test").await.unwrap();
        assert_eq!(stamp::check_stamp(&mut conn, &restamping).await.unwrap(), stamp);
        conn.close().await;
        assert!(refusal(database.create().await).why.contains("another database"), "who knew the old one starts again");
        open("development", &url).create().await.unwrap().close().await;
    }
}

#[tokio::test]
async fn another_server_with_the_same_stamp_is_refused() {
    let (_cluster, _directory, urls) = worlds();
    let database = open("development", &urls[1]);
    make(&database).await;
    let mut conn = database.create().await.unwrap();
    execute!(&mut conn, "UPDATE reconcile_stamp SET system_identifier = '7'").unwrap();
    conn.close().await;
    let refusal = refusal(database.read().await);
    assert!(refusal.why.contains("stamped on the server 7"), "{refusal}");
    assert!(refusal.mend.contains("--restamp"));
}

#[tokio::test]
async fn a_database_renamed_into_our_catalogs_name_is_refused_on_reconnecting() {
    let (cluster, _directory, urls) = worlds();
    cluster.sql("postgres", "CREATE DATABASE \"KSESSIONS\"");
    make(&open("production", &cluster.url("KSESSIONS"))).await;
    let database = open("development", &urls[1]);
    make(&database).await;
    database.create().await.unwrap().close().await;
    cluster.sql("postgres", "ALTER DATABASE \"KSESSIONS_DEV\" RENAME TO aside");
    cluster.sql("postgres", "ALTER DATABASE \"KSESSIONS\" RENAME TO \"KSESSIONS_DEV\"");
    for result in [database.read().await.map(drop), database.create().await.map(drop)] {
        assert_eq!(refusal(result).fact, Fact::Stamp);
    }
    cluster.sql("postgres", "ALTER DATABASE \"KSESSIONS_DEV\" RENAME TO \"KSESSIONS\"");
    cluster.sql("postgres", "ALTER DATABASE aside RENAME TO \"KSESSIONS_DEV\"");
    database.create().await.unwrap().close().await;
}

#[tokio::test]
async fn a_replacement_with_a_stamp_of_its_own_is_refused() {
    let (_cluster, directory, urls) = worlds();
    let database = open("development", &urls[0]);
    make(&database).await;
    database.read().await.unwrap().unwrap().close().await;
    fs::remove_file(directory.path().join("KSESSIONS_DEV.db")).unwrap();
    make(&open("development", &urls[0])).await;
    assert!(refusal(database.create().await).why.contains("another database has taken the place"));
}

#[tokio::test]
async fn a_file_renamed_under_an_open_connection_is_not_written() {
    let (_cluster, directory, urls) = worlds();
    let database = open("development", &urls[0]);
    make(&database).await;
    let mut conn = database.create().await.unwrap();
    stamp::check_stamp(&mut conn, &database).await.unwrap();
    let path = |name| directory.path().join(name);
    fs::rename(path("KSESSIONS_DEV.db"), path("KSESSIONS.db")).unwrap();
    assert!(refusal(stamp::check_stamp(&mut conn, &database).await).why.contains("is gone"));
}

/// A pooler that leads every session to `catalog`, whatever the client asks for. Returns its port.
fn pooler(server: u16, catalog: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut upstream) = (client.unwrap(), TcpStream::connect(("127.0.0.1", server)).unwrap());
            let mut length = [0; 4];
            client.read_exact(&mut length).unwrap();
            let mut start = vec![0; u32::from_be_bytes(length) as usize - 4];
            client.read_exact(&mut start).unwrap();
            let asked = b"\0database\0KSESSIONS_DEV\0";
            let at = start.windows(asked.len()).position(|bytes| bytes == asked).unwrap();
            start.splice(at..at + asked.len(), format!("\0database\0{catalog}\0").into_bytes());
            upstream.write_all(&u32::try_from(start.len() + 4).unwrap().to_be_bytes()).unwrap();
            upstream.write_all(&start).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || std::io::copy(&mut upstream, &mut client));
        }
    });
    port
}

#[tokio::test]
async fn a_pooler_that_leads_elsewhere_is_refused() {
    let (cluster, _directory, urls) = worlds();
    cluster.sql("postgres", "CREATE DATABASE \"KSESSIONS\"");
    make(&open("development", &urls[1])).await;
    let through = |catalog| {
        let port = pooler(cluster.port, catalog);
        let url = urls[1].replace(&format!(":{}/", cluster.port), &format!(":{port}/"));
        open("development", &format!("{url}?sslmode=disable"))
    };
    through("KSESSIONS_DEV").create().await.unwrap().close().await;
    let astray = through("KSESSIONS");
    for result in [astray.read().await.map(drop), astray.create().await.map(drop)] {
        let refusal = refusal(result);
        assert_eq!(refusal.fact, Fact::Answer);
        assert!(refusal.why.contains("leads to `KSESSIONS`"), "{refusal}");
    }
}

#[tokio::test]
async fn a_session_is_set_up_by_us_alone() {
    let (cluster, _directory, urls) = worlds();
    cluster.sql("postgres", "ALTER DATABASE \"KSESSIONS_DEV\" SET TimeZone = 'Asia/Tokyo'");
    cluster.sql("postgres", "ALTER ROLE postgres SET search_path = evil");
    let mut conn = open("development", &urls[1]).create().await.unwrap();
    let rows = fetch!(
        &mut conn,
        "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name COLLATE \"C\") AS set FROM pg_settings
         WHERE name IN ('TimeZone', 'search_path', 'statement_timeout', 'lock_timeout', 'application_name',
                        'idle_in_transaction_session_timeout', 'default_transaction_read_only')"
    )
    .unwrap();
    assert_eq!(
        rows[0].get::<String>("set").unwrap(),
        "TimeZone=UTC application_name=reconcile default_transaction_read_only=off \
         idle_in_transaction_session_timeout=60000 lock_timeout=5000 search_path=\"canvas\", pg_temp \
         statement_timeout=60000"
    );
}

#[tokio::test]
async fn the_environments_variables_are_without_effect() {
    if let Ok(url) = std::env::var(CHILD) {
        let database = open("development", &url);
        if std::env::var_os("PGOPTIONS").is_some() {
            assert!(refusal(database.read().await).why.contains("PGOPTIONS"));
        } else {
            database.read().await.unwrap();
        }
        return;
    }
    let (cluster, _directory, urls) = worlds();
    cluster.sql("postgres", "CREATE DATABASE \"KSESSIONS\"");
    let name = "store::tests::facts::the_environments_variables_are_without_effect";
    let child = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        for variable in ["PGHOST", "PGHOSTADDR", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSSLROOTCERT"] {
            child.env(variable, "nonsense");
        }
        child.env("PGDATABASE", "KSESSIONS").env("PGPORT", "1").env("PGSSLMODE", "verify-full").env("PGAPPNAME", "x");
        child.env(CHILD, &urls[1]);
        child
    };
    again(&mut child(), name);
    again(child().env("PGOPTIONS", "-c search_path=evil"), name);
}

#[tokio::test]
async fn an_identity_says_which_database_and_not_by_which_way() {
    let (cluster, _directory, urls) = worlds();
    cluster.sql("postgres", "CREATE DATABASE \"KQUR_DEV\"");
    let identity = open("development", &urls[1]).identity().await.unwrap();
    let home = cluster.home().display().to_string().replace('/', "%2F");
    let socket = format!("postgres://postgres@{home}:{}/KSESSIONS_DEV", cluster.port);
    assert_eq!(open("development", &socket).identity().await.unwrap(), identity);
    assert_ne!(open("development", &cluster.url("KQUR_DEV")).identity().await.unwrap(), identity);
    let json = serde_json::to_string(&identity).unwrap();
    assert_eq!(serde_json::from_str::<TargetIdentity>(&json).unwrap(), identity);
}

#[tokio::test]
async fn the_tables_of_an_extension_are_nobodys() {
    let (cluster, _directory, urls) = worlds();
    cluster.sql("KSESSIONS_DEV", "CREATE TABLE public.spatial_ref_sys (id BIGINT)");
    let database = open("development", &urls[1]);
    assert_eq!(refusal(database.read().await).fact, Fact::Stamp);
    cluster.sql("KSESSIONS_DEV", "ALTER EXTENSION plpgsql ADD TABLE public.spatial_ref_sys");
    let mut conn = database.read().await.unwrap().unwrap();
    assert_eq!(database.stamped(&mut conn).await.unwrap(), Stamped::Nothing);
}
