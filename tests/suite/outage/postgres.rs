//! A PostgreSQL that is away, crowded, full or replaced: waited for without haste, and brought up to date when it is back.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{CAUGHT_UP, Watched, journal, short};
use crate::daemon::{LATE, SOON, end, found, holder, name, prepare, sessions, settle, start, titled, turns};
use crate::fixture::cut::{Blow, Cut, Moment, Wire};
use crate::fixture::process::Running;
use crate::fixture::{Crowd, Database, Postgres, Sandbox, World};

mod failover;

#[test]
fn a_server_that_stops_and_starts_again_is_brought_up_to_date() {
    let mut world = World::on(Database::Postgres);
    short(&mut world);
    let mut watched = Watched::start(&world);
    world.server().unwrap().stop();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    watched.daemon.wait_for("cannot connect to", LATE);
    // Long enough for several attempts, of which the same is said once.
    watched.endures(Duration::from_secs(4));
    world.server().unwrap().start_again();
    watched.catches_up(&world, &["Uno"]);
    watched.daemon.wait_for("all is well again", SOON);
    assert!(holder(&world).starts_with(&name(&watched.daemon)), "{}", holder(&world));
    assert_eq!(journal(&world), "create|1\nupdate|1\n");

    // What others write is told of again, by the new connection.
    world.sql("UPDATE sessions SET title = 'Drifted'");
    titled(&world, SOON, &["Uno"]);
    let stderr = watched.end().stderr;
    assert!(stderr.matches("ERROR cannot connect").count() <= 2, "{stderr}");
}

#[test]
fn a_server_without_a_connection_left_is_waited_for() {
    let mut world = World::on(Database::Postgres);
    short(&mut world);
    let mut watched = Watched::start(&world);
    let mut crowd = world.server().unwrap().guest("KSESSIONS_DEV");
    crowd.take_over();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    watched.daemon.wait_for("the server has no connection left", LATE);
    let refused = |world: &mut World| world.server().unwrap().log().matches("too many clients").count();
    let before = refused(&mut world);
    watched.endures(Duration::from_secs(5));
    let asked = refused(&mut world) - before;
    assert!((1..=6).contains(&asked), "asked {asked} times in five seconds:\n{}", watched.daemon.stderr());
    drop(crowd);
    watched.catches_up(&world, &["Uno"]);
    assert_eq!(journal(&world), "create|1\nupdate|1\n");
    watched.end();
}

/// The daemon in the middle of a transaction that adds a session: its statement waits for the guest, who keeps a lock
/// until it unlocks 7.
fn in_the_middle(world: &mut World) -> (Watched, Crowd) {
    short(world);
    let watched = Watched::start(world);
    let mut guest = world.server().unwrap().guest("KSESSIONS_DEV");
    guest.run(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
         CREATE TRIGGER wait AFTER INSERT ON canvas.sessions FOR EACH ROW EXECUTE FUNCTION wait();
         SELECT pg_advisory_lock(7)",
    );
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno"), (2, "Due")]));
    is_writing(world, "active");
    (watched, guest)
}

/// Waits until the server has one transaction of the daemon's that has written sessions, in this state.
#[track_caller]
fn is_writing(world: &World, state: &str) {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)
         WHERE state = '{state}' AND relation = 'sessions'::regclass AND mode = 'RowExclusiveLock'"
    );
    settle(LATE, &"1".to_owned(), || world.sql(&query).trim().to_owned());
}

/// All of it is there, and each change once.
#[track_caller]
fn is_done_once(world: &World, watched: Watched) {
    watched.catches_up(world, &["Uno", "Due"]);
    let mut done: Vec<String> = journal(world).lines().map(str::to_owned).collect();
    done.sort();
    assert_eq!(done, ["create|1", "create|2", "update|1"]);
    watched.end();
}

#[test]
fn a_transaction_whose_statement_is_ended_is_done_again_as_a_whole() {
    let mut world = World::on(Database::Postgres);
    let (watched, mut guest) = in_the_middle(&mut world);
    guest.put_out();
    guest.run("SELECT pg_advisory_unlock(7)");
    is_done_once(&world, watched);
}

#[test]
fn a_transaction_that_is_ended_between_two_statements_is_done_again_as_a_whole() {
    let mut world = World::on(Database::Postgres);
    let (watched, mut guest) = in_the_middle(&mut world);
    // Its statement is carried out while the daemon stands still.
    watched.daemon.signal(Signal::STOP);
    guest.run("SELECT pg_advisory_unlock(7)");
    is_writing(&world, "idle in transaction");
    guest.put_out();
    watched.daemon.signal(Signal::CONT);
    is_done_once(&world, watched);
}

