//! A Redis that another environment uses, or another database.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::fixture::pools::Pools;
use crate::fixture::process::Output;
use crate::fixture::redis::Redis;
use crate::fixture::{Database, World, both};
use crate::instances::{LIMIT, declare, flat, id, key};

mod harm;
mod prepared;
mod restored;

const MARK: &str = "reconcile:environment";
const WITNESS: &str = "reconcile:owner";
const QUEUE: &str = "instance_provisioning";
const WEEK: &str = "sessions: [{id: 215, title: Al-Fatiha}]\nhosts: [{session: 215}]\n";

/// A world with a pool server of its own, and this Redis; its instance 1 waits for billing.
struct Site<'w> {
    world: &'w mut World,
    pools: Pools,
}

impl<'w> Site<'w> {
    fn of(world: &'w mut World, redis: &Redis) -> Self {
        Self::with(world, redis, Pools::start(1))
    }

    fn with(world: &'w mut World, redis: &Redis, pools: Pools) -> Self {
        pools.known_to(world);
        world.env("RECONCILE_REDIS_URL", &redis.url());
        world.run(&["migrate"]).expect_code(0);
        let servers: String = pools.iter().map(|pool| pool.declared("max_instances: 20")).collect();
        world.write("desired-state/servers.yaml", &format!("servers:\n{servers}"));
        world.write("desired-state/week.yaml", WEEK);
        declare(world, [1], "");
        Self { world, pools }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.world.run(arguments)
    }

    /// The lines of the journal that say `action` of a store.
    fn journalled(&self, action: &str) -> Vec<Json> {
        let lines = self.run(&["history", "--limit", "1000", "--format", "json"]).expect_code(0).stdout;
        let lines: Vec<Json> = serde_json::from_str(&lines).unwrap();
        lines.into_iter().filter(|line| line["action"] == action).collect()
    }

    /// Whether the credentials open the instance's database.
    fn log_in(&self, credentials: &Json) -> bool {
        let text = |field: &str| credentials[field].as_str().unwrap();
        let pool = self.pools.iter().find(|pool| u64::from(pool.port) == credentials["db_port"]);
        pool.is_some_and(|pool| pool.as_role(text("db_user"), text("db_password"), text("db_name"), "SELECT 1").is_ok())
    }
}

/// From now on a production of its own, on the same kind of database.
fn production(world: &mut World) {
    let url = match world.database() {
        Database::Sqlite => format!("sqlite:{}/.reconcile/KSESSIONS.db", world.path().display()),
        Database::Postgres => {
            let server = world.server().unwrap();
            server.create_database("KSESSIONS");
            server.url("KSESSIONS")
        }
    };
    world.env("RECONCILE_ENVIRONMENT", "production").env("RECONCILE_SOURCE", "worktree");
    world.env("RECONCILE_DATABASE_URL", &url).env("RECONCILE_HOST_KEYS", &"k".repeat(40));
}

/// All that a Redis holds: each name with its type, its content and whether it has an end.
fn content(redis: &Redis) -> BTreeMap<String, (String, String, bool)> {
    let one = |name: String| {
        let kind: String = redis.ask(&["TYPE", &name]);
        let dump: redis::Value = redis.ask(&["DUMP", &name]);
        let left: i64 = redis.ask(&["PTTL", &name]);
        (name, (kind, format!("{dump:?}"), left != -1))
    };
    redis.keys().into_iter().map(one).collect()
}

fn tasks(redis: &Redis, queue: &str) -> Vec<(Json, Json)> {
    use base64::Engine;
    let waiting: Vec<String> = redis.ask(&["LRANGE", queue, "0", "-1"]);
    let opened = |text: String| {
        let envelope: Json = serde_json::from_str(&text).unwrap();
        let body = base64::engine::general_purpose::STANDARD.decode(envelope["body"].as_str().unwrap()).unwrap();
        (envelope, serde_json::from_slice(&body).unwrap())
    };
    waiting.into_iter().rev().map(opened).collect()
}

fn text(redis: &Redis, name: &str) -> String {
    redis.ask::<Option<String>>(&["GET", name]).unwrap_or_default()
}

