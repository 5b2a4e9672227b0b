//! No answer that may be another truth by now is given again, whatever key stands beside the request.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::daemon::end;
use crate::fixture::both;
use crate::http::act::{Client, detail, with_a_session};

/// How a request is known under its key.
fn digest(path: &str, body: &str) -> String {
    let mut digest = Sha256::new();
    for part in ["POST", path, body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

both! {
    fn verify_tells_the_present_under_any_key(world) {
        world.write("desired-state/c.yaml", "hosts: [{session: 215}]\n");
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "secrets");
        let guid = client.post("/api/v1/hosts/215/claim", "").expect(200).json()["guid"].as_str().unwrap().to_owned();
        let (path, body) = ("/api/v1/hosts/215/verify", format!("{{\"guid\": \"{guid}\"}}"));
        // As a version before kept it.
        world.sql(&format!(
            "INSERT INTO reconcile_idempotency (token, word, digest, attempt, begun_at, status, answer) VALUES
             ('secrets', 'old', '{}', '00000000-0000-4000-8000-000000000000', '9999-01-01T00:00:00.000000+00:00', 200,
              '{{\"valid\": true}}')", digest(path, &body)
        ));
        let verify = |key: &str| {
            let answer = client.post_under(key, path, &body).expect(200);
            assert_eq!(answer.header("idempotency-replayed"), None);
            answer.json()
        };
        assert_eq!(verify("new"), json!({ "valid": true }));
        client.post("/api/v1/hosts/215/revoke", "{\"reason\": \"Left\"}").expect(200);
        for key in ["new", "old", "newest"] {
            assert_eq!(verify(key), json!({ "valid": false }), "{key}");
        }
        assert_eq!(world.sql("SELECT word FROM reconcile_idempotency"), "old\n", "nothing of it is kept");
        end(daemon);
    }

    fn a_claim_under_a_key_is_made_once_and_its_answer_is_never_given_again(world) {
        world.write("desired-state/c.yaml", "hosts: [{session: 1}, {session: 215}]\n");
        let daemon = with_a_session(world);
        let client = Client::new(world, &daemon, "secrets");
        let claim = |key: &str, session: u32| client.post_under(key, &format!("/api/v1/hosts/{session}/claim"), "");
        let guid = claim("take", 215).expect(200).json()["guid"].as_str().unwrap().to_owned();
        let again = claim("take", 215).expect(409);
        assert_eq!(detail(&again), "a secret was taken under this Idempotency-Key, and is not given again");
        assert!(!again.body.contains(&guid) && again.header("idempotency-replayed").is_none(), "{}", again.body);
        assert!(!world.sql("SELECT * FROM reconcile_idempotency").contains(&guid));
        // It is no second claim, so nobody is alarmed; one under another key is.
        let incidents = || world.sql("SELECT COUNT(*) FROM reconcile_journal WHERE action = 'incident'");
        assert_eq!(incidents(), "0\n");
        claim("another", 215).expect(409);
        assert_eq!(incidents(), "1\n");
        // Not even when there is something new to be claimed.
        client.post("/api/v1/hosts/215/rotate", "{\"reason\": \"R\"}").expect(200);
        claim("take", 215).expect(409);
        assert_ne!(claim("third", 215).expect(200).json()["guid"], guid.as_str());
        // What a version before has kept is not given either.
        claim("old", 1).expect(200);
        world.sql("UPDATE reconcile_idempotency SET answer = '{\"claimed_by\": \"canary\"}' WHERE word = 'old'");
        assert!(!claim("old", 1).expect(409).body.contains("canary"));
        end(daemon);
    }
}
