//! Under one key an action is done once, and no repetition gives a secret away.

use std::time::Duration;

use rustix::process::Signal;

use super::act::{Client, detail, with_a_session};
use crate::daemon::{LATE, end, settle, start};
use crate::fixture::http::send;
use crate::fixture::{Database, World, both};

const CREATE: &str = "{\"session\": 215, \"reason\": \"R\"}";

fn generation(world: &World) -> String {
    world.sql("SELECT generation FROM host_sessions")
}

both! {
    fn what_was_done_under_a_key_is_answered_again_and_not_done_again(world) {
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "secrets");
        let made = client.post_under("make-1", "/api/v1/hosts", CREATE).expect(201);
        assert_eq!(made.header("idempotency-replayed"), None);
        let again = client.post_under("make-1", "/api/v1/hosts", CREATE).expect(201);
        assert_eq!((again.json(), again.header("idempotency-replayed")), (made.json(), Some("true")));
        assert_eq!(generation(world), "1\n");
        let other = client.post_under("make-1", "/api/v1/hosts", "{\"session\": 215}").expect(422);
        assert!(detail(&other).contains("was used for another request"), "{}", other.body);
        client.post_under("make-1", "/api/v1/hosts/215/revoke", CREATE).expect(422);
        client.post_under("two words", "/api/v1/hosts", CREATE).expect(400);

        // A key is its token's own.
        let another = Client::new(world, &daemon, "operate");
        assert_eq!(another.post_under("make-1", "/api/v1/hosts", CREATE).expect(201).json()["done"], "rotate");
        let waiting = client.post_under("now-1", "/api/v1/reconcile", "{\"wait\": 0}");
        let again = client.post_under("now-1", "/api/v1/reconcile", "{\"wait\": 0}");
        assert_eq!((waiting.status, waiting.header("location"), waiting.json()), (again.status, again.header("location"), again.json()));
        assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_requests"), "1\n");
        end(daemon);
    }

    fn what_was_refused_is_not_kept_and_what_is_broken_off_is_free_again(world) {
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "secrets");
        client.post_under("key", "/api/v1/hosts/215/rotate", "{\"reason\": \"R\"}").expect(404);
        client.post("/api/v1/hosts", CREATE).expect(201);
        client.post_under("key", "/api/v1/hosts/215/rotate", "{\"reason\": \"R\"}").expect(200);
        assert_eq!(generation(world), "2\n");

        // As a crash between the action and its record leaves it: under way, and after a while free again.
        world.sql("UPDATE reconcile_idempotency SET status = NULL, answer = NULL");
        let busy = client.post_under("key", "/api/v1/hosts/215/rotate", "{\"reason\": \"R\"}").expect(409);
        assert_eq!((detail(&busy).as_str(), busy.header("retry-after")), ("the request of this Idempotency-Key is still under way", Some("1")));
        world.sql("UPDATE reconcile_idempotency SET begun_at = '2020-11-01T00:00:00.000000+00:00'");
        client.post_under("old", "/api/v1/hosts/215/rotate", "{\"reason\": \"R\"}").expect(200);
        assert_eq!(world.sql("SELECT word FROM reconcile_idempotency"), "old\n", "a day is over");
        end(daemon);
    }

    fn of_many_at_once_under_one_key_one_acts(world) {
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "operate");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let ask = || client.post_under("same", "/api/v1/hosts", CREATE).status;
            let threads: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(statuses.contains(&201) && statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
        assert_eq!(generation(world), "1\n");
        end(daemon);
    }

    fn whoever_hangs_up_breaks_nothing_off(world) {
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "operate");
        for pause in 0..24 {
            let headers = [("content-type", "application/json"), ("idempotency-key", &format!("gone-{pause}"))];
            // Another reason each time: the same one again would change nothing.
            let body = format!("{{\"reason\": \"R{pause}\"}}");
            let connection = send(client.there, &client.request("POST", "/api/v1/suspend", &headers, &body));
            std::thread::sleep(Duration::from_millis(pause));
            drop(connection);
        }
        // Some were gone before anything began; what has begun, ends.
        std::thread::sleep(Duration::from_secs(1));
        settle(LATE, &"0\n".to_owned(), || world.sql("SELECT COUNT(*) FROM reconcile_idempotency WHERE status IS NULL"));
        let done = world.sql("SELECT COUNT(*) FROM reconcile_idempotency WHERE status = 200");
        assert_ne!(done, "0\n");
        assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_journal WHERE action = 'suspend'"), done);
        end(daemon);
    }
}

#[test]
fn a_key_whose_daemon_died_is_free_after_a_while() {
    let mut world = World::on(Database::Sqlite);
    world.env("RECONCILE_LEASE", "1s");
    let daemon = with_a_session(&mut world);
    let client = Client::new(&world, &daemon, "operate");
    client.post_under("key", "/api/v1/suspend", "{\"reason\": \"R\"}").expect(200);
    daemon.signal(Signal::KILL);
    world.sql("UPDATE reconcile_idempotency SET status = NULL, answer = NULL");
    let mut daemon = world.spawn(&["-v"]);
    daemon.wait_for("the turn is over", LATE);
    let client = client.at(&daemon);
    client.post_under("key", "/api/v1/suspend", "{\"reason\": \"R\"}").expect(409);
    // Four minutes ago.
    world.sql(
        "UPDATE reconcile_idempotency SET begun_at = strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', 'now', '-4 minutes')",
    );
    let again = client.post_under("key", "/api/v1/suspend", "{\"reason\": \"R\"}").expect(200);
    assert_eq!(again.header("idempotency-replayed"), None);
    end(daemon);
}

#[test]
fn the_least_rights_are_enough_with_postgres() {
    let mut world = crate::rights::manual();
    world.env("RECONCILE_HTTP_LISTEN", "127.0.0.1:0").env("RECONCILE_INTERVAL", "1h");
    let daemon = start(&world);
    let client = Client::new(&world, &daemon, "operate");
    for replayed in [None, Some("true")] {
        let answer = client.post_under("key", "/api/v1/reconcile", "").expect(200);
        assert_eq!(answer.header("idempotency-replayed"), replayed);
    }
    // What is refused gives its key back, and what is old is forgotten: both want a right of their own.
    client.post_under("another", "/api/v1/hosts/1/verify", "{}").expect(422);
    client.post_under("another", "/api/v1/reconcile", "").expect(200);
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_requests WHERE handled_at IS NOT NULL"), "2\n");
    end(daemon);
}

#[test]
fn keys_are_bounded_and_the_oldest_are_forgotten() {
    let mut world = World::on(Database::Sqlite);
    let daemon = with_a_session(&mut world);
    let client = Client::new(&world, &daemon, "operate");
    world.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10005)
         INSERT INTO reconcile_idempotency (token, word, digest, attempt, begun_at)
         SELECT 'operate', 'word-' || i, printf('%064d', 0), '00000000-0000-4000-8000-000000000000',
                printf('9999-01-01T00:00:00.%06d+00:00', i) FROM n",
    );
    client.post_under("key", "/api/v1/resume", "{\"reason\": \"R\"}").expect(200);
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_idempotency"), "10000\n");
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_idempotency WHERE word = 'word-1'"), "0\n");
    end(daemon);
}
