//! The planner's stories: a world in three lines, one change, and the plan as its reader sees it.

mod fairness;
mod hosts;
mod limits;
mod pools;
mod protection;
mod rendering;
mod states;

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::render::{Looks, text};
use super::*;
use crate::change::{Compared, Revision, Width};
use crate::desired::load::of_text;
use crate::kinds::{Desired, Observed};
use crate::port::handoff::{Record, Unknown, Whereabouts};
use crate::resource::host::Host;
use crate::resource::session::{Session, SessionId};
use crate::resource::{Resource, host, session};

/// Everything that a plan is computed from, small enough to be written down.
struct Story {
    desired: Desired,
    observed: Observed,
    ledger: Ledger,
    terms: Terms,
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

const NOON: &str = "2026-12-01T12:00:00Z";

impl Story {
    fn wants(yaml: &str) -> Self {
        let (desired, problems) = of_text(yaml);
        assert!(problems.is_empty(), "{}", problems.render(false, 100));
        let terms = Terms {
            now: at(NOON),
            claim_life: Duration::from_secs(3600),
            schedule_limit: 100,
            target: None,
            keys: Keys::Known(vec!["new".to_owned(), "old".to_owned()]),
            is_handoff_sealed: true,
            has_broker: true,
        };
        Self { desired, observed: Observed::default(), ledger: Ledger::default(), terms }
    }

    fn has_session(mut self, id: i64, title: &str) -> Self {
        let session = session::Observed {
            title: title.to_owned(),
            status: "active".to_owned(),
            created_by: "Noor Team".to_owned(),
            starts_at: None,
            expires_at: None,
        };
        self.observed.sessions.rows.insert(SessionId(id), session);
        self.observed.sessions.total += 1;
        self
    }

    /// A claimed host with rotation 3, made on the first of November.
    fn has_host(mut self, id: i64, differs: impl FnOnce(&mut host::Observed)) -> Self {
        let mut host = host::Observed {
            host_session_id: id * 10,
            key_id: Some("new".to_owned()),
            is_active: true,
            expires_at: None,
            revoked_at: None,
            revoked_by: None,
            rotation: 3,
            generation: 5,
            attempt: Some(crate::store::sql::Id(uuid::Uuid::nil())),
            minted_at: at("2026-11-01T12:00:00Z"),
            claimed_at: Some(at("2026-11-01T12:05:00Z")),
            previous_valid: false,
            active_rows: 1,
            handoff: Record::default(),
            whereabouts: Whereabouts::Expired,
            overlap_until: None,
        };
        differs(&mut host);
        self.observed.hosts.insert(SessionId(id), host);
        self
    }

    /// What the files say now is what was last applied: whatever differs is the database's doing.
    fn was_applied(mut self) -> Self {
        let sessions = &self.desired.sessions;
        for (id, declared) in (0..sessions.len()).filter_map(|number| sessions.declared(number)) {
            self.ledger.applied.insert(ResourceId::new(Session::KIND, id), declared.value.digest());
        }
        for (id, declared) in &self.desired.hosts {
            self.ledger.applied.insert(ResourceId::new(Host::KIND, id), declared.value.digest());
        }
        self
    }

    fn plan(&self) -> Plan {
        let revision = Revision {
            commit: Some("4f1c2ab9".to_owned()),
            committed_at: None,
            author: Some("Noor Team".to_owned()),
            compared: Compared::Clean,
            user: "noor".to_owned(),
        };
        let header = Header {
            environment: "development".to_owned(),
            catalog: "KSESSIONS_DEV".to_owned(),
            driver: "sqlite",
            state: "desired-state".to_owned(),
            actor: revision.actor(),
            revision,
            is_new: false,
        };
        let mut observed = self.observed.clone();
        for id in self.desired.hosts.keys() {
            let below = observed.sessions.rows.range(..id).rev().take(2).map(|(id, _)| *id);
            let mut near: Vec<SessionId> =
                below.chain(observed.sessions.rows.range(id..).take(2).map(|(id, _)| *id)).collect();
            near.sort();
            observed.sessions.near.insert(*id, near);
        }
        plan(header, &self.desired, &observed, &self.ledger, &self.terms)
    }

