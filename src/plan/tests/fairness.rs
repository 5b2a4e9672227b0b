//! What is held back waits alone: it stops no other resource, and takes nobody's place.

use super::super::budget::Budget;
use super::*;

/// Five hosts whose schedule is long due, of which the first three may not be touched.
fn due_hosts(limit: u64) -> Story {
    let items: String = (1..=5)
        .map(|id| format!("  - {{session: {id}, rotate_every: 1d{}}}\n", if id <= 3 { ", protect: true" } else { "" }))
        .collect();
    let mut story = Story::wants(&format!("hosts:\n{items}"));
    for id in 1..=5 {
        story = story.has_session(id, "S").has_host(id, |_| {});
    }
    story.terms.schedule_limit = limit;
    story
}

#[test]
fn hosts_that_are_held_back_do_not_use_up_the_schedule() {
    insta::assert_snapshot!(due_hosts(1).told(), @"
      ± host/4       generation 5 -> 6, by reconcile: scheduled, every 1d
                     the old GUID stays valid until the new one is claimed
      ! host/1       it is protected; to change it, write `protect: false` in its
                     item at week.yaml:2:5
      ! host/2       it is protected; to change it, write `protect: false` in its
                     item at week.yaml:3:5
      ! host/3       it is protected; to change it, write `protect: false` in its
                     item at week.yaml:4:5

    Plan: 1 to rotate; 3 blocked. 1 unchanged, 5 unmanaged.
    ");
    assert_eq!(due_hosts(2).plan().changes.len(), 2);
}

#[test]
fn a_rotation_that_waits_for_a_later_turn_does_not_hold_up_other_fields() {
    let mut story = due_hosts(1);
    story.desired =
        Story::wants("hosts: [{session: 4, rotate_every: 1d}, {session: 5, rotate_every: 1d, expires_in: 90d}]")
            .desired;
    insta::assert_snapshot!(story.told(), @"
      ± host/4       generation 5 -> 6, by reconcile: scheduled, every 1d
                     the old GUID stays valid until the new one is claimed
      ~ host/5       expires_at 2027-01-30T12:00:00Z

    Plan: 1 to update, 1 to rotate. 0 unchanged, 8 unmanaged.
    ");
}

#[test]
fn a_suspension_of_all_blocks_each_change_and_leaves_what_is_in_sync() {
    let mut story = Story::wants("sessions: [{id: 1, title: New}, {id: 2}]\nhosts: [{session: 3}]");
    story = story.has_session(1, "Old").has_session(2, "Two").has_session(3, "Three");
    story.ledger.all_suspended = Some("by Amina: exams".into());
    insta::assert_snapshot!(story.told(), @"
      ! session/1    applying is suspended by Amina: exams; `reconcile resume
                     --reason R`
      ! host/3       applying is suspended by Amina: exams; `reconcile resume
                     --reason R`

    Plan: nothing to change; 2 blocked. 1 unchanged, 1 unmanaged.
    ");
}

#[test]
fn a_host_waits_for_a_session_that_is_held_back_and_for_no_other() {
    let mut story = Story::wants("sessions: [{id: 1}, {id: 2}]\nhosts: [{session: 1}, {session: 2}]");
    story.ledger.suspended.insert(ResourceId::new(Session::KIND, 1), "by Amina: exams".into());
    insta::assert_snapshot!(story.told(), @r#"
      + session/2    title "Session 2", status active, created_by "reconcile"
      + host/2       rotation 1, by Noor Team
      ! session/1    it is suspended by Amina: exams; `reconcile resume session/1
                     --reason R`
      ! host/1       it waits for session/1, which this plan does not create; see to
                     session/1 first

    Plan: 2 to create; 2 blocked. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn each_kind_has_a_budget_of_its_own_and_what_is_held_back_is_not_counted() {
    let budget = Budget { percent: 30, from: 10 };
    let rotations = |changed: i64, protect: &str| {
        let items: String = (1..=10)
            .map(|id| format!("  - {{session: {id}, rotation: {}{protect}}}\n", if id <= changed { 4 } else { 3 }))
            .collect();
        let mut story = Story::wants(&format!("hosts:\n{items}"));
        for id in 1..=10 {
            story = story.has_session(id, "S").has_host(id, |_| {});
        }
        story.plan().hold(budget, &[]).held.into_iter().map(|held| held.why).collect::<Vec<_>>()
    };
    assert_eq!(rotations(4, ""), ["4 of 10 hosts would change (limit 30 %)"]);
    assert!(rotations(3, "").is_empty());
    assert!(rotations(10, ", protect: true").is_empty());
}

#[test]
fn the_same_pictures_and_the_same_time_give_the_same_plan() {
    let story = due_hosts(3);
    let (first, second) = (story.plan(), story.plan());
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}
