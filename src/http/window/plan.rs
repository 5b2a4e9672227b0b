//! What the next turn would do, and what it cannot do, why, and the way out.

use maud::{Markup, html};

use super::data::{address, plain, prose};
use super::overview::grouped;
use crate::plan::states::State;
use crate::turn::inventory::Inventory;
use crate::turn::list::{Filter, Row};

/// Resources of each sort; the rest is counted, and stands in the list.
const MOST: usize = 25;

fn first(inventory: &Inventory, state: State) -> Vec<Row> {
    let states = [state].into_iter().collect();
    inventory.declared(&Filter { states, ..Filter::default() }, None, MOST)
}

fn more(inventory: &Inventory, state: State, shown: usize) -> Markup {
    let rest = inventory.count(state).saturating_sub(shown as u64);
    html! {
        @if rest > 0 {
            p { a href={ "?state=" (state.word()) "#resources" } { "… and " (grouped(rest)) " more" } }
        }
    }
}

pub fn changes(inventory: &Inventory) -> Markup {
    let rows = first(inventory, State::Pending);
    html! {
        section.card aria-labelledby="plan" {
            h2 #plan { "What would change" }
            @if rows.is_empty() { p.muted { "Nothing: the database matches the files." } }
            @else { ul.plan { @for row in &rows { li { (change(row)) } } } }
            (more(inventory, State::Pending, rows.len()))
            @if let Some(note) = inventory.lineage.note() { p.notes { (prose(&note)) } }
            @if !inventory.notes.is_empty() {
                ul.notes {
                    @for (id, note) in inventory.notes.iter().take(MOST) { li { (address(id)) " " (prose(note)) } }
                    @if inventory.notes.len() > MOST { li { "… and more notes" } }
                }
            }
        }
    }
}

fn change(row: &Row) -> Markup {
    html! { (sign(row)) " " (address(&row.id)) " " (drift(row)) (what(row)) }
}

fn drift(row: &Row) -> Markup {
    html! { @if row.states.has(State::Drifted) { span.chip.drifted { "drifted" } " " } }
}

/// The mark of a plan's line, with its word for whoever does not see it.
pub fn sign(row: &Row) -> Markup {
    html! {
        @if let Some(action) = row.action {
            span.sign.(action.name()) aria-hidden="true" { (action.sign()) }
            span.unseen { (action.name()) }
        }
    }
}

/// What is to be said of a resource beside its states.
pub fn what(row: &Row) -> Markup {
    let Row { details, notes, reason, hint, .. } = row;
    let word = row.action.map_or("", |action| action.name());
    html! {
        @if row.action.is_some() {
            span.details { @if details.is_empty() { (word) } @else { (plain(&details.join(", "))) } }
        }
        @for note in notes { br; span.muted { (prose(note)) } }
        @if let Some(reason) = reason { (prose(reason)) }
        @if let Some(hint) = hint { br; span.hint { "Way out: " (prose(hint)) } }
    }
}

pub fn blocked(inventory: &Inventory) -> Markup {
    let rows = first(inventory, State::Blocked);
    html! {
        @if !rows.is_empty() {
            section.card aria-labelledby="blocked" {
                h2 #blocked { "What is blocked" }
                ul.plan {
                    @for row in &rows {
                        li { span.sign.blocked aria-hidden="true" { "!" } " " (address(&row.id)) " " (drift(row)) (what(row)) }
                    }
                }
                (more(inventory, State::Blocked, rows.len()))
            }
        }
    }
}
