//! What is refused, and left as it is: what is not ours, other environments' servers, other clusters, dead ones.

use std::net::TcpListener;
use std::time::Instant;

use super::*;
use crate::driver::Cause;

#[tokio::test]
async fn what_bears_no_mark_of_ours_is_never_touched() {
    let cluster = server();
    let pool = pool(&cluster);
    let mark = |environment: &str, instance: u128| {
        let mark = Mark { environment: environment.to_owned(), instance: Uuid::from_u128(instance), fencing: 1 };
        format!("CREATE ROLE {ROLE} LOGIN PASSWORD 'theirs'; COMMENT ON ROLE {ROLE} IS '{mark}'")
    };
    let unmarked = format!("CREATE ROLE {ROLE} LOGIN PASSWORD 'theirs'");
    for theirs in [unmarked, mark("development", 2)] {
        cluster.sql("postgres", &theirs);
        let left = || {
            world(&cluster).replace("reconcile_pool|f|f|f|f|reconcile environment=development", "").trim().to_owned()
        };
        let before = left();
        let sight = pool.look().await.unwrap();
        assert_eq!(standing(&sight), Standing::Foreign(format!("there is a role {ROLE}")));
        for order in [
            Order::Create(account()),
            Order::SetPassword { account: account(), verifier: Verifier::of(&password().unwrap()).unwrap() },
            Order::SetLogin { account: account(), allowed: false },
        ] {
            let error = one(&pool, order, 9).await.unwrap_err();
            assert!(matches!(error, PoolError::Foreign { .. }), "{error}");
        }
        assert_eq!(left(), before);
        cluster.login("postgres", ROLE, "theirs", "SELECT 1").unwrap();
        cluster.sql("postgres", &format!("DROP ROLE {ROLE}"));
    }

    cluster.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
    let sight = pool.look().await.unwrap();
    assert_eq!(standing(&sight), Standing::Foreign(format!("there is a database {DATABASE}")));
    let error = one(&pool, Order::Create(account()), 9).await.unwrap_err();
    assert!(matches!(error, PoolError::Foreign { what: "the database", .. }), "{error}");
    assert_eq!(
        cluster
            .ask("postgres", &format!("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{DATABASE}'")),
        "postgres"
    );

    let gone = Account::new(Uuid::from_u128(3), "odoo_gone", "odoo_gone_user").unwrap();
    let error = one(&pool, Order::SetLogin { account: gone, allowed: true }, 9).await.unwrap_err();
    assert!(matches!(error, PoolError::Gone { .. }), "{error}");
}

#[tokio::test]
async fn a_server_belongs_to_the_environment_that_used_it_first() {
    let cluster = server();
    one(&pool(&cluster), Order::Create(account()), 1).await.unwrap();
    let before = world(&cluster);
    let theirs = pool_of(&cluster, "production", None);
    let error = theirs.look().await.unwrap_err();
    assert!(error.to_string().contains("marked by the environment `development`"), "{error}");
    let error = one(&theirs, Order::Create(account()), 9).await.unwrap_err();
    assert!(matches!(error, PoolError::Refused(_)), "{error}");
    assert_eq!(world(&cluster), before);

    let identity = pool(&cluster).look().await.unwrap().identity;
    assert!(identity.parse::<u64>().is_ok(), "{identity} is the cluster's own");
    pool_of(&cluster, "development", Some(identity)).look().await.unwrap();
    let error = pool_of(&cluster, "development", Some("1".to_owned())).look().await.unwrap_err();
    assert!(error.to_string().contains("was bound to the cluster 1"), "{error}");

    cluster.sql("postgres", "CREATE DATABASE \"kSessions\"");
    let error = pool(&cluster).look().await.unwrap_err();
    assert!(error.to_string().contains("hosts kSessions"), "{error}");
}

#[tokio::test]
async fn the_way_must_lead_where_the_url_says() {
    let cluster = server();
    // The maintenance catalog is swapped for another under its name.
    let guard = guard("development");
    cluster.sql("template1", "CREATE DATABASE other");
    let url = admin_url(&cluster).replace("/postgres", "/other");
    assert!(guard.admit_pool(&url, "postgres", Transport::Verified).is_err());
    let target = guard.admit_pool(&url, "other", Transport::Verified).unwrap();
    Pool::new(target, &guard, None, limits()).look().await.unwrap();
}

