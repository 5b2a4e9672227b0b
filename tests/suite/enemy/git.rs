//! Repositories that an enemy has prepared: reading them runs nothing, and believes nothing but the repository meant.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::traps::{EVERY_FILE, MAILMAP, Traps, arm};
use crate::daemon::{LATE, sessions};
use crate::fixture::{Database, World};

/// A project whose state is in the repository `clone` below it, with one session, committed by Noor Team.
fn project() -> (World, String) {
    let world = World::on(Database::Sqlite);
    world.write("clone/desired-state/week.yaml", &sessions(&[(1, "One")]));
    world.git(&["init", "--quiet", "--initial-branch=main", "clone"]);
    (world, "clone".to_owned())
}

fn commit(world: &World, repository: &str) -> String {
    world.git(&["-C", repository, "add", "--all"]);
    world.git(&["-C", repository, "commit", "--quiet", "--message", "state"]);
    world.git(&["-C", repository, "rev-parse", "HEAD"]).trim().to_owned()
}

/// Runs whatever reads the state files, in both ways, and gives what `--plan` tells of the revision in each.
#[track_caller]
fn read_all(world: &mut World, state: &str) -> [Value; 2] {
    world.env("RECONCILE_STATE", state).env("RECONCILE_INTERVAL", "1h");
    ["worktree", "head"].map(|source| {
        world.env("RECONCILE_SOURCE", source);
        let plan = world.run(&["--plan", "--format", "json"]).expect_code(0);
        for arguments in [
            &["validate"][..],
            &["--plan"],
            &["--once"],
            &["explain", "session/1"],
            &["status"],
            &["config"],
            &["history"],
        ] {
            world.run(arguments).expect_code(0);
        }
        let mut daemon = world.spawn(&["-v"]);
        daemon.wait_for("watching ", LATE);
        daemon.signal(Signal::TERM);
        daemon.finish(LATE).expect_code(0);
        serde_json::from_str::<Value>(&plan.stdout).unwrap()["revision"].clone()
    })
}

/// The commit, its author, and how what was read compares with it.
fn told(revision: &Value) -> (&str, &str, &str) {
    let word = |key: &str| revision[key].as_str().unwrap_or("none");
    (word("commit"), word("author"), word("compared"))
}

#[test]
fn a_bare_repository_committed_as_plain_files_is_neither_run_nor_believed() {
    let (mut world, enemy) = project();
    let traps = Traps::new();
    // What he wants to be applied, under the name of somebody who is trusted.
    world.write("forged/forged.yaml", &sessions(&[(1, "Forged"), (2, "Forged")]));
    world.git(&["init", "--quiet", "forged"]);
    world.git(&["-C", "forged", "config", "user.name", "Trusted Lead"]);
    world.git(&["-C", "forged", "add", "--all"]);
    let lead = "--author=Trusted Lead <lead@example.org>";
    world.git(&["-C", "forged", "commit", "--quiet", "--message", "forged", lead]);
    let forged = world.path().join("forged/.git");
    fs::write(forged.join("info/attributes"), EVERY_FILE).unwrap();
    arm(&world, &traps, &forged, "bare-");
    let config = forged.join("config").display().to_string();
    world.git(&["config", "--file", &config, "core.worktree", "."]);
    world.git(&["config", "--file", &config, "core.bare", "false"]);
    // At the state directory, below it, and above it.
    for place in ["clone/desired-state", "clone/desired-state/team", "clone"] {
        let copied = format!("cp -r forged/.git/. {place}/ && rm -rf {place}/hooks/*.sample {place}/logs");
        world.sh(&copied).expect_code(0);
    }
    world.write("clone/.mailmap", MAILMAP);
    world.write("clone/git", "#!/bin/sh\n");
    let commit = commit(&world, &enemy);
    world.git(&["clone", "--quiet", "clone", "victim"]);

    // The traps are live: Git's own search takes the plain files for a repository, and runs what they name.
    world.sh("cd victim/desired-state && touch week.yaml && git status >&2; git diff >&2; true").expect_code(0);
    assert!(!traps.rearm().is_empty(), "the fixture catches nobody");

    let path = std::env::var("PATH").unwrap_or_default();
    world.env("PATH", &format!("victim:.::{path}"));
    let [worktree, head] = read_all(&mut world, "victim/desired-state");
    assert_eq!(traps.sprung(), Vec::<String>::new());
    assert_eq!(told(&worktree), (&*commit, "Noor Team", "clean"));
    assert_eq!(told(&head), (&*commit, "Noor Team", "clean"));
    assert_eq!(world.sql("SELECT title FROM sessions"), "One\n");
    let named = world.path().canonicalize().unwrap().join("victim").display().to_string();
    for arguments in [["config"], ["status"]] {
        let output = world.run(&arguments).expect_code(0).stdout;
        let line = output.lines().find(|line| line.trim_start().starts_with("repository"));
        assert!(line.is_some_and(|line| line.contains(&named)), "{output}");
    }
}

