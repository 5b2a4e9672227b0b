//! Harm done to pool servers: down, frozen, refused, full, another one. It holds up what needs them, and nothing else.

use super::{Estate, LIMIT, counters_are_right, declare, flat, id, is_settled, names, one, phase};
use crate::fixture::pools::{Pool, Pools};
use crate::fixture::redis::Redis;
use crate::fixture::{Database, World, both};

const ONCE: &[&str] = &["--once", "--detailed-exitcode"];

fn health(world: &World) -> String {
    one(world, "SELECT name, health_status FROM db_servers ORDER BY name")
}

/// The only server but the first is pinned to, so that each has instances of its own.
fn pinned(world: &World, of_the_first: &[u32], of_the_second: &[u32], more: &str) {
    let line = |number: &u32, server: u8| super::instance(*number, &format!("server: postgres-pool-{server}, {more}"));
    let first = of_the_first.iter().map(|number| line(number, 1));
    let lines: String = first.chain(of_the_second.iter().map(|number| line(number, 2))).collect();
    world.write("desired-state/instances.yaml", &format!("instances:\n{lines}"));
}

both! {
    fn a_server_that_is_down_holds_up_its_own_instances_and_comes_back_by_itself(world) {
        let mut estate = Estate::of(world, 2);
        estate.declare_servers(world, "max_instances: 5");
        pinned(world, &[1], &[2], "");
        world.run(&["--once"]).expect_code(0);
        assert_eq!(health(world), "postgres-pool-1|healthy\npostgres-pool-2|healthy");
        estate.pools[0].stop();
        pinned(world, &[1, 3], &[2, 4], "credentials_rotation: 2");
        let turn = flat(&world.run(ONCE).expect_code(4).stdout);
        assert!(turn.contains("postgres-pool-1 cannot be used now: cannot connect to 127.0.0.1"), "{turn}");
        assert!(turn.contains(&format!("! instance/{}", id(3))), "{turn}");
        assert_eq!(phase(world, 4), "allocated", "the other server goes on");
        assert_eq!(one(world, &format!("SELECT credentials_rotation FROM reconcile_allocations WHERE instance_id = '{}'", id(2))), "2");
        assert_eq!(health(world), "postgres-pool-1|degraded\npostgres-pool-2|healthy");
        world.run(ONCE).expect_code(4);
        world.run(ONCE).expect_code(4);
        assert_eq!(health(world), "postgres-pool-1|unhealthy\npostgres-pool-2|healthy");
        let status = world.run(&["status"]).expect_code(0).stdout;
        assert!(flat(&status).contains("1/5 unhealthy: cannot connect to"), "{status}");
        let doctor = world.run(&["doctor"]).expect_code(1);
        assert!(doctor.stdout.contains("FAIL  server postgres-pool-1"), "{}", doctor.text());
        assert!(doctor.stderr.contains("the server postgres-pool-1 cannot be used as it is"), "{}", doctor.text());
        estate.pools[0].start_again();
        // What lies there goes on at once; more comes when it has answered twice.
        world.run(ONCE).expect_code(4);
        assert_eq!(health(world), "postgres-pool-1|degraded\npostgres-pool-2|healthy");
        assert!(estate.log_in(&estate.credentials(1).unwrap()).is_ok());
        world.run(&["--once"]).expect_code(0);
        assert_eq!(health(world), "postgres-pool-1|healthy\npostgres-pool-2|healthy");
        for number in 1..=4 {
            assert_eq!(phase(world, number), "allocated");
        }
        is_settled(world);
        counters_are_right(world);
    }

    fn a_server_that_goes_away_in_the_middle_is_gone_on_with(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 9");
        declare(world, [1], "");
        world.run(&["--once"]).expect_code(0);
        // It answers the look, and refuses to make a database: the place is taken, and the rest comes later.
        estate.pools[0].psql("postgres", "ALTER ROLE reconcile_pool_admin NOCREATEDB");
        declare(world, [1, 2], "");
        let failed = world.run(&["--once"]).expect_code(1);
        assert!(flat(&failed.stderr).contains("the admin role needs CREATEDB and CREATEROLE"), "{}", failed.text());
        assert_eq!(phase(world, 2), "reserved");
        counters_are_right(world);
        let doctor = flat(&world.run(&["doctor"]).expect_code(1).stdout);
        assert!(doctor.contains("the admin role may not make roles and databases"), "{doctor}");
        estate.pools[0].psql("postgres", "ALTER ROLE reconcile_pool_admin CREATEDB");
        world.run(&["--once"]).expect_code(0);
        estate.is_allocated(world, 2);
        is_settled(world);
    }

    fn a_wrong_admin_secret_is_named_and_never_shown(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 9");
        declare(world, [1], "");
        let right = estate.pools[0].admin_url();
        world.env(&estate.pools[0].variable(), &right.replace(estate.pools[0].admin_password(), "mistaken-password"));
        let turn = world.run(ONCE).expect_code(4);
        assert!(flat(&turn.stdout).contains("the login is refused"), "{}", turn.text());
        assert!(!turn.text().contains("mistaken-password"), "{}", turn.text());
        world.env(&estate.pools[0].variable(), "");
        let turn = flat(&world.run(ONCE).expect_code(4).stdout);
        assert!(turn.contains("nobody has configured its admin secret pool-1: set RECONCILE_POOL_POOL_1_URL, or [pools.pool-1] with url_file"), "{turn}");
        world.env(&estate.pools[0].variable(), &right.replace("/postgres", "/template1"));
        let turn = flat(&world.run(ONCE).expect_code(4).stdout);
        assert!(turn.contains("refused by the guard"), "{turn}");
        world.env(&estate.pools[0].variable(), &right);
        world.run(ONCE).expect_code(4);
        world.run(ONCE).expect_code(0);
        estate.is_allocated(world, 1);
    }

    fn another_cluster_behind_the_address_is_refused(world) {
        let mut estate = Estate::of(world, 2);
        let other = estate.pools.split_off(1);
        estate.declare_servers(world, "max_instances: 9");
        declare(world, [1], "");
        world.run(&["--once"]).expect_code(0);
        let right = estate.pools[0].admin_url();
        world.env(&estate.pools[0].variable(), &other[0].admin_url());
        declare(world, [1, 2], "");
        let turn = flat(&world.run(ONCE).expect_code(4).stdout);
        assert!(turn.contains("was bound to the cluster"), "{turn}");
        assert_eq!(other[0].psql("postgres", "SELECT COUNT(*) FROM pg_roles WHERE rolname LIKE 'odoo%'"), "0\n");
        // The same cluster under two names would be counted twice.
        world.env(&estate.pools[0].variable(), &right).env("RECONCILE_POOL_TWIN_URL", &right);
        let twin = "servers:\n  - {name: a-twin, host: 127.0.0.1, port: 1, max_instances: 9, admin: twin}\n";
        world.write("desired-state/twin.yaml", twin);
        let plan = flat(&world.run(&["--plan"]).expect_code(0).stdout);
        assert!(plan.contains("it is the same PostgreSQL cluster as server/postgres-pool-1"), "{plan}");
    }

    fn a_password_that_is_in_a_file_is_read_anew_and_must_be_private(world) {
        let estate = Estate::of(world, 1);
        let pool = &estate.pools[0];
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1], "");
        world.env(&pool.variable(), "");
        let none = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).stdout;
        assert!(flat(&none).contains(&format!("nobody has configured its admin secret pool-1: set {}", pool.variable())), "{none}");
        world.write("reconcile.toml", "[pools.pool-1]\nurl_file = \"pool-1.url\"\n");
        world.write("pool-1.url", &pool.admin_url());
        world.sh("chmod 644 pool-1.url").expect_code(0);
        let open = world.run(&["--once", "--detailed-exitcode"]).expect_code(4).text();
        assert!(flat(&open).contains("chmod 600") && !open.contains(pool.admin_password()), "{open}");
        world.sh("chmod 600 pool-1.url").expect_code(0);
        for _ in 0..3 {
            world.run(&["--once"]).expect_code(0);
        }
        estate.is_allocated(world, 1);
    }

    fn a_daemon_goes_on_when_its_server_is_back(world) {
        let mut estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1], "");
        estate.pools[0].stop();
        world.env("RECONCILE_INTERVAL", "1s");
        let mut daemon = world.spawn(&[]);
        daemon.wait_for("nobody listens there", LIMIT);
        estate.pools[0].start_again();
        super::eventually(|| phase(world, 1) == "allocated");
        estate.is_allocated(world, 1);
        daemon.signal(rustix::process::Signal::TERM);
        daemon.finish(LIMIT).expect_code(0);
        assert_eq!(one(world, &format!("SELECT COUNT(*) FROM reconcile_allocations WHERE db_name = '{}'", names(1).0)), "1");
    }
}

