//! From the dispatch to the worker's last word, with a real worker; and the way back: rotation, retirement, forgetting.

use super::{
    Estate, LIMIT, QUEUE, counters_are_right, declare, eventually, flat, id, instance, is_settled, key, names, one,
    phase,
};
use crate::fixture::pools::Pools;
use crate::fixture::redis::Redis;
use crate::fixture::worker::{Mode, Setup, Worker};
use crate::fixture::{World, both};

const ONCE: &[&str] = &["--once"];

fn estate(world: &mut World) -> Estate {
    let estate = Estate::of(world, 1);
    estate.declare_servers(world, "max_instances: 20");
    estate
}

/// Takes turns until the instance has come to that phase.
#[track_caller]
fn comes_to(world: &World, number: u32, wanted: &str) {
    eventually(|| {
        world.run(ONCE).expect_code(0);
        phase(world, number) == wanted
    });
}

fn provision(world: &World, number: u32) -> crate::fixture::process::Output {
    world.run(&["instance", "provision", &id(number)])
}

/// The tables that the worker has made in the instance's database.
fn provisioned(estate: &Estate, number: u32) -> String {
    let (database, _) = names(number);
    estate.pools[0].psql(&database, "SELECT COUNT(DISTINCT task_id), COUNT(*) FROM provisioned")
}

