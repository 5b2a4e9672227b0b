//! The connection against real servers: found, refused, silent, old, encrypted, and broken in between.

pub(crate) mod hostile;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::testing::Server;
use super::*;
use crate::guard::Transport;
use crate::secret::Secret;

const QUICK: Limits = Limits { connect: Duration::from_millis(500), answer: Duration::from_millis(300) };

fn target(url: &str, transport: Transport) -> Result<RedisTarget, RedisError> {
    RedisTarget::parse(&Secret::new(url.to_owned()), transport)
}

fn redis(url: &str) -> Redis {
    Redis::new(target(url, Transport::Verified).unwrap(), String::new(), Limits::default())
}

fn quick(url: &str) -> Redis {
    Redis::new(target(url, Transport::Verified).unwrap(), String::new(), QUICK)
}

/// What stands in the way of the server at `url`, as one text with all that an operator is told.
async fn trouble(redis: &Redis) -> (Cause, String) {
    let error = redis.version().await.unwrap_err();
    let told =
        format!("{error}|{error:?}|{}|{:?}", error.hint().unwrap_or_default(), crate::store::error::causes(&error));
    (error.cause().unwrap().clone(), told)
}

/// A server that says `answers` one after the other, a line of a command at a time.
fn canned(answers: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for answer in answers {
            while !lines.next().unwrap().unwrap().starts_with('*') {}
            stream.write_all(answer.as_bytes()).unwrap();
        }
        let _rest = lines.next();
    });
    port
}

