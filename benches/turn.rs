//! How long a turn takes beside the bare work that no tool could avoid: `cargo bench`.
//!
//! `cargo bench -- 100000` takes another number of sessions. Each figure is the median of interleaved runs of the whole
//! program, on SQLite; the last column is the ratio to plain statements over the same rows in one connection.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that fails should stop at once")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{Connection, Row, SqliteConnection};

const RUNS: usize = 5;
const PER_FILE: usize = 1_000;

fn main() {
    let asked = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let count: usize = asked.unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut times = Times::default();
    for _ in 0..RUNS {
        let home = tempfile::tempdir().unwrap();
        write_state(home.path(), count);
        times.plan_new.push(reconcile(home.path(), &["--plan"]));
        times.once.push(reconcile(home.path(), &["--once", "--quiet"]));
        times.plan_same.push(reconcile(home.path(), &["--plan"]));
        let bare = home.path().join("bare.db");
        times.insert.push(runtime.block_on(insert(&bare, count)));
        times.select.push(runtime.block_on(select(&home.path().join(".reconcile/KSESSIONS_DEV.db"), count)));
    }
    times.print(count);
}

#[derive(Default)]
struct Times {
    plan_new: Vec<Duration>,
    plan_same: Vec<Duration>,
    once: Vec<Duration>,
    insert: Vec<Duration>,
    select: Vec<Duration>,
}

impl Times {
    fn print(self, count: usize) {
        let [plan_new, plan_same, once, insert, select] =
            [self.plan_new, self.plan_same, self.once, self.insert, self.select].map(median);
        let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
        println!("{count} sessions in files of {PER_FILE}, SQLite, median of {RUNS} runs\n");
        println!("{:<34}{:>9}{:>9}", "work", "ms", "ratio");
        let row = |work: &str, took: Duration, ratio: f64| println!("{work:<34}{:>9}{ratio:>8.1}x", took.as_millis());
        row("SELECT of the same rows", select, 1.0);
        row("--plan, everything new", plan_new, ratio(plan_new, select));
        row("--plan, everything in sync", plan_same, ratio(plan_same, select));
        row("INSERT of the same rows, durable", insert, 1.0);
        row("--once, everything new", once, ratio(once, insert));
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn write_state(home: &Path, count: usize) {
    let state = home.join("desired-state");
    std::fs::create_dir(&state).unwrap();
    for (number, ids) in (1..=count).collect::<Vec<_>>().chunks(PER_FILE).enumerate() {
        let mut text = "sessions:\n".to_owned();
        for id in ids {
            writeln!(text, "  - id: {id}\n    title: Session number {id}\n    status: active\n    created_by: Bench")
                .unwrap();
        }
        std::fs::write(state.join(format!("{number:04}.yaml")), text).unwrap();
    }
}

fn reconcile(home: &Path, arguments: &[&str]) -> Duration {
    let started = Instant::now();
    let ended = Command::new(env!("CARGO_BIN_EXE_reconcile"))
        .args(arguments)
        .current_dir(home)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status()
        .expect("the program starts");
    assert!(ended.success(), "{arguments:?} failed");
    started.elapsed()
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    #[expect(clippy::disallowed_methods, reason = "this is what the product is compared with")]
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// The least that `--once` must do: the same rows, one statement each, in one durable transaction.
async fn insert(path: &Path, count: usize) -> Duration {
    let mut conn = connect(path).await;
    let table = "CREATE TABLE sessions (session_id INTEGER PRIMARY KEY, title TEXT NOT NULL, status TEXT NOT NULL,
        created_by TEXT NOT NULL, starts_at TEXT, expires_at TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)";
    sqlx::query(table).execute(&mut conn).await.unwrap();
    let started = Instant::now();
    let mut tx = conn.begin().await.unwrap();
    for id in 1..=i64::try_from(count).unwrap() {
        let row = "INSERT INTO sessions VALUES ($1, $2, 'active', 'Bench', NULL, NULL, '2026-01-01', '2026-01-01')";
        sqlx::query(row).bind(id).bind(format!("Session number {id}")).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    started.elapsed()
}

/// The least that `--plan` must do: read the managed columns of every row.
async fn select(path: &Path, count: usize) -> Duration {
    let mut conn = connect(path).await;
    let started = Instant::now();
    let columns =
        "SELECT session_id, title, status, created_by, starts_at, expires_at FROM sessions ORDER BY session_id";
    let rows = sqlx::query(columns).fetch_all(&mut conn).await.unwrap();
    let titles: usize = rows.iter().map(|row| row.get::<String, _>("title").len()).sum();
    assert!(rows.len() == count && titles > count);
    started.elapsed()
}
