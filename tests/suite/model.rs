//! Models of what several replicas do at once, checked exhaustively: every order of their steps, with crashes and pauses
//! between any two.
//!
//! Each model says in its comments which functions of the program it follows. Beside the program as it is stand variants
//! that are broken on purpose: the checker finds what is wrong with each, or its silence would mean nothing.

mod checker;
mod host;
mod lease;

use checker::{Checked, Model, Trouble, check};
use host::Hosts;
use lease::Lease;

/// Everything promised holds in all states. Says how many there are.
#[track_caller]
fn holds<M: Model>(name: &str, model: &M) -> Checked {
    let begun = std::time::Instant::now();
    let checked = check(model).unwrap_or_else(|trouble| panic!("{name}: {}", trouble.text()));
    let Checked { states, steps, depth } = checked;
    println!("{name}: {states} states, {steps} steps, depth {depth}, {:?}", begun.elapsed());
    checked
}

/// The checker finds this, and nothing else before it.
#[track_caller]
fn fails<M: Model>(model: &M, what: &str) -> Trouble {
    let Err(trouble) = check(model) else { panic!("nothing is wrong with it: {what}") };
    assert!(trouble.what.contains(what), "{}", trouble.text());
    trouble
}

#[test]
fn one_applier_writes_at_a_time() {
    let of_two = holds("a lease, two replicas", &Lease::<2> { rule: lease::Rule::AsItIs });
    let of_three = holds("a lease, three replicas", &Lease::<3> { rule: lease::Rule::AsItIs });
    assert!(of_two.states > 500 && of_three.states > 20 * of_two.states, "{of_two:?}, {of_three:?}");
}

#[test]
fn without_the_fencing_number_one_that_was_replaced_writes() {
    fails(&Lease::<2> { rule: lease::Rule::Unfenced }, "an applier that was replaced has written");
}

#[test]
fn a_number_that_is_compared_before_the_transaction_fences_nothing() {
    fails(&Lease::<2> { rule: lease::Rule::CheckedOutside }, "an applier that was replaced has written");
}

#[test]
fn by_the_wall_clock_a_holder_that_beats_is_deposed() {
    fails(&Lease::<2> { rule: lease::Rule::WallClock }, "a holder that beats in time was deposed");
}

#[test]
fn a_beat_that_is_not_heard_deposes_a_holder_that_beats() {
    fails(&Lease::<2> { rule: lease::Rule::BeatUnheard }, "a holder that beats in time was deposed");
}

#[test]
fn no_guid_is_valid_that_nobody_can_have() {
    holds("a host, two appliers and a command", &Hosts::<2, 1> { rule: host::Rule::AsItIs });
    holds("a host, three appliers", &Hosts::<3, 0> { rule: host::Rule::AsItIs });
    holds("a host, an applier and two commands", &Hosts::<1, 2> { rule: host::Rule::AsItIs });
}

#[test]
fn a_guid_that_is_recorded_first_is_lost_by_a_crash() {
    fails(&Hosts::<1, 0> { rule: host::Rule::RecordedFirst }, "a GUID is valid that nobody can have");
}

#[test]
fn without_the_fencing_number_one_that_was_replaced_records_its_guid() {
    fails(&Hosts::<2, 0> { rule: host::Rule::Unfenced }, "an applier that was replaced has written");
}

#[test]
fn a_number_that_is_compared_too_early_lets_a_guid_through() {
    fails(&Hosts::<2, 0> { rule: host::Rule::CheckedOutside }, "an applier that was replaced has written");
}

#[test]
fn a_row_that_is_not_as_expected_must_not_be_written() {
    fails(&Hosts::<1, 1> { rule: host::Rule::Unexpected }, "two active GUIDs for one session");
}
