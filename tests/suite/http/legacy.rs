//! The older shape: one request makes a GUID, or replaces it, and answers it.

use serde_json::json;

use super::act::{Client, detail, with_a_session};
use crate::daemon::end;
use crate::fixture::both;

both! {
    fn the_older_shape_makes_or_replaces_a_guid_and_answers_it(world) {
        let daemon = with_a_session(world);
        let [operator, client] = ["operate", "secrets"].map(|scope| Client::new(world, &daemon, scope));
        let path = "/api/hostprovisioner/generate";
        let body = "{\"sessionId\": 215, \"createdBy\": \"Noor Team\"}";
        operator.post(path, body).expect(403);
        let made = client.post_under("g", path, body).expect(200).json();
        let row = world.sql("SELECT host_session_id, created_by, host_guid_hash FROM host_sessions");
        let hash = made["hash"].as_str().unwrap();
        let expected = format!("{}|Noor Team|{}", made["hostSessionId"], hash.strip_suffix("...").unwrap());
        assert!(hash.len() == 19 && row.starts_with(&expected), "{row} {made}");
        assert_eq!((&made["sessionId"], &made["createdBy"]), (&json!(215), &json!("Noor Team")));
        assert!(made["createdAt"].as_str().is_some_and(|at| at.starts_with("20")), "{made}");
        let guid = made["hostGuid"].as_str().unwrap().to_owned();
        let verify = |guid: &str| operator.post("/api/v1/hosts/215/verify", &format!("{{\"guid\": \"{guid}\"}}")).expect(200).json()["valid"] == true;
        assert!(verify(&guid));
        let actors = "SELECT actor FROM reconcile_journal WHERE kind = 'host' ORDER BY journal_id";
        assert_eq!(world.sql(actors), "token secrets for Noor Team\n".repeat(2));
        let replayed = client.post_under("g", path, body).expect(200).json();
        assert_eq!((&replayed["hostGuid"], &replayed["claimedBy"]), (&serde_json::Value::Null, &json!("token secrets")));
        assert_eq!(replayed["hash"], made["hash"]);

        let again = client.post(path, body).expect(200).json();
        assert_eq!(again["hostSessionId"], made["hostSessionId"], "in place");
        assert!(!verify(&guid) && verify(again["hostGuid"].as_str().unwrap()));
        let missing = client.post(path, "{\"sessionId\": 216, \"createdBy\": \"Noor Team\"}").expect(404);
        assert!(detail(&missing).starts_with("session 216 does not exist in sessions"), "{}", missing.body);
        let wrong = client.post(path, "{\"createdBy\": \"Noor Team\"}").expect(422);
        assert!(detail(&wrong).starts_with("missing field `sessionId`"), "{}", wrong.body);
        assert_eq!(client.post(path, "{\"sessionId\": 215}").expect(200).json()["createdBy"], "API User");
        let newest = "SELECT actor FROM reconcile_journal WHERE kind = 'host' ORDER BY journal_id DESC LIMIT 1";
        assert_eq!(world.sql(newest), "token secrets for API User\n");
        end(daemon);
    }
}
