//! A database that was restored: an older copy is the same database; one that is stamped anew is another, and takes along
//! what a person lets it.

use super::{MARK, Site, WEEK, WITNESS, content, text};
use crate::fixture::redis::Redis;
use crate::fixture::{Database, World, both};
use crate::instances::{declare, flat, id, key, names};

both! {
    fn after_a_restamp_the_store_bears_the_new_identity_if_a_person_says_so(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        ours.run(&["--once"]).expect_code(0);
        let (mark, waiting) = (text(&redis, MARK), content(&redis));
        let restamp = |more: &[&str]| ours.run(&[&["migrate", "--restamp", "--reason", "A restore"], more].concat());
        let told = flat(&restamp(&[]).expect_code(1).stderr);
        assert!(told.contains("bears the former identity") && told.contains("--yes"), "{told}");
        ours.run(&["--plan"]).expect_code(0);
        assert_eq!(content(&redis), waiting, "nothing was done");
        restamp(&["--yes"]).expect_code(0);
        let new = text(&redis, MARK);
        assert!(new != mark && new == text(&redis, WITNESS) && new.starts_with("development "), "{new}");
        assert!(ours.run(&["instance", "claim", &id(1)]).expect_code(0).stdout.contains("db_password"));
        ours.run(&["host", "claim", "215"]).expect_code(0);
        // One that was away, or was left by the former identity for another reason.
        for name in [MARK, WITNESS] {
            redis.ask::<String>(&["SET", name, &mark]);
        }
        let other = format!("host:1:{}", uuid::Uuid::new_v4());
        redis.ask::<String>(&["SET", &other, "waits"]);
        ours.run(&["--plan"]).expect_code(3);
        let identity = mark.split(' ').nth(1).unwrap();
        let rebind = ["handoff", "rebind", "--reason", "Restored", "--identity", identity];
        let told = flat(&ours.run(&rebind[..4]).expect_code(1).stderr);
        assert!(told.contains("a secret waits there, and what waits stays"), "it may be another's now: {told}");
        ours.run(&rebind).expect_code(0);
        assert_eq!((text(&redis, MARK), text(&redis, &other)), (new, "waits".to_owned()));
        ours.run(&["--plan"]).expect_code(0);
    }

    fn after_a_restamp_no_number_that_the_world_has_seen_is_higher(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        ours.run(&["--once"]).expect_code(0);
        let fencing = || ours.world.sql("SELECT fencing FROM reconcile_lease").trim().parse::<i64>().unwrap();
        let restamp = || ours.run(&["migrate", "--restamp", "--reason", "An older copy", "--yes"]).expect_code(0).stdout;
        let rotates = |number: u32| {
            let before = text(&redis, &key(1));
            declare(ours.world, [1], &format!("credentials_rotation: {number}"));
            ours.run(&["--once"]).expect_code(0);
            assert_ne!(text(&redis, &key(1)), before);
        };
        let fence = format!("reconcile:fencing:{}", key(1));
        redis.ask::<String>(&["SET", &fence, "7000"]);
        declare(ours.world, [1], "credentials_rotation: 2");
        let told = flat(&ours.run(&["--once"]).expect_code(1).text());
        assert!(told.contains("its fencing number is 7000"), "{told}");
        assert!(!restamp().contains("could not be asked"));
        assert_eq!(fencing(), 7001);
        rotates(2);
        let (_, role) = names(1);
        let mark = format!("reconcile environment=development instance={} fencing=9000", id(1));
        ours.pools[0].psql("postgres", &format!("COMMENT ON ROLE {role} IS '{mark}'"));
        restamp();
        assert_eq!(fencing(), 9001);
        rotates(3);
        redis.ask::<String>(&["SET", &fence, "-1"]);
        ours.pools[0].psql("postgres", "ALTER ROLE reconcile_pool_admin NOLOGIN");
        let told = flat(&restamp());
        assert!(told.contains("rose by 1000000, as these could not be asked: the server postgres-pool-1"), "{told}");
        assert!(fencing() > 1_009_000, "{}", fencing());
    }

    fn what_another_prefix_holds_is_neither_counted_nor_removed(world) {
        let redis = Redis::start();
        let ours = Site::of(world, &redis);
        let gone = uuid::Uuid::new_v4();
        for name in [MARK, WITNESS] {
            redis.ask::<String>(&["SET", name, &format!("development {gone}")]);
        }
        // Whatever their prefix begins with, it is theirs.
        for prefix in ["host:", "instance:", "host:1:", "reconcile:fencing:"] {
            for name in [MARK, WITNESS, &format!("host:215:{gone}"), &key(1), &format!("reconcile:fencing:{}", key(2))] {
                redis.ask::<String>(&["SET", &format!("{prefix}{name}"), "theirs"]);
            }
        }
        // But for what is called as a fencing number of ours, which is why such a prefix is refused.
        redis.ask::<i64>(&["DEL", &format!("reconcile:fencing:{}", key(1)), &format!("reconcile:fencing:host:215:{gone}")]);
        let before = content(&redis);
        ours.run(&["handoff", "rebind", "--reason", "Nothing waits"]).expect_code(0);
        let left: Vec<_> = content(&redis).into_iter().filter(|(name, _)| name != MARK && name != WITNESS).collect();
        let theirs: Vec<_> = before.into_iter().filter(|(name, _)| name != MARK && name != WITNESS).collect();
        assert_eq!(left, theirs);
    }

    fn what_waits_in_the_embedded_store_outlives_a_restamp(world) {
        world.run(&["migrate"]).expect_code(0);
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["--once"]).expect_code(0);
        world.run(&["migrate", "--restamp", "--reason", "A restore"]).expect_code(0);
        let guid = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        world.run_with(&["host", "verify", "--session-id", "215"], &guid).expect_code(0);
        let told = world.run(&["handoff", "rebind", "--reason", "R"]).expect_code(1).stderr;
        assert!(told.contains("there is no Redis to take over"), "{told}");
    }
}

#[test]
fn an_older_copy_of_the_database_is_the_same_database_with_sqlite() {
    let redis = Redis::start();
    let mut world = World::on(Database::Sqlite);
    world.env("RECONCILE_REDIS_URL", &redis.url()).write("desired-state/week.yaml", WEEK);
    world.run(&["--once"]).expect_code(0);
    world.sh("cp .reconcile/KSESSIONS_DEV.db older").expect_code(0);
    world.run(&["host", "rotate", "--session-id", "215"]).expect_code(0);
    world.sh("cp older .reconcile/KSESSIONS_DEV.db").expect_code(0);
    let guid = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
    world.run_with(&["host", "verify", "--session-id", "215"], &guid).expect_code(0);
}