#[test]
fn a_lock_that_somebody_keeps_is_asked_for_again_soon() {
    let mut world = World::on(Database::Postgres);
    // No timer helps.
    prepare(&mut world);
    let mut watched = Watched::start(&world);
    let mut guest = world.server().unwrap().guest("KSESSIONS_DEV");
    guest.run("BEGIN; LOCK TABLE canvas.reconcile_lease IN ACCESS EXCLUSIVE MODE");
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    watched.daemon.wait_for("lock timeout", LATE);
    guest.run("COMMIT");
    watched.catches_up(&world, &["Uno"]);
    watched.end();
}

#[test]
fn a_login_that_is_refused_is_tried_again_at_the_timer_alone() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    world.env("RECONCILE_INTERVAL", "3s");
    let mut watched = Watched::start(&world);
    let mut guest = world.server().unwrap().guest("KSESSIONS_DEV");
    guest.run("ALTER ROLE postgres NOLOGIN");
    guest.put_out();
    watched.daemon.wait_for("the login is refused", LATE);
    let before = turns(&watched.daemon);
    watched.endures(Duration::from_secs(5));
    assert!(turns(&watched.daemon) <= before + 2, "{}", watched.daemon.stderr());
    guest.run("ALTER ROLE postgres LOGIN; UPDATE canvas.sessions SET title = 'Drifted'");
    watched.catches_up(&world, &["One"]);
    watched.end();
}

#[test]
fn what_somebody_has_to_mend_is_shown_and_tried_again_at_the_timer_alone() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    world.env("RECONCILE_INTERVAL", "3s");
    let mut watched = Watched::start(&world);
    world.sql("ALTER TABLE sessions RENAME COLUMN title TO headline");
    watched.daemon.wait_for("does not exist", LATE);
    let before = turns(&watched.daemon);
    watched.endures(Duration::from_secs(5));
    assert!(turns(&watched.daemon) <= before + 2, "{}", watched.daemon.stderr());
    let status = world.run(&["status"]).expect_code(0).stdout;
    assert!(status.contains("failed: ") && status.contains("title"), "{status}");
    world.sql("ALTER TABLE sessions RENAME COLUMN headline TO title; UPDATE sessions SET title = 'Drifted'");
    watched.catches_up(&world, &["One"]);
    let is_shown = || world.run(&["status"]).expect_code(0).stdout.contains("failed: ");
    settle(CAUGHT_UP, &false, is_shown);
    watched.end();
}

#[test]
fn a_full_disk_is_said_and_made_good_when_there_is_room() {
    let mut world = World::with(Postgres::start_on_small_disk(0, "48m"));
    short(&mut world);
    let mut watched = Watched::start(&world);
    world.server().unwrap().fill_disk();
    let many: Vec<(u32, &str)> = (1..=2_000).map(|id| (id, "A title that takes its place on the disk")).collect();
    world.write("desired-state/a.yaml", &sessions(&many));
    watched.daemon.wait_for("the disk", LATE);
    watched.endures(Duration::from_secs(4));
    world.server().unwrap().empty_disk();
    settle(CAUGHT_UP, &"2000\n".to_owned(), || world.sql("SELECT count(*) FROM sessions"));
    let twice = "SELECT count(*) FROM (SELECT 1 FROM reconcile_journal WHERE kind = 'session' AND action = 'create'
                 GROUP BY name HAVING count(*) > 1) AS twice";
    assert_eq!(world.sql(twice), "0\n");
    assert!(!world.server().unwrap().log().contains("PANIC"));
    watched.end();
}

#[test]
fn a_server_that_is_down_at_the_start_is_waited_for() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    world.env("RECONCILE_INTERVAL", "2s");
    world.server().unwrap().stop();
    let mut daemon = start(&world);
    daemon.wait_for("nobody listens there", SOON);
    world.server().unwrap().start_again();
    titled(&world, LATE, &["One"]);
    end(daemon);
}

#[test]
fn a_schema_that_is_missing_is_waited_for() {
    let mut world = World::on(Database::Postgres);
    world.env("RECONCILE_INTERVAL", "2s");
    world.write("desired-state/a.yaml", &sessions(&[(1, "One")]));
    let mut daemon = start(&world);
    daemon.wait_for("run `reconcile migrate`", SOON);
    world.run(&["migrate"]).expect_code(0);
    settle(LATE, &"One".to_owned(), || found(&world));
    end(daemon);
}

