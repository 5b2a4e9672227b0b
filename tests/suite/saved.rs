//! Saved plans: exactly that plan, or nothing.

use crate::fixture::{Database, Postgres, World, both};

const WEEK: &str = "sessions: [{id: 215, title: Surah Al-Fatiha}]\nhosts: [{session: 215}]\n";

fn ready(world: &World) {
    world.write("desired-state/week.yaml", WEEK);
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
    world.write("desired-state/week.yaml", &WEEK.replace("Surah ", ""));
    world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
}

/// When the plan says that it was made.
fn made_at(plan: &str) -> String {
    plan.split("\"now\": \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

fn title(world: &World) -> String {
    world.sql("SELECT title FROM sessions WHERE session_id = 215").trim().to_owned()
}

#[track_caller]
fn stale(world: &World) {
    let output = world.run(&["--apply", "saved.plan"]).expect_code(1);
    assert!(output.stderr.contains("the plan is stale"), "{}", output.text());
}

both! {
    fn what_was_saved_is_what_is_applied(world) {
        ready(world);
        let output = world.run(&["--apply", "saved.plan"]).expect_code(0);
        assert!(output.stdout.contains("~ session/215  title \"Surah Al-Fatiha\" -> \"Al-Fatiha\""), "{}", output.text());
        assert_eq!(title(world), "Al-Fatiha");
        // What it was made for is done: it cannot be done again.
        stale(world);
    }

    fn a_plan_is_stale_when_the_files_have_changed(world) {
        ready(world);
        world.write("desired-state/week.yaml", &WEEK.replace("Surah Al-Fatiha", "Another"));
        stale(world);
        assert_eq!(title(world), "Surah Al-Fatiha");
    }

    fn a_plan_is_stale_when_the_database_has_changed(world) {
        ready(world);
        world.sql("UPDATE sessions SET created_by = 'somebody' WHERE session_id = 215");
        stale(world);
        assert_eq!(title(world), "Surah Al-Fatiha");
    }

    fn a_plan_is_stale_when_a_secret_was_claimed(world) {
        ready(world);
        world.run(&["host", "claim", "215"]).expect_code(0);
        stale(world);
    }

    fn a_plan_is_stale_when_a_secret_has_left_the_hand_off(world) {
        ready(world);
        world.sh("test -n \"$(ls .reconcile/handoff)\" && rm .reconcile/handoff/*").expect_code(0);
        stale(world);
        assert_eq!(title(world), "Surah Al-Fatiha");
    }

    fn a_plan_is_stale_when_its_resource_was_suspended(world) {
        ready(world);
        world.run(&["suspend", "session/215", "--reason", "Exams"]).expect_code(0);
        stale(world);
        world.run(&["resume", "session/215", "--reason", "Over"]).expect_code(0);
        world.run(&["--apply", "saved.plan"]).expect_code(0);
        assert_eq!(title(world), "Al-Fatiha");
    }

    fn a_plan_outlives_a_commit_that_changes_nothing_of_it(world) {
        world.git_init();
        ready(world);
        world.commit("Shorten the title");
        world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
        world.write("README.md", "Our sessions.\n");
        world.commit("Say what this is");
        world.run(&["--apply", "saved.plan"]).expect_code(0);
        assert_eq!(title(world), "Al-Fatiha");
    }

    fn a_plan_for_one_resource_changes_no_other(world) {
        ready(world);
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: Al-Fatiha}, {id: 216}]\nhosts: [{session: 215}]\n");
        world.run(&["--plan", "--out", "saved.plan", "--target", "session/216"]).expect_code(0);
        world.run(&["--apply", "saved.plan"]).expect_code(0);
        assert_eq!(world.sql("SELECT session_id, title FROM sessions ORDER BY 1"), "215|Surah Al-Fatiha\n216|Session 216\n");
    }

    fn applying_a_saved_plan_is_a_turn_like_any_other(world) {
        ready(world);
        let before = world.sql("SELECT run FROM reconcile_turns");
        world.run(&["--apply", "saved.plan"]).expect_code(0);
        let run = world.sql("SELECT run FROM reconcile_turns WHERE outcome = 'done' AND good_at IS NOT NULL");
        assert_ne!(run, before, "status tells of the turn");
        assert_eq!(world.sql("SELECT run FROM reconcile_journal ORDER BY journal_id DESC LIMIT 1"), run);
    }

    fn a_plan_from_the_future_would_never_expire(world) {
        ready(world);
        let plan = world.read("saved.plan");
        world.write("saved.plan", &plan.replace(&made_at(&plan), "2126-01-01T00:00:00Z"));
        let output = world.run(&["--apply", "saved.plan"]).expect_code(1);
        assert!(output.stderr.contains("2126-01-01T00:00:00Z, which is still to come"), "{}", output.text());
        assert_eq!(title(world), "Surah Al-Fatiha");
    }

    fn a_plan_that_shows_something_else_than_it_would_do_is_not_applied(world) {
        ready(world);
        let plan = world.read("saved.plan");
        let harmless = plan.replace("\"title\": \"Al-Fatiha\"", "\"title\": \"Surah Al-Fatiha\"");
        assert_ne!(harmless, plan);
        world.write("saved.plan", &harmless);
        stale(world);
        assert_eq!(title(world), "Surah Al-Fatiha");
    }

    fn a_plan_of_another_environment_is_refused(world) {
        ready(world);
        let plan = world.read("saved.plan");
        world.write("saved.plan", &plan.replace("\"environment\": \"development\"", "\"environment\": \"production\""));
        let output = world.run(&["--apply", "saved.plan"]).expect_code(3);
        assert!(output.stderr.contains("another target: environment production"), "{}", output.text());
        assert_eq!(title(world), "Surah Al-Fatiha");
    }

    fn a_plan_expires_after_a_day(world) {
        ready(world);
        let plan = world.read("saved.plan");
        world.write("saved.plan", &plan.replace(&made_at(&plan), "2020-01-01T00:00:00Z"));
        let output = world.run(&["--apply", "saved.plan"]).expect_code(1);
        assert!(output.stderr.contains("the plan has expired"), "{}", output.text());
        assert_eq!(title(world), "Surah Al-Fatiha");
    }

    fn a_plan_that_was_tampered_with_is_not_applied(world) {
        ready(world);
        let plan = world.read("saved.plan");
        let digest = plan.split("\"plan_digest\": \"").nth(1).unwrap()[..32].to_owned();
        world.write("saved.plan", &plan.replace(&digest, &"0".repeat(32)));
        stale(world);
        for nonsense in ["", "{}", "not a plan", "[1, 2", "{\"format_version\": \"9.0\"}"] {
            world.write("saved.plan", nonsense);
            let output = world.run(&["--apply", "saved.plan"]).expect_code(1);
            assert!(output.stderr.contains("saved.plan is not a plan"), "{}", output.text());
        }
        world.run(&["--apply", "missing.plan"]).expect_code(1);
        world.run(&["--apply", "desired-state"]).expect_code(1);
    }

    fn a_plan_of_a_new_world_makes_it(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
        if world.database() == Database::Postgres {
            let unready = world.run(&["--apply", "saved.plan"]).expect_code(1);
            assert!(unready.stderr.contains("reconcile migrate"), "{}", unready.text());
            world.run(&["migrate"]).expect_code(0);
        }
        world.run(&["--apply", "saved.plan"]).expect_code(0);
        assert_eq!(title(world), "Surah Al-Fatiha");
        assert_eq!(world.sql("SELECT rotation, is_active FROM host_sessions"), "1|true\n");
        stale(world);
    }

    fn a_plan_of_a_new_world_is_stale_once_somebody_else_has_made_it(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
        world.write("desired-state/week.yaml", "sessions: [{id: 1}]\n");
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        world.write("desired-state/week.yaml", WEEK);
        stale(world);
        assert_eq!(world.sql("SELECT session_id FROM sessions"), "1\n");
    }
}

