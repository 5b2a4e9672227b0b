//! Wrong tries are slowed down and counted, however many come at once; what is right is never refused.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::daemon::{end, start};
use crate::fixture::http::{Answer, address, ask};
use crate::fixture::{Database, World, both};
use crate::http::act::{Client, detail, with_a_session};
use crate::http::listen;
use crate::http::tokens::{ask_as, make};

const WRONG: &str = "51179767-693b-49a1-b753-380ca3bb39f7";

/// The statuses of so many of these at once.
fn at_once(count: usize, ask: impl Fn() -> Answer + Sync) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn with(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

both! {
    fn the_right_guid_gets_in_whoever_else_tries(world) {
        world.write("desired-state/c.yaml", "hosts: [{session: 1}, {session: 215}]\n");
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "secrets");
        let verify = |client: &Client, guid: &str| {
            client.post("/api/v1/hosts/215/verify", &format!("{{\"guid\": \"{guid}\"}}"))
        };
        let guid = client.post("/api/v1/hosts/215/claim", "").expect(200).json()["guid"].as_str().unwrap().to_owned();

        let begun = Instant::now();
        let wrong = at_once(60, || verify(&client, WRONG));
        assert_eq!((with(&wrong, 200), with(&wrong, 429)), (5, 55), "five are told that they are wrong");
        assert!(wrong.iter().filter(|answer| answer.status == 200).all(|answer| answer.json()["valid"] == false));
        // The others have to wait for it.
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
        let late = verify(&client, "nonsense").expect(429);
        assert_eq!(detail(&late), "that was wrong, like more than 5 tries within 1m");
        let rest: u32 = late.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&rest), "{rest}");

        // The rightful host, by the same application from the same address, a hundred times, and while others try.
        let others = || {
            (0..3).for_each(|_| assert_eq!(verify(&client, WRONG).status, 429));
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(others)));
            for _ in 0..100 {
                assert_eq!(verify(&client, &guid).expect(200).json(), json!({ "valid": true }));
            }
        });
        // So is what waits to be claimed; and another token is another caller.
        let first = client.post("/api/v1/hosts/1/claim", "").expect(200);
        assert!(first.json()["guid"].is_string());
        client.post("/api/v1/hosts/1/claim", "").expect(429);
        let another = Client::new(world, &daemon, "operate");
        assert_eq!(verify(&another, WRONG).expect(200).json(), json!({ "valid": false }));
        let page = another.get("/metrics").expect(200).body;
        assert!(page.lines().any(|line| line == "reconcile_http_wrong_tries_total{what=\"secret\"} 75"), "{page}");
        end(daemon);
    }
}

#[test]
fn claims_of_what_is_not_there_are_counted_before_they_are_looked_up() {
    let mut world = World::on(Database::Sqlite);
    world.write("desired-state/c.yaml", "hosts: [{session: 1}]\n");
    let daemon = with_a_session(&mut world);
    let client = Client::new(&world, &daemon, "secrets");
    let missing = at_once(30, || client.post("/api/v1/hosts/999/claim", ""));
    assert_eq!((with(&missing, 404), with(&missing, 429)), (5, 25));
    // What acts is no try.
    client.post("/api/v1/hosts", "{\"session\": 215}").expect(201);
    client.post("/api/v1/hosts/215/claim", "").expect(200);
    let path = "/api/hostprovisioner/generate";
    (0..20).for_each(|_| drop(client.post(path, "{\"sessionId\": 215, \"createdBy\": \"N\"}").expect(200)));
    end(daemon);
}

#[test]
fn wrong_tokens_are_slowed_down_and_the_right_one_is_let_in() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let token = make(&world, "reader", "read");
    let daemon = start(&world);
    let there = address(&daemon);
    // One that is well made, and that nobody knows.
    let mut elsewhere = World::on(Database::Sqlite);
    listen(&mut elsewhere);
    let unknown = make(&elsewhere, "stranger", "read");
    for wrong in [unknown.as_str(), "nonsense"] {
        let refused = at_once(60, || ask_as(there, wrong, "/api/v1/me"));
        assert!(with(&refused, 401) <= 20 && with(&refused, 401) + with(&refused, 429) == 60, "{wrong}");
        assert!(with(&refused, 429) >= 40, "{wrong}");
    }
    for _ in 0..50 {
        ask_as(there, &token, "/api/v1/me").expect(200);
    }
    // A page's password is a token as well.
    let basic = [("authorization", "Basic bm9vcjpodXNo")];
    let refused = ask(there, "GET", "/page/", &basic, "").expect(429);
    assert_eq!(detail(&refused), "that was wrong, like more than 20 tries within 1m");
    // And one that was made meanwhile is good, wherever the wrong ones came from.
    let new = make(&world, "new", "read");
    ask_as(there, &new, "/api/v1/me").expect(200);
    end(daemon);
}

both! {
    fn a_token_is_good_at_every_replica_as_soon_as_it_is_made(world) {
        listen(world);
        let first = make(world, "first", "read");
        let daemons = [start(world), {
            let mut follower = world.spawn(&["-v"]);
            follower.wait_for("following: ", crate::daemon::LATE);
            follower
        }];
        for number in 0..5 {
            for daemon in &daemons {
                ask_as(address(daemon), &first, "/api/v1/me").expect(200);
            }
            let token = make(world, &format!("token-{number}"), "read");
            for daemon in &daemons {
                ask_as(address(daemon), &token, "/api/v1/me").expect(200);
            }
        }
        let [leader, follower] = daemons;
        end(follower);
        end(leader);
    }
}