both! {
    fn a_worker_logs_in_with_what_it_received_and_its_word_is_taken(world) {
        let estate = estate(world);
        declare(world, [1, 2], "provision: at_once");
        world.run(ONCE).expect_code(0);
        assert_eq!((phase(world, 1).as_str(), phase(world, 2).as_str()), ("provisioning", "provisioning"));
        assert!(estate.credentials(1).is_none(), "they went with the task");
        assert_eq!(estate.messages().len(), 2);
        // Nobody serves yet; and however often it is looked at, nothing is sent twice.
        is_settled(world);
        world.run(ONCE).expect_code(0);
        assert_eq!(estate.messages().len(), 2);
        let worker = Worker::start(&estate.redis.url());
        comes_to(world, 1, "ready");
        comes_to(world, 2, "ready");
        assert_eq!(provisioned(&estate, 1), "1|1\n");
        is_settled(world);
        let log = worker.stop();
        let history = world.run(&["history", &format!("instance/{}", id(1))]).expect_code(0).stdout;
        let history = flat(&history);
        for step in ["reserved -> database_created", "database_created -> allocated", "allocated -> provisioning", "provisioning -> ready"] {
            assert!(history.contains(step), "{history}");
        }
        assert!(log.contains("<redacted>") || !log.contains("db_password"), "{log}");
    }

    fn what_failed_is_tried_again_by_command_with_another_password_and_task(world) {
        let estate = estate(world);
        let broken = Setup { mode: Mode::Fail, ..Setup::on(&estate.redis.url()) }.start();
        declare(world, [1], "provision: at_once");
        comes_to(world, 1, "failed");
        let plan = flat(&world.run(&["--plan", "--detailed-exitcode"]).expect_code(4).stdout);
        assert!(plan.contains("the worker could not provision it: RuntimeError"), "{plan}");
        assert!(plan.contains(&format!("reconcile instance retry {}", id(1))), "{plan}");
        broken.kill();
        let task = || one(world, "SELECT task_id, passwords FROM reconcile_allocations");
        let before = task();
        let refused = provision(world, 1).expect_code(1).text();
        assert!(refused.contains("instance retry"), "{refused}");
        world.run(&["instance", "retry", &id(1)]).expect_code(0);
        assert_ne!(task(), before);
        assert!(task().ends_with("|2"), "{}", task());
        let _worker = Worker::start(&estate.redis.url());
        comes_to(world, 1, "ready");
        let refused = world.run(&["instance", "retry", &id(1)]).expect_code(1).text();
        assert!(refused.contains("it is ready, and only what has failed is tried again"), "{refused}");
        let told = world.run(&["history"]).expect_code(0).text();
        assert!(!told.contains("no luck with"), "what an exception says may hold a secret: {told}");
    }

    fn billing_releases_one_instance_and_words_refuse_the_others(world) {
        let estate = estate(world);
        let refused = provision(world, 1).expect_code(1).stderr;
        assert!(refused.contains("Database not allocated. Cannot provision instance."), "{refused}");
        declare(world, [1, 2], "provision: on_billing");
        world.run(ONCE).expect_code(0);
        is_settled(world);
        let explained = flat(&world.run(&["explain", &format!("instance/{}", id(1))]).expect_code(0).stdout);
        assert!(explained.contains("releases it"), "{explained}");
        provision(world, 1).expect_code(0);
        assert_eq!((phase(world, 1).as_str(), phase(world, 2).as_str()), ("provisioning", "allocated"));
        provision(world, 1).expect_code(0);
        assert_eq!(estate.messages().len(), 1);
        let by = one(world, "SELECT released_by FROM reconcile_allocations WHERE released_at IS NOT NULL");
        assert_eq!(by, "Interactive User");
        declare(world, [1, 2], "provision: hold");
        let refused = provision(world, 2).expect_code(1).stderr;
        assert!(refused.contains("provision: hold"), "{refused}");
        // What was not allocated here has no role of ours, and gets no password.
        world.sql(&format!("DELETE FROM reconcile_allocations WHERE instance_id = '{}'", id(2)));
        declare(world, [1, 2], "");
        let refused = provision(world, 2).expect_code(1).stderr;
        assert!(refused.contains("Database credentials not found. Instance may be too old or not allocated."), "{refused}");
    }

    fn a_protected_instance_is_not_worked_on_by_command_either(world) {
        let estate = estate(world);
        declare(world, [1], "protect: true");
        world.run(ONCE).expect_code(0);
        for (verb, more) in [("provision", &[][..]), ("retry", &[]), ("forget", &["--name", "customer 1"])] {
            let refused = world.run(&[&["instance", verb, &id(1)], more].concat()).expect_code(1);
            assert!(flat(&refused.stderr).contains("it is protected hint: to change it, write `protect: false`"), "{}", refused.text());
        }
        assert!(estate.messages().is_empty());
        // The line is gone, and another file cannot be read: it stays protected.
        declare(world, [1], "");
        world.write("desired-state/broken.yaml", "hosts: 5");
        let refused = world.run(&["instance", "provision", &id(1)]).expect_code(1);
        assert!(flat(&refused.stderr).contains("it is protected"), "{}", refused.text());
        world.write("desired-state/broken.yaml", "");
        declare(world, [1], "protect: false");
        world.run(ONCE).expect_code(0);
        world.run(&["instance", "provision", &id(1)]).expect_code(0);
        assert_eq!(estate.messages().len(), 1);
    }

    fn a_suspended_instance_is_not_worked_on_by_command_either(world) {
        let estate = estate(world);
        declare(world, [1, 2], "");
        world.run(ONCE).expect_code(0);
        let address = format!("instance/{}", id(1));
        world.run(&["suspend", &address, "--reason", "Dispute"]).expect_code(0);
        let named = ["--name", "customer 1"];
        for (verb, more) in [("provision", &[][..]), ("retry", &[]), ("forget", &named)] {
            let refused = world.run(&[&["instance", verb, &id(1)], more].concat()).expect_code(1);
            assert!(flat(&refused.stderr).contains(&format!("{address}: it is suspended by ")), "{}", refused.text());
            assert!(flat(&refused.stderr).contains(&format!("reconcile resume {address}")), "{}", refused.text());
        }
        assert!(estate.messages().is_empty());
        // Its plan and its explanation say so though nothing of it differs, and the other goes on.
        let plan = flat(&world.run(&["--plan"]).expect_code(0).stdout);
        assert!(plan.contains(&format!("i {address} it is suspended by")) && plan.contains("No changes."), "{plan}");
        let explained = flat(&world.run(&["explain", &address]).expect_code(0).stdout);
        assert_eq!(explained.matches("it is suspended by").count(), 1, "{explained}");
        assert!(explained.contains("suspend by") && explained.contains(": Dispute"), "{explained}");
        world.run(&["instance", "provision", &id(2)]).expect_code(0);
        assert_eq!(estate.messages().len(), 1);
        world.run(&["suspend", "--reason", "Night"]).expect_code(0);
        world.run(&["resume", &address, "--reason", "Settled"]).expect_code(0);
        let refused = world.run(&["instance", "provision", &id(1)]).expect_code(1);
        assert!(flat(&refused.stderr).contains("applying is suspended by "), "{}", refused.text());
        // What waits may be taken all the same: to read is not to apply.
        assert!(world.run(&["instance", "claim", &id(1)]).expect_code(0).stdout.contains("db_password"));
        world.run(&["resume", "--reason", "Morning"]).expect_code(0);
        world.run(&["instance", "provision", &id(1)]).expect_code(0);
        assert_eq!(phase(world, 1), "provisioning");
    }

    fn credentials_that_were_lost_are_made_anew_when_they_are_needed(world) {
        let estate = estate(world);
        declare(world, [1], "");
        world.run(ONCE).expect_code(0);
        let old = estate.credentials(1).unwrap();
        let _: () = estate.redis.ask(&["FLUSHALL"]);
        is_settled(world);
        provision(world, 1).expect_code(0);
        let new = estate.dispatched(1).unwrap();
        assert_ne!(new["db_password"], old["db_password"]);
        assert!(estate.log_in(&new).is_ok());
        assert!(estate.log_in(&old).is_err());
        let history = flat(&world.run(&["history"]).expect_code(0).stdout);
        assert!(history.contains("no longer in the hand-off, so a new password is set"), "{history}");
    }

    fn a_redis_that_is_away_holds_up_what_needs_it_and_nothing_else(world) {
        let mut estate = estate(world);
        declare(world, [1], "");
        world.run(ONCE).expect_code(0);
        estate.redis.stop();
        declare(world, [1, 2], "provision: at_once");
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al-Fatiha}]\n");
        let turn = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(flat(&turn).contains("cannot be used now"), "{turn}");
        assert!(turn.contains("+ session/215"), "{turn}");
        counters_are_right(world);
        estate.redis.start_again();
        comes_to(world, 2, "provisioning");
        comes_to(world, 1, "provisioning");
        assert_eq!(estate.messages().len(), 2);
        is_settled(world);
    }

    fn a_password_is_rotated_by_number(world) {
        let estate = estate(world);
        declare(world, [1], "");
        world.run(ONCE).expect_code(0);
        let old = estate.credentials(1).unwrap();
        declare(world, [1], "credentials_rotation: 2");
        world.run(ONCE).expect_code(0);
        let new = estate.credentials(1).unwrap();
        assert!(estate.log_in(&new).is_ok());
        assert!(estate.log_in(&old).is_err());
        is_settled(world);
        let claimed = world.run(&["instance", "claim", &id(1)]).expect_code(0).stdout;
        assert_eq!(serde_json::from_str::<serde_json::Value>(&claimed).unwrap(), new);
        world.run(&["instance", "claim", &id(1)]).expect_code(1);
        declare(world, [1], "credentials_rotation: 1");
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(flat(&plan).contains("an old commit is no wish to go back"), "{plan}");
    }

    fn a_retired_instance_keeps_its_place_until_it_is_forgotten(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 1");
        declare(world, [1], "");
        world.run(ONCE).expect_code(0);
        let credentials = estate.credentials(1).unwrap();
        let refused = world.run(&["instance", "forget", &id(1), "--name", "customer 1"]).expect_code(1).stderr;
        assert!(refused.contains("it is active"), "{refused}");
        declare(world, [1], "state: retired");
        world.run(ONCE).expect_code(0);
        assert!(estate.log_in(&credentials).is_err_and(|why| why.contains("not permitted to log in")));
        is_settled(world);
        // Somebody gives the login back: drift.
        estate.pools[0].psql("postgres", &format!("ALTER ROLE {} LOGIN", names(1).1));
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(5).stdout;
        assert!(plan.contains("login true -> false"), "{plan}");
        world.run(ONCE).expect_code(0);
        declare(world, [1], "state: active");
        world.run(ONCE).expect_code(0);
        assert!(estate.log_in(&credentials).is_ok(), "the password is the same");
        declare(world, [1], "state: retired");
        world.run(ONCE).expect_code(0);
        world.write("desired-state/instances.yaml", &format!("instances:\n{}{}", instance(1, "state: retired"), instance(2, "")));
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(flat(&plan).contains("it is full (1/1)"), "{plan}");
        let forget = |name: &str| world.run_with(&["instance", "forget", &id(1)], &format!("{name}\n"));
        let refused = forget("customer 2").expect_code(1).stderr;
        assert!(refused.contains("that is not the name"), "{refused}");
        let told = flat(&forget("customer 1").expect_code(0).stdout);
        assert!(told.contains(&format!("Its database {} still lies on postgres-pool-1", names(1).0)), "{told}");
        world.run(&["--once", "--detailed-exitcode"]).expect_code(4);
        assert_eq!(phase(world, 2), "allocated");
        assert!(estate.inventory().contains(&names(1).0), "nothing drops a database");
        let plan = flat(&world.run(&["--plan"]).expect_code(0).stdout);
        assert!(plan.contains("it was forgotten by command"), "{plan}");
        counters_are_right(world);
        let status = world.run(&["status"]).expect_code(0).stdout;
        assert!(status.contains("████████████████████ 1/1 healthy"), "{status}");
        assert!(status.contains("1 allocated, 1 forgotten"), "{status}");
    }
}

