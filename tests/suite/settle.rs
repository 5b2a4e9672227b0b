//! Settling: whatever happened before, one turn later there is nothing left to do; and both databases agree on a plan.
//!
//! A few histories are the same in every run; `tests/harm settle` goes through others for as long as one likes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::DateTime;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::fixture::harm::Harm;
use crate::fixture::{Database, World, both};
use crate::preview::rows;

/// Histories on SQLite, and those that both databases go through, where nothing else is asked for.
const FEW: u32 = 20;
const FEW_ON_BOTH: u32 = 4;
/// From which they are made then.
const SEED: u64 = 215;

/// What is done past us, in the database of session `ID`.
const PAST_US: &[&str] = &[
    "UPDATE sessions SET title = 'Drift', status = 'inactive' WHERE session_id = ID",
    "UPDATE sessions SET expires_at = '2020-01-01T00:00:00Z' WHERE session_id = ID",
    "UPDATE host_sessions SET is_active = FALSE WHERE session_id = ID",
    "UPDATE host_sessions SET is_active = TRUE WHERE session_id = ID",
    "UPDATE host_sessions SET expires_at = '2020-01-01T00:00:00Z' WHERE session_id = ID",
    "UPDATE host_sessions SET rotation = rotation + 2 WHERE session_id = ID",
    // Time passes: the schedule is long due.
    "UPDATE reconcile_handoffs SET minted_at = '2020-01-01T00:00:00Z' WHERE name = 'ID'",
    "DELETE FROM host_sessions WHERE session_id = ID",
    "DELETE FROM host_sessions WHERE session_id = ID; DELETE FROM sessions WHERE session_id = ID",
    // An older tool was here: it knew no index.
    "DROP INDEX IF EXISTS host_sessions_one_active;
     INSERT INTO host_sessions (session_id, host_guid_hash, created_at, created_by)
     SELECT session_id, 'legacy', '2020-01-01T00:00:00Z', 'older tool' FROM sessions WHERE session_id = ID",
];

/// What is done by hand.
const BY_HAND: &[&[&str]] = &[
    &["host", "claim", "ID"],
    &["host", "claim", "ID"],
    &["host", "rotate", "--session-id", "ID"],
    &["host", "revoke", "--session-id", "ID"],
    &["host", "create", "--session-id", "ID"],
    &["host", "create", "--session-id", "ID", "--force-new"],
    &["host", "consolidate"],
    &["suspend", "host/ID", "--reason", "Exams"],
    &["suspend", "session/ID", "--reason", "Exams"],
    &["resume", "host/ID", "--reason", "Over"],
    &["resume", "session/ID", "--reason", "Over"],
];

/// One thing that happens between two turns.
#[derive(Clone, Debug)]
enum Edit {
    /// The files say this of a session, or nothing any more.
    Session(u8, Option<SessionLines>),
    Host(u8, Option<HostLines>),
    PastUs(u8, prop::sample::Index),
    ByHand(u8, prop::sample::Index),
    /// All that waited in the hand-off is gone.
    Loss,
}

#[derive(Clone, Debug)]
struct SessionLines {
    title: u8,
    status: u8,
    protect: bool,
}

#[derive(Clone, Debug)]
struct HostLines {
    rotation: u8,
    expiry: u8,
    active: u8,
    overlap: bool,
    creates: bool,
    scheduled: bool,
    protect: bool,
}

fn histories() -> impl Strategy<Value = Vec<Edit>> {
    let id = prop_oneof![4 => Just(1u8), 2 => Just(2u8), 1 => Just(3u8)];
    let rarely = prop::bool::weighted(0.1);
    let session = (0u8..3, 0u8..3, rarely).prop_map(|(title, status, protect)| SessionLines { title, status, protect });
    // Mostly the number stays, so that the other fields have their say.
    let rotation = prop_oneof![6 => Just(1u8), 2 => Just(2u8), 1 => Just(3u8)];
    let host = (rotation, 0u8..3, 0u8..3, any::<bool>(), any::<bool>(), any::<bool>(), rarely).prop_map(
        |(rotation, expiry, active, overlap, creates, scheduled, protect)| HostLines {
            rotation,
            expiry,
            active,
            overlap,
            creates,
            scheduled,
            protect,
        },
    );
    let edit = prop_oneof![
        4 => (id.clone(), prop::option::weighted(0.85, session)).prop_map(|(id, lines)| Edit::Session(id, lines)),
        5 => (id.clone(), prop::option::weighted(0.85, host)).prop_map(|(id, lines)| Edit::Host(id, lines)),
        3 => (id.clone(), any::<prop::sample::Index>()).prop_map(|(id, which)| Edit::PastUs(id, which)),
        3 => (id, any::<prop::sample::Index>()).prop_map(|(id, which)| Edit::ByHand(id, which)),
        1 => Just(Edit::Loss),
    ];
    prop::collection::vec(edit, 4..10)
}

