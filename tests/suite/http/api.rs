//! The API says what the commands print, to the letter.

use super::listen;
use super::tokens::{ask_as, make};
use crate::daemon::{end, sessions, start};
use crate::fixture::both;
use crate::fixture::http::{address, get};

/// The plan without the moment at which it was made.
fn timeless(plan: &str) -> Vec<&str> {
    plan.lines().filter(|line| !line.contains("\"planned_at\"")).collect()
}

both! {
    fn the_api_and_the_commands_say_the_same(world) {
        listen(world);
        world.write("desired-state/b.yaml", "hosts: [{session: 1}, {session: 9}]\n");
        let token = make(world, "reader", "read");
        let daemon = start(world);
        let there = address(&daemon);
        world.run(&["suspend", "--reason", "So that something stays to be done"]).expect_code(0);
        world.write("desired-state/c.yaml", &sessions(&[(2, "Two")]));
        let printed = |arguments: &[&str]| world.run(&[arguments, &["--format", "json"]].concat()).expect_code(0).stdout;

        let plan = ask_as(there, &token, "/api/v1/plan").expect(200);
        assert_eq!(plan.header("content-type"), Some("application/json"));
        assert_eq!(timeless(&plan.body), timeless(&printed(&["--plan"])));
        assert!(plan.body.contains("session/2") && plan.body.contains("\"planned_at\""), "{}", plan.body);
        // A turn may end in between; two that are alike are enough.
        let alike = (0..20).any(|_| ask_as(there, &token, "/api/v1/status").expect(200).body == printed(&["status"]));
        assert!(alike, "{}", printed(&["status"]));
        let history = ask_as(there, &token, "/api/v1/history").expect(200);
        assert_eq!(history.body, printed(&["history"]));
        let one = ask_as(there, &token, "/api/v1/history?id=session/1&limit=1").expect(200);
        assert_eq!(one.body, printed(&["history", "session/1", "--limit", "1"]));
        let wrong = ask_as(there, &token, "/api/v1/history?limit=0").expect(400);
        assert_eq!(wrong.json()["detail"], "limit must be a number from 1 to 10000");

        world.write("desired-state/d.yaml", "sessions:\n  - id: one\n");
        let bad = ask_as(there, &token, "/api/v1/plan").expect(409).json();
        assert!(bad["hints"][0].as_str().is_some_and(|line| line.starts_with("desired-state/d.yaml:2:9: ")), "{bad}");
        get(there, "/api/v1/plan").expect(401);
        end(daemon);
    }
}
