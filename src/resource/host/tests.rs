//! Commands by hand, planned: what each would do to a host as it stands, or why not and the way out.

use crate::change::Width;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::by_hand::{Intent, Wish};
use super::diff::{SessionState, due};
use super::{Keep, Mint, Observed, Step, add};
use crate::plan::render::PlanLine;
use crate::port::handoff::{Record, Whereabouts};
use crate::resource::session::SessionId;

const CREATE: Wish = Wish::Create { expires_in: None, force_new: false };
const ROTATE: Wish = Wish::Rotate { expires_in: None };
const HOUR: Duration = Duration::from_secs(3600);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A claimed host that a file rotated three times.
fn host(differs: impl FnOnce(&mut Observed)) -> Observed {
    let mut host = Observed {
        host_session_id: 20,
        key_id: Some("new".to_owned()),
        is_active: true,
        expires_at: None,
        revoked_at: None,
        revoked_by: None,
        rotation: 3,
        generation: 5,
        attempt: None,
        minted_at: at("2026-11-01T12:00:00Z"),
        claimed_at: Some(at("2026-11-01T12:05:00Z")),
        previous_valid: false,
        active_rows: 1,
        handoff: Record::default(),
        whereabouts: Whereabouts::Expired,
        overlap_until: None,
    };
    differs(&mut host);
    host
}

fn intent(wish: Wish) -> Intent {
    Intent {
        session: SessionId(215),
        by: "Amina".to_owned(),
        actor: "Amina".to_owned(),
        reason: Some("New term".to_owned()),
        wish,
    }
}

/// What the command would do, as its user reads it.
fn told(wish: Wish, observed: Option<&Observed>) -> String {
    match intent(wish).plan(observed, SessionState::Present { live: true }, HOUR) {
        Ok(Some(change)) => PlanLine::of_change(&change).text(Width::of_terminal(80)),
        Ok(None) => "nothing to do\n".to_owned(),
        Err(blocked) => PlanLine::of_blocked(&blocked).text(Width::of_terminal(80)),
    }
}

fn mint(wish: Wish, observed: Option<&Observed>) -> Mint {
    let change = intent(wish).plan(observed, SessionState::Present { live: true }, HOUR);
    match change.unwrap().unwrap().step {
        Step::Mint(mint) => mint,
        step => panic!("not a new GUID: {step:?}"),
    }
}

fn revoked() -> Observed {
    host(|row| (row.is_active, row.revoked_at, row.revoked_by) = (false, Some(row.minted_at), Some("Noor".into())))
}

#[test]
fn create_makes_a_host_or_rotates_the_one_that_is_there() {
    insta::assert_snapshot!(told(Wish::Create { expires_in: Some(HOUR * 24), force_new: false }, None), @"  + host/215     generation 1, expires_in 1d, by Amina: New term");
    insta::assert_snapshot!(told(CREATE, Some(&host(|_| {}))), @"  ± host/215     generation 5 -> 6, by Amina: New term");
}

#[test]
fn a_command_leaves_the_files_number_alone_and_ends_the_old_guid() {
    for wish in [CREATE, ROTATE] {
        let Mint { over, replace, rotation, is_active, keep, claim_life, .. } = mint(wish, Some(&host(|_| {})));
        assert_eq!(over.map(|over| (over.host_session_id, over.generation)), Some((20, 5)), "updated in place");
        assert_eq!((replace, rotation, is_active, keep, claim_life), (false, None, true, Keep::Nothing, HOUR));
    }
}

#[test]
fn force_new_replaces_a_row_and_needs_one_to_replace() {
    let force = Wish::Create { expires_in: None, force_new: true };
    assert!(mint(force, Some(&host(|_| {}))).replace);
    assert!(!mint(force, None).replace);
}

#[test]
fn rotate_and_revoke_want_a_host() {
    insta::assert_snapshot!(told(ROTATE, None), @"
      ! host/215     session 215 has no host; `reconcile host create --session-id
                     215 --created-by NAME` makes one
    ");
    assert_eq!(told(Wish::Revoke, None), told(ROTATE, None));
    insta::assert_snapshot!(told(Wish::Revoke, Some(&host(|_| {}))), @r#"  ~ host/215     revoked_by "Amina", by Amina: New term"#);
}

#[test]
fn revocation_ends_by_rotate_and_not_by_create() {
    insta::assert_snapshot!(told(CREATE, Some(&revoked())), @"
      ! host/215     session 215 gets no new GUID: it was revoked by Noor at
                     2026-11-01T12:00:00Z, and revocation is sticky; `reconcile host
                     rotate --session-id 215` ends the revocation
    ");
    insta::assert_snapshot!(told(ROTATE, Some(&revoked())), @"
      ± host/215     generation 5 -> 6, active false -> true, revoked_at
                     2026-11-01T12:00:00Z -> (none), by Amina: New term
    ");
    assert_eq!(told(Wish::Revoke, Some(&revoked())), "nothing to do\n");
}

#[test]
fn nothing_is_done_for_a_session_that_is_missing_or_has_several_guids() {
    let near = vec![SessionId(214), SessionId(216)];
    for wish in [CREATE, ROTATE, Wish::Revoke] {
        let blocked = intent(wish).plan(None, SessionState::Missing { near: near.clone() }, HOUR).unwrap_err();
        assert_eq!(blocked.reason, "session 215 does not exist in sessions (nearest: 214, 216)");
        let several = told(wish, Some(&host(|row| row.active_rows = 2)));
        assert!(several.contains("2 active GUIDs stand for session 215"), "{several}");
    }
}

#[test]
fn the_schedule_is_late_by_at_most_a_twentieth_and_an_hour() {
    let minted = at("2026-11-01T12:00:00Z");
    for (every, most) in [(HOUR, HOUR / 20), (HOUR * 20, HOUR), (HOUR * 24 * 365, HOUR)] {
        let dues: Vec<_> = (1..=200).map(|id| due(SessionId(id), minted, every).unwrap()).collect();
        let (first, last) = (dues.iter().min().unwrap(), dues.iter().max().unwrap());
        assert!(*first >= add(minted, every).unwrap() && *last <= add(minted, every + most).unwrap());
        let spread = last.signed_duration_since(first).to_std().unwrap();
        assert!(spread > most / 2, "hosts that were made together rotate within {spread:?}");
    }
    assert_eq!(due(SessionId(1), DateTime::<Utc>::MAX_UTC, HOUR), None);
}
