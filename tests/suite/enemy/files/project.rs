//! A working directory that an enemy has prepared, and what one is asked to write to.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown, symlink};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::{DATABASE, Enemy, Trap, USE_A_DATABASE, WANT_A_DATABASE, is_root, says};
use crate::fixture::Sandbox;

#[test]
fn a_working_directory_leads_nowhere_and_holds_nothing_up() {
    let traps: [Trap; 9] = [
        ("the configuration is a pipe", |enemy| enemy.pipe("reconcile.toml")),
        ("the configuration is a link to a pipe", |enemy| {
            enemy.pipe("pipe");
            enemy.link("reconcile.toml", "pipe");
        }),
        ("the configuration has no end", |enemy| {
            fs::File::create(enemy.at("reconcile.toml")).unwrap().set_len(1 << 40).unwrap();
        }),
        ("a state file is a pipe", |enemy| enemy.pipe("desired-state/more.yaml")),
        ("a state file is a link out", |enemy| enemy.link("desired-state/more.yaml", enemy.victim())),
        ("the state is a pipe", |enemy| enemy.pipe("desired-state")),
        ("the saved plan is a pipe", |enemy| enemy.pipe("saved.plan")),
        ("the saved plan is another's file", |enemy| enemy.link("saved.plan", enemy.victim())),
        ("the secrets' files are pipes", |enemy| {
            enemy.pipe("pipe");
            let files = "[redis]\nurl_file = \"pipe\"\n[host]\nkeys_file = \"pipe\"\n[client]\ntoken_file = \"pipe\"\n";
            enemy.project.write("reconcile.toml", files);
        }),
    ];
    for (trap, prepare) in traps {
        let enemy = Enemy::new();
        prepare(&enemy);
        enemy.harmless(trap);
    }
}

#[test]
fn a_configuration_that_others_can_write_is_not_obeyed() {
    let enemy = Enemy::new();
    enemy.project.write("reconcile.toml", "interval = \"30s\"\n");
    enemy.project.run(&["config"]).expect_code(0);
    fs::set_permissions(enemy.at("reconcile.toml"), Permissions::from_mode(0o666)).unwrap();
    for command in [&["config"][..], &["--once"], &["validate"], &["--config", "reconcile.toml", "config"]] {
        let output = enemy.project.run(command).expect_code(3);
        assert!(says(&output, "chmod go-w"), "{}", output.text());
    }
    if is_root() {
        fs::set_permissions(enemy.at("reconcile.toml"), Permissions::from_mode(0o600)).unwrap();
        chown(enemy.at("reconcile.toml"), Some(1001), None).unwrap();
        let output = enemy.project.run(&["config"]).expect_code(3);
        assert!(says(&output, "belongs to another user"), "{}", output.text());
    }
    let missing = enemy.project.run(&["--config", "none.toml", "config"]).expect_code(1);
    assert!(says(&missing, "none.toml: the configuration file cannot be read: No such file"), "{}", missing.text());
    assert!(!enemy.at(".reconcile").exists());
}

#[test]
fn a_configuration_that_is_found_names_no_production() {
    let enemy = Enemy::new();
    let url = format!("sqlite:{}/KSESSIONS.db", enemy.project.path().display());
    enemy.project.write("reconcile.toml", &format!("environment = \"production\"\n[database]\nurl = \"{url}\"\n"));
    for (command, output) in enemy.run_all(&[WANT_A_DATABASE, USE_A_DATABASE].concat()) {
        assert_eq!(output.code, 3, "{command}: {}", output.text());
        assert!(says(&output, "--environment production"), "{command}: {}", output.text());
    }
    assert!(!enemy.at("KSESSIONS.db").exists());
    enemy.project.run(&["migrate", "--environment", "production"]).expect_code(0);
    enemy.project.run(&["migrate", "--config", "reconcile.toml"]).expect_code(0);
}

