//! What is overheard, and what is passed on: clear text beyond loopback, proxies, and names that lead here.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use crate::daemon::{end, start};
use crate::fixture::http::{Answer, address, ask, get, raw, try_get};
use crate::fixture::process::Running;
use crate::fixture::{Database, World};
use crate::http::listen;
use crate::http::tokens::{ask_as, make};

/// An address of this machine that is not loopback, if it has one: the one that it would leave by.
fn beyond(port: u16) -> Option<SocketAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| SocketAddr::new(address, port))
}

fn here(daemon: &Running) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address(daemon).port()))
}

#[test]
fn clear_text_beyond_loopback_is_refused_with_the_ways_out() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    make(&world, "reader", "read");
    for anywhere in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        world.env("RECONCILE_HTTP_LISTEN", anywhere);
        let refused = world.run(&[]).expect_code(1).stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in [
            "is not loopback, and without TLS whoever can listen on the way reads tokens and GUIDs",
            "http.certificate_file and http.key_file",
            "http.trusted_proxies = [\"10.0.0.0/8\"]",
            "http.probe_listen",
            "http.insecure = true",
        ] {
            assert!(refused.contains(word), "{word}: {refused}");
        }
    }
    for loopback in ["127.9.9.9:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
        world.env("RECONCILE_HTTP_LISTEN", loopback);
        end(start(&world));
    }
    // The setting for other servers does not concern it.
    world.env("RECONCILE_HTTP_LISTEN", "0.0.0.0:0").env("RECONCILE_ALLOW_INSECURE", "true");
    world.run(&[]).expect_code(1);
    world.env("RECONCILE_HTTP_INSECURE", "true");
    let daemon = start(&world);
    assert!(daemon.stderr().contains("http.insecure: whoever can listen on the way to 0.0.0.0:0 reads"));
    get(here(&daemon), "/healthz").expect(200);
    end(daemon);
}

#[test]
fn what_comes_past_the_proxy_in_clear_text_may_ask_for_health_alone() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let token = make(&world, "reader", "read");
    world.env("RECONCILE_HTTP_LISTEN", "0.0.0.0:0").env("RECONCILE_HTTP_TRUSTED_PROXIES", "10.0.0.7, fd00::/8");
    let daemon = start(&world);
    ask_as(here(&daemon), &token, "/api/v1/me").expect(200);
    if let Some(there) = beyond(here(&daemon).port()) {
        get(there, "/healthz").expect(200);
        get(there, "/readyz").expect(200);
        for path in ["/", "/metrics", "/api/v1/me", "/api/v1/openapi.json", "/page/"] {
            let refused = ask_as(there, &token, path).expect(403);
            assert!(refused.body.contains("clear text ends here"), "{path}: {}", refused.body);
        }
        end(daemon);
        world.env("RECONCILE_HTTP_TRUSTED_PROXIES", &there.ip().to_string());
        let daemon = start(&world);
        let there = SocketAddr::new(there.ip(), here(&daemon).port());
        ask_as(there, &token, "/api/v1/me").expect(200);
        end(daemon);
    } else {
        end(daemon);
    }
}

#[test]
fn probes_may_have_a_listener_of_their_own_that_answers_nothing_else() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let token = make(&world, "reader", "read");
    world.env("RECONCILE_HTTP_PROBE_LISTEN", "0.0.0.0:0");
    let daemon = start(&world);
    let said = daemon.stderr();
    let port = said.split("answering probes on http://0.0.0.0:").nth(1).unwrap().split_whitespace().next().unwrap();
    let there = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    get(there, "/healthz").expect(200);
    get(there, "/readyz").expect(200);
    get(there, "/metrics").expect(401);
    ask_as(there, &token, "/metrics").expect(200);
    for path in ["/", "/page/", "/api/v1/me", "/api/v1/status", "/api/v1/openapi.json", "/assets/page.js"] {
        let answer = ask_as(there, &token, path);
        assert_eq!(answer.status, 404, "{path}");
    }
    ask(there, "POST", "/webhooks/billing", &[("webhook-signature", "v1,AAAA")], "{}").expect(404);
    // What one peer holds open at the other listener is nothing to it.
    let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address(&daemon)).unwrap()).collect();
    assert!(try_get(there, "/healthz", std::time::Duration::from_secs(2)).is_some());
    drop(held);
    end(daemon);
    // It may also be the only one, and wants no token to be there.
    world.env("RECONCILE_HTTP_LISTEN", "off");
    let daemon = start(&world);
    assert!(!daemon.stderr().contains("listening on http"), "{}", daemon.stderr());
    end(daemon);
}

