//! Orders on real servers, by an admin role with the least rights, and what is there afterwards.

mod refused;

use super::*;
use crate::driver::testing::Cluster;
use crate::guard::{Policy, Transport};
use crate::secret::Secret;
use uuid::Uuid;

const ADMIN: &str = "CREATE ROLE reconcile_pool_admin LOGIN CREATEDB CREATEROLE PASSWORD 'hush'";
const DATABASE: &str = "odoo_d425c7f257b1439f_fbaa8c92";
const ROLE: &str = "odoo_d425c7f257b1439f_fbaa8c92_user";

fn server() -> Cluster {
    let cluster = Cluster::start();
    cluster.sql("postgres", ADMIN);
    cluster
}

fn admin_url(cluster: &Cluster) -> String {
    format!("postgres://reconcile_pool_admin:hush@127.0.0.1:{}/postgres", cluster.port)
}

fn guard(environment: &str) -> Guard {
    Guard::new(Policy::built_in(), environment, true).unwrap()
}

fn limits() -> Limits {
    Limits { connect: Duration::from_secs(5), statement: Duration::from_secs(20) }
}

fn pool_of(cluster: &Cluster, environment: &str, bound: Option<String>) -> Pool {
    let guard = guard(environment);
    let target = guard.admit_pool(&admin_url(cluster), "postgres", Transport::Verified).unwrap();
    Pool::new(target, &guard, bound, limits())
}

fn pool(cluster: &Cluster) -> Pool {
    pool_of(cluster, "development", None)
}

fn account() -> Account {
    Account::new(Uuid::from_u128(1), DATABASE, ROLE).unwrap()
}

async fn one(pool: &Pool, order: Order, fencing: i64) -> Result<(), PoolError> {
    pool.carry_out(&[order], fencing).await.remove(0)
}

fn standing(sight: &Sight) -> Standing {
    sight.standing(Uuid::from_u128(1), DATABASE, ROLE, "development")
}

/// Everything that an allocation makes on a server.
fn world(cluster: &Cluster) -> String {
    cluster.ask(
        "postgres",
        "SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, shobj_description(oid, 'pg_authid')
         FROM pg_roles WHERE rolname LIKE 'odoo%' OR rolname = 'reconcile_pool'
         UNION ALL SELECT datname, datallowconn, has_database_privilege('public', oid, 'CONNECT'), FALSE, FALSE,
             pg_get_userbyid(datdba)::text FROM pg_database WHERE datname LIKE 'odoo%' ORDER BY 1",
    )
}