#[test]
fn what_redis_evicts_under_pressure_is_not_lost_for_good_with_postgres() {
    let mut world = World::on(crate::fixture::Database::Sqlite);
    let redis = Redis::start_with("maxmemory 4mb\nmaxmemory-policy allkeys-lru\n");
    let estate = Estate::with(&mut world, Pools::start(1), redis);
    estate.declare_servers(&world, "max_instances: 20");
    declare(&world, [1], "");
    world.run(ONCE).expect_code(0);
    let old = estate.credentials(1).unwrap();
    let filler = "x".repeat(20_000);
    let evicted = (0..2000).find(|number| {
        let _: () = estate.redis.ask(&["SET", &format!("filler:{number}"), &filler]);
        // Asked for by its name alone: to read it would keep it fresh.
        !estate.redis.keys().contains(&key(1))
    });
    assert!(evicted.is_some(), "there is no pressure");
    is_settled(&world);
    provision(&world, 1).expect_code(0);
    let new = estate.dispatched(1).unwrap();
    assert!(estate.log_in(&new).is_ok() && estate.log_in(&old).is_err());
}

#[test]
fn a_task_whose_worker_was_killed_is_given_to_the_next_with_postgres() {
    let mut world = World::on(crate::fixture::Database::Sqlite);
    let estate = estate(&mut world);
    let url = estate.redis.url();
    let setup = |mode| Setup { mode, visibility_timeout: 5, ..Setup::on(&url) };
    let doomed = setup(Mode::Sleep).start();
    declare(&world, [1], "provision: at_once");
    world.run(ONCE).expect_code(0);
    doomed.wait_for("asleep", 1, LIMIT);
    doomed.kill();
    is_settled(&world);
    let next = setup(Mode::Work).start();
    next.wait_for(": done", 1, 2 * LIMIT);
    comes_to(&world, 1, "ready");
    assert_eq!(provisioned(&estate, 1), "1|1\n", "one task, done once");
    assert_eq!(one(&world, "SELECT dispatches FROM reconcile_allocations"), "1");
}

