//! Rows that are read by the part are the rows that are read one by one.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use proptest::prelude::*;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::super::connect::Database;
use super::super::scan::{Cells, Column, Selection, scan};
use super::super::sql::{Conn, execute, script};
use super::open;

const ALL: Selection = Selection {
    table: "things",
    columns: &[Column::Int("id"), Column::Text("title"), Column::Time("starts_at")],
    filter: "TRUE",
};

/// What a row gives: each value, or why it cannot be read.
type Found = (Result<i64, String>, Result<Vec<u8>, String>, Result<Option<i64>, String>);

fn found(cells: &mut Cells<'_>) -> Found {
    let why = |error: sqlx::Error| error.to_string();
    let (id, title) = (cells.int().map_err(why), cells.text().map(<[u8]>::to_vec).map_err(why));
    (id, title, cells.micros().map_err(why))
}

/// In the order of their ids, each as often as it came.
async fn by_the_part(conn: &mut Conn, selection: &Selection) -> Vec<Found> {
    let mut rows = Vec::new();
    scan(conn, selection, |cells| {
        rows.push(found(cells));
        Ok(())
    })
    .await
    .unwrap();
    rows.sort();
    rows
}

async fn one_by_one(conn: &mut Conn, select: &str) -> Vec<Found> {
    let Conn::Sqlite(conn) = conn else { panic!("this is about SQLite") };
    let mut stream = sqlx::query(AssertSqlSafe(select.to_owned())).fetch(conn.get().unwrap());
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await.unwrap() {
        rows.push(found(&mut Cells::Stepped(&row, 0)));
    }
    rows.sort();
    rows
}

fn file() -> (TempDir, Database) {
    let directory = TempDir::new().unwrap();
    let database = open("development", &format!("sqlite:{}/KSESSIONS_DEV.db", directory.path().display()));
    (directory, database)
}

async fn run(conn: &mut Conn, sql: &str) {
    script(conn, AssertSqlSafe(sql.to_owned())).await.unwrap();
}

/// Makes `things` as `table` says, with this many of them.
async fn make(conn: &mut Conn, table: &str, count: u32) {
    let rows = format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})");
    let time = "CASE WHEN n % 2 THEN '2026-12-01T18:00:00+00:00' END";
    run(conn, &format!("{table}; INSERT INTO stored {rows} SELECT n, 'Title ' || n, {time} FROM n")).await;
}

/// A value of any type, as SQLite spells it.
fn odd() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("NULL".to_owned()),
        any::<i64>().prop_map(|number| format!("CAST({number} AS INTEGER)")),
        Just("2460000.5".to_owned()),
        proptest::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| blob(&bytes)),
        proptest::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| format!("CAST({} AS TEXT)", blob(&bytes))),
        text("[\u{0}\u{1d}\u{1e}\u{1f}a]{0,5}"),
    ]
}

fn text(pattern: &'static str) -> impl Strategy<Value = String> {
    pattern.prop_map(|text| format!("CAST({} AS TEXT)", blob(text.as_bytes())))
}

fn blob(bytes: &[u8]) -> String {
    format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn title() -> impl Strategy<Value = String> {
    prop_oneof![text("[a-zA-Z ]{0,20}"), text("[aé猫🐈\u{0}'\"\\\\]{0,9}"), Just(format!("'{}'", "long ".repeat(300)))]
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("NULL".to_owned()),
        text("20[0-9]{2}-(0[1-9]|1[0-2])-[0-2][1-8]T(0[0-9]|1[0-9]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{6})?\\+00:00"),
    ]
}

