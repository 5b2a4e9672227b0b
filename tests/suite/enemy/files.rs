//! Files that somebody else has put there: in the working directory, in the data directory, where a plan is saved.

mod data_directory;
mod project;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::fixture::Sandbox;
use crate::fixture::process::Output;

const WEEK: &str = "sessions: [{id: 215, title: Surah Al-Fatiha}]\nhosts: [{session: 215}]\n";
const INSTANCE: &str = "fbaa8c92-0000-4000-8000-000000000001";
const DIGEST: &str = "0123456789abcdef0123456789abcdef";
pub(super) const DATABASE: &str = ".reconcile/KSESSIONS_DEV.db";

/// Commands that want a database which is there.
pub(super) const WANT_A_DATABASE: &[&[&str]] = &[
    &["host", "rotate", "--session-id", "215"],
    &["host", "claim", "215"],
    &["host", "verify", "--session-id", "215"],
    &["host", "revoke", "--session-id", "215"],
    &["host", "consolidate"],
    &["instance", "provision", INSTANCE],
    &["instance", "retry", INSTANCE],
    &["instance", "forget", INSTANCE, "--name", "acme"],
    &["instance", "claim", INSTANCE],
    &["approve", DIGEST, "--reason", "x"],
    &["status"],
    &["history"],
    &["suspend", "--reason", "x"],
    &["resume", "--reason", "x"],
    &["token", "create", "--name", "x", "--scope", "read"],
    &["token", "list"],
    &["token", "revoke", "x", "--reason", "x"],
    &["migrate", "--restamp", "--reason", "x"],
];
/// Others that use one.
pub(super) const USE_A_DATABASE: &[&[&str]] = &[
    &["--plan"],
    &["--plan", "--out", "saved.plan"],
    &["--once"],
    &["explain", "session/215"],
    &["host", "create", "--session-id", "215", "--dry-run"],
    &["host", "create", "--session-id", "215"],
    &["migrate"],
    &["doctor"],
    // The daemon.
    &[],
];
pub(super) const USE_NONE: &[&[&str]] =
    &[&["validate"], &["config"], &["schema"], &["alerts"], &["completions", "bash"], &["--apply", "saved.plan"]];

/// What an enemy has done, and how.
type Trap = (&'static str, fn(&Enemy));

/// A user's project, and beside it what is none of its business.
pub(super) struct Enemy {
    pub(super) project: Sandbox,
    pub(super) outside: TempDir,
}

impl Enemy {
    fn new() -> Self {
        let (mut project, outside) = (Sandbox::new(), TempDir::new().unwrap());
        project.limit(Duration::from_secs(20));
        project.env("RECONCILE_HTTP_LISTEN", "off");
        project.write("desired-state/week.yaml", WEEK);
        fs::write(outside.path().join("victim"), "precious").unwrap();
        fs::create_dir(outside.path().join("directory")).unwrap();
        Self { project, outside }
    }

    /// One whose data directory is in use.
    pub(super) fn deployed() -> Self {
        let enemy = Self::new();
        enemy.project.run(&["--once"]).expect_code(0);
        enemy
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.project.path().join(path)
    }

    pub(super) fn victim(&self) -> PathBuf {
        self.outside.path().join("victim")
    }

    pub(super) fn link(&self, path: &str, to: impl AsRef<Path>) {
        self.away(path);
        symlink(to, self.at(path)).unwrap();
    }

    pub(super) fn pipe(&self, path: &str) {
        self.away(path);
        mknodat(CWD, self.at(path), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    pub(super) fn away(&self, path: &str) {
        let path = self.at(path);
        match fs::symlink_metadata(&path) {
            Ok(facts) if facts.is_dir() => fs::remove_dir_all(&path).unwrap(),
            Ok(_) => fs::remove_file(&path).unwrap(),
            Err(_) => {}
        }
    }

    /// All that is outside: names, and what files hold.
    pub(super) fn outside(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.outside.path().to_owned()];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            found.insert(path.clone(), if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() });
        }
        found
    }

    /// Runs each of these commands; gives how it ended. The daemon is told to end, should it not refuse.
    pub(super) fn run_all(&self, commands: &[&[&'static str]]) -> Vec<(String, Output)> {
        let run = |command: &&[&str]| {
            let output = match command.is_empty() {
                true => self.daemon(),
                false => self.project.run_with(command, "cf1ff371-3b2a-4b0e-8a65-0b8a0f6c27b1\n"),
            };
            assert!(!matches!(output.code, 101 | 124 | 134..=143), "{command:?}: {}", output.text());
            (command.join(" "), output)
        };
        commands.iter().map(run).collect()
    }

    fn daemon(&self) -> Output {
        let beside = self.at("daemon.sh");
        fs::write(&beside, "timeout -s TERM 3 reconcile\n").unwrap();
        let output = self.project.sh("sh daemon.sh; code=$?; test $code = 124 && exit 0; exit $code");
        fs::remove_file(beside).unwrap();
        output
    }

    /// That every command that uses the database is refused by the guard, naming the file, and leaves alone what is
    /// outside.
    #[track_caller]
    fn refused(&self, trap: &str, named: &str) {
        let before = self.outside();
        let all = [WANT_A_DATABASE, USE_A_DATABASE].concat();
        for (command, output) in self.run_all(&all) {
            assert_eq!(output.code, 3, "{trap}, {command}: {}", output.text());
            assert!(says(&output, named), "{trap}, {command}: {}", output.text());
        }
        self.run_all(USE_NONE);
        assert!(self.outside() == before, "{trap}: something outside was written");
    }

    /// That no command hangs, or writes outside.
    #[track_caller]
    fn harmless(&self, trap: &str) {
        let before = self.outside();
        self.run_all(&[WANT_A_DATABASE, USE_A_DATABASE, USE_NONE].concat());
        assert!(self.outside() == before, "{trap}: something outside was written");
    }
}

/// Whether all of `text` is told, in a box or out of it, wherever its lines end.
fn says(output: &Output, text: &str) -> bool {
    let plain =
        |text: &str| -> String { text.chars().filter(|letter| !letter.is_whitespace() && *letter != '│').collect() };
    plain(&output.text()).contains(&plain(text))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