#[test]
fn other_styles_are_served_with_postgres() {
    let mut world = World::on(crate::fixture::Database::Sqlite);
    let estate = estate(&mut world);
    world.env("RECONCILE_CELERY_QUEUE", "others").env("RECONCILE_CELERY_TASK", "shop.provision");
    world.env("RECONCILE_CELERY_ARGUMENTS", "positional").env("RECONCILE_CELERY_CREDENTIALS", "reference");
    declare(&world, [1], "provision: at_once");
    world.run(ONCE).expect_code(0);
    let life: i64 = estate.redis.ask(&["TTL", &key(1)]);
    assert!(life > 6 * 3600 - 60, "they wait for the worker: {life} s");
    let waiting: Vec<String> = estate.redis.ask(&["LRANGE", "others", "0", "-1"]);
    let (_, body) = super::opened(&waiting[0]);
    assert_eq!(body[0], serde_json::json!([id(1), key(1)]));
    assert!(!estate.redis.keys().contains(&QUEUE.to_owned()));
    let _worker = Setup { queue: "others", task: "shop.provision", ..Setup::on(&estate.redis.url()) }.start();
    comes_to(&world, 1, "ready");
}

#[test]
fn without_a_broker_an_instance_is_allocated_and_says_what_it_waits_for_with_postgres() {
    let mut world = World::on(crate::fixture::Database::Sqlite);
    let estate = estate(&mut world);
    // The embedded hand-off, and then a broker of its own beside it.
    world.env("RECONCILE_REDIS_URL", "");
    declare(&world, [1], "provision: at_once");
    world.run(ONCE).expect_code(1);
    let unset = |arguments: &str| {
        world.sh(&format!(
            "unset RECONCILE_REDIS_URL RECONCILE_CELERY_RESULT_URL; {} {arguments}",
            env!("CARGO_BIN_EXE_reconcile")
        ))
    };
    unset("--once").expect_code(0);
    let plan = flat(&unset("--plan --detailed-exitcode").expect_code(4).stdout);
    assert!(plan.contains("no broker takes its task; set celery.broker_url"), "{plan}");
    let broker = format!("RECONCILE_CELERY_BROKER_URL={}", estate.redis.url());
    let line = format!("unset RECONCILE_REDIS_URL; {broker} {} --once", env!("CARGO_BIN_EXE_reconcile"));
    world.sh(&line).expect_code(0);
    assert_eq!(phase(&world, 1), "provisioning");
    assert!(estate.log_in(&estate.dispatched(1).unwrap()).is_ok());
    assert_eq!(world.sh("ls .reconcile/handoff | wc -l").stdout.trim(), "0", "nothing is left behind");
}
