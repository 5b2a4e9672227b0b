//! Credentials that got where they do not belong: refused where the journal would keep them, and shown nowhere.

use crate::daemon::end;
use crate::fixture::{Database, World, both};
use crate::http::act::{Client, detail, with_a_session};

const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
/// What of it nobody may see.
const SECRET: &str = "7710c838347Ae178B4a";

#[test]
fn what_is_typed_as_a_reason_or_a_name_holds_no_credential_and_is_not_repeated() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/a.yaml", "sessions: [{id: 1, title: One}]\nhosts: [{session: 1}]\n");
    world.run(&["--once"]).expect_code(0);
    let before = world.sql("SELECT COUNT(*) FROM reconcile_journal");
    let reason = format!("because of {TOKEN}");
    for arguments in [
        &["suspend", "--reason", TOKEN][..],
        &["suspend", "session/1", "--reason", &reason],
        &["resume", "--reason", &format!("--reason={TOKEN}")],
        &["host", "rotate", "1", "--rotation-reason", "see postgres://noor:7710c838347Ae178B4a@db/x"],
        &["host", "create", "--session-id", "1", "--created-by", TOKEN],
        &["host", "revoke", "1", "--reason", "-----BEGIN OPENSSH PRIVATE KEY----- 7710c838347Ae178B4a"],
        &["token", "revoke", "x", "--reason", "AKIAIOSFODNN7EXAMPLE 7710c838347Ae178B4a xoxb-7710c838347Ae178B4a"],
        &["approve", "20be114c28b75ed55ec5131ff3ff92d9", "--reason", TOKEN],
        &["--once", "--force", "--reason", TOKEN],
        &["migrate", "--restamp", "--reason", TOKEN],
        // What is no argument at all is not repeated either.
        &[TOKEN],
        &["--plan", TOKEN],
        &["explain", &format!("session/{TOKEN}")],
        &[&format!("--{TOKEN}")],
    ] {
        let said = world.run(arguments).expect_code(1).text();
        assert!(!said.contains(SECRET), "{arguments:?}: {said}");
    }
    let refused = world.run(&["suspend", "--reason", TOKEN]).expect_code(1).stderr;
    assert!(refused.contains("it holds a GitHub token, which the journal would keep and show"), "{refused}");
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_journal"), before);
    // To speak of them is no credential.
    world.run(&["suspend", "session/1", "--reason", "ghp_ tokens were leaked"]).expect_code(0);
}

#[test]
fn what_is_sent_as_a_reason_holds_no_credential_and_is_not_repeated() {
    let mut world = World::on(Database::Sqlite);
    let daemon = with_a_session(&mut world);
    let client = Client::new(&world, &daemon, "secrets");
    for (path, body) in [
        ("/api/v1/suspend", format!("{{\"reason\": \"{TOKEN}\"}}")),
        ("/api/v1/hosts", format!("{{\"session\": 215, \"created_by\": \"{TOKEN}\"}}")),
        ("/api/hostprovisioner/generate", format!("{{\"sessionId\": 215, \"createdBy\": \"{TOKEN}\"}}")),
    ] {
        let refused = client.post(path, &body).expect(422);
        assert!(detail(&refused).contains("no credential") && !refused.body.contains(SECRET), "{}", refused.body);
    }
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_journal WHERE actor LIKE 'token %'"), "0\n");
    assert!(!end(daemon).text().contains(SECRET));
}

both! {
    fn what_a_row_holds_is_shown_masked_in_plans_and_in_the_journal(world) {
        world.write("desired-state/a.yaml", "sessions: [{id: 1, title: One}]\n");
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        world.sql(&format!("UPDATE sessions SET title = 'Number {TOKEN}.'"));
        let mut said = String::new();
        for arguments in [
            &["--plan"][..],
            &["--plan", "--format", "json"],
            &["--plan", "--format", "markdown"],
            &["--plan", "--out", "saved.plan"],
            &["explain", "session/1"],
            &["explain", "session/1", "--format", "json"],
        ] {
            said.push_str(&world.run(arguments).expect_code(0).text());
        }
        assert!(said.contains("\"Number ********.\""), "{said}");
        said.push_str(&world.read("saved.plan"));
        said.push_str(&world.run(&["--apply", "saved.plan"]).expect_code(0).text());
        for format in ["text", "json", "csv"] {
            said.push_str(&world.run(&["history", "--format", format]).expect_code(0).text());
        }
        assert!(!said.contains(SECRET), "{said}");
        assert!(!world.sql("SELECT * FROM reconcile_journal").contains(SECRET));
        assert_eq!(world.sql("SELECT title FROM sessions"), "One\n");
    }

    fn what_a_state_file_holds_is_refused_and_shown_by_nothing(world) {
        world.run(&["migrate"]).expect_code(0);
        world.write("desired-state/a.yaml", &format!(
            "sessions:\n  - id: 1\n    title: {TOKEN} # {TOKEN}\nhosts:\n  - session: 1\n    reason: see {TOKEN}\n    {TOKEN}: 1\n"
        ));
        for arguments in [&["validate"][..], &["validate", "--format", "json"], &["--plan"], &["--once"], &["explain", "session/1"]] {
            let said = world.run(arguments).expect_code(1).text();
            assert!(said.contains("looks like a GitHub token") && !said.contains(SECRET), "{arguments:?}: {said}");
        }
        assert_eq!(world.sql("SELECT COUNT(*) FROM sessions"), "0\n");
    }
}
