//! The API that acts: what it does is what the commands do, under the token's name.

use std::net::SocketAddr;

use super::listen;
use super::tokens::make;
use crate::daemon::{LATE, end, found, sessions, settle, start, titled};
use crate::fixture::http::{Answer, address, ask, request};
use crate::fixture::process::Running;
use crate::fixture::{Database, World, both};

/// Somebody with a token, at a daemon's door.
pub struct Client {
    pub there: SocketAddr,
    token: String,
}

impl Client {
    /// With a new token of this scope, which is its name, too.
    #[track_caller]
    pub fn new(world: &World, daemon: &Running, scope: &str) -> Self {
        let client = Self { there: address(daemon), token: make(world, scope, scope) };
        client.get("/api/v1/me").expect(200);
        client
    }

    /// The same at another daemon's door.
    pub fn at(self, daemon: &Running) -> Self {
        Self { there: address(daemon), ..self }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body)
    }

    #[track_caller]
    pub fn post_under(&self, key: &str, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json"), ("idempotency-key", key)], body)
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        ask(self.there, method, path, &[&[("authorization", bearer.as_str())], headers].concat(), body)
    }

    /// What [`Client::send`] sends.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let bearer = format!("Bearer {}", self.token);
        request(self.there, method, path, &[&[("authorization", bearer.as_str())], headers].concat(), body)
    }
}

/// A world with the live session 215, whose daemon is given.
#[track_caller]
pub fn with_a_session(world: &mut World) -> Running {
    listen(world);
    world.write("desired-state/b.yaml", "sessions: [{id: 215, title: Al-Fatiha, status: active}]\n");
    start(world)
}

/// The newest line of the journal: actor, kind, name, action and reason.
pub fn journal(world: &World) -> String {
    world.sql("SELECT actor, kind, name, action, reason FROM reconcile_journal ORDER BY journal_id DESC LIMIT 1")
}

pub fn detail(answer: &Answer) -> String {
    answer.json()["detail"].as_str().unwrap_or_else(|| panic!("no problem: {}", answer.body)).to_owned()
}

