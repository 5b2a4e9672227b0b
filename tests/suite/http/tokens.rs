//! Tokens: made, shown once, kept as hashes, and asked for where they are needed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::listen;
use crate::daemon::{LATE, end, settle, start};
use crate::fixture::http::{Answer, address, ask, get};
use crate::fixture::{Database, World, both};

/// Makes a token by command.
#[track_caller]
pub fn make(world: &World, name: &str, scope: &str) -> String {
    let made = world.run(&["token", "create", "--name", name, "--scope", scope]).expect_code(0).stdout;
    made.trim_end().to_owned()
}

/// Asks with a token.
#[track_caller]
pub fn ask_as(there: SocketAddr, token: &str, path: &str) -> Answer {
    ask(there, "GET", path, &[("authorization", &format!("Bearer {token}"))], "")
}

both! {
    fn a_token_is_shown_once_kept_as_its_hash_and_journalled(world) {
        listen(world);
        let token = make(world, "prometheus", "read");
        assert!(token.starts_with("rct_") && token.len() == 53, "{}", token.len());
        let kept = world.sql("SELECT * FROM reconcile_tokens") + &world.sql("SELECT * FROM reconcile_journal");
        assert!(!kept.contains(&token[4..47]), "the token is kept");
        let hash = world.sql("SELECT hash FROM reconcile_tokens");
        let expected = world.sh(&format!("printf %s {token} | sha256sum | cut -d' ' -f1")).stdout;
        assert_eq!(hash, expected);
        let listed = world.run(&["token", "list"]).expect_code(0).stdout;
        assert!(listed.starts_with("  prometheus  read  made ") && listed.ends_with("; good for ever\n"), "{listed}");

        let twice = world.run(&["token", "create", "--name", "prometheus", "--scope", "read"]).expect_code(1);
        assert!(twice.stderr.contains("there is, or was, a token named \"prometheus\""), "{}", twice.stderr);
        world.run(&["token", "revoke", "prometheus", "--reason", "Left the house"]).expect_code(0);
        world.run(&["token", "revoke", "prometheus", "--reason", "Again"]).expect_code(1);
        let listed = world.run(&["token", "list", "--format", "json"]).expect_code(0).stdout;
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!((listed[0]["good"].as_bool(), listed[0]["scope"].as_str()), (Some(false), Some("read")));
        let journal = "SELECT kind, name, action, reason FROM reconcile_journal ORDER BY journal_id";
        assert_eq!(world.sql(journal), "token|prometheus|create|\ntoken|prometheus|revoke|Left the house\n");
        let history = world.run(&["history"]).expect_code(0).stdout;
        assert!(history.contains("revoke  token/prometheus  by "), "{history}");
    }

    fn the_api_is_for_those_with_a_token_and_a_revoked_one_is_refused(world) {
        listen(world);
        let daemon = start(world);
        let there = address(&daemon);
        let none = get(there, "/api/v1/status").expect(401);
        assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"reconcile\""));
        assert_eq!(none.header("content-type"), Some("application/problem+json"));
        // Whether there is such a thing is not told to strangers either.
        get(there, "/api/v1/nothing").expect(401);
        let [read, operate, secrets] = ["read", "operate", "secrets"].map(|scope| make(world, scope, scope));
        for token in [&read, &operate, &secrets] {
            ask_as(there, token, "/api/v1/status").expect(200);
        }
        ask_as(there, &read, "/api/v1/nothing").expect(404);
        let me = ask_as(there, &operate, "/api/v1/me").expect(200).json();
        assert_eq!(me, serde_json::json!({ "name": "operate", "scope": "operate" }));
        let bearer = |token: &str| format!("Bearer {token}");
        let post = |token: &str| ask(there, "POST", "/api/v1/status", &[("authorization", &bearer(token))], "");
        let small = post(&read).expect(403);
        assert!(small.header("www-authenticate").is_some_and(|how| how.contains("insufficient_scope")));
        post(&operate).expect(405);

        let other = if read.ends_with('A') { "B" } else { "A" };
        let mistyped = format!("{}{other}", &read[..52]);
        for wrong in ["", "rct_", "nonsense", &mistyped, &read.to_uppercase()] {
            ask_as(there, wrong, "/api/v1/status").expect(401);
        }
        ask(there, "GET", "/api/v1/status", &[("authorization", &format!("Basic {read}"))], "").expect(401);
        world.run(&["token", "revoke", "read", "--reason", "Left the house"]).expect_code(0);
        settle(LATE, &401, || ask_as(there, &read, "/api/v1/status").status);
        ask_as(there, &operate, "/api/v1/status").expect(200);
        world.sql("UPDATE reconcile_tokens SET expires_at = '2020-01-01T00:00:00.000000+00:00' WHERE name = 'operate'");
        settle(LATE, &401, || ask_as(there, &operate, "/api/v1/status").status);
        let said = end(daemon);
        assert!(!said.text().contains(&read[4..47]), "the log holds a token");
    }
}