#[test]
fn nothing_that_a_repositorys_configuration_names_is_run() {
    let (mut world, repository) = project();
    let traps = Traps::new();
    world.write("clone/.mailmap", MAILMAP);
    let commit = commit(&world, &repository);
    let git = world.path().join("clone/.git");
    // A second commit that stands in the place of the first one: `refs/replace`.
    world.git(&["-C", "clone", "commit", "--quiet", "--amend", "--message", "forged", "--author=Trusted Lead <l@e>"]);
    world.git(&["-C", "clone", "replace", &commit, "HEAD"]);
    world.git(&["-C", "clone", "update-ref", "HEAD", &commit]);
    arm(&world, &traps, &git, "");
    fs::write(git.join("info/attributes"), EVERY_FILE).unwrap();
    fs::write(git.join("info/grafts"), format!("{commit}\n")).unwrap();
    world.sh("touch clone/desired-state/week.yaml; cd clone; git status; git log -p; true");
    assert!(!traps.rearm().is_empty(), "the fixture catches nobody");

    let [worktree, head] = read_all(&mut world, "clone/desired-state");
    assert_eq!(traps.sprung(), Vec::<String>::new());
    assert!(!traps.dir().join("trace").exists());
    assert_eq!(told(&worktree), (&*commit, "Noor Team", "filtered: not compared"));
    assert_eq!(told(&head), (&*commit, "Noor Team", "clean"));
    let actors = world.sql("SELECT DISTINCT actor FROM reconcile_journal WHERE kind = 'session'");
    assert!(actors.starts_with("uncommitted ("), "{actors}");
}

#[test]
fn no_variable_and_no_configuration_of_the_user_counts() {
    let (mut world, repository) = project();
    let traps = Traps::new();
    let commit = commit(&world, &repository);
    world.write("other/desired-state/other.yaml", &sessions(&[(2, "Two")]));
    world.git(&["init", "--quiet", "other"]);
    self::commit(&world, "other");
    // The user's own configuration, in the home directory of the project's user.
    world.write("home/.gitconfig", "");
    arm(&world, &traps, &world.path().join("home"), "home-");
    fs::copy(world.path().join("home/config"), world.path().join("home/.gitconfig")).unwrap();
    world.write("home/.config/git/attributes", EVERY_FILE);
    let other = |path: &str| world.path().join("other").join(path).display().to_string();
    let (git, index, objects, tree) = (other(".git"), other(".git/index"), other(".git/objects"), other(""));
    let config = world.path().join("home/.gitconfig").display().to_string();
    let home = world.path().join("home").display().to_string();
    let traced = traps.dir().join("traced").display().to_string();
    let exec = traps.dir().join("exec");
    fs::create_dir_all(&exec).unwrap();
    for verb in ["rev-parse", "rev-list", "ls-tree", "cat-file", "check-attr", "config", "status", "log"] {
        fs::copy(traps.set(&format!("exec-{verb}")), exec.join(format!("git-{verb}"))).unwrap();
    }
    let programs =
        ["GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_PAGER", "GIT_EDITOR", "GIT_ASKPASS", "GIT_PROXY_COMMAND"];
    for variable in programs {
        let program = traps.set(variable);
        world.env(variable, &program);
    }
    let monitor = format!("'core.fsmonitor={}'", traps.set("parameters"));
    let counted = traps.set("counted");
    for (variable, value) in [
        ("HOME", &*home),
        ("GIT_DIR", &git),
        ("GIT_WORK_TREE", &tree),
        ("GIT_COMMON_DIR", &git),
        ("GIT_INDEX_FILE", &index),
        ("GIT_OBJECT_DIRECTORY", &objects),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", &objects),
        ("GIT_NAMESPACE", "other"),
        ("GIT_CEILING_DIRECTORIES", "/"),
        ("GIT_ATTR_SOURCE", "HEAD"),
        ("GIT_EXEC_PATH", exec.to_str().unwrap()),
        ("GIT_TRACE", &traced),
        ("GIT_TRACE2_EVENT", &traced),
        ("GIT_CONFIG", &config),
        ("GIT_CONFIG_GLOBAL", &config),
        ("GIT_CONFIG_SYSTEM", &config),
        ("GIT_CONFIG_NOSYSTEM", "0"),
        ("GIT_CONFIG_PARAMETERS", &monitor),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
        ("GIT_CONFIG_VALUE_0", &counted),
    ] {
        world.env(variable, value);
    }
    let [worktree, head] = read_all(&mut world, "clone/desired-state");
    assert_eq!(traps.sprung(), Vec::<String>::new());
    assert!(!Path::new(&traced).exists());
    assert_eq!(told(&worktree), (&*commit, "Noor Team", "clean"));
    assert_eq!(told(&head), (&*commit, "Noor Team", "clean"));
}

