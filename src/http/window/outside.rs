//! What stands beside the plan: suspensions, servers and how full they are, instances, and secrets that wait.

use maud::{Markup, html};

use super::data::{View, action, plain, time};
use crate::kinds::parse_id;
use crate::resource::server::{Observed, Status};
use crate::store::ledger::Suspension;
use crate::store::outbox::Waiting;
use crate::token::Scope;
use crate::turn::status::Known;

/// Of each sort, so many are shown.
const MOST: usize = 100;

pub fn parts(view: &View<'_>, known: &Known) -> Markup {
    let Known {
        lease: _,
        last: _,
        unfollowed: _,
        suspensions,
        failures: (failures, failing),
        waiting,
        handoff_trouble,
        servers,
        phases,
        notifications,
    } = known;
    html! {
        @if !failures.is_empty() {
            section.card aria-labelledby="failures" {
                h2 #failures { "Failing" }
                ul.rows {
                    @for (kind, name, failed) in failures {
                        li { span { code.address { (plain(&format!("{kind}/{name}"))) } ": " span.bad { (failed.sentence()) } } }
                    }
                    @if *failing > failures.len() as i64 { li { "… and " (failing - failures.len() as i64) " more" } }
                }
            }
        }
        @if !suspensions.is_empty() { (suspended(view, suspensions)) }
        @if !servers.is_empty() || !phases.is_empty() {
            section.card aria-labelledby="pools" {
                h2 #pools { "Servers and instances" }
                @if !servers.is_empty() { (pools(servers)) }
                @if !phases.is_empty() {
                    h3 { "Instances by phase" }
                    ul.phases { @for (phase, count) in phases { li { strong { (count) } " " (plain(phase)) } } }
                }
            }
        }
        @if !notifications.is_empty() {
            section.card aria-labelledby="notifications" {
                h2 #notifications { "Notifications on their way" }
                ul.rows {
                    @for Waiting { target, messages, last_error } in notifications.iter().take(MOST) {
                        li {
                            span {
                                code.address { (plain(target)) } ": " (messages)
                                @if let Some(error) = last_error { span.bad { " " (plain(error)) } }
                            }
                        }
                    }
                }
            }
        }
        @if !waiting.is_empty() || handoff_trouble.is_some() {
            section.card aria-labelledby="hand-offs" {
                h2 #hand-offs { "Waiting to be claimed" }
                @if let Some(trouble) = handoff_trouble { p.bad { "The hand-off cannot be asked: " (plain(trouble)) } }
                ul.rows {
                    @for (address, until) in waiting.iter().take(MOST) {
                        li {
                            span { code.address { (plain(address)) } span.muted { " until " (time(*until)) } }
                            @if let (true, Ok(id)) = (view.may(Scope::Secrets), parse_id(address))
                                && id.kind == crate::resource::host::KIND { (action("claim", Some(&id), "Claim")) }
                        }
                    }
                    @if waiting.len() > MOST { li { "… and " (waiting.len() - MOST) " more" } }
                }
            }
        }
    }
}

fn suspended(view: &View<'_>, suspensions: &[Suspension]) -> Markup {
    html! {
        section.card aria-labelledby="suspended" {
            h2 #suspended { "Suspended" }
            ul.rows {
                @for Suspension { kind, name, actor, reason, suspended_at } in suspensions.iter().take(MOST) {
                    @let address = format!("{kind}/{name}");
                    li {
                        span {
                            @if kind.is_empty() { strong { "Everything" } } @else { code.address { (plain(&address)) } }
                            " by " (plain(actor)) " since " (time(*suspended_at)) ": " (plain(reason))
                        }
                        @if view.may(Scope::Operate) {
                            @if kind.is_empty() { (action("resume", None, "Resume everything")) }
                            @else if let Ok(id) = parse_id(&address) { (action("resume", Some(&id), "Resume")) }
                        }
                    }
                }
                @if suspensions.len() > MOST { li { "… and " (suspensions.len() - MOST) " more" } }
            }
        }
    }
}

fn pools(servers: &[Observed]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of servers" {
            table.cards {
                caption.unseen { "Servers, and how many of their places are taken" }
                thead { tr { th scope="col" { "Server" } th scope="col" { "Places" } th scope="col" { "Health" } } }
                tbody {
                    @for server in servers.iter().take(MOST) {
                        tr {
                            th scope="row" { (plain(&server.profile.name.0)) }
                            td data-label="Places" { (bar(server)) }
                            td data-label="Health" { (health(server)) }
                        }
                    }
                }
            }
        }
    }
}

fn bar(server: &Observed) -> Markup {
    let (taken, max) = (server.allocated, server.profile.max_instances.max(1));
    let share = (taken * 100 / max).clamp(i64::from(taken > 0), 100);
    let level = match share {
        95.. => "full",
        80.. => "nearly",
        _ => "roomy",
    };
    html! {
        span.pool {
            span.meter.(level) role="meter" aria-valuemin="0" aria-valuemax=(max) aria-valuenow=(taken.clamp(0, max))
                aria-valuetext={ (taken) " of " (max) " places" } aria-label={ "Places on " (server.profile.name) } {
                svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
                    rect width=(share) height="1" {}
                }
            }
            span.number { (taken) "/" (max) }
        }
    }
}

fn health(server: &Observed) -> Markup {
    html! {
        (server.health.condition.word())
        @if server.profile.status == Status::Maintenance { ", in maintenance" }
        @if let Some(error) = &server.health.last_error { br; span.muted { (plain(error)) } }
    }
}
