//! How long allocating takes beside a plain loop of the same statements, and how servers are served side by side:
//! `cargo bench --bench allocation`.
//!
//! `cargo bench --bench allocation -- 100` takes another number of instances. Each figure is the median of interleaved
//! runs. The product's figure is the whole program, `--once`, from the files to what it has recorded: role, mark,
//! membership, database, revocation, opening, password and hand-off of every instance.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that fails should stop at once")]

#[path = "../src/driver/testing.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod testing;

use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testing::Cluster;

const RUNS: usize = 5;
const SERVERS: u8 = 4;
const ADMIN: &str = "CREATE ROLE reconcile_pool_admin LOGIN CREATEDB CREATEROLE PASSWORD 'bench'";

fn main() {
    let asked = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let count: usize = asked.unwrap_or(40);
    let clusters: Vec<Cluster> = (0..SERVERS).map(Cluster::start_as).collect();
    for cluster in &clusters {
        cluster.sql("postgres", ADMIN);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut bare, mut one, mut four) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        bare.push(runtime.block_on(plain_loop(&clusters[0], run, count)));
        one.push(allocate(&clusters[..1], 2 * run, count));
        four.push(allocate(&clusters, 2 * run + 1, count));
        clusters.iter().for_each(forget_everything);
    }
    let [bare, one, four] = [bare, one, four].map(median);
    let ratio = |took: Duration| took.as_secs_f64() / bare.as_secs_f64();
    println!("{count} instances, PostgreSQL without fsync, median of {RUNS} runs\n");
    println!("{:<46}{:>9}{:>9}", "work", "ms", "ratio");
    let row = |work: &str, took: Duration| println!("{work:<46}{:>9}{:>8.2}x", took.as_millis(), ratio(took));
    row("a plain loop of the same statements", bare);
    row("--once, one server", one);
    row(&format!("--once, {SERVERS} servers side by side"), four);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Databases of the last round, so that each begins on an empty server.
fn forget_everything(cluster: &Cluster) {
    let databases = cluster.ask("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'odoo%'");
    for database in databases.lines() {
        cluster.sql("postgres", &format!("DROP DATABASE {database}"));
        cluster.sql("postgres", &format!("DROP ROLE {database}_user"));
    }
}

/// The least that an allocation must do on the server, over one connection, with as many commits.
async fn plain_loop(cluster: &Cluster, run: usize, count: usize) -> Duration {
    let url = format!("postgres://reconcile_pool_admin:bench@127.0.0.1:{}/postgres", cluster.port);
    #[expect(clippy::disallowed_methods, reason = "this is what the product is compared with")]
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let started = Instant::now();
    for number in 0..count {
        let name = format!("odoo_bare_{run}_{number}");
        for statements in [
            format!(
                "CREATE ROLE {name}_user LOGIN; COMMENT ON ROLE {name}_user IS 'a mark of ours';
                 GRANT {name}_user TO CURRENT_USER"
            ),
            format!("CREATE DATABASE {name} OWNER {name}_user TEMPLATE template0 ALLOW_CONNECTIONS false"),
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"),
            format!("ALTER ROLE {name}_user PASSWORD 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy'"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut conn).await.unwrap();
        }
    }
    let took = started.elapsed();
    conn.close().await.unwrap();
    took
}

/// The whole program, with `count` instances over these servers.
fn allocate(clusters: &[Cluster], run: usize, count: usize) -> Duration {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("desired-state");
    std::fs::create_dir(&state).unwrap();
    let (mut files, mut settings) = ("servers:\n".to_owned(), String::new());
    for (number, cluster) in clusters.iter().enumerate() {
        let url = format!("postgres://reconcile_pool_admin:bench@127.0.0.1:{}/postgres\n", cluster.port);
        secret(&home.path().join(format!("pool-{number}.url")), &url);
        writeln!(settings, "[pools.pool-{number}]\nurl_file = \"pool-{number}.url\"").unwrap();
        writeln!(
            files,
            "  - {{name: pool-{number}, host: 127.0.0.1, port: {}, max_instances: {count}, admin: pool-{number}}}",
            cluster.port
        )
        .unwrap();
    }
    files.push_str("instances:\n");
    for number in 0..count {
        writeln!(
            files,
            "  - {{id: {number:08x}-0000-4000-8000-{run:012x}, customer: {run:08x}-0000-4000-8000-000000000000, name: i}}"
        )
        .unwrap();
    }
    std::fs::write(state.join("all.yaml"), files).unwrap();
    std::fs::write(home.path().join("reconcile.toml"), settings).unwrap();
    let started = Instant::now();
    let ended = Command::new(env!("CARGO_BIN_EXE_reconcile"))
        .args(["--once", "--quiet"])
        .current_dir(home.path())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status()
        .expect("the program starts");
    let took = started.elapsed();
    assert!(ended.success(), "--once failed");
    took
}

/// A file that only its owner may read.
fn secret(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
