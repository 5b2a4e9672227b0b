//! The first look: whether all is well, what the last turn did, and how many resources stand how.

use maud::{Markup, html};

use super::data::{View, action, plain, prose, time};
use crate::failure::Failure;
use crate::store::turns::Turn;
use crate::token::Scope;
use crate::turn::inventory::Wish;

/// Problems of files that are shown.
const PROBLEMS: usize = 50;

/// What is said aloud when the page has changed.
pub fn said(view: &View<'_>) -> String {
    match &view.survey.inventory {
        Ok(inventory) => {
            let count = |wish| inventory.count(wish);
            let (changed, blocked) = (count(Wish::Changed), count(Wish::Blocked));
            format!("{} in sync, {changed} to change, {blocked} blocked", count(Wish::InSync))
        }
        Err(failure) => failure.line(),
    }
}

/// What is in the way of everything, or of the next turn.
pub fn troubles(view: &View<'_>) -> Markup {
    let survey = view.survey;
    let status = survey.status.as_ref().err();
    // Both ask the same database, and are mostly told the same.
    let plan = survey.inventory.as_ref().err();
    let plan = plan.filter(|plan| status.is_none_or(|status| status.line() != plan.line()));
    let held = view.last().and_then(Turn::held);
    html! {
        @if let Some(reason) = view.reason { div.notice.bad { p { strong { "Not ready: " } (prose(reason)) } } }
        @for failure in status.into_iter().chain(plan) { (trouble(failure)) }
        @if let Some(digest) = held {
            div.notice.warn {
                p {
                    strong { "Held back. " }
                    @if let Some(hold) = survey.inventory.as_ref().ok().and_then(|inventory| inventory.lineage.held()) {
                        "Nothing was applied: " (prose(&hold.why)) "; " (prose(&hold.hint)) ". "
                        "Whoever means to go back can let it pass."
                    } @else {
                        "The plan would change more at once than the change budget allows, so nothing of it was applied. "
                        "Whoever has looked at it can let it pass."
                    }
                }
                p { "Its digest: " code { (plain(digest)) } }
                @if view.may(Scope::Operate) {
                    p { button.act type="button" data-act="approve" data-digest=(digest) { "Approve this plan" } }
                }
            }
        }
        @if let Some(wrong) = &view.query.wrong { div.notice.warn { p { (plain(wrong)) } } }
    }
}

fn trouble(failure: &Failure) -> Markup {
    let problems: Vec<_> = failure.problems().into_iter().flat_map(|problems| problems.iter()).take(PROBLEMS).collect();
    let count = failure.problems().map_or(0, |problems| problems.len());
    html! {
        div.notice.bad {
            p { strong { (plain(&failure.line())) } }
            @if count > 0 { p { "The last good state stays in force until they are mended." } }
            @if !problems.is_empty() {
                ul.problems {
                    @for problem in &problems {
                        li {
                            code { (plain(&problem.place.to_string())) } " " (prose(&problem.message))
                            @if let Some(hint) = &problem.hint { br; span.muted { (prose(hint)) } }
                        }
                    }
                    @if count > problems.len() { li { "… and " (count - problems.len()) " more" } }
                }
            }
            @for hint in &failure.hints { p.muted { (prose(hint)) } }
        }
    }
}

pub fn facts(view: &View<'_>) -> Markup {
    let inventory = view.survey.inventory.as_ref().ok();
    html! {
        section.card.wide aria-labelledby="now" {
            div.heading {
                h2 #now { "Now" }
                @if view.may(Scope::Operate) {
                    p.buttons {
                        (action("reconcile", None, "Reconcile now"))
                        @if view.known().is_some_and(|known| known.suspensions.iter().any(|all| all.kind.is_empty())) {
                            (action("resume", None, "Resume everything"))
                        } @else {
                            (action("suspend", None, "Suspend everything"))
                        }
                    }
                }
            }
            dl.facts {
                @if let Some(turn) = view.last() { (last(turn)) }
                @else { div { dt { "Last turn" } dd { "none yet" } } }
                @if let Some(inventory) = inventory {
                    div {
                        dt { "Files" }
                        dd { (plain(&inventory.header.state)) " @ " (plain(&inventory.header.revision.label())) }
                    }
                }
                @if let Some(known) = view.known() {
                    div {
                        dt { "Applied by" }
                        dd {
                            @match &known.lease.holder {
                                Some(holder) => { (plain(holder)) span.muted { " fencing " (known.lease.fencing) } }
                                None => "nobody",
                            }
                        }
                    }
                }
                div { dt { "This daemon" } dd { (view.role) } }
                @if let Some(inventory) = inventory { div { dt { "Looked at" } dd { (time(inventory.made_at)) } } }
            }
        }
    }
}

fn last(turn: &Turn) -> Markup {
    let is_good = turn.good_at == Some(turn.finished_at);
    html! {
        div {
            dt { "Last turn" }
            dd {
                span.outcome.good[is_good].bad[!is_good] { (plain(&turn.outcome)) }
                br; (time(turn.finished_at)) span.muted { " @ " (plain(&turn.revision)) }
            }
        }
        div { dt { "Its plan" } dd { (plain(turn.summary.as_str().unwrap_or_default())) } }
        div {
            dt { "Last good" }
            dd { @match turn.good_at { Some(at) => (time(at)), None => "never" } }
        }
    }
}

pub fn counts(view: &View<'_>) -> Markup {
    let Ok(inventory) = &view.survey.inventory else { return html! {} };
    let word = |wish| match wish {
        Wish::InSync => "in sync",
        Wish::Changed => "to change",
        Wish::Drift => "drift",
        Wish::Blocked => "blocked",
        Wish::Suspended => "suspended",
    };
    html! {
        section.wide aria-labelledby="counts" {
            h2.unseen #counts { "Counts" }
            ul.counts {
                @for wish in Wish::ALL {
                    @let count = inventory.count(wish);
                    li.(wish.word()).none[count == 0] {
                        a href={ "?state=" (wish.word()) "#resources" } { strong { (grouped(count as u64)) } " " (word(wish)) }
                    }
                }
                li.unmanaged.none[inventory.unmanaged == 0] {
                    span { strong { (grouped(inventory.unmanaged)) } " unmanaged" }
                }
            }
        }
    }
}

/// `1,000,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [0, 999, 1_000, 12_345, 1_000_000].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,000,000"]);
    }
}
