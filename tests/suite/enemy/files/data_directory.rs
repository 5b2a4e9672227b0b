//! A data directory that an enemy has prepared, and the database in it.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{DATABASE, Enemy, Trap, is_root, says};
use crate::fixture::rows;

#[test]
fn what_lies_beside_the_database_leads_nowhere() {
    for suffix in ["-bell", "-wal", "-shm", "-journal"] {
        let enemy = Enemy::deployed();
        let (file, name) = (format!("{DATABASE}{suffix}"), format!("KSESSIONS_DEV.db{suffix}"));
        enemy.link(&file, enemy.victim());
        enemy.refused(&format!("{suffix} is a link"), &name);
        enemy.link(&file, enemy.outside.path().join("none"));
        assert_eq!(enemy.project.run(&["suspend", "--reason", "x"]).code, 3, "{suffix} is a link that leads nowhere");
        enemy.away(&file);
        fs::hard_link(enemy.victim(), enemy.at(&file)).unwrap();
        for command in [&["suspend", "--reason", "x"][..], &["--once"], &["--plan"], &["status"]] {
            let output = enemy.project.run(command).expect_code(3);
            assert!(says(&output, "hard link"), "{}", output.text());
        }
        assert_eq!(fs::read(enemy.victim()).unwrap(), b"precious");
    }
}

#[test]
fn what_lies_beside_the_database_holds_nothing_up() {
    for suffix in ["-bell", "-wal", "-shm", "-journal"] {
        let enemy = Enemy::deployed();
        let file = format!("{DATABASE}{suffix}");
        enemy.pipe(&file);
        let commands = [&["suspend", "--reason", "x"][..], &["--once"], &["--plan"], &["status"], &["doctor"], &[]];
        for (command, output) in enemy.run_all(&commands) {
            assert_eq!(output.code, 3, "{suffix} is a pipe, {command}: {}", output.text());
        }
        enemy.away(&file);
        fs::create_dir(enemy.at(&file)).unwrap();
        for (command, output) in enemy.run_all(&commands) {
            assert_eq!(output.code, 3, "{suffix} is a directory, {command}: {}", output.text());
        }
    }
}

#[test]
fn the_database_itself_is_one_file_of_ours() {
    let enemy = Enemy::deployed();
    fs::hard_link(enemy.at(DATABASE), enemy.at("second")).unwrap();
    enemy.refused("a second name", "hard link");
    fs::remove_file(enemy.at("second")).unwrap();
    enemy.pipe(DATABASE);
    enemy.refused("a pipe", "is not a regular file");
    enemy.away(DATABASE);
    fs::create_dir(enemy.at(DATABASE)).unwrap();
    enemy.refused("a directory", "is not a regular file");
    // Another project's, of the same name.
    let others = enemy.outside.path().join("directory/KSESSIONS_DEV.db");
    enemy.project.run(&["migrate", "--database", &format!("sqlite:{}", others.display())]).expect_code(0);
    enemy.link(DATABASE, others);
    enemy.refused("a link to another project's", "is a symbolic link");
}

#[test]
fn a_data_directory_is_ours_alone() {
    let enemy = Enemy::deployed();
    fs::set_permissions(enemy.at(".reconcile"), Permissions::from_mode(0o777)).unwrap();
    enemy.refused("writable by all", "chmod 700");
    fs::set_permissions(enemy.at(".reconcile"), Permissions::from_mode(0o770)).unwrap();
    enemy.project.run(&["status"]).expect_code(3);
    fs::set_permissions(enemy.at(".reconcile"), Permissions::from_mode(0o700)).unwrap();
    enemy.project.run(&["status"]).expect_code(0);
    // Another user's: root's, where we are not.
    let others = if is_root() {
        chown(enemy.at(".reconcile"), Some(1001), None).unwrap();
        ".reconcile"
    } else {
        "/usr"
    };
    let output = enemy.project.run(&["--once", "--data-dir", others]).expect_code(3);
    assert!(says(&output, "belongs to another user"), "{}", output.text());
    assert!(says(&output, &format!("--data-dir {others}/reconcile")), "{}", output.text());
}

/// A clone is this user's own, whoever has written what is in it; with a umask of 077 in every mode that we ask for.
#[test]
fn a_data_directory_that_a_repository_has_brought_is_not_believed() {
    let lines: [(&str, &str); 4] = [
        ("all of it", "git add --all --force"),
        ("the database alone", "git add --force .reconcile/KSESSIONS_DEV.db"),
        ("the key alone", "git add --force .reconcile/host.key"),
        (
            "a submodule",
            "git -C .reconcile init -q && git -C .reconcile add -f host.key && git -C .reconcile commit -qm x && git add -f .reconcile",
        ),
    ];
    for (what, add) in lines {
        let enemy = Enemy::deployed();
        enemy.project.git(&["init", "--quiet"]);
        enemy
            .project
            .sh(&format!("rm .reconcile/.gitignore && {add} && git add desired-state && git commit -qm x"))
            .expect_code(0);
        let clone = "umask 077; mv .reconcile theirs; git checkout -q HEAD -- .reconcile; rm -rf .reconcile/host.key/x";
        enemy.project.sh(clone).expect_code(0);
        if what == "a submodule" {
            enemy.project.sh("rm -rf .reconcile; cp -r theirs .reconcile").expect_code(0);
        }
        enemy.refused(what, "has come with the Git repository");
        let hint = enemy.project.run(&["status"]);
        assert!(says(&hint, "--data-dir DIR") && says(&hint, "rm -r --cached"), "{what}: {}", hint.text());
        enemy.project.run(&["--once", "--data-dir", "own"]).expect_code(0);
    }
}

