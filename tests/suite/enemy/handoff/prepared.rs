//! A Redis that an enemy has prepared, or a version that knew of no marks has left: nothing foreign is overwritten, nothing
//! hangs, and nothing untrue is told.

use super::{MARK, QUEUE, Site, WITNESS, content, tasks, text};
use crate::fixture::redis::Redis;
use crate::fixture::{Database, both};
use crate::instances::{flat, id, key};

both! {
    fn a_mark_gets_no_end(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        ours.run(&["--once"]).expect_code(0);
        for name in [MARK, WITNESS] {
            redis.ask::<i64>(&["EXPIRE", name, "1000"]);
        }
        ours.run(&["host", "rotate", "--session-id", "215"]).expect_code(0);
        assert_eq!([MARK, WITNESS].map(|name| redis.ask::<i64>(&["PTTL", name])), [-1, -1]);
        assert_eq!(ours.journalled("mark").len(), 1);
    }

    fn whatever_an_enemy_has_left_there_is_left_alone(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        let huge = "x".repeat(4 << 20);
        let marks: [(&str, &[&str]); 7] = [
            ("a list", &["LPUSH", MARK, "development"]),
            ("a hash", &["HSET", MARK, "development", "1"]),
            ("a huge text", &["SET", MARK, &huge]),
            ("a binary text", &["EVAL", r"redis.call('SET', KEYS[1], '\255\254\0\1')", "1", MARK]),
            ("lines and controls", &["SET", MARK, "development\n\u{1b}[2J\u{202e}"]),
            ("an identity that is none", &["SET", MARK, "development 1"]),
            ("a list for a witness", &["LPUSH", WITNESS, "x"]),
        ];
        for (what, planting) in marks {
            redis.ask::<redis::Value>(planting);
            redis.ask::<i64>(&["PEXPIRE", planting[planting.len() - 2], "600000"]);
            redis.ask::<i64>(&["PEXPIRE", MARK, "600000"]);
            let before = content(&redis);
            for command in [&["--plan"][..], &["--once"], &["doctor"], &["handoff", "rebind", "--reason", "R"]] {
                let told = ours.run(command).expect_code(3).stderr;
                assert!(flat(&told).contains("no mark of ours"), "{what}: {command:?}: {told}");
                assert!(!told.contains('\u{1b}') && told.len() < 8_000, "{what}: {command:?}");
                assert_eq!(content(&redis), before, "{what}: {command:?}");
            }
            redis.ask::<String>(&["FLUSHALL"]);
        }
        // An empty text is none of ours either, though it reads like nothing.
        redis.ask::<String>(&["SET", MARK, ""]);
        let told = flat(&ours.run(&["--once"]).expect_code(3).stderr);
        assert!(told.contains("no mark of ours"), "{told}");
    }

    fn entries_and_sent_marks_that_were_planted_are_told_as_what_they_are(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        ours.run(&["--once"]).expect_code(0);
        let huge = "x".repeat(4 << 20);
        for planting in [&["LPUSH", &key(1), "x"][..], &["SET", &key(1), &huge]] {
            redis.ask::<i64>(&["DEL", &key(1)]);
            redis.ask::<redis::Value>(planting);
            let before = content(&redis);
            let told = flat(&ours.run(&["instance", "claim", &id(1)]).expect_code(1).stderr);
            assert!(told.contains("something else lies under the name of a key of ours"), "{told}");
            assert_eq!(content(&redis), before);
        }
        // What is far too long keeps the server from nobody, be it whole and of the right form.
        redis.ask::<String>(&["SET", &key(1), &format!(r#"{{"db_password": "{huge}"}}"#)]);
        let told = flat(&ours.run(&["instance", "provision", &id(1)]).expect_code(1).text());
        assert!(told.contains("something else lies under the name of a key of ours"), "{told}");
        assert!(tasks(&redis, QUEUE).is_empty());
        // A number that is none holds nobody up without a word, whether the credentials are there or not.
        let fence = format!("reconcile:fencing:{}", key(1));
        redis.ask::<i64>(&["DEL", &key(1)]);
        for credentials in ["", r#"{"db_password": "x"}"#] {
            for number in ["inf", "-1", "1e300", "abc", "nan", "1.5"] {
                redis.ask::<String>(&["SET", &fence, number]);
                if !credentials.is_empty() {
                    redis.ask::<String>(&["SET", &key(1), credentials]);
                }
                let told = flat(&ours.run(&["instance", "provision", &id(1)]).expect_code(1).text());
                assert!(told.contains("something else lies under the name of a key of ours"), "{number}: {told}");
            }
        }
        redis.ask::<i64>(&["DEL", &fence, &key(1)]);
        // A mark of a dispatch that we have not set swallows none.
        ours.run(&["instance", "provision", &id(1)]).expect_code(0);
        let task = ours.world.sql("SELECT task_id FROM reconcile_allocations").trim().to_owned();
        redis.ask::<i64>(&["DEL", QUEUE]);
        ours.world.sql("UPDATE reconcile_allocations SET dispatches = 0, task_id = NULL");
        ours.world.sql("UPDATE instances SET provisioning_status = 'allocated'");
        for value in ["1", "production 51179767-693b-49a1-b753-380ca3bb39f7"] {
            redis.ask::<String>(&["SET", &format!("reconcile:sent:{task}"), value]);
            let told = flat(&ours.run(&["instance", "provision", &id(1)]).expect_code(1).text());
            assert!(told.contains("something else lies under the name of a key of ours"), "{told}");
            assert!(tasks(&redis, QUEUE).is_empty());
        }
    }

    fn what_cannot_be_journalled_is_not_taken(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        ours.run(&["--once"]).expect_code(0);
        redis.ask::<i64>(&["DEL", MARK, WITNESS]);
        ours.world.sql(match ours.world.database() {
            Database::Sqlite => "CREATE TRIGGER no_room BEFORE INSERT ON reconcile_journal BEGIN SELECT RAISE(ABORT, 'full'); END",
            Database::Postgres => "CREATE FUNCTION canvas.no_room() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN RAISE EXCEPTION ''full''; END'; CREATE TRIGGER no_room BEFORE INSERT ON canvas.reconcile_journal
                FOR EACH ROW EXECUTE FUNCTION canvas.no_room()",
        });
        let waits = text(&redis, &key(1));
        for command in [&["instance", "claim", &id(1)][..], &["host", "claim", "215"]] {
            let told = ours.run(command).expect_code(1);
            assert!(told.stdout.is_empty() && !told.stderr.contains("db_password"), "{}", told.text());
        }
        assert_eq!(text(&redis, &key(1)), waits);
        assert!(redis.keys().iter().any(|name| name.starts_with("host:215:")));
    }

    fn a_replica_and_a_user_without_the_key_are_told_as_what_they_are(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        ours.run(&["--once"]).expect_code(0);
        redis.ask::<String>(&["REPLICAOF", "127.0.0.1", "1"]);
        let told = flat(&ours.run(&["instance", "claim", &id(1)]).expect_code(1).stderr);
        assert!(told.contains("it is a replica, which takes no writes"), "{told}");
        redis.ask::<String>(&["REPLICAOF", "NO", "ONE"]);
        let user = ["ACL", "SETUSER", "poor", "on", ">poverty", "+@all", "~host:*", "~instance:*"];
        redis.ask::<String>(&user);
        ours.world.env("RECONCILE_REDIS_URL", &redis.url_as("poor", "poverty", 0));
        let before = content(&redis);
        let plan = flat(&ours.run(&["--plan"]).expect_code(0).text());
        assert!(!plan.contains("another"), "{plan}");
        for command in [&["instance", "claim", &id(1)][..], &["host", "rotate", "--session-id", "215"], &["doctor"]] {
            let told = flat(&ours.run(command).expect_code(1).text());
            assert!(told.contains("rights are missing") && told.contains("ACL LOG"), "{command:?}: {told}");
        }
        assert_eq!(content(&redis), before);
        // Without the database nobody knows whose it should be, and nothing is said of that.
        ours.world.env("RECONCILE_REDIS_URL", &redis.url()).env("RECONCILE_DATABASE_URL", "postgres://u@127.0.0.1:1/KSESSIONS_DEV");
        let told = flat(&ours.run(&["doctor"]).expect_code(1).text());
        assert!(told.contains("ok hand-off") && !told.contains("guard"), "{told}");
    }

    fn what_the_version_before_wrote_is_claimed_and_dispatched(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        world_of_before(&ours, &redis);
        assert_eq!(redis.keys().iter().filter(|name| name.starts_with("reconcile:")).count(), 1, "but for the fence");
        ours.run(&["--plan"]).expect_code(0);
        ours.run(&["instance", "provision", &id(1)]).expect_code(0);
        let sent = tasks(&redis, QUEUE);
        assert!(ours.log_in(&sent[0].1[1]["db_credentials"]));
        assert!(text(&redis, MARK).starts_with("development "));
        ours.run(&["host", "claim", "215"]).expect_code(0);
        // A task that was dispatched before is asked for under the id that was recorded then.
        let old = uuid::Uuid::new_v4();
        ours.world.sql(&format!("UPDATE reconcile_allocations SET task_id = '{old}'"));
        ours.world.env("RECONCILE_CELERY_RESULT_URL", &redis.url());
        redis.ask::<String>(&["SET", &format!("celery-task-meta-{old}"), r#"{"status": "SUCCESS", "result": null}"#]);
        ours.run(&["--once"]).expect_code(0);
        assert_eq!(ours.world.sql("SELECT provisioning_status FROM instances").trim(), "ready");
    }
}

/// As a version left it that knew of no marks: entries and fences, and nothing of whose they are.
fn world_of_before(site: &Site<'_>, redis: &Redis) {
    site.run(&["--once"]).expect_code(0);
    redis.ask::<i64>(&["DEL", MARK, WITNESS]);
}
