//! The budget, long plans, digests, and the forms for machines and for pull requests.

use super::super::budget::{Budget, Force};
use super::super::render::{json, markdown};
use super::*;
use crate::change::Width;

const BUDGET: Budget = Budget { percent: 30, from: 10 };

/// `all` sessions, of which `changed` differ.
fn sessions(all: i64, changed: i64) -> Story {
    let items: String = (1..=all).map(|id| format!("  - {{id: {id}, title: Title {id}}}\n")).collect();
    let mut story = Story::wants(&format!("sessions:\n{items}"));
    for id in 1..=all {
        let title = if id <= changed { "Other".to_owned() } else { format!("Title {id}") };
        story = story.has_session(id, &title);
    }
    story
}

/// Why changes wait.
fn held(story: &Story, approvals: &[String]) -> Vec<String> {
    story.plan().hold(BUDGET, approvals).held.into_iter().map(|held| held.why).collect()
}

#[test]
fn a_run_that_changes_too_much_at_once_waits() {
    assert!(held(&sessions(10, 3), &[]).is_empty());
    assert_eq!(held(&sessions(10, 4), &[]), ["4 of 10 sessions would change (limit 30 %)"]);
    assert!(held(&sessions(9, 9), &[]).is_empty(), "of a few, any change is a large share");
    let plan = sessions(10, 4).plan().hold(BUDGET, &[]);
    let digest = plan.held[0].digest.clone();
    let shown = text(&plan, Looks { color: false, width: Width::of_terminal(80), most: 9 });
    let line = format!("not applied: 4 of 10 sessions would change (limit 30 %); run `reconcile approve {digest}");
    assert!(shown.replace("\n  ", " ").contains(&line), "{shown}");
    assert_eq!(json(&plan)["held"][0]["digest"], digest);
    assert!(markdown(&plan, 9).contains(&digest));
    assert_eq!(plan.approve(None).changes().count(), 0);
}

#[test]
fn creates_are_free_and_the_schedule_has_a_limit_of_its_own() {
    let mut story = sessions(10, 0);
    story.observed.sessions.rows.retain(|id, _| id.0 == 1);
    assert!(held(&story, &[]).is_empty());
    let mut story = Story::wants("");
    let items: String = (1..=20).map(|id| format!("  - {{session: {id}, rotate_every: 1d}}\n")).collect();
    for id in 1..=20 {
        story = story.has_session(id, "S").has_host(id, |_| {});
    }
    story.desired = Story::wants(&format!("hosts:\n{items}")).desired;
    assert_eq!(story.plan().changes.len(), 20);
    assert!(held(&story, &[]).is_empty());
}

#[test]
fn force_and_approval_let_it_pass() {
    let plan = sessions(10, 9).plan();
    let waits = plan.clone().hold(BUDGET, &[]);
    let digest = waits.held[0].digest.clone();
    assert_eq!(waits.approve(Some(Force { reason: "meant".into() })).changes().count(), 9);
    let approved = plan.clone().hold(BUDGET, std::slice::from_ref(&digest));
    assert_eq!((approved.approved.as_slice(), approved.held.len()), (&[digest][..], 0));
    assert_eq!(approved.approve(None).changes().count(), 9);
    assert_eq!(plan.hold(BUDGET, &["another".into()]).approve(None).changes().count(), 0);
}

#[test]
fn what_the_budget_does_not_concern_is_applied_and_drift_does_not_void_an_approval() {
    let mut story = sessions(20, 10).has_host(1, |_| {});
    let hosts = Story::wants("hosts: [{session: 1, rotation: 4, reason: Lost}]").desired.hosts;
    story.desired.hosts = hosts;
    let plan = story.plan().hold(BUDGET, &[]);
    let digest = plan.held[0].digest.clone();
    let applied: Vec<String> = plan.approve(None).changes().map(|planned| planned.change.id.to_string()).collect();
    assert_eq!(applied, ["host/1"]);
    // Somebody changes another row meanwhile: the same plan waits, and what drifted is put right.
    let twenty = story.observed.sessions.rows.get_mut(&SessionId(20)).unwrap();
    twenty.title = "Drifted".to_owned();
    let digests = Story { desired: story.desired.clone(), ..sessions(20, 0) }.was_applied().ledger.applied;
    let id = ResourceId::new(Session::KIND, 20);
    story.ledger.applied.insert(id.clone(), digests[&id].clone());
    let plan = story.plan().hold(BUDGET, &[]);
    assert_eq!(plan.held[0].digest, digest);
    let applied: Vec<String> = plan.approve(None).changes().map(|planned| planned.change.id.to_string()).collect();
    assert_eq!(applied, ["session/20", "host/1"]);
}