#[test]
fn an_admin_url_names_the_maintenance_catalog_and_nothing_else() {
    let guard = guard("development");
    let why =
        |url: &str| guard.admit_pool(url, "postgres", Transport::Verified).err().map(|refusal| refusal.to_string());
    assert_eq!(why("postgres://a:hush@127.0.0.1/postgres"), None);
    assert_eq!(why("postgres://a:hush@pool.example.org/postgres?sslmode=verify-full"), None);
    for odd in [
        "postgres://a:hush@127.0.0.1/KSESSIONS",
        "postgres://a:hush@127.0.0.1/KSESSIONS_DEV",
        "postgres://a:hush@127.0.0.1/Postgres",
        "postgres://a:hush@127.0.0.1/template1",
        "postgres://a:hush@127.0.0.1/postgres?dbname=KSESSIONS",
        "postgres://a:hush@127.0.0.1/postgres?options=-c%20search_path%3Dx",
        "postgres://a:hush@pool.example.org/postgres?sslmode=require",
        "postgres://a:hush@127.0.0.1",
        "sqlite:KSESSIONS_DEV.db",
        "mysql://a:hush@127.0.0.1/postgres",
        "",
    ] {
        let refused = why(odd).unwrap_or_else(|| panic!("{odd} passes"));
        assert!(!refused.contains("hush"), "{refused}");
    }
    assert!(guard.admit_pool("postgres://a@127.0.0.1/KQUR", "KQUR", Transport::Verified).is_err());
}

#[tokio::test]
async fn a_server_that_cannot_be_used_says_why_and_in_time() {
    let cluster = server();
    let guard = guard("development");
    let look = async |url: String| {
        let target = guard.admit_pool(&url, "postgres", Transport::Verified).unwrap();
        let limits = Limits { connect: Duration::from_millis(800), statement: Duration::from_secs(1) };
        let begun = Instant::now();
        let error = Pool::new(target, &guard, None, limits).look().await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(3), "{error}");
        assert!(!format!("{error:?}").contains("wrong-password"), "{error:?}");
        match error {
            PoolError::Unreachable { cause, .. } => cause,
            other => panic!("{other}"),
        }
    };
    let url = admin_url(&cluster);
    assert_eq!(look(url.replace("hush", "wrong-password")).await, Cause::Login);
    assert_eq!(look("postgres://a:b@127.0.0.1:1/postgres".to_owned()).await, Cause::Refused);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    assert_eq!(look(format!("postgres://a:b@127.0.0.1:{port}/postgres")).await, Cause::Timeout);
    assert_eq!(look("postgres://a:b@db.invalid:1/postgres?sslmode=verify-full".to_owned()).await, Cause::Dns);

    // The least rights are needed, and said to be.
    cluster.sql("postgres", "ALTER ROLE reconcile_pool_admin NOCREATEROLE");
    let error = one(&pool(&cluster), Order::Create(account()), 1).await.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("the admin role needs CREATEDB and CREATEROLE"));
    assert_eq!(world(&cluster), "");

    let dead = pool(&cluster);
    drop(cluster);
    let orders: Vec<Order> = (0..20).map(|_| Order::Create(account())).collect();
    let begun = Instant::now();
    let answers = dead.carry_out(&orders, 1).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "the first answer holds for all");
    assert!(answers.iter().all(|answer| matches!(answer, Err(PoolError::Unreachable { .. }))));
}

#[tokio::test]
async fn a_server_that_hosts_what_reads_as_a_protected_catalog_is_refused() {
    let cluster = server();
    pool(&cluster).look().await.unwrap();
    for name in [
        "KSESSIONS ",
        "ksessions.",
        "KSES\u{200b}SIONS",
        "КSESSIONS",
        "KSESSI0NS",
        "ＫＱＵＲ",
        "KQUR_DEV\u{a0}",
        "\u{feff}KQUR",
    ] {
        cluster.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
        let error = pool(&cluster).look().await.map(drop).unwrap_err();
        let PoolError::Refused(refusal) = &error else { panic!("{}: {error}", name.escape_unicode()) };
        assert!(refusal.why.contains("belongs to an environment") && refusal.why.is_ascii(), "{refusal}");
        let refused = one(&pool(&cluster), Order::Create(account()), 9).await.unwrap_err();
        assert!(matches!(refused, PoolError::Refused(_)), "{refused}");
        cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    }
    for name in ["odoo_ksessions", "customers", "KSESSIONS_ARCHIVE_2020", "кафе"] {
        cluster.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
    }
    pool(&cluster).look().await.unwrap();
}
