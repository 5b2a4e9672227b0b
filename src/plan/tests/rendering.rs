//! How a plan reads: its header, its width, its marks, and nothing in it that acts on its reader's screen or page.

use crate::change::Width;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::super::render::{Looks, PlanLine, json, markdown, text};
use super::*;

const PLAIN: Looks = Looks { color: false, width: Width::of_terminal(80), most: 200 };
/// Wide enough for the header.
const WIDE: Looks = Looks { width: Width::of_terminal(100), ..PLAIN };

#[test]
fn the_first_line_says_where_and_from_which_commit() {
    let mut plan = Story::wants("sessions: [{id: 215, title: Surah Al-Fatiha}]").has_session(216, "Al-Baqara").plan();
    insta::assert_snapshot!(text(&plan, WIDE), @r#"
    environment development · catalog KSESSIONS_DEV · sqlite · desired-state @ 4f1c2ab (clean)

      + session/215  title "Surah Al-Fatiha", status active, created_by "reconcile"

    Plan: 1 to create. 0 unchanged, 1 unmanaged.
    "#);
    plan.header.is_new = true;
    plan.header.revision.compared = Compared::Dirty;
    insta::assert_snapshot!(text(&plan, WIDE).lines().take(2).collect::<Vec<_>>().join("\n"), @"
    environment development · catalog KSESSIONS_DEV · sqlite · desired-state @ 4f1c2ab (dirty)
    schema will be created, database will be stamped `development`
    ");
    plan.header.driver = "postgres";
    let first = "the schema is missing: run `reconcile migrate` first, which stamps the database `development`";
    assert_eq!(text(&plan, WIDE).lines().nth(1), Some(first));
    assert_eq!(json(&plan)["preparation"], first);
    assert!(markdown(&plan, 9).contains("run \\`reconcile migrate\\` first"), "{}", markdown(&plan, 9));
    plan.header.revision.commit = None;
    assert!(text(&plan, WIDE).contains("desired-state @ no commit\n"));
}

#[test]
fn nothing_to_do_is_said_in_one_line() {
    let story = Story::wants("sessions: [{id: 1}]").has_session(1, "One");
    insta::assert_snapshot!(text(&story.plan(), WIDE), @"
    environment development · catalog KSESSIONS_DEV · sqlite · desired-state @ 4f1c2ab (clean)

    No changes. The database matches the desired state. 1 unchanged.
    ");
}

#[test]
fn the_mark_of_drift_stays_within_the_margin() {
    let yaml = "sessions: [{id: 215, title: The opening of the book, status: ended, created_by: Noor Team}]";
    insta::assert_snapshot!(Story::wants(yaml).has_session(215, "The opening of a book").was_applied().told(), @r#"
      ~ session/215  title "The opening of a book" -> "The opening of the      drift
                     book", status active -> ended

    Plan: 1 to update. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn a_long_address_stands_in_a_line_of_its_own() {
    let yaml =
        "sessions: [{id: 9223372036854775807, title: The last of them all and a title that needs room}, {id: 1}]";
    insta::assert_snapshot!(Story::wants(yaml).was_applied().told(), @r#"
      + session/1                 title "Session 1", status active,            drift
                                  created_by "reconcile"
      + session/9223372036854775807                                            drift
                                  title "The last of them all and a title
                                  that needs room", status active, created_by
                                  "reconcile"

    Plan: 2 to create. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn blocked_resources_and_notes_of_a_long_plan_are_counted_too() {
    let hosts: String = (1..=7).map(|id| format!("  - session: {id}\n")).collect();
    let mut story = Story::wants(&format!("hosts:\n{hosts}"));
    let most = Looks { color: false, width: Width::of_terminal(80), most: 5 };
    let blocked = text(&story.plan(), most);
    assert_eq!(blocked.matches("  ! host/").count(), 5);
    assert!(blocked.contains("\n    … and 2 more blocked; --all shows them\n"), "{blocked}");
    for id in 1..=7 {
        story = story.has_session(id, "S").has_host(id, |row| row.key_id = Some("old".into()));
    }
    let noted = text(&story.plan(), most);
    assert_eq!(noted.matches("  i host/").count(), 5);
    assert!(noted.contains("\n    … and 2 more notes; --all shows them\n"), "{noted}");
}

#[test]
fn a_report_shows_each_resource_as_the_plan_did() {
    let yaml = "sessions: [{id: 1, title: New}]\nhosts: [{session: 9}]";
    let plan = Story::wants(yaml).has_session(1, "Old").was_applied().plan();
    insta::assert_snapshot!(PlanLine::of_change(&plan.changes[0].change).text(Width::of_terminal(80)), @r#"  ~ session/1    title "Old" -> "New"                                      drift"#);
    insta::assert_snapshot!(PlanLine::of_blocked(&plan.blocked[0]).text(Width::of_terminal(80)), @"
      ! host/9       session 9 does not exist in sessions (nearest: 1); declare it
                     under sessions: or set missing_session: create
    ");
}

#[test]
fn json_of_a_new_resource_has_no_before_and_says_what_only_applying_knows() {
    let json = json(&Story::wants("sessions: [{id: 1}]\nhosts: [{session: 1}]").was_applied().plan());
    let (session, host) = (&json["resource_changes"][0], &json["resource_changes"][1]);
    assert_eq!(session["before"], serde_json::Value::Null);
    assert_eq!(session["after"]["title"], "Session 1");
    assert_eq!(session["origin"], "drift");
    assert_eq!(host["actions"], serde_json::json!(["create"]));
    assert_eq!(host["after_unknown"], serde_json::json!({ "attempt": true, "host_guid_hash": true }));
    assert_eq!(json["summary"]["drift"], 2);
}

#[test]
fn markdown_shows_origin_notes_and_what_it_left_out() {
    let yaml = "sessions: [{id: 1, title: A}, {id: 2, title: B}]\nhosts: [{session: 1, rotation: 4}, {session: 8}, {session: 9}]";
    let story = Story::wants(yaml).has_session(1, "X").has_session(2, "Y");
    let story = story.has_host(1, |_| {}).has_host(2, |_| {}).was_applied();
    let mut plan = story.plan();
    plan.header.is_new = true;
    insta::assert_snapshot!(markdown(&plan, 1), @r#"
    ### reconcile plan: 2 to update, 1 to rotate; 2 blocked. 0 unchanged, 1 unmanaged.

    **environment** development · **catalog** KSESSIONS\_DEV · sqlite · desired-state @ 4f1c2ab (clean)

    schema will be created, database will be stamped \`development\`

    | | resource | change | |
    |---|---|---|---|
    | ✏️ update | session/1 | title "X" -&gt; "A" | drift |

    … and 2 more changes.

    **Blocked**

    - host/8: session 8 does not exist in sessions (nearest&#58; 1, 2); declare it under sessions&#58; or set missing\_session&#58; create
    - … and 1 more
    "#);
    insta::assert_snapshot!(markdown(&plan, 9).lines().find(|line| line.contains("host/1")).unwrap(), @"| 🔁 rotate | host/1 | rotation 3 -&gt; 4, by reconcile<br>session 1 is live&#58; its host will have to sign in again | drift |");
}

#[test]
fn markdown_calls_nobody_and_leads_nowhere() {
    let nasty = "@everyone #1 $x$ www.example.org \u{202e}moc";
    let markdown = markdown(&Story::wants("sessions: [{id: 1, title: Plain}]").has_session(1, nasty).plan(), 200);
    let row = markdown.lines().find(|line| line.contains("session/1")).unwrap();
    insta::assert_snapshot!(row, @r#"| ✏️ update | session/1 | title "@&#8203;everyone \#&#8203;1 <span>$</span>x<span>$</span> www&#8203;.example.org \\u\{202e\}moc" -&gt; "Plain" |  |"#);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, rng_seed: RngSeed::Fixed(215), failure_persistence: None, ..ProptestConfig::default() })]

    /// Words of at most 40 columns, whatever their letters: no line is longer than a terminal, none moves its cursor,
    /// and no form of the plan is broken by what stands in a row.
    #[test]
    fn whatever_stands_in_a_row_is_only_shown(words in proptest::collection::vec("\\PC{0,20}[\\x00-\\x1f\"\\\\|]?", 1..8)) {
        let title = words.join(" ");
        let story = Story::wants("sessions: [{id: 1, title: Plain, status: ended}]").has_session(1, &title);
        let plan = story.was_applied().plan();
        let shown = text(&plan, PLAIN);
        prop_assert!(!shown.chars().any(|letter| letter.is_control() && letter != '\n'), "{shown:?}");
        let words_fit = shown.split([' ', '\n']).all(|word| word.chars().count() <= 40);
        let too_wide = shown.lines().skip(1).find(|line| line.chars().count() > 80);
        prop_assert!(!words_fit || too_wide.is_none(), "{shown}");
        let rows = markdown(&plan, 200).lines().filter(|line| line.starts_with("| ✏️")).count();
        prop_assert_eq!(rows, 1, "one row of the table");
        prop_assert_eq!(&json(&plan)["resource_changes"][0]["before"]["title"], &serde_json::json!(title));
    }
}
