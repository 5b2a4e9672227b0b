//! Harm in the long form: a project whose files an enemy has spoilt at random, and whatever command comes to it.
//!
//! What holds of any: nothing that only the enemy has named is run, nothing outside is written, nothing hangs, nothing
//! crashes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fastrand::Rng;

use super::files::{DATABASE, Enemy, USE_A_DATABASE, USE_NONE, WANT_A_DATABASE};
use super::traps::{Traps, arm};
use crate::fixture::harm::Harm;

/// Rounds among all the other tests.
const FEW: u32 = 16;
/// What is spoilt in one round, at most; and how many commands come to it.
const SPOILT: usize = 3;
const COMMANDS: usize = 3;

/// What an enemy can get at, of a project that is in use.
const PLACES: &[&str] = &[
    ".reconcile",
    ".reconcile/.gitignore",
    ".reconcile/environment",
    ".reconcile/host.key",
    ".reconcile/handoff",
    DATABASE,
    ".reconcile/KSESSIONS_DEV.db-bell",
    ".reconcile/KSESSIONS_DEV.db-journal",
    ".reconcile/KSESSIONS_DEV.db-shm",
    ".reconcile/KSESSIONS_DEV.db-wal",
    "reconcile.toml",
    "saved.plan",
    "desired-state",
    "desired-state/week.yaml",
    "desired-state/other.yaml",
    "desired-state/.git",
    ".git",
    ".git/HEAD",
    ".git/config",
    ".git/index",
    ".git/packed-refs",
    ".git/refs/heads/main",
    ".git/objects",
    ".git/info/attributes",
    ".git/info/grafts",
    ".git/objects/info/alternates",
    ".git/commondir",
    ".git/shallow",
];

/// What he does there, and how.
type Act = (&'static str, fn(&Enemy, &str, &mut Rng));

const ACTS: &[Act] = &[
    ("a link to a file outside", |enemy, place, _| enemy.link(place, enemy.victim())),
    ("a link to a directory outside", |enemy, place, _| enemy.link(place, enemy.outside.path().join("directory"))),
    ("a link that leads nowhere", |enemy, place, _| enemy.link(place, enemy.outside.path().join("none"))),
    ("a link to itself", |enemy, place, _| enemy.link(place, enemy.at(place))),
    ("a second name of a file outside", |enemy, place, _| {
        enemy.away(place);
        fs::hard_link(enemy.victim(), enemy.at(place)).unwrap();
    }),
    ("a pipe", |enemy, place, _| enemy.pipe(place)),
    ("a directory", |enemy, place, _| {
        enemy.away(place);
        fs::create_dir(enemy.at(place)).unwrap();
    }),
    ("nothing", |enemy, place, _| enemy.away(place)),
    ("an empty file", |enemy, place, _| put(enemy, place, b"")),
    ("three gigabytes of nothing", |enemy, place, _| {
        put(enemy, place, b"");
        File::create(enemy.at(place)).unwrap().set_len(3 << 30).unwrap();
    }),
    ("noise", |enemy, place, dice| {
        let noise: Vec<u8> = (0..dice.usize(1..4096)).map(|_| dice.u8(..)).collect();
        put(enemy, place, &noise);
    }),
    ("half of it, and noise", |enemy, place, dice| {
        if is_file(enemy, place) {
            let whole = fs::read(enemy.at(place)).unwrap();
            put(enemy, place, &[&whole[..whole.len() / 2], &[dice.u8(..), dice.u8(..)][..]].concat());
        }
    }),
    ("a byte that was another", |enemy, place, dice| {
        if is_file(enemy, place) {
            let mut whole = fs::read(enemy.at(place)).unwrap();
            if !whole.is_empty() {
                let at = dice.usize(..whole.len());
                whole[at] ^= 1 << dice.u8(..8);
                put(enemy, place, &whole);
            }
        }
    }),
    ("another line", |enemy, place, _| {
        if is_file(enemy, place) {
            let mut file = OpenOptions::new().append(true).open(enemy.at(place)).unwrap();
            file.write_all(b"\n# another line\n").unwrap();
        }
    }),
    ("rights for everybody", |enemy, place, _| rights(enemy, place, 0o777)),
    ("rights for nobody", |enemy, place, _| rights(enemy, place, 0)),
];

fn put(enemy: &Enemy, place: &str, bytes: &[u8]) {
    enemy.away(place);
    fs::write(enemy.at(place), bytes).unwrap();
}

fn is_file(enemy: &Enemy, place: &str) -> bool {
    enemy.at(place).symlink_metadata().is_ok_and(|facts| facts.is_file())
}

fn is_within(enemy: &Enemy, directory: &Path) -> bool {
    directory.canonicalize().is_ok_and(|real| real.is_dir() && real.starts_with(enemy.project.path()))
}

fn rights(enemy: &Enemy, place: &str, mode: u32) {
    if enemy.at(place).symlink_metadata().is_ok_and(|facts| !facts.is_symlink()) {
        fs::set_permissions(enemy.at(place), Permissions::from_mode(mode)).unwrap();
    }
}

/// A project in use, with a plan that was saved, in a repository that names a program wherever one can be named.
fn prepared(traps: &Traps) -> Enemy {
    let enemy = Enemy::deployed();
    let project = &enemy.project;
    project.git_init();
    project.commit("The week");
    project.run(&["--plan", "--out", "saved.plan"]).expect_code(0);
    arm(project, traps, &enemy.at(".git"), "");
    enemy
}

#[test]
fn whatever_an_enemy_prepares_runs_nothing_and_writes_nothing_outside() {
    let mut harm = Harm::of("an enemy prepares files", FEW);
    let mut dice = harm.dice();
    let commands = [WANT_A_DATABASE, USE_A_DATABASE, USE_NONE].concat();
    let commands: Vec<_> = commands.into_iter().filter(|command| !command.is_empty()).collect();
    while harm.again() {
        let traps = Traps::new();
        let mut enemy = prepared(&traps);
        let mut done = Vec::new();
        for _ in 0..dice.usize(1..=SPOILT) {
            let (place, (what, act)) = (PLACES[dice.usize(..PLACES.len())], ACTS[dice.usize(..ACTS.len())]);
            // What has become a link or a pipe holds nothing of the project any more.
            if enemy.at(place).parent().is_some_and(|above| is_within(&enemy, above)) {
                act(&enemy, place, &mut dice);
                done.push(format!("{place}: {what}"));
            }
        }
        let before = enemy.outside();
        let asked: Vec<_> = (0..COMMANDS).map(|_| commands[dice.usize(..commands.len())]).collect();
        let source = ["worktree", "head"][dice.usize(..2)];
        enemy.project.env("RECONCILE_SOURCE", source);
        println!("seed {}, round {}: {done:?}; {source}: {asked:?}", harm.seed(), harm.rounds);
        for (command, output) in enemy.run_all(&asked) {
            assert!(!output.text().contains("panicked"), "{done:?}, {command}: {}", output.text());
        }
        assert_eq!(traps.sprung(), Vec::<String>::new(), "{done:?}, {asked:?}: what an enemy named was run");
        assert!(enemy.outside() == before, "{done:?}, {asked:?}: something outside was written");
    }
}