#[test]
fn a_plan_for_another_file_is_refused_also_when_both_are_empty() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", WEEK);
    world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
    let output = world.run(&["--apply", "saved.plan", "--data-dir", "elsewhere"]).expect_code(3);
    assert!(output.stderr.contains("another target"), "{}", output.text());
    assert!(!world.path().join("elsewhere").exists(), "nothing was made");
}

#[test]
fn a_plan_for_an_empty_database_is_refused_in_another_empty_one_with_postgres() {
    let mut world = World::on(Database::Postgres);
    world.write("desired-state/week.yaml", WEEK);
    world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
    let server = world.server().unwrap();
    server.create_database("KQUR_DEV");
    let other = server.url("KQUR_DEV");
    world.env("RECONCILE_DATABASE_URL", &other);
    world.run(&["migrate"]).expect_code(0);
    let output = world.run(&["--apply", "saved.plan"]).expect_code(3);
    assert!(output.stderr.contains("another target"), "{}", output.text());
    assert_eq!(world.server().unwrap().psql("KQUR_DEV", "SELECT COUNT(*) FROM canvas.sessions"), "0\n");
}

#[test]
fn a_plan_for_another_server_is_refused_with_postgres() {
    let mut world = World::on(Database::Postgres);
    ready(&world);
    let other = Postgres::start_as(1);
    other.create_database("KSESSIONS_DEV");
    world.env("RECONCILE_DATABASE_URL", &other.url("KSESSIONS_DEV"));
    world.run(&["migrate"]).expect_code(0);
    let output = world.run(&["--apply", "saved.plan"]).expect_code(3);
    assert!(output.stderr.contains("another target"), "{}", output.text());
}

