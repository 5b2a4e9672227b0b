//! The states of resources, and that they are the numbers of the plan.

use proptest::prelude::*;

use super::*;
use crate::change::Action;
use crate::plan::states::{Standings, State, States, unmanaged};

impl Story {
    fn standings(&self) -> Standings {
        let failed = self.observed.failed().collect();
        Standings::new(&self.plan(), &self.desired, &self.ledger, &failed)
    }

    /// `session/215 drifted pending`, for each declared resource.
    fn states(&self) -> Vec<String> {
        let standings = self.standings();
        let words = |states: States| states.iter().map(State::word).collect::<Vec<_>>().join(" ");
        let numbered = self.desired.listed(0).enumerate();
        numbered.map(|(number, one)| format!("{} {}", one.id, words(standings.get(number).unwrap().states))).collect()
    }

    fn suspends(mut self, kind: crate::change::Kind, id: i64) -> Self {
        self.ledger.suspended.insert(ResourceId::new(kind, id), "by Amina since noon: Exams".to_owned());
        self
    }
}

#[test]
fn each_resource_has_all_its_states_the_worst_first() {
    let story = Story::wants(
        "sessions: [{id: 1, title: New}, {id: 2, title: Two}, {id: 3, title: Three}, {id: 4, title: Four, protect: true},
                    {id: 5, title: Five}, {id: 6, title: Six, protect: true}]\nhosts: [{session: 999}]",
    );
    let story = story.has_session(2, "Two").has_session(3, "Drei").has_session(4, "Vier");
    let story = story.has_session(5, "Fünf").has_session(6, "Six").has_session(7, "Seven").was_applied();
    let story = story.suspends(Session::KIND, 2).suspends(Session::KIND, 5).suspends(Session::KIND, 7);
    assert_eq!(
        story.states(),
        [
            "session/1 drifted pending",
            "session/2 suspended in_sync",
            "session/3 drifted pending",
            "session/4 blocked drifted protected",
            "session/5 blocked drifted suspended",
            "session/6 in_sync protected",
            "host/999 blocked",
        ]
    );
    let seven = ResourceId::new(Session::KIND, 7);
    let states = unmanaged(&seven, &story.ledger, &story.observed.failed().collect());
    assert_eq!(states.iter().collect::<Vec<_>>(), [State::Unmanaged, State::Suspended]);
    assert_eq!(states.leading(), State::Unmanaged);
}

#[test]
fn where_everything_is_suspended_each_declared_resource_is() {
    let mut story = Story::wants("sessions: [{id: 1, title: One}, {id: 2, title: Two}]").has_session(2, "Two");
    story.ledger.all_suspended = Some("by Amina since noon: Exams".to_owned());
    assert_eq!(story.states(), ["session/1 blocked suspended", "session/2 suspended in_sync"]);
}

#[test]
fn words_are_read_as_they_are_written() {
    for state in State::ALL {
        assert_eq!(State::read(state.word()), Ok(state));
    }
    assert!(State::read("good").is_err());
}

/// What a small world has of one session: declared with one of two titles or not at all, there with one of two or not at
/// all; applied, protected, suspended, and with a host that is declared or there.
#[derive(Clone, Debug)]
struct One {
    declared: Option<bool>,
    there: Option<bool>,
    is_protected: bool,
    is_suspended: bool,
    hosts: [bool; 2],
}

fn one() -> impl Strategy<Value = One> {
    (any::<Option<bool>>(), any::<Option<bool>>(), any::<bool>(), any::<bool>(), any::<[bool; 2]>()).prop_map(
        |(declared, there, is_protected, is_suspended, hosts)| One {
            declared,
            there,
            is_protected,
            is_suspended,
            hosts,
        },
    )
}

fn world(ones: &[One], is_applied: bool, all_suspended: bool) -> Story {
    let title = |is_other: bool| if is_other { "Other" } else { "Title" };
    let (mut sessions, mut hosts) = (String::new(), String::new());
    for (id, one) in (1..).zip(ones) {
        if let Some(is_other) = one.declared {
            sessions.push_str(&format!(
                "  - {{id: {id}, title: {}, protect: {}}}\n",
                title(is_other),
                one.is_protected
            ));
        }
        if one.hosts[0] {
            hosts.push_str(&format!("  - {{session: {id}, protect: {}}}\n", one.is_protected));
        }
    }
    let section = |name: &str, items: &str| if items.is_empty() { String::new() } else { format!("{name}:\n{items}") };
    let mut story = Story::wants(&(section("sessions", &sessions) + &section("hosts", &hosts)));
    for (id, one) in (1..).zip(ones) {
        if let Some(is_other) = one.there {
            story = story.has_session(id, title(is_other));
        }
        if one.hosts[1] {
            story = story.has_host(id, |_| {});
        }
        if one.is_suspended {
            story = story.suspends(Session::KIND, id);
        }
    }
    story.ledger.all_suspended = all_suspended.then(|| "by Amina since noon: Exams".to_owned());
    if is_applied { story.was_applied() } else { story }
}

proptest! {
    /// Each resource is one of four things, and of each there are as many as the plan's last line says.
    #[test]
    fn states_are_the_numbers_of_the_plan(
        ones in proptest::collection::vec(one(), 0..6),
        is_applied in any::<bool>(),
        all_suspended in any::<bool>(),
    ) {
        let story = world(&ones, is_applied, all_suspended);
        let (plan, standings) = (story.plan(), story.standings());
        let summary = plan.summary();
        let counts = standings.counts();
        let count = |state: State| counts[state as usize];
        prop_assert_eq!(count(State::InSync), summary.unchanged);
        prop_assert_eq!(count(State::Blocked), summary.blocked);
        prop_assert_eq!(count(State::Pending), summary.create + summary.update + summary.rotate + summary.resume);
        let all: Vec<_> = (0..standings.len()).filter_map(|number| standings.get(number)).collect();
        prop_assert_eq!(all.len(), story.desired.len());
        let first = [State::InSync, State::Blocked, State::Pending, State::Unmanaged];
        for standing in &all {
            prop_assert_eq!(first.iter().filter(|state| standing.states.has(**state)).count(), 1);
            prop_assert_eq!(standing.action.is_some(), standing.states.has(State::Pending));
        }
        let both = |one: State, other: State| all.iter().filter(|of| of.states.has(one) && of.states.has(other)).count();
        prop_assert_eq!(both(State::Pending, State::Drifted) as u64, summary.drift);
        let of = |action: Action| all.iter().filter(|standing| standing.action == Some(action)).count() as u64;
        prop_assert_eq!((of(Action::Create), of(Action::Update)), (summary.create, summary.update));
        let strangers = ones.iter().filter(|one| one.declared.is_none() && one.there.is_some()).count();
        prop_assert_eq!((story.observed.unmanaged(&story.desired).len() + strangers) as u64, summary.unmanaged);
    }
}
