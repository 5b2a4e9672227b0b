//! Many resources at once: batches that are whole, rows that move under them, and turns that look at what has changed.

use std::fmt::Write;
use std::time::{Duration, Instant};

use reconcile::apply::{Applier, Report};
use reconcile::plan::budget::Force;
use reconcile::progress::Progress;
use reconcile::store::Authority;
use reconcile::turn::{Focus, Request};
use rustix::process::Signal;

use crate::fixture::{Database, World, both};
use crate::in_between::opened;

const LIMIT: Duration = Duration::from_secs(60);

/// Declares sessions from 1 on, in files of a thousand.
fn declare(world: &World, count: usize, title: &str) {
    for (number, ids) in (1..=count).collect::<Vec<_>>().chunks(1_000).enumerate() {
        let mut text = "sessions:\n".to_owned();
        for id in ids {
            writeln!(text, "  - id: {id}\n    title: {title} {id}\n    created_by: Noor Team").unwrap();
        }
        world.write(&format!("desired-state/{number:02}.yaml"), &text);
    }
}

fn count(world: &World, what: &str) -> usize {
    world.sql(&format!("SELECT COUNT(*) FROM {what}")).trim().parse().unwrap()
}

/// Plans one turn, lets `meanwhile` happen, and applies what was planned.
fn applied_after(world: &World, meanwhile: impl FnOnce()) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let turn = runtime.block_on(opened(world));
    let request = Request::everything();
    let (picture, approved) = runtime.block_on(async {
        let wanted = turn.read().await.unwrap();
        let picture = turn.look(Focus::ToApply(&wanted.desired), request.now).await.unwrap();
        let plan = turn.plan(&wanted, &picture, &request);
        let force = Force { reason: "a test".to_owned() };
        (picture, plan.approve(Some(force)))
    });
    meanwhile();
    let (database, context, authority) = (&turn.database, turn.by_user(None), Authority::ByHand);
    let ports = runtime.block_on(turn.ports(approved.plan(), &authority, &picture)).unwrap();
    let progress = Progress::default();
    let applier = Applier { database, authority, context, ports: &ports, progress: &progress };
    let report = runtime.block_on(applier.apply(&approved)).unwrap();
    assert_eq!(progress.changes.done(), report.applied as u64);
    report
}

#[track_caller]
fn all_but_three(report: &Report) {
    let mut conflicts: Vec<String> = report.conflicts.iter().map(ToString::to_string).collect();
    conflicts.sort();
    assert_eq!((report.applied, report.failed.len()), (1_997, 0), "{report:?}");
    assert_eq!(conflicts, ["session/1", "session/1000", "session/1999"]);
}

