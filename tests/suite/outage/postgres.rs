//! A database that is away: waited for without haste, without a crash, and brought up to date when it is back.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{LATE, SOON, end, found, holder, name, prepare, sessions, settle, start, titled};
use crate::fixture::{Database, Sandbox, World};

#[test]
fn a_server_that_stops_and_starts_again_is_brought_up_to_date() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    world.env("RECONCILE_INTERVAL", "2s");
    let mut daemon = start(&world);
    world.server().unwrap().stop();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    daemon.wait_for("cannot connect to", LATE);
    // Long enough for several attempts, of which the same is said once.
    std::thread::sleep(Duration::from_secs(3));
    world.server().unwrap().start_again();
    titled(&world, LATE, &["Uno"]);
    daemon.wait_for("all is well again", SOON);
    assert!(holder(&world).starts_with(&name(&daemon)), "{}", holder(&world));

    // What others write is told of again, by the new connection.
    world.sql("UPDATE sessions SET title = 'Drifted'");
    titled(&world, SOON, &["Uno"]);
    let stderr = end(daemon).stderr;
    assert!(stderr.matches("ERROR cannot connect").count() <= 2, "{stderr}");
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

/// A project whose database is at a port on which somebody listens who is no database.
fn nobody() -> (Sandbox, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sandbox = Sandbox::new();
    let url = format!("postgres://somebody:secret@{}/KSESSIONS_DEV", listener.local_addr().unwrap());
    sandbox.env("RECONCILE_DATABASE_URL", &url).env("RECONCILE_INTERVAL", "1s");
    sandbox.write("desired-state/a.yaml", &sessions(&[(1, "One")]));
    (sandbox, listener)
}

#[test]
fn it_asks_at_most_once_a_second() {
    let (sandbox, listener) = nobody();
    listener.set_nonblocking(true).unwrap();
    let daemon = sandbox.spawn(&["-v"]);
    let mut asked: Vec<Instant> = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
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
    assert!(asked.len() >= 3, "asked {} times in six seconds:\n{}", asked.len(), daemon.stderr());
    for pair in asked.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause >= Duration::from_millis(950), "asked again after {pause:?}:\n{}", daemon.stderr());
    }
    end(daemon);
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