/// What only shows what is said, and needs one main database.
fn world_of(pools: Pools) -> (World, Estate) {
    let mut world = World::on(Database::Sqlite);
    let estate = Estate::with(&mut world, pools, Redis::start());
    (world, estate)
}

#[test]
fn a_frozen_server_costs_its_limit_and_no_more_with_postgres() {
    let (mut world, estate) = world_of(Pools::start(2));
    world.env("RECONCILE_DATABASE_CONNECT_TIMEOUT", "1s");
    estate.declare_servers(&world, "max_instances: 5");
    pinned(&world, &[1], &[2], "");
    estate.pools[0].freeze();
    let begun = std::time::Instant::now();
    let turn = world.run(ONCE).expect_code(4).stdout;
    let took = begun.elapsed();
    estate.pools[0].wake();
    assert!(took < std::time::Duration::from_secs(8), "{took:?}");
    assert!(flat(&turn).contains("no answer in time"), "{turn}");
    assert_eq!(phase(&world, 2), "allocated");
}

#[test]
fn a_server_whose_disk_is_full_says_so_and_goes_on_with_room_with_postgres() {
    let (world, estate) = world_of(Pools::from(vec![Pool::start_on_small_disk(1, "100m")]));
    estate.declare_servers(&world, "max_instances: 9");
    declare(&world, [1], "");
    world.run(&["--once"]).expect_code(0);
    let pool = &estate.pools[0];
    pool.fill_disk();
    declare(&world, 1..=3, "");
    let failed = world.run(&["--once"]);
    assert!(!pool.log().contains("PANIC"), "{}", pool.log());
    assert_eq!(failed.code, 1, "{}", failed.text());
    // Depending on where it fills up, PostgreSQL says so, or only its log does.
    let said = flat(&failed.stderr);
    assert!(said.contains("the server's disk") && said.contains("make room there"), "{}", failed.text());
    assert_eq!(one(&world, "SELECT COUNT(*) FROM instances WHERE provisioning_status = 'allocated'"), "1");
    counters_are_right(&world);
    pool.empty_disk();
    world.run(&["--once"]).expect_code(0);
    for number in 1..=3 {
        estate.is_allocated(&world, number);
    }
}
