//! Tasks on a real broker: sent once, with or without their credentials, and what is read of their results.

mod celery;
pub(crate) mod hostile;
mod results;

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use serde_json::{Value as Json, json};

use super::*;
use crate::guard::{Environment, Transport};
use crate::port::handoff::{Entry, HandOff};
use crate::port::keys::{KeyRing, SHORTEST};
use crate::port::redis::testing::Server;
use crate::port::redis::{Bindings, Limits, Redis, RedisTarget};

const HOUR: Duration = Duration::from_secs(3600);
const QUEUE: &str = "instance_provisioning";

fn redis(server: &Server, prefix: &str) -> Redis {
    let target = RedisTarget::parse(&Secret::new(server.url()), Transport::Verified).unwrap();
    Redis::new(target, prefix.to_owned(), Limits::default())
}

fn owner() -> Owner {
    Owner::new(Environment::new("development").unwrap(), Uuid::from_u128(7))
}

fn owned(server: &Server, prefix: &str) -> Owned {
    Owned::new(redis(server, prefix), owner(), Bindings::default())
}

fn style(arguments: Arguments, credentials: Credentials) -> Style {
    Style {
        task: "instance.provision_instance".to_owned(),
        queue: QUEUE.to_owned(),
        prefix: String::new(),
        arguments,
        credentials,
    }
}

fn inline() -> Style {
    style(Arguments::Keyword, Credentials::Inline)
}

fn by_reference() -> Style {
    style(Arguments::Keyword, Credentials::Reference { life: 3 * HOUR })
}

/// Broker and hand-off in one database.
fn on(server: &Server, style: Style) -> (HandOff, Dispatcher) {
    let waiting = owned(server, "");
    let dispatcher = Dispatcher::new(owned(server, ""), style, Some(&waiting)).unwrap();
    (HandOff::redis(waiting), dispatcher)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x7a5c_0000_0000_4000_8000_0000_0000_0000 + number)
}

fn instance(number: u128) -> Uuid {
    Uuid::from_u128(0xfbaa_8c92_0000_4000_8000_0000_0000_0000 + number)
}

fn key(number: u128) -> String {
    format!("instance:{}:db_credentials", instance(number))
}

fn credentials(number: u128) -> String {
    json!({"db_host": "postgres-pool-1", "db_port": 5432, "db_password": format!("staple{number}")}).to_string()
}

fn task(number: u128) -> Task {
    Task { id: id(number), instance: instance(number), credentials_key: key(number), inline: None, fencing: 1 }
}

async fn put(handoff: &HandOff, number: u128) {
    let secret = Secret::new(credentials(number));
    handoff.put(vec![Entry { key: key(number), secret, life: HOUR }]).await.remove(0).unwrap();
}

async fn send(dispatcher: &Dispatcher, task: Task) -> Sent {
    dispatcher.send(vec![task]).await.remove(0).unwrap()
}

/// The newest message of `queue`, and its body.
fn message(server: &Server, queue: &str) -> (Json, Json) {
    let message: Json = serde_json::from_str(&server.run(&["--raw", "LINDEX", queue, "0"])).unwrap();
    let body = base64::engine::general_purpose::STANDARD.decode(message["body"].as_str().unwrap()).unwrap();
    (message, serde_json::from_slice(&body).unwrap())
}

fn length(server: &Server) -> String {
    server.run(&["LLEN", QUEUE])
}

#[tokio::test]
async fn a_task_is_sent_once_and_takes_its_credentials_along() {
    let server = Server::start();
    let (handoff, dispatcher) = on(&server, inline());
    assert!(!dispatcher.wants_credentials());
    for number in [1, 2] {
        put(&handoff, number).await;
    }
    assert_eq!(dispatcher.sent(&[id(1), id(2)]).await.unwrap(), [false, false]);
    assert_eq!(send(&dispatcher, task(1)).await, Sent::Now);
    let (sent, body) = message(&server, QUEUE);
    assert_eq!(sent["headers"]["id"], json!(id(1)));
    assert_eq!(sent["headers"]["reconcile_environment"], json!(owner().to_string()));
    let expected: Json = serde_json::from_str(&credentials(1)).unwrap();
    assert_eq!((&body[0], &body[1]), (&json!([instance(1)]), &json!({"db_credentials": expected})));
    assert!(handoff.read(&key(1)).await.unwrap().is_none(), "they went with the task");
    assert_eq!(dispatcher.sent(&[id(2), id(1)]).await.unwrap(), [false, true]);

    assert_eq!(send(&dispatcher, task(1)).await, Sent::Before);
    put(&handoff, 1).await;
    assert_eq!(send(&dispatcher, task(1)).await, Sent::Before, "also where new ones wait by now");
    assert_eq!(handoff.read(&key(1)).await.unwrap().unwrap().expose(), credentials(1));
    let mixed = dispatcher.send(vec![task(1), task(2), task(3)]).await;
    let mixed: Vec<_> = mixed.into_iter().map(Result::unwrap).collect();
    assert_eq!(mixed, [Sent::Before, Sent::Now, Sent::NoCredentials]);
    assert_eq!(length(&server), "2");

    let marker = server.run(&["PTTL", &marker(id(1))]).parse::<u128>().unwrap();
    assert!(marker > MARKED.as_millis() - 60_000 && marker <= MARKED.as_millis());
    assert_eq!(dispatcher.sent(&[id(1), id(2), id(3)]).await.unwrap(), [true, true, false]);
}

