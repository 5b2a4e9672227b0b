//! The house rules that no compiler holds: who may import whom, how long a file may grow, what may not be left lying.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

mod doors;
mod rooms;
mod source;
mod tests;

use source::Source;

/// A file should be readable in one sitting, a function on one screen.
const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 70;

/// Marks of work that is not done. Spelt apart, so that this file does not find itself.
const LEFTOVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// What ends the program where it should report an error.
const ABRUPT: &[&str] = &[".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!"];

/// One broken rule, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

#[test]
fn rooms_import_only_what_they_may() {
    hold(rust_files("src").iter().flat_map(rooms::check));
}

#[test]
fn every_room_has_its_row() {
    hold(rooms::unlisted(&rust_files("src")));
}

#[test]
fn files_are_opened_in_one_way() {
    hold(rust_files("src").iter().flat_map(doors::check));
}

#[test]
fn sources_are_tidy() {
    let files = [rust_files("src"), rust_files("tests/suite")].concat();
    hold(files.iter().flat_map(check));
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |database: &str| -> BTreeSet<String> {
        let found = fs::read_dir(root().join("migrations").join(database)).unwrap();
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
    assert!(names("sqlite").iter().all(|name| name.len() > 9 && name.as_bytes()[..4].iter().all(u8::is_ascii_digit)));
}

/// What in `source` breaks a rule for a single file.
fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, what: String| findings.push(Finding { file: source.file.clone(), line, what });
    if !source.text.starts_with("//! ") {
        find(1, "open the file with its reason: `//! …`".to_owned());
    }
    let lines = source.text.lines().count();
    if lines > LONGEST_FILE {
        find(LONGEST_FILE, format!("{lines} lines, {LONGEST_FILE} allowed: this room wants dividing"));
    }
    for function in source.functions().iter().filter(|function| function.lines > LONGEST_FUNCTION) {
        let (name, lines) = (&function.name, function.lines);
        find(function.line, format!("`{name}` has {lines} lines, {LONGEST_FUNCTION} allowed: divide it"));
    }
    for (number, line) in source.text.lines().enumerate() {
        for word in
            LEFTOVERS.iter().filter(|word| line.split(|c: char| !c.is_alphanumeric()).any(|part| part == **word))
        {
            find(number + 1, format!("`{word}`: do it, or leave it out"));
        }
    }
    for (number, line) in source.code.lines().enumerate() {
        if line.contains("#[allow(") || line.contains("#![allow(") {
            find(
                number + 1,
                "write `#[expect(…, reason = \"…\")]`, which tells when it is no longer needed".to_owned(),
            );
        }
    }
    if !source.is_test() {
        for (number, line) in source.product.lines().enumerate() {
            for word in ABRUPT.iter().filter(|word| line.contains(**word)) {
                find(number + 1, format!("`{word}`: give an error to the caller"));
            }
        }
    }
    findings
}

/// Fails with one line a finding.
#[track_caller]
fn hold(findings: impl IntoIterator<Item = Finding>) {
    let findings: BTreeSet<Finding> = findings.into_iter().collect();
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(list.is_empty(), "{} rules broken:\n{}", list.len(), list.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `directory`.
fn rust_files(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(directory)];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(Source::new(path.strip_prefix(root()).unwrap(), text));
        }
    }
    assert!(!found.is_empty(), "no Rust files below {directory}");
    found
}
