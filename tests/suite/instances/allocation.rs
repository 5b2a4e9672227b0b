//! Allocation: one database and one role for each instance, made once, and nobody else's touched.

use serde_json::Value as Json;

use super::{Estate, counters_are_right, declare, eventually, flat, id, is_settled, names, one, phase};
use crate::fixture::both;

both! {
    fn what_is_allocated_twice_is_allocated_once(world) {
        let estate = Estate::of(world, 2);
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1, 2, 3], "");
        world.run(&["--once"]).expect_code(0);
        let (before, credentials) = (estate.inventory(), estate.credentials(1).unwrap());
        for number in [1, 2, 3] {
            assert_eq!(phase(world, number), "allocated");
            estate.is_allocated(world, number);
        }
        let again = world.run(&["--once"]).expect_code(0).stdout;
        assert!(again.contains("No changes."), "{again}");
        assert_eq!(estate.inventory(), before);
        assert_eq!(estate.credentials(1).unwrap(), credentials, "the password is the one that was set");
        assert_eq!(one(world, "SELECT SUM(passwords) FROM reconcile_allocations"), "3");
        is_settled(world);
    }

    fn credentials_are_handed_over_as_their_reader_expects_them(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1], "");
        world.run(&["--once"]).expect_code(0);
        let credentials = estate.credentials(1).unwrap();
        let fields: Vec<&str> = credentials.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["db_host", "db_name", "db_password", "db_port", "db_user"]);
        assert_eq!(credentials["db_port"], Json::from(estate.pools[0].port));
        let password = credentials["db_password"].as_str().unwrap();
        assert!(password.len() == 32 && password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let life: i64 = estate.redis.ask(&["TTL", &super::key(1)]);
        assert!((3500..=3600).contains(&life), "{life}");
        let row = format!("SELECT db_host, db_port FROM instances WHERE id = '{}'", id(1));
        assert_eq!(one(world, &row), format!("127.0.0.1|{}", estate.pools[0].port));
    }

    fn no_server_log_table_or_output_has_a_password(world) {
        let estate = Estate::of(world, 2);
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1, 2, 3, 4], "");
        let mut told = world.run(&["--once", "-vv"]).expect_code(0).text();
        let passwords: Vec<String> = (1..=4)
            .map(|number| estate.credentials(number).unwrap()["db_password"].as_str().unwrap().to_owned())
            .chain(estate.pools.iter().map(|pool| pool.admin_password().to_owned()))
            .collect();
        declare(world, [1, 2, 3, 4], "credentials_rotation: 2");
        for arguments in [&["--plan", "--format", "json"][..], &["--once", "-vv"], &["status"], &["history"], &["config"]] {
            told += &world.run(arguments).expect_code(0).text();
        }
        told += &world.run(&["explain", &format!("instance/{}", id(1))]).expect_code(0).text();
        let rotated = (1..=4).map(|number| estate.credentials(number).unwrap()["db_password"].as_str().unwrap().to_owned());
        for password in passwords.iter().cloned().chain(rotated) {
            assert!(!told.contains(&password), "an output has a password");
            for pool in estate.pools.iter() {
                // The statement of its maker, who is the fixture, has the administrator's.
                let log = pool.log().replace(&format!("CREATE ROLE reconcile_pool_admin LOGIN CREATEDB CREATEROLE PASSWORD '{}'", pool.admin_password()), "");
                assert!(!log.contains(&password), "a server's log has a password");
            }
            let files = world.sh("cat -- $(find .reconcile -type f) | base64 -w0").expect_code(0).stdout;
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, files.trim()).unwrap();
            assert!(!bytes.windows(32).any(|window| window == password.as_bytes()), "a file has a password");
        }
        for pool in estate.pools.iter() {
            assert!(pool.log().contains("PASSWORD 'SCRAM-SHA-256$"), "every statement is logged");
        }
    }

    fn two_customers_whose_ids_share_a_prefix_have_names_of_their_own(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 5");
        // The first 16 digits of the customer and the first 8 of the instance are all that a name has.
        let twins = "instances:\n\
            \x20 - {id: fbaa8c92-0000-4000-8000-000000000001, customer: d425c7f2-57b1-439f-8000-00000000000a, name: one}\n\
            \x20 - {id: fbaa8c92-0000-4000-8000-000000000002, customer: d425c7f2-57b1-439f-8000-00000000000b, name: other}\n";
        world.write("desired-state/instances.yaml", twins);
        world.run(&["--once"]).expect_code(0);
        let databases = one(world, "SELECT db_name FROM reconcile_allocations ORDER BY LENGTH(db_name)");
        let (short, long) = databases.split_once('\n').unwrap();
        assert_eq!(short, "odoo_d425c7f257b1439f_fbaa8c92");
        assert!(long.starts_with(short) && long.len() > short.len() && long.len() <= 58, "{long}");
        for number in [1, 2] {
            let key = format!("instance:fbaa8c92-0000-4000-8000-00000000000{number}:db_credentials");
            let credentials: Json = serde_json::from_str(&estate.redis.ask::<String>(&["GET", &key])).unwrap();
            assert!(estate.log_in(&credentials).is_ok());
        }
        is_settled(world);
    }

    fn a_foreign_role_or_database_blocks_its_instance_and_is_not_touched(world) {
        let estate = Estate::of(world, 1);
        let pool = &estate.pools[0];
        estate.declare_servers(world, "max_instances: 9");
        let ((_, role), (database, _)) = (names(1), names(2));
        pool.psql("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD 'theirs'; COMMENT ON ROLE {role} IS 'mine'"));
        pool.psql("postgres", &format!("CREATE DATABASE {database}"));
        // Another instance's mark is no better than none.
        let (_, marked) = names(3);
        pool.psql("postgres", &format!(
            "CREATE ROLE {marked} LOGIN; COMMENT ON ROLE {marked} IS 'reconcile environment=development instance={} fencing=1'", id(9)
        ));
        let state = || pool.psql("postgres", "SELECT rolname, rolpassword, rolcanlogin, shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname LIKE 'odoo%' ORDER BY 1")
            + &pool.psql("postgres", "SELECT datname, datacl, datallowconn, pg_get_userbyid(datdba) FROM pg_database ORDER BY 1");
        let before = state();
        declare(world, [1, 2, 3], "");
        let turn = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        let said = flat(&turn);
        assert!(said.contains(&format!("there is a role {role} on postgres-pool-1, and it is not this instance's")), "{turn}");
        assert!(said.contains(&format!("there is a database {database} on postgres-pool-1")), "{turn}");
        assert!(said.contains(&format!("there is a role {marked}")), "{turn}");
        assert_eq!(state(), before);
        assert_eq!(one(world, "SELECT COUNT(*) FROM instances"), "0");
        counters_are_right(world);
        // The way out.
        pool.psql("postgres", &format!("DROP ROLE {role}"));
        world.run(&["--once", "--detailed-exitcode"]).expect_code(4);
        estate.is_allocated(world, 1);
    }

    fn what_becomes_foreign_while_it_is_ours_is_left_alone(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 9");
        declare(world, [1], "");
        world.run(&["--once"]).expect_code(0);
        let (database, role) = names(1);
        let pool = &estate.pools[0];
        pool.psql("postgres", &format!("COMMENT ON ROLE {role} IS 'taken over'"));
        let state = || pool.psql("postgres", &format!("SELECT rolpassword, rolcanlogin, shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname = '{role}'"));
        let before = state();
        declare(world, [1], "credentials_rotation: 2");
        let turn = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(flat(&turn).contains("not this instance's"), "{turn}");
        assert_eq!(state(), before);
        // And what is gone is not made again over its customer's head.
        pool.psql("postgres", &format!("DROP DATABASE {database}"));
        pool.psql("postgres", &format!("DROP ROLE {role}"));
        let turn = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(flat(&turn).contains("is gone from postgres-pool-1"), "{turn}");
        assert_eq!(estate.inventory(), "");
    }

    fn an_open_session_on_template1_holds_nothing_up(world) {
        let estate = Estate::of(world, 1);
        let pool = &estate.pools[0];
        estate.declare_servers(world, "max_instances: 20");
        world.sh(&format!("psql '{}' -c 'SELECT pg_sleep(60)' >held 2>&1 &", pool.url("template1")));
        eventually(|| pool.psql("postgres", "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND datname = 'template1'") == "1\n");
        let refused = crate::fixture::rows(&pool.url("postgres"), "CREATE DATABASE plain");
        assert!(refused.is_err_and(|why| why.contains("template1")), "the usual way is held up");
        declare(world, 1..=5, "");
        world.run(&["--once"]).expect_code(0);
        for number in 1..=5 {
            estate.is_allocated(world, number);
        }
        pool.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'template1'");
    }

    fn a_tuple_that_is_concurrently_updated_is_tried_again(world) {
        let estate = Estate::of(world, 1);
        let pool = &estate.pools[0];
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1], "");
        world.run(&["--once"]).expect_code(0);
        let (_, role) = names(1);
        let change = format!("BEGIN; ALTER ROLE {role} CONNECTION LIMIT 20; SELECT pg_sleep(2); COMMIT");
        world.sh(&format!("psql -q '{}' -c '{change}' >held 2>&1 &", pool.url("postgres")));
        let sleeps = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually(|| pool.psql("postgres", sleeps) == "1\n");
        declare(world, [1], "credentials_rotation: 2");
        let turn = world.run(&["--once", "-vv"]).expect_code(0);
        assert!(pool.log().contains("ERROR:  tuple concurrently updated"), "the two have met");
        assert!(turn.stderr.contains("trying again"), "{}", turn.stderr);
        estate.is_allocated(world, 1);
        assert_eq!(one(world, "SELECT passwords, credentials_rotation FROM reconcile_allocations"), "2|2");
    }

    fn a_field_that_no_file_names_is_not_managed(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1], "");
        world.run(&["--once"]).expect_code(0);
        world.sql(&format!("UPDATE instances SET subscription_id = '{}' WHERE id = '{}'", id(7), id(1)));
        is_settled(world);
        world.sql("UPDATE instances SET name = 'Renamed by hand'");
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(5).stdout;
        assert!(plan.contains("drift") && plan.contains("\"Renamed by hand\" -> \"customer 1\""), "{plan}");
        world.run(&["--once"]).expect_code(0);
        assert_eq!(one(world, "SELECT name FROM instances"), "customer 1");
        world.write("desired-state/instances.yaml", "instances: []\n");
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("1 unmanaged"), "{plan}");
        assert!(estate.credentials(1).is_some());
    }
}