/// What is ignored gives way to what a pull brings, without a word.
#[test]
fn what_a_pull_puts_in_the_place_of_ours_is_not_believed() {
    let enemy = Enemy::deployed();
    enemy.project.git(&["init", "--quiet"]);
    enemy.project.git(&["add", "--all"]);
    enemy.project.git(&["commit", "--quiet", "--message", "one"]);
    enemy.project.run(&["--once"]).expect_code(0);
    let mut daemon = enemy.project.spawn(&["-v"]);
    daemon.wait_for("watching ", crate::daemon::LATE);
    enemy.project.write("theirs", "0123");
    let line = "git update-index --add --cacheinfo 100644,$(git hash-object -w theirs),.reconcile/host.key && git commit -qm two";
    enemy.project.sh(line).expect_code(0);
    enemy.project.write("desired-state/more.yaml", "hosts: [{session: 216, missing_session: create}]\n");
    daemon.wait_for("has come with the Git repository", crate::daemon::LATE);
    enemy.project.run(&["host", "claim", "216"]).expect_code(3);
}

#[test]
fn a_data_directory_is_no_link_to_anothers() {
    let enemy = Enemy::new();
    for directory in ["directory", "none"] {
        enemy.link(".reconcile", enemy.outside.path().join(directory));
        enemy.refused(directory, "is a symbolic link");
    }
    enemy.pipe(".reconcile");
    enemy.refused("a pipe", "is not a directory");
}

#[test]
fn what_the_data_directory_holds_is_ours_alone() {
    let marks: [Trap; 4] = [
        ("a link", |enemy| enemy.link(".reconcile/environment", enemy.victim())),
        ("a pipe", |enemy| enemy.pipe(".reconcile/environment")),
        ("a text of another kind", |enemy| enemy.project.write(".reconcile/environment", "one two three")),
        ("a large file", |enemy| enemy.project.write(".reconcile/environment", &"x".repeat(100_000))),
    ];
    for (trap, prepare) in marks {
        let enemy = Enemy::deployed();
        prepare(&enemy);
        let output = enemy.project.run(&["--once"]).expect_code(3);
        assert!(says(&output, ".reconcile/environment"), "{trap}: {}", output.text());
        enemy.harmless(trap);
    }
    let others: [Trap; 6] = [
        ("the key is a link", |enemy| enemy.link(".reconcile/host.key", enemy.victim())),
        ("the key is a pipe", |enemy| enemy.pipe(".reconcile/host.key")),
        ("the ignored names are a pipe", |enemy| enemy.pipe(".reconcile/.gitignore")),
        ("the ignored names are a link", |enemy| enemy.link(".reconcile/.gitignore", enemy.victim())),
        ("the handoff is elsewhere", |enemy| enemy.link(".reconcile/handoff", enemy.outside.path().join("directory"))),
        ("the handoff's entries are pipes", |enemy| {
            for entry in fs::read_dir(enemy.at(".reconcile/handoff")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                enemy.pipe(&format!(".reconcile/handoff/{name}"));
            }
        }),
    ];
    for (trap, prepare) in others {
        let enemy = Enemy::deployed();
        prepare(&enemy);
        enemy.harmless(trap);
    }
}

#[test]
fn the_database_lies_where_nobody_else_can_exchange_it() {
    let enemy = Enemy::new();
    fs::create_dir(enemy.at("shared")).unwrap();
    let once = |mode| {
        fs::set_permissions(enemy.at("shared"), Permissions::from_mode(mode)).unwrap();
        enemy.project.run(&["--once", "--database", "sqlite:shared/KSESSIONS_DEV.db"])
    };
    let refused = once(0o777).expect_code(3);
    assert!(says(&refused, "shared: others than its owner can change it (mode 777)"), "{}", refused.text());
    assert!(!enemy.at("shared/KSESSIONS_DEV.db").exists());
    // As in /tmp.
    once(0o1777).expect_code(0);
    once(0o755).expect_code(0);
    once(0o777).expect_code(3);
}

