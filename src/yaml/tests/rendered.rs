//! Problems as the user sees them.

use super::{reading, rendered};
use crate::yaml::read;

#[test]
fn a_field_misspelt() {
    insta::assert_snapshot!(rendered("sessions:\n  - id: 215\n    titel: Al-Fatiha\n"), @"
    state/a.yaml:3:5: unknown field `titel`
      |
    3 |     titel: Al-Fatiha
      |     ^^^^^
      |
      = help: did you mean `title`?
    ");
}

#[test]
fn a_wrong_type() {
    insta::assert_snapshot!(rendered("sessions:\n  - id: 215\n    title: 215\n"), @r#"
    state/a.yaml:3:12: title wants text, not a number
      |
    3 |     title: 215
      |            ^^^
      |
      = help: put it in quotes: "215"
    "#);
}

#[test]
fn out_of_range() {
    insta::assert_snapshot!(rendered("hosts:\n  - session: 215\n    rotation: 0\n"), @"
    state/a.yaml:3:15: rotation is out of range: `0`
      |
    3 |     rotation: 0
      |               ^
      |
      = help: it must be from 1 to 1000
    ");
}

#[test]
fn a_key_twice() {
    insta::assert_snapshot!(rendered("sessions:\n  - id: 215\n    title: one\n    title: two\n"), @"
    state/a.yaml:4:5: `title` stands twice
      |
    4 |     title: two
      |     ^^^^^
      |
      = note: first here: state/a.yaml:3:5
      = help: keep one of the two
    ");
}

#[test]
fn two_that_may_not_both_stand() {
    insta::assert_snapshot!(rendered("hosts:\n- {session: 1, expires_at: 2026-12-31T23:59:59Z, expires_in: 90d}\n"), @"
    state/a.yaml:2:50: expires_in and expires_at may not both stand
      |
    2 | - {session: 1, expires_at: 2026-12-31T23:59:59Z, expires_in: 90d}
      |                                                  ^^^^^^^^^^
      |
      = note: the other: state/a.yaml:2:16
      = help: take one of the two away
    ");
}

#[test]
fn several_at_once() {
    let text = "sessions:\n  - id: many\n    status: actve\n  - title: no id\nhost:\n  - session: 1\n---\nhosts: 5\n";
    insta::assert_snapshot!(rendered(text), @"
    state/a.yaml:2:9: id wants a whole number, not text
      |
    2 |   - id: many
      |         ^^^^
      |
      = help: write it in digits alone

    state/a.yaml:3:13: status wants active, inactive or ended, not `actve`
      |
    3 |     status: actve
      |             ^^^^^
      |
      = help: did you mean `active`?

    state/a.yaml:4:5: the session lacks id
      |
    4 |   - title: no id
      |     ^
      |
      = help: add `id:` with a whole number

    state/a.yaml:5:1: unknown kind `host`
      |
    5 | host:
      | ^^^^
      |
      = help: did you mean `hosts`?

    state/a.yaml:8:8: hosts wants a list, not a number
      |
    8 | hosts: 5
      |        ^
      |
      = help: put `- ` before each entry
    ");
}

#[test]
fn a_syntax_error_costs_only_its_document() {
    let text =
        "sessions:\n  - id: 1\n    title: \"open\n---\nsessions:\n  - id: 2\n    titel: x\n---\nsessions:\n  - id: 3\n";
    insta::assert_snapshot!(rendered(text), @"
    state/a.yaml:4:1: a quote that is opened above is not closed
      |
    4 | ---
      | ^
      |
      = help: close it with the same quote, or indent the lines between

    state/a.yaml:7:5: unknown field `titel`
      |
    7 |     titel: x
      |     ^^^^^
      |
      = help: did you mean `title`?
    ");
    assert_eq!(reading(text).kept.0.len(), 1);
}

#[test]
fn a_tab_as_indentation() {
    insta::assert_snapshot!(rendered("sessions:\n\t- id: 1\n"), @"
    state/a.yaml:2:1: a tab stands where YAML allows only blanks
      |
    2 |     - id: 1
      | ^^^^
      |
      = help: indent with blanks
    ");
}

#[test]
fn bytes_that_are_not_utf_8() {
    insta::assert_snapshot!(rendered(b"\xef\xbb\xbfsessions:\r\n  - id: 1\r\n    title: caf\xe9\r\n"), @"
    state/a.yaml:3:15: the byte 0xe9 is not UTF-8
      |
    3 |     title: caf�
      |               ^
      |
      = help: save the file as UTF-8
    ");
}

#[test]
fn over_the_limit() {
    let problems = read(super::FILE.into(), b"sessions: []\n", 12, super::SECTIONS, &mut super::Kept::default());
    insta::assert_snapshot!(problems.render(false, 120), @"
    state/a.yaml:1:1: the file has 13 bytes, and the limit is 12 bytes
     = help: divide it into several files; any number is read
    ");
}

#[test]
fn a_bomb() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='j').zip('a'..) {
        text.push_str(&format!("{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"));
    }
    insta::assert_snapshot!(rendered(&text), @"
    state/a.yaml:5:16: the aliases here stand for more than 10000 values
      |
    5 | e: &e [*d, *d, *d, *d, *d, *d]
      |                ^^
      |
      = help: write the values out; nothing of this document is read
    ");
}

#[test]
fn nested_too_deep() {
    insta::assert_snapshot!(rendered("sessions: ".to_owned() + &"[".repeat(100_000)), @"
    state/a.yaml:1:44: lists and maps stand more than 32 deep in each other
      |
    1 | sessions: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[…
      |                                            ^
      |
      = help: nothing here needs more than a list of maps of plain values
    ");
    assert_eq!(reading("sessions: ".to_owned() + &"[".repeat(30) + &"]".repeat(30)).problems.len(), 1);
}

#[test]
fn a_host_guid_is_masked_wherever_its_line_is_shown() {
    let text = "\
hosts:
  - {session: 0, password: hunter2}
  - session: 2
    reason: 51179767-693b-49a1-b753-380ca3bb39f7
  - session: 3
    guid: 51179767-693b-49a1-b753-380ca3bb39f7
    active: yes # the old one was 51179767-693b-49a1-b753-380ca3bb39f7
";
    let shown = rendered(text);
    assert!(!shown.contains("hunter2") && !shown.contains("380ca3bb39f7"), "{shown}");
    insta::assert_snapshot!(shown, @"
    state/a.yaml:2:15: session is out of range: `0`
      |
    2 |   - {session: 0, password: ********
      |               ^
      |
      = help: it must be 1 or more

    state/a.yaml:2:18: `password` looks like a secret, and a state file holds none
      |
    2 |   - {session: 0, password: ********
      |                  ^^^^^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed

    state/a.yaml:4:13: reason looks like a GUID, and a state file holds no secret
      |
    4 |     reason: ********
      |             ^^^^^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed

    state/a.yaml:6:5: `guid` looks like a secret, and a state file holds none
      |
    6 |     guid: ********
      |     ^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed

    state/a.yaml:7:13: active wants true or false, not `yes`
      |
    7 |     active: yes # the old one was ********
      |             ^^^
      |
      = help: write true
    ");
}

#[test]
fn a_password_is_masked_wherever_its_line_is_shown() {
    let text = "\
instances:
  - id: fbaa8c92-0000-4000-8000-000000000001
    name: It's
    note: see postgres://admin:hunter2@10.0.0.11/postgres
    secrets:
      - hunter2
      - {a: [hunter2
";
    let shown = rendered(text);
    assert!(!shown.contains("hunter2"), "{shown}");
    insta::assert_snapshot!(shown, @"
    state/a.yaml:3:11: name is not a name: `It's`
      |
    3 |     name: It's
      |           ^^^^
      |
      = help: use 1 to 63 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit

    state/a.yaml:4:11: note looks like a URL with a password, and a state file holds no secret
      |
    4 |     note: see postgres://admin:********@10.0.0.11/postgres
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed

    state/a.yaml:5:5: `secrets` looks like a secret, and a state file holds none
      |
    5 |     secrets:
      |     ^^^^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed

    state/a.yaml:7:13: this `[` is not closed
      |
    7 |       ********
      |       ^^^^^^^^
      |
      = help: what follows in this document is not read until it is
    ");
}

#[test]
fn a_secret_in_a_comment() {
    insta::assert_snapshot!(rendered("# password: hunter2\nsessions: []\n"), @"
    state/a.yaml:1:13: warning: the comment holds what looks like a secret
      |
    1 | # password: ********
      |             ^^^^^^^^
      |
      = help: take it out and change it wherever it is used: Git keeps what was once committed
    ");
    assert!(!reading("# password: hunter2\nsessions: []\n").problems.has_errors());
}

#[test]
fn a_long_line_is_shown_around_the_caret() {
    let text = format!(
        "sessions: [{{id: 1, title: {}, titel: y, status: active, x{}: z}}]\n",
        "é".repeat(300),
        "x".repeat(900)
    );
    insta::assert_snapshot!(rendered(text), @"
    state/a.yaml:1:27: title is too long
      |
    1 | sessions: [{id: 1, title: éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé…
      |                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: it must have 1 to 20 characters

    state/a.yaml:1:329: unknown field `titel`
      |
    1 | ********, titel: y, status: active, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
      |           ^^^^^
      |
      = help: did you mean `title`?

    state/a.yaml:1:355: unknown field `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`
      |
    1 | ********, titel: y, status: active, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
      |                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: known here: id, title, status, expires_at, protect
    ");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = "sessions:\n  - id: 1\n    \"\\e[31m\\u202e\": x\n    status: \u{202e}evitca\n";
    let shown = rendered(text);
    assert!(shown.chars().all(|letter| letter == '\n' || !letter.is_control() && letter != '\u{202e}'), "{shown:?}");
    insta::assert_snapshot!(shown, @r#"
    state/a.yaml:3:5: unknown field `\u{1b}[31m\u{202e}`
      |
    3 |     "\e[31m\u202e": x
      |     ^^^^^^^^^^^^^^
      |
      = help: known here: id, title, status, expires_at, protect

    state/a.yaml:4:13: status wants active, inactive or ended, not `\u{202e}evitca`
      |
    4 |     status: �evitca
      |             ^^^^^^^
      |
      = help: write active, inactive or ended
    "#);
}

#[test]
fn no_more_than_a_screenful() {
    let shown = rendered("sessions:\n".to_owned() + &"- x\n".repeat(5_000));
    assert_eq!(shown.matches("an entry of sessions").count(), 50);
    assert!(shown.ends_with("\nand 4950 more problems\n"), "{shown}");
}

#[test]
fn for_machines() {
    let problems = reading("sessions:\n  - id: 1\n    id: 2\n").problems;
    let json = serde_json::to_string(&problems).unwrap();
    insta::assert_snapshot!(json, @r#"[{"file":"state/a.yaml","line":3,"column":5,"severity":"error","message":"`id` stands twice","hint":"keep one of the two","also":{"column":5,"file":"state/a.yaml","line":2,"message":"first here"}}]"#);
}

#[test]
fn in_colour() {
    let shown = reading("sessions: 5\n").problems.render(true, 120);
    insta::assert_snapshot!(shown.replace('\u{1b}', "ESC"), @"
    ESC[1mstate/a.yaml:1:11:ESC[0m ESC[1mESC[91msessions wants a list, not a numberESC[0m
      ESC[1mESC[94m|ESC[0m
    ESC[1mESC[94m1ESC[0m ESC[1mESC[94m|ESC[0m sessions: 5
      ESC[1mESC[94m|ESC[0m           ESC[1mESC[91m^ESC[0m
      ESC[1mESC[94m|ESC[0m
      ESC[1mESC[94m= ESC[0mESC[1mhelpESC[0m: put `- ` before each entry
    ");
}
