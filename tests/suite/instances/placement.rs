//! Placement: never more than there is room for, whoever races; and why a server was passed over.

use std::collections::BTreeMap;

use super::{Estate, LIMIT, counters_are_right, declare, flat, id, instance, is_settled, key, names, one, phase};
use crate::fixture::pools::{Pool, Pools};
use crate::fixture::redis::Redis;
use crate::fixture::{World, both};

/// How many instances lie on each server, by what the servers themselves have.
fn spread(estate: &Estate) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for line in estate.inventory().lines().filter(|line| line.contains(" dat ")) {
        *count.entry(line.split(' ').next().unwrap().to_owned()).or_default() += 1;
    }
    count
}

/// Writes the servers with one `more` for each.
fn servers(world: &World, pools: &[Pool], more: &[&str]) {
    let lines: String = pools.iter().zip(more).map(|(pool, more)| pool.declared(more)).collect();
    world.write("desired-state/servers.yaml", &format!("servers:\n{lines}"));
}

both! {
    fn fifty_at_once_on_three_servers_with_forty_places(world) {
        world.limit(LIMIT * 4);
        let mut pools = Pools::start(4);
        let estate = Estate::with(world, pools.split_off(4), Redis::start());
        pools.known_to(world);
        let sizes = ["max_instances: 20", "max_instances: 15", "max_instances: 5", "max_instances: 50"];
        servers(world, &pools[..3], &sizes);
        declare(world, 1..=50, "");
        let turn = world.run(&["--once", "--detailed-exitcode", "--format", "json"]).expect_code(4);
        let report: serde_json::Value = serde_json::from_str(&turn.stdout).unwrap();
        let blocked = report["blocked"].as_array().unwrap();
        assert_eq!(blocked.len(), 10);
        for one in blocked {
            let reason = one["reason"].as_str().unwrap();
            for full in ["postgres-pool-1: it is full (20/20)", "postgres-pool-2: it is full (15/15)", "postgres-pool-3: it is full (5/5)"] {
                assert!(reason.contains(full), "{reason}");
            }
            assert!(one["hint"].as_str().unwrap().contains("add a server"), "{one}");
        }
        let estate = Estate { pools, ..estate };
        let found: Vec<usize> = spread(&estate).into_values().collect();
        assert_eq!(found, [20, 15, 5]);
        assert_eq!(one(world, "SELECT COUNT(*) FROM instances WHERE provisioning_status = 'allocated'"), "40");
        counters_are_right(world);

        servers(world, &estate.pools, &sizes);
        world.run(&["--once", "--detailed-exitcode"]).expect_code(0);
        assert_eq!(spread(&estate)["postgres-pool-4"], 10);
        assert_eq!(one(world, "SELECT COUNT(*) FROM instances WHERE provisioning_status = 'allocated'"), "50");
        for number in [1, 25, 50] {
            estate.is_allocated(world, number);
        }
        let keys: Vec<String> = (1..=50).map(key).collect();
        let mut waiting = estate.redis.keys();
        waiting.retain(|key| !key.starts_with("reconcile:"));
        assert_eq!(waiting, keys);
        is_settled(world);
    }

    fn racing_planners_never_take_more_than_there_is(world) {
        let estate = Estate::of(world, 2);
        estate.declare_servers(world, "max_instances: 3");
        declare(world, 1..=10, "provision: at_once");
        for _ in 0..2 {
            let racers: Vec<_> = (0..4).map(|_| world.spawn(&["--once"])).collect();
            for racer in racers {
                // One applies; the others find nothing left, or somebody at it.
                let _ = racer.finish(LIMIT);
            }
        }
        world.run(&["--once"]).expect_code(0);
        assert_eq!(spread(&estate).into_values().collect::<Vec<_>>(), [3, 3]);
        counters_are_right(world);
        assert_eq!(one(world, "SELECT COUNT(*) FROM instances"), "6");
        assert_eq!(estate.messages().len(), 6);
        for number in 1..=6 {
            estate.is_allocated(world, number);
        }
    }

    fn priority_fill_and_name_decide_in_that_order(world) {
        let estate = Estate::of(world, 3);
        servers(world, &estate.pools, &["max_instances: 9", "max_instances: 9", "max_instances: 2, priority: 1"]);
        declare(world, 1..=6, "");
        world.run(&["--once"]).expect_code(0);
        let found: Vec<usize> = spread(&estate).into_values().collect();
        assert_eq!(found, [2, 2, 2]);
        let on = |number| estate.pool_of(world, number).name();
        assert_eq!((on(1), on(2)), ("postgres-pool-3".into(), "postgres-pool-3".into()));
        assert_eq!((on(3), on(4)), ("postgres-pool-1".into(), "postgres-pool-2".into()));
    }

    fn maintenance_type_and_pin_are_minded_and_explained(world) {
        let estate = Estate::of(world, 3);
        servers(world, &estate.pools, &["max_instances: 9, state: maintenance", "type: dedicated", "max_instances: 1"]);
        declare(world, [1], "");
        world.run(&["--once"]).expect_code(0);
        assert_eq!(estate.pool_of(world, 1).name(), "postgres-pool-3");
        let more = [instance(1, ""), instance(2, ""), instance(3, "tier: premium"), instance(4, "tier: enterprise"), instance(5, "server: postgres-pool-1")];
        world.write("desired-state/instances.yaml", &format!("instances:\n{}", more.concat()));
        world.run(&["--once", "--detailed-exitcode"]).expect_code(4);
        assert_eq!(estate.pool_of(world, 3).name(), "postgres-pool-2");
        let explain = |number| flat(&world.run(&["explain", &format!("instance/{}", id(number))]).expect_code(0).stdout);
        let told = explain(2);
        for why in ["postgres-pool-1: it is in maintenance", "postgres-pool-2: it is dedicated", "postgres-pool-3: it is full (1/1)"] {
            assert!(told.contains(why), "{told}");
        }
        let told = explain(4);
        assert!(told.contains("postgres-pool-1: it is shared, and enterprise wants a dedicated server") && told.contains("postgres-pool-2: it is full (1/1)"), "{told}");
        assert!(explain(5).contains("it is pinned to postgres-pool-1, and it is in maintenance"), "{}", explain(5));
        // What lies there already stays as it is.
        servers(world, &estate.pools, &["max_instances: 9, state: active", "type: dedicated", "max_instances: 1, state: maintenance"]);
        world.run(&["--once", "--detailed-exitcode"]).expect_code(4);
        estate.is_allocated(world, 1);
        for number in [2, 5] {
            assert_eq!(estate.pool_of(world, number).name(), "postgres-pool-1");
        }
    }

    fn a_renamed_pool_keeps_what_it_holds(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1, 2], "");
        world.run(&["--once"]).expect_code(0);
        let rows = "SELECT id, current_instances FROM db_servers";
        let before = one(world, rows);
        let renamed = estate.pools[0].declared("max_instances: 5, formerly: postgres-pool-1").replace("name: postgres-pool-1", "name: the-new-name");
        world.write("desired-state/servers.yaml", &format!("servers:\n{renamed}"));
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(flat(&plan).contains("~ server/the-new-name name postgres-pool-1 -> the-new-name"), "{plan}");
        assert!(!plan.contains("cannot be used") && !plan.contains("no file names it"), "{plan}");
        // While something holds the new name back, the server serves under the one that it has.
        world.run(&["suspend", "server/the-new-name", "--reason", "Not yet"]).expect_code(0);
        declare(world, [1, 2, 3], "");
        for _ in 0..3 {
            world.run(&["--once", "--detailed-exitcode"]).expect_code(4);
        }
        assert_eq!(one(world, "SELECT name, health_status, current_instances FROM db_servers"), "postgres-pool-1|healthy|3");
        world.run(&["resume", "server/the-new-name", "--reason", "Now"]).expect_code(0);
        let before = before.replace("|2", "|3");
        world.run(&["--once"]).expect_code(0);
        assert_eq!(one(world, "SELECT name FROM db_servers"), "the-new-name");
        assert_eq!(one(world, rows), before);
        is_settled(world);
        declare(world, [1, 2, 3], "credentials_rotation: 2");
        world.run(&["--once"]).expect_code(0);
        for number in 1..=3 {
            assert!(estate.log_in(&estate.credentials(number).unwrap()).is_ok());
        }
        counters_are_right(world);
        // The line may go once it has done its work.
        world.write("desired-state/servers.yaml", &format!("servers:\n{}", renamed.replace(", formerly: postgres-pool-1", "")));
        is_settled(world);
    }

    fn a_server_that_leaves_the_files_keeps_what_it_holds_and_takes_no_more(world) {
        let estate = Estate::of(world, 2);
        servers(world, &estate.pools[..1], &["max_instances: 5"]);
        declare(world, [1], "");
        world.run(&["--once"]).expect_code(0);
        servers(world, &estate.pools[1..], &["max_instances: 5"]);
        declare(world, [1, 2], "");
        let plan = flat(&world.run(&["--plan"]).expect_code(0).stdout);
        assert!(plan.contains("no file names it, and it holds 1: it keeps them, and takes no more"), "{plan}");
        world.run(&["--once"]).expect_code(0);
        assert_eq!(estate.pool_of(world, 2).name(), "postgres-pool-2");
        assert_eq!(one(world, "SELECT COUNT(*) FROM db_servers"), "2");
        // What it holds is still looked after.
        declare(world, [1, 2], "credentials_rotation: 2");
        world.run(&["--once"]).expect_code(0);
        estate.is_allocated(world, 1);
        assert_eq!(estate.pool_of(world, 1).name(), "postgres-pool-1");
    }

    fn a_counter_that_disagrees_with_the_rows_is_drift_and_mended(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1, 2], "");
        world.run(&["--once"]).expect_code(0);
        for wrong in [0, 4] {
            world.sql(&format!("UPDATE db_servers SET current_instances = {wrong}"));
            let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(5).stdout;
            assert!(flat(&plan).contains(&format!("current_instances {wrong} -> 2")), "{plan}");
            world.run(&["--once"]).expect_code(0);
            counters_are_right(world);
        }
        // And what is too small for what it holds is blocked.
        estate.declare_servers(world, "max_instances: 1");
        let turn = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(flat(&turn).contains("it holds 2, and max_instances would be 1"), "{turn}");
    }

    fn what_an_older_tool_allocated_takes_its_place_and_is_left_as_it_is(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 2");
        world.run(&["--once"]).expect_code(0);
        world.sql(&format!(
            "INSERT INTO instances (id, customer_id, name, plan_tier, status, provisioning_status, db_server_id, db_host, db_port, created_at, updated_at)
             SELECT '{}', '{}', 'old', 'standard', 'active', 'ready', id, host, port, created_at, updated_at FROM db_servers",
            id(9), id(8)
        ));
        declare(world, [1, 2], "");
        let turn = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(flat(&turn).contains("it is full (2/2)"), "{turn}");
        assert_eq!(phase(world, 1), "allocated");
        let refused = world.run(&["instance", "provision", &id(9)]);
        assert_eq!(refused.code, 0, "{}", refused.text());
        world.sql(&format!("UPDATE instances SET provisioning_status = 'allocated' WHERE id = '{}'", id(9)));
        let refused = world.run(&["instance", "provision", &id(9)]).expect_code(1);
        assert!(refused.stderr.contains("Database credentials not found. Instance may be too old or not allocated."), "{}", refused.text());
        assert_eq!(estate.inventory().lines().count(), 2);
        assert!(!estate.inventory().contains(&names(9).0));
    }
}