/// What touches the hand-off or the broker, one way or another.
fn whatever_touches_it() -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let one = id(1);
    let address = format!("instance/{one}");
    vec![
        words(&["--plan"]),
        words(&["--plan", "--out", "saved.plan"]),
        words(&["explain", "host/215"]),
        words(&["explain", &address]),
        words(&["--once"]),
        words(&["host", "rotate", "--session-id", "215"]),
        words(&["host", "create", "--session-id", "215"]),
        words(&["instance", "provision", &one]),
        words(&["instance", "claim", &one]),
        words(&["doctor"]),
    ]
}

/// Every command is refused by the guard with what it says, and nothing that Redis holds has changed.
#[track_caller]
fn all_is_refused(site: &Site<'_>, redis: &Redis, says: &[&str]) {
    let before = content(redis);
    for command in whatever_touches_it() {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let told = flat(&site.run(&command).expect_code(3).stderr);
        for word in says {
            assert!(told.contains(word), "{command:?}: {word}: {told}");
        }
        assert!(told.contains("refused by the guard") && !told.contains("db_password"), "{command:?}: {told}");
        assert_eq!(content(redis), before, "{command:?}");
    }
    // To end a GUID waits for nothing, and needs nothing of it.
    site.run(&["host", "revoke", "--session-id", "215"]).expect_code(1);
    let status = flat(&site.run(&["status"]).expect_code(0).text());
    assert!(status.contains("refused by the guard"), "{status}");
    assert_eq!(content(redis), before);
}

