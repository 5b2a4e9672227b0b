//! While the files cannot be followed, the last good state stays in force: what others change is put right, and what is
//! enforced is told.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::Signal;

use super::{LATE, SOON, calm, end, found, prepare, sessions, settle, start, titled};
use crate::fixture::process::Running;
use crate::fixture::{Database, World, both};

const BAD: &str = "sessions:\n  - id: 9\n    titel: Uno\n";

/// A world whose files are committed. Gives the commit, as messages name it.
fn committed(world: &mut World) -> String {
    prepare(world);
    world.git_init();
    short(&world.commit("One"))
}

fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}

/// Changes a row as somebody else would, and waits until it is put right. PostgreSQL tells of it by itself.
#[track_caller]
fn drift(world: &World, daemon: &Running, titles: &[&str]) {
    world.sql("UPDATE sessions SET title = 'Drifted' WHERE session_id = 1");
    if world.database() == Database::Sqlite {
        daemon.signal(Signal::HUP);
    }
    titled(world, SOON, titles);
}

#[track_caller]
fn status(world: &World) -> String {
    world.run(&["status"]).expect_code(0).stdout
}

both! {
    fn drift_is_put_right_while_a_file_is_broken_and_mending_looks_at_everything(world) {
        let commit = committed(world);
        let mut daemon = start(world);
        world.write("desired-state/b.yaml", BAD);
        daemon.wait_for(&format!("still enforcing commit {commit}; 1 problem in the files\ndesired-state/b.yaml:3:5:"), SOON);
        drift(world, &daemon, &["One"]);
        let journal = "SELECT revision FROM reconcile_journal WHERE action = 'update' ORDER BY journal_id DESC LIMIT 1";
        assert_eq!(world.sql(journal), format!("{commit} (clean)\n"));

        let shown = status(world);
        assert!(shown.contains(&format!("files      still enforcing commit {commit} since ")), "{shown}");
        assert!(shown.contains("problem    desired-state/b.yaml:3:5:"), "{shown}");
        let json = world.run(&["status", "--format", "json"]).expect_code(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["files"]["enforced"], format!("commit {commit}"), "{json}");
        assert_eq!((json["files"]["count"].as_u64(), json["files"]["problems"].as_array().unwrap().len()), (Some(1), 1));
        let explained = world.run(&["explain", "session/1"]).expect_code(0).stdout;
        assert!(explained.contains(&format!("still enforcing commit {commit}; 1 problem in the files")), "{explained}");
        world.run(&["--once"]).expect_code(1);
        world.run(&["--plan"]).expect_code(1);

        // Nothing tells of this one on SQLite, and nobody has looked since.
        calm(&daemon);
        world.sql("UPDATE sessions SET created_by = 'Somebody' WHERE session_id = 1");
        world.write("desired-state/b.yaml", &sessions(&[(2, "Two")]));
        titled(world, SOON, &["One", "Two"]);
        settle(SOON, &"Noor Team\n".to_owned(), || world.sql("SELECT created_by FROM sessions WHERE session_id = 1"));
        daemon.wait_for("all is well again", SOON);
        settle(SOON, &false, || status(world).contains("still enforcing"));
        let stderr = end(daemon).stderr;
        assert_eq!(stderr.matches("still enforcing").count(), 1, "told at each turn: {stderr}");
    }

    fn a_daemon_that_is_started_anew_enforces_the_commit_that_was_applied(world) {
        let commit = committed(world);
        end(start(world));
        world.write("desired-state/a.yaml", BAD);
        let mut daemon = start(world);
        daemon.wait_for(&format!("still enforcing commit {commit}; 1 problem in the files"), SOON);
        drift(world, &daemon, &["One"]);
        end(daemon);
        // The directory is gone, and what it held is in the repository.
        fs::remove_dir_all(world.path().join("desired-state")).unwrap();
        let mut daemon = start(world);
        daemon.wait_for(&format!("still enforcing commit {commit}; the state directory `desired-state` does not exist"), SOON);
        drift(world, &daemon, &["One"]);
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
        titled(world, SOON, &["Uno"]);
        end(daemon);

        // What was applied last is in no commit now, and so nothing is known that could be enforced.
        world.write("desired-state/a.yaml", BAD);
        let mut daemon = start(world);
        daemon.wait_for("reconciliation is paused: what was applied last is in no commit", SOON);
        settle(SOON, &true, || status(world).contains("reconciliation is paused:"));
        world.sql("UPDATE sessions SET title = 'Drifted'");
        daemon.signal(Signal::HUP);
        calm(&daemon);
        assert_eq!(found(world), "Drifted");
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
        titled(world, SOON, &["Uno"]);
        settle(SOON, &false, || status(world).contains("paused"));
        end(daemon);
    }
}

