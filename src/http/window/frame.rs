//! The frame of every page: what names the environment, who looks, and the dialogs.

use maud::{DOCTYPE, Markup, html};

use super::data::{View, plain};
use super::{history, outside, overview, plan, resources};
use crate::token::Scope;

/// One whole page.
pub fn page(view: &View<'_>) -> Markup {
    let environment = view.survey.environment.as_str();
    let title = format!("{environment} · {} · reconcile", view.survey.catalog);
    let body = html! {
        (band(view))
        main #main tabindex="-1" data-news=(view.news) data-said=(overview::said(view)) {
            (overview::troubles(view))
            (overview::facts(view))
            (overview::counts(view))
            @if let Ok(inventory) = &view.survey.inventory {
                (plan::changes(inventory))
                (plan::blocked(inventory))
            }
            @if let Some(known) = view.known() { (outside::parts(view, known)) }
            @if let Ok(inventory) = &view.survey.inventory { (resources::part(view, inventory)) }
            (history::part(view))
        }
        (foot(concat!("reconcile ", env!("CARGO_PKG_VERSION"))))
        (dialogs())
    };
    document(&title, environment, &body)
}

/// What a browser is shown that has shown no token: nothing but the way in.
pub fn sign_in() -> Markup {
    let body = html! {
        header.band {
            div.width { h1 { span.brand { "reconcile" } } (connection()) }
        }
        main #main tabindex="-1" {
            section.card.sign-in aria-labelledby="way-in" {
                h2 #way-in { "Sign in" }
                p { "This page shows its data to whoever has a token. On a machine that has the project, make one:" }
                pre tabindex="0" { code { "reconcile token create --name NAME --scope read" } }
                p.muted {
                    "The scope " code { "operate" } " also suspends, resumes, rotates and approves; "
                    code { "secrets" } " also claims GUIDs."
                }
                // Without the script it would go into the address, so there it is not to be had.
                form #sign-in hidden autocomplete="off" {
                    label for="token" { "Token" }
                    input #token type="password" required autocomplete="off" spellcheck="false" autocapitalize="none"
                        aria-describedby="token-about token-wrong" placeholder="rct_…";
                    p.muted #token-about { "It is kept in this tab alone, until the tab is closed or you sign out." }
                    p.wrong #token-wrong role="alert" {}
                    button.main type="submit" { "Sign in" }
                }
                p {
                    a href="/page/" { "Read without scripts" }
                    span.muted { ": the browser asks for a user, which can be anything, and a password, which is the token." }
                }
            }
        }
        (foot(""))
    };
    document("Sign in · reconcile", "", &body)
}

fn document(title: &str, environment: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-environment=(environment) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (plain(title)) }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/page.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                (body)
            }
        }
    }
}

fn band(view: &View<'_>) -> Markup {
    let survey = view.survey;
    html! {
        header.band {
            div.width {
                h1 { span.brand { "reconcile" } " " span.environment { (plain(&survey.environment)) } }
                p.where { span { (plain(&survey.catalog)) } " · " span { (survey.driver) } }
                p.who {
                    (plain(&view.caller.name)) " (" (view.caller.scope.word()) ") "
                    button.act.quiet type="button" #sign-out { "Sign out" }
                    @if view.may(Scope::Operate) { a.without href="/" { "Sign in with scripts to act" } }
                }
                (connection())
            }
        }
    }
}

/// Whether news arrive: the script's to say.
fn connection() -> Markup {
    html! { p.connection #connection role="status" data-keep { } }
}

/// `about`: what the page is of, for whoever may know.
fn foot(about: &str) -> Markup {
    html! {
        footer.width {
            p.muted { (about) }
            p.unseen #said role="status" data-keep { }
        }
    }
}

/// Dialogs are the script's to fill in and to open.
fn dialogs() -> Markup {
    html! {
        dialog #act aria-labelledby="act-title" aria-describedby="act-about" data-keep {
            form method="dialog" autocomplete="off" {
                h2 #act-title {}
                p #act-about {}
                label #act-reason-label for="act-reason" { "Reason" }
                input #act-reason maxlength="500" autocomplete="off" aria-describedby="act-reason-about";
                p.muted #act-reason-about { "It is kept in the journal." }
                div.wrong #act-wrong role="alert" {}
                p.buttons {
                    button #act-cancel type="button" { "Cancel" }
                    button.main #act-do type="submit" {}
                }
            }
        }
        dialog #guid aria-labelledby="guid-title" data-keep {
            h2 #guid-title {}
            p { "It is shown this once, and can be had from nobody any more when this is closed." }
            label for="guid-text" { "GUID" }
            input #guid-text readonly autocomplete="off" spellcheck="false";
            p #guid-said role="status" {}
            p.buttons {
                button #guid-copy type="button" { "Copy" }
                button.main #guid-close type="button" { "Close, and forget it" }
            }
        }
    }
}