#[test]
fn a_mass_drift_waits_under_a_digest_of_its_own() {
    let story = sessions(10, 4).was_applied();
    assert_eq!(held(&story, &[]), ["4 of 10 sessions would change (limit 30 %, drift)"]);
    assert!(held(&sessions(10, 3).was_applied(), &[]).is_empty());
}

#[test]
fn the_digest_is_that_of_the_changes_whenever_they_are_planned() {
    let mut story = sessions(10, 4);
    let first = story.plan().digest();
    story.terms.now = at("2027-01-01T00:00:00Z");
    assert_eq!(story.plan().digest(), first);
    assert_ne!(sessions(10, 5).plan().digest(), first);
    assert_eq!(first.len(), 32);
}

#[test]
fn a_long_plan_shows_its_beginning_and_counts_the_rest() {
    let story = sessions(300, 300);
    let shown = text(&story.plan(), Looks { color: false, width: Width::of_terminal(80), most: 200 });
    assert_eq!(shown.matches("  ~ session/").count(), 200);
    assert!(shown.contains("… and 100 more changes; --all shows them"), "{shown}");
    let all = text(&story.plan(), Looks { color: false, width: Width::of_terminal(80), most: usize::MAX });
    assert_eq!(all.matches("  ~ session/").count(), 300);
}

#[test]
fn colour_is_only_for_terminals() {
    let plan = sessions(2, 1).plan();
    assert!(!text(&plan, Looks { color: false, width: Width::of_terminal(80), most: 9 }).contains('\u{1b}'));
    assert!(
        text(&plan, Looks { color: true, width: Width::of_terminal(80), most: 9 })
            .contains("\u{1b}[33m~\u{1b}[0m session/1")
    );
}

#[test]
fn json_holds_what_a_machine_needs() {
    let yaml = "sessions: [{id: 1, title: New}]\nhosts: [{session: 1, rotation: 4, reason: Lost}, {session: 9}]";
    let plan = Story::wants(yaml).has_session(1, "Old").has_host(1, |_| {}).plan();
    let mut json = json(&plan);
    assert_eq!(json["digest"].take(), plan.digest());
    insta::assert_snapshot!(format!("{json:#}"), @r#"
    {
      "blocked": [
        {
          "address": "host/9",
          "hint": "declare it under sessions: or set missing_session: create",
          "kind": "host",
          "name": "9",
          "reason": "session 9 does not exist in sessions (nearest: 1)"
        }
      ],
      "catalog": "KSESSIONS_DEV",
      "digest": null,
      "driver": "sqlite",
      "environment": "development",
      "format_version": "1.0",
      "held": [],
      "lineage": null,
      "notes": [],
      "planned_at": "2026-12-01T12:00:00Z",
      "preparation": null,
      "resource_changes": [
        {
          "actions": [
            "update"
          ],
          "actor": null,
          "address": "session/1",
          "after": {
            "title": "New"
          },
          "after_unknown": {},
          "before": {
            "title": "Old"
          },
          "kind": "session",
          "name": "1",
          "origin": "intended",
          "reason": null
        },
        {
          "actions": [
            "rotate"
          ],
          "actor": "Noor Team",
          "address": "host/1",
          "after": {
            "rotation": 4
          },
          "after_unknown": {
            "attempt": true,
            "host_guid_hash": true
          },
          "before": {
            "rotation": 3
          },
          "kind": "host",
          "name": "1",
          "origin": "intended",
          "reason": "Lost"
        }
      ],
      "revision": {
        "actor": "Noor Team",
        "author": "Noor Team",
        "commit": "4f1c2ab9",
        "compared": "clean",
        "dirty": false
      },
      "schema_missing": false,
      "state": "desired-state",
      "summary": {
        "blocked": 1,
        "create": 0,
        "drift": 0,
        "resume": 0,
        "rotate": 1,
        "unchanged": 0,
        "unmanaged": 0,
        "update": 1
      }
    }
    "#);
}

#[test]
fn markdown_is_inert() {
    let story = Story::wants("sessions: [{id: 1, title: Plain}]\nhosts: [{session: 9}]");
    let nasty = "<img src=x onerror=alert(1)> | @everyone [a](http://b) `c` *d*\n# e";
    insta::assert_snapshot!(markdown(&story.has_session(1, nasty).plan(), 200), @r#"
    ### reconcile plan: 1 to update; 1 blocked. 0 unchanged, 0 unmanaged.

    **environment** development · **catalog** KSESSIONS\_DEV · sqlite · desired-state @ 4f1c2ab (clean)

    | | resource | change | |
    |---|---|---|---|
    | ✏️ update | session/1 | title "&lt;img src=x onerror=alert(1)&gt; \| @&#8203;everyone \[a\](http&#58;//b) \`c\` \*d\*\\n\#&#8203; e" -&gt; "Plain" |  |

    **Blocked**

    - host/9: session 9 does not exist in sessions (nearest&#58; 1); declare it under sessions&#58; or set missing\_session&#58; create
    "#);
}
