//! What the next turn would do, and what it cannot do, why, and the way out.

use maud::{Markup, html};

use super::data::{address, plain, prose};
use super::overview::grouped;
use crate::change::{Action, Origin};
use crate::kinds::Listed;
use crate::turn::inventory::{About, Filter, Inventory, Row, Sheet, State, Wish};

/// Resources of each sort; the rest is counted, and stands in the list.
const MOST: usize = 25;

fn first(inventory: &Inventory, wish: Wish) -> Sheet<'_> {
    inventory.sheet(&Filter { wish: Some(wish), ..Filter::default() }, None, MOST)
}

fn more(inventory: &Inventory, wish: Wish, shown: usize) -> Markup {
    let count = inventory.count(wish);
    html! {
        @if count > shown {
            p { a href={ "?state=" (wish.word()) "#resources" } { "… and " (grouped((count - shown) as u64)) " more" } }
        }
    }
}

pub fn changes(inventory: &Inventory) -> Markup {
    let sheet = first(inventory, Wish::Changed);
    html! {
        section.card aria-labelledby="plan" {
            h2 #plan { "What would change" }
            @if sheet.rows.is_empty() { p.muted { "Nothing: the database matches the files." } }
            @else { ul.plan { @for row in &sheet.rows { li { (change(row)) } } } }
            (more(inventory, Wish::Changed, sheet.rows.len()))
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

fn change(row: &Row<'_>) -> Markup {
    let Row { listed: Listed { id, title: _, place: _ }, state, about } = row;
    html! { (sign(*state)) " " (address(id)) " " (what(*state, *about)) }
}

/// The mark of a plan's line, with its word for whoever does not see it.
pub fn sign(state: State) -> Markup {
    html! {
        @if let State::Changed(action, _) = state {
            span.sign.(action.name()) aria-hidden="true" { (action.sign()) }
            span.unseen { (action.name()) }
        }
    }
}

/// What is to be said of a resource beside how it stands.
pub fn what(state: State, about: Option<&About>) -> Markup {
    html! {
        @if matches!(state, State::Changed(_, Origin::Drift)) { span.drift { "drift" } " " }
        @match about {
            Some(About::Change { details, notes }) => {
                span.details { @if details.is_empty() { (word(state)) } @else { (plain(&details.join(", "))) } }
                @for note in notes { br; span.muted { (prose(note)) } }
            }
            Some(About::Blocked { reason, hint }) => { (prose(reason)) br; span.hint { "Way out: " (prose(hint)) } }
            None => {}
        }
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Changed(Action::Create, _) => "create",
        State::Changed(Action::Update, _) => "update",
        State::Changed(Action::Rotate, _) => "rotate",
        State::Changed(Action::Resume, _) => "resume",
        State::InSync | State::Blocked | State::Suspended => "",
    }
}

pub fn blocked(inventory: &Inventory) -> Markup {
    let sheet = first(inventory, Wish::Blocked);
    html! {
        @if !sheet.rows.is_empty() {
            section.card aria-labelledby="blocked" {
                h2 #blocked { "What is blocked" }
                ul.plan {
                    @for row in &sheet.rows {
                        li { span.sign.blocked aria-hidden="true" { "!" } " " (address(&row.listed.id)) " " (what(row.state, row.about)) }
                    }
                }
                (more(inventory, Wish::Blocked, sheet.rows.len()))
            }
        }
    }
}