/// What the files say, by session.
struct Files {
    sessions: BTreeMap<u8, SessionLines>,
    hosts: BTreeMap<u8, HostLines>,
}

impl Files {
    /// Two sessions, of which the first has a host.
    fn first() -> Self {
        let session = SessionLines { title: 0, status: 0, protect: false };
        let host = HostLines {
            rotation: 1,
            expiry: 1,
            active: 0,
            overlap: false,
            creates: false,
            scheduled: true,
            protect: false,
        };
        Self { sessions: [(1, session.clone()), (2, session)].into(), hosts: [(1, host)].into() }
    }

    fn text(&self) -> String {
        let mut text = "sessions:\n".to_owned();
        for (id, SessionLines { title, status, protect }) in &self.sessions {
            let status = ["active", "inactive", "ended"][usize::from(*status)];
            writeln!(text, "  - {{id: {id}, title: Title {title}, status: {status}, protect: {protect}}}").unwrap();
        }
        text.push_str("hosts:\n");
        for (id, lines) in &self.hosts {
            let HostLines { rotation, expiry, active, overlap, creates, scheduled, protect } = lines;
            let said = |said: bool, line: &'static str| if said { line } else { "" };
            let expiry = ["", ", expires_in: 30d", ", expires_at: null"][usize::from(*expiry)];
            let active = ["", ", active: true", ", active: false"][usize::from(*active)];
            let overlap = said(*overlap, ", overlap: 10m");
            let creates = said(*creates, ", missing_session: create");
            let every = said(*scheduled, ", rotate_every: 1d");
            let protect = said(*protect, ", protect: true");
            writeln!(
                text,
                "  - {{session: {id}, rotation: {rotation}{expiry}{active}{overlap}{creates}{every}{protect}}}"
            )
            .unwrap();
        }
        text
    }
}

/// Lets one thing happen.
fn apply(world: &World, files: &mut Files, edit: &Edit) {
    match edit {
        Edit::Session(id, Some(lines)) => drop(files.sessions.insert(*id, lines.clone())),
        Edit::Session(id, None) => drop(files.sessions.remove(id)),
        Edit::Host(id, Some(lines)) => drop(files.hosts.insert(*id, lines.clone())),
        Edit::Host(id, None) => drop(files.hosts.remove(id)),
        // That rows and indexes forbid what somebody tries is no trouble of ours.
        Edit::PastUs(id, which) => drop(world.try_sql(&which.get(PAST_US).replace("ID", &id.to_string()))),
        Edit::ByHand(id, which) => {
            let before = (counts(world), wrong(world));
            let words: Vec<String> =
                which.get(BY_HAND).iter().map(|word| word.replace("ID", &id.to_string())).collect();
            let output = world.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let plain = [0, 1].contains(&output.code) && !output.stderr.contains("panicked");
            assert!(plain, "{words:?}: {}", output.text());
            nothing_fell(&before.0, &counts(world));
            nothing_went_wrong(&before.1, &wrong(world));
        }
        Edit::Loss => drop(world.sh("rm -f .reconcile/handoff/*").expect_code(0)),
    }
    world.write("desired-state/week.yaml", &files.text());
}

fn number(world: &World, query: &str) -> i64 {
    world.sql(query).trim().parse().unwrap_or_else(|_| panic!("{query} gives no number"))
}

/// What only ever rises: rows of both tables, and every row's rotation and generation.
fn counts(world: &World) -> Vec<i64> {
    let all = "SELECT (SELECT COUNT(*) FROM sessions), COUNT(*), COALESCE(SUM(rotation), 0),
        COALESCE(SUM(generation), 0) FROM host_sessions";
    world.sql(all).trim().split('|').map(|count| count.parse().unwrap()).collect()
}

#[track_caller]
fn nothing_fell(before: &[i64], after: &[i64]) {
    let kept = before.iter().zip(after).all(|(before, after)| before <= after);
    assert!(kept, "sessions, hosts, rotations, generations: {before:?}, then {after:?}");
}

/// What older tools and statements past us can leave, and we never make: sessions with several active hosts, and
/// revoked hosts that are active.
fn wrong(world: &World) -> Vec<String> {
    let several = "SELECT session_id FROM host_sessions WHERE is_active GROUP BY session_id HAVING COUNT(*) > 1";
    let revoked = "SELECT -host_session_id FROM host_sessions WHERE is_active AND revoked_at IS NOT NULL";
    world.sql(&format!("{several} UNION ALL {revoked}")).lines().map(str::to_owned).collect()
}

#[track_caller]
fn nothing_went_wrong(before: &[String], after: &[String]) {
    let new: Vec<&String> = after.iter().filter(|one| !before.contains(one)).collect();
    assert!(
        new.is_empty(),
        "sessions with several active hosts, or (below zero) active hosts that are revoked: {new:?}"
    );
}

