//! Documents without a problem, and what their items hold.

use chrono::{DateTime, Utc};

use super::{Reading, reading};

fn right(text: &str) -> Reading {
    let reading = reading(text);
    assert!(reading.problems.is_empty(), "{text}\n{}", reading.problems.render(false, 120));
    reading
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn every_shape() {
    let reading = right(
        "sessions:\n  - id: 215\n    title: yes\n    status: ended\n    expires_at: 2026-12-31T23:59:59.1234567+03:00\n    protect: true\n\
         hosts:\n  - session: 215\n    expires_in: 1h 30m\n    active: false\n    missing_session: ~\n\
         instances:\n  - id: FBAA8C92-0000-4000-8000-000000000001\n    name: acme.example-1\n",
    );
    let items = reading.items();
    let [session, host, instance] = &items[..] else { panic!("three items") };
    assert_eq!(session.int("id"), Some(215));
    assert_eq!(session.text("title"), Some("yes"));
    assert_eq!(session.word("status"), Some("ended"));
    assert_eq!(session.nullable_time("expires_at"), Some(Some(time("2026-12-31T20:59:59.123456Z"))));
    assert_eq!((session.protect(), host.protect()), (Some(true), None));
    assert_eq!(session.place().to_string(), "state/a.yaml:2:5");
    assert_eq!(session.place_of("title").to_string(), "state/a.yaml:3:12");
    assert_eq!(session.place_of("nothing"), session.place());
    assert_eq!(host.duration("expires_in"), Some(std::time::Duration::from_secs(5_400)));
    assert_eq!(host.flag("active"), Some(false));
    assert!(host.is_null("missing_session") && host.has("missing_session") && !host.has("reason"));
    assert_eq!(host.word("missing_session"), None);
    assert_eq!(instance.uuid("id").unwrap().to_string(), "fbaa8c92-0000-4000-8000-000000000001");
    assert_eq!(instance.text("name"), Some("acme.example-1"));
}

#[test]
fn nullable_times_know_three_answers() {
    let reading = right("sessions: [{id: 1}, {id: 2, expires_at: null}, {id: 3, expires_at: 2026-12-31T23:59:59Z}]");
    let items = reading.items();
    let answers: Vec<_> = items.iter().map(|item| item.nullable_time("expires_at")).collect();
    assert_eq!(answers, [None, Some(None), Some(Some(time("2026-12-31T23:59:59Z")))]);
}

#[test]
fn unusual_but_right() {
    for (text, count) in [
        ("", 0),
        ("# nothing but a comment\n", 0),
        ("---\n...\n---\n", 0),
        ("~\n", 0),
        ("sessions:\n", 0),
        ("sessions: []\nhosts: ~\n", 0),
        ("\u{feff}sessions: [{id: 1}]\r\n---\r\nsessions: [{id: 2}]\r\n", 2),
        ("%YAML 1.2\n---\nsessions:\n- id: 1\n...\n", 1),
        ("sessions:\n- id: +5\n  title: !!str 215\n- id: !!int 6\n  title: ! true\n", 2),
        ("sessions: [{id: 1, expires_at: &end 2026-12-31T23:59:59Z}, {id: 2, expires_at: *end}]\n", 2),
        ("sessions: &all\n- &one {id: 1}\nhosts: []\n", 1),
        ("sessions:\n- id: 1\n  title: >-\n    folded\n    text\n- id: 2\n  title: |\n    kept\n", 2),
        ("? sessions\n: - ? id\n    : 1\n", 1),
        ("\"sessions\": [{\"id\": 1, \"title\": \"\\u0041\"}]", 1),
        ("sessions:\n- id: 9223372036854775807\n", 1),
        (
            "instances:\n- id: fbaa8c92-0000-4000-8000-000000000001\n  note: as fbaa8c92-0000-4000-8000-000000000002\n",
            1,
        ),
    ] {
        assert_eq!(right(text).items().len(), count, "{text}");
    }
}

#[test]
fn an_alias_to_one_value_stands_where_it_is_written() {
    let reading = right("sessions: [{id: 1, title: &t same}, {id: 2, title: *t}]");
    let items = reading.items();
    assert_eq!(items[1].text("title"), Some("same"));
    assert_eq!(items[1].place_of("title").column, 52);
}

#[test]
fn an_alias_to_a_map_is_read_again() {
    let reading = right("sessions: [&s {id: 1, title: x}, *s]");
    let items = reading.items();
    assert_eq!(items.iter().map(|item| item.int("id")).collect::<Vec<_>>(), [Some(1), Some(1)]);
}

#[test]
fn a_room_reports_at_a_field() {
    let reading = right("hosts:\n  - session: 1\n    expires_in: 90d\n");
    let items = reading.items();
    let problem = items[0].problem("expires_in", "too long for session 1", Some("write 30d".to_owned()));
    let mut problems = crate::yaml::problem::Problems::default();
    problems.push(problem.also(items[0].place(), "the session"));
    insta::assert_snapshot!(problems.render(false, 120), @"
    state/a.yaml:3:17: too long for session 1
      |
    3 |     expires_in: 90d
      |                 ^^^
      |
      = note: the session: state/a.yaml:2:5
      = help: write 30d
    ");
}
