//! The list of resources: how each stands, found and turned over by pages, the same for all who ask.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::listen;
use super::tokens::{ask_as, make};
use crate::daemon::{LATE, end, sessions, settle, start};
use crate::fixture::http::{address, get};
use crate::fixture::{Database, Sandbox, World, both};

#[track_caller]
fn list(there: SocketAddr, token: &str, query: &str) -> Json {
    ask_as(there, token, &format!("/api/v1/resources?{query}")).expect(200).json()
}

/// The addresses of what is found.
#[track_caller]
fn found(there: SocketAddr, token: &str, query: &str) -> Vec<String> {
    let list = list(there, token, query);
    let rows = list["resources"].as_array().expect("a list");
    rows.iter().map(|row| row["address"].as_str().expect("an address").to_owned()).collect()
}

both! {
    fn each_resource_is_told_with_how_it_stands(world) {
        listen(world);
        world.write("desired-state/b.yaml", &sessions(&[(2, "Two"), (3, "Three")]));
        world.write("desired-state/h.yaml", "hosts: [{session: 1}, {session: 9}]\n");
        let token = make(world, "reader", "read");
        world.run(&["--once"]).expect_code(0);
        world.run(&["suspend", "session/2", "--reason", "Under repair"]).expect_code(0);
        world.write("desired-state/c.yaml", &sessions(&[(4, "Four")]));
        world.run(&["suspend", "session/4", "--reason", "Not yet"]).expect_code(0);
        let daemon = start(world);
        let there = address(&daemon);
        world.sql("UPDATE sessions SET title = 'Drei' WHERE session_id = 3");
        let states = || {
            let list = list(there, &token, "");
            let rows = list["resources"].as_array().unwrap().clone();
            rows.iter().map(|row| format!("{} {}", row["address"].as_str().unwrap(), row["state"].as_str().unwrap())).collect::<Vec<_>>()
        };
        // In PostgreSQL the daemon is told of what somebody else writes, and has put it right; in SQLite it is not.
        let third = if world.database() == Database::Postgres { "in_sync" } else { "drifted" };
        let third = format!("session/3 {third}");
        let wanted = [
            "session/1 in_sync", "session/2 suspended", &third, "session/4 blocked", "host/1 in_sync", "host/9 blocked",
        ];
        settle(LATE, &wanted.map(str::to_owned).to_vec(), states);

        let one = |query: &str| list(there, &token, query)["resources"][0].clone();
        assert_eq!(found(there, &token, "state=suspended"), ["session/2", "session/4"]);
        let blocked = one("state=blocked&kind=hosts");
        let reason = blocked["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("session 9 does not exist in sessions"), "{reason}");
        assert!(blocked["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{blocked}");
        assert_eq!(one("q=two")["reason"].as_str().map(|reason| reason.contains("Under repair")), Some(true));
        if world.database() == Database::Sqlite {
            let third = one("state=drifted");
            assert_eq!((&third["action"], &third["states"], &third["declared"]),
                       (&json!("update"), &json!(["drifted", "pending"]), &json!("desired-state/b.yaml:5:5")));
            assert_eq!(third["details"], json!(["title \"Drei\" -> \"Three\""]));
        }
        assert_eq!(found(there, &token, "kind=host&state=in_sync"), ["host/1"]);
        assert_eq!(found(there, &token, "q=SESSION%2F"), ["session/1", "session/2", "session/3", "session/4"]);
        assert_eq!(found(there, &token, "q=nothing+of+this"), Vec::<String>::new());

        // What no file names stands between the others, and a page ends wherever it has to.
        world.sql("INSERT INTO sessions (session_id, title, status, created_by, created_at, updated_at)
                   SELECT session_id * 10, 'Old', status, created_by, created_at, updated_at FROM sessions WHERE session_id IN (1, 2)");
        let more = ["session/1", "session/2", "session/3", "session/4", "session/10", "session/20", "host/1", "host/9"];
        settle(LATE, &more.map(str::to_owned).to_vec(), || found(there, &token, ""));
        assert_eq!(found(there, &token, "state=unmanaged,in_sync&after=session%2F4&limit=2"), ["session/10", "session/20"]);
        assert_eq!(found(there, &token, "state=unmanaged&after=session%2F10"), ["session/20"]);
        assert_eq!(found(there, &token, "limit=1&after=session%2F10"), ["session/20"]);
        let stranger = one("q=OLD");
        assert_eq!((&stranger["state"], &stranger["declared"]), (&json!("unmanaged"), &Json::Null));
        // The command says the same, asked from anywhere.
        let url = format!("http://{there}");
        let guest = |more: &[&str]| {
            let mut sandbox = Sandbox::new();
            sandbox.env("RECONCILE_CLIENT_TOKEN", &token);
            sandbox.run(&[&["list", "--daemon", &url], more].concat()).expect_code(0).stdout
        };
        for more in [&["--format", "csv"][..], &["--only", "blocked,unmanaged"], &["hosts"]] {
            settle(LATE, &true, || guest(more) == world.run(&[&["list"], more].concat()).expect_code(0).stdout);
        }

        get(there, "/api/v1/resources").expect(401);
        let wrong = ask_as(there, &token, "/api/v1/resources?limit=501").expect(400);
        assert_eq!(wrong.json()["detail"], "limit must be a number from 1 to 500");
        world.write("desired-state/d.yaml", "sessions:\n  - id: one\n");
        settle(LATE, &409, || ask_as(there, &token, "/api/v1/resources").status);
        end(daemon);
    }
}

#[test]
fn pages_hold_each_resource_once_whatever_goes_meanwhile() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.write("desired-state/a.yaml", &many(1..=120));
    world.write("desired-state/h.yaml", "hosts: [{session: 7}, {session: 70}]\n");
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(there, &token, &format!("limit=50&after={after}"));
        let rows = page["resources"].as_array().unwrap();
        assert!(rows.len() <= 50);
        seen.extend(rows.iter().map(|row| row["address"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = next.replace('/', "%2F");
    }
    let sessions = (1..=120).map(|id| format!("session/{id}"));
    assert_eq!(seen, sessions.chain(["host/7", "host/70"].map(str::to_owned)).collect::<Vec<_>>());
    // What a page ended with may be gone when the next is asked for.
    world.write("desired-state/a.yaml", &many((1..=120).filter(|id| *id != 50)));
    let next = || found(there, &token, "limit=2&after=session%2F50");
    settle(LATE, &vec!["session/51".to_owned(), "session/52".to_owned()], next);
    settle(LATE, &Vec::new(), || found(there, &token, "state=in_sync,pending&q=number+50."));
    assert_eq!(found(there, &token, "q=number+50."), ["session/50"], "no file names it any more");
    assert_eq!(found(there, &token, "kind=host&after=session%2F50"), ["host/7", "host/70"]);
    assert_eq!(found(there, &token, "kind=session&after=host%2F7"), Vec::<String>::new());
    end(daemon);
}

pub fn many(ids: impl IntoIterator<Item = u32>) -> String {
    let one = |id| format!("  - {{id: {id}, title: 'Number {id}.'}}\n");
    format!("sessions:\n{}", ids.into_iter().map(one).collect::<String>())
}

#[test]
fn many_readers_share_one_picture() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    let plans = || daemon.stderr().matches("the plan is computed").count();
    let before = plans();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| list(there, &token, ""));
        }
    });
    let made = plans() - before;
    // As long as a picture is good for, and one for each such time that this took.
    let most = 1 + begun.elapsed().as_secs() / Duration::from_secs(5).as_secs();
    assert!((1..=most).contains(&(made as u64)), "{made} plans for 20 readers");
    end(daemon);
}

#[test]
fn of_more_than_are_kept_it_is_told_who_has_suspended_them() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.write("desired-state/a.yaml", &many(1..=10_002));
    world.run(&["suspend", "--reason", "Not before Monday"]).expect_code(0);
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let rest = list(address(&daemon), &token, "state=suspended&after=session%2F9999");
    let told = |row: &Json| (row["address"].clone(), row["reason"].is_string(), row["title"].clone());
    let rows: Vec<_> = rest["resources"].as_array().unwrap().iter().map(told).collect();
    let row = |id: u32| (json!(format!("session/{id}")), true, json!(format!("Number {id}.")));
    assert_eq!(rows, [row(10_000), row(10_001), row(10_002)]);
    end(daemon);
}
