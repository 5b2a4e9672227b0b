//! The daemon: one turn for each burst of changes, the last good state in force, and a good end.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::fixture::process::Running;
use crate::fixture::{Database, World, both};

const LIMIT: Duration = Duration::from_secs(20);
const WEEK: &str = "sessions: [{id: 215, title: First}]\n";

fn week(title: &str) -> String {
    WEEK.replace("First", title)
}

fn serving(world: &World) -> Running {
    let mut daemon = world.spawn(&["-v"]);
    daemon.wait_for("watching desired-state", LIMIT);
    daemon
}

fn started(world: &World) -> Running {
    world.write("desired-state/week.yaml", WEEK);
    world.run(&["migrate"]).expect_code(0);
    serving(world)
}

fn title(world: &World) -> String {
    world.sql("SELECT title FROM sessions WHERE session_id = 215").trim().to_owned()
}

#[track_caller]
fn becomes(world: &World, wanted: &str) -> Duration {
    let begun = Instant::now();
    while title(world) != wanted {
        assert!(begun.elapsed() < LIMIT, "it is still {:?}, not {wanted:?}", title(world));
        std::thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

/// Turns that began, as the log tells.
fn turns(daemon: &Running) -> usize {
    daemon.stderr().matches("a turn begins").count()
}

/// Ends in good order: exit code 0, and the lease given back.
fn ends(world: &World, daemon: Running) {
    let begun = Instant::now();
    daemon.signal(Signal::TERM);
    let output = daemon.finish(LIMIT).expect_code(0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_lease WHERE holder IS NULL").trim(), "1");
}

both! {
    fn a_saved_file_is_applied_within_a_moment(world) {
        let daemon = started(world);
        becomes(world, "First");
        world.write("desired-state/week.yaml", &week("Second"));
        let took = becomes(world, "Second");
        assert!(took < Duration::from_secs(3), "{took:?}");
        // As editors do it: a new file takes the old one's name.
        world.write("desired-state/.week.yaml.swp", &week("Third"));
        fs::rename(world.path().join("desired-state/.week.yaml.swp"), world.path().join("desired-state/week.yaml")).unwrap();
        becomes(world, "Third");
        world.write("desired-state/deep/er/more.yaml", "sessions: [{id: 216}]");
        world.write("desired-state/week.yaml", &week("Fourth"));
        becomes(world, "Fourth");
        let told = daemon.stdout();
        assert!(told.contains("~ session/215  title \"First\" -> \"Second\""), "{told}");
        ends(world, daemon);
    }

    fn a_bad_file_leaves_the_last_good_state_in_force(world) {
        let mut daemon = started(world);
        world.write("desired-state/bad.yaml", "sessions:\n  - id: 215\n    titel: Twice\n");
        daemon.wait_for("desired-state/bad.yaml:3:5: unknown field `titel`", LIMIT);
        world.write("desired-state/week.yaml", &week("Second"));
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(title(world), "First");
        fs::remove_file(world.path().join("desired-state/bad.yaml")).unwrap();
        becomes(world, "Second");
        daemon.wait_for("all is well again", LIMIT);
        ends(world, daemon);
    }

    fn what_somebody_else_writes_is_put_back(world) {
        world.env("RECONCILE_INTERVAL", "1s");
        let mut daemon = started(world);
        becomes(world, "First");
        world.sql("UPDATE sessions SET title = 'Theirs' WHERE session_id = 215");
        daemon.wait_for("drift\nApplied: 1 change.", LIMIT);
        becomes(world, "First");
        ends(world, daemon);
    }

    fn what_comes_back_again_and_again_is_left_alone(world) {
        let daemon = started(world);
        becomes(world, "First");
        // PostgreSQL tells of the change by itself; one turn for each is what counts here.
        let tells = world.database() == Database::Postgres;
        let meddle = |daemon: &Running| {
            world.sql("UPDATE sessions SET title = 'Theirs' WHERE session_id = 215");
            if !tells {
                daemon.signal(Signal::HUP);
            }
        };
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..3 {
            meddle(&daemon);
            std::thread::sleep(Duration::from_millis(100));
            becomes(world, "First");
            std::thread::sleep(Duration::from_millis(150));
        }
        let mut daemon = daemon;
        meddle(&daemon);
        daemon.wait_for("it is flapping", LIMIT);
        assert_eq!(title(world), "Theirs");
        // Until the files change.
        world.write("desired-state/week.yaml", &week("Ours again"));
        becomes(world, "Ours again");
        ends(world, daemon);
    }

    fn a_plan_over_the_budget_waits_for_an_approval(world) {
        let all = |word: &str| (1..=10).fold("sessions:\n".to_owned(), |all, id| format!("{all}  - {{id: {id}, title: {word}}}\n"));
        world.write("desired-state/all.yaml", &all("Old"));
        let mut daemon = started(world);
        world.write("desired-state/all.yaml", &all("New"));
        daemon.wait_for("held back: 10 of 11 sessions", LIMIT);
        let digest = daemon.stderr().split("`reconcile approve ").nth(1).unwrap()[..32].to_owned();
        assert_eq!(world.sql("SELECT COUNT(*) FROM sessions WHERE title = 'New'").trim(), "0");
        world.run(&["approve", &digest, "--reason", "New term"]).expect_code(0);
        daemon.signal(Signal::HUP);
        let begun = Instant::now();
        while world.sql("SELECT COUNT(*) FROM sessions WHERE title = 'New'").trim() != "10" {
            assert!(begun.elapsed() < LIMIT, "{}", daemon.stderr());
            std::thread::sleep(Duration::from_millis(30));
        }
        ends(world, daemon);
    }

    fn what_is_suspended_waits_for_its_resumption(world) {
        let daemon = started(world);
        becomes(world, "First");
        world.run(&["suspend", "session/215", "--reason", "Exam week"]).expect_code(0);
        world.write("desired-state/week.yaml", &week("Second"));
        let mut daemon = daemon;
        daemon.wait_for("it is suspended: Exam week by", LIMIT);
        assert_eq!(title(world), "First");
        assert!(world.run(&["status"]).stdout.contains("suspended  session/215"));
        world.run(&["resume", "session/215", "--reason", "It is over"]).expect_code(0);
        daemon.signal(Signal::HUP);
        becomes(world, "Second");
        ends(world, daemon);
    }

    fn a_follower_takes_over_from_a_leader_that_was_killed(world) {
        world.env("RECONCILE_LEASE", "2s");
        let leader = started(world);
        let mut follower = world.spawn(&["-v"]);
        follower.wait_for("following:", LIMIT);
        leader.signal(Signal::KILL);
        leader.finish(LIMIT);
        world.write("desired-state/week.yaml", &week("Second"));
        let took = becomes(world, "Second");
        assert!(took < Duration::from_secs(8), "{took:?}");
        ends(world, follower);
    }

    fn a_leader_that_slept_past_its_lease_writes_nothing(world) {
        world.env("RECONCILE_LEASE", "2s");
        let sleeper = started(world);
        let mut follower = world.spawn(&["-v"]);
        follower.wait_for("following:", LIMIT);
        sleeper.signal(Signal::STOP);
        follower.wait_for("applying as", LIMIT);
        let fencing = world.sql("SELECT holder, fencing FROM reconcile_lease");
        sleeper.signal(Signal::CONT);
        sleeper.signal(Signal::HUP);
        let mut sleeper = sleeper;
        sleeper.wait_for("the lease was lost to another applier", LIMIT);
        world.write("desired-state/week.yaml", &week("Second"));
        becomes(world, "Second");
        assert_eq!(world.sql("SELECT holder, fencing FROM reconcile_lease"), fencing);
        // Whoever only follows ends at once.
        let begun = Instant::now();
        sleeper.signal(Signal::TERM);
        sleeper.finish(LIMIT).expect_code(0);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        ends(world, follower);
    }
}

#[test]
fn a_checkout_of_a_thousand_files_is_one_turn() {
    let mut world = World::on(Database::Sqlite);
    world.env("RECONCILE_DEBOUNCE", "300ms").env("RECONCILE_DEBOUNCE_MAX", "10s");
    world.git_init();
    world.write("desired-state/week.yaml", WEEK);
    world.commit("One");
    world.git(&["checkout", "--quiet", "-b", "many"]);
    for id in 1_000..2_000 {
        world.write(&format!("desired-state/{id}.yaml"), &format!("sessions: [{{id: {id}}}]\n"));
    }
    world.commit("Many");
    world.git(&["checkout", "--quiet", "main"]);
    let mut daemon = serving(&world);
    let before = turns(&daemon);
    world.git(&["checkout", "--quiet", "many"]);
    daemon.wait_for("Applied: 1000 changes", LIMIT);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(turns(&daemon) - before, 1, "{}", daemon.stderr());
    assert_eq!(world.sql("SELECT COUNT(DISTINCT run) FROM reconcile_journal WHERE name <> '215'").trim(), "1");
    ends(&world, daemon);
}

#[test]
fn the_directory_may_go_and_come_back() {
    let world = World::on(Database::Sqlite);
    let mut daemon = started(&world);
    let state = world.path().join("desired-state");
    fs::rename(&state, world.path().join("elsewhere")).unwrap();
    daemon.wait_for("does not exist", LIMIT);
    assert_eq!(title(&world), "First");
    fs::rename(world.path().join("elsewhere"), &state).unwrap();
    world.write("desired-state/week.yaml", &week("Back"));
    becomes(&world, "Back");
    // A link that is turned to another directory, as a mounted volume does it.
    fs::rename(&state, world.path().join("one")).unwrap();
    world.write("two/week.yaml", &week("Turned"));
    std::os::unix::fs::symlink("two", &state).unwrap();
    becomes(&world, "Turned");
    ends(&world, daemon);
}

#[test]
fn from_head_only_commits_count() {
    let mut world = World::on(Database::Sqlite);
    world.env("RECONCILE_SOURCE", "head");
    world.git_init();
    world.write("desired-state/week.yaml", WEEK);
    world.commit("One");
    let daemon = serving(&world);
    world.write("desired-state/week.yaml", &week("Half-saved"));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(title(&world), "First");
    let commit = world.commit("Two");
    becomes(&world, "Half-saved");
    let line = world.sql("SELECT actor, revision FROM reconcile_journal WHERE action = 'update'");
    assert_eq!(line.trim(), format!("Noor Team|{} (clean)", &commit[..7]));
    ends(&world, daemon);
}

#[test]
fn without_a_repository_head_is_no_source() {
    let mut world = World::on(Database::Sqlite);
    world.env("RECONCILE_SOURCE", "head");
    world.write("desired-state/week.yaml", WEEK);
    let output = world.run(&[]).expect_code(1);
    assert!(output.stderr.contains("cannot be read") && output.stderr.contains("hint:"), "{}", output.text());
}

#[test]
fn a_foreign_write_wakes_the_daemon_at_once() {
    let mut world = World::on(Database::Postgres);
    world.env("RECONCILE_INTERVAL", "1h");
    let daemon = started(&world);
    becomes(&world, "First");
    std::thread::sleep(Duration::from_millis(500));
    let before = turns(&daemon);
    let server = world.server().unwrap();
    server.psql("KSESSIONS_DEV", "UPDATE canvas.sessions SET title = 'Theirs' WHERE session_id = 215");
    // The timer would take an hour.
    becomes(&world, "First");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(turns(&daemon) - before, 1, "our own writes wake nobody:\n{}", daemon.stderr());
    ends(&world, daemon);
}

#[test]
fn a_server_that_goes_and_comes_back_is_waited_for() {
    let mut world = World::on(Database::Postgres);
    world.env("RECONCILE_INTERVAL", "1s");
    let mut daemon = started(&world);
    becomes(&world, "First");
    world.server().unwrap().stop();
    daemon.wait_for("cannot connect to", LIMIT);
    world.write("desired-state/week.yaml", &week("Second"));
    std::thread::sleep(Duration::from_secs(3));
    let attempts = turns(&daemon);
    std::thread::sleep(Duration::from_secs(3));
    assert!(turns(&daemon) - attempts <= 3, "at most one attempt a second");
    world.server().unwrap().start_again();
    becomes(&world, "Second");
    daemon.wait_for("all is well again", LIMIT);
    ends(&world, daemon);
}

#[test]
fn an_empty_directory_is_a_loud_warning() {
    let world = World::on(Database::Sqlite);
    fs::create_dir(world.path().join("desired-state")).unwrap();
    let output = world.run(&["--once"]).expect_code(0);
    assert!(output.stderr.contains("no file here declares anything"), "{}", output.text());
}
