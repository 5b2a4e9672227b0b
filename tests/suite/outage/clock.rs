//! The clock is set while the daemon runs, by an hour forth and back. What waits, waits by a clock that nobody can set;
//! what is dated neither comes twice nor stays away.

use std::fs;
use std::path::PathBuf;

use super::{CAUGHT_UP, Watched, short};
use crate::daemon::{LATE, end, holder, sessions, settle};
use crate::fixture::process::Running;
use crate::fixture::{World, both, clock};

/// A clock on the wall, which a program sees that is started with it.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Right as yet. `name`: of its file in the project.
    fn new(world: &World, name: &str) -> Self {
        let clock = Self { library: clock::library(), file: world.path().join(name) };
        clock.set("+0");
        clock
    }

    /// By how many seconds it is wrong from now on, with its sign.
    fn set(&self, seconds: &str) {
        let aside = self.file.with_extension("aside");
        fs::write(&aside, seconds).unwrap();
        fs::rename(&aside, &self.file).unwrap();
    }

    /// A daemon that sees this clock. Nobody can set the one by which programs wait.
    fn daemon(&self, world: &World) -> Running {
        let library = format!("LD_PRELOAD={}", self.library.display());
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display());
        let how = ["DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1"];
        world.start("env", &[&library, &file, how[0], how[1], "reconcile", "-v"])
    }
}

/// Something strays; the daemon puts it back within two periods.
#[track_caller]
fn is_well(world: &World, watched: &Watched, session: u32) {
    world.sql(&format!("UPDATE sessions SET title = 'Drifted' WHERE session_id = {session}"));
    watched.catches_up(world, &["One", "Two", "Three"]);
}

both! {
    fn an_hour_forth_and_back_changes_no_more_than_what_is_due(world) {
        short(world);
        world.env("RECONCILE_LEASE", "2s").env("RECONCILE_HOST_CLAIM_LIFE", "1d");
        let week = sessions(&[(1, "One"), (2, "Two"), (3, "Three")]).replace("title: One", "title: One\n    status: active");
        world.write("desired-state/a.yaml", &format!("{week}hosts: [{{session: 1, rotate_every: 45m}}]\n"));
        let clock = Clock::new(world, "clock");
        let watched = Watched::of(clock.daemon(world));
        let lease = "SELECT holder, fencing FROM reconcile_lease";
        let before = world.sql(lease);
        assert!(!holder(world).is_empty());
        let generation = |world: &World| world.sql("SELECT generation FROM host_sessions");
        assert_eq!(generation(world), "1\n");
        world.run(&["host", "claim", "1"]).expect_code(0);

        // One rotation falls due, and not a second one when the hour comes again.
        clock.set("+3600");
        settle(CAUGHT_UP, &"2\n".to_owned(), || generation(world));
        world.run(&["host", "claim", "1"]).expect_code(0);
        is_well(world, &watched, 1);
        // Another daemon, whose clock is right, does not take this one for dead.
        let mut other = world.spawn(&["-v"]);
        other.wait_for("following", LATE);
        clock.set("-3600");
        is_well(world, &watched, 2);
        clock.set("+0");
        is_well(world, &watched, 3);
        assert_eq!(generation(world), "2\n");
        assert_eq!(world.sql(lease), before);
        assert!(!other.stderr().contains("applying as"), "{}", other.stderr());
        end(other);

        // In the order in which it was done, whatever time it says.
        let told = "SELECT kind, name, action FROM reconcile_journal WHERE action <> 'create' ORDER BY journal_id";
        let order = ["host|1|claim", "host|1|rotate", "host|1|claim", "session|1|update", "session|2|update", "session|3|update"];
        assert_eq!(world.sql(told).lines().collect::<Vec<_>>(), order);
        let shown = world.run(&["history", "--limit", "3"]).expect_code(0).stdout;
        let shown: Vec<_> = shown.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(shown, ["session/3", "session/2", "session/1"]);
        let turns = watched.end();
        assert!(turns.stderr.contains("the lease is released"), "{}", turns.stderr);
    }
}