#[test]
fn only_what_says_so_makes_a_database() {
    let enemy = Enemy::new();
    let before = enemy.project.snapshot_files();
    for (command, output) in enemy.run_all(WANT_A_DATABASE) {
        assert_eq!(output.code, 1, "{command}: {}", output.text());
        for told in ["KSESSIONS_DEV.db", "reconcile migrate"] {
            assert!(output.stderr.contains(told), "{command}: {}", output.text());
        }
        assert!(enemy.project.snapshot_files() == before, "{command} made something");
    }
    for command in [&["--plan"][..], &["explain", "session/215"], &["validate"], &["config"], &["doctor"]] {
        enemy.project.run(command).expect_code(0);
        assert!(enemy.project.snapshot_files() == before, "{command:?} made something");
    }
    for command in [&["migrate"][..], &["--once"], &[]] {
        let enemy = Enemy::new();
        enemy.run_all(&[command]);
        assert!(enemy.at(DATABASE).is_file(), "{command:?}");
    }
}

#[test]
fn a_daemon_that_wants_a_token_says_how_to_make_one() {
    let mut enemy = Enemy::new();
    enemy.project.env("RECONCILE_HTTP_LISTEN", "0.0.0.0:0").env("RECONCILE_HTTP_INSECURE", "true");
    let output = enemy.project.run(&[]).expect_code(1);
    let migrate = output.stderr.find("reconcile migrate");
    assert!(migrate.is_some_and(|at| output.stderr[at..].contains("token create")), "{}", output.text());
    assert!(!enemy.at(".reconcile").exists());
}

#[test]
fn a_plan_is_saved_where_nothing_is_lost() {
    let enemy = Enemy::deployed();
    let to = |path: &str| enemy.project.run(&["--plan", "--out", path]);
    to("new.plan").expect_code(0);
    to("new.plan").expect_code(0);
    enemy.link("link.plan", "new.plan");
    to("link.plan").expect_code(0);
    enemy.project.run(&["--apply", "link.plan"]).expect_code(0);
    let before = enemy.project.snapshot_files();
    for kept in [DATABASE, "desired-state/week.yaml", ".reconcile/host.key", ".reconcile/new.db", "desired-state"] {
        let output = to(kept).expect_code(1);
        assert!(output.stderr.contains(kept), "{}", output.text());
        assert!(enemy.project.snapshot_files() == before, "{kept}");
    }
    enemy.pipe("pipe");
    let output = to("pipe").expect_code(1);
    assert!(output.stderr.contains("nobody reads"), "{}", output.text());
    let piped = enemy.project.sh("cat pipe > piped & reconcile --plan --out pipe; wait").expect_code(0);
    assert!(enemy.project.read("piped").contains("\"plan_digest\""), "{}", piped.text());
    // The number of /dev/null, as a name of our own; only root makes one.
    let device = enemy.at("device");
    if mknodat(CWD, &device, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 3)).is_ok() {
        let output = to("device");
        let is_mounted_for_it = fs::OpenOptions::new().write(true).open(&device).is_ok();
        assert_eq!(output.code, if is_mounted_for_it { 0 } else { 1 }, "{}", output.text());
        assert!(fs::symlink_metadata(&device).unwrap().file_type().is_char_device());
    }
    let stdout = enemy.project.sh("reconcile --plan --out /dev/stdout | cat").expect_code(0);
    assert!(stdout.stdout.contains("\"plan_digest\""), "{}", stdout.text());
}