fn others_time() -> impl Strategy<Value = String> {
    let spellings = ["2026-12-01 18:00:00", "2026-12-01T18:00:00Z", "2026-12-01T18:00+03:00", "2026-13-01", "soon"];
    proptest::sample::select(spellings.to_vec()).prop_map(|text| format!("'{text}'"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Ids are anywhere; the columns have no types, so that they hold whatever is put into them.
    #[test]
    fn a_part_gives_what_its_rows_give(
        mut rows in proptest::collection::btree_map(any::<i64>(), (title(), time()), 0..600),
        odd_titles in proptest::collection::vec((any::<prop::sample::Index>(), odd()), 0..3),
        odd_times in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![odd(), others_time()]), 0..3),
    ) {
        let ids: Vec<i64> = rows.keys().copied().collect();
        for (index, value) in odd_titles.into_iter().filter(|_| !ids.is_empty()) {
            rows.entry(*index.get(&ids)).and_modify(|row| row.0 = value);
        }
        for (index, value) in odd_times.into_iter().filter(|_| !ids.is_empty()) {
            rows.entry(*index.get(&ids)).and_modify(|row| row.1 = value);
        }
        let (read, expected) = runtime().block_on(both_ways(&rows));
        prop_assert_eq!(read, expected);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn both_ways(rows: &BTreeMap<i64, (String, String)>) -> (Vec<Found>, Vec<Found>) {
    let (_directory, database) = file();
    let mut conn = database.create().await.unwrap();
    run(&mut conn, "CREATE TABLE things (id INTEGER PRIMARY KEY, title, starts_at)").await;
    let rows: Vec<String> = rows.iter().map(|(id, (title, time))| format!("({id}, {title}, {time})")).collect();
    if !rows.is_empty() {
        run(&mut conn, &format!("INSERT INTO things VALUES {}", rows.join(", "))).await;
    }
    let read = by_the_part(&mut conn, &ALL).await;
    (read, one_by_one(&mut conn, "SELECT id, title, starts_at FROM things").await)
}

#[tokio::test]
async fn every_row_comes_once_whatever_the_number_of_parts() {
    let (_directory, database) = file();
    let mut conn = database.create().await.unwrap();
    make(&mut conn, "CREATE TABLE stored (id INTEGER PRIMARY KEY, title TEXT, starts_at TEXT)", 1_001).await;
    run(&mut conn, "CREATE INDEX stored_title ON stored (title)").await;
    for (filter, expected) in [("TRUE", 1_001), ("id <= 1000", 1_000), ("id <= 250", 250), ("title = 'Title 7'", 1)] {
        let read = by_the_part(&mut conn, &Selection { table: "stored", filter, ..ALL }).await;
        assert_eq!(read, one_by_one(&mut conn, &format!("SELECT * FROM stored WHERE {filter}")).await);
        assert_eq!(read.len(), expected, "{filter}");
    }
    run(&mut conn, "DELETE FROM stored").await;
    assert_eq!(by_the_part(&mut conn, &Selection { table: "stored", ..ALL }).await, []);
}

#[tokio::test]
async fn tables_without_row_numbers_are_read_all_the_same() {
    for table in [
        "CREATE TABLE stored (id INTEGER PRIMARY KEY, title TEXT, starts_at TEXT) WITHOUT ROWID;
         CREATE VIEW things AS SELECT * FROM stored",
        "CREATE TABLE things (id INTEGER PRIMARY KEY, title TEXT, starts_at TEXT) WITHOUT ROWID;
         CREATE VIEW stored AS SELECT * FROM things;
         CREATE TRIGGER storing INSTEAD OF INSERT ON stored
         BEGIN INSERT INTO things VALUES (NEW.id, NEW.title, NEW.starts_at); END",
        "CREATE TABLE things (id INTEGER PRIMARY KEY, title TEXT, starts_at TEXT, RowId TEXT);
         CREATE VIEW stored AS SELECT id, title, starts_at FROM things;
         CREATE TRIGGER storing INSTEAD OF INSERT ON stored
         BEGIN INSERT INTO things VALUES (NEW.id, NEW.title, NEW.starts_at, 'same'); END",
    ] {
        let (_directory, database) = file();
        let mut conn = database.create().await.unwrap();
        make(&mut conn, table, 600).await;
        let read = by_the_part(&mut conn, &ALL).await;
        assert_eq!(read, one_by_one(&mut conn, "SELECT id, title, starts_at FROM things").await, "{table}");
        assert_eq!(read.len(), 600, "{table}");
    }
}

/// Far more rows than are under way at one time, and somebody changes all of them after the first.
#[tokio::test]
async fn all_parts_are_of_one_state() {
    let (_directory, database) = file();
    let (mut conn, mut other) = (database.create().await.unwrap(), database.create().await.unwrap());
    make(&mut conn, "CREATE TABLE stored (id INTEGER PRIMARY KEY, title TEXT, starts_at TEXT)", 60_000).await;
    // Two parts that are read once more, row by row, after all others.
    run(&mut conn, "UPDATE stored SET starts_at = '2026-12-01 18:00:00' WHERE id IN (1, 59999)").await;
    execute!(&mut conn, "BEGIN").unwrap();
    let (mut titles, mut is_changed) = (BTreeSet::new(), false);
    let each = |cells: &mut Cells<'_>| {
        if !is_changed {
            is_changed = true;
            std::thread::scope(|scope| {
                let change = run(&mut other, "UPDATE stored SET title = 'Other'; DELETE FROM stored WHERE id > 30000");
                scope.spawn(|| runtime().block_on(change)).join().unwrap();
            });
        }
        titles.insert(String::from_utf8(found(cells).1.unwrap()).unwrap());
        Ok(())
    };
    scan(&mut conn, &Selection { table: "stored", ..ALL }, each).await.unwrap();
    assert_eq!(titles, (1..=60_000).map(|number| format!("Title {number}")).collect());
    execute!(&mut conn, "COMMIT").unwrap();
    assert_eq!(by_the_part(&mut conn, &Selection { table: "stored", ..ALL }).await.len(), 30_000, "it was changed");
}
