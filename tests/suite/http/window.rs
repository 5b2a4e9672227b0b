//! The page, as a browser meets it, and as a program does that is none.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::json;

use super::listen;
use super::resources::many;
use super::tokens::{ask_as, make};
use crate::daemon::{LATE, end, sessions, settle, start};
use crate::fixture::http::{Answer, address, ask, get, send};
use crate::fixture::process::{self, Running};
use crate::fixture::{Database, World, both, python};

mod acts;

/// A story may take so long, on a busy machine.
const LIMIT: Duration = Duration::from_secs(100);

/// Has a story of `tests/page/stories.py` told, with a token of each scope.
#[track_caller]
fn tell(world: &World, daemon: &Running, story: &str) {
    tell_of(world, daemon, "stories.py", story);
}

/// The same of another script beside it.
#[track_caller]
fn tell_of(world: &World, daemon: &Running, script: &str, story: &str) {
    let facts = json!({
        "url": format!("http://{}", address(daemon)), "pid": daemon.pid(), "state": world.path().join("desired-state"),
        "read": make(world, "reader", "read"), "operate": make(world, "operator", "operate"),
        "secrets": make(world, "keeper", "secrets"),
    });
    let script = format!("{}/tests/page/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python::program());
    command.args([&script, story, &facts.to_string()]).env("PYTHONDONTWRITEBYTECODE", "1");
    process::finish(&mut command, "", LIMIT).expect_code(0);
}

fn world() -> World {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world
}

#[test]
fn who_has_a_token_signs_in_and_out() {
    let world = world();
    let daemon = start(&world);
    tell(&world, &daemon, "signing_in");
    end(daemon);
}

#[test]
fn an_open_page_follows_what_happens_and_disturbs_nobody() {
    let world = world();
    let daemon = start(&world);
    // It also ends the daemon.
    tell(&world, &daemon, "following");
    daemon.finish(Duration::from_secs(10)).expect_code(0);
}

#[test]
fn ten_thousand_resources_are_searched_and_turned_over() {
    let world = world();
    world.write("desired-state/a.yaml", &many(1..=10_000));
    let daemon = start(&world);
    let token = make(&world, "measure", "read");
    let there = address(&daemon);
    let page = |query: &str| {
        let begun = Instant::now();
        let page = ask_as(there, &token, &format!("/page/{query}")).expect(200).body;
        (begun.elapsed(), page.len())
    };
    let measured =
        ["", "", "?q=number+9999.", "?after=session%2F9000", "?state=blocked"].map(|query| (query, page(query)));
    for (query, (took, bytes)) in measured {
        println!("/page/{query}: {bytes} bytes in {took:?}");
        // Without optimisation, and with other tests beside it; the first makes the picture.
        assert!(bytes < 60_000 && took < Duration::from_secs(3), "{query}: {bytes} bytes in {took:?}");
    }
    tell(&world, &daemon, "finding");
    end(daemon);
}

/// A world in which everything that there is to see is there: drift, something blocked, something suspended, a server,
/// and a title that would be a script.
fn eventful() -> (World, Running) {
    let world = world();
    world.write(
        "desired-state/a.yaml",
        &sessions(&[(1, "One"), (2, "Two"), (3, "Three"), (4, "<script>alert(1)</script>")]),
    );
    world.write("desired-state/h.yaml", "hosts: [{session: 1}, {session: 999}]\n");
    world.write(
        "desired-state/s.yaml",
        "servers: [{name: postgres-pool-1, host: 127.0.0.1, max_instances: 50, admin: pool}]\n",
    );
    world.run(&["suspend", "session/3", "--reason", "Under repair"]).expect_code(0);
    let daemon = start(&world);
    world.sql("UPDATE sessions SET title = 'Zwei' WHERE session_id = 2");
    (world, daemon)
}

#[test]
fn everybody_sees_and_reaches_everything() {
    let (world, daemon) = eventful();
    tell(&world, &daemon, "seeing");
    end(daemon);
}

#[test]
fn without_scripts_the_same_is_read() {
    let (world, daemon) = eventful();
    tell(&world, &daemon, "without_scripts");
    end(daemon);
}

/// Declares twelve sessions whose titles end so: to change them all is more than the budget lets pass.
fn twelve(world: &World, tail: &str) {
    let titles: Vec<(u32, String)> = (1..=12).map(|id| (id, format!("Number {id}{tail}"))).collect();
    let titles: Vec<(u32, &str)> = titles.iter().map(|(id, title)| (*id, title.as_str())).collect();
    world.write("desired-state/a.yaml", &sessions(&titles));
}

#[test]
fn the_page_asks_the_api_for_what_people_do() {
    let world = world();
    twelve(&world, "");
    world.write("desired-state/h.yaml", "hosts: [{session: 1}]\n");
    let mut daemon = start(&world);
    world.run(&["suspend", "session/2", "--reason", "Under repair"]).expect_code(0);
    twelve(&world, "!");
    daemon.wait_for("not applied: ", LATE);
    tell(&world, &daemon, "acting");
    end(daemon);
}

/// Asks as a browser does that was told a user and a password.
#[track_caller]
fn ask_basic(there: SocketAddr, method: &str, path: &str, token: &str) -> Answer {
    let shown = base64::engine::general_purpose::STANDARD.encode(format!("noor:{token}"));
    ask(there, method, path, &[("authorization", &format!("Basic {shown}"))], "")
}

both! {
    fn a_password_opens_the_page_for_reading_and_nothing_else(world) {
        listen(world);
        let token = make(world, "keeper", "secrets");
        let daemon = start(world);
        let there = address(&daemon);
        let stranger = get(there, "/page/").expect(401);
        assert_eq!(
            stranger.header("www-authenticate"),
            Some("Basic realm=\"reconcile: the token is the password\", charset=\"UTF-8\"")
        );
        let page = ask_basic(there, "GET", "/page/", &token).expect(200);
        assert!(page.body.contains("session/1") && !page.body.contains(&token), "{}", page.body);
        let policy = page.header("content-security-policy").expect("a policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
        }
        let headers = ["referrer-policy", "x-content-type-options", "cache-control"].map(|name| page.header(name));
        assert_eq!(headers, [Some("no-referrer"), Some("nosniff"), Some("no-store")]);
        assert!(!page.body.contains("style=") && !page.body.contains("<script>") && !page.body.contains("onclick"));

        ask_basic(there, "GET", "/page/", &token.replace("rct_", "rct-")).expect(401);
        for (method, path) in [("GET", "/api/v1/status"), ("POST", "/api/v1/suspend"), ("POST", "/page/")] {
            ask_basic(there, method, path, &token).expect(401);
        }
        let bearer = ask(there, "GET", "/page/", &[("authorization", "Bearer rct_wrong")], "").expect(401);
        assert!(bearer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer ")), "a browser would ask");

        // The way in, and what it is made of, are everybody's; they tell nothing.
        let way_in = get(there, "/").expect(200);
        assert!(way_in.header("content-security-policy").is_some() && !way_in.body.contains("KSESSIONS"));
        for (asset, content_type) in [("page.css", "text/css; charset=utf-8"), ("page.js", "text/javascript; charset=utf-8"), ("icon.svg", "image/svg+xml")] {
            assert_eq!(get(there, &format!("/assets/{asset}")).expect(200).header("content-type"), Some(content_type));
        }
        get(there, "/assets/../Cargo.toml").expect(404);
        end(daemon);
    }

    fn no_answer_holds_a_secret(world) {
        listen(world);
        world.write("desired-state/h.yaml", "hosts: [{session: 1}]\n");
        let token = make(world, "keeper", "secrets");
        let daemon = start(world);
        let there = address(&daemon);
        let paths = ["/", "/page/", "/page/?of=host%2F1", "/api/v1/resources", "/api/v1/me"];
        let answers: String = paths.iter().map(|path| ask_as(there, &token, path).expect(200).body).collect();
        assert!(answers.contains("data-act=\"claim\""), "nothing waits to be claimed");
        let guid = world.run(&["host", "claim", "1"]).expect_code(0).stdout.trim().to_owned();
        assert!(guid.len() == 36 && !answers.contains(&guid), "a page shows a GUID");
        assert!(!answers.contains(&token[4..47]), "a page shows a token");
        let url = world.url();
        let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        if let Some((_, password)) = user.and_then(|(user, _)| user.split_once(':')) {
            assert!(!answers.contains(password), "a page shows the database's password");
        }
        end(daemon);
    }
}

#[test]
fn a_page_tells_of_a_database_that_is_away_until_it_is_back() {
    let mut world = World::on(Database::Postgres);
    listen(&mut world);
    world.env("RECONCILE_INTERVAL", "1s").env("RECONCILE_LEASE", "2s");
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    let shows = |what: &str| ask_as(there, &token, "/page/").expect(200).body.contains(what);
    assert!(shows("session/1") && !shows("Not ready"));
    world.server().unwrap().stop();
    settle(LATE, &true, || shows("the database does not answer"));
    world.server().unwrap().start_again();
    settle(LATE, &true, || shows("session/1") && !shows("Not ready"));
    end(daemon);
}

/// A page's stream of news.
fn listen_to(there: SocketAddr, token: &str) -> TcpStream {
    send(there, &format!("GET /page/events HTTP/1.1\r\nhost: {there}\r\nauthorization: Bearer {token}\r\n\r\n"))
}

/// Reads until a stream has said this.
#[track_caller]
fn heard(stream: &mut TcpStream, text: &str) -> String {
    stream.set_read_timeout(Some(LATE)).unwrap();
    let (mut heard, mut part) = (String::new(), [0; 1024]);
    while !heard.contains(text) {
        let length = stream.read(&mut part).unwrap_or_else(|why| panic!("{why}, after {heard:?}"));
        assert!(length > 0, "it ended, after {heard:?}");
        heard.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    heard
}

#[test]
fn a_silent_stream_has_a_pulse_and_a_followers_page_is_told_to_look() {
    let mut world = world();
    let token = make(&world, "reader", "read");
    world.hurry(5);
    let leader = start(&world);
    let mut follower = world.spawn(&["-v"]);
    follower.wait_for("following: ", LATE);
    let mut streams = [&leader, &follower].map(|daemon| listen_to(address(daemon), &token));
    streams.iter_mut().for_each(|stream| drop(heard(stream, "event: news\n")));
    assert!(!heard(&mut streams[0], ": still here\n\n").contains("event: look"));
    heard(&mut streams[1], "event: look\ndata: now\n\n");
    end(follower);
    end(leader);
}

#[test]
fn streams_of_news_are_counted_and_end_with_the_daemon() {
    let world = world();
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    let mut streams: Vec<_> = (0..16).map(|_| listen_to(there, &token)).collect();
    for stream in &mut streams {
        assert!(heard(stream, "event: news\n").contains("content-type: text/event-stream"));
    }
    let refused = ask_as(there, &token, "/page/events").expect(503);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    world.write("desired-state/b.yaml", &sessions(&[(2, "Two")]));
    streams.iter_mut().for_each(|stream| drop(heard(stream, "event: news\n")));
    // Who goes leaves their place to the next.
    streams.pop();
    settle(LATE, &true, || {
        let mut next = listen_to(there, &token);
        let mut part = [0; 12];
        next.read_exact(&mut part).unwrap();
        part == *b"HTTP/1.1 200"
    });
    let begun = Instant::now();
    end(daemon);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
