//! Requests that mean harm, or are mistaken: each is answered with a problem or cut off, within its limits.

use std::time::Instant;

use super::listen;
use crate::daemon::{end, start};
use crate::fixture::http::{address, ask, get, raw};
use crate::fixture::{Database, World};

#[test]
fn what_is_not_there_or_not_so_is_told_as_a_problem() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let daemon = start(&world);
    let there = address(&daemon);
    let missing = get(there, "/nothing").expect(404);
    assert_eq!(missing.header("content-type"), Some("application/problem+json"));
    let expected = r#"{"detail":"there is no /nothing","status":404,"title":"Not Found","type":"about:blank"}"#;
    assert_eq!(missing.body.trim_end(), expected);
    let wrong = ask(there, "POST", "/healthz", &[], "").expect(405);
    assert_eq!((wrong.header("allow"), wrong.json()["status"].as_u64()), (Some("GET,HEAD"), Some(405)));
    assert_eq!(ask(there, "HEAD", "/healthz", &[], "").expect(200).body, "");

    let large = "x".repeat(64 * 1024 + 1);
    assert_eq!(ask(there, "POST", "/nothing", &[], &large).expect(413).json()["title"], "Payload Too Large");
    ask(there, "POST", "/nothing", &[], &large[1..]).expect(404);
    // One that lies about its length, or does not say it, is measured while it comes.
    let chunk = format!("10000\r\n{}\r\n", &large[1..]);
    let chunked =
        format!("POST /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n0\r\n\r\n");
    assert!(raw(there, &chunked).starts_with("HTTP/1.1 413 "));
    end(daemon);
}

#[test]
fn a_head_that_is_large_crooked_or_slow_is_cut_off() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.hurry(5);
    let daemon = start(&world);
    let there = address(&daemon);
    let large = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20 * 1024));
    assert!(raw(there, &large).starts_with("HTTP/1.1 431 "));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert!(raw(there, &many).starts_with("HTTP/1.1 431 "));
    for crooked in ["\0\0\0\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /healthz HTTP/1.1\nHost : a\r\n\r\n"] {
        let heard = raw(there, crooked);
        assert!(heard.starts_with("HTTP/1.1 400 "), "{crooked:?}: {heard:?}");
    }
    let contradicting = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx";
    assert!(raw(there, contradicting).starts_with("HTTP/1.1 400 "));

    // Half a head, silence after an answer, and half a body: side by side, each has its limit of ten seconds, which go by in two.
    let begun = Instant::now();
    let answers: Vec<String> = std::thread::scope(|scope| {
        let sent = [
            "GET /healthz HTTP/1.1\r\nHost: a\r\n",
            "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        ];
        let threads = sent.map(|bytes| scope.spawn(move || raw(there, bytes)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let took = begun.elapsed() * 5;
    assert!((8..30).contains(&took.as_secs()), "{took:?}");
    assert_eq!(answers[0], "");
    assert!(answers[1].starts_with("HTTP/1.1 200 ") && answers[1].ends_with("ok\n"), "{}", answers[1]);
    assert!(answers[2].starts_with("HTTP/1.1 408 "), "{}", answers[2]);
    end(daemon);
}
