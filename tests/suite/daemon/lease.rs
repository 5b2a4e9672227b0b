//! Several daemons on one database: one applies, the others wait, and none writes that has lost its turn.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{LATE, SOON, end, found, holder, name, prepare, sessions, settle, start, titled};
use crate::fixture::process::Running;
use crate::fixture::{Database, World, both};

/// A second daemon beside `leader`, which waits for it.
#[track_caller]
fn follow(world: &World, leader: &Running) -> Running {
    let mut follower = world.spawn(&["-v"]);
    follower.wait_for(&format!("following: {}", name(leader)), LATE);
    follower
}

#[track_caller]
fn led_by(world: &World, limit: Duration, daemon: &Running) {
    settle(limit, &true, || holder(world).starts_with(&name(daemon)));
}

/// How often the lease has changed hands.
fn takeovers(world: &World) -> String {
    world.sql("SELECT fencing FROM reconcile_lease").trim().to_owned()
}

both! {
    fn a_leader_that_is_killed_is_replaced_within_the_lease(world) {
        prepare(world);
        world.env("RECONCILE_LEASE", "3s");
        let leader = start(world);
        let mut follower = follow(world, &leader);
        // The leader lives, and keeps what it has for longer than the lease.
        std::thread::sleep(Duration::from_secs(4));
        led_by(world, Duration::ZERO, &leader);

        leader.signal(Signal::KILL);
        let begun = Instant::now();
        leader.finish(SOON);
        follower.wait_for("applying as", LATE);
        // A second for a machine that is busy with other tests.
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        led_by(world, SOON, &follower);
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
        titled(world, SOON, &["Uno"]);
        end(follower);
    }

    fn a_leader_that_leaves_is_replaced_at_once(world) {
        prepare(world);
        world.env("RECONCILE_LEASE", "60s");
        let leader = start(world);
        let follower = follow(world, &leader);
        end(leader);
        led_by(world, SOON, &follower);
        end(follower);
        assert_eq!(holder(world), "");
    }

    fn a_follower_leaves_at_once_and_takes_nothing_along(world) {
        prepare(world);
        let leader = start(world);
        let follower = follow(world, &leader);
        let begun = Instant::now();
        end(follower);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        led_by(world, Duration::ZERO, &leader);
        end(leader);
    }

    fn one_that_was_killed_is_followed_by_its_own_restart(world) {
        prepare(world);
        world.env("RECONCILE_LEASE", "2s");
        let first = start(world);
        first.signal(Signal::KILL);
        first.finish(SOON);
        let begun = Instant::now();
        let mut second = world.spawn(&["-v"]);
        second.wait_for("applying as", LATE);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        end(second);
    }

    fn a_leader_that_slept_through_its_lease_writes_nothing_when_it_wakes(world) {
        prepare(world);
        world.env("RECONCILE_LEASE", "2s");
        world.env("RECONCILE_INTERVAL", "1s");
        let mut sleeper = start(world);
        titled(world, SOON, &["One"]);

        // The other wants something else, so that whoever writes is seen by what it wrote.
        world.env("RECONCILE_STATE", "other-state");
        world.write("other-state/a.yaml", &sessions(&[(1, "Other")]));
        let other = follow(world, &sleeper);
        sleeper.signal(Signal::STOP);
        titled(world, LATE, &["Other"]);
        sleeper.signal(Signal::CONT);
        sleeper.wait_for("the lease was lost", LATE);
        sleeper.wait_for(&format!("following: {}", name(&other)), LATE);
        // Several intervals, and not one write by the one that woke.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(found(world), "Other");
        assert_eq!(world.sql("SELECT action FROM reconcile_journal ORDER BY journal_id"), "create\nupdate\n");
        led_by(world, Duration::ZERO, &other);
        end(sleeper);
        end(other);
    }
}

/// A lock that keeps every turn of `world` waiting for so many seconds, while `meanwhile` runs.
fn locked(world: &World, seconds: u32, meanwhile: impl FnOnce()) {
    std::thread::scope(|scope| {
        let lock = format!("BEGIN; LOCK TABLE sessions; SELECT pg_sleep({seconds}); COMMIT");
        let locking = scope.spawn(move || world.sql(&lock));
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
        settle(SOON, &true, || world.sql(held) != "0\n");
        meanwhile();
        locking.join().unwrap();
    });
}

#[test]
fn a_long_turn_does_not_look_like_a_death() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    world.env("RECONCILE_LEASE", "1s");
    let leader = start(&world);
    let follower = follow(&world, &leader);
    let before = takeovers(&world);
    locked(&world, 4, || leader.signal(Signal::HUP));
    led_by(&world, Duration::ZERO, &leader);
    assert_eq!(takeovers(&world), before);
    end(follower);
    end(leader);
}

#[test]
fn a_second_signal_ends_a_run_under_way_at_once() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    let mut leader = start(&world);
    locked(&world, 6, || {
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
        settle(SOON, &true, || leader.stderr().contains("wake=Files"));
        leader.signal(Signal::TERM);
        leader.wait_for("finishing the run", SOON);
        let begun = Instant::now();
        leader.signal(Signal::TERM);
        let output = leader.finish(SOON).expect_code(0);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(output.stderr.contains("ended by a second signal"), "{}", output.stderr);
    });
    assert_eq!(holder(&world), "", "the lease is given back all the same");
}

#[test]
fn a_turn_under_way_is_finished_before_the_end() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    let mut leader = start(&world);
    locked(&world, 3, || {
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
        settle(SOON, &true, || leader.stderr().contains("wake=Files"));
        leader.signal(Signal::TERM);
        leader.wait_for("finishing the run", SOON);
    });
    let output = leader.finish(Duration::from_secs(10)).expect_code(0);
    assert!(output.stderr.contains("the lease is released"), "{}", output.stderr);
    assert_eq!(found(&world), "Uno");
    assert_eq!(holder(&world), "");
}

#[test]
fn a_turn_by_hand_that_is_given_up_gives_the_lease_back() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    world.run(&["--plan", "--out", "plan.json"]).expect_code(0);
    locked(&world, 6, || {
        for mode in [&["--once"][..], &["--apply", "plan.json"]] {
            let late = world.run(&[mode, &["--timeout", "1s"]].concat()).expect_code(1);
            assert!(late.stderr.contains("it took longer than --timeout 1s"), "{}", late.stderr);
            assert_eq!(holder(&world), "", "{mode:?}");
        }
        for signal in [Signal::INT, Signal::TERM] {
            let once = world.spawn(&["--once"]);
            settle(SOON, &true, || holder(&world).starts_with(&name(&once)));
            once.signal(signal);
            let output = once.finish(SOON).expect_code(1);
            assert!(output.stderr.contains("interrupted"), "{}", output.stderr);
            assert_eq!(holder(&world), "", "{signal:?}");
        }
    });
    world.run(&["--once"]).expect_code(0);
    assert_eq!(found(&world), "One");
}
