//! What the daemon leaves alone: a plan that is too large, what somebody has suspended, and a fight that it cannot win.

use std::time::Duration;

use rustix::process::Signal;

use super::{LATE, SOON, calm, end, found, prepare, sessions, settle, start, titled, turns};
use crate::fixture::process::Running;
use crate::fixture::{Database, World, both};

/// How soon the daemon heeds what a command has written: within a second, and the turn itself.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Makes the daemon take a turn, and waits until it is over.
#[track_caller]
fn look(daemon: &Running) {
    let over = || daemon.stderr().matches("the turn is over").count();
    // A row may be seen before the turn that wrote it is over.
    settle(SOON, &true, || turns(daemon) == over());
    let before = over();
    daemon.signal(Signal::HUP);
    settle(SOON, &(before + 1), over);
}

/// Somebody else writes, and nobody tells the daemon.
fn drift(world: &World) {
    let quietly = match world.database() {
        Database::Sqlite => "",
        Database::Postgres => "SET application_name = 'reconcile';",
    };
    world.sql(&format!("{quietly} UPDATE sessions SET title = 'Drifted' WHERE session_id = 1"));
}

fn ten(word: &str) -> String {
    let titles: Vec<(u32, String)> =
        (1..=10).map(|id| (id, if id <= 4 { word.into() } else { "Same".into() })).collect();
    sessions(&titles.iter().map(|(id, title)| (*id, title.as_str())).collect::<Vec<_>>())
}

both! {
    fn a_plan_over_the_budget_waits_for_its_approval(world) {
        prepare(world);
        world.write("desired-state/a.yaml", &ten("Old"));
        let mut daemon = start(world);
        world.write("desired-state/a.yaml", &ten("New"));
        daemon.wait_for("not applied: ", SOON);
        look(&daemon);
        assert!(found(world).starts_with("Old Old Old Old Same"), "{}", found(world));
        let stderr = daemon.stderr();
        assert_eq!(stderr.matches("not applied: ").count(), 1, "{stderr}");
        let digest = stderr.split("reconcile approve ").nth(1).unwrap().split(' ').next().unwrap();
        let status = world.run(&["status"]).expect_code(0).stdout;
        assert!(status.contains(digest), "{status}");
        let explained = world.run(&["explain", "session/1"]).expect_code(0).stdout;
        let said = explained.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("not applied: ") && said.contains(&format!("approve {digest}")), "{said}");
        let calm = world.run(&["explain", "session/10"]).expect_code(0).stdout;
        assert!(calm.contains("in sync"), "{calm}");

        world.run(&["approve", digest, "--reason", "Renamed on purpose"]).expect_code(0);
        // Nobody tells the daemon but the command itself.
        settle(AT_ONCE, &true, || found(world).starts_with("New New New New Same"));
        // It was for this plan, once.
        world.write("desired-state/a.yaml", &ten("Newer"));
        settle(SOON, &2, || daemon.stderr().matches("not applied: ").count());
        end(daemon);
    }

    fn what_is_suspended_is_left_alone_until_it_is_resumed(world) {
        prepare(world);
        let mut daemon = start(world);
        world.run(&["suspend", "session/1", "--reason", "Being-looked-at"]).expect_code(0);
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno"), (2, "Due")]));
        titled(world, SOON, &["One", "Due"]);
        daemon.wait_for("Being-looked-at", SOON);
        world.run(&["resume", "session/1", "--reason", "Looked at"]).expect_code(0);
        titled(world, AT_ONCE, &["Uno", "Due"]);
        calm(&daemon);

        world.run(&["suspend", "--reason", "Night"]).expect_code(0);
        world.write("desired-state/a.yaml", &sessions(&[(1, "One"), (2, "Two")]));
        daemon.wait_for("Night", SOON);
        calm(&daemon);
        assert_eq!(found(world), "Uno Due");
        world.run(&["resume", "--reason", "Morning"]).expect_code(0);
        titled(world, AT_ONCE, &["One", "Two"]);
        end(daemon);
    }

    fn a_suspension_outlives_its_daemon(world) {
        prepare(world);
        world.env("RECONCILE_LEASE", "3s");
        let daemon = start(world);
        let before = calm(&daemon);
        world.run(&["suspend", "session/1", "--reason", "Being-looked-at"]).expect_code(0);
        settle(AT_ONCE, &(before + 1), || turns(&daemon));
        assert_eq!(calm(&daemon), before + 1, "one word, one turn");
        drop(daemon);
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno"), (2, "Due")]));
        // It follows the one that was killed for as long as a lease lasts.
        let mut daemon = world.spawn(&["-v"]);
        daemon.wait_for("Being-looked-at", LATE);
        titled(world, SOON, &["One", "Due"]);
        calm(&daemon);
        world.run(&["resume", "session/1", "--reason", "Looked at"]).expect_code(0);
        titled(world, AT_ONCE, &["Uno", "Due"]);
        // To resume what is not suspended is nothing to look for.
        let before = calm(&daemon);
        world.run(&["resume", "session/1", "--reason", "Looked at"]).expect_code(0);
        assert_eq!(calm(&daemon), before);
        end(daemon);
    }

    fn a_change_that_comes_back_three_times_is_left_alone(world) {
        prepare(world);
        let daemon = start(world);
        for _ in 0..3 {
            drift(world);
            look(&daemon);
            assert_eq!(found(world), "One");
        }
        drift(world);
        look(&daemon);
        assert_eq!(found(world), "Drifted");
        assert!(daemon.stdout().contains("it is flapping"), "{}", daemon.stdout());
        look(&daemon);
        assert_eq!(found(world), "Drifted");
        // The files have the last word, and the count begins anew.
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
        titled(world, SOON, &["Uno"]);
        calm(&daemon);
        drift(world);
        look(&daemon);
        assert_eq!(found(world), "Uno");
        end(daemon);
    }
}
