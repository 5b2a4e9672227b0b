//! Instances over HTTP, with real pool servers and a real Redis.

use super::act::{Client, detail, journal};
use crate::daemon::{LATE, end, settle, start};
use crate::fixture::both;
use crate::instances::{Estate, declare, id, phase};

both! {
    fn an_instance_is_claimed_provisioned_and_forgotten(world) {
        let estate = Estate::of(world, 1);
        estate.declare_servers(world, "max_instances: 20");
        world.env("RECONCILE_HTTP_LISTEN", "127.0.0.1:0").env("RECONCILE_INTERVAL", "1h");
        declare(world, [1, 2], "provision: hold");
        let daemon = start(world);
        let [operator, reader] = ["operate", "secrets"].map(|scope| Client::new(world, &daemon, scope));
        let path = |number: u32, verb: &str| format!("/api/v1/instances/{}/{verb}", id(number));
        assert_eq!((phase(world, 1).as_str(), phase(world, 2).as_str()), ("allocated", "allocated"));
        let servers = operator.get("/api/v1/servers").expect(200).json();
        assert_eq!(servers[0]["allocated"], 2, "{servers}");

        let waiting = estate.credentials(1).unwrap();
        operator.post(&path(1, "claim"), "").expect(403);
        let claimed = reader.post(&path(1, "claim"), "").expect(200).json();
        assert_eq!(claimed, serde_json::json!({ "instance": id(1), "credentials": waiting }));
        assert_eq!(journal(world), format!("token secrets|instance|{}|claim|\n", id(1)));
        let again = reader.post(&path(1, "claim"), "").expect(409);
        assert!(detail(&again).starts_with("no credentials of instance "), "{}", again.body);

        let held = operator.post(&path(1, "provision"), "").expect(409);
        assert_eq!(detail(&held), "its file says `provision: hold`");
        declare(world, [1, 2], "provision: on_billing");
        settle(LATE, &200, || operator.post(&path(1, "provision"), "").status);
        assert_eq!(phase(world, 1), "provisioning");
        let same = operator.post(&path(1, "provision"), "").expect(200).json();
        assert_eq!(same, serde_json::json!({ "instance": id(1), "changed": false, "left": null }));
        let early = operator.post(&path(1, "retry"), "").expect(409);
        assert_eq!(detail(&early), "it is provisioning, and only what has failed is tried again");
        operator.post("/api/v1/suspend", &format!("{{\"resource\": \"instance/{}\", \"reason\": \"R\"}}", id(2))).expect(200);
        let suspended = operator.post(&path(2, "provision"), "").expect(409);
        assert!(detail(&suspended).contains("it is suspended"), "{}", suspended.body);
        operator.post("/api/v1/resume", &format!("{{\"resource\": \"instance/{}\", \"reason\": \"R\"}}", id(2))).expect(200);

        let another = operator.post(&path(2, "forget"), "{\"name\": \"customer 1\"}").expect(409);
        assert!(detail(&another).starts_with("that is not the name of instance/"), "{}", another.body);
        let active = operator.post(&path(2, "forget"), "{\"name\": \"customer 2\"}").expect(409);
        assert_eq!(detail(&active), "it is active");
        declare(world, [1, 2], "provision: on_billing, state: retired");
        let without_login = "SELECT COUNT(*) FROM reconcile_journal WHERE CAST(after AS TEXT) LIKE '%\"login\"%false%'";
        settle(LATE, &"2\n".to_owned(), || world.sql(without_login));
        let name = "{\"name\": \"customer 2\"}";
        operator.post(&path(2, "forget"), name).expect(200);
        assert!(journal(world).starts_with("token operate|instance|"), "{}", journal(world));
        let left = operator.post(&path(2, "forget"), name).expect(200).json()["left"].as_str().unwrap().to_owned();
        assert!(left.contains("nothing here drops it") || left.contains("No database of it is known"), "{left}");
        let said = end(daemon).text();
        let password = waiting["db_password"].as_str().unwrap();
        assert!(!said.contains(password) && !world.sql("SELECT * FROM reconcile_journal").contains(password));
    }
}
