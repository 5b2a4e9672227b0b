//! Every resource, to be searched, filtered and turned over by pages: a plain form and plain links.

use maud::{Markup, html};

use super::data::{View, action, address, plain};
use super::overview::grouped;
use super::plan::{sign, what};
use crate::kinds::ALL;
use crate::plan::states::State;
use crate::resource::host;
use crate::token::Scope;
use crate::turn::inventory::Inventory;
use crate::turn::list::{Page, Row};

pub fn part(view: &View<'_>, inventory: &Inventory) -> Markup {
    let query = view.query;
    html! {
        section.card.wide #resources aria-labelledby="all" tabindex="-1" {
            h2 #all { "Resources" span.muted { " " (grouped(inventory.len() as u64 + inventory.unmanaged)) } }
            (search(view))
            @match view.list {
                Ok(page) if page.rows.is_empty() => p.muted { "None." },
                Ok(page) => (table(view, &page.rows)),
                Err(failure) => p.wrong { (plain(&failure.line())) },
            }
            nav.pages aria-label="Pages of resources" {
                @if query.asked.after.is_some() { a href=(query.link(None)) { "First page" } }
                @if let Ok(Page { next: Some(next), .. }) = view.list { a rel="next" href=(query.link(Some(next))) { "Next page" } }
            }
        }
    }
}

fn table(view: &View<'_>, rows: &[Row]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of resources" {
            table.cards {
                caption.unseen { "Resources, their states, and where they are declared" }
                thead {
                    tr {
                        th scope="col" { "Resource" }
                        th scope="col" { "State" }
                        th scope="col" { "Declared" }
                        @if view.may(Scope::Operate) { th.acts scope="col" { "Actions" } }
                    }
                }
                tbody { @for one in rows { (row(view, one)) } }
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
                    @for state in State::ALL {
                        option value=(state.word()) selected[filter.states.has(state)] { (state.label()) }
                    }
                }
            }
            @if let Some(of) = &view.query.of { input type="hidden" name="of" value=(of.to_string()); }
            button type="submit" { "Show" }
        }
    }
}

fn row(view: &View<'_>, row: &Row) -> Markup {
    let Row { id, title, place, states, .. } = row;
    html! {
        tr #{ "r-" (id.kind.name) "-" (id.name) } {
            th scope="row" {
                (address(id))
                @if !title.is_empty() { br; span.title { (plain(title)) } }
            }
            td data-label="State" {
                @for state in states.iter() { (chip(state)) " " }
                (sign(row)) " " (what(row))
            }
            td data-label="Declared" {
                @match place { Some(place) => code.place { (plain(place)) }, None => span.muted { "in no file" } }
            }
            @if view.may(Scope::Operate) {
                td.acts data-label="Actions" {
                    @if id.kind == host::KIND { (action("rotate", Some(id), "Rotate")) " " }
                    @if states.has(State::Suspended) { (action("resume", Some(id), "Resume")) }
                    @else { (action("suspend", Some(id), "Suspend")) }
                }
            }
        }
    }
}

fn chip(state: State) -> Markup {
    html! { span.chip.(state.word()) { (state.label()) } }
}
