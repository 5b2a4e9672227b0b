//! Whatever one peer does with its connections, probes are answered, and others lose nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::daemon::{SOON, end, settle, start};
use crate::fixture::http::{address, get, send, try_get};
use crate::fixture::process::Running;
use crate::fixture::{Database, World};
use crate::http::listen;
use crate::http::tokens::make;

/// Far more than an answer takes, and far less than the limit of anything that keeps a place.
const AT_ONCE: Duration = Duration::from_secs(4);
/// Longer than a new connection has to say what it wants.
const A_WHILE: Duration = Duration::from_secs(3);

/// Connects from an address of this machine's own choice.
fn connect_from(source: &str, there: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
        socket.connect(there).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Sends on a connection that is kept, and gives the answer's status.
#[track_caller]
fn say(stream: &mut TcpStream, text: &str) -> u16 {
    stream.write_all(text.as_bytes()).unwrap();
    let mut heard = Vec::new();
    // A short answer comes as a whole.
    while !heard.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "it was closed: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&part[..length]);
    }
    String::from_utf8_lossy(&heard).split(' ').nth(1).unwrap().parse().unwrap()
}

/// What a gauge or a counter of the daemon shows.
#[track_caller]
fn metric(daemon: &Running, name: &str) -> u64 {
    let page = get(address(daemon), "/metrics").expect(200).body;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}\n{page}")).parse().unwrap()
}

#[test]
fn a_probe_is_answered_whatever_its_own_peer_holds_open() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    let with_token = format!("GET /api/v1/me HTTP/1.1\r\nhost: {there}\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut known = connect_from("127.0.0.1", there);
    assert_eq!(say(&mut known, &with_token), 200);
    let whole = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let pipelined = "GET /api/v1/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(60);
    for (name, count, sent) in [
        ("silence", 200, ""),
        ("half a head", 200, "GET /healthz HTTP/1.1\r\nhost: a\r\n"),
        ("half a body", 200, "POST /nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf"),
        ("half a body with a token", 200, "POST /x HTTP/1.1\r\nauthorization: Bearer x\r\ncontent-length: 9\r\n\r\nx"),
        ("a body without an end", 60, "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"),
        ("silence after an answer", 200, whole),
        ("answers that nobody reads", 30, pipelined.as_str()),
        ("nonsense", 60, "GET / HTTP/1.1\r\nhost: a\r\n\r\n\0\0\0\0\r\n\r\nGET"),
    ] {
        let held: Vec<TcpStream> = (0..count).map(|_| send(there, sent)).collect();
        let until = Instant::now() + Duration::from_millis(900);
        while Instant::now() < until {
            for probe in ["/healthz", "/readyz"] {
                let answer = try_get(there, probe, AT_ONCE);
                assert_eq!(answer.map(|answer| answer.status), Some(200), "{probe} under {name}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        settle(A_WHILE, &true, || metric(&daemon, "reconcile_http_connections") <= 18);
        drop(held);
        // Whoever has shown a token loses nothing, though it says little.
        assert_eq!(say(&mut known, &with_token), 200, "under {name}");
    }
    assert!(metric(&daemon, "reconcile_http_connections_dropped_total{reason=\"peer\"}") > 500);
    assert_eq!(metric(&daemon, "reconcile_http_connections_dropped_total{reason=\"all\"}"), 0);
    end(daemon);
}

#[test]
fn who_holds_many_connections_takes_none_from_others() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    let mut other = connect_from("127.0.0.2", there);
    other.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n").unwrap();
    let held: Vec<TcpStream> = (0..300).map(|_| send(there, "")).collect();
    settle(SOON, &true, || metric(&daemon, "reconcile_http_connections") <= 19);
    assert_eq!(say(&mut other, "\r\n"), 200);
    // With a token there may be more than sixteen of one peer.
    let asked = format!("GET /api/v1/me HTTP/1.1\r\nhost: {there}\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut known: Vec<TcpStream> = (0..40).map(|_| connect_from("127.0.0.1", there)).collect();
    assert!(known.iter_mut().all(|stream| say(stream, &asked) == 200));
    settle(SOON, &true, || (41..=44).contains(&metric(&daemon, "reconcile_http_connections")));
    assert!(known.iter_mut().all(|stream| say(stream, &asked) == 200));
    drop(held);
    end(daemon);
}

#[test]
fn more_than_there_are_places_for_are_let_in_and_the_oldest_go() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    // So few descriptors that few connections are left of them.
    let daemon = {
        let mut daemon = world.start("sh", &["-c", "ulimit -n 292; exec reconcile -v"]);
        daemon.wait_for("watching desired-state", crate::daemon::LATE);
        daemon
    };
    let there = address(&daemon);
    let sources: Vec<String> = (1..=20).map(|last| format!("127.0.1.{last}")).collect();
    let held: Vec<TcpStream> = (0..10).flat_map(|_| sources.iter().map(|source| connect_from(source, there))).collect();
    for _ in 0..20 {
        let answer = try_get(there, "/healthz", AT_ONCE);
        assert_eq!(answer.map(|answer| answer.status), Some(200));
    }
    assert!(metric(&daemon, "reconcile_http_connections") <= 100);
    assert!(metric(&daemon, "reconcile_http_connections_dropped_total{reason=\"all\"}") >= 100);
    drop(held);
    end(daemon);
}
