//! Files as editors, scripts and Git change them: whatever happens to them, the database ends as they say.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::{LATE, SOON, calm, end, found, prepare, sessions, settle, start, titled, turns};
use crate::fixture::{Database, World};

fn world() -> World {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    world
}

#[test]
fn a_file_that_is_renamed_into_place() {
    let world = world();
    let daemon = start(&world);
    for title in ["Uno", "Due", "Tre"] {
        world.write("desired-state/.a.yaml.swp", &sessions(&[(1, title)]));
        fs::rename(world.path().join("desired-state/.a.yaml.swp"), world.path().join("desired-state/a.yaml")).unwrap();
        titled(&world, SOON, &[title]);
    }
    end(daemon);
}

#[test]
fn a_file_that_is_emptied_and_written_is_never_taken_for_a_deletion() {
    let mut world = world();
    // Longer than the pause in the middle.
    world.env("RECONCILE_DEBOUNCE", "200ms").env("RECONCILE_DEBOUNCE_MAX", "10s");
    let daemon = start(&world);
    let before = calm(&daemon);
    fs::File::create(world.path().join("desired-state/a.yaml")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    titled(&world, SOON, &["Uno"]);
    assert_eq!(calm(&daemon), before + 1, "{}", daemon.stderr());
    end(daemon);
}

#[test]
fn a_directory_that_goes_and_comes_back() {
    let world = world();
    let mut daemon = start(&world);
    fs::remove_dir_all(world.path().join("desired-state")).unwrap();
    daemon.wait_for("the state directory `desired-state` does not exist", SOON);
    // Absence is not deletion.
    assert_eq!(found(&world), "One");
    world.write("desired-state/again/b.yaml", &sessions(&[(1, "Uno")]));
    titled(&world, SOON, &["Uno"]);
    daemon.wait_for("all is well again", SOON);
    world.write("desired-state/again/b.yaml", &sessions(&[(1, "Due")]));
    titled(&world, SOON, &["Due"]);
    end(daemon);
}

#[test]
fn a_linked_directory_that_is_turned_to_another_release() {
    let world = world();
    fs::remove_dir_all(world.path().join("desired-state")).unwrap();
    world.write("releases/1/a.yaml", &sessions(&[(1, "One")]));
    world.write("releases/2/a.yaml", &sessions(&[(1, "Two")]));
    symlink("releases/1", world.path().join("desired-state")).unwrap();
    let daemon = start(&world);
    assert_eq!(found(&world), "One");
    for (release, title) in [("releases/2", "Two"), ("releases/1", "One")] {
        symlink(release, world.path().join("next")).unwrap();
        fs::rename(world.path().join("next"), world.path().join("desired-state")).unwrap();
        titled(&world, SOON, &[title]);
    }
    end(daemon);
}

#[test]
fn a_checkout_of_a_thousand_files_is_one_turn() {
    let mut world = world();
    // The burst lasts as long as this machine is slow; it is over when nothing comes for half a second.
    world.env("RECONCILE_DEBOUNCE", "500ms").env("RECONCILE_DEBOUNCE_MAX", "30s");
    world.git_init();
    let write = |word: &str| {
        for id in 1..=1_000 {
            world.write(&format!("desired-state/{}/{id}.yaml", id % 10), &sessions(&[(id, &format!("{word} {id}"))]));
        }
    };
    fs::remove_file(world.path().join("desired-state/a.yaml")).unwrap();
    write("Old");
    world.commit("Old titles");
    world.git(&["checkout", "--quiet", "-b", "new"]);
    write("New");
    world.commit("New titles");
    world.git(&["checkout", "--quiet", "main"]);
    world.env("RECONCILE_BUDGET_PERCENT", "100");

    let daemon = start(&world);
    let count = |word: &str| world.sql(&format!("SELECT count(*) FROM sessions WHERE title LIKE '{word} %'"));
    assert_eq!(count("Old"), "1000\n");
    let before = calm(&daemon);
    world.git(&["checkout", "--quiet", "new"]);
    settle(LATE, &"1000\n".to_owned(), || count("New"));
    assert_eq!(calm(&daemon), before + 1, "{}", daemon.stderr());
    let runs = "SELECT count(DISTINCT run) FROM reconcile_journal WHERE action = 'update'";
    assert_eq!(world.sql(runs), "1\n");
    end(daemon);
}

#[test]
fn a_bad_file_leaves_the_last_good_state_in_force_until_it_is_mended() {
    let world = world();
    let mut daemon = start(&world);
    world.write("desired-state/a.yaml", "sessions:\n  - id: 1\n    titel: Uno\n    created_by: Noor Team\n");
    daemon.wait_for("desired-state/a.yaml:3:5:", SOON);
    daemon.wait_for("; 1 problem in the files", SOON);
    assert_eq!(found(&world), "One");
    let shown = |text: &str| world.run(&["status"]).expect_code(0).stdout.contains(text);
    settle(SOON, &true, || shown("desired-state/a.yaml:3:5:"));

    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    titled(&world, SOON, &["Uno"]);
    daemon.wait_for("all is well again", SOON);
    settle(SOON, &false, || shown("desired-state/a.yaml:3:5:"));
    end(daemon);
}

#[test]
fn a_file_that_is_bad_from_the_start_is_waited_for() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/a.yaml", "sessions:\n  - id: one\n");
    let daemon = start(&world);
    assert!(daemon.stderr().contains("desired-state/a.yaml:2:9:"), "{}", daemon.stderr());
    assert!(!world.path().join(".reconcile/KSESSIONS_DEV.db").exists(), "a bad file has made a database");
    world.write("desired-state/a.yaml", &sessions(&[(1, "One")]));
    settle(SOON, &Ok("One\n".to_owned()), || world.try_sql("SELECT title FROM sessions"));
    end(daemon);
}