/// Each way in which a repository can be lost, and its end.
#[test]
fn a_repository_that_is_away_leaves_its_last_commit_in_force() {
    let mut world = World::on(Database::Sqlite);
    let commit = committed(&mut world);
    let bin = world.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let git = world.sh("command -v git").stdout;
    symlink(git.trim(), bin.join("git")).unwrap();
    world.write(".gitignore", ".reconcile\nbin\n");
    world.env("RECONCILE_SOURCE", "head").env("RECONCILE_INTERVAL", "1h");
    let mut daemon = world.start("env", &[&format!("PATH={}", bin.display()), env!("CARGO_BIN_EXE_reconcile"), "-v"]);
    daemon.wait_for("watching desired-state", LATE);
    let path = |name: &str| world.path().join(name);
    let ways = [
        (".git", "`desired-state` is not inside a Git repository"),
        (".git/HEAD", "is not inside a Git repository"),
        (".git/refs/heads/main", "has no commit yet"),
        ("bin/git", "the `git` program was not found"),
    ];
    for (count, (name, why)) in ways.into_iter().enumerate() {
        fs::rename(path(name), path("away")).unwrap();
        daemon.signal(Signal::HUP);
        settle(SOON, &true, || {
            let said = daemon.stderr();
            let last = said.lines().rfind(|line| line.contains("still enforcing"));
            last.is_some_and(|line| line.contains(&format!("commit {commit};")) && line.contains(why))
        });
        drift(&world, &daemon, &["One"]);
        // It is told once, however often it is met.
        drift(&world, &daemon, &["One"]);
        assert_eq!(daemon.stderr().matches(why).count(), 1 + usize::from(name == ".git/HEAD"), "{}", daemon.stderr());
        fs::rename(path("away"), path(name)).unwrap();
        daemon.signal(Signal::HUP);
        settle(SOON, &(count + 1), || daemon.stderr().matches("all is well again").count());
    }
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    world.commit("Uno");
    titled(&world, SOON, &["Uno"]);
    end(daemon);

    // It waits for a repository that was there once, and does not refuse to start.
    fs::rename(path(".git"), path("away")).unwrap();
    let mut daemon = start(&world);
    daemon.wait_for("reconciliation is paused: commit", SOON);
    fs::rename(path("away"), path(".git")).unwrap();
    daemon.wait_for("all is well again", LATE);
    end(daemon);
}

/// Files as they lie are followed without a commit, too; what is missing is told once.
#[test]
fn a_git_program_that_is_missing_is_told_once_where_files_are_followed_as_they_lie() {
    let mut world = World::on(Database::Sqlite);
    committed(&mut world);
    let mut daemon = world.start("env", &["PATH=/nowhere", env!("CARGO_BIN_EXE_reconcile"), "-v"]);
    daemon.wait_for("watching desired-state", LATE);
    drift(&world, &daemon, &["One"]);
    world.write("desired-state/b.yaml", BAD);
    daemon.wait_for("still enforcing the files as read at ", SOON);
    drift(&world, &daemon, &["One"]);
    let stderr = end(daemon).stderr;
    assert_eq!(stderr.matches("WARN desired-state:1:1: warning: the commit").count(), 1, "{stderr}");
}

#[test]
fn a_resource_in_two_of_two_thousand_files_leaves_all_the_others_in_force() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    for id in 1..=2_000 {
        world.write(&format!("desired-state/{}/{id}.yaml", id % 20), &sessions(&[(id, &format!("Title {id}"))]));
    }
    fs::remove_file(world.path().join("desired-state/a.yaml")).unwrap();
    world.git_init();
    let commit = short(&world.commit("Many"));
    let mut daemon = start(&world);
    world.write("desired-state/twice.yaml", &sessions(&[(7, "Seven"), (8, "Eight")]));
    daemon.wait_for(&format!("still enforcing commit {commit}; 2 problems in the files"), LATE);
    let off = "SELECT count(*) FROM sessions WHERE title <> 'Title ' || session_id";
    world.sql("UPDATE sessions SET title = 'Drifted' WHERE session_id % 100 = 7");
    assert_eq!(world.sql(off), "20\n");
    daemon.signal(Signal::HUP);
    settle(LATE, &"0\n".to_owned(), || world.sql(off));
    // All of them, and the twenty that are changed in the files beside it.
    world.sql("UPDATE sessions SET title = 'Drifted' WHERE session_id % 100 = 8");
    fs::remove_file(world.path().join("desired-state/twice.yaml")).unwrap();
    settle(LATE, &"0\n".to_owned(), || world.sql(off));
    daemon.wait_for("all is well again", SOON);
    end(daemon);
}

/// What the database tells of in the moment in which files are saved.
#[test]
fn postgres_is_heard_while_files_are_saved() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    world.write("desired-state/b.yaml", &sessions(&[(2, "Two 0")]));
    let daemon = start(&world);
    calm(&daemon);
    for round in 1..=12 {
        std::thread::scope(|scope| {
            scope.spawn(|| world.sql("UPDATE sessions SET title = 'Drifted' WHERE session_id = 1"));
            std::thread::sleep(std::time::Duration::from_millis(3 * round));
            world.write("desired-state/b.yaml", &sessions(&[(2, &format!("Two {round}"))]));
        });
        titled(&world, SOON, &["One", &format!("Two {round}")]);
    }
    end(daemon);
}