both! {
    fn a_host_is_made_claimed_once_verified_rotated_and_revoked(world) {
        let daemon = with_a_session(world);
        let [operator, reader] = ["operate", "secrets"].map(|scope| Client::new(world, &daemon, scope));
        let made = operator.post("/api/v1/hosts", "{\"session\": 215, \"created_by\": \"Noor\", \"expires_in\": \"30d\"}").expect(201);
        let told = made.json();
        assert_eq!((told["session"].as_i64(), told["done"].as_str()), (Some(215), Some("create")));
        assert!(told["claim_until"].as_str().is_some_and(|until| until.starts_with("20")), "{told}");
        assert_eq!(world.sql("SELECT attempt, created_by FROM host_sessions"), format!("{}|Noor\n", told["attempt"].as_str().unwrap()));
        assert_eq!(journal(world), "token operate for Noor|host|215|create|\n");

        // Who may operate may not take secrets.
        operator.post("/api/v1/hosts/215/claim", "").expect(403);
        for disguise in ["/api/v1/hosts/215/cl%61im", "/api/v1/hosts/215/claim/", "/api/v1/hosts/215//claim", "/api/v1/hosts/x/../215/claim"] {
            assert!([403, 404].contains(&operator.post(disguise, "").status), "{disguise}");
        }
        let claimed = reader.post("/api/v1/hosts/215/claim", "").expect(200).json();
        let guid = claimed["guid"].as_str().unwrap().to_owned();
        assert_eq!(claimed["session"], 215);
        assert_eq!(world.sql("SELECT claimed_by FROM reconcile_handoffs"), "token secrets\n");
        let again = reader.post("/api/v1/hosts/215/claim", "{}").expect(409);
        assert!(detail(&again).starts_with("the GUID of session 215 was already claimed by token secrets at "), "{}", again.body);
        assert!(journal(world).starts_with("token secrets|host|215|incident|claimed again after token secrets "), "{}", journal(world));

        let opens = |guid: &str| operator.post("/api/v1/hosts/215/verify", &format!("{{\"guid\": \"{guid}\"}}")).expect(200).json();
        assert_eq!(opens(&guid), serde_json::json!({ "valid": true }));
        assert_eq!(opens("51179767-693b-49a1-b753-380ca3bb39f7"), serde_json::json!({ "valid": false }));
        assert_eq!(opens("nonsense"), serde_json::json!({ "valid": false }));

        let rotated = operator.post("/api/v1/hosts/215/rotate", "{\"reason\": \"Lost\"}").expect(200).json();
        assert_eq!(rotated["done"], "rotate");
        assert_eq!(journal(world), "token operate|host|215|rotate|Lost\n");
        assert_eq!(opens(&guid)["valid"], false);
        let new = reader.post("/api/v1/hosts/215/claim", "").expect(200).json()["guid"].as_str().unwrap().to_owned();
        assert_eq!(opens(&new)["valid"], true);
        let revoked = operator.post("/api/v1/hosts/215/revoke", "{\"reason\": \"Left\"}").expect(200).json();
        assert_eq!(revoked, serde_json::json!({ "session": 215, "revoked": true, "changed": true }));
        assert_eq!(opens(&new)["valid"], false);
        let again = operator.post("/api/v1/hosts/215/revoke", "{\"reason\": \"Left\"}").expect(200).json();
        assert_eq!(again["changed"], false);
        let sticky = operator.post("/api/v1/hosts", "{\"session\": 215}").expect(409);
        assert!(detail(&sticky).contains("session 215 gets no new GUID"), "{}", sticky.body);
        let said = end(daemon).text();
        for guid in [&guid, &new] {
            assert!(!said.contains(guid.as_str()), "the log holds a GUID");
            assert!(!world.sql("SELECT * FROM reconcile_journal").contains(guid.as_str()));
        }
    }

    fn of_many_who_claim_one_gets_the_guid(world) {
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "secrets");
        client.post("/api/v1/hosts", "{\"session\": 215}").expect(201);
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let claim = || client.post("/api/v1/hosts/215/claim", "").status;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200, "{statuses:?}");
        assert!(statuses[1..].iter().all(|status| [409, 429].contains(status)), "{statuses:?}");
        end(daemon);
    }

    fn what_does_not_exist_is_404_with_the_nearest(world) {
        // So that there is a key.
        world.write("desired-state/c.yaml", "hosts: [{session: 1}]\n");
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "secrets");
        for (path, body) in [
            ("/api/v1/hosts", "{\"session\": 216}"),
            ("/api/v1/hosts/216/rotate", "{\"reason\": \"R\"}"),
            ("/api/v1/hosts/216/revoke", "{\"reason\": \"R\"}"),
        ] {
            let missing = client.post(path, body).expect(404);
            assert!(detail(&missing).starts_with("session 216 does not exist in sessions"), "{path}: {}", missing.body);
            assert!(missing.body.contains("215"), "{path}: {}", missing.body);
        }
        assert!(detail(&client.post("/api/v1/hosts/215/claim", "").expect(404)).contains("session 215 has no host"));
        assert!(detail(&client.post("/api/v1/hosts/215/rotate", "{\"reason\": \"R\"}").expect(404)).contains("has no host"));
        client.post("/api/v1/hosts/nobody/claim", "").expect(404);
        let id = "11111111-2222-4333-8444-555555555555";
        for (verb, body) in [("provision", ""), ("retry", ""), ("forget", "{\"name\": \"x\"}"), ("claim", "")] {
            client.post(&format!("/api/v1/instances/{id}/{verb}"), body).expect(404);
        }
        client.post("/api/v1/instances/nobody/retry", "").expect(404);
        assert_eq!(client.get("/api/v1/explain/host/215").expect(200).body, world.run(&["explain", "host/215", "--format", "json"]).expect_code(0).stdout);
        client.get("/api/v1/explain/nothing/215").expect(404);
        assert_eq!(client.get("/api/v1/servers").expect(200).json(), serde_json::json!([]));
        end(daemon);
    }

    fn applying_is_stopped_and_started_under_the_tokens_name(world) {
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "operate");
        let stopped = client.post("/api/v1/suspend", "{\"resource\": \"session/1\", \"reason\": \"Looked at\"}").expect(200);
        assert_eq!(stopped.json(), serde_json::json!({ "resource": "session/1", "suspended": true, "changed": true }));
        let again = client.post("/api/v1/suspend", "{\"resource\": \"session/1\", \"reason\": \"Looked at\"}").expect(200);
        assert_eq!(again.json()["changed"], false);
        world.run(&["suspend", "session/1", "--reason", "Looked at"]).expect_code(0);
        assert_eq!(journal(world), "token operate|session|1|suspend|Looked at\n");
        let other = client.post("/api/v1/suspend", "{\"resource\": \"session/1\", \"reason\": \"Still\"}").expect(200);
        assert_eq!(other.json()["changed"], true);
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno"), (2, "Two")]));
        settle(LATE, &"One Two Al-Fatiha".to_owned(), || found(world));
        client.post("/api/v1/resume", "{\"resource\": \"session/1\", \"reason\": \"Done\"}").expect(200);
        titled(world, LATE, &["Uno", "Two", "Al-Fatiha"]);
        assert_eq!(world.sql("SELECT actor FROM reconcile_journal WHERE action = 'resume'"), "token operate\n");
        client.post("/api/v1/suspend", "{\"reason\": \"Night\"}").expect(200);
        let status = client.get("/api/v1/status").expect(200).json();
        assert_eq!(status["suspended"][0]["actor"], "token operate");
        let resumed = client.post("/api/v1/resume", "{\"reason\": \"Day\"}").expect(200).json();
        assert_eq!(resumed, serde_json::json!({ "resource": null, "suspended": false, "changed": true }));
        assert_eq!(client.post("/api/v1/resume", "{\"reason\": \"Day\"}").expect(200).json()["changed"], false);
        let approved = client.post("/api/v1/approve", "{\"digest\": \"0123456789ABCDEF0123456789abcdef\", \"reason\": \"Meant\"}");
        assert!(detail(&approved.expect(409)).contains("is not the plan that waits now"));
        assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_approvals"), "0\n");
        end(daemon);
    }
}

