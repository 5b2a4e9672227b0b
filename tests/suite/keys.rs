//! Keys through the real program: a ring lets old GUIDs live on, and one key serves all who come first at once.

use crate::fixture::process::{Output, Running};
use crate::fixture::{Database, World, both};
use crate::preview::dump;

const OLD: &str = "an-old-key-of-a-term-that-has-long-been-over";
const NEW: &str = "the-new-key-of-this-term-known-to-nobody-yet";
const LIMIT: std::time::Duration = std::time::Duration::from_secs(40);

fn begin(world: &World, host: &str) {
    world.write("desired-state/week.yaml", &week(host));
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
}

fn week(host: &str) -> String {
    format!("sessions: [{{id: 215, title: Al-Fatiha}}]\nhosts: [{{session: 215{host}}}]\n")
}

fn opens(world: &World, session: &str, guid: &str) -> bool {
    let output = world.run_with(&["host", "verify", "--session-id", session], guid);
    assert!(output.stdout.is_empty() && matches!(output.code, 0 | 1), "{}", output.text());
    output.code == 0
}

both! {
    fn a_key_is_changed_without_ending_a_session(world) {
        world.env("RECONCILE_HOST_KEYS", OLD);
        begin(world, "");
        world.env("RECONCILE_HOST_KEYS", &format!("{NEW},{OLD}"));
        // What was sealed and hashed with the old key is handed over and verified by the ring.
        let first = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        assert!(opens(world, "215", &first));
        let doctor = world.run(&["doctor"]).expect_code(0).stdout;
        assert!(doctor.contains("host key") && doctor.contains(", and 1 that only verify"), "{doctor}");
        let plan = world.run(&["--plan", "--detailed-exitcode"]).expect_code(0).stdout;
        assert!(plan.contains("its hash was made with the retired key") && plan.contains("No changes."), "{plan}");
        world.write("desired-state/week.yaml", &week(", rotation: 2, overlap: 1h"));
        world.run(&["--once"]).expect_code(0);
        let second = world.run(&["host", "claim", "215"]).expect_code(0).stdout;
        assert!(opens(world, "215", &first) && opens(world, "215", &second), "each GUID is known by its own key");
        assert_eq!(world.sql("SELECT COUNT(*) FROM host_sessions WHERE key_id <> previous_key_id").trim(), "1");
        // The old key goes, and with it what it alone could verify.
        world.env("RECONCILE_HOST_KEYS", NEW);
        assert!(!opens(world, "215", &first) && opens(world, "215", &second));
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(!plan.contains("retired key"), "{plan}");
    }

    fn a_guid_waits_for_the_key_that_sealed_it(world) {
        world.env("RECONCILE_HOST_KEYS", OLD);
        begin(world, "");
        world.env("RECONCILE_HOST_KEYS", NEW);
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("is not in the ring"), "{plan}");
        let refused = world.run(&["host", "claim", "215"]).expect_code(1);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("back into the ring"), "{}", refused.text());
        world.env("RECONCILE_HOST_KEYS", OLD);
        assert!(opens(world, "215", &world.run(&["host", "claim", "215"]).expect_code(0).stdout));
    }

    fn an_unfit_key_stops_what_mints_and_nothing_else(world) {
        world.env("RECONCILE_HOST_KEYS", "NOOR-CANVAS-HOST-SECRET-2025");
        world.write("desired-state/week.yaml", &week(""));
        world.run(&["migrate"]).expect_code(0);
        // The session beside it is made all the same.
        let output = world.run(&["--once"]);
        assert!(output.text().contains("host/215") && !output.stdout.contains("+ host/215"), "{}", output.text());
        assert_eq!(world.sql("SELECT session_id FROM sessions"), "215\n");
        let doctor = world.run(&["doctor"]).expect_code(1);
        assert!(doctor.stdout.contains("FAIL  host key") && doctor.stderr.contains("the host key cannot"), "{}", doctor.text());
        assert!(!doctor.text().contains("CANVAS"), "{}", doctor.text());
        let before = dump(world);
        let refused = world.run(&["host", "create", "--session-id", "215"]).expect_code(1);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("PROVISIONER-ERROR"), "{}", refused.text());
        assert_eq!(dump(world), before);
        world.env("RECONCILE_HOST_KEYS", &format!("{NEW},NOOR-CANVAS-HOST-SECRET-2025"));
        world.run(&["--once"]).expect_code(0);
        assert!(opens(world, "215", &world.run(&["host", "claim", "215"]).expect_code(0).stdout));
    }

    fn all_who_come_first_at_once_use_one_key(world) {
        let sessions: Vec<String> = (1..=6).map(|id| format!("{{id: {id}, title: Lesson {id}}}")).collect();
        world.write("desired-state/week.yaml", &format!("sessions: [{}]\n", sessions.join(", ")));
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        assert!(!world.path().join(".reconcile/host.key").exists(), "nothing needed a key yet");
        let start = |id: usize| world.spawn(&["host", "create", "--session-id", &id.to_string()]);
        let running: Vec<Running> = (1..=6).map(start).collect();
        let outputs: Vec<Output> = running.into_iter().map(|one| one.finish(LIMIT).expect_code(0)).collect();
        let told = outputs.iter().filter(|output| output.stderr.contains("a host key was made in"));
        assert_eq!(told.count(), 1, "one made it, and said so");
        for (id, output) in (1..).zip(&outputs) {
            assert!(opens(world, &id.to_string(), &output.stdout), "session {id}: {}", output.text());
        }
    }
}

#[test]
fn production_makes_no_key_by_itself() {
    let mut world = World::on(Database::Sqlite);
    world.git_init();
    world.write("desired-state/week.yaml", &week(""));
    world.commit("Begin");
    let url = format!("sqlite:{}/KSESSIONS.db", world.path().display());
    world.env("RECONCILE_ENVIRONMENT", "production").env("RECONCILE_DATABASE_URL", &url);
    world.run(&["migrate"]).expect_code(0);
    let output = world.run(&["--once"]);
    assert!(output.text().contains("no host key is configured"), "{}", output.text());
    assert!(!world.path().join(".reconcile/host.key").exists());
    let refused = world.run(&["host", "create", "--session-id", "215"]).expect_code(1);
    assert!(refused.stderr.contains("RECONCILE_HOST_KEYS_FILE") && refused.stdout.is_empty(), "{}", refused.text());
    world.env("RECONCILE_HOST_KEYS", NEW);
    assert!(opens(&world, "215", &world.run(&["host", "create", "--session-id", "215"]).expect_code(0).stdout));
}
