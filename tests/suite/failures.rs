//! What every run fails at is remembered and named, until it is done or nobody wants it any more.

use crate::fixture::{Database, World, both};

const WEEK: &str = "sessions: [{id: 215, title: Al-Fatiha}, {id: 216, title: Al-Baqara}, {id: 217, title: Al-Imran}]\n";
const COUNT: &str = "SELECT kind, name, times FROM reconcile_failures";

/// From now on the session 215 cannot be inserted. The message tries to break out of its line.
fn break_down(world: &World) {
    world.sql(match world.database() {
        Database::Sqlite => {
            "CREATE TRIGGER broken BEFORE INSERT ON sessions WHEN NEW.session_id = 215
             BEGIN SELECT RAISE(ABORT, 'no room
\u{1b}left'); END"
        }
        Database::Postgres => {
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION E'no room\\n\\x1bleft'; END $$;
             CREATE TRIGGER broken BEFORE INSERT ON sessions FOR EACH ROW
             WHEN (NEW.session_id = 215) EXECUTE FUNCTION broken()"
        }
    });
}

fn mend(world: &World) {
    world.sql(match world.database() {
        Database::Sqlite => "DROP TRIGGER broken",
        Database::Postgres => "DROP TRIGGER broken ON sessions; DROP FUNCTION broken()",
    });
}

fn begin(world: &World) {
    world.write("desired-state/week.yaml", WEEK);
    world.run(&["migrate"]).expect_code(0);
    break_down(world);
}

fn stdout(world: &World, arguments: &[&str]) -> String {
    world.run(arguments).expect_code(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

both! {
    fn what_every_run_fails_at_is_named_everywhere_until_it_is_done(world) {
        begin(world);
        world.run(&["--once"]).expect_code(1);
        let once = stdout(world, &["explain", "session/215"]);
        assert!(once.contains("verdict the last run failed at this: ") && once.contains("no room left, at 20"), "{once}");
        world.run(&["--once"]).expect_code(1);
        assert_eq!(world.sql(COUNT).trim(), "session|215|2");
        assert_eq!(world.sql("SELECT session_id FROM sessions ORDER BY session_id"), "216\n217\n", "its neighbours stand");
        for asked in [&["explain", "session/215"][..], &["status"], &["--plan"], &["--plan", "--format", "json"]] {
            let text = stdout(world, asked);
            let says = text.contains("every run fails at this: ") && text.contains("2 times; last 20");
            assert!(says && !text.contains('\u{1b}') && text.contains("session/215") && text.contains("no room left, since 20"), "{text}");
        }
        let status = stdout(world, &["status"]);
        assert!(status.contains(": failed: session/215: ") && !status.contains("1 failed"), "{status}");
        let json: serde_json::Value =
            serde_json::from_str(&world.run(&["status", "--format", "json"]).expect_code(0).stdout).unwrap();
        assert_eq!((&json["failures_count"], &json["failures"][0]["name"]), (&1.into(), &"215".into()), "{json}");
        let plan = world.run(&["--plan", "--format", "markdown"]).expect_code(0).stdout;
        assert!(plan.contains("<br>every run fails at this"), "{plan}");
        mend(world);
        world.run(&["--once"]).expect_code(0);
        assert_eq!(world.sql(COUNT).trim(), "");
        assert!(!stdout(world, &["status"]).contains("failed"));
    }

    fn a_list_of_what_failed_says_with_what_and_since_when(world) {
        begin(world);
        for _ in 0..2 {
            world.run(&["--once"]).expect_code(1);
        }
        let first_at = || world.sql("SELECT first_at FROM reconcile_failures").trim()[..10].to_owned();
        let row = |states: &[&str]| {
            let list = world.run(&["list", "--only", "failed", "--format", "json"]).expect_code(0).stdout;
            let list: serde_json::Value = serde_json::from_str(&list).unwrap();
            let rows = list["resources"].as_array().unwrap();
            let [row] = rows.as_slice() else { panic!("{list}") };
            assert_eq!((&row["address"], &row["states"]), (&"session/215".into(), &states.into()), "{row}");
            assert_eq!(list["summary"]["failed"], 1, "{list}");
            let reason = row["reason"].as_str().unwrap_or_default();
            assert!(reason.starts_with("every run fails at this: ") && reason.contains(", 2 times; last 20"), "{row}");
            assert!(row["since"].as_str().is_some_and(|since| since.starts_with(&first_at())), "{row}");
            row.clone()
        };
        let pending = row(&["failed", "pending"]);
        assert_eq!((&pending["action"], pending.get("notes")), (&"create".into(), None), "{pending}");
        // That it is blocked too does not hide with what it failed.
        world.run(&["suspend", "session/215", "--reason", "Exams"]).expect_code(0);
        let blocked = row(&["failed", "blocked", "suspended"]);
        assert!(blocked["notes"].as_array().is_some_and(|notes| notes.len() == 1), "{blocked}");
        assert!(blocked["notes"][0].as_str().is_some_and(|note| note.contains("Exams")), "{blocked}");
        assert!(blocked["hint"].as_str().is_some_and(|hint| hint.contains("resume")), "{blocked}");
    }

    fn a_failure_goes_when_its_resource_is_in_sync_or_no_longer_named(world) {
        begin(world);
        world.run(&["--once"]).expect_code(1);
        mend(world);
        // A run of another resource alone says nothing of it.
        world.run(&["--once", "--target", "session/217"]).expect_code(0);
        assert_eq!(world.sql(COUNT).trim(), "session|215|1");
        world.sql("INSERT INTO reconcile_failures (kind, name, first_at, last_at, times, message)
                   SELECT kind, '216', first_at, last_at, 7, message FROM reconcile_failures");
        world.write("desired-state/week.yaml", "sessions: [{id: 216, title: Al-Baqara}, {id: 217, title: Al-Imran}]\n");
        world.run(&["--once"]).expect_code(0);
        assert_eq!(world.sql(COUNT).trim(), "");
    }

    fn what_is_suspended_after_it_failed_keeps_its_failure(world) {
        begin(world);
        world.run(&["--once"]).expect_code(1);
        world.run(&["suspend", "session/215", "--reason", "the disk is full"]).expect_code(0);
        world.run(&["--once"]);
        assert_eq!(world.sql(COUNT).trim(), "session|215|1");
    }

    fn status_tells_of_many_waiting_hosts_and_failures_in_a_few_lines(world) {
        let ids = 1..=74;
        let sessions: String = ids.clone().map(|id| format!("  - {{id: {id}, title: Lesson}}\n")).collect();
        let hosts: String = ids.map(|id| format!("  - {{session: {id}}}\n")).collect();
        world.write("desired-state/week.yaml", &format!("sessions:\n{sessions}hosts:\n{hosts}"));
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        let insert: String = (1..=40)
            .map(|id| format!(
                "INSERT INTO reconcile_failures SELECT 'session', 'x{id}', applied_at, applied_at, {id}, 'no room'
                 FROM reconcile_applied LIMIT 1;"
            ))
            .collect();
        world.sql(&insert);
        let status = world.run(&["status"]).expect_code(0).stdout;
        assert!(status.contains("74 secrets wait to be claimed, the first until 20"), "{status}");
        assert!(status.contains("session/x40: every run fails at this") && status.contains("and 37 more"), "{status}");
        assert!(status.lines().count() <= 24, "{status}");
    }
}