/// The plan without its header.
fn plan(world: &World) -> String {
    let told = world.run(&["--plan", "--all"]).expect_code(0).stdout;
    told.split_once("\n\n").expect("a header").1.to_owned()
}

/// One turn, which must make what was planned so, journal it, and break nothing.
fn turn(world: &World) {
    let (counted, were_wrong) = (counts(world), wrong(world));
    let lines = number(world, "SELECT COUNT(*) FROM reconcile_journal");
    let told = world.run(&["--once", "--quiet"]).expect_code(0).stdout;
    let is_change = |line: &&str| ["  + ", "  ~ ", "  ± ", "  > "].iter().any(|sign| line.starts_with(sign));
    let sessions_beside = told.matches("will be created: \"Auto-Generated Session").count();
    let changes = told.lines().filter(is_change).count() + sessions_beside;
    let journalled = number(world, "SELECT COUNT(*) FROM reconcile_journal") - lines;
    assert_eq!(journalled, i64::try_from(changes).unwrap(), "one line in the journal for each change:\n{told}");
    nothing_fell(&counted, &counts(world));
    nothing_went_wrong(&were_wrong, &wrong(world));
}

/// Lets a history happen, one turn after each of its events. Gives every plan.
fn settle(world: &World, history: &[Edit]) -> Vec<String> {
    world.run(&["migrate"]).expect_code(0);
    let mut files = Files::first();
    world.write("desired-state/week.yaml", &files.text());
    turn(world);
    let mut plans = Vec::new();
    for edit in history {
        apply(world, &mut files, edit);
        plans.push(plan(world));
        turn(world);
        let second = plan(world);
        let summary = second.lines().last().unwrap_or_default();
        assert!(
            summary.starts_with("No changes.") || summary.starts_with("Plan: nothing to change;"),
            "a second turn would change something:\n{second}\nafter {edit:?} of {history:?}"
        );
        plans.push(second);
    }
    let state = ["sessions", "host_sessions", "reconcile_handoffs", "reconcile_applied", "reconcile_journal"];
    let standing = || state.map(|table| rows(world, table));
    let before = standing();
    turn(world);
    assert_eq!(standing(), before, "a second turn wrote something");
    plans
}

/// A plan as it is on any database: where it names a moment, that moment and the line breaks around it may differ.
fn timeless(plan: &str) -> String {
    let is_time = |word: &str| DateTime::parse_from_rfc3339(word.trim_end_matches([',', ';', ':'])).is_ok();
    if !plan.split_whitespace().any(is_time) {
        return plan.to_owned();
    }
    let word = |word: &str| if is_time(word) { "[TIME] ".to_owned() } else { format!("{word} ") };
    plan.split_whitespace().map(word).collect()
}

fn on_many(few: u32, story: impl Fn(&[Edit])) {
    let mut harm = Harm::of("a history settles", few);
    let first = if harm.is_long() { harm.seed() } else { SEED };
    while harm.again() {
        let seed = first.wrapping_add(harm.rounds.into());
        let rng_seed = RngSeed::Fixed(seed);
        let config =
            Config { cases: 1, rng_seed, failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
        let outcome = TestRunner::new(config).run(&histories(), |history| {
            story(&history);
            Ok(())
        });
        outcome.unwrap_or_else(|why| panic!("with the seed {seed}: {why}"));
    }
}

both! {
    fn a_moment_in_another_spelling_is_the_same_moment(world) {
        let week = "sessions: [{id: 1, title: One, expires_at: 2026-12-31T00:00:00Z}]\n";
        world.write("desired-state/week.yaml", week);
        world.run(&["migrate"]).expect_code(0);
        turn(world);
        for spelling in ["2026-12-31 01:00:00+01:00", "2026-12-30T23:30:00.000-00:30"] {
            world.sql(&format!("UPDATE sessions SET title = 'Drift', expires_at = '{spelling}'"));
            turn(world);
            assert_eq!(world.sql("SELECT title, expires_at FROM sessions"), "One|2026-12-31T00:00:00Z\n", "{spelling}");
        }
        // And a row that really moved under the plan is planned again.
        world.sql("UPDATE sessions SET expires_at = '2026-12-30T00:00:00Z'");
        turn(world);
        assert_eq!(world.sql("SELECT title, expires_at FROM sessions"), "One|2026-12-31T00:00:00Z\n");
    }
}

#[test]
fn every_history_settles() {
    on_many(FEW, |history| drop(settle(&World::on(Database::Sqlite), history)));
}

#[test]
fn every_history_settles_on_postgres_with_the_same_plans() {
    on_many(FEW_ON_BOTH, |history| {
        let [sqlite, postgres] = [Database::Sqlite, Database::Postgres].map(|on| settle(&World::on(on), history));
        for (sqlite, postgres) in sqlite.iter().zip(&postgres) {
            assert_eq!(timeless(sqlite), timeless(postgres), "after {history:?}");
        }
    });
}