#[test]
fn metrics_want_a_token_beyond_loopback_and_where_they_are_asked_for_by_another_name() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.env("RECONCILE_HTTP_LISTEN", "0.0.0.0:0").env("RECONCILE_HTTP_INSECURE", "true");
    let refused = world.run(&[]).expect_code(1).stderr;
    assert!(
        refused.contains("http.listen: 0.0.0.0:0 is not loopback, and there is no token that is good"),
        "{refused}"
    );
    assert!(refused.contains("hint: `reconcile migrate` makes the database"), "{refused}");
    assert!(refused.contains("hint: `reconcile token create --name NAME --scope read` makes one"), "{refused}");

    world.run(&["migrate"]).expect_code(0);
    let token = make(&world, "prometheus", "read");
    let daemon = start(&world);
    let there = SocketAddr::from(([127, 0, 0, 1], address(&daemon).port()));
    get(there, "/metrics").expect(401);
    get(there, "/readyz").expect(200);
    ask_as(there, &token, "/metrics").expect(200);
    end(daemon);

    world.env("RECONCILE_HTTP_LISTEN", "127.0.0.1:0");
    let daemon = start(&world);
    let there = address(&daemon);
    get(there, "/metrics").expect(200);
    // A web page that has its own name lead to this machine, or a proxy that passes names on.
    let named =
        crate::fixture::http::raw(there, "GET /metrics HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n");
    assert!(named.starts_with("HTTP/1.1 401 "), "{named}");
    end(daemon);
}

#[test]
fn tokens_are_known_while_the_database_is_away_and_unknown_ones_are_not_let_in() {
    let mut world = World::on(Database::Postgres);
    listen(&mut world);
    world.env("RECONCILE_HTTP_LISTEN", "0.0.0.0:0").env("RECONCILE_HTTP_INSECURE", "true");
    let token = make(&world, "prometheus", "read");
    let mut daemon = start(&world);
    let there = SocketAddr::from(([127, 0, 0, 1], address(&daemon).port()));
    ask_as(there, &token, "/metrics").expect(200);
    world.server().unwrap().stop();
    let page = ask_as(there, &token, "/metrics").expect(200).body;
    assert!(page.contains("reconcile_turns_total{outcome=\"done\"} 1"), "{page}");
    ask_as(there, &token.replace("rct_", "rct-"), "/metrics").expect(401);
    // What was looked up a moment ago is good for a second.
    settle(LATE, &503, || ask_as(there, &token, "/api/v1/status").status);
    assert_eq!(ask_as(there, &token, "/api/v1/status").expect(503).json()["title"], "Service Unavailable");
    end_without_database(daemon);

    daemon = world.spawn(&["-v"]);
    daemon.wait_for("until then nobody is let in", LATE);
    daemon.wait_for("listening on http://", LATE);
    let there = SocketAddr::from(([127, 0, 0, 1], address(&daemon).port()));
    get(there, "/healthz").expect(200);
    ask_as(there, &token, "/metrics").expect(503);
    world.server().unwrap().start_again();
    settle(LATE, &200, || ask_as(there, &token, "/metrics").status);
    end(daemon);
}

#[test]
fn those_who_ask_while_the_database_stands_still_wait_for_it_together() {
    let mut world = World::on(Database::Postgres);
    listen(&mut world);
    let token = make(&world, "prometheus", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    ask_as(there, &token, "/api/v1/me").expect(200);
    world.server().unwrap().freeze();
    // Until what the database said last is not fresh any more.
    std::thread::sleep(Duration::from_secs(6));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ask_as(there, &token, "/api/v1/me").expect(200));
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    world.server().unwrap().wake();
    end(daemon);
}

/// As [`end`], where the lease cannot be given back.
#[track_caller]
fn end_without_database(daemon: crate::fixture::process::Running) {
    daemon.signal(rustix::process::Signal::TERM);
    daemon.finish(Duration::from_secs(12)).expect_code(0);
}
