//! Where file events cannot be had, and where links are turned.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::{LATE, SOON, end, found, prepare, sessions, titled};
use crate::fixture::process::Running;
use crate::fixture::{Database, World};

/// Far less than the time after which is looked without an event.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A daemon in a user namespace that may have so many of `what`, until a file `more` appears.
fn restrained(world: &World, what: &str, most: u32) -> Running {
    let limit = format!("/proc/sys/user/{what}");
    let line = format!(
        "echo {most} > {limit}; (until [ -e more ]; do sleep 0.1; done; echo 100 > {limit}) & exec {} -v",
        env!("CARGO_BIN_EXE_reconcile")
    );
    world.start("unshare", &["--user", "--map-root-user", "sh", "-c", &line])
}

#[test]
fn without_file_events_it_looks_says_so_once_and_has_them_again() {
    for (what, most, setting, again) in [
        ("max_inotify_instances", 0, "fs.inotify.max_user_instances", "there are file events again"),
        ("max_inotify_watches", 1, "fs.inotify.max_user_watches", "are watched again"),
    ] {
        let mut world = World::on(Database::Sqlite);
        prepare(&mut world);
        let mut daemon = restrained(&world, what, most);
        daemon.wait_for("watching desired-state", LATE);
        daemon.wait_for(setting, SOON);
        for title in ["Uno", "Due"] {
            world.write("desired-state/a.yaml", &sessions(&[(1, title)]));
            titled(&world, LATE, &[title]);
        }
        world.write("more", "");
        daemon.wait_for(again, LATE);
        world.write("desired-state/a.yaml", &sessions(&[(1, "Tre")]));
        titled(&world, SOON, &["Tre"]);
        let stderr = end(daemon).stderr;
        assert_eq!(stderr.matches(setting).count(), 1, "{stderr}");
    }
}

/// As git-sync publishes a commit: a new work tree beside the old one, and a link that is turned to it.
#[test]
fn a_link_that_is_turned_to_another_work_tree_is_followed_at_once() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    world.env("RECONCILE_SOURCE", "head");
    world.git_init();
    world.write(".gitignore", ".reconcile\n.worktrees\nlink\n");
    world.commit("One");
    world.git(&["worktree", "add", "--quiet", "--detach", ".worktrees/A"]);
    symlink(".worktrees/A", world.path().join("link")).unwrap();
    let mut daemon = world.spawn(&["-v", "--state", "link/desired-state"]);
    daemon.wait_for("watching link/desired-state", LATE);
    assert_eq!(found(&world), "One");
    for (tree, title) in [("B", "Uno"), ("C", "Due")] {
        world.write("desired-state/a.yaml", &sessions(&[(1, title)]));
        world.commit(title);
        let path = format!(".worktrees/{tree}");
        world.git(&["worktree", "add", "--quiet", "--detach", &path]);
        symlink(&path, world.path().join("next")).unwrap();
        fs::rename(world.path().join("next"), world.path().join("link")).unwrap();
        titled(&world, AT_ONCE, &[title]);
    }
    end(daemon);
}
