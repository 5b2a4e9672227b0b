//! The daemon as its operator meets it: the real program, told of changes by files, by the database and by signals.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::fixture::process::{Output, Running};
use crate::fixture::{Database, World, both};

mod events;
mod files;
mod head;
mod last_good;
mod lease;
mod restraint;
mod systemd;
mod unit;

/// Far less than the time after which files are looked at without an event, and far more than a turn takes.
pub const SOON: Duration = Duration::from_secs(4);
/// For what waits for a timer, a lease or a server.
pub const LATE: Duration = Duration::from_secs(20);

/// Sessions as a state file declares them.
pub fn sessions(titles: &[(u32, &str)]) -> String {
    let one = |(id, title): &(u32, &str)| format!("  - id: {id}\n    title: {title}\n    created_by: Noor Team\n");
    format!("sessions:\n{}", titles.iter().map(one).collect::<String>())
}

/// A world with one session declared and its schema made, where nothing happens by itself for an hour.
pub fn prepare(world: &mut World) {
    world.env("RECONCILE_INTERVAL", "1h");
    world.write("desired-state/a.yaml", &sessions(&[(1, "One")]));
    world.run(&["migrate"]).expect_code(0);
}

/// A daemon whose first turn is over. It tells of every turn.
#[track_caller]
pub fn start(world: &World) -> Running {
    let mut daemon = world.spawn(&["-v"]);
    daemon.wait_for("watching desired-state", LATE);
    daemon
}

/// Ends a daemon as a service manager does, within the time that it is given.
#[track_caller]
pub fn end(daemon: Running) -> Output {
    daemon.signal(Signal::TERM);
    daemon.finish(Duration::from_secs(10)).expect_code(0)
}

/// Waits until `look` gives `wanted`.
#[track_caller]
pub fn settle<T: PartialEq + std::fmt::Debug>(limit: Duration, wanted: &T, mut look: impl FnMut() -> T) {
    let deadline = Instant::now() + limit;
    loop {
        let seen = look();
        if seen == *wanted {
            return;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {wanted:?}; still {seen:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the sessions have these titles, in the order of their ids.
#[track_caller]
pub fn titled(world: &World, limit: Duration, titles: &[&str]) {
    settle(limit, &titles.join(" "), || found(world));
}

pub fn found(world: &World) -> String {
    world.sql("SELECT title FROM sessions ORDER BY session_id").lines().collect::<Vec<_>>().join(" ")
}

/// Who holds the lease; nobody is the empty line.
pub fn holder(world: &World) -> String {
    world.sql("SELECT holder FROM reconcile_lease").trim().to_owned()
}

/// How the lease names a daemon, up to its host.
pub fn name(daemon: &Running) -> String {
    format!("{}@", daemon.pid())
}

/// How many turns a daemon has begun.
pub fn turns(daemon: &Running) -> usize {
    daemon.stderr().matches("a turn begins").count()
}

/// Waits until a daemon has begun no turn for half a second, and gives how many it has begun.
pub fn calm(daemon: &Running) -> usize {
    let mut before = turns(daemon);
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = turns(daemon);
        if now == before {
            return now;
        }
        before = now;
    }
}

both! {
    fn it_applies_stays_and_leaves_in_order(world) {
        prepare(world);
        let daemon = start(world);
        assert_eq!(found(world), "One");
        assert!(daemon.stdout().contains("+ session/1"), "{}", daemon.stdout());
        assert!(holder(world).starts_with(&name(&daemon)), "{}", holder(world));
        let output = end(daemon);
        assert!(output.stderr.contains("the lease is released"), "{}", output.stderr);
        assert_eq!(holder(world), "");

        // Nobody needs to be waited for, so it is far quicker than the lease.
        let begun = Instant::now();
        let daemon = start(world);
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        assert!(daemon.stdout().contains("No changes."), "{}", daemon.stdout());
        end(daemon);
    }

    fn an_edit_reaches_its_row(world) {
        prepare(world);
        let daemon = start(world);
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno"), (2, "Due")]));
        titled(world, SOON, &["Uno", "Due"]);
        end(daemon);
        let journal = "SELECT action, name FROM reconcile_journal WHERE kind = 'session' ORDER BY journal_id";
        assert_eq!(world.sql(journal), "create|1\nupdate|1\ncreate|2\n");
    }

    fn hangup_makes_it_look(world) {
        prepare(world);
        let daemon = start(world);
        let before = calm(&daemon);
        daemon.signal(Signal::HUP);
        settle(SOON, &(before + 1), || turns(&daemon));
        end(daemon);
    }
}

#[test]
fn the_timer_finds_what_nothing_tells_of() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    world.env("RECONCILE_INTERVAL", "1s");
    let daemon = start(&world);
    world.sql("UPDATE sessions SET title = 'Drifted'");
    titled(&world, SOON, &["One"]);
    assert!(daemon.stderr().contains("wake=Timer"), "{}", daemon.stderr());
    end(daemon);
}

#[test]
fn postgres_tells_of_what_others_write_and_not_of_what_we_do() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    let daemon = start(&world);
    let before = calm(&daemon);
    world.sql("UPDATE sessions SET title = 'Drifted'");
    titled(&world, SOON, &["One"]);
    // Putting it back has told nobody.
    assert_eq!(calm(&daemon), before + 1);

    // A hundred transactions in a row are a burst, or a few, and not a hundred turns.
    world.sql("DO $$ BEGIN FOR n IN 1..100 LOOP UPDATE sessions SET updated_at = now(); COMMIT; END LOOP; END $$");
    settle(LATE, &true, || turns(&daemon) > before + 1);
    let made = calm(&daemon) - before - 1;
    assert!(made < 20, "{made} turns");
    end(daemon);
}

#[test]
fn a_listener_that_was_cut_off_listens_again() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    let daemon = start(&world);
    let before = calm(&daemon);
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    assert_eq!(world.sql(cut), "1\n");
    // Something may have been missed meanwhile.
    settle(LATE, &(before + 1), || turns(&daemon));
    world.sql("UPDATE sessions SET title = 'Drifted'");
    titled(&world, LATE, &["One"]);
    end(daemon);
}

#[test]
fn a_catalog_of_another_environment_is_refused_at_once() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/a.yaml", &sessions(&[(1, "One")]));
    let output = world.run(&["--database", "sqlite:KSESSIONS.db"]).expect_code(3);
    assert!(output.stderr.contains("KSESSIONS"), "{}", output.stderr);
}
