//! Several files at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Register, SourceFile, load};
use crate::yaml::field::Section;
use crate::yaml::item::Item;
use crate::yaml::problem::{Place, Problem};
use crate::yaml::tests::{LIMIT, SECTIONS};

/// Knows a resource by its first field.
#[derive(Default)]
struct Claims(BTreeMap<(&'static str, Option<i64>), Place>);

impl Register for Claims {
    fn sections(&self) -> &'static [Section] {
        SECTIONS
    }

    fn insert(&mut self, section: &'static Section, item: &Item<'_>) -> Vec<Problem> {
        let key = section.fields[0].name;
        let id = item.int(key);
        let claim = (section.kind.name, id);
        match self.0.get(&claim).cloned() {
            None => {
                self.0.insert(claim, item.place_of(key));
                Vec::new()
            }
            Some(first) => {
                let message = format!("{}/{} is claimed twice", section.kind, id.unwrap_or_default());
                vec![item.problem(key, message, Some("keep one of the two".to_owned())).also(first, "first here")]
            }
        }
    }

    fn forget(&mut self, file: &str) {
        self.0.retain(|_, place| *place.file != *file);
    }
}

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: Arc::from(path), bytes: text.as_bytes().to_vec() }
}

#[test]
fn two_files_claim_one_resource() {
    let files = vec![
        file("state/b.yaml", "sessions:\n  - id: 216\n  - id: 215\n    title: again\n"),
        file("state/a.yaml", "sessions:\n  - id: 215\n"),
    ];
    let mut claims = Claims::default();
    let problems = load(files, LIMIT, &mut claims);
    insta::assert_snapshot!(problems.render(false, 120), @"
    state/b.yaml:3:9: session/215 is claimed twice
      |
    3 |   - id: 215
      |         ^^^
      |
      = note: first here: state/a.yaml:2:9
      = help: keep one of the two
    ");
    assert_eq!(claims.0.len(), 2);
}

#[test]
fn problems_of_all_files_at_once() {
    let files = vec![
        file("state/b.yaml", "sessions:\n  - id: 0\n"),
        file("state/c.yaml", "sessions: [\n"),
        file("state/a.yaml", "sesions:\n  - id: 1\n"),
        file("state/d.yaml", "sessions:\n  - id: 1\n"),
    ];
    let mut claims = Claims::default();
    insta::assert_snapshot!(load(files, LIMIT, &mut claims).render(false, 120), @"
    state/a.yaml:1:1: unknown kind `sesions`
      |
    1 | sesions:
      | ^^^^^^^
      |
      = help: did you mean `sessions`?

    state/b.yaml:2:9: id is out of range: `0`
      |
    2 |   - id: 0
      |         ^
      |
      = help: it must be 1 or more

    state/c.yaml:1:11: this `[` is not closed
      |
    1 | sessions: [
      |           ^
      |
      = help: what follows in this document is not read until it is
    ");
    assert_eq!(claims.0.len(), 1);
}

#[test]
fn the_order_of_files_is_that_of_their_paths() {
    let files = |reversed: bool| {
        let mut numbers: Vec<i64> = (0..200).collect();
        if reversed {
            numbers.reverse();
        }
        let text = |number| format!("sessions:\n  - id: {}\n    status: gone\n  - id: 7\n", number + 1);
        numbers.into_iter().map(|number| file(&format!("state/{number:03}.yaml"), &text(number))).collect::<Vec<_>>()
    };
    let one = load(files(false), LIMIT, &mut Claims::default());
    let other = load(files(true), LIMIT, &mut Claims::default());
    assert_eq!(one, other);
    assert_eq!(one.len(), 200 + 199);
}

#[test]
fn no_files_no_problems() {
    assert!(load(Vec::new(), LIMIT, &mut Claims::default()).is_empty());
}
