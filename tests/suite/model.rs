//! Models of what several replicas do at once, checked exhaustively: every order of their steps, with crashes and pauses
//! between any two.
//!
//! Each model says in its comments which functions of the program it follows. Beside the program as it is stand variants
//! that are broken on purpose: the checker finds what is wrong with each, or its silence would mean nothing.

mod checker;
mod host;
mod instance;
mod lease;

use checker::{Checked, Model, check};
use host::Hosts;
use instance::Instance;
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
fn fails<M: Model>(model: &M, what: &str) {
    let Err(trouble) = check(model) else { panic!("nothing is wrong with it: {what}") };
    assert!(trouble.what.contains(what), "{}", trouble.text());
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
fn a_transaction_that_stands_still_for_ever_keeps_everybody_waiting() {
    fails(&Lease::<2> { rule: lease::Rule::Endless }, "alone never settles this");
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

#[test]
fn whatever_is_handed_over_opens_and_is_sent_once() {
    holds(
        "an instance, two appliers",
        &Instance::<2> { rule: instance::Rule::AsItIs, rotates: true, is_allocated: false },
    );
}

#[test]
fn three_do_not_get_in_each_others_way() {
    let model = Instance::<3> { rule: instance::Rule::AsItIs, rotates: false, is_allocated: true };
    holds("an allocated instance, three appliers", &model);
}

#[test]
fn of_three_one_sends_what_another_that_is_late_has_put() {
    let model = Instance::<3> { rule: instance::Rule::LostUnfenced, rotates: false, is_allocated: true };
    fails(&model, "a task whose password does not open");
}

/// Two appliers, one of whom is late, and what comes of it.
#[track_caller]
fn breaks(rule: instance::Rule, what: &str) {
    fails(&Instance::<2> { rule, rotates: true, is_allocated: false }, what);
}

#[test]
fn credentials_that_are_put_late_replace_those_that_open() {
    breaks(instance::Rule::PutUnfenced, "credentials wait that do not open");
}

#[test]
fn whoever_is_late_sends_credentials_that_are_not_set() {
    breaks(instance::Rule::SendUnfenced, "a task whose password does not open");
}

#[test]
fn a_password_that_is_recorded_first_is_never_set() {
    breaks(instance::Rule::RecordedFirst, "a password is recorded that was never set");
}

#[test]
fn a_server_that_asks_for_no_number_takes_a_late_password() {
    breaks(instance::Rule::UnfencedServer, "credentials wait that do not open");
}

#[test]
fn a_task_without_a_mark_is_sent_twice() {
    breaks(instance::Rule::Unmarked, "two tasks for one dispatch");
}

#[test]
fn a_mark_that_goes_with_the_record_lets_a_late_task_through() {
    breaks(instance::Rule::Unmarks, "two tasks for one dispatch");
}

#[test]
fn whoever_withdraws_anything_takes_away_what_opens() {
    breaks(instance::Rule::WithdrawsAnything, "credentials that open were taken away");
}

#[test]
fn what_is_taken_out_to_be_looked_at_comes_back_too_late() {
    breaks(instance::Rule::WithdrawsInTurns, "credentials wait that do not open");
}

#[test]
fn a_place_that_is_counted_apart_is_counted_twice() {
    breaks(instance::Rule::CountedApart, "a counter that is not what there is");
}

#[test]
fn lost_credentials_that_are_not_noted_as_lost_are_believed() {
    breaks(instance::Rule::NotLost, "a task whose password does not open");
}
