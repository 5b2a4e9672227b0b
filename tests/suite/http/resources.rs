//! The list of resources: how each stands, found and turned over by pages, the same for all who ask.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::listen;
use super::tokens::{ask_as, make};
use crate::daemon::{LATE, end, sessions, settle, start};
use crate::fixture::http::{address, get};
use crate::fixture::{Database, World, both};

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
        let third = if world.database() == Database::Postgres { "in_sync" } else { "changed" };
        let third = format!("session/3 {third}");
        let wanted = [
            "session/1 in_sync", "session/2 suspended", &third, "session/4 suspended", "host/1 in_sync", "host/9 blocked",
        ];
        settle(LATE, &wanted.map(str::to_owned).to_vec(), states);

        let one = |query: &str| list(there, &token, query)["resources"][0].clone();
        let blocked = one("state=blocked");
        let reason = blocked["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("session 9 does not exist in sessions"), "{reason}");
        assert!(blocked["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{blocked}");
        assert_eq!(one("q=two")["reason"].as_str().map(|reason| reason.contains("Under repair")), Some(true));
        if world.database() == Database::Sqlite {
            let third = one("state=drift");
            assert_eq!((&third["action"], &third["drift"], &third["declared"]),
                       (&json!("update"), &json!(true), &json!("desired-state/b.yaml:5:5")));
            assert_eq!(third["details"], json!(["title \"Drei\" -> \"Three\""]));
        }
        assert_eq!(found(there, &token, "kind=host&state=in_sync"), ["host/1"]);
        assert_eq!(found(there, &token, "q=SESSION%2F"), ["session/1", "session/2", "session/3", "session/4"]);
        assert_eq!(found(there, &token, "q=nothing+of+this"), Vec::<String>::new());

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
    settle(LATE, &Vec::new(), || found(there, &token, "q=number+50."));
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
fn of_more_than_are_kept_the_state_alone_is_told() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.write("desired-state/a.yaml", &many(1..=10_002));
    world.run(&["suspend", "--reason", "Not before Monday"]).expect_code(0);
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let rest = list(address(&daemon), &token, "state=suspended&after=session%2F9999");
    let told = |row: &Json| (row["address"].clone(), row["reason"].is_string(), row["title"].clone());
    let rows: Vec<_> = rest["resources"].as_array().unwrap().iter().map(told).collect();
    let row = |id: u32, is_told| (json!(format!("session/{id}")), is_told, json!(format!("Number {id}.")));
    assert_eq!(rows, [row(10_000, true), row(10_001, false), row(10_002, false)]);
    end(daemon);
}