#[test]
fn a_server_that_stands_still_for_a_while_is_waited_for() {
    let mut world = World::on(Database::Postgres);
    short(&mut world);
    world.env("RECONCILE_DATABASE_CONNECT_TIMEOUT", "1s").env("RECONCILE_DATABASE_STATEMENT_TIMEOUT", "1s");
    let mut watched = Watched::start(&world);
    let mut guest = world.server().unwrap().guest("KSESSIONS_DEV");
    world.server().unwrap().freeze();
    // Whoever is connected could go on; nobody else gets an answer.
    guest.put_out();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    watched.daemon.wait_for("no answer in time", LATE);
    watched.endures(Duration::from_secs(6));
    world.server().unwrap().wake();
    watched.catches_up(&world, &["Uno"]);
    assert_eq!(journal(&world), "create|1\nupdate|1\n");
    watched.end();
}

#[test]
fn a_connection_on_which_nothing_comes_any_more_is_given_up() {
    let mut world = World::on(Database::Postgres);
    short(&mut world);
    world.env("RECONCILE_DATABASE_CONNECT_TIMEOUT", "1s").env("RECONCILE_DATABASE_STATEMENT_TIMEOUT", "1s");
    let wire = Cut::before(Wire::Postgres, world.server().unwrap().port);
    let url = world.url_through(wire.port);
    world.env("RECONCILE_DATABASE_URL", &url);
    let watched = Watched::start(&world);
    wire.arm(3, Moment::After, Blow::Silence);
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    settle(LATE, &true, || wire.fell());
    // The network is well again; the connection never will be.
    watched.catches_up(&world, &["Uno"]);
    assert_eq!(journal(&world), "create|1\nupdate|1\n");
    watched.end();
}

/// A project whose database is at a port on which somebody listens who is no database.
fn nobody() -> (Sandbox, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sandbox = Sandbox::new();
    let url = format!("postgres://somebody:secret@{}/KSESSIONS_DEV", listener.local_addr().unwrap());
    sandbox.env("RECONCILE_DATABASE_URL", &url).env("RECONCILE_INTERVAL", "1s");
    sandbox.write("desired-state/a.yaml", &sessions(&[(1, "One")]));
    (sandbox, listener)
}

/// Who is asked for so long is asked at least thrice, and at most once a second. It gives no answer.
#[track_caller]
fn is_asked_seldom(listener: &TcpListener, time: Duration, daemon: &Running) {
    listener.set_nonblocking(true).unwrap();
    let mut asked: Vec<Instant> = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        match listener.accept() {
            // It asks for encryption first; and gets no answer but the end.
            Ok((mut stream, _)) => {
                asked.push(Instant::now());
                let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                let _ = stream.read(&mut [0; 64]);
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    assert!(asked.len() >= 3, "asked {} times in {time:?}:\n{}", asked.len(), daemon.stderr());
    for pair in asked.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause >= Duration::from_millis(950), "asked again after {pause:?}:\n{}", daemon.stderr());
    }
}

#[test]
fn it_asks_at_most_once_a_second() {
    let (sandbox, listener) = nobody();
    let daemon = sandbox.spawn(&["-v"]);
    is_asked_seldom(&listener, Duration::from_secs(6), &daemon);
    end(daemon);
}

#[test]
fn whoever_takes_the_place_of_its_server_is_asked_at_most_once_a_second() {
    let mut world = World::on(Database::Postgres);
    short(&mut world);
    // The heart beats far more often than that, and somebody listens for what others write.
    world.env("RECONCILE_LEASE", "1s");
    let watched = Watched::start(&world);
    let port = world.server().unwrap().port;
    world.server().unwrap().stop();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    is_asked_seldom(&listener, Duration::from_secs(6), &watched.daemon);
    drop(listener);
    world.server().unwrap().start_again();
    watched.catches_up(&world, &["Uno"]);
    watched.end();
}

#[test]
fn waiting_for_a_server_that_hangs_does_not_hold_up_the_end() {
    // Connections are accepted by the system, and nobody ever answers.
    let (sandbox, listener) = nobody();
    let daemon = sandbox.spawn(&["-v"]);
    listener.set_nonblocking(false).unwrap();
    let (_asking, _) = listener.accept().unwrap();
    daemon.signal(Signal::TERM);
    daemon.finish(Duration::from_secs(3)).expect_code(0);
}

#[test]
fn a_server_that_falls_silent_does_not_hold_up_the_end() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    let daemon = start(&world);
    world.server().unwrap().stop();
    let begun = Instant::now();
    let output = end(daemon);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(output.stderr.contains("the lease could not be released"), "{}", output.stderr);
}