both! {
    fn development_reaches_nothing_of_productions(world) {
        let redis = Redis::start();
        let mut pools = Pools::start(2);
        let others = pools.split_off(1);
        let mut theirs = World::on(world.database());
        production(&mut theirs);
        let theirs = Site::with(&mut theirs, &redis, pools);
        theirs.run(&["--once"]).expect_code(0);
        let waiting = text(&redis, &key(1));
        let credentials: Json = serde_json::from_str(&waiting).unwrap();
        assert!(theirs.log_in(&credentials));
        let mark = text(&redis, MARK);
        assert!(mark.starts_with("production ") && mark == text(&redis, WITNESS), "{mark}");
        assert_eq!(redis.ask::<i64>(&["PTTL", MARK]), -1);
        assert_eq!(theirs.journalled("mark").len(), 1);

        let ours = Site::with(world, &redis, others);
        let says = ["this Redis belongs to production", "redis.prefix", &mark, "environment development", "development "];
        all_is_refused(&ours, &redis, &says);
        // A mark that was lost alone: its witness tells, and the other way round.
        for lost in [MARK, WITNESS] {
            redis.ask::<i64>(&["DEL", lost]);
            all_is_refused(&ours, &redis, &["this Redis belongs to production"]);
            theirs.run(&["host", "rotate", "--session-id", "215"]).expect_code(0);
            assert_eq!(text(&redis, lost), mark);
        }
        assert_eq!(theirs.journalled("mark").len(), 2, "that the mark itself was lost is journalled");
        assert_eq!(text(&redis, &key(1)), waiting);

        // A prefix of its own makes room for both, and neither's dispatch hides the other's.
        ours.world.env("RECONCILE_REDIS_PREFIX", "dev:");
        ours.run(&["--once"]).expect_code(0);
        assert!(text(&redis, "dev:reconcile:environment").starts_with("development "));
        assert!(redis.keys().iter().all(|name| !name.starts_with("dev:celery")));
        theirs.run(&["instance", "provision", &id(1)]).expect_code(0);
        // But one queue has one kind of workers, who know no prefix: they would take ours for theirs.
        let before = content(&redis);
        for command in [&["--plan"][..], &["--once"], &["instance", "provision", &id(1)], &["doctor"]] {
            let told = flat(&ours.run(command).expect_code(3).stderr);
            for word in ["the queue instance_provisioning carries the tasks of", "celery.queue", "reconcile:queue:instance_provisioning"] {
                assert!(told.contains(word), "{command:?}: {word}: {told}");
            }
        }
        assert_eq!(content(&redis), before);
        ours.world.env("RECONCILE_CELERY_QUEUE", "dev_provisioning");
        ours.run(&["instance", "provision", &id(1)]).expect_code(0);
        assert_eq!(text(&redis, "reconcile:queue:dev_provisioning"), "development");
        let sent = [tasks(&redis, "dev_provisioning"), tasks(&redis, QUEUE)].concat();
        let header = |place: usize, name: &str| sent[place].0["headers"][name].as_str().unwrap().to_owned();
        assert_eq!(sent.len(), 2);
        assert_ne!(header(0, "id"), header(1, "id"));
        assert!(header(0, "reconcile_environment").starts_with("development "));
        assert_eq!(header(1, "reconcile_environment"), mark);
        assert!(ours.log_in(&sent[0].1[1]["db_credentials"]) && theirs.log_in(&sent[1].1[1]["db_credentials"]));
        assert_eq!(sent[1].1[1]["db_credentials"], credentials);
    }

    fn two_databases_of_one_environment_do_not_share_a_store(world) {
        let redis = Redis::start();
        let mut pools = Pools::start(2);
        let others = pools.split_off(1);
        let mut theirs = World::on(world.database());
        let theirs = Site::with(&mut theirs, &redis, pools);
        theirs.run(&["--once"]).expect_code(0);
        let ours = Site::with(world, &redis, others);
        let mark = text(&redis, MARK);
        all_is_refused(&ours, &redis, &["another database of development uses this Redis", "redis.prefix", "handoff rebind", &mark]);
        // What waits there is the other's, so that to take it over wants its identity, typed again.
        let rebind = |more: &[&str]| ours.run(&[&["handoff", "rebind", "--reason", "Moved"], more].concat());
        let identity = mark.split(' ').nth(1).unwrap();
        let told = flat(&rebind(&[]).expect_code(1).stderr);
        assert!(told.contains("2 secrets wait there, and what waits is removed") && told.contains(&format!("--identity {identity}")), "{told}");
        rebind(&["--identity", &uuid::Uuid::new_v4().to_string()]).expect_code(1);
        assert_eq!(text(&redis, MARK), mark);
        rebind(&["--identity", identity]).expect_code(0);
        assert_ne!(text(&redis, MARK), mark);
        assert_eq!(redis.keys(), [MARK, WITNESS], "what was the other's is gone");
        let line = &ours.journalled("rebind")[0];
        assert!(line["reason"] == "Moved" && line["before"]["bears"] == mark.as_str(), "{line}");
        ours.run(&["--once"]).expect_code(0);
        assert!(!text(&redis, &key(1)).is_empty());
        theirs.run(&["--plan"]).expect_code(3);
        let nothing = rebind(&[]).expect_code(0).stdout;
        assert!(nothing.contains("Nothing to take over"), "{nothing}");
    }

    fn an_empty_store_is_taken_over_and_a_full_one_of_another_environment_is_not(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        let theirs = format!("production {}", uuid::Uuid::new_v4());
        for name in [MARK, WITNESS] {
            redis.ask::<String>(&["SET", name, &theirs]);
        }
        redis.ask::<String>(&["SET", &key(1), "theirs"]);
        redis.ask::<String>(&["SET", &format!("reconcile:fencing:{}", key(1)), "900000"]);
        let identity = theirs.split(' ').nth(1).unwrap();
        let rebind = || ours.run(&["handoff", "rebind", "--reason", "Gone", "--identity", identity]);
        let told = flat(&rebind().expect_code(3).stderr);
        assert!(told.contains("a secret waits there for readers of production"), "{told}");
        assert_eq!(text(&redis, &key(1)), "theirs");
        redis.ask::<i64>(&["DEL", &key(1)]);
        rebind().expect_code(0);
        // Nor does the other's fencing number hold up what is put there now.
        ours.run(&["--once"]).expect_code(0);
        assert!(text(&redis, &key(1)).contains("db_password"));
    }

    fn a_flush_is_journalled_and_what_was_lost_is_made_anew(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        ours.run(&["--once"]).expect_code(0);
        let mark = text(&redis, MARK);
        redis.ask::<String>(&["FLUSHALL"]);
        let before = content(&redis);
        ours.run(&["--plan"]).expect_code(0);
        ours.run(&["doctor"]).expect_code(0);
        assert_eq!(content(&redis), before, "to look leaves no trace");
        ours.run(&["instance", "provision", &id(1)]).expect_code(0);
        assert_eq!((text(&redis, MARK), text(&redis, WITNESS)), (mark.clone(), mark));
        let lines = ours.journalled("mark");
        assert_eq!(lines.len(), 2, "{lines:?}");
        let reasons: Vec<&str> = lines.iter().filter_map(|line| line["reason"].as_str()).collect();
        assert!(reasons[0].contains("by a flush or an eviction"), "{reasons:?}");
        assert!(reasons[1].contains("the first use"), "{reasons:?}");
        assert!(ours.log_in(&tasks(&redis, QUEUE)[0].1[1]["db_credentials"]));
    }

    fn of_two_who_write_first_one_owns_the_store(world) {
        let redis = Redis::start();
        let mut theirs = World::on(world.database());
        for world in [&mut *world, &mut theirs] {
            world.env("RECONCILE_REDIS_URL", &redis.url());
            world.run(&["migrate"]).expect_code(0);
            world.write("desired-state/week.yaml", WEEK);
        }
        let running = [&*world, &theirs].map(|world| world.spawn(&["--once"]));
        let mut codes = running.map(|one| one.finish(LIMIT).code);
        codes.sort_unstable();
        assert_eq!(codes, [0, 3]);
        assert_eq!(text(&redis, MARK), text(&redis, WITNESS));
        let waiting = redis.keys().into_iter().filter(|name| name.starts_with("host:")).count();
        assert_eq!(waiting, 1);
    }

    fn a_broker_of_its_own_is_guarded_in_the_same_way(world) {
        let (redis, broker) = (Redis::start(), Redis::start());
        let ours = Site::of(world, &redis);
        ours.world.env("RECONCILE_CELERY_BROKER_URL", &broker.url());
        ours.world.env("RECONCILE_CELERY_GLOBAL_KEYPREFIX", "celery:");
        ours.run(&["--once"]).expect_code(0);
        assert!(broker.keys().is_empty(), "nothing was sent yet");
        for name in [MARK, WITNESS] {
            broker.ask::<String>(&["SET", name, "staging 51179767-693b-49a1-b753-380ca3bb39f7"]);
        }
        let before = content(&broker);
        for command in [&["--plan"][..], &["--once"], &["instance", "provision", &id(1)], &["doctor"]] {
            let told = flat(&ours.run(command).expect_code(3).stderr);
            assert!(told.contains("this Redis belongs to staging"), "{command:?}: {told}");
        }
        assert_eq!(content(&broker), before);
        assert!(text(&redis, &key(1)).contains("db_password"));
        ours.run(&["handoff", "rebind", "--reason", "Empty"]).expect_code(0);
        ours.run(&["instance", "provision", &id(1)]).expect_code(0);
        assert_eq!(text(&broker, MARK), text(&redis, MARK));
        let queue = format!("celery:{QUEUE}");
        assert_eq!(tasks(&broker, &queue).len(), 1);
        assert!(broker.keys().iter().all(|name| *name == queue || name.starts_with("reconcile:")));
    }

    fn a_daemon_applies_nothing_while_its_store_is_anothers(world) {
        let redis = Redis::start();
        world.env("RECONCILE_REDIS_URL", &redis.url()).env("RECONCILE_INTERVAL", "1s");
        world.run(&["migrate"]).expect_code(0);
        world.write("desired-state/week.yaml", WEEK);
        let mut daemon = world.spawn(&[]);
        daemon.wait_for("+ host/215", LIMIT);
        let mark = text(&redis, MARK);
        let bears = |owner: &str| {
            for name in [MARK, WITNESS] {
                redis.ask::<String>(&["SET", name, owner]);
            }
        };
        bears("production 51179767-693b-49a1-b753-380ca3bb39f7");
        let before = content(&redis);
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Another}, {id: 216, title: Al-Baqara}]\n");
        daemon.wait_for("this Redis belongs to production", LIMIT);
        assert_eq!(world.sql("SELECT title FROM sessions").trim(), "Al-Fatiha");
        assert_eq!(content(&redis), before);
        bears(&mark);
        world.write("desired-state/more.yaml", "sessions: [{id: 217, title: An-Nisa}]\n");
        daemon.wait_for("+ session/217", LIMIT);
        daemon.signal(rustix::process::Signal::TERM);
        daemon.finish(LIMIT).expect_code(0);
        // Who is started there ends at once, and says why.
        bears("production 51179767-693b-49a1-b753-380ca3bb39f7");
        let told = flat(&world.run(&[]).expect_code(3).stderr);
        assert!(told.contains("this Redis belongs to production"), "{told}");
    }
}