/// A file of the commit is missing, and the only way to it is a program.
#[test]
fn what_a_partial_clone_lacks_is_not_fetched() {
    let (mut world, repository) = project();
    let traps = Traps::new();
    commit(&world, &repository);
    world.git(&["-C", "clone", "config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", world.path().join("clone").display());
    world.git(&["clone", "--quiet", "--no-checkout", "--filter=blob:none", &url, "partial"]);
    let git = world.path().join("partial/.git");
    world.git(&["-C", "partial", "remote", "remove", "origin"]);
    arm(&world, &traps, &git, "");
    world.env("RECONCILE_STATE", "partial/desired-state").env("RECONCILE_SOURCE", "head");
    for arguments in [["validate"], ["--plan"], ["--once"]] {
        let output = world.run(&arguments).expect_code(1);
        assert_eq!(
            output.stderr.matches("the commit's files are not here (partial clone)").count(),
            1,
            "{}",
            output.text()
        );
    }
    assert_eq!(traps.sprung(), Vec::<String>::new());
}

/// Who may be believed is Git's to judge, and the user's, and nobody else's. Only root can give a repository to another
/// user; elsewhere the tests of what Git's complaint means stand for this.
#[test]
fn a_repository_of_another_user_wants_safe_directory() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let (mut world, repository) = project();
    let traps = Traps::new();
    let commit = commit(&world, &repository);
    world.sh("chown -R 12345 clone").expect_code(0);
    let clone = world.path().canonicalize().unwrap().join("clone").display().to_string();
    world.env("RECONCILE_STATE", "clone/desired-state").env("RECONCILE_INTERVAL", "1s");
    let of = |output: &str| output.matches("belongs to another user").count();
    let hint = format!("git config --system --add safe.directory '{clone}'");

    world.env("RECONCILE_SOURCE", "head");
    let refused = world.run(&["--once"]).expect_code(1);
    assert!(of(&refused.stderr) == 1 && refused.stderr.contains(&hint), "{}", refused.text());
    world.env("RECONCILE_SOURCE", "worktree");
    let unknown = world.run(&["validate"]).expect_code(0);
    assert!(of(&unknown.stderr) == 1 && unknown.stderr.contains(&hint), "{}", unknown.text());
    assert!(unknown.stdout.contains("no commit"), "{}", unknown.text());
    let mut daemon = world.spawn(&["-v"]);
    daemon.wait_for("watching ", LATE);
    crate::daemon::settle(LATE, &true, || crate::daemon::turns(&daemon) > 2);
    daemon.signal(Signal::TERM);
    let said = daemon.finish(LATE).expect_code(0).stderr;
    assert_eq!(of(&said), 1, "told once, and not at each turn: {said}");

    // As containers say it, as a service manager does, and as a person does; with more beside it that does not count.
    let file = |name: &str| world.path().join(name).display().to_string();
    let (global, home) = (file("global"), file("home"));
    world.write("global", &format!("[core]\n\tfsmonitor = {}\n[safe]\n\tdirectory = {clone}\n", traps.set("global")));
    fs::create_dir(&home).unwrap();
    fs::copy(&global, Path::new(&home).join(".gitconfig")).unwrap();
    world.write("none", "");
    let monitor = traps.set("counted");
    for variables in [
        vec![("GIT_CONFIG_GLOBAL", &*global)],
        vec![("GIT_CONFIG_GLOBAL", "none"), ("GIT_CONFIG_SYSTEM", &*global), ("GIT_CONFIG_NOSYSTEM", "0")],
        vec![
            ("GIT_CONFIG_SYSTEM", "none"),
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
            ("GIT_CONFIG_VALUE_0", &*monitor),
            ("GIT_CONFIG_KEY_1", "safe.directory"),
            ("GIT_CONFIG_VALUE_1", "*"),
        ],
    ] {
        for (name, value) in &variables {
            world.env(name, value);
        }
        let [worktree, head] = read_all(&mut world, "clone/desired-state");
        assert_eq!(told(&worktree), (&*commit, "Noor Team", "clean"), "{variables:?}");
        assert_eq!(told(&head), (&*commit, "Noor Team", "clean"), "{variables:?}");
    }
    assert_eq!(traps.sprung(), Vec::<String>::new());
    // The repository's own word for itself is none.
    world.env("GIT_CONFIG_COUNT", "0");
    world.write("clone/.git/config", &format!("[safe]\n\tdirectory = {clone}\n{}", world.read("clone/.git/config")));
    world.env("RECONCILE_SOURCE", "head").run(&["validate"]).expect_code(1);
}

