//! What is protected stays as it is until a file says `protect: false`, whatever else the files say, or no longer say.

use super::*;
use crate::kinds::ALL;
use crate::resource::roll::Marks;

const SESSION: ResourceId = ResourceId { kind: Session::KIND, name: String::new() };

impl Story {
    /// The database has it as protected.
    fn protects(mut self, kind: crate::change::Kind, name: &str) -> Self {
        let id = ResourceId { kind, name: name.to_owned() };
        let number = name.parse().ok().and_then(|id| self.desired.sessions.number(&SessionId(id)));
        match number.filter(|_| kind == Session::KIND) {
            Some(number) => {
                let mut marks = Marks::none(self.desired.sessions.len());
                self.ledger.protected_sessions.iter().for_each(|number| marks.set(number, true));
                marks.set(number, true);
                self.ledger.protected_sessions = marks;
            }
            None => drop(self.ledger.protected.insert(id)),
        }
        self
    }

    /// The session is as declared, as a run over a million finds it: no row of it is kept.
    fn has_as_declared(mut self, id: i64) -> Self {
        let mut met = Marks::none(self.desired.sessions.len());
        self.observed.sessions.met.iter().for_each(|number| met.set(number, true));
        met.set(self.desired.sessions.number(&SessionId(id)).unwrap(), true);
        self.observed.sessions.met = met;
        self.observed.sessions.total += 1;
        self
    }
}

#[test]
fn a_line_that_is_gone_lifts_nothing() {
    let story = Story::wants("sessions: [{id: 1, title: New}]\nhosts: [{session: 1, rotation: 4}]");
    let story = story.has_session(1, "Old").has_host(1, |_| {}).protects(Session::KIND, "1").protects(host::KIND, "1");
    insta::assert_snapshot!(story.told(), @"
      ! session/1    it is protected; to change it, write `protect: false` in its
                     item at week.yaml:1:12
      ! host/1       it is protected; to change it, write `protect: false` in its
                     item at week.yaml:2:9

    Plan: nothing to change; 2 blocked. 0 unchanged, 0 unmanaged.
    ");
}

#[test]
fn lifting_and_the_change_beside_it_are_one() {
    let story = Story::wants("sessions: [{id: 1, title: New, protect: false}]").has_session(1, "Old");
    insta::assert_snapshot!(story.protects(Session::KIND, "1").told(), @r#"
      ~ session/1    title "Old" -> "New", protect true -> false

    Plan: 1 to update. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn what_is_as_declared_is_lifted_and_recorded_without_a_look_at_its_row() {
    let story =
        Story::wants("sessions: [{id: 1, protect: false}, {id: 2, title: B, protect: true}, {id: 3, title: C}]");
    assert_eq!(story.desired.sessions.len(), 2, "an item that only lifts manages nothing");
    let story = story.has_as_declared(2).has_as_declared(3).protects(Session::KIND, "1");
    let plan = story.plan();
    assert_eq!(plan.protected, [ResourceId { name: "2".into(), ..SESSION }]);
    insta::assert_snapshot!(story.told(), @"
      ~ session/1    protect true -> false

    Plan: 1 to update. 2 unchanged, 0 unmanaged.
    ");
    let story = Story::wants("sessions: [{id: 3, title: C, protect: false}, {id: 2, title: B, protect: true}]");
    let story = story.has_as_declared(2).has_as_declared(3).protects(Session::KIND, "3").protects(Session::KIND, "2");
    assert_eq!(story.plan().protected, []);
    insta::assert_snapshot!(story.told(), @"
      ~ session/3    protect true -> false

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn an_item_of_its_key_and_protect_false_is_valid_for_every_kind_and_does_nothing_else() {
    let id = "fbaa8c92-0000-4000-8000-000000000001";
    let story = Story::wants(&format!(
        "sessions: [{{id: 7, protect: false}}]\nhosts: [{{session: 7, protect: false}}]\n\
         servers: [{{name: one, protect: false}}]\ninstances: [{{id: {id}, protect: false}}]\n"
    ));
    insta::assert_snapshot!(story.told(), @"No changes. The database matches the desired state. 0 unchanged.");
    let names = ["7", "7", "one", id];
    let story = ALL.into_iter().zip(names).fold(story, |story, (kind, name)| story.protects(kind, name));
    assert_eq!(story.plan().changes.len(), ALL.len());
    for (kind, name) in ALL.into_iter().zip(names) {
        let blocked = crate::kinds::protected(ResourceId { kind, name: name.to_owned() }, None);
        let line = blocked.hint.split('`').nth(3).unwrap();
        let (desired, problems) = of_text(line);
        assert!(problems.is_empty(), "{line}");
        assert_eq!(desired.lifts.keys().collect::<Vec<_>>(), [&blocked.id], "{line}");
    }
}

#[test]
fn what_else_is_in_the_way_does_not_keep_it_protected() {
    let story = Story::wants("hosts: [{session: 1, rotation: 4, protect: false}]").has_session(1, "S");
    let story = story.has_host(1, |host| host.active_rows = 2).protects(host::KIND, "1");
    insta::assert_snapshot!(story.told(), @"
      ~ host/1       protect true -> false
      ! host/1       2 active GUIDs stand for session 1; `reconcile host
                     consolidate` keeps the newest

    Plan: 1 to update; 1 blocked. 0 unchanged, 1 unmanaged.
    ");
    let mut story = Story::wants("sessions: [{id: 1, protect: false}]").protects(Session::KIND, "1");
    story.ledger.all_suspended = Some("by Amina: exams".into());
    assert_eq!((story.plan().changes.len(), story.plan().blocked.len()), (0, 1), "but that nothing is to be applied");
}

#[test]
fn drift_of_what_is_protected_and_its_schedule_wait() {
    let story = Story::wants("sessions: [{id: 1, title: Right}]\nhosts: [{session: 1, rotate_every: 1d}]");
    let story = story.was_applied().has_session(1, "Wrong").has_host(1, |_| {});
    let story = story.protects(Session::KIND, "1").protects(host::KIND, "1");
    assert_eq!((story.plan().changes.len(), story.plan().blocked.len()), (0, 2));
}
