//! Instances with the least rights, on the main database, on the pool server and on Redis, as the manual has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Estate, declare, eventually, flat, id, is_settled, phase};
use crate::fixture::worker::Worker;
use crate::fixture::{World, both};
use crate::rights;

const PASSWORD: &str = "least-rights";

#[test]
fn the_applier_takes_an_instance_through_all_its_phases_with_postgres() {
    let mut world = rights::manual();
    let estate = Estate::of(&mut world, 1);
    estate.declare_servers(&world, "max_instances: 5");
    declare(&world, [1], "");
    world.run(&["--once"]).expect_code(0);
    estate.is_allocated(&world, 1);
    declare(&world, [1], "credentials_rotation: 2");
    world.run(&["--once"]).expect_code(0);
    world.run(&["instance", "provision", &id(1)]).expect_code(0);
    assert_eq!(phase(&world, 1), "provisioning");
    declare(&world, [1], "state: retired");
    world.run(&["--once"]).expect_code(0);
    is_settled(&world);
    world.run(&["instance", "forget", &id(1), "--name", "customer 1"]).expect_code(0);
    rights::log_in(&mut world, "reconcile_planner");
    for looks in [&["--plan"][..], &["status"], &["doctor"]] {
        world.run(looks).expect_code(0);
    }
}

both! {
    fn the_admin_role_of_the_manual_is_no_more_than_it_needs(world) {
        let estate = Estate::of(world, 1);
        let pool = &estate.pools[0];
        let manual = rights::statements("CREATE ROLE reconcile_pool_admin").concat();
        assert_eq!(manual.split(" PASSWORD ").next(), Some("CREATE ROLE reconcile_pool_admin LOGIN CREATEDB CREATEROLE"));
        let more = "SELECT rolsuper OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = 'reconcile_pool_admin'";
        assert_eq!(pool.psql("postgres", more), "false\n");
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1], "");
        for right in ["CREATEDB", "CREATEROLE"] {
            pool.psql("postgres", &format!("ALTER ROLE reconcile_pool_admin NO{right}"));
            let doctor = flat(&world.run(&["doctor"]).expect_code(1).text());
            assert!(doctor.contains("the admin role may not make roles and databases"), "{doctor}");
            assert!(doctor.contains("ALTER ROLE … CREATEDB CREATEROLE"), "{doctor}");
            let failed = flat(&refused(world));
            assert!(failed.contains("CREATEDB and CREATEROLE"), "{right}: {failed}");
            pool.psql("postgres", &format!("ALTER ROLE reconcile_pool_admin {right}"));
        }
        world.run(&["--once"]).expect_code(0);
        estate.is_allocated(world, 1);
    }

    fn the_user_of_redis_that_the_manual_makes_does_everything_and_has_no_right_too_many(world) {
        let mut estate = Estate::of(world, 1);
        let user = user_of_redis();
        estate.redis.ask::<String>(&user.iter().map(String::as_str).collect::<Vec<_>>());
        // Not the first of the server's databases, so that it has to be chosen.
        let url = estate.redis.url_as("reconcile", PASSWORD, 1);
        world.env("RECONCILE_REDIS_URL", &url).env("RECONCILE_CELERY_RESULT_URL", &url);
        estate.redis.ask::<String>(&["CONFIG", "RESETSTAT"]);
        estate.declare_servers(world, "max_instances: 5");
        world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\nhosts: [{session: 1}]\n");
        declare(world, [1, 2, 3], "");
        world.run(&["--once"]).expect_code(0);
        world.run(&["host", "claim", "1"]).expect_code(0);
        world.run(&["instance", "claim", &id(3)]).expect_code(0);
        world.run(&["instance", "provision", &id(1)]).expect_code(0);
        world.env("RECONCILE_CELERY_CREDENTIALS", "reference").run(&["instance", "provision", &id(2)]).expect_code(0);
        for looks in [&["doctor"][..], &["status"], &["--plan"], &["--once"]] {
            world.run(looks).expect_code(0);
        }
        let unused: Vec<_> = user.iter().filter_map(|word| word.strip_prefix('+')).collect();
        let used = used_commands(&estate);
        let unused: Vec<_> = unused.into_iter().filter(|command| !used.contains(*command)).collect();
        assert!(unused.is_empty(), "{unused:?} of {used:?}");
        // What a worker reports is found; its own commands are another user's.
        let _worker = Worker::start(&estate.redis.url_of(1));
        eventually(|| {
            world.run(&["--once"]).expect_code(0);
            phase(world, 1) == "ready"
        });
        let denied: Vec<redis::Value> = estate.redis.ask(&["ACL", "LOG"]);
        assert!(denied.is_empty(), "{denied:?}");
        // With one right less, it says which.
        estate.redis.ask::<String>(&["ACL", "SETUSER", "reconcile", "-getdel"]);
        world.run(&["host", "rotate", "--session-id", "1"]).expect_code(0);
        let said = flat(&world.run(&["host", "claim", "1"]).expect_code(1).text());
        assert!(said.contains("see ACL LOG there"), "{said}");
        estate.redis.stop();
    }
}

/// The words of the manual that make a user of Redis.
fn user_of_redis() -> Vec<String> {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, block) = manual.split_once("```text\nACL SETUSER").expect("the user of Redis");
    let (block, _) = block.split_once("```").expect("its end");
    let words = block.split_whitespace().map(|word| word.replace('…', PASSWORD));
    ["ACL", "SETUSER"].map(str::to_owned).into_iter().chain(words).collect()
}

/// The commands that the server was given since it began to count.
fn used_commands(estate: &Estate) -> BTreeSet<String> {
    let counted: String = estate.redis.ask(&["INFO", "commandstats"]);
    let name = |line: &str| Some(line.strip_prefix("cmdstat_")?.split_once(':')?.0.to_owned());
    counted.lines().filter_map(name).collect()
}

fn refused(world: &World) -> String {
    world.run(&["--once"]).expect_code(1).text()
}