/// Checkouts as others make them: each is read, by its own commit.
#[test]
fn every_usual_checkout_is_read() {
    let (mut world, repository) = project();
    let commit = commit(&world, &repository);
    let url = format!("file://{}", world.path().join("clone").display());
    for line in [
        "git -C clone worktree add -q --detach ../linked",
        // As git-sync lays it out: a link to a checkout with a `.git` file.
        "git clone -q --bare clone sync && git -C sync worktree add -q --detach ../sync/.worktrees/A && ln -s .worktrees/A sync/link",
        "git clone -q --separate-git-dir separate.git clone separate",
        "git init -q super && git -C super -c protocol.file.allow=always submodule --quiet add URL module",
        "git clone -q --depth 1 URL shallow",
        "git clone -q --ref-format=reftable clone reftable",
    ] {
        world.sh(&line.replace("URL", &url)).expect_code(0);
    }
    for checkout in ["linked", "sync/link", "separate", "super/module", "shallow", "reftable"] {
        let state = format!("{checkout}/desired-state");
        for source in ["worktree", "head"] {
            world.env("RECONCILE_STATE", &state).env("RECONCILE_SOURCE", source);
            let valid = world.run(&["validate"]).expect_code(0);
            let wanted = format!("@ {} (clean)", &commit[..7]);
            assert!(
                valid.stdout.contains(&wanted) && valid.stderr.is_empty(),
                "{checkout}, {source}: {}",
                valid.text()
            );
        }
    }
}

/// Another file system begins below the repository: said as what it is.
#[test]
fn a_mount_point_is_named() {
    let (mut world, repository) = project();
    commit(&world, &repository);
    world.env("RECONCILE_STATE", "clone/desired-state").env("RECONCILE_SOURCE", "head");
    let mount = "mount -t tmpfs tmpfs clone/desired-state && mkdir clone/desired-state/x && reconcile validate";
    let line = format!("{} sh -c '{mount}'", crate::fixture::own_mounts().join(" "));
    let output = world.sh(&line).expect_code(1);
    assert!(
        output.stderr.contains("is on another file system than the Git repository")
            && output.stderr.contains("mount the whole of"),
        "{}",
        output.text()
    );
}

#[test]
fn a_missing_git_is_named_where_there_is_a_repository() {
    let (mut world, repository) = project();
    commit(&world, &repository);
    let beside: PathBuf = env!("CARGO_BIN_EXE_reconcile").into();
    world.env("RECONCILE_STATE", "clone/desired-state").env("RECONCILE_SOURCE", "head");
    // `setpriv`, by which the program is started, is found in another directory than `git`.
    let run = |world: &crate::fixture::Sandbox| world.sh(&format!("PATH=/nowhere {} validate", beside.display()));
    let missing = run(&world).expect_code(1);
    assert!(missing.stderr.contains("the `git` program was not found"), "{}", missing.text());
    let unknown = run(world.env("RECONCILE_SOURCE", "worktree")).expect_code(0);
    assert!(unknown.stderr.contains("the `git` program was not found"), "{}", unknown.text());
}