    /// As [`Story::told`], on one line.
    fn flat(&self) -> String {
        self.told().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The plan as text, without its header.
    fn told(&self) -> String {
        let text = text(&self.plan(), Looks { color: false, width: Width::of_terminal(80), most: 200 });
        let (_, told) = text.split_once("\n\n").unwrap();
        assert!(told.lines().all(|line| line.chars().count() <= 80), "too wide:\n{told}");
        told.to_owned()
    }
}

#[test]
fn a_new_session_shows_what_it_will_hold_defaults_included() {
    let story =
        Story::wants("sessions: [{id: 215, title: Surah Al-Fatiha, expires_at: 2026-12-31T23:59:59Z}, {id: 216}]");
    insta::assert_snapshot!(story.told(), @r#"
      + session/215  title "Surah Al-Fatiha", status active, created_by "reconcile",
                     expires_at 2026-12-31T23:59:59Z
      + session/216  title "Session 216", status active, created_by "reconcile"

    Plan: 2 to create. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn what_the_files_changed_is_intended_and_what_the_database_changed_is_drift() {
    let yaml = "sessions: [{id: 215, title: Al-Fatiha}]";
    insta::assert_snapshot!(Story::wants(yaml).has_session(215, "Al Fatiha").told(), @r#"
      ~ session/215  title "Al Fatiha" -> "Al-Fatiha"

    Plan: 1 to update. 0 unchanged, 0 unmanaged.
    "#);
    insta::assert_snapshot!(Story::wants(yaml).has_session(215, "Al Fatiha").was_applied().told(), @r#"
      ~ session/215  title "Al Fatiha" -> "Al-Fatiha"                          drift

    Plan: 1 to update. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn a_row_that_somebody_deleted_is_made_again_as_drift() {
    insta::assert_snapshot!(Story::wants("sessions: [{id: 215, title: Al-Fatiha}]").was_applied().told(), @r#"
      + session/215  title "Al-Fatiha", status active, created_by "reconcile"  drift

    Plan: 1 to create. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn a_field_that_is_left_out_is_not_managed() {
    let story = Story::wants("sessions: [{id: 215, status: active}]").has_session(215, "Whatever it is");
    insta::assert_snapshot!(story.told(), @"No changes. The database matches the desired state. 1 unchanged.");
    assert_eq!(story.plan().adopted.len(), 1, "adopted in silence");
    assert_eq!(story.was_applied().plan().adopted.len(), 0);
}

#[test]
fn null_is_a_value_and_a_missing_line_is_none() {
    let mut story =
        Story::wants("sessions: [{id: 1, expires_at: null}, {id: 2}]").has_session(1, "One").has_session(2, "Two");
    for session in story.observed.sessions.rows.values_mut() {
        session.expires_at = Some(at("2027-01-01T00:00:00Z"));
    }
    insta::assert_snapshot!(story.told(), @"
      ~ session/1    expires_at 2027-01-01T00:00:00Z -> (none)

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn rows_that_no_file_names_are_counted_and_left_alone() {
    let story = Story::wants("sessions: [{id: 1}]").has_session(1, "One").has_session(2, "Two").has_host(2, |_| {});
    insta::assert_snapshot!(story.told(), @"No changes. The database matches the desired state. 1 unchanged, 2 unmanaged.");
}

#[test]
fn control_characters_from_the_database_are_made_visible() {
    let story = Story::wants("sessions: [{id: 1, title: Plain}]").has_session(1, "\u{1b}[2Jred\u{7}\u{202e}\" \\ x\n");
    insta::assert_snapshot!(story.told(), @r#"
      ~ session/1    title "\u{1b}[2Jred\u{7}\u{202e}\" \\ x\n" -> "Plain"

    Plan: 1 to update. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn protect_blocks_a_change_but_not_a_beginning() {
    let story = Story::wants("sessions: [{id: 1, title: New, protect: true}, {id: 2, title: Newer, protect: true}]");
    insta::assert_snapshot!(story.has_session(1, "Old").told(), @r#"
      + session/2    title "Newer", status active, created_by "reconcile"
      ! session/1    it is protected; to change it, write `protect: false` in its
                     item at week.yaml:1:12

    Plan: 1 to create; 1 blocked. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn what_is_suspended_is_blocked_with_whose_word_it_was() {
    let mut story = Story::wants("sessions: [{id: 1, title: New}, {id: 2, title: Newer}]").has_session(1, "Old");
    story.ledger.suspended.insert(ResourceId::new(Session::KIND, 1), "by Amina: exam week".into());
    insta::assert_snapshot!(story.told(), @r#"
      + session/2    title "Newer", status active, created_by "reconcile"
      ! session/1    it is suspended by Amina: exam week; `reconcile resume
                     session/1 --reason R`

    Plan: 1 to create; 1 blocked. 0 unchanged, 0 unmanaged.
    "#);
    story.ledger.all_suspended = Some("migration by Amina".into());
    assert_eq!(story.plan().changes.len(), 0);
}

#[test]
fn what_is_suspended_and_in_sync_is_noted_and_what_no_file_names_is_not() {
    let mut story = Story::wants("sessions: [{id: 1, title: Same}]").has_session(1, "Same");
    for id in ["1", "2"] {
        story.ledger.suspended.insert(ResourceId::new(Session::KIND, id), "by Amina: exam week".into());
    }
    insta::assert_snapshot!(story.told(), @"
      i session/1    it is suspended by Amina: exam week; `reconcile resume
                     session/1 --reason R`

    No changes. The database matches the desired state. 1 unchanged.
    ");
}

#[test]
fn a_drift_that_comes_back_three_turns_in_a_row_is_left_alone_until_the_files_change() {
    let mut story = Story::wants("sessions: [{id: 1, title: Ours}]").has_session(1, "Theirs").was_applied();
    let name = ResourceId::new(Session::KIND, 1);
    let wish = story.ledger.applied[&name].clone();
    for turns in 0..FLAPPING {
        story.ledger.flaps.insert(name.clone(), (wish.clone(), turns));
        assert_eq!(story.plan().changes[0].flap, Flap::Turns(turns + 1));
    }
    story.ledger.flaps.insert(name.clone(), (wish, FLAPPING));
    insta::assert_snapshot!(story.told(), @"
      ! session/1    it is flapping: somebody undid this change 3 turns in a row;
                     find who writes it, then change its lines in the files

    Plan: nothing to change; 1 blocked. 0 unchanged, 0 unmanaged.
    ");
    // The files change: a new wish, and a new start.
    story.ledger.applied.insert(name, "another wish".into());
    assert_eq!(story.plan().changes[0].flap, Flap::Over);
}

#[test]
fn a_flap_is_over_when_the_row_stays_as_it_was_put() {
    let mut story = Story::wants("sessions: [{id: 1, title: Ours}]").has_session(1, "Ours").was_applied();
    story.ledger.flaps.insert(ResourceId::new(Session::KIND, 1), ("any".into(), 2));
    assert_eq!(story.plan().calmed.len(), 1);
}

#[test]
fn a_target_is_planned_alone() {
    let mut story = Story::wants("sessions: [{id: 1}, {id: 2}]\nhosts: [{session: 2}]");
    story.terms.target = Some(ResourceId::new(session::Session::KIND, 2));
    insta::assert_snapshot!(story.told(), @r#"
      + session/2    title "Session 2", status active, created_by "reconcile"

    Plan: 1 to create. 0 unchanged, 0 unmanaged.
    "#);
    story.terms.target = Some(ResourceId::new(host::KIND, 2));
    insta::assert_snapshot!(story.told(), @"
      ! host/2       it waits for session/2, which this plan does not create; see to
                     session/2 first

    Plan: nothing to change; 1 blocked. 0 unchanged, 0 unmanaged.
    ");
}
