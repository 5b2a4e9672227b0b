//! Several processes at once: one active row, one reader, one applier, and everybody ends in good order.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::fixture::process::{Output, Running};
use crate::fixture::{World, both};

const LIMIT: Duration = Duration::from_secs(40);
const WEEK: &str = "sessions: [{id: 215, title: Al-Fatiha}, {id: 216, title: Al-Baqara}]\nhosts: [{session: 216}]\n";

fn together(world: &World, count: usize, arguments: &[&str]) -> Vec<Output> {
    let running: Vec<Running> = (0..count).map(|_| world.spawn(arguments)).collect();
    let outputs: Vec<Output> = running.into_iter().map(|one| one.finish(LIMIT)).collect();
    for output in &outputs {
        assert!(!output.stderr.contains("panicked"), "{}", output.text());
    }
    outputs
}

fn one(world: &World, query: &str) -> String {
    world.sql(query).trim().to_owned()
}

both! {
    fn two_creators_beside_a_daemon_leave_one_active_row(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        let mut daemon = world.spawn(&[]);
        daemon.wait_for("watching desired-state", LIMIT);
        for round in 1..=3 {
            let outputs = together(world, 2, &["host", "create", "--session-id", "215", "--quiet"]);
            assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE session_id = 215 AND is_active"), "1");
            // As if they had come one after the other: each is shown its own GUID, and the later one is valid.
            let valid = outputs.iter().filter(|output| {
                assert!(output.code == 0 && output.stdout.trim().len() == 36, "round {round}: {}", output.text());
                world.run_with(&["host", "verify", "--session-id", "215"], &output.stdout).code == 0
            });
            assert_eq!(valid.count(), 1, "round {round}");
            assert_ne!(outputs[0].stdout, outputs[1].stdout);
        }
        daemon.signal(Signal::TERM);
        daemon.finish(LIMIT).expect_code(0);
    }

    fn eight_creators_leave_one_active_row(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        for output in together(world, 8, &["host", "create", "--session-id", "215", "--force-new", "--quiet"]) {
            assert_eq!(output.code, 0, "{}", output.text());
        }
        assert_eq!(one(world, "SELECT COUNT(*) FROM host_sessions WHERE session_id = 215 AND is_active"), "1");
    }

    fn of_many_claims_one_wins(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        let outputs = together(world, 4, &["host", "claim", "216", "--quiet"]);
        let winners: Vec<&Output> = outputs.iter().filter(|output| output.code == 0).collect();
        assert_eq!(winners.len(), 1, "{:?}", outputs.iter().map(Output::text).collect::<Vec<_>>());
        assert_eq!(winners[0].stdout.trim().len(), 36);
        assert!(outputs.iter().all(|output| output.code == 0 || output.stdout.is_empty()));
    }

    fn a_second_applier_gives_up_while_the_first_lives(world) {
        world.env("RECONCILE_LEASE", "3s");
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        let mut daemon = world.spawn(&[]);
        daemon.wait_for("watching desired-state", LIMIT);
        let started = Instant::now();
        let output = world.run(&["--once"]).expect_code(1);
        assert!(output.stderr.contains("another applier holds the lease"), "{}", output.text());
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        daemon.signal(Signal::TERM);
        daemon.finish(LIMIT).expect_code(0);
        // The lease was given back: the next one need not wait.
        let started = Instant::now();
        world.run(&["--once"]).expect_code(0);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }

    fn a_killed_applier_is_replaced_within_the_lease(world) {
        world.env("RECONCILE_LEASE", "2s");
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        let mut daemon = world.spawn(&[]);
        daemon.wait_for("watching desired-state", LIMIT);
        daemon.signal(Signal::KILL);
        daemon.finish(LIMIT);
        thread::sleep(Duration::from_millis(50));
        world.write("desired-state/week.yaml", &WEEK.replace("Al-Baqara", "The Cow"));
        let started = Instant::now();
        world.run(&["--once"]).expect_code(0);
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        assert_eq!(one(world, "SELECT title FROM sessions WHERE session_id = 216"), "The Cow");
        assert_eq!(one(world, "SELECT fencing, holder FROM reconcile_lease"), "2|");
    }
}
