//! Awkward documents, and all that is said about each.

use super::reading;

/// Messages and hints of a document's problems, without their file.
fn said(text: &str) -> Vec<String> {
    let problems = reading(text).problems;
    let said = problems.iter().map(|problem| {
        let hint = problem.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}:{} {}{hint}", problem.place.line, problem.place.column, problem.message)
    });
    said.collect()
}

#[test]
fn awkward_documents() {
    for (text, expected) in DOCUMENTS {
        assert_eq!(said(text), *expected, "{text}");
    }
}

#[rustfmt::skip] // One row each, however long what is said.
const DOCUMENTS: &[(&str, &[&str])] = &[
    ("- id: 1", &["1:1 a state file is a map of kinds, not a list (begin with a kind, such as `sessions:`, and put its list below)"]),
    ("just text", &["1:1 a state file is a map of kinds, not text (begin with a kind, such as `sessions:`, and put its list below)"]),
    ("215", &["1:1 a state file is a map of kinds, not a number (begin with a kind, such as `sessions:`, and put its list below)"]),
    ("sessions: text", &["1:11 sessions wants a list, not text (put `- ` before each entry)"]),
    ("sessions: {id: 1}", &["1:11 sessions wants a list, not a map (put `- ` before each entry)"]),
    ("sessions: [1, [], ~, text]", &["1:12 an entry of sessions is a map of fields, not a number (write `- id: …`)", "1:15 an entry of sessions is a map of fields, not a list (write `- id: …`)", "1:19 an entry of sessions is a map of fields, not nothing (write `- id: …`)", "1:22 an entry of sessions is a map of fields, not text (write `- id: …`)"]),
    ("session: []", &["1:1 unknown kind `session` (did you mean `sessions`?)"]),
    ("Sessions: []", &["1:1 unknown kind `Sessions` (did you mean `sessions`?)"]),
    ("zebra: []", &["1:1 unknown kind `zebra` (known here: sessions, hosts, instances)"]),
    ("1: []", &["1:1 a key is text, not a number: `1` (name a field or kind)"]),
    ("~: []", &["1:1 a key is text, not nothing: `~` (name a field or kind)"]),
    ("[a]: []", &["1:1 a key is text, not a list or a map (name a field or kind)"]),
    ("{a: b}: []", &["1:1 a key is text, not a list or a map (name a field or kind)"]),
    ("sessions: []\nsessions: []", &["2:1 `sessions` stands twice (keep one of the two)"]),
    ("sessions: [{id: 1, <<: {title: x}}]", &["1:20 merge keys (`<<`) are not supported (write the fields out)"]),
    ("sessions: [{id: \"1\"}]", &["1:17 id wants a whole number, not text (write 1 by itself, without quotes)"]),
    ("sessions: [{id: 1.0}]", &["1:17 id wants a whole number, not a number with a fraction (write it in digits alone: 1)"]),
    ("sessions: [{id: 0x1F}]", &["1:17 id wants a whole number, not a number in another base (write it in decimal digits)"]),
    ("sessions: [{id: 0o17}]", &["1:17 id wants a whole number, not a number in another base (write it in decimal digits)"]),
    ("sessions: [{id: 017}]", &["1:17 id begins with a zero (some readers take it for octal: write it without the leading zero)"]),
    ("sessions: [{id: 1_000}]", &["1:17 id wants a whole number, not text (write it in digits alone: 1000)"]),
    ("sessions: [{id: -1}]", &["1:17 id is out of range: `-1` (it must be 1 or more)"]),
    ("sessions: [{id: 9223372036854775808}]", &["1:17 id is out of range: `9223372036854775808` (it must be 1 or more)"]),
    ("sessions: [{id: true}]", &["1:17 id wants a whole number, not true or false (write it in digits alone)"]),
    ("sessions: [{id: }]", &["1:15 id has no value (write a whole number after the colon)"]),
    ("sessions: [{id: [1]}]", &["1:17 id wants a whole number, not a list (write one value behind the colon)"]),
    ("sessions: [{id: {a: 1}}]", &["1:17 id wants a whole number, not a map (write one value behind the colon)"]),
    ("sessions: [{}]", &["1:12 the session lacks id (add `id:` with a whole number)"]),
    ("sessions: [{id: 1, title: ''}]", &["1:27 title is empty (it must have 1 to 20 characters)"]),
    ("sessions: [{id: 1, title: ~}]", &["1:27 title has no value (leave the line out to leave title unmanaged, or write text)"]),
    ("sessions: [{id: 1, title: 123456789012345678901}]", &[r#"1:27 title wants text, not a number (put it in quotes: "123456789012345678901")"#]),
    ("sessions: [{id: 1, title: abcdefghijklmnopqrstu}]", &["1:27 title is too long, with 21 characters (it must have 1 to 20 characters)"]),
    ("sessions: [{id: 1, title: \"a\\0b\"}]", &["1:27 title holds the control character U+0000 (take it out)"]),
    ("sessions: [{id: 1, title: 1.5}]", &[r#"1:27 title wants text, not a number with a fraction (put it in quotes: "1.5")"#]),
    ("sessions: [{id: 1, title: .nan}]", &[r#"1:27 title wants text, not a number with a fraction (put it in quotes: ".nan")"#]),
    ("sessions: [{id: 1, title: True}]", &[r#"1:27 title wants text, not true or false (put it in quotes: "True")"#]),
    ("sessions: [{id: 1, title: null}]", &["1:27 title has no value (leave the line out to leave title unmanaged, or write text)"]),
    ("sessions: [{id: 1, status: Active}]", &["1:28 status wants active, inactive or ended, not `Active` (did you mean `active`?)"]),
    ("sessions: [{id: 1, status: gone}]", &["1:28 status wants active, inactive or ended, not `gone` (write active, inactive or ended)"]),
    ("sessions: [{id: 1, status: true}]", &["1:28 status wants active, inactive or ended, not true or false (write active, inactive or ended)"]),
    ("sessions: [{id: 1, expires_at: 2026-12-31}]", &["1:32 expires_at is not a time: `2026-12-31` (say in which offset; in UTC: 2026-12-31T00:00:00Z)"]),
    ("sessions: [{id: 1, expires_at: 2026-12-31T23:59:59}]", &["1:32 expires_at is not a time: `2026-12-31T23:59:59` (say in which offset; in UTC: 2026-12-31T23:59:59Z)"]),
    ("sessions: [{id: 1, expires_at: 2026-12-31 23:59:59Z}]", &["1:32 expires_at is not a time: `2026-12-31 23:59:59Z` (write a T between date and time: 2026-12-31T23:59:59Z)"]),
    ("sessions: [{id: 1, expires_at: 2026-02-30T00:00:00Z}]", &["1:32 expires_at is not a time: `2026-02-30T00:00:00Z` (write date, time and offset: 2026-12-31T23:59:59Z or 2026-12-31T23:59:59+03:00)"]),
    ("sessions: [{id: 1, expires_at: 2026-12-31T23:59:60Z}]", &["1:32 expires_at is not a time: `2026-12-31T23:59:60Z` (write date, time and offset: 2026-12-31T23:59:59Z or 2026-12-31T23:59:59+03:00)"]),
    ("sessions: [{id: 1, expires_at: 0000-01-01T00:00:00Z}]", &["1:32 expires_at is not a time: `0000-01-01T00:00:00Z` (write date, time and offset: 2026-12-31T23:59:59Z or 2026-12-31T23:59:59+03:00)"]),
    ("sessions: [{id: 1, expires_at: 9999-12-31T23:59:59-01:00}]", &["1:32 expires_at is not a time: `9999-12-31T23:59:59-01:00` (write date, time and offset: 2026-12-31T23:59:59Z or 2026-12-31T23:59:59+03:00)"]),
    ("sessions: [{id: 1, expires_at: 20261231}]", &["1:32 expires_at wants a time such as 2026-12-31T23:59:59Z, not a number (write date, time and offset: 2026-12-31T23:59:59Z or 2026-12-31T23:59:59+03:00)"]),
    ("sessions: [{id: 1, protect: yes}]", &["1:29 protect wants true or false, not `yes` (write true)"]),
    ("hosts: [{session: 1, expires_in: 90}]", &["1:34 expires_in wants a duration such as 90d, not a number (add a unit: 90s, 90m, 90h or 90d)"]),
    ("hosts: [{session: 1, expires_in: 1M}]", &["1:34 expires_in is not a duration: `1M` (write numbers with units, such as 90d, 12h, 15m or 1h 30m (s, m, h, d, w))"]),
    ("hosts: [{session: 1, expires_in: 1.5h}]", &["1:34 expires_in is not a duration: `1.5h` (write numbers with units, such as 90d, 12h, 15m or 1h 30m (s, m, h, d, w))"]),
    ("hosts: [{session: 1, expires_in: 30s}]", &["1:34 expires_in is too short: `30s` (it must be 1m or more)"]),
    ("hosts: [{session: 1, expires_in: 99999d}]", &["1:34 expires_in is too long: `99999d` (it must be 365d or less)"]),
    ("hosts: [{session: 1, expires_in: -1d}]", &["1:34 expires_in is not a duration: `-1d` (write numbers with units, such as 90d, 12h, 15m or 1h 30m (s, m, h, d, w))"]),
    ("hosts: [{session: 1, active: no}]", &["1:30 active wants true or false, not `no` (write false)"]),
    ("hosts: [{session: 1, active: TRUE}]", &["1:30 active wants true or false, not `TRUE` (write true)"]),
    ("hosts: [{session: 1, active: 1}]", &["1:30 active wants true or false, not `1` (write true)"]),
    ("hosts: [{session: 1, rotation: 1001}]", &["1:32 rotation is out of range: `1001` (it must be from 1 to 1000)"]),
    ("instances: [{id: fbaa8c9200004000800000000000000}]", &["1:18 id is not a UUID: `fbaa8c9200004000800000000000000` (write 8-4-4-4-12 hexadecimal digits: fbaa8c92-0000-4000-8000-000000000001)"]),
    ("instances: [{id: fbaa8c92-0000-4000-8000-00000000000g}]", &["1:18 id is not a UUID: `fbaa8c92-0000-4000-8000-00000000000g` (write 8-4-4-4-12 hexadecimal digits: fbaa8c92-0000-4000-8000-000000000001)"]),
    ("instances: [{id: fbaa8c92-0000-4000-8000-000000000001, name: Acme}]", &["1:62 name is not a name: `Acme` (use 1 to 63 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit)"]),
    ("instances: [{id: fbaa8c92-0000-4000-8000-000000000001, name: 7}]", &[r#"1:62 name wants a name, not a number (put it in quotes: "7")"#]),
    ("sessions: [{id: 1, title: !secret x}]", &["1:27 the tag `!secret` does not fit here (take it away; if the text begins with `!`, put it in quotes)"]),
    ("sessions: [{id: 1, title: !!int x}]", &["1:33 the tag `!!int` does not fit here (take it away; if the text begins with `!`, put it in quotes)"]),
    ("sessions: !!map [{id: 1}]", &["1:17 the tag `!!map` does not fit here (take it away; if the text begins with `!`, put it in quotes)"]),
    ("sessions: !set [{id: 1}]", &["1:11 the tag `!set` does not fit here (take it away; if the text begins with `!`, put it in quotes)"]),
    ("sessions: [*nowhere]", &["1:12 no anchor above names `*nowhere` (if the text begins with `*`, put it in quotes)"]),
    ("sessions: [{id: 1, title: *nowhere}]", &["1:27 no anchor above names `*nowhere` (if the text begins with `*`, put it in quotes)"]),
    ("sessions: &s [*s]", &["1:15 the alias stands inside what it stands for (write the values out; what follows in this document is not read)"]),
    ("sessions: [{*a : 1}]", &["1:12 the session lacks id (add `id:` with a whole number)", "1:13 an alias cannot be a key (write the key out)"]),
    ("%YAML 1.1\n---\nsessions: []", &["2:1 this document asks for YAML 1.1, and is read as YAML 1.2 (take the %YAML line away: `yes` and `on` are text here)"]),
    ("%YAML 2.0\n---\nsessions: []", &["1:1 only YAML 1 is read (take the %YAML line away)"]),
    ("sessions:\n  - id: 1\n   title: x", &["3:4 this does not go on from what stands above it (check its indentation; a list's entries begin with `- `)"]),
    ("sessions:\n  - id: 1\n    title: a: b", &["3:13 a second `: ` stands in this line, or its indentation is wrong (put a text that holds `: ` in quotes)"]),
    ("sessions:\n  - id: 1\n    title: @home", &["3:12 a text without quotes cannot begin so (put the text in quotes)"]),
    ("sessions:\n  - id: 1\n    title: \"C:\\path\"", &[r#"3:15 no escape begins so (in double quotes a backslash is written \\; or use single quotes)"#]),
    ("sessions: [{id: 1}", &["1:11 this `[` is not closed (what follows in this document is not read until it is)"]),
    ("sessions: [{id: 1]}", &["1:12 this `{` is closed by `]` (close each bracket with its own kind)"]),
    ("sessions: ]", &["1:11 nothing is open that this bracket closes (take it out)"]),
    ("sessions:\n- id: 1\nhosts", &["3:1 a `key: value` is expected here (check for a missing `: ` and for the indentation)"]),
    ("sessions: [{id: 1}] x", &["1:21 this does not go on from what stands above it (check its indentation; a list's entries begin with `- `)"]),
    ("a: 'open", &["1:1 unknown kind `a` (known here: sessions, hosts, instances)", "1:4 a quote is opened and not closed (close it with the same quote, or indent the lines between)"]),
    ("sessions: []\n\u{feff}hosts: []", &["2:1 a byte order mark stands inside the text (take it out)"]),
    ("sessions: \u{1}", &["1:11 the character U+0001 may not stand here (take it out)"]),
];
