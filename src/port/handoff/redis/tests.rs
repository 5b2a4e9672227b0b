//! Secrets in a real Redis: put in bulk, taken once, gone in time, and seen as gone when the server lost them.

use std::time::{Duration, Instant};

use chrono::Utc;

use uuid::Uuid;

use crate::guard::{Environment, Owner, Transport};
use crate::port::handoff::{Entry, HandOff, HandOffError, Probe};
use crate::port::redis::testing::Server;
use crate::port::redis::{Bindings, Cause, Limits, Owned, Redis, RedisTarget};
use crate::secret::Secret;

const KEY: &str = "instance:fbaa8c92-0000-4000-8000-000000000001:db_credentials";
const CLEAR: &str = r#"{"db_password":"correct horse battery staple"}"#;
const MARK: &str = "reconcile:environment";
const WITNESS: &str = "reconcile:owner";
const HOUR: Duration = Duration::from_secs(3600);

fn redis(url: &str, prefix: &str) -> Redis {
    let target = RedisTarget::parse(&Secret::new(url.to_owned()), Transport::Verified).unwrap();
    Redis::new(target, prefix.to_owned(), Limits::default())
}

fn owned(redis: Redis) -> Owned {
    Owned::new(redis, owner("development", 7), Bindings::default())
}

fn owner(environment: &str, identity: u128) -> Owner {
    Owner::new(Environment::new(environment).unwrap(), Uuid::from_u128(identity))
}

fn store(server: &Server) -> HandOff {
    HandOff::redis(owned(redis(&server.url(), "")))
}

fn entry(key: &str, life: Duration) -> Entry {
    Entry { key: key.to_owned(), secret: Secret::new(CLEAR.to_owned()), life }
}

async fn put(store: &HandOff, key: &str, life: Duration) -> Result<(), HandOffError> {
    store.put(vec![entry(key, life)]).await.remove(0)
}

