//! Instances with the least rights, on the main database and on the pool server, as the manual has them.

use super::{Estate, declare, flat, id, is_settled, phase};
use crate::fixture::{World, both};
use crate::rights;

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
}

fn refused(world: &World) -> String {
    world.run(&["--once"]).expect_code(1).text()
}
