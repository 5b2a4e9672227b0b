//! `source: head`: what is committed counts, and nothing else.

use std::fs;

use super::{SOON, calm, end, found, prepare, sessions, start, titled};
use crate::fixture::{Database, World};

fn world() -> World {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    world.env("RECONCILE_SOURCE", "head");
    world.git_init();
    world
}

#[test]
fn only_commits_are_applied() {
    let world = world();
    world.commit("One");
    let daemon = start(&world);
    let before = calm(&daemon);
    world.write("desired-state/a.yaml", &sessions(&[(1, "Half saved")]));
    assert_eq!(calm(&daemon), before, "{}", daemon.stderr());
    assert_eq!(found(&world), "One");
    let commit = world.commit("Said on purpose");
    titled(&world, SOON, &["Half saved"]);
    world.git(&["revert", "--no-edit", "HEAD"]);
    titled(&world, SOON, &["One"]);
    end(daemon);
    let journal = world.sql("SELECT actor, revision FROM reconcile_journal WHERE action = 'update' LIMIT 1");
    assert!(journal.contains(&commit[..7]) && journal.contains("Noor Team"), "{journal}");
}

#[test]
fn without_a_commit_it_refuses_to_start() {
    let output = world().run(&[]).expect_code(1);
    assert!(output.stderr.contains("commit"), "{}", output.stderr);
}

#[test]
fn a_repository_that_is_lost_later_leaves_the_last_good_state_in_force() {
    let world = world();
    world.commit("One");
    let mut daemon = start(&world);
    let (git, away) = (world.path().join(".git"), world.path().join("away"));
    fs::rename(&git, &away).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for("cannot be read", SOON);
    assert_eq!(found(&world), "One");
    fs::rename(&away, &git).unwrap();
    daemon.wait_for("all is well again", SOON);
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    world.commit("Uno");
    titled(&world, SOON, &["Uno"]);
    end(daemon);
}
