//! The most awkward documents, each as its own file in `tests/data/awkward`, and what a user is told about it.
//!
//! Where a document is taken, the plan shows what it means. To add one, put a file there whose name begins with one of
//! the words below, and accept its snapshot once the message says where, what, and how to mend it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use reconcile::desired::revision;

use crate::fixture::{Database, World};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/awkward");

/// The longest line of a document that is shown whole, in characters, and how many lines are.
const COLUMNS: usize = 100;
const LINES: usize = 12;

macro_rules! documents {
    ($($name:ident: $($group:literal)+;)+) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(stringify!($name), told(&[$($group),+]));
            }
        )+

        #[test]
        fn every_document_is_told_about() {
            let groups = [$($($group),+),+];
            let (names, known) = (names(), |name: &String| groups.iter().any(|group| is_in(name, group)));
            assert!(names.len() >= 100, "{} documents", names.len());
            assert!(names.iter().all(known), "in no group: {:?}", names.iter().find(|name| !known(name)));
        }
    };
}

documents! {
    bytes_and_encodings: "bytes" "empty";
    lines_and_indentation: "lines" "indent";
    anchors_and_merges: "alias" "merge";
    tags_and_directives: "tag" "directive" "documents";
    keys: "keys";
    kinds_and_fields: "kind" "field" "item";
    words: "word";
    numbers: "number";
    times: "time" "duration" "uuid";
    texts: "text";
    blocks_and_brackets: "block" "flow";
    no_yaml_at_all: "garbage";
}

fn is_in(name: &str, group: &str) -> bool {
    name.split('_').next() == Some(group)
}

/// All documents, by the names of their files.
fn names() -> Vec<String> {
    let files = fs::read_dir(FILES).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.map(|name| name.strip_suffix(".yaml").unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Every document of these groups, how `validate` ends, and all that it says; of a document that is taken, the plan.
fn told(groups: &[&str]) -> String {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/.keep", "");
    let mut told = String::new();
    for name in names().iter().filter(|name| groups.iter().any(|group| is_in(name, group))) {
        let bytes = fs::read(Path::new(FILES).join(format!("{name}.yaml"))).unwrap();
        fs::write(world.path().join("desired-state/week.yaml"), &bytes).unwrap();
        let output = world.run(&["validate"]);
        assert!(!output.text().contains("hunter2") && !output.text().contains('\u{1b}'), "{}", output.text());
        writeln!(told, "=== {name}: exit {}\n{}", output.code, shown(&bytes)).unwrap();
        if output.code == 0 {
            told.push_str(&output.stderr);
            let plan = world.run(&["--plan"]).expect_code(0).stdout;
            let whoever = format!("uncommitted ({})", revision::user());
            let plan = plan.replace(&whoever, "uncommitted ([USER])");
            told.push_str(plan.split_once("\n\n").unwrap().1.trim_matches('\n'));
        } else {
            assert!(output.stdout.is_empty(), "{name}: {}", output.stdout);
            told.push_str(output.stderr.trim_end());
        }
        told.push_str("\n\n");
    }
    told
}

/// A document as its reader would see it, if everything could be seen.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                '\n' => text.push('\n'),
                ' ' => text.push(' '),
                letter if letter.is_ascii_graphic() || letter.is_alphanumeric() => text.push(letter),
                letter => text.extend(letter.escape_unicode()),
            }
        }
        part.invalid().iter().for_each(|byte| write!(text, "\\x{byte:02x}").unwrap());
    }
    let (mut shown, count) = (String::new(), text.lines().count());
    for line in text.lines().take(LINES) {
        let cut: String = line.chars().take(COLUMNS).collect();
        let more = if cut.len() < line.len() { "…" } else { "" };
        writeln!(shown, "│ {cut}{more}").unwrap();
    }
    if count > LINES {
        writeln!(shown, "│ … and {} lines more", count - LINES).unwrap();
    }
    shown.trim_end().to_owned()
}