#[tokio::test]
async fn a_server_is_found_by_port_and_by_socket() {
    let server = Server::start();
    let by_port = redis(&server.url());
    assert!(by_port.version().await.unwrap() >= OLDEST);
    assert_eq!(by_port.shown(), format!("127.0.0.1:{}/0", server.port));
    let by_socket = redis(&format!("redis+unix://{}?db=3", server.socket().display()));
    by_socket.act(redis::pipe().cmd("SET").arg(by_socket.key("x")).arg(1)).await.unwrap();
    assert_eq!(server.run(&["-n", "3", "DBSIZE"]), "1");
    assert_eq!(server.run(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let server = Server::start_with(&["--requirepass", "correct-horse"]);
    let at = |login: &str| redis(&format!("redis://{login}127.0.0.1:{}", server.port));
    at(":correct-horse@").version().await.unwrap();
    at("default:correct%2Dhorse@").version().await.unwrap();
    let by_socket = format!("redis+unix://{}?password=correct-horse&user=default", server.socket().display());
    redis(&by_socket).version().await.unwrap();
    for login in ["", ":battery-staple@", "nobody:battery-staple@"] {
        let (cause, told) = trouble(&at(login)).await;
        assert_eq!(cause, Cause::Login, "{login}: {told}");
        assert!(!told.contains("battery") && told.contains("check user and password"), "{told}");
    }
    let open = Server::start();
    let (cause, told) = trouble(&redis(&format!("redis://:battery-staple@127.0.0.1:{}", open.port))).await;
    assert_eq!(cause, Cause::Login, "a password where none is known: {told}");
}

#[tokio::test]
async fn each_cause_has_its_name_and_its_way_out() {
    let server = Server::start();
    let at = |rest: &str| redis(&format!("redis://127.0.0.1:{}/{rest}", server.port));
    assert_eq!(trouble(&at("77")).await.0, Cause::Database);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(trouble(&redis(&format!("redis://127.0.0.1:{nobody}"))).await.0, Cause::Refused);
    assert_eq!(trouble(&redis("unix:///nowhere/redis.sock")).await.0, Cause::Refused);
    let nowhere = target("redis://no-such-host.invalid", Transport::Unverified).unwrap();
    assert_eq!(trouble(&Redis::new(nowhere, String::new(), Limits::default())).await.0, Cause::Dns);
    server.run(&["ACL", "SETUSER", "poor", "on", ">poverty", "+info"]);
    assert_eq!(trouble(&redis(&format!("redis://poor:poverty@127.0.0.1:{}", server.port))).await.0, Cause::Rights);
    let old = canned(&["+OK\r\n", "+OK\r\n", "$22\r\nredis_version:6.0.16\r\n\r\n"]);
    let (cause, told) = trouble(&redis(&format!("redis://127.0.0.1:{old}"))).await;
    assert_eq!(cause, Cause::Version(Version { major: 6, minor: 0, patch: 16 }));
    assert!(told.contains("6.0.16, and 6.2 or later is needed|") && told.contains("upgrade Redis to 6.2"), "{told}");
    let loading = canned(&["+OK\r\n", "+OK\r\n", "-LOADING Redis is loading the dataset in memory\r\n"]);
    assert_eq!(trouble(&redis(&format!("redis://127.0.0.1:{loading}"))).await.0, Cause::Loading);
    let web = canned(&["HTTP/1.1 400 Bad Request\r\n\r\n"]);
    assert_eq!(trouble(&redis(&format!("redis://127.0.0.1:{web}"))).await.0, Cause::Protocol);
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    // Accepts, as far as a client can see, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let never = quick(&format!("redis://127.0.0.1:{}", silent.local_addr().unwrap().port()));
    let begun = Instant::now();
    let (first, second, third) = tokio::join!(trouble(&never), trouble(&never), trouble(&never));
    assert_eq!([first.0, second.0, third.0], [Cause::Timeout, Cause::Timeout, Cause::Timeout]);
    assert!(begun.elapsed() < Duration::from_secs(3), "together, not one after the other: {:?}", begun.elapsed());

    let server = Server::start();
    let stalled = quick(&server.url());
    stalled.version().await.unwrap();
    server.freeze();
    let begun = Instant::now();
    assert_eq!(trouble(&stalled).await.0, Cause::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(3));
    server.thaw();
    stalled.version().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_broke_is_made_anew() {
    let mut server = Server::start();
    let redis = redis(&server.url());
    let clone = redis.clone();
    redis.version().await.unwrap();
    server.again();
    clone.version().await.expect("reading goes on by itself");
    tokio::time::sleep(TRUSTED + Duration::from_millis(50)).await;
    server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
    let mut write = redis::pipe();
    write.cmd("INCR").arg("written");
    redis.act(&write).await.expect("an idle connection is tried before it is written to");
    server.stop();
    assert_eq!(trouble(&redis).await.0, Cause::Refused);
    server.again();
    redis.act(&write).await.expect("and found again when the server is back");
    assert_eq!(server.run(&["GET", "written"]), "1", "once, in the empty server that came back");
}

#[tokio::test]
async fn encryption_is_verified() {
    let server = Server::start_encrypted();
    let ca = server.authority();
    let at = |host: &str, query: &str| redis(&format!("rediss://{host}:{}/0{query}", server.port));
    let trusted = format!("?ca={}", ca.display());
    at("localhost", &trusted).version().await.unwrap();
    for (untrusted, why) in [
        (at("localhost", ""), "an authority that nobody has named"),
        (at("127.0.0.1", &trusted), "a name that the certificate does not hold"),
    ] {
        let (cause, told) = trouble(&untrusted).await;
        assert_eq!(cause, Cause::Tls, "{why}: {told}");
        assert!(told.contains("?ca=/PATH") && told.contains("certificate"), "{told}");
    }
    let plain = Server::start();
    // It waits for the end of a command that never comes.
    let (cause, told) = trouble(&quick(&format!("rediss://localhost:{}/0{trusted}", plain.port))).await;
    assert!(cause == Cause::Timeout && told.contains("speaks TLS where the URL says rediss://"), "{told}");
    let missing = at("localhost", "?ca=/nowhere/ca.crt").version().await.unwrap_err();
    assert!(matches!(&missing, RedisError::Authority { .. }) && missing.hint().unwrap().contains("/nowhere/ca.crt"));
    let no_ca = format!("?ca={}", ca.with_file_name("log").display());
    let (cause, _) = trouble(&at("localhost", &no_ca)).await;
    assert_eq!(cause, Cause::Tls, "a file without certificates vouches for nobody");
}

#[tokio::test]
async fn a_replica_a_full_server_and_strange_keys_are_named() {
    let server = Server::start();
    let redis = redis(&server.url());
    let failed = |answer: Value| redis.checked(answer).unwrap_err().cause().unwrap().clone();
    let mut set = redis::pipe();
    set.cmd("SET").arg("a").arg("b");
    let mut push = redis::pipe();
    push.cmd("LPUSH").arg("a").arg("b");
    redis.act(&set).await.unwrap();
    assert_eq!(failed(redis.act(&push).await.unwrap().remove(0)), Cause::Foreign);
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(failed(redis.act(&set).await.unwrap().remove(0)), Cause::Full);
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    server.run(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(failed(redis.act(&set).await.unwrap().remove(0)), Cause::ReadOnly);
}

#[test]
fn urls_are_read_strictly() {
    for (url, shown) in [
        ("redis://localhost", "localhost:6379/0"),
        ("REDIS://127.0.0.1:6380/15", "127.0.0.1:6380/15"),
        ("redis://[::1]:6380/1", "[::1]:6380/1"),
        ("redis://[::1]", "[::1]:6379/0"),
        ("redis://:p%40ss@localhost/", "localhost:6379/0"),
        ("rediss://user:hush@redis.example.org:6390/2?ca=/etc/ca.pem", "redis.example.org:6390/2"),
        ("redis+unix:///run/redis.sock?db=4&user=u&password=hush", "/run/redis.sock/4"),
        ("unix:///run/redis.sock", "/run/redis.sock/0"),
    ] {
        assert_eq!(target(url, Transport::Verified).unwrap().shown(), shown, "{url}");
    }
    for url in [
        "",
        "redis",
        "redis:",
        "redis://",
        "http://localhost",
        "redis://:hush@",
        "redis://hush@localhost",
        "redis://:hush@local@host",
        "redis://:hu/sh@localhost",
        "redis://u:hu:sh@localhost",
        "redis://:hush@localhost:0",
        "redis://:hush@localhost:70000",
        "redis://:hush@localhost:+1",
        "redis://:hush@localhost/x",
        "redis://:hush@localhost/1/2",
        "redis://:hush@localhost/-1",
        "redis://:hush@local host",
        "redis://:hush@localhost#x",
        "redis://:hush@loc\\alhost",
        "redis://:hush@localhöst",
        "redis://:hush%00@localhost",
        "redis://:hush%ff@localhost",
        "redis://:hush@a,b",
        "redis://:hush@localhost?db=1",
        "redis://:hush@localhost?protocol=resp3",
        "redis://:hush@localhost?ca=/x",
        "rediss://:hush@localhost?ca=x",
        "rediss://:hush@localhost?ca=/x&ca=/y",
        "rediss://:hush@localhost?insecure=hush",
        "redis+unix://hush",
        "unix://%2Frun/hush.sock",
        "unix:///run/hush/../redis.sock",
        "unix:///run/%2e%2e/hush.sock",
        "redis+unix:///",
        "unix:///run/redis.sock?user=hush",
        "unix:///run/redis.sock?ca=/hush",
        "redis://:hush@[::1",
        "redis://:hush@[::1]x",
        "redis://:hush@::1",
        "redis://:hush@[localhost]",
    ] {
        let refused = target(url, Transport::Verified).err().unwrap_or_else(|| panic!("{url} is taken"));
        let told = format!("{refused}|{refused:?}|{}", refused.hint().unwrap());
        assert!(!told.contains("hush") && refused.cause().is_none(), "{url}: {told}");
    }
}

#[test]
fn beyond_this_machine_it_is_encrypted_or_spelled_out() {
    for url in [
        "redis://:hush@10.0.0.1",
        "redis://redis.example.org/1",
        "redis://[2001:db8::1]",
        "redis://localhost.example.org",
    ] {
        let refused = target(url, Transport::Verified).err().unwrap();
        assert!(matches!(refused, RedisError::Transport { .. }) && !refused.to_string().contains("hush"), "{url}");
        assert!(refused.hint().unwrap().contains("rediss://"));
        assert!(target(url, Transport::Unverified).is_ok(), "{url}");
    }
    for url in ["redis://127.9.9.9", "redis://[::ffff:127.0.0.1]", "redis://LOCALHOST", "rediss://10.0.0.1"] {
        assert!(target(url, Transport::Verified).is_ok(), "{url}");
    }
}

#[test]
fn one_server_is_one_host_port_and_database() {
    let same = |one: &str, other: &str| {
        let read = |url| target(url, Transport::Unverified).unwrap();
        read(one).same_server(&read(other))
    };
    assert!(same("redis://:a@Redis/1", "rediss://:b@redis:6379/1"));
    assert!(same("unix:///run/a", "redis+unix:///run/a?db=0"));
    for other in ["redis://redis/2", "redis://redis:6380/1", "redis://radish/1", "unix:///redis?db=1"] {
        assert!(!same("redis://redis/1", other), "{other}");
    }
}

#[test]
fn versions_are_compared_as_numbers() {
    let read = |text: &str| Version::read(text);
    assert!(read("6.2.0").unwrap() == OLDEST && read("10.0.1").unwrap() > OLDEST && read("6.0.20").unwrap() < OLDEST);
    assert_eq!(read("7.4.0-rc1").unwrap().to_string(), "7.4.0");
    assert!(read("").is_none() && read("7.0").is_none() && read("seven.0.0").is_none());
}

/// Opens no socket itself, and so shows that a target alone reaches nobody.
#[tokio::test]
async fn nothing_is_connected_to_before_it_is_needed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let _redis = redis(&format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port()));
    tokio::task::yield_now().await;
    let come = listener.accept().map(|(stream, _): (TcpStream, _)| stream);
    assert_eq!(come.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}