#[tokio::test]
async fn an_allocation_is_made_once_and_belongs_to_its_role_alone() {
    let cluster = server();
    let pool = pool(&cluster);
    assert_eq!(standing(&pool.look().await.unwrap()), Standing::Nothing);
    one(&pool, Order::Create(account()), 1).await.unwrap();
    let made = world(&cluster);
    insta::assert_snapshot!(made, @r"
    odoo_d425c7f257b1439f_fbaa8c92|t|f|f|f|odoo_d425c7f257b1439f_fbaa8c92_user
    odoo_d425c7f257b1439f_fbaa8c92_user|t|f|f|f|reconcile environment=development instance=00000000-0000-0000-0000-000000000001 fencing=1
    reconcile_pool|f|f|f|f|reconcile environment=development
    ");
    one(&pool, Order::Create(account()), 1).await.unwrap();
    assert_eq!(world(&cluster), made);

    let secret = password().unwrap();
    let verifier = Verifier::of(&secret).unwrap();
    one(&pool, Order::SetPassword { account: account(), verifier }, 1).await.unwrap();
    cluster.login(DATABASE, ROLE, secret.expose(), "CREATE TABLE works (id BIGINT)").unwrap();
    let refused = cluster.login(DATABASE, ROLE, "another", "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    cluster.sql("postgres", "CREATE ROLE stranger LOGIN PASSWORD 'x'");
    let refused = cluster.login(DATABASE, "stranger", "x", "SELECT 1").unwrap_err();
    assert!(refused.contains("permission denied for database"), "{refused}");

    assert_eq!(standing(&pool.look().await.unwrap()), Standing::Ours { can_login: true });
    one(&pool, Order::SetLogin { account: account(), allowed: false }, 1).await.unwrap();
    assert_eq!(standing(&pool.look().await.unwrap()), Standing::Ours { can_login: false });
    let refused = cluster.login(DATABASE, ROLE, secret.expose(), "SELECT 1").unwrap_err();
    assert!(refused.contains("not permitted to log in"), "{refused}");

    let log = cluster.log();
    assert!(log.contains("SCRAM-SHA-256$4096:"), "statements are logged");
    assert!(!log.contains(secret.expose()), "and no password is");
}

#[tokio::test]
async fn whatever_a_crash_has_left_is_completed() {
    let cluster = server();
    let pool = pool(&cluster);
    one(&pool, Order::Create(account()), 1).await.unwrap();
    let whole = world(&cluster);
    let mark = "reconcile environment=development instance=00000000-0000-0000-0000-000000000001 fencing=1";
    let role =
        format!("CREATE ROLE {ROLE} LOGIN; COMMENT ON ROLE {ROLE} IS '{mark}'; GRANT {ROLE} TO reconcile_pool_admin");
    let database = format!("CREATE DATABASE {DATABASE} OWNER {ROLE} TEMPLATE template0 ALLOW_CONNECTIONS false");
    let closed = format!("REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC");
    let states: [&[&str]; 4] = [&[], &[&role], &[&role, &database], &[&role, &database, &closed]];
    for state in states {
        cluster.sql("postgres", &format!("DROP DATABASE {DATABASE}"));
        cluster.sql("postgres", &format!("DROP ROLE {ROLE}"));
        for statement in state {
            cluster.sql("postgres", statement);
        }
        one(&pool, Order::Create(account()), 1).await.unwrap();
        assert_eq!(world(&cluster), whole, "after {state:?}");
    }
}

#[tokio::test]
async fn a_paused_applier_changes_nothing() {
    let cluster = server();
    let pool = pool(&cluster);
    one(&pool, Order::Create(account()), 7).await.unwrap();
    let before = world(&cluster);
    let verifier = || Verifier::of(&Secret::new("late".to_owned())).unwrap();
    for late in [
        Order::Create(account()),
        Order::SetPassword { account: account(), verifier: verifier() },
        Order::SetLogin { account: account(), allowed: false },
    ] {
        let error = one(&pool, late, 6).await.unwrap_err();
        assert!(matches!(error, PoolError::Fenced { theirs: 7, ours: 6, .. }), "{error}");
    }
    assert_eq!(world(&cluster), before);
    assert!(cluster.login(DATABASE, ROLE, "late", "SELECT 1").is_err());
    one(&pool, Order::SetPassword { account: account(), verifier: verifier() }, 8).await.unwrap();
    assert!(world(&cluster).contains("fencing=8"));
    cluster.login(DATABASE, ROLE, "late", "SELECT 1").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_do_not_get_into_each_others_way() {
    let cluster = server();
    // An open session on template1 holds up nobody.
    let mut open = cluster.open("template1");
    let mut working = tokio::task::JoinSet::new();
    for task in 0..6u128 {
        let pool = pool(&cluster);
        working.spawn(async move {
            let mut orders = Vec::new();
            for instance in [task, 100] {
                let (database, role) = (format!("odoo_x_{instance}"), format!("odoo_x_{instance}_user"));
                let account = Account::new(Uuid::from_u128(instance), &database, &role).unwrap();
                orders.push(Order::Create(account.clone()));
                orders.push(Order::SetPassword { account, verifier: Verifier::of(&password().unwrap()).unwrap() });
            }
            pool.carry_out(&orders, 1).await
        });
    }
    while let Some(answers) = working.join_next().await {
        for answer in answers.unwrap() {
            answer.unwrap_or_else(|error| panic!("{error}: {:?}", error.hint()));
        }
    }
    open.kill().unwrap();
    open.wait().unwrap();
    assert_eq!(cluster.ask("postgres", "SELECT COUNT(*) FROM pg_database WHERE datname LIKE 'odoo_x_%'"), "7");
}