#[tokio::test]
async fn what_a_later_applier_has_put_is_not_for_an_earlier_one_to_send() {
    for style in [inline(), by_reference()] {
        let server = Server::start();
        let (handoff, dispatcher) = on(&server, style);
        let entry = Entry { key: key(1), secret: Secret::new(credentials(1)), life: HOUR };
        handoff.put_fenced(vec![entry], 2).await.remove(0).unwrap();
        let of = |fencing| Task { fencing, ..task(1) };
        assert_eq!(send(&dispatcher, of(1)).await, Sent::NoCredentials);
        assert_eq!(length(&server), "0");
        assert_eq!(send(&dispatcher, of(2)).await, Sent::Now);
        assert_eq!(send(&dispatcher, of(1)).await, Sent::Before);
        assert_eq!(length(&server), "1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_who_send_at_once_one_does() {
    let server = Server::start();
    let (handoff, _) = on(&server, inline());
    put(&handoff, 1).await;
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let (_, dispatcher) = on(&server, inline());
            tokio::spawn(async move { send(&dispatcher, task(1)).await })
        })
        .collect();
    let mut now = 0;
    for sender in senders {
        now += usize::from(sender.await.unwrap() == Sent::Now);
    }
    assert_eq!((now, length(&server)), (1, "1".to_owned()));
}

#[tokio::test]
async fn nothing_is_done_where_the_task_cannot_be_whole() {
    let server = Server::start();
    let (handoff, dispatcher) = on(&server, inline());
    assert_eq!(send(&dispatcher, task(1)).await, Sent::NoCredentials);
    assert_eq!(server.run(&["DBSIZE"]), "2", "the mark alone, and its witness");
    for malformed in ["", "staple", "[1]", r#"{"staple": "#, "{} {}"] {
        server.run(&["SET", &key(1), malformed]);
        let refused = dispatcher.send(vec![task(1)]).await.remove(0).unwrap_err();
        assert!(
            matches!(&refused, TaskError::Malformed { key: named } if *named == key(1)),
            "{malformed}: {refused:?}"
        );
        assert!(!format!("{refused}{refused:?}{}", refused.hint().unwrap()).contains("staple"));
        assert_eq!(server.run(&["DBSIZE"]), "3", "{malformed}");
    }

    put(&handoff, 1).await;
    server.run(&["SET", QUEUE, "not a list"]);
    let refused = dispatcher.send(vec![task(1), task(2)]).await;
    let [Err(TaskError::Redis(error)), Ok(Sent::NoCredentials)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(error.cause(), Some(&Cause::Foreign));
    server.run(&["DEL", QUEUE]);
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = dispatcher.send(vec![task(1)]).await.remove(0).unwrap_err();
    let TaskError::Redis(error) = &refused else { panic!("{refused:?}") };
    assert_eq!(error.cause(), Some(&Cause::Full));
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(handoff.read(&key(1)).await.unwrap().unwrap().expose(), credentials(1), "they wait still");
    assert_eq!(dispatcher.sent(&[id(1)]).await.unwrap(), [false]);
    assert_eq!(send(&dispatcher, task(1)).await, Sent::Now);
}

#[tokio::test]
async fn a_reference_leaves_the_credentials_waiting_for_longer() {
    let server = Server::start();
    let other = Server::start();
    for (where_they_wait, holder) in [("here", &server), ("there", &other)] {
        server.run(&["FLUSHALL"]);
        let waiting = owned(holder, "hand:");
        let style = Style { prefix: "noor:".to_owned(), ..by_reference() };
        let dispatcher = Dispatcher::new(owned(&server, "hand:"), style, Some(&waiting)).unwrap();
        let handoff = HandOff::redis(waiting);
        assert!(!dispatcher.wants_credentials());
        assert_eq!(send(&dispatcher, task(1)).await, Sent::NoCredentials, "{where_they_wait}");
        put(&handoff, 1).await;
        assert_eq!(send(&dispatcher, task(1)).await, Sent::Now, "{where_they_wait}");
        let (_, body) = message(&server, &format!("noor:{QUEUE}"));
        let name = format!("hand:{}", key(1));
        assert_eq!(body[1], json!({"db_credentials_key": name}));
        let left = |holder: &Server| holder.run(&["PTTL", &name]).parse::<u128>().unwrap();
        assert!(left(holder) > 2 * HOUR.as_millis(), "{where_they_wait}: {}", left(holder));
        assert_eq!(handoff.take(&key(1)).await.unwrap().unwrap().secret().expose(), credentials(1));
        assert_eq!(send(&dispatcher, task(1)).await, Sent::Before, "{where_they_wait}");

        holder.run(&["SET", &format!("hand:{}", key(2)), &credentials(2), "PX", "999999999"]);
        holder.run(&["SET", &format!("hand:{}", key(3)), &credentials(3)]);
        let more = dispatcher.send(vec![task(2), task(3)]).await;
        assert!(more.into_iter().all(|sent| sent.unwrap() == Sent::Now));
        assert!(
            holder.run(&["PTTL", &format!("hand:{}", key(2))]).parse::<u128>().unwrap() > 999_000_000,
            "not shortened"
        );
        assert_eq!(holder.run(&["PTTL", &format!("hand:{}", key(3))]), "-1");
    }
}

#[tokio::test]
async fn what_waits_elsewhere_is_passed_on_and_stays() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let refused = Dispatcher::new(owned(&server, ""), by_reference(), None).err().unwrap();
    assert!(matches!(refused, TaskError::Unreachable) && refused.hint().unwrap().contains("inline"));

    let other = Server::start();
    let there = owned(&other, "");
    for (handoff, waiting) in [(embedded(home.path()), None), (HandOff::redis(there.clone()), Some(&there))] {
        server.run(&["FLUSHALL"]);
        let dispatcher = Dispatcher::new(owned(&server, ""), inline(), waiting).unwrap();
        assert!(dispatcher.wants_credentials());
        assert_eq!(send(&dispatcher, task(1)).await, Sent::NoCredentials);
        put(&handoff, 1).await;
        let with = |inline| Task { inline, ..task(1) };
        let read = handoff.read(&key(1)).await.unwrap();
        assert_eq!(send(&dispatcher, with(read)).await, Sent::Now);
        let expected: Json = serde_json::from_str(&credentials(1)).unwrap();
        assert_eq!(message(&server, QUEUE).1[1]["db_credentials"], expected);
        let again = handoff.read(&key(1)).await.unwrap();
        assert!(again.is_some(), "until the dispatch is recorded");
        assert_eq!(send(&dispatcher, with(again)).await, Sent::Before);
        assert_eq!(send(&dispatcher, with(None)).await, Sent::Before, "also when they are gone by now");
        assert_eq!(length(&server), "1");
    }
}

