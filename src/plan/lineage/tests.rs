//! One story for each way in which a commit can stand to the one that was applied last.

use chrono::TimeZone;

use super::*;

const LAST: &str = "4f1c2ab000000000000000000000000000000000";
const COMMIT: &str = "3ab1f00000000000000000000000000000000000";

fn at(hour: u32) -> Option<DateTime<Utc>> {
    Utc.with_ymd_and_hms(2026, 12, 1, hour, 0, 0).single()
}

fn facts(history: History) -> Facts<'static> {
    let (last, commit) = (Commit { id: LAST, at: at(9) }, Some(Commit { id: COMMIT, at: at(10) }));
    Facts { name: "default", last, commit, history, was_applied: false, rule: Rule::Hold }
}

fn held(facts: Facts<'_>) -> String {
    match judge(facts) {
        Judgement::Held(hold) => hold.why,
        judgement => panic!("{judgement:?}"),
    }
}

#[test]
fn what_contains_the_last_commit_follows_it_whatever_its_time() {
    let earlier = Some(Commit { id: COMMIT, at: at(1) });
    for rule in [Rule::Warn, Rule::Hold, Rule::Strict] {
        let facts = Facts { rule, was_applied: true, commit: earlier, ..facts(History::Contains) };
        assert_eq!(judge(facts), Judgement::Follows);
    }
}

#[test]
fn what_does_not_contain_it_is_held() {
    assert_eq!(held(facts(History::Lacks)), "behind: 4f1c2ab was applied, and 3ab1f00 does not contain it");
    let other = "another history: 4f1c2ab was applied, and 3ab1f00 has no commit in common with it";
    assert_eq!(held(facts(History::Another)), other);
}

#[test]
fn in_a_shallow_clone_the_record_and_the_time_decide() {
    let cut = facts(History::Cut);
    assert_eq!(judge(cut), Judgement::Noted("lineage unknown: shallow clone".into()));
    let before = Facts { was_applied: true, ..cut };
    assert_eq!(held(before), "behind: 4f1c2ab was applied after 3ab1f00 (shallow clone)");
    let older = Facts { commit: Some(Commit { id: COMMIT, at: at(8) }), ..cut };
    assert_eq!(held(older), "behind: 4f1c2ab was applied, and 3ab1f00 was committed before it (shallow clone)");
    let same = Facts { commit: Some(Commit { id: COMMIT, at: at(9) }), ..cut };
    let timeless = Facts { commit: Some(Commit { id: COMMIT, at: None }), ..cut };
    for passes in [same, timeless] {
        assert!(matches!(judge(passes), Judgement::Noted(_)), "{passes:?}");
    }
    let strict = "lineage unknown: shallow clone, and git.lineage is \"strict\"";
    assert_eq!(held(Facts { rule: Rule::Strict, ..cut }), strict);
}

#[test]
fn files_of_no_commit_pass_with_a_note_unless_it_is_strict() {
    let none = Facts { commit: None, ..facts(History::Lacks) };
    assert_eq!(judge(none), Judgement::Noted("lineage unknown: no commit".into()));
    assert_eq!(held(Facts { rule: Rule::Strict, ..none }), "lineage unknown: no commit, and git.lineage is \"strict\"");
}

#[test]
fn who_tries_things_out_is_warned() {
    let warned = judge(Facts { rule: Rule::Warn, ..facts(History::Lacks) });
    assert_eq!(warned, Judgement::Noted("behind: 4f1c2ab was applied, and 3ab1f00 does not contain it".into()));
}

#[test]
fn a_word_for_one_commit_is_none_for_another() {
    let digest = |facts: Facts<'_>| match judge(facts) {
        Judgement::Held(hold) => hold.digest,
        judgement => panic!("{judgement:?}"),
    };
    let one = facts(History::Lacks);
    assert_eq!(digest(one).len(), 32);
    assert_eq!(digest(one), digest(Facts { history: History::Another, ..one }));
    let others = [
        Facts { name: "other", ..one },
        Facts { last: Commit { id: COMMIT, at: None }, ..one },
        Facts { commit: Some(Commit { id: LAST, at: None }), ..one },
    ];
    for other in others {
        assert_ne!(digest(one), digest(other), "{other:?}");
    }
}

#[test]
fn what_the_database_holds_instead_of_a_commit_is_shown_harmless() {
    let last = Commit { id: "\u{1b}[31m\n…", at: None };
    let why = held(Facts { last, ..facts(History::Lacks) });
    assert!(!why.contains(['\u{1b}', '\n']), "{why:?}");
}
