//! The README is a page too: what its tour shows is what is printed, in a clone of this repository.
//!
//! It shows real times, GUIDs and commits, so both sides are made general before they are compared.
//! `UPDATE_SCENARIOS=1 tests/run readme` writes what is printed into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reconcile::config;
use reconcile::desired::revision;

use super::page::{self, Block, Page, Step};
use super::{matcher, take, updating};
use crate::fixture::{Database, World};

fn readme() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).expect("read the README");
    (path, text)
}

/// A clone, with what the repository commits as its example.
fn clone() -> World {
    let world = World::on(Database::Sqlite);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("desired-state");
    for entry in fs::read_dir(example).expect("list the example") {
        let path = entry.expect("list the example").path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        world.write(&format!("desired-state/{name}"), &fs::read_to_string(&path).unwrap());
    }
    world.git_init();
    world.commit("The teaching week");
    world
}

#[test]
fn the_tour_is_true() {
    let (path, text) = readme();
    let page = Page::parse(&text).unwrap_or_else(|why| panic!("README.md:{why}"));
    let mut world = clone();
    let mut answers = Vec::new();
    for block in &page.blocks {
        match block {
            Block::File { path, content } => world.write(path, content),
            Block::Console(steps) => answers.extend(steps.iter().map(|step| anybody(take(&mut world, step)))),
        }
    }
    let steps = page.blocks.iter().flat_map(Block::steps);
    let wrong: Vec<(&Step, &Vec<String>)> =
        steps.zip(&answers).filter(|(step, answer)| general(&step.expected) != general(answer)).collect();
    if updating() {
        fs::write(&path, page::rewritten(&text, &wrong, str::to_owned)).expect("write the README");
        return;
    }
    let report = |(step, answer): &(&Step, &Vec<String>)| {
        let difference = matcher::difference(&general(&step.expected), &general(answer));
        format!("README.md:{}: $ {}\n{difference}", step.line, step.command)
    };
    let reports: Vec<String> = wrong.iter().map(report).collect();
    assert!(reports.is_empty(), "not what the README shows (- shown, + printed):\n{}", reports.join("\n"));
}

/// The tour of instances, from its servers to the worker's last word, as it is typed.
#[test]
fn the_tour_of_instances_is_true_with_postgres_and_redis() {
    let (path, text) = readme();
    let page = Page::parse_in(&text, "shell-session").unwrap_or_else(|why| panic!("README.md:{why}"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = tempfile::tempdir().expect("make a directory");
    let playground = home.path().join("playground");
    let program = env!("CARGO_BIN_EXE_reconcile");
    let down = || {
        let mut down = Command::new(root.join("tests/playground"));
        down.arg("down").arg(&playground).output().expect("stop the playground")
    };
    // At first two tasks at once, then a third.
    let (mut inside, mut served) = (false, 1);
    let mut answers = Vec::new();
    for step in page.blocks.iter().flat_map(Block::steps) {
        if step.command.starts_with("cd ") {
            inside = step.command == "cd playground";
            answers.push(Vec::new());
            continue;
        }
        let command = match step.command.strip_prefix("tests/playground") {
            Some(what) => format!("{}/tests/playground{what} {}", root.display(), playground.display()),
            None => step.command.clone(),
        };
        // A reader waits five seconds; a machine that is busy waits until the worker is done.
        let command = match command.strip_prefix("sleep 5; ") {
            Some(rest) => {
                served += 1;
                let done = format!("[ $(grep -c succeeded servers/worker/log) -ge {served} ]");
                format!("for _ in $(seq 300); do {done} && break; sleep 0.1; done; {rest}")
            }
            None => command,
        };
        let script = format!("reconcile() {{ {program} \"$@\"; }}\n{command}");
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(script).current_dir(if inside { &playground } else { home.path() });
        let done = shell.stderr(Stdio::null()).env("NO_COLOR", "1").output().expect("run a step");
        let printed = String::from_utf8(done.stdout).expect("text");
        answers.push(anybody(printed.trim_end().lines().map(str::to_owned).collect()));
        if !done.status.success() {
            down();
            panic!("README.md:{}: $ {} failed: {printed}", step.line, step.command);
        }
    }
    let steps = page.blocks.iter().flat_map(Block::steps);
    let kept = |step: &Step| step.command.starts_with("tests/playground");
    let local = |lines: &[String]| general(lines).iter().map(|line| without_ports(line)).collect::<Vec<_>>();
    let wrong: Vec<(&Step, &Vec<String>)> = steps
        .zip(&answers)
        .filter(|(step, answer)| !kept(step) && words(&local(&step.expected)) != words(&local(answer)))
        .collect();
    if playground.exists() {
        down();
    }
    if updating() {
        fs::write(&path, page::rewritten(&text, &wrong, str::to_owned)).expect("write the README");
        return;
    }
    let report = |(step, answer): &(&Step, &Vec<String>)| {
        let difference = matcher::difference(&local(&step.expected), &local(answer));
        format!("README.md:{}: $ {}\n{difference}", step.line, step.command)
    };
    let reports: Vec<String> = wrong.iter().map(report).collect();
    assert!(reports.is_empty(), "not what the README shows (- shown, + printed):\n{}", reports.join("\n"));
}

/// The words alone: another user's name may break lines at other places.
fn words(lines: &[String]) -> Vec<String> {
    lines.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect()
}

/// The servers listen on ports that are free; and outside of this repository there is no commit.
fn without_ports(line: &str) -> String {
    let line = match line.split_once(" @ ") {
        Some((before, _)) => before,
        None => line,
    };
    match line.split_once("port ") {
        Some((before, rest)) => {
            format!("{before}port{}", rest.trim_start_matches(|letter: char| letter.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}

/// Whoever runs the tests, the README shows the same person.
fn anybody(lines: Vec<String>) -> Vec<String> {
    let user = revision::user();
    let known = [(format!("({user})"), "(noor)"), (format!("by {user} "), "by noor ")];
    let renamed = |line: String| known.iter().fold(line, |line, (name, shown)| line.replace(name, shown));
    lines.into_iter().map(renamed).collect()
}

fn general(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| matcher::generalised(line)).collect()
}

#[test]
fn the_settings_are_those_of_the_program() {
    let (path, text) = readme();
    let table = config::markdown();
    if updating() {
        let begin = text.find("| setting |").expect("the README has the table of settings");
        let length = text[begin..].find("\n\n").expect("something follows the table") + 1;
        fs::write(path, format!("{}{table}{}", &text[..begin], &text[begin + length..])).expect("write the README");
        return;
    }
    assert!(text.contains(&table), "the README's table of settings should be:\n{table}");
}

#[test]
fn every_word_after_reconcile_is_a_command() {
    let (_, text) = readme();
    let help = World::on(Database::Sqlite).run(&["--help"]).expect_code(0).stdout;
    let verbs = help.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let verbs: Vec<&str> = verbs.filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase())).collect();
    assert!(verbs.contains(&"validate"), "{help}");
    for verb in verbs {
        let forms = [format!("`reconcile {verb}"), format!("`{verb}"), format!("\\|{verb}")];
        assert!(forms.iter().any(|form| text.contains(form)), "the README does not name `reconcile {verb}`");
    }
}