fn embedded(home: &Path) -> HandOff {
    let ring = KeyRing::new(vec![Secret::new("a".repeat(SHORTEST))]).unwrap();
    HandOff::embedded(home, &owner(), Arc::new(ring))
}

#[tokio::test]
async fn bodies_of_every_length_arrive_as_they_are() {
    let server = Server::start();
    let (_, dispatcher) = on(&server, inline());
    for number in 0..12 {
        let written =
            json!({"db_password": "ü\"\\\u{1}\u{7f}€".repeat(2) + &"x".repeat(usize::try_from(number).unwrap())});
        let secret = Secret::new(written.to_string());
        let (handoff, _) = on(&server, inline());
        handoff.put(vec![Entry { key: key(number), secret, life: HOUR }]).await.remove(0).unwrap();
        assert_eq!(send(&dispatcher, task(number)).await, Sent::Now);
        assert_eq!(message(&server, QUEUE).1[1]["db_credentials"], written);
    }
}

#[tokio::test]
async fn a_thousand_tasks_go_in_pipelines() {
    let server = Server::start();
    let (handoff, dispatcher) = on(&server, inline());
    let entry = |number| Entry { key: key(number), secret: Secret::new(credentials(number)), life: HOUR };
    assert!(handoff.put((0..1000).map(entry).collect()).await.iter().all(Result::is_ok));
    server.forget_calls();
    let sent = dispatcher.send((0..1000).map(task).collect()).await;
    assert!(sent.into_iter().all(|sent| sent.unwrap() == Sent::Now));
    let ids: Vec<Uuid> = (0..1000).map(id).collect();
    assert_eq!(dispatcher.sent(&ids).await.unwrap(), [true; 1000]);
    let reads = server.count("total_reads_processed");
    assert!(reads < 500, "{reads} reads for a thousand tasks, three commands each");
    assert_eq!((length(&server), server.run(&["DBSIZE"])), ("1000".to_owned(), "1004".to_owned()));
}

#[tokio::test]
async fn without_a_broker_each_task_has_its_error() {
    let mut server = Server::start();
    let (handoff, dispatcher) = on(&server, inline());
    put(&handoff, 1).await;
    server.stop();
    let sent = dispatcher.send(vec![task(1), task(2)]).await;
    let refused: Vec<_> = sent.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|error| error.hint().is_some()), "{refused:?}");
    assert!(dispatcher.sent(&[id(1)]).await.is_err());
}