#[test]
fn a_scheme_that_is_none_makes_no_directory() {
    let enemy = Enemy::new();
    let before = enemy.project.snapshot_files();
    for url in [
        "sqlite3:dd/KSESSIONS_DEV.db",
        "jdbc:sqlite:dd/KSESSIONS_DEV.db",
        "jdbc:sqlite://dd/KSESSIONS_DEV.db",
        "sqlite+file:dd/KSESSIONS_DEV.db",
        "SQLITE3:dd/KSESSIONS_DEV.db",
        "sqlite3:///dd/KSESSIONS_DEV.db",
        " sqlite:dd/KSESSIONS_DEV.db",
        "sqlite :dd/KSESSIONS_DEV.db",
        "sqlite:sqlite:dd/KSESSIONS_DEV.db",
        "\u{feff}sqlite:dd/KSESSIONS_DEV.db",
        "\u{feff}dd/KSESSIONS_DEV.db",
        "sqlite:\u{feff}dd/KSESSIONS_DEV.db",
        "\u{200b}sqlite:dd/KSESSIONS_DEV.db",
        "sqlite: dd/KSESSIONS_DEV.db",
        "postgres:dd/KSESSIONS_DEV.db",
        "db:dd/KSESSIONS_DEV.db",
    ] {
        let output = enemy.project.run(&["--once", "--database", url]).expect_code(3);
        assert!(says(&output, "sqlite:PATH/CATALOG.db"), "{url:?}: {}", output.text());
        assert!(enemy.project.snapshot_files() == before, "{url:?} made something");
    }
    let output = enemy.project.run(&["--once", "--database", "sqlite3:dd/KSESSIONS_DEV.db"]);
    assert!(says(&output, "did you mean sqlite:?"), "{}", output.text());
}

#[test]
fn secrets_are_read_as_platforms_hand_them_over() {
    let enemy = Enemy::new();
    let key = "0123456789abcdef0123456789abcdef";
    let explain = |project: &Sandbox| project.run(&["doctor"]).stdout;
    let id = |text: &str| text.lines().find(|line| line.contains("host key")).map(str::to_owned);
    let mut project = enemy.project;
    project.run(&["migrate"]).expect_code(0);
    project.env("RECONCILE_HOST_KEYS_FILE", "..data/key");
    // Links into a directory that is exchanged as a whole.
    fs::create_dir(project.path().join("..2026")).unwrap();
    symlink("..2026", project.path().join("..data")).unwrap();
    let file = project.path().join("..2026/key");
    let mut seen = Vec::new();
    for text in [key.to_owned(), format!("{key}\n"), format!("\u{feff}{key}\r\n")] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
        let told = explain(&project);
        seen.push(id(&told).unwrap_or_else(|| panic!("{told}")).split_whitespace().last().unwrap().to_owned());
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "one key: {seen:?}");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let refused = explain(&project);
    assert!(refused.contains("FAIL"), "{refused}");
    // What systemd hands over: root's, with the right given by an access list.
    fs::set_permissions(&file, Permissions::from_mode(0o440)).unwrap();
    let credentials = project.path().display().to_string();
    project.env("CREDENTIALS_DIRECTORY", &credentials);
    let key_file = file.display().to_string();
    project.env("RECONCILE_HOST_KEYS_FILE", &key_file);
    let told = explain(&project);
    assert_eq!(is_root(), !told.contains("FAIL"), "it is root's where we are root: {told}");
}

/// Only root can be another user; elsewhere the tests of `file` itself show the same.
#[test]
fn a_service_user_reads_what_kubernetes_hands_over() {
    let (user, group) = (65_534, 2000);
    let enemy = Enemy::new();
    if !is_root() {
        return;
    }
    enemy.project.write("secret/key", "0123456789abcdef0123456789abcdef\n");
    let key = enemy.at("secret/key");
    chown(enemy.project.path(), Some(user), Some(user)).unwrap();
    let doctor = |mode, owner| {
        chown(&key, Some(owner), Some(group)).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let user = format!("setpriv --reuid {user} --regid {user} --groups {group}");
        enemy
            .project
            .sh(&format!("{user} reconcile migrate -q; RECONCILE_HOST_KEYS_FILE=secret/key {user} reconcile doctor"))
    };
    for (mode, owner) in [(0o440, 0), (0o640, 0), (0o400, user)] {
        let told = doctor(mode, owner).expect_code(0);
        assert!(told.stdout.contains("host key"), "{}", told.text());
    }
    for (mode, owner) in [(0o444, 0), (0o644, 0), (0o440, user), (0o440, 1001)] {
        let told = doctor(mode, owner).expect_code(1);
        assert!(told.stdout.contains("FAIL  host key"), "{}", told.text());
    }
    let told = doctor(0o644, 0);
    assert!(says(&told, "in Kubernetes: fsGroup with defaultMode: 0440"), "{}", told.text());
}