#[test]
fn an_empty_directory_is_a_loud_warning_and_deletes_nothing() {
    let world = world();
    let mut daemon = start(&world);
    fs::remove_file(world.path().join("desired-state/a.yaml")).unwrap();
    daemon.wait_for(" WARN desired-state:1:1: warning: no file here declares anything", SOON);
    assert_eq!(found(&world), "One");
    // It is said once, not at every turn.
    let before = turns(&daemon);
    daemon.signal(rustix::process::Signal::HUP);
    settle(SOON, &(before + 1), || turns(&daemon));
    let stderr = end(daemon).stderr;
    assert_eq!(stderr.matches("no file here declares anything").count(), 1, "{stderr}");
}

#[test]
fn a_state_directory_that_is_not_there_is_an_error_at_the_start() {
    let world = World::on(Database::Sqlite);
    let output = world.run(&[]).expect_code(1);
    assert!(output.stderr.contains("the state directory `desired-state` does not exist"), "{}", output.stderr);
}

/// A directory that is away, as with a disk that is not mounted, must not be filled with a new database.
#[test]
fn a_database_file_that_goes_away_is_waited_for_and_not_made_anew() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    world.env("RECONCILE_INTERVAL", "1s");
    let mut leader = start(&world);
    let mut follower = world.spawn(&["-v"]);
    follower.wait_for("following:", LATE);
    let (here, away) = (world.path().join(".reconcile"), world.path().join("away"));
    for _ in 0..2 {
        let said = [&leader, &follower].map(|daemon| daemon.stderr().matches("KSESSIONS_DEV.db is gone").count());
        fs::rename(&here, &away).unwrap();
        settle(LATE, &true, || {
            let now = [&leader, &follower].map(|daemon| daemon.stderr().matches("KSESSIONS_DEV.db is gone").count());
            now[0] > said[0] && now[1] > said[1]
        });
        std::thread::sleep(Duration::from_secs(2));
        assert!(!here.exists(), "it is made anew");
        fs::rename(&away, &here).unwrap();
        world.sql("UPDATE sessions SET title = 'Drifted'");
        titled(&world, LATE, &["One"]);
        follower.wait_for("following:", LATE);
    }
    leader.wait_for("all is well again", LATE);
    end(follower);
    end(leader);
}
