//! Reconcile now: whoever is asked, the answer is the turn that did it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::act::{Client, detail};
use super::listen;
use crate::daemon::{LATE, calm, end, found, name, sessions, settle, start, titled, turns};
use crate::fixture::{Database, World, both};

const NOW: &str = "/api/v1/reconcile";

both! {
    fn a_turn_is_asked_for_and_answered_with_the_turn_that_did_it(world) {
        listen(world);
        let daemon = start(world);
        let client = Client::new(world, &daemon, "operate");
        let before = calm(&daemon);
        // Past the triggers by which PostgreSQL tells of it, so that what was asked for is the only turn.
        let silently = if world.database() == Database::Postgres { "SET session_replication_role = replica; " } else { "" };
        world.sql(&format!("{silently}UPDATE sessions SET title = 'Drifted'"));
        let begun = Instant::now();
        let answer = client.post(NOW, "{\"reason\": \"Deployed\"}").expect(200).json();
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(found(world), "One");
        let turn = &answer["turn"];
        assert_eq!((turn["outcome"].as_str(), turn["summary"].as_str()), (Some("done"), Some("1 to update. 0 unchanged, 0 unmanaged.")), "{answer}");
        assert!(turn["holder"].as_str().is_some_and(|holder| holder.starts_with(&name(&daemon))), "{answer}");
        assert_eq!((answer["asked_by"].as_str(), answer["reason"].as_str()), (Some("token operate"), Some("Deployed")));
        let last = client.get("/api/v1/status").expect(200).json()["last_turn"].clone();
        for field in ["run", "holder", "started_at", "finished_at", "outcome", "summary", "revision"] {
            assert_eq!(turn[field], last[field], "{field}");
        }
        let again = client.get(&format!("/api/v1/requests/{}", answer["id"].as_str().unwrap())).expect(200);
        assert_eq!(again.json(), answer);
        assert_eq!(calm(&daemon) - before, 1);
        client.get("/api/v1/requests/11111111-2222-4333-8444-555555555555").expect(404);
        client.get("/api/v1/requests/215").expect(404);
        client.post(NOW, "{\"wait\": 31}").expect(422);
        end(daemon);
    }

    fn many_who_ask_at_once_share_a_turn(world) {
        listen(world);
        let daemon = start(world);
        let client = Client::new(world, &daemon, "operate");
        let before = calm(&daemon);
        let answers: Vec<String> = std::thread::scope(|scope| {
            let ask = || client.post(NOW, "").expect(200).json()["turn"]["run"].as_str().unwrap().to_owned();
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(answers.len(), 16);
        assert!(calm(&daemon) - before < 16, "{} turns", turns(&daemon) - before);
        assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_requests WHERE handled_at IS NULL"), "0\n");
        end(daemon);
    }

    fn a_follower_may_be_asked_and_the_leader_answers(world) {
        listen(world);
        let leader = start(world);
        let mut follower = world.spawn(&["-v"]);
        follower.wait_for("following: ", LATE);
        let client = Client::new(world, &follower, "operate");
        world.sql("UPDATE sessions SET title = 'Drifted'");
        let answer = client.post(NOW, "").expect(200).json();
        assert!(answer["turn"]["holder"].as_str().is_some_and(|holder| holder.starts_with(&name(&leader))), "{answer}");
        assert_eq!(found(world), "One");
        end(leader);
        end(follower);
    }

    fn what_was_asked_for_survives_its_leader(world) {
        listen(world);
        world.env("RECONCILE_LEASE", "2s");
        let leader = start(world);
        let mut follower = world.spawn(&["-v"]);
        follower.wait_for("following: ", LATE);
        let client = Client::new(world, &follower, "operate");
        leader.signal(Signal::STOP);
        let waiting = client.post(NOW, "{\"wait\": 0}").expect(202);
        let at = waiting.header("location").unwrap().to_owned();
        assert_eq!(at, format!("/api/v1/requests/{}", waiting.json()["id"].as_str().unwrap()));
        assert!(waiting.json()["turn"].is_null(), "{}", waiting.body);
        leader.signal(Signal::KILL);
        settle(LATE, &200, || client.get(&at).status);
        let answer = client.get(&at).expect(200).json();
        assert!(answer["turn"]["holder"].as_str().is_some_and(|holder| holder.starts_with(&name(&follower))), "{answer}");
        end(follower);
    }

    fn a_leader_that_was_overtaken_passes_the_question_on(world) {
        listen(world);
        world.env("RECONCILE_LEASE", "1s");
        let overtaken = start(world);
        let client = Client::new(world, &overtaken, "operate");
        let mut other = world.spawn(&["-v"]);
        other.wait_for("following: ", LATE);
        overtaken.signal(Signal::STOP);
        other.wait_for("the turn is over", LATE);
        overtaken.signal(Signal::CONT);
        let answer = client.post(NOW, "").expect(200).json();
        assert!(answer["turn"]["holder"].as_str().is_some_and(|holder| holder.starts_with(&name(&other))), "{answer}");
        end(other);
        end(overtaken);
    }
}

#[test]
fn a_turn_that_fails_or_is_held_answers_too() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let many: Vec<(u32, String)> = (1..=40).map(|id| (id, format!("Title {id}"))).collect();
    let many: Vec<(u32, &str)> = many.iter().map(|(id, title)| (*id, title.as_str())).collect();
    world.write("desired-state/a.yaml", &sessions(&many));
    let daemon = start(&world);
    let client = Client::new(&world, &daemon, "operate");
    world.sql("UPDATE sessions SET title = 'Drifted'");
    let held = client.post(NOW, "").expect(200).json();
    assert!(held["turn"]["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("not applied: ")), "{held}");
    let digest = held["turn"]["outcome"].as_str().unwrap().split_whitespace().rev().nth(2).unwrap().to_owned();
    client.post("/api/v1/approve", &format!("{{\"digest\": \"{digest}\", \"reason\": \"Meant\"}}")).expect(200);
    settle(LATE, &"40\n".to_owned(), || world.sql("SELECT COUNT(*) FROM sessions WHERE title LIKE 'Title%'"));

    world.write("desired-state/a.yaml", "sessions:\n  - id: one\n");
    for _ in 0..2 {
        let failed = client.post(NOW, "").expect(200).json();
        let outcome = failed["turn"]["outcome"].as_str().unwrap_or_default();
        assert!(outcome.starts_with("still enforcing ") && outcome.contains("1 problem in the files"), "{failed}");
    }
    end(daemon);
}

#[test]
fn while_the_database_is_away_nothing_is_done_and_that_is_said() {
    let mut world = World::on(Database::Postgres);
    listen(&mut world);
    let daemon = start(&world);
    let client = Client::new(&world, &daemon, "secrets");
    world.server().unwrap().stop();
    for path in ["/api/v1/reconcile", "/api/v1/hosts/1/claim"] {
        let away = client.post(path, "").expect(503);
        assert_eq!(away.header("content-type"), Some("application/problem+json"));
    }
    world.server().unwrap().start_again();
    settle(LATE, &200, || client.post(NOW, "").status);
    end(daemon);
}

#[test]
fn requests_are_bounded_and_old_answers_forgotten() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let daemon = start(&world);
    let client = Client::new(&world, &daemon, "operate");
    let old = client.post(NOW, "").expect(200).json()["id"].as_str().unwrap().to_owned();
    world.sql("UPDATE reconcile_requests SET handled_at = '2020-01-01T00:00:00.000000+00:00'");
    client.post(NOW, "").expect(200);
    client.get(&format!("/api/v1/requests/{old}")).expect(404);
    world.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
         INSERT INTO reconcile_requests (request_id, asked_by, asked_at, handled_at)
         SELECT printf('00000000-0000-4000-8000-%012d', i), 'token x', '2020-01-01', '9999-01-01' FROM n",
    );
    let refused = client.post(NOW, "").expect(503);
    assert_eq!(detail(&refused), "more turns were asked for in a day than are kept");
    titled(&world, LATE, &["One"]);
    end(daemon);
}
