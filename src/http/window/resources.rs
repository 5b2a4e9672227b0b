//! Every declared resource, to be searched, filtered and turned over by pages: a plain form and plain links.

use maud::{Markup, html};

use super::data::{View, action, address, plain};
use super::overview::grouped;
use super::plan::{sign, what};
use crate::kinds::{ALL, Listed};
use crate::resource::host;
use crate::token::Scope;
use crate::turn::inventory::{Inventory, Row, State, Wish};

pub fn part(view: &View<'_>, inventory: &Inventory) -> Markup {
    let query = view.query;
    let sheet = inventory.sheet(&query.asked.filter, query.asked.after.as_ref(), query.asked.limit);
    html! {
        section.card.wide #resources aria-labelledby="all" tabindex="-1" {
            h2 #all { "Resources" span.muted { " " (grouped(inventory.len() as u64)) } }
            (search(view))
            @if sheet.rows.is_empty() {
                p.muted { "None." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Table of resources" {
                    table.cards {
                        caption.unseen { "Resources, how they stand, and where they are declared" }
                        thead {
                            tr {
                                th scope="col" { "Resource" }
                                th scope="col" { "State" }
                                th scope="col" { "Declared" }
                                @if view.may(Scope::Operate) { th.acts scope="col" { "Actions" } }
                            }
                        }
                        tbody { @for one in &sheet.rows { (row(view, one)) } }
                    }
                }
            }
            nav.pages aria-label="Pages of resources" {
                @if query.asked.after.is_some() { a href=(query.link(None)) { "First page" } }
                @if let Some(next) = &sheet.next { a rel="next" href=(query.link(Some(next))) { "Next page" } }
            }
        }
    }
}

fn search(view: &View<'_>) -> Markup {
    let filter = &view.query.asked.filter;
    html! {
        form.search method="get" action="#resources" role="search" {
            span {
                label for="q" { "Search" }
                input #q name="q" type="search" value=(filter.text) maxlength="200" autocomplete="off"
                    placeholder="address or title";
            }
            span {
                label for="kind" { "Kind" }
                select #kind name="kind" {
                    option value="" { "all" }
                    @for kind in ALL {
                        option value=(kind.name) selected[filter.kind == Some(kind)] { (kind.plural) }
                    }
                }
            }
            span {
                label for="state" { "State" }
                select #state name="state" {
                    option value="" { "all" }
                    @for wish in Wish::ALL {
                        option value=(wish.word()) selected[filter.wish == Some(wish)] { (wish.word().replace('_', " ")) }
                    }
                }
            }
            @if let Some(of) = &view.query.of { input type="hidden" name="of" value=(of.to_string()); }
            button type="submit" { "Show" }
        }
    }
}

fn row(view: &View<'_>, row: &Row<'_>) -> Markup {
    let Row { listed: Listed { id, title, place }, state, about } = row;
    let chip = state.word().replace('_', " ");
    html! {
        tr #{ "r-" (id.kind.name) "-" (id.name) } {
            th scope="row" {
                (address(id))
                @if !title.is_empty() { br; span.title { (plain(title)) } }
            }
            td data-label="State" {
                span.chip.(state.word()) { (sign(*state)) " " (chip) } " " (what(*state, *about))
            }
            td data-label="Declared" { code.place { (plain(place)) } }
            @if view.may(Scope::Operate) {
                td.acts data-label="Actions" {
                    @if id.kind == host::KIND { (action("rotate", Some(id), "Rotate")) " " }
                    @if *state == State::Suspended { (action("resume", Some(id), "Resume")) }
                    @else { (action("suspend", Some(id), "Suspend")) }
                }
            }
        }
    }
}