#[test]
fn a_body_that_is_not_as_it_should_be_is_refused_by_the_name_of_its_field() {
    let mut world = World::on(Database::Sqlite);
    let daemon = with_a_session(&mut world);
    let client = Client::new(&world, &daemon, "operate");
    let form =
        client.send("POST", "/api/v1/suspend", &[("content-type", "text/plain")], "{\"reason\": \"R\"}").expect(415);
    assert_eq!(form.header("content-type"), Some("application/problem+json"));
    client.send("POST", "/api/v1/suspend", &[], "").expect(415);
    let modern = [("content-type", "Application/JSON; charset=utf-8")];
    client.send("POST", "/api/v1/resume", &modern, "{\"reason\": \"R\"}").expect(200);
    client.post("/api/v1/suspend", "{\"reason\"").expect(400);
    for (path, body, told) in [
        ("suspend", "", "missing field `reason`"),
        ("suspend", "{\"reason\": \"\"}", "reason must be 1 to 500 characters"),
        ("suspend", "{\"reason\": \"a\\u0000b\"}", "reason must be 1 to 500 characters"),
        ("suspend", "{\"reason\": \"R\", \"resource\": \"215\"}", "resource must be an address"),
        ("suspend", "{\"reason\": \"R\", \"for\": 1}", "unknown field `for`, expected `resource` or `reason`"),
        ("approve", "{\"reason\": \"R\", \"digest\": \"x\"}", "digest must be 32 hexadecimal digits"),
        ("hosts", "{\"session\": \"215\"}", "session must be the number of a session"),
        ("hosts", "{\"session\": 215, \"expires_in\": \"1s\"}", "expires_in must be 1 to 999 minutes, hours or days"),
        ("hosts", "{\"session\": 215, \"force_new\": 1}", "force_new must be true or false"),
        ("hosts/215/rotate", "{\"reason\": \"R\", \"rotated_by\": 7}", "rotated_by must be 1 to 128 characters"),
        ("hosts/215/verify", "{\"guid\": 51179767}", "guid must be a text"),
        ("hosts/215/verify", "[]", "the body must be a JSON object"),
    ] {
        let refused = client.post(&format!("/api/v1/{path}"), body).expect(422);
        assert!(detail(&refused).starts_with(told), "{path} {body}: {}", refused.body);
        assert!(!refused.body.contains("51179767"), "{}", refused.body);
    }
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_suspensions"), "0\n");
    assert_eq!(world.sql("SELECT COUNT(*) FROM host_sessions"), "0\n");
    end(daemon);
}
