//! What systemd is told: ready when it is, alive while it is, stopping before it does.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::{SOON, end, prepare, start};
use crate::fixture::{Database, World};

/// All that was said until `wanted` was. Fails after `limit`.
#[track_caller]
fn hear(socket: &UnixDatagram, wanted: &str, limit: Duration) -> String {
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    let deadline = Instant::now() + limit;
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while Instant::now() < deadline {
        if let Ok(length) = socket.recv(&mut buffer) {
            heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        if heard.contains(wanted) {
            return heard;
        }
    }
    panic!("not said: {wanted}\n{heard}");
}

#[test]
fn ready_alive_and_stopping() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    let path = world.path().join("notify.socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    world.env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "400000");
    let daemon = start(&world);
    let said = hear(&socket, "READY=1", SOON);
    assert!(said.contains("STATUS="), "{said}");
    // Twice within the time, and again and again, though nothing happens.
    let begun = Instant::now();
    for _ in 0..5 {
        hear(&socket, "WATCHDOG=1", SOON);
    }
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    end(daemon);
    hear(&socket, "STOPPING=1", SOON);
}

#[test]
fn a_follower_is_ready_too() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    let leader = start(&world);
    let path = world.path().join("notify.socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    world.env("NOTIFY_SOCKET", path.to_str().unwrap());
    let follower = world.spawn(&[]);
    let said = hear(&socket, "READY=1", SOON);
    assert!(said.contains("STATUS=following"), "{said}");
    end(follower);
    end(leader);
}
