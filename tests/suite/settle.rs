//! Settling: whatever happened before, two turns later there is nothing left to do; and both databases agree on a plan.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Database, World};

/// One thing that people do between two turns.
#[derive(Clone, Debug)]
enum Edit {
    /// The files say this of a session: its title and status, or nothing.
    Session(u8, Option<(u8, u8)>),
    /// The files say this of a host: its rotation, overlap, expiry and activity, or nothing.
    Host(u8, Option<(u8, bool, u8, u8)>),
    /// Somebody writes a title past us.
    Drift(u8, u8),
    /// Somebody deactivates a host past us.
    Deactivate(u8),
    Claim(u8),
    Rotate(u8),
    Revoke(u8),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let id = 1u8..5;
    let edit = prop_oneof![
        4 => (id.clone(), proptest::option::weighted(0.8, (0u8..3, 0u8..3))).prop_map(|(id, to)| Edit::Session(id, to)),
        4 => (id.clone(), proptest::option::weighted(0.8, (1u8..4, any::<bool>(), 0u8..3, 0u8..3)))
            .prop_map(|(id, to)| Edit::Host(id, to)),
        1 => (id.clone(), 0u8..3).prop_map(|(id, title)| Edit::Drift(id, title)),
        1 => id.clone().prop_map(Edit::Deactivate),
        1 => id.clone().prop_map(Edit::Claim),
        1 => id.clone().prop_map(Edit::Rotate),
        1 => id.prop_map(Edit::Revoke),
    ];
    proptest::collection::vec(edit, 1..7)
}

/// What the files say, by id.
#[derive(Default)]
struct Files {
    sessions: std::collections::BTreeMap<u8, (u8, u8)>,
    hosts: std::collections::BTreeMap<u8, (u8, bool, u8, u8)>,
}

impl Files {
    fn text(&self) -> String {
        let mut text = "sessions:\n".to_owned();
        for (id, (title, status)) in &self.sessions {
            let status = ["active", "inactive", "ended"][usize::from(*status)];
            writeln!(text, "  - {{id: {id}, title: Title {title}, status: {status}}}").unwrap();
        }
        text.push_str("hosts:\n");
        for (id, (rotation, overlaps, expiry, active)) in &self.hosts {
            let overlap = if *overlaps { ", overlap: 10m" } else { "" };
            let expiry = ["", ", expires_in: 30d", ", expires_at: null"][usize::from(*expiry)];
            let active = ["", ", active: true", ", active: false"][usize::from(*active)];
            writeln!(text, "  - {{session: {id}, rotation: {rotation}{overlap}{expiry}{active}}}").unwrap();
        }
        text
    }
}

/// Does one thing. What people do by hand may fail, but never with anything else than a plain no.
fn apply(world: &World, files: &mut Files, edit: &Edit) {
    let by_hand = |arguments: &[&str]| {
        let output = world.run(arguments);
        assert!(
            [0, 1].contains(&output.code) && !output.stderr.contains("panicked"),
            "{arguments:?}: {}",
            output.text()
        );
    };
    match edit {
        Edit::Session(id, Some(to)) => drop(files.sessions.insert(*id, *to)),
        Edit::Session(id, None) => drop(files.sessions.remove(id)),
        Edit::Host(id, Some(to)) => drop(files.hosts.insert(*id, *to)),
        Edit::Host(id, None) => drop(files.hosts.remove(id)),
        Edit::Drift(id, title) => {
            drop(world.sql(&format!("UPDATE sessions SET title = 'Title {title}' WHERE session_id = {id}")));
        }
        Edit::Deactivate(id) => {
            drop(world.sql(&format!("UPDATE host_sessions SET is_active = FALSE WHERE session_id = {id}")));
        }
        Edit::Claim(id) => by_hand(&["host", "claim", &id.to_string()]),
        Edit::Rotate(id) => by_hand(&["host", "rotate", "--session-id", &id.to_string()]),
        Edit::Revoke(id) => by_hand(&["host", "revoke", "--session-id", &id.to_string()]),
    }
    world.write("desired-state/week.yaml", &files.text());
}

/// The plan without its header, and without what names a moment.
fn plan(world: &World) -> String {
    let told = world.run(&["--plan"]).expect_code(0).stdout;
    told.split_once("\n\n").expect("a header").1.to_owned()
}

fn number(world: &World, query: &str) -> i64 {
    world.sql(query).trim().parse().unwrap_or_else(|_| panic!("{query} gives no number"))
}

/// What must hold after every turn.
fn invariants(world: &World, before: &mut (i64, i64, i64)) {
    let twice = "SELECT COUNT(*) FROM (SELECT session_id FROM host_sessions WHERE is_active GROUP BY session_id
        HAVING COUNT(*) > 1) AS twice";
    assert_eq!(number(world, twice), 0, "several active hosts for one session");
    let rows = number(world, "SELECT (SELECT COUNT(*) FROM sessions) + (SELECT COUNT(*) FROM host_sessions)");
    let rotations = number(world, "SELECT COALESCE(SUM(rotation), 0) FROM host_sessions");
    let generations = number(world, "SELECT COALESCE(SUM(generation), 0) FROM host_sessions");
    assert!(rows >= before.0, "a row was deleted");
    assert!(rotations >= before.1, "a rotation fell");
    assert!(generations >= before.2, "a generation fell");
    *before = (rows, rotations, generations);
}

fn settles(world: &World, history: &[Edit]) -> Vec<String> {
    let mut files = Files::default();
    let mut told = Vec::new();
    let mut before = (0, 0, 0);
    for edit in history {
        apply(world, &mut files, edit);
        told.push(plan(world));
        let lines = number(world, "SELECT COUNT(*) FROM reconcile_journal");
        let first = world.run(&["--once", "--quiet"]).expect_code(0).stdout;
        let changes = first.lines().filter(|line| ["  + ", "  ~ ", "  ± "].iter().any(|sign| line.starts_with(sign)));
        let journalled = number(world, "SELECT COUNT(*) FROM reconcile_journal") - lines;
        assert_eq!(
            journalled,
            i64::try_from(changes.count()).unwrap(),
            "one line in the journal for each change:\n{first}"
        );
        invariants(world, &mut before);
        let second = plan(world);
        let summary = second.lines().last().unwrap_or_default();
        assert!(
            summary.starts_with("No changes.") || summary.starts_with("Plan: nothing to change;"),
            "a second turn would change something:\n{second}\nafter {edit:?} of {history:?}"
        );
        told.push(second);
    }
    told
}

/// Cases: 12, or as many as RECONCILE_TEST_CASES says.
fn cases() -> u32 {
    std::env::var("RECONCILE_TEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(12)
}

#[test]
fn every_history_settles() {
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&edits(), |history| {
        let world = World::on(Database::Sqlite);
        world.run(&["migrate"]).expect_code(0);
        settles(&world, &history);
        Ok(())
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn both_databases_tell_the_same_plan() {
    let config = Config { cases: cases().div_ceil(4), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&edits(), |history| {
        let worlds = [World::on(Database::Sqlite), World::on(Database::Postgres)];
        let told = worlds.each_ref().map(|world| {
            world.run(&["migrate"]).expect_code(0);
            settles(world, &history)
        });
        assert_eq!(told[0], told[1], "after {history:?}");
        Ok(())
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}