#[test]
fn git_leaves_the_data_directory_alone_whatever_made_it() {
    let made: [Trap; 4] = [
        ("the key came first", |enemy| drop(enemy.project.run(&["--once"]).expect_code(0))),
        ("by hand", |enemy| DirBuilder::new().mode(0o755).create(enemy.at(".reconcile")).unwrap()),
        ("by a repository that wants the key", |enemy| enemy.project.write(".reconcile/.gitignore", "!*\n")),
        ("by migrate", |enemy| drop(enemy.project.run(&["migrate"]).expect_code(0))),
    ];
    for (how, make) in made {
        let enemy = Enemy::new();
        enemy.project.git(&["init", "--quiet"]);
        make(&enemy);
        enemy.project.run(&["--once"]).expect_code(0);
        enemy.project.git(&["add", "--all"]);
        let staged = enemy.project.git(&["diff", "--cached", "--name-only"]);
        assert_eq!(staged, "desired-state/week.yaml\n", "{how}");
        assert_eq!(fs::metadata(enemy.at(".reconcile")).unwrap().permissions().mode() & 0o777, 0o700, "{how}");
    }
    // A database that lies elsewhere, too.
    let enemy = Enemy::new();
    enemy.project.git(&["init", "--quiet"]);
    enemy.project.run(&["migrate", "--database", "sqlite:made/KSESSIONS_DEV.db"]).expect_code(0);
    enemy.project.git(&["add", "--all"]);
    assert_eq!(enemy.project.git(&["diff", "--cached", "--name-only"]), "desired-state/week.yaml\n");
}

/// `--data-dir /var/lib`, by root: what else is in it may be others' to read.
#[test]
fn a_directory_that_holds_other_things_keeps_its_mode() {
    let enemy = Enemy::new();
    enemy.project.write("shared/theirs", "");
    fs::set_permissions(enemy.at("shared"), Permissions::from_mode(0o755)).unwrap();
    enemy.project.run(&["--once", "--data-dir", "shared"]).expect_code(0);
    let mode = |path: &str| fs::metadata(enemy.at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("shared"), 0o755);
    for (ours, wanted) in [("KSESSIONS_DEV.db", 0o600), ("environment", 0o600), ("host.key", 0o600), ("handoff", 0o700)]
    {
        assert_eq!(mode(&format!("shared/{ours}")), wanted, "{ours}");
    }
}

#[test]
fn a_data_directory_serves_one_environment() {
    let enemy = Enemy::deployed();
    let mark = enemy.project.read(".reconcile/environment");
    let identity = rows(&format!("sqlite:{}", enemy.at(DATABASE).display()), "SELECT identity FROM reconcile_stamp");
    assert_eq!(mark.trim(), format!("development {}", identity.unwrap().trim()));
    // Their handoff would lie in one place.
    let url = format!("sqlite:{}/elsewhere/KSESSIONS.db", enemy.project.path().display());
    let production = ["--environment", "production", "--database", &url];
    for command in ["migrate", "--once"] {
        let output = enemy.project.run(&[&[command][..], &production].concat()).expect_code(3);
        let why = "belongs to the environment development, not production";
        assert!(says(&output, why), "{}", output.text());
    }
    assert!(!enemy.at("elsewhere").exists());
    enemy.project.run(&[&["migrate", "--data-dir", "of-production"][..], &production].concat()).expect_code(0);
    // A deployment from before it bore anything.
    fs::remove_file(enemy.at(".reconcile/environment")).unwrap();
    enemy.project.run(&["status"]).expect_code(0);
    assert!(!enemy.at(".reconcile/environment").exists(), "to look marks nothing");
    enemy.project.run(&["suspend", "--reason", "x"]).expect_code(0);
    assert_eq!(enemy.project.read(".reconcile/environment"), mark);
    // A copy that is to be another's.
    enemy.project.write(".reconcile/environment", "staging\n");
    fs::set_permissions(enemy.at(".reconcile/environment"), Permissions::from_mode(0o600)).unwrap();
    enemy.project.run(&["status"]).expect_code(3);
    enemy.project.run(&["migrate", "--restamp", "--reason", "a copy"]).expect_code(0);
    enemy.project.run(&["status"]).expect_code(0);
    let again = enemy.project.read(".reconcile/environment");
    assert!(again.starts_with("development ") && again != mark, "{again}");
}

#[test]
fn a_database_that_is_swapped_again_and_again_ends_with_a_refusal() {
    let enemy = Enemy::deployed();
    enemy.project.run(&["migrate", "--data-dir", "other"]).expect_code(0);
    let [one, other] = [enemy.at(DATABASE), enemy.at("other/KSESSIONS_DEV.db")];
    let going = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while going.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for command in [&["--once"][..], &["--plan"], &["suspend", "--reason", "x"], &["status"]].repeat(2) {
            let output = enemy.project.run(command);
            assert!(matches!(output.code, 0 | 1 | 3), "{command:?}: {}", output.text());
        }
        going.store(false, Ordering::Relaxed);
    });
}
