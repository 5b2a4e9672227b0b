//! Hosts: created, rotated by number and by schedule, never otherwise; and blocked with a way out.

use super::*;

const LIVE: &str = "sessions: [{id: 215}]\nhosts: [{session: 215, ";

fn host(fields: &str, differs: impl FnOnce(&mut host::Observed)) -> Story {
    Story::wants(&format!("{LIVE}{fields}}}]")).has_session(215, "Al-Fatiha").has_host(215, differs)
}

#[test]
fn a_new_host_waits_for_nothing_but_its_session() {
    let yaml = "sessions: [{id: 215}]\nhosts: [{session: 215, rotation: 2, expires_in: 90d, reason: New term, rotated_by: Amina}]";
    insta::assert_snapshot!(Story::wants(yaml).told(), @r#"
      + session/215  title "Session 215", status active, created_by "reconcile"
      + host/215     rotation 2, expires_in 90d, by Amina: New term

    Plan: 2 to create. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn a_missing_session_blocks_its_host_and_names_the_nearest() {
    let yaml = "hosts: [{session: 999}, {session: 5, missing_session: create}]";
    let story = Story::wants(yaml).has_session(215, "One").has_session(998, "Two").has_session(1001, "Three");
    insta::assert_snapshot!(story.told(), @r#"
      + host/5       rotation 1, by Noor Team
                     session 5 will be created: "Auto-Generated Session 5"
      ! host/999     session 999 does not exist in sessions (nearest: 215, 998,
                     1001); declare it under sessions: or set missing_session:
                     create

    Plan: 1 to create; 1 blocked. 0 unchanged, 3 unmanaged.
    "#);
    insta::assert_snapshot!(Story::wants("hosts: [{session: 999}]").told(), @"
      ! host/999     session 999 does not exist in sessions; declare it under
                     sessions: or set missing_session: create

    Plan: nothing to change; 1 blocked. 0 unchanged, 0 unmanaged.
    ");
}

#[test]
fn a_higher_number_rotates_and_says_what_it_costs() {
    insta::assert_snapshot!(host("rotation: 4, rotated_by: Security Team, reason: Suspected compromise", |_| {}).told(), @"
      ± host/215     rotation 3 -> 4, by Security Team: Suspected compromise
                     session 215 is live: its host will have to sign in again

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(host("rotation: 4, overlap: 15m", |_| {}).told(), @"
      ± host/215     rotation 3 -> 4, by Noor Team
                     session 215 is live: the old GUID stays valid for 15m

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
    let mut closed = host("rotation: 4", |_| {});
    closed.observed.sessions.rows.get_mut(&SessionId(215)).unwrap().status = "ended".into();
    insta::assert_snapshot!(closed.told(), @"
      ± host/215     rotation 3 -> 4, by Noor Team

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn the_same_number_does_nothing_and_a_lower_one_is_an_old_commit() {
    insta::assert_snapshot!(host("rotation: 3", |_| {}).told(), @"No changes. The database matches the desired state. 2 unchanged.");
    insta::assert_snapshot!(host("rotation: 2", |_| {}).told(), @"
      ! host/215     the file says rotation 2, but 3 was applied: this is an old
                     commit; a lower number is not a wish to go back: say 3 or more

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn a_host_that_was_made_by_hand_is_adopted_and_not_rotated() {
    insta::assert_snapshot!(host("rotation: 1", |row| row.rotation = 0).told(), @"
      ~ host/215     rotation 0 -> 1
                     the GUID that is there stays valid: it is adopted, not rotated

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(host("rotation: 2", |row| row.rotation = 0).told(), @"
      ± host/215     rotation 0 -> 2, by Noor Team
                     session 215 is live: its host will have to sign in again

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn the_schedule_rotates_when_its_time_has_come_and_keeps_the_old_guid() {
    insta::assert_snapshot!(host("rotate_every: 29d", |_| {}).told(), @"
      ± host/215     generation 5 -> 6, by reconcile: scheduled, every 29d
                     the old GUID stays valid until the new one is claimed

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(host("rotate_every: 31d", |_| {}).told(), @"No changes. The database matches the desired state. 2 unchanged.");
    // Not while the last one still waits to be claimed.
    let waiting = host("rotate_every: 29d", |row| (row.claimed_at, row.whereabouts) = (None, Whereabouts::Waiting));
    assert_eq!(waiting.plan().changes.len(), 0);
}

#[test]
fn a_host_that_was_made_by_hand_is_adopted_by_its_first_scheduled_rotation() {
    let by_hand = |row: &mut host::Observed| row.rotation = 0;
    insta::assert_snapshot!(host("rotation: 1, rotate_every: 29d", by_hand).told(), @"
      ± host/215     rotation 0 -> 1, generation 5 -> 6, by reconcile: scheduled,
                     every 29d
                     the old GUID stays valid until the new one is claimed

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
    let plan = host("rotation: 1, rotate_every: 29d", by_hand).plan();
    let Step::Host(step) = &plan.changes[0].change.step else { panic!("not a host") };
    assert!(matches!(**step, host::Step::Mint(host::Mint { rotation: Some(1), .. })), "{step:?}");
}

#[test]
fn the_schedule_has_a_limit_per_turn_and_is_spread() {
    let mut story = Story::wants("");
    for id in 1..=50 {
        story = story.has_session(id, "S").has_host(id, |_| {});
    }
    let items: String = (1..=50).map(|id| format!("  - {{session: {id}, rotate_every: 30d}}\n")).collect();
    story.desired = Story::wants(&format!("hosts:\n{items}")).desired;
    let due = |minutes: i64| {
        let moved = Terms { now: at(NOON) + chrono::TimeDelta::minutes(minutes), ..story.terms.clone() };
        plan(story.plan().header, &story.desired, &story.observed, &story.ledger, &moved).changes.len()
    };
    assert_eq!(due(-1), 0, "never before its time");
    let (early, later) = (due(15), due(45));
    assert!(0 < early && early < later && later < 50, "spread over an hour: {early}, {later}");
    assert_eq!(due(60), 50);
    story.terms.schedule_limit = 7;
    story.terms.now = at("2026-12-02T00:00:00Z");
    assert_eq!(story.plan().changes.len(), 7);
}

#[test]
fn expiry_counts_from_the_rotation() {
    insta::assert_snapshot!(host("expires_in: 90d", |_| {}).told(), @"
      ~ host/215     expires_at 2027-01-30T12:00:00Z

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
    let kept = host("expires_in: 90d", |row| row.expires_at = Some(at("2027-01-30T12:00:00Z")));
    insta::assert_snapshot!(kept.told(), @"No changes. The database matches the desired state. 2 unchanged.");
    insta::assert_snapshot!(host("expires_at: null", |row| row.expires_at = Some(at("2027-01-30T12:00:00Z"))).told(), @"
      ~ host/215     expires_at 2027-01-30T12:00:00Z -> (none)

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn revocation_is_sticky_until_a_higher_number() {
    let revoke = |row: &mut host::Observed| {
        (row.is_active, row.revoked_at, row.revoked_by) = (false, Some(at(NOON)), Some("Security Team".into()));
    };
    insta::assert_snapshot!(host("rotation: 3, active: true", revoke).told(), @"
      ! host/215     it was revoked by Security Team at 2026-12-01T12:00:00Z, and
                     revocation is sticky; raise rotation, or `reconcile host rotate
                     --session-id 215`

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(host("rotation: 3, rotate_every: 1d", revoke).told(), @"No changes. The database matches the desired state. 2 unchanged.");
    insta::assert_snapshot!(host("rotation: 4, overlap: 15m", revoke).told(), @"
      ± host/215     rotation 3 -> 4, active false -> true, revoked_at
                     2026-12-01T12:00:00Z -> (none), by Noor Team
                     session 215 is live: its host will have to sign in again

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn a_guid_that_nobody_claimed_in_time_is_blocked_until_it_is_rotated() {
    let expire = |row: &mut host::Observed| row.claimed_at = None;
    insta::assert_snapshot!(host("rotation: 3, rotate_every: 1d", expire).told(), @"
      ! host/215     the GUID minted at 2026-11-01T12:00:00Z expired in the hand-off
                     before anybody claimed it; raise rotation, or `reconcile host
                     rotate --session-id 215`

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(host("rotation: 3", |row| (row.claimed_at, row.previous_valid) = (None, true)).told(), @"
      ! host/215     the GUID minted at 2026-11-01T12:00:00Z expired in the hand-off
                     before anybody claimed it; the one before it is still valid;
                     raise rotation, or `reconcile host rotate --session-id 215`

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    assert_eq!(host("rotation: 4", expire).plan().changes.len(), 1);
}

#[test]
fn several_active_guids_are_blocked_until_somebody_consolidates() {
    insta::assert_snapshot!(host("rotation: 9", |row| row.active_rows = 3).told(), @"
      ! host/215     3 active GUIDs stand for session 215; `reconcile host
                     consolidate` keeps the newest

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn active_is_a_field_like_any_other() {
    insta::assert_snapshot!(host("active: false", |_| {}).was_applied().told(), @"
      ~ host/215     active true -> false                                      drift

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(host("active: true", |row| row.is_active = false).was_applied().told(), @"
      ~ host/215     active false -> true                                      drift

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
    assert_eq!(Story::wants("hosts: [{session: 1, active: false}]").has_session(1, "S").plan().changes.len(), 0);
}

#[test]
fn keys_that_went_out_of_use_are_noted_and_ask_for_nothing() {
    insta::assert_snapshot!(host("rotation: 3", |row| row.key_id = Some("old".into())).told(), @"
      i host/215     its hash was made with the retired key old; the next rotation
                     uses new

    No changes. The database matches the desired state. 2 unchanged.
    ");
    insta::assert_snapshot!(host("rotation: 3", |row| row.key_id = Some("lost".into())).told(), @"
      i host/215     its key lost is not in the ring: its GUID cannot be verified
                     until it is

    No changes. The database matches the desired state. 2 unchanged.
    ");
    insta::assert_snapshot!(host("rotation: 3", |row| row.expires_at = Some(at(NOON))).told(), @"
      i host/215     its GUID has expired; raise rotation for a new one

    No changes. The database matches the desired state. 2 unchanged.
    ");
}

#[test]
fn a_guid_that_would_have_expired_is_told_of_beforehand() {
    let past = "expires_at: 2026-11-30T00:00:00Z";
    insta::assert_snapshot!(host(&format!("rotation: 4, {past}"), |_| {}).told(), @"
      ± host/215     rotation 3 -> 4, expires_at 2026-11-30T00:00:00Z, by Noor Team
                     session 215 is live: its host will have to sign in again
                     its expires_at, 2026-11-30T00:00:00Z, is past: the new GUID
                     opens nothing

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
    let over = |row: &mut host::Observed| row.expires_at = Some("2026-11-30T00:00:00Z".parse().unwrap());
    insta::assert_snapshot!(host(&format!("rotation: 3, {past}"), over).told(), @"
      i host/215     its GUID has expired; write a later expires_at

    No changes. The database matches the desired state. 2 unchanged.
    ");
    let new = format!("sessions: [{{id: 5}}]\nhosts: [{{session: 5, {past}}}]");
    assert!(Story::wants(&new).told().contains("is past: the new GUID"), "a host that is made says it too");
}

#[test]
fn without_usable_keys_only_what_mints_is_blocked() {
    let mut story = Story::wants("sessions: [{id: 1}]\nhosts: [{session: 1}]");
    let (reason, hint) = ("no host key is configured".to_owned(), "configure one".to_owned());
    story.terms.keys = Keys::Unusable { reason, hint };
    insta::assert_snapshot!(story.told(), @r#"
      + session/1    title "Session 1", status active, created_by "reconcile"
      ! host/1       no host key is configured; configure one

    Plan: 1 to create; 1 blocked. 0 unchanged, 0 unmanaged.
    "#);
}

fn unclaimed(whereabouts: Whereabouts) -> impl FnOnce(&mut host::Observed) {
    |row| (row.claimed_at, row.whereabouts) = (None, whereabouts)
}

#[test]
fn a_guid_that_its_store_lost_before_its_time_is_made_anew_and_the_plan_says_why() {
    insta::assert_snapshot!(host("rotation: 3, rotate_every: 1d", unclaimed(Whereabouts::Lost)).told(), @"
      > host/215     the handoff lost the GUID before anybody claimed it, so a new
                     one is made

    Plan: 1 to resume. 1 unchanged, 0 unmanaged.
    ");
    // It is not a rotation: the budget does not count it, and nobody has to sign in again.
    let plan = host("rotation: 3", unclaimed(Whereabouts::Lost)).plan();
    assert_eq!(plan.changes[0].change.action, Action::Resume);
    for stays in ["rotation: 3, active: false", "rotation: 2"] {
        let plan = host(stays, unclaimed(Whereabouts::Lost)).plan();
        assert!(plan.changes.iter().all(|planned| planned.change.action != Action::Resume), "{stays}");
    }
    let mut suspended = host("rotation: 3", unclaimed(Whereabouts::Lost));
    suspended.ledger.suspended.insert(ResourceId::new(Host::KIND, 215), "by Amina".to_owned());
    assert_eq!(suspended.plan().changes.len(), 0, "suspended");
    assert_eq!(host("rotation: 3, protect: true", unclaimed(Whereabouts::Lost)).plan().changes.len(), 0, "protected");
    let mut recorded = host("rotation: 3", unclaimed(Whereabouts::Lost));
    recorded.ledger.protected.insert(ResourceId::new(Host::KIND, 215));
    assert_eq!(recorded.plan().changes.len(), 0, "protected in the database");
    let revoked = host("rotation: 3", |row| {
        unclaimed(Whereabouts::Lost)(row);
        row.revoked_at = Some(at(NOON));
    });
    assert_eq!(revoked.plan().changes.len(), 0, "revoked");
}

#[test]
fn what_is_made_anew_keeps_the_expiry_and_the_guid_before_it() {
    let until = at("2027-01-01T00:00:00Z");
    let made = |desired: &str| {
        let plan = host(desired, |row| {
            unclaimed(Whereabouts::Lost)(row);
            (row.expires_at, row.overlap_until) = (Some(until), Some(until));
        })
        .plan();
        let Step::Host(step) = plan.changes[0].change.step.clone() else { panic!("not a host") };
        let host::Step::Mint(mint) = *step else { panic!("not a GUID") };
        mint
    };
    let mint = made("rotation: 3");
    assert_eq!(mint.expiry, Some(host::Expiry::At(until)), "no file manages it");
    assert_eq!((mint.keep, mint.rotation), (host::Keep::Former { overlap_until: Some(until) }, None));
    assert_eq!(made("rotation: 3, expires_in: 90d").expiry, Some(host::Expiry::In(Duration::from_secs(90 * 86_400))));
    assert_eq!(made("rotation: 3, expires_at: null").expiry, None);
    // It would have opened nothing any more.
    let over = host("rotation: 3", |row| {
        unclaimed(Whereabouts::Lost)(row);
        row.expires_at = Some(at(NOON));
    });
    assert_eq!(over.plan().changes.len(), 0);
}

#[test]
fn what_cannot_be_known_from_here_is_one_note_and_blocks_nothing() {
    let mut story =
        Story::wants("hosts: [{session: 1}, {session: 2}, {session: 3}, {session: 4}, {session: 5, rotation: 4}]");
    for id in 1..=5 {
        story = story.has_session(id, "S").has_host(id, |row| {
            unclaimed(Whereabouts::Unknown(Unknown::NoRedis))(row);
            row.rotation = if id == 5 { 3 } else { 1 };
        });
    }
    let told = story.flat();
    let note = "i host/1 unknown from here: no handoff is configured (redis.url), and it was put into Redis; set redis.url to \
                know, and to claim here; the same of 4 more: host/2, host/3, host/4, … Plan: 1 to rotate.";
    assert!(told.contains(note), "{told}");
    let told = host("rotation: 3", unclaimed(Whereabouts::Unknown(Unknown::OtherMachine))).told();
    assert!(!told.contains("expired") && !told.contains("raise"), "{told}");
    assert!(told.contains("1 unchanged") || told.contains("2 unchanged"), "{told}");
}

#[test]
fn a_key_that_is_missing_is_named_once_however_many_hosts_were_made_with_it() {
    let mut story = Story::wants("hosts: [{session: 1}, {session: 2}, {session: 3}]");
    for id in 1..=2 {
        story = story.has_session(id, "S").has_host(id, |row| (row.rotation, row.key_id) = (1, Some("lost".into())));
    }
    story = story.has_session(3, "S");
    let told = story.flat();
    let note =
        "i host/1 its key lost is not in the ring: its GUID cannot be verified until it is; the same of 1 more: host/2";
    assert!(told.contains(note), "{told}");
    let (reason, hint) = ("the host key is gone".to_owned(), "put it back".to_owned());
    story.terms.keys = Keys::Unusable { reason, hint };
    let told = story.flat();
    let note =
        "i host/1 its GUID cannot be verified here: the host key is gone; put it back; the same of 1 more: host/2";
    assert!(told.contains(note) && told.contains("! host/3 the host key is gone; put it back"), "{told}");
}
