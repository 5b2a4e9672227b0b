//! TLS by certificate files: a client that checks the certificate is served, and a renewed one is taken up.

use std::net::SocketAddr;
use std::time::Duration;

use super::listen;
use crate::daemon::{end, settle, start};
use crate::fixture::process::Running;
use crate::fixture::python;
use crate::fixture::{Database, World};

/// Asks over TLS, trusting this certificate alone, and prints the status, the body, and the certificate's serial number.
const ASK: &str = r#"
import http.client, ssl, sys
port, trusted = int(sys.argv[1]), sys.argv[2]
client = http.client.HTTPSConnection("localhost", port, timeout=20, context=ssl.create_default_context(cafile=trusted))
client.connect()
serial = client.sock.getpeercert()["serialNumber"]
client.request("GET", "/healthz")
answer = client.getresponse()
print(answer.status, answer.read().decode().strip(), client.sock.version(), serial)
"#;

/// Makes a certificate for `localhost` with this serial number, and its key.
#[track_caller]
pub fn make(world: &World, serial: u32) {
    let made = world.sh(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2 \
           -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -set_serial {serial} -keyout new.key -out new.crt &&
         chmod 600 new.key && mv new.key door.key && mv new.crt door.crt"
    ));
    made.expect_code(0);
}

pub fn address(daemon: &Running) -> SocketAddr {
    let said = daemon.stderr();
    let rest = said.split("listening on https://").nth(1).unwrap_or_else(|| panic!("no TLS:\n{said}"));
    rest.split_whitespace().next().expect("an address").parse().expect("an address")
}

fn ask(world: &World, there: SocketAddr) -> String {
    world.write("ask.py", ASK);
    let asked = world.sh(&format!("{} ask.py {} door.crt 2>&1", python::program().display(), there.port()));
    asked.stdout.trim().to_owned()
}

pub fn open() -> World {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.env("RECONCILE_HTTP_CERTIFICATE_FILE", "door.crt").env("RECONCILE_HTTP_KEY_FILE", "door.key");
    world
}

#[test]
fn a_client_that_checks_the_certificate_is_served_and_a_renewed_one_is_taken_up() {
    let mut world = open();
    make(&world, 10);
    world.hurry(5);
    let daemon = start(&world);
    let there = address(&daemon);
    assert_eq!(ask(&world, there), "200 ok TLSv1.3 0A");
    // Whoever speaks none is hung up on, and so is whoever says nothing, and the door stays open.
    assert_eq!(
        crate::fixture::http::try_get(there, "/healthz", Duration::from_secs(5)).map(|answer| answer.status),
        None
    );
    let _silent = crate::fixture::http::send(there, "");
    make(&world, 11);
    // The files are glanced at every ten seconds.
    settle(Duration::from_secs(20), &"200 ok TLSv1.3 0B".to_owned(), || ask(&world, there));
    // One that cannot be used leaves the last good one in force.
    world.write("door.key", "no key");
    world.sh("chmod 600 door.key").expect_code(0);
    daemon_says(&daemon, "the certificate that was in force stays so", || ask(&world, there));
    assert_eq!(ask(&world, there), "200 ok TLSv1.3 0B");
    end(daemon);
}

/// Asks until the daemon has said so.
#[track_caller]
fn daemon_says(daemon: &Running, what: &str, ask: impl Fn() -> String) {
    settle(Duration::from_secs(20), &true, || {
        ask();
        daemon.stderr().contains(what)
    });
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_way_out() {
    let mut world = open();
    let refused = |world: &World, code: i32, words: &[&str]| {
        let said = world.run(&[]).expect_code(code).stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    };
    refused(&world, 1, &["http.certificate_file names", "door.crt, which cannot be used"]);
    make(&world, 10);
    world.sh("chmod 644 door.key").expect_code(0);
    refused(&world, 1, &["http.key_file names", "others than its owner can read", "chmod 600"]);
    world.sh("chmod 600 door.key && cp door.key other.key").expect_code(0);
    make(&world, 11);
    world.sh("mv other.key door.key").expect_code(0);
    refused(&world, 1, &["http.key_file names", "the key must be the certificate's own"]);
    world.write("door.crt", "");
    refused(&world, 1, &["there is no certificate in it"]);
    world.env("RECONCILE_HTTP_KEY_FILE", "");
    refused(&world, 1, &["http.certificate_file wants http.key_file beside it"]);
}