#[test]
fn a_plan_for_another_database_of_the_same_name_is_refused_with_postgres() {
    let mut world = World::on(Database::Postgres);
    ready(&world);
    let server = world.server().unwrap();
    server.psql("postgres", "DROP DATABASE \"KSESSIONS_DEV\" WITH (FORCE)");
    server.create_database("KSESSIONS_DEV");
    world.run(&["migrate"]).expect_code(0);
    let output = world.run(&["--apply", "saved.plan"]).expect_code(3);
    assert!(output.stderr.contains("another target"), "{}", output.text());
}

#[test]
fn a_plan_over_the_budget_wants_a_reason() {
    let world = World::on(Database::Sqlite);
    let week = |word: &str| -> String {
        (1..=10)
            .map(|id| format!("  - {{id: {id}, title: {word} {id}}}\n"))
            .fold("sessions:\n".to_owned(), |all, one| all + &one)
    };
    world.write("desired-state/week.yaml", &week("First"));
    world.run(&["--once"]).expect_code(0);
    world.write("desired-state/week.yaml", &week("Second"));
    let held = world.run(&["--once"]).expect_code(1);
    assert!(held.stderr.contains("10 of 10 sessions would change (limit 30 %)"), "{}", held.text());
    world.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
    world.run(&["--apply", "saved.plan"]).expect_code(1);
    assert_eq!(world.sql("SELECT COUNT(*) FROM sessions WHERE title LIKE 'Second%'").trim(), "0");
    world.run(&["--apply", "saved.plan", "--force"]).expect_code(1);
    world.run(&["--apply", "saved.plan", "--force", "--reason", "New term"]).expect_code(0);
    assert_eq!(world.sql("SELECT COUNT(*) FROM sessions WHERE title LIKE 'Second%'").trim(), "10");
    assert_eq!(
        world.sql("SELECT DISTINCT reason FROM reconcile_journal WHERE reason IS NOT NULL").trim(),
        "forced: New term"
    );
}

#[test]
fn a_plan_is_not_saved_in_a_file_that_was_meant_to_be_the_terminal() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/a.yaml", "sessions:\n");
    let refused = world.run(&["--plan", "--out", "-"]).expect_code(1);
    assert!(refused.stderr.contains("--plan --format json"), "{}", refused.stderr);
    assert!(!world.path().join("-").exists());
}