/// The names of all that the server holds, in order.
fn names(server: &Server) -> Vec<String> {
    let mut names: Vec<String> = server.run(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// How many minutes the secret under `key` waits still.
async fn minutes(store: &HandOff, key: &str) -> Option<i64> {
    let until = store.waiting(&[key.to_owned()]).await.unwrap().remove(0);
    until.map(|until| ((until - Utc::now()).num_seconds() + 30) / 60)
}

/// What stands behind an error of Redis, after a look at all that it tells.
#[track_caller]
fn cause(error: &HandOffError) -> Cause {
    let HandOffError::Redis(inner) = error else { panic!("{error:?}") };
    let told = format!("{error}|{error:?}|{}", error.hint().unwrap_or_default());
    assert!(!told.contains("staple") && !told.contains("db_password"), "{told}");
    inner.cause().unwrap().clone()
}

#[tokio::test]
async fn a_secret_is_put_seen_read_and_taken_once() {
    let server = Server::start();
    let store = store(&server);
    let done = store.put(vec![entry(KEY, HOUR), entry("host:216:x", 2 * HOUR)]).await;
    assert!(done.len() == 2 && done.iter().all(Result::is_ok));
    let keys = ["host:216:x".to_owned(), "host:217:y".to_owned(), KEY.to_owned()];
    let waiting = store.waiting(&keys).await.unwrap();
    assert_eq!(waiting.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((minutes(&store, KEY).await, minutes(&store, "host:216:x").await), (Some(60), Some(120)));
    assert_eq!(server.run(&["GET", KEY]), CLEAR, "as another program would read it");

    assert_eq!(store.read(KEY).await.unwrap().unwrap().expose(), CLEAR);
    let taken = store.take(KEY).await.unwrap().unwrap();
    assert_eq!(taken.secret().expose(), CLEAR);
    assert!(store.take(KEY).await.unwrap().is_none() && store.read(KEY).await.unwrap().is_none());
    taken.finish().await.unwrap();
    assert_eq!(names(&server), ["host:216:x", MARK, WITNESS], "only the other one is left");
    assert_eq!(server.run(&["GET", MARK]), owner("development", 7).to_string());
    assert_eq!(server.run(&["PTTL", MARK]), "-1");
    assert_eq!(store.sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn an_applier_that_was_replaced_puts_nothing_and_takes_only_its_own_back() {
    let server = Server::start();
    let store = store(&server);
    let put = async |text: &str, fencing| {
        let entry = Entry { key: KEY.to_owned(), secret: Secret::new(text.to_owned()), life: HOUR };
        store.put_fenced(vec![entry], fencing).await.remove(0)
    };
    put("the first", 7).await.unwrap();
    put("the second", 7).await.unwrap();
    put("the later", 10).await.unwrap();
    let refused = put("the woken", 9).await.unwrap_err();
    assert!(matches!(refused, HandOffError::Fenced { theirs: 10, ours: 9, .. }), "{refused:?}");
    assert_eq!(server.run(&["GET", KEY]), "the later");
    assert_eq!(minutes(&store, KEY).await, Some(60));
    store.withdraw(KEY, &Secret::new("the woken".to_owned())).await.unwrap();
    assert_eq!(server.run(&["GET", KEY]), "the later");
    store.withdraw(KEY, &Secret::new("the later".to_owned())).await.unwrap();
    assert!(store.read(KEY).await.unwrap().is_none());
    // Also when nothing waits there any more, it is known who was last.
    assert!(put("the woken", 9).await.is_err());
    put("the present", 10).await.unwrap();
    let keys = [KEY.to_owned()];
    assert!(store.clear_fenced(&keys, 9).await.remove(0).is_err());
    assert_eq!(server.run(&["GET", KEY]), "the present");
    store.clear_fenced(&keys, 11).await.remove(0).unwrap();
    assert!(store.read(KEY).await.unwrap().is_none() && put("the present", 10).await.is_err());
}

#[tokio::test]
async fn a_secret_goes_back_with_the_rest_of_its_life() {
    let server = Server::start();
    let store = store(&server);
    put(&store, KEY, HOUR).await.unwrap();
    store.take(KEY).await.unwrap().unwrap().restore().await.unwrap();
    assert_eq!(minutes(&store, KEY).await, Some(60));
    assert_eq!(server.run(&["GET", KEY]), CLEAR);

    let taken = store.take(KEY).await.unwrap().unwrap();
    put(&store, KEY, 2 * HOUR).await.unwrap();
    taken.restore().await.unwrap();
    assert_eq!(minutes(&store, KEY).await, Some(120), "the newer one stays");
    store.discard(KEY).await.unwrap();
    store.discard(KEY).await.unwrap();
    assert_eq!(names(&server), [MARK, WITNESS]);

    put(&store, KEY, Duration::from_millis(100)).await.unwrap();
    let late = store.take(KEY).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    late.restore().await.unwrap();
    assert_eq!(minutes(&store, KEY).await, None, "its life is over");

    server.run(&["SET", KEY, CLEAR]);
    store.take(KEY).await.unwrap().unwrap().restore().await.unwrap();
    assert_eq!(server.run(&["PTTL", KEY]), "-1", "what somebody gave no end gets none from us");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_who_race_one_wins() {
    let server = Server::start();
    let stores: Vec<_> = (0..16).map(|_| store(&server)).collect();
    for round in 0..20 {
        let key = format!("host:{round}:x");
        put(&stores[0], &key, HOUR).await.unwrap();
        let racers: Vec<_> = stores
            .iter()
            .map(|store| {
                let (store, key) = (store.clone(), key.clone());
                tokio::spawn(async move { store.take(&key).await.unwrap().is_some() })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            winners += usize::from(racer.await.unwrap());
        }
        assert_eq!(winners, 1, "round {round}");
    }
}

#[tokio::test]
async fn what_has_expired_is_nothing_to_take() {
    let server = Server::start();
    let store = store(&server);
    put(&store, KEY, Duration::from_millis(200)).await.unwrap();
    put(&store, "short", Duration::ZERO).await.unwrap();
    let begun = Instant::now();
    while store.waiting(&[KEY.to_owned()]).await.unwrap()[0].is_some() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.take(KEY).await.unwrap().is_none() && store.take("short").await.unwrap().is_none());
    let forever = store.put(vec![entry("forever", Duration::MAX), entry("hour", HOUR)]).await;
    assert!(matches!(forever[..], [Err(HandOffError::Life { .. }), Ok(())]), "the others are not held up");
    assert_eq!(minutes(&store, "hour").await, Some(60));
}

#[tokio::test]
async fn what_was_evicted_is_nothing_to_take_and_finds_room_again() {
    let server = Server::start();
    let store = store(&server);
    let keys: Vec<String> = (0..200).map(|n| format!("host:{n}:x")).collect();
    let done = store.put(keys.iter().map(|key| entry(key, HOUR)).collect()).await;
    assert!(done.iter().all(Result::is_ok));
    server.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    server.run(&["CONFIG", "SET", "maxmemory", "4mb"]);
    let fill = "for n = 1, 20000 do redis.call('SET', 'junk' .. n, ('x'):rep(1000)) end";
    server.run(&["EVAL", fill, "0"]);
    // Which ones is the server's choice.
    let waiting = store.waiting(&keys).await.unwrap();
    let evicted: Vec<_> = keys.iter().zip(waiting).filter(|(_, until)| until.is_none()).map(|(key, _)| key).collect();
    assert!(!evicted.is_empty());
    for key in evicted {
        assert!(store.take(key).await.unwrap().is_none(), "{key}");
        put(&store, key, HOUR).await.unwrap();
        assert_eq!(store.take(key).await.unwrap().unwrap().secret().expose(), CLEAR);
    }
}

#[tokio::test]
async fn prefix_and_database_are_kept_apart() {
    let server = Server::start();
    let other_database = format!("redis://127.0.0.1:{}/5", server.port);
    let [plain, prefixed, elsewhere] = [(server.url(), ""), (server.url(), "noor:"), (other_database, "noor:")]
        .map(|(url, prefix)| HandOff::redis(owned(redis(&url, prefix))));
    put(&prefixed, KEY, HOUR).await.unwrap();
    assert_eq!(names(&server), [format!("noor:{KEY}"), format!("noor:{MARK}"), format!("noor:{WITNESS}")]);
    for stranger in [&plain, &elsewhere] {
        assert!(stranger.take(KEY).await.unwrap().is_none() && minutes(stranger, KEY).await.is_none());
        stranger.discard(KEY).await.unwrap();
    }
    let taken = prefixed.take(KEY).await.unwrap().unwrap();
    taken.restore().await.unwrap();
    assert_eq!(plain.take(&format!("noor:{KEY}")).await.unwrap().unwrap().secret().expose(), CLEAR);
}

#[tokio::test]
async fn ten_thousand_go_in_pipelines() {
    const MANY: usize = 10_000;
    let server = Server::start();
    let store = store(&server);
    let keys: Vec<String> = (0..MANY).map(|n| format!("instance:{n}:db_credentials")).collect();
    store.waiting(&keys[..1]).await.unwrap();
    server.forget_calls();
    let done = store.put(keys.iter().map(|key| entry(key, HOUR)).collect()).await;
    assert!(done.len() == MANY && done.iter().all(Result::is_ok));
    assert_eq!(server.calls("set"), MANY as u64 + 2, "and the mark, with its witness");
    let waiting = store.waiting(&keys).await.unwrap();
    assert!(waiting.len() == MANY && waiting.iter().all(Option::is_some));
    // Each command by itself would be read by itself; so the server reads what its buffer holds of a thousand.
    let reads = server.count("total_reads_processed");
    assert!(reads < 1000, "{reads} reads for {} commands", 2 * MANY);
    assert_eq!(server.run(&["DBSIZE"]), (MANY + 2).to_string());
}

#[tokio::test]
async fn looking_reads_no_secret_and_writes_nothing() {
    let server = Server::start();
    let store = store(&server);
    put(&store, KEY, HOUR).await.unwrap();
    server.forget_calls();
    let probe = Probe::redis(owned(redis(&server.url(), "")));
    assert!(probe.waiting(&[KEY.to_owned(), "none".to_owned()]).await.unwrap()[0].is_some());
    assert!(store.waiting(&[KEY.to_owned()]).await.unwrap()[0].is_some());
    let called = server.run(&["INFO", "commandstats"]);
    let mut called: Vec<_> =
        called.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next()).collect();
    called.retain(|command| !["info", "client|setinfo", "config|resetstat"].contains(command));
    called.sort_unstable();
    assert_eq!(called, ["getrange", "pttl"]);
}

#[tokio::test]
async fn each_secret_has_its_own_answer_and_no_error_shows_one() {
    let server = Server::start();
    let store = store(&server);
    server.run(&["ACL", "SETUSER", "default", "resetkeys", "~instance:*", "~reconcile:*"]);
    let done = store.put(vec![entry(KEY, HOUR), entry("host:1:x", HOUR), entry("instance:2", HOUR)]).await;
    let [Ok(()), Err(refused), Ok(())] = &done[..] else { panic!("one of three is refused") };
    assert_eq!(cause(refused), Cause::Rights);
    server.run(&["ACL", "SETUSER", "default", "allkeys"]);

    server.run(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(cause(&put(&store, KEY, HOUR).await.unwrap_err()), Cause::ReadOnly);
    assert_eq!(cause(&store.take(KEY).await.err().unwrap()), Cause::ReadOnly);
    server.run(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(store.take(KEY).await.unwrap().unwrap().secret().expose(), CLEAR, "it is still there");

    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(cause(&put(&store, KEY, HOUR).await.unwrap_err()), Cause::Full);
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);

    server.run(&["LPUSH", KEY, CLEAR]);
    assert_eq!(cause(&store.take(KEY).await.err().unwrap()), Cause::Foreign);
    assert_eq!(cause(&store.read(KEY).await.err().unwrap()), Cause::Foreign);
    assert_eq!(server.run(&["LLEN", KEY]), "1", "what is not ours stays");
    server.run(&["EVAL", r"redis.call('SET', KEYS[1], '\255staple')", "1", "odd"]);
    let odd = store.read("odd").await.err().unwrap();
    assert!(matches!(&odd, HandOffError::NotText { key } if key == "odd") && odd.hint().is_some());
}

#[tokio::test]
async fn a_server_that_quotes_what_it_was_given_is_not_repeated() {
    let server = Server::start_with(&["--rename-command", "SET", ""]);
    assert!(server.run(&["SET", KEY, CLEAR]).contains("staple"), "as Redis itself would tell it");
    let refused = put(&store(&server), KEY, HOUR).await.unwrap_err();
    assert_eq!(cause(&refused), Cause::Other("ERR".to_owned()));
}

#[tokio::test]
async fn without_a_server_each_secret_has_its_error() {
    let mut server = Server::start();
    let store = store(&server);
    put(&store, KEY, HOUR).await.unwrap();
    server.stop();
    let done = store.put((0..3).map(|n| entry(&n.to_string(), HOUR)).collect()).await;
    let causes: Vec<_> = done.iter().map(|one| cause(one.as_ref().unwrap_err())).collect();
    assert!(
        causes.len() == 3 && causes.iter().all(|cause| matches!(cause, Cause::Network | Cause::Refused)),
        "{causes:?}"
    );
    assert_eq!(cause(&store.take(KEY).await.err().unwrap()), Cause::Refused);
    server.again();
    assert!(store.take(KEY).await.unwrap().is_none(), "what the server lost is nothing to take");
    put(&store, KEY, HOUR).await.expect("and goes on by itself");
}
