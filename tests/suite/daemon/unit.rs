//! The manual's unit file, as systemd reads it.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What of 100 `systemd-analyze` calls exposed: 100 is a service without any hardening.
const EXPOSED: &str = "20";

#[test]
fn the_unit_of_the_manual_is_one_and_leaves_little_exposed() {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let unit = manual.split("```ini\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a unit file");
    // Where the program lies on the machine that it is for.
    let unit = unit.replace("/usr/local/bin/reconcile", env!("CARGO_BIN_EXE_reconcile"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("reconcile.service");
    fs::write(&file, unit).unwrap();
    for words in [&["verify"][..], &["security", "--offline=yes", "--threshold", EXPOSED]] {
        let said = Command::new("systemd-analyze").args(words).arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{words:?}: {text}");
        assert!(words.len() > 1 || text.trim().is_empty(), "{text}");
    }
}