/// Asks for the metrics on loopback, without a token.
fn metrics(there: SocketAddr, header: &str, value: &str) -> Answer {
    ask(there, "GET", "/metrics", &[(header, value)], "")
}

#[test]
fn what_a_proxy_on_this_machine_passes_on_wants_a_token() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    metrics(there, "accept", "*/*").expect(200);
    for (header, value) in [
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("X-Forwarded-Host", "example.org"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Server", "proxy"),
        ("X-Forwarded", "x"),
        ("Forwarded-For", "192.0.2.1"),
        ("X-Original-Forwarded-For", "192.0.2.1"),
        ("X-Real-IP", "192.0.2.1"),
        ("Via", "1.1 proxy"),
        ("CF-Connecting-IP", "192.0.2.1"),
        ("True-Client-IP", "192.0.2.1"),
        ("X-Client-IP", "192.0.2.1"),
        ("X-Cluster-Client-IP", "192.0.2.1"),
        ("Fastly-Client-IP", "192.0.2.1"),
        ("Client-IP", ""),
        ("CDN-Loop", "cdn"),
        ("X-Originating-IP", "192.0.2.1"),
        ("X-Request-ID", "1"),
        ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ] {
        metrics(there, header, value).expect(401);
        let bearer = format!("Bearer {token}");
        ask(there, "GET", "/metrics", &[("authorization", bearer.as_str()), (header, value)], "").expect(200);
    }
    // A name that somebody has made lead here.
    for host in ["example.org", "localhost.example.org", "127.0.0.1.nip.io", "0.0.0.0", "[::]", ""] {
        let named = raw(there, &format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"));
        assert!(named.starts_with("HTTP/1.1 401 "), "{host}: {named}");
    }
    // A proxy that adds nothing, as nginx does that was told nothing.
    let old = raw(there, "GET /metrics HTTP/1.0\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    assert!(old.contains(" 401 "), "{old}");
    for host in ["localhost", "127.0.0.1:1", "[::1]", "[::ffff:127.0.0.1]:7326"] {
        let named = raw(there, &format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"));
        assert!(named.starts_with("HTTP/1.1 200 "), "{host}: {named}");
    }
    end(daemon);
}

#[test]
fn a_trusted_proxy_says_who_asks_and_nobody_else_does() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.write("reconcile.toml", "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    let daemon = start(&world);
    let there = address(&daemon);
    let wrong = |from: &str| {
        let headers = [("authorization", "Bearer nonsense"), ("x-forwarded-for", from)];
        ask(there, "GET", "/api/v1/me", &headers, "").status
    };
    assert!((0..20).all(|_| wrong("192.0.2.1") == 401));
    assert_eq!([wrong("192.0.2.1"), wrong("198.51.100.1, 192.0.2.1"), wrong("192.0.2.1, 127.0.0.3")], [429; 3]);
    assert_eq!([wrong("192.0.2.2"), wrong("2001:db8::1")], [401; 2]);
    end(daemon);

    // Whoever is not trusted is counted by its own address, whatever it says.
    world.write("reconcile.toml", "");
    let daemon = start(&world);
    let there = address(&daemon);
    let statuses: Vec<u16> = (0..25)
        .map(|last| {
            let headers = [("authorization", "Bearer nonsense"), ("x-forwarded-for", &format!("192.0.2.{last}"))];
            ask(there, "GET", "/api/v1/me", &headers, "").status
        })
        .collect();
    assert_eq!(statuses, [vec![401; 20], vec![429; 5]].concat());
    let mut half = TcpStream::connect(there).unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    end(daemon);
}
