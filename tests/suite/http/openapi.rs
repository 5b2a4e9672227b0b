//! The description, held against the daemon that gives it by a tool that asks what nobody would think of.

use std::process::Command;
use std::time::Duration;

use super::act::with_a_session;
use super::tokens::make;
use crate::daemon::end;
use crate::fixture::http::{address, get};
use crate::fixture::process::finish;
use crate::fixture::python::tool;
use crate::fixture::{Database, World};

#[test]
fn the_daemon_does_what_its_description_says() {
    let mut world = World::on(Database::Sqlite);
    world.write("desired-state/c.yaml", "hosts: [{session: 1}]\n");
    let daemon = with_a_session(&mut world);
    let there = address(&daemon);
    let token = make(&world, "stranger", "secrets");
    let described = get(there, "/api/v1/openapi.json").expect(200).json();
    assert_eq!(described["openapi"], "3.1.0");

    let reports = tempfile::tempdir().expect("make a directory");
    let mut asking = Command::new(tool("st"));
    asking.current_dir(reports.path());
    asking.env("SCHEMATHESIS_HOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/schemathesis.py"));
    asking.arg("run").arg(format!("http://{there}/api/v1/openapi.json"));
    asking.arg("--header").arg(format!("Authorization: Bearer {token}"));
    asking.args(["--phases", "examples,coverage,fuzzing", "--checks", "all"]);
    asking.args(["--seed", "215", "--max-examples", "15", "--generation-database", "none"]);
    asking.args(["--continue-on-failure", "--no-color", "--request-timeout", "40"]);
    let told = finish(&mut asking, "", Duration::from_secs(340));
    assert_eq!(told.code, 0, "{}", told.text());
    // All but the one that gave the description.
    let operations = described["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len());
    let tested = format!("Tested: {}\n", operations.sum::<usize>() - 1);
    assert!(told.stdout.contains(&tested), "{tested}{}", told.stdout);
    let said = end(daemon).text();
    assert!(!said.contains(&token[4..47]), "the log holds a token");
}