both! {
    fn a_kill_between_two_batches_loses_nothing_and_repeats_nothing(world) {
        world.env("RECONCILE_LEASE", "3s");
        world.run(&["migrate"]).expect_code(0);
        declare(world, 12_000, "Title");
        let running = world.spawn(&["--once"]);
        let deadline = Instant::now() + LIMIT;
        while count(world, "sessions") == 0 {
            assert!(Instant::now() < deadline, "nothing was written: {}", running.stderr());
        }
        running.signal(Signal::KILL);
        running.finish(LIMIT).expect_code(137);
        let written = count(world, "sessions");
        assert!(written == 5_000 || written == 10_000, "{written} of 12000: batches are whole");
        for table in ["reconcile_journal WHERE action = 'create'", "reconcile_applied"] {
            assert_eq!(count(world, table), written, "{table}");
        }
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains(&format!("Plan: {} to create. {written} unchanged", 12_000 - written)), "{plan}");
        let output = world.run(&["--once"]).expect_code(0);
        assert!(output.stdout.contains(&format!("Applied: {} changes", 12_000 - written)), "{}", output.text());
        for table in ["sessions", "reconcile_journal WHERE action = 'create'", "reconcile_applied"] {
            assert_eq!(count(world, table), 12_000, "{table}");
        }
        assert_eq!(world.sql("SELECT COUNT(DISTINCT name) FROM reconcile_journal").trim(), "12000");
        world.run(&["--plan", "--detailed-exitcode"]).expect_code(0);
    }

    fn rows_that_change_under_the_plan_cost_only_themselves(world) {
        world.run(&["migrate"]).expect_code(0);
        declare(world, 2_000, "Title");
        world.run(&["--once"]).expect_code(0);
        declare(world, 2_000, "Other");
        let journal = count(world, "reconcile_journal");
        let meanwhile = "UPDATE sessions SET created_by = 'Amina' WHERE session_id IN (1, 1000, 1999)";
        all_but_three(&applied_after(world, || drop(world.sql(meanwhile))));
        assert_eq!(count(world, "sessions WHERE title LIKE 'Other %'"), 1_997);
        assert_eq!(count(world, "reconcile_journal"), journal + 1_997);
        world.run(&["--once", "--force", "--reason", "meant"]).expect_code(0);
        assert_eq!(count(world, "sessions WHERE title LIKE 'Other %' AND created_by = 'Noor Team'"), 2_000);
        world.run(&["--plan", "--detailed-exitcode"]).expect_code(0);
    }

    fn sessions_that_appear_under_the_plan_cost_only_themselves(world) {
        world.run(&["migrate"]).expect_code(0);
        declare(world, 2_000, "Title");
        let row = |id: u32| format!("({id}, 'Mine', 'active', 'Amina', '2020-01-01T00:00:00+00:00', '2020-01-01T00:00:00+00:00')");
        let meanwhile = format!(
            "INSERT INTO sessions (session_id, title, status, created_by, created_at, updated_at) VALUES {}, {}, {}",
            row(1),
            row(1_000),
            row(1_999),
        );
        all_but_three(&applied_after(world, || drop(world.sql(&meanwhile))));
        assert_eq!(count(world, "reconcile_journal WHERE action = 'create'"), 1_997);
        assert_eq!(count(world, "sessions WHERE title = 'Mine'"), 3);
        world.run(&["--once"]).expect_code(0);
        assert_eq!(count(world, "sessions WHERE title LIKE 'Title %'"), 2_000);
        world.run(&["--plan", "--detailed-exitcode"]).expect_code(0);
    }

    /// What stands as declared is noted as applied, so that a later change in the database is drift, in whichever turn
    /// the declaration came.
    fn what_is_found_as_declared_is_adopted(world) {
        world.env("RECONCILE_INTERVAL", "1h");
        world.run(&["migrate"]).expect_code(0);
        declare(world, 1_200, "Title");
        world.run(&["--once"]).expect_code(0);
        world.sql("DELETE FROM reconcile_applied");
        let mut daemon = world.spawn(&["-v"]);
        daemon.wait_for("watching desired-state", LIMIT);
        assert_eq!(count(world, "reconcile_applied"), 1_200);
        let text = world.read("desired-state/01.yaml");
        let declared = text.replace("title: Title 1200\n", "title: Title 1200\n    status: active\n");
        let digest = || world.sql("SELECT digest FROM reconcile_applied WHERE name = '1200'");
        let before = digest();
        world.write("desired-state/01.yaml", &declared);
        let deadline = Instant::now() + LIMIT;
        while digest() == before {
            assert!(Instant::now() < deadline, "the new wish was not noted: {}", daemon.stderr());
        }
        daemon.signal(Signal::TERM);
        daemon.finish(LIMIT).expect_code(0);
        world.sql("UPDATE sessions SET status = 'ended' WHERE session_id IN (7, 1200)");
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(5).stdout;
        let line = |id: &str| plan.lines().find(|line| line.contains(&format!("session/{id} "))).map(str::to_owned);
        // The file says nothing of the status of 7: nobody minds.
        assert_eq!(line("7"), None, "{plan}");
        assert!(line("1200").is_some_and(|line| line.ends_with("drift")), "{plan}");
    }
}

/// On SQLite nobody tells the daemon of changes in the database, so that it shows what a turn has looked at.
#[test]
fn a_file_costs_itself_and_everything_is_compared_later() {
    let mut world = World::on(Database::Sqlite);
    world.env("RECONCILE_INTERVAL", "1h");
    declare(&world, 3_000, "Title");
    let mut daemon = world.spawn(&["-v"]);
    daemon.wait_for("watching desired-state", LIMIT);
    world.sql("UPDATE sessions SET title = 'drift' WHERE session_id = 2500");
    let text = world.read("desired-state/00.yaml");
    let text =
        text.replace("title: Title 7\n", "title: Seven\n").replace("  - id: 8\n    title: Title 8\n", "  - id: 5008\n");
    world.write("desired-state/00.yaml", &text);
    let titles = || world.sql("SELECT title FROM sessions WHERE session_id IN (7, 8, 2500, 5008) ORDER BY session_id");
    let wait = |wanted: &str| {
        let deadline = Instant::now() + LIMIT;
        while titles() != wanted {
            assert!(Instant::now() < deadline, "{} is not {wanted}", titles());
        }
    };
    wait("Seven\nTitle 8\ndrift\nSession 5008\n");
    daemon.wait_for("Applied: 2 changes. 2998 unchanged, 1 unmanaged.", LIMIT);
    daemon.signal(Signal::HUP);
    wait("Seven\nTitle 8\nTitle 2500\nSession 5008\n");
    daemon.signal(Signal::TERM);
    daemon.finish(LIMIT).expect_code(0);
    let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(0).stdout;
    assert!(plan.contains("3000 unchanged, 1 unmanaged"), "{plan}");
}
