//! The runner of pages itself: it must be able to fail.

use std::panic::catch_unwind;
use std::path::Path;

use super::{follow, matcher, page};
use crate::fixture::Database;

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn agrees(expected: &str, printed: &str) -> bool {
    matcher::matches(&lines(expected), &lines(printed))
}

/// What following a page complains of; `None` when it is content.
fn complaint(text: &str) -> Option<String> {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), text).unwrap();
    let followed = catch_unwind(|| follow(path.path(), Database::Sqlite, false));
    followed.err().map(|why| why.downcast_ref::<String>().expect("a message").clone())
}

const PAGE: &str = r#"# A page

Prose, and a block that does nothing:

```yaml
not: written
```

```yaml file=desired-state/a.yaml
sessions: []
```

```console
# what is there
$ ls desired-state | tr a-z A-Z; echo oops >&2
A.YAML
oops
$ cat desired-state/a.yaml; exit 3
sessions: []
[exit 3]
$ printf '\n# not a remark\n\n'

# not a remark

# a remark
$ GUID=$(echo 51179767-693b-49a1-b753-380ca3bb39f7; echo minted >&2)
minted
$ export WHO="Noor Team"
$ echo "$GUID" \
    by $WHO in $PWD
[GUID] by Noor Team in [DIR]
$ seed "CREATE TABLE seen (id BIGINT, flag BOOLEAN); INSERT INTO seen VALUES (215, TRUE)"
$ sql "SELECT id, flag FROM seen"
215|true
$ sql SELECT id FROM nowhere
[..]nowhere[..]
[exit 1]
```
"#;

#[test]
fn a_true_page_is_followed() {
    assert_eq!(complaint(PAGE), None);
}

#[test]
fn a_page_is_followed_on_postgres() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let address = "```console\n$ echo $RECONCILE_DATABASE_URL\npostgres://[..]@[SERVER]/KSESSIONS_DEV\n```\n";
    std::fs::write(path.path(), format!("{PAGE}{address}")).unwrap();
    follow(path.path(), Database::Postgres, false);
}

#[test]
fn a_false_page_is_told_with_place_and_difference() {
    let why = complaint(&PAGE.replace("215|true", "216|true")).expect("a complaint");
    assert!(why.contains(":33 on sqlite: $ sql \"SELECT id, flag FROM seen\"\n  - 216|true\n  + 215|true\n"), "{why}");
    for (from, to) in
        [("[exit 3]", "[exit 4]"), ("[exit 3]\n", ""), ("\noops", ""), ("minted\n$", "$"), ("[GUID] by", "by")]
    {
        assert!(complaint(&PAGE.replacen(from, to, 1)).is_some(), "{from} -> {to}");
    }
}

#[test]
fn a_page_that_says_nothing_is_refused() {
    let refused = |text: &str| complaint(text).expect("a complaint");
    assert!(refused("Prose alone.\n").contains(":1: the page runs no command"));
    assert!(refused("```console\n$ true\n").contains(":1: this block has no end"));
    assert!(refused("```console\nprinted\n$ true\n```\n").contains(":2: printed before the first command"));
}

#[test]
fn a_page_is_rewritten_and_then_true() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let stale = PAGE.replace("215|true\n", "").replace("A.YAML", "B\nC").replace("[GUID] by", "somebody by");
    std::fs::write(path.path(), &stale).unwrap();
    follow(path.path(), Database::Sqlite, true);
    assert_eq!(std::fs::read_to_string(path.path()).unwrap(), PAGE);
    follow(path.path(), Database::Sqlite, false);
}

#[test]
fn lines_agree_exactly_or_by_wildcard() {
    assert!(agrees("a\nb", "a\nb"));
    assert!(!agrees("a\nb", "a"));
    assert!(!agrees("a", "a\nb"));
    assert!(!agrees("a", "A"));
    assert!(agrees("a\n...\nd", "a\nb\nc\nd"));
    assert!(agrees("...\nd", "d"));
    assert!(!agrees("a\n...\nd", "a\nb\nc"));
    assert!(agrees("took [..], ü[..]", "took 3 s, üb"));
    assert!(!agrees("took [..].", "took 3 s"));
}

#[test]
fn names_stand_for_their_kind_alone() {
    let guid = "51179767-693b-49a1-b753-380ca3bb39f7";
    let hash = "uNBIi+fSm9N/fqpA+13vb1U631+vLAcrv3GwWVaCByE=";
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    for (name, good, bad) in [
        ("GUID", guid, &guid[1..]),
        ("HASH", hash, &hash[1..]),
        ("TIME", "2026-12-01T18:00:00.5Z", "2026-13-01T18:00:00Z"),
        ("TIME", "2026-12-01T18:00:00+00:00", "2026-12-01 18:00:00"),
        ("DIGEST", digest, "9f86d081884g"),
        ("COMMIT", "4f1c2ab", "4f1c2a"),
        ("DURATION", "12 ms", "12 miles"),
        ("DRIVER", "postgres", "oracle"),
    ] {
        let promise = format!("x [{name}].");
        assert!(agrees(&promise, &format!("x {good}.")), "{promise} {good}");
        assert!(!agrees(&promise, &format!("x {bad}.")), "{promise} {bad}");
        assert!(!agrees(&promise, "x ."), "{promise}");
    }
}

#[test]
fn what_changes_from_run_to_run_is_named() {
    let header = "environment development · catalog KSESSIONS_DEV · sqlite · desired-state @ 4f1c2ab (clean)";
    let general = header.replace("sqlite", "[DRIVER]").replace("4f1c2ab", "[COMMIT]");
    assert_eq!(matcher::generalised(header), general);
    assert!(agrees(&general, header) && agrees(&general, &header.replace("sqlite", "postgres")));
    let line = "at 2026-12-01T18:00:00Z: 51179767-693b-49a1-b753-380ca3bb39f7 in 12 ms, plan 9f86d081884c";
    assert_eq!(matcher::generalised(line), "at [TIME]: [GUID] in [DURATION], plan [DIGEST]");
    for plain in ["session/215", "12 to create", "defaced", "KSESSIONS_DEV.db", "20 hosts"] {
        assert_eq!(matcher::generalised(plain), plain);
    }
}

#[test]
fn a_difference_shows_what_is_the_same_too() {
    let shown = matcher::difference(&lines("a\n...\nd [..]\ne\nf"), &lines("a\nb\nc\nd 1\nf\ng"));
    assert_eq!(shown, "    a\n    b\n    c\n    d 1\n  - e\n    f\n  + g\n");
    assert_eq!(matcher::difference(&lines("a"), &[]), "  - a\n");
}

#[test]
fn pages_stand_beside_this_suite() {
    assert_eq!(super::file("hosts"), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/hosts.md"));
    assert_eq!(page::without_blank_end(lines("a\n\n \n")), ["a"]);
}
