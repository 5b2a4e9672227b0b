//! The newest lines of the journal, of everything or of one resource.

use maud::{Markup, html};

use super::data::{View, plain, time};
use crate::change::EVERYTHING;
use crate::store::journal::Line;

pub fn part(view: &View<'_>) -> Markup {
    let of = view.query.of.as_ref().map(ToString::to_string);
    html! {
        section.card.wide #history aria-labelledby="journal" tabindex="-1" {
            h2 #journal { "History" }
            form.search method="get" action="#history" {
                span {
                    label for="of" { "Resource" }
                    input #of name="of" value=[of.as_deref()] autocomplete="off" spellcheck="false" placeholder="host/215";
                }
                @for (name, value) in url::form_urlencoded::parse(view.query.asked.query(None).as_bytes()) {
                    input type="hidden" name=(name) value=(value);
                }
                button type="submit" { "Show" }
            }
            @match view.lines {
                Ok(lines) if lines.is_empty() => p.muted { "Nothing yet." },
                Ok(lines) => (table(lines)),
                Err(failure) => p.bad { (plain(&failure.line())) },
            }
        }
    }
}

fn table(lines: &[Line]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of history" {
            table.cards {
                caption.unseen { "The newest lines of the journal" }
                thead {
                    tr {
                        th scope="col" { "When" }
                        th scope="col" { "What" }
                        th scope="col" { "By" }
                        th scope="col" { "Why" }
                        th scope="col" { "Revision" }
                    }
                }
                tbody {
                    @for line in lines {
                        tr {
                            td data-label="When" { (time(line.at)) }
                            th scope="row" { (plain(&line.action)) " " code.address { (plain(&about(line))) } }
                            td data-label="By" {
                                (plain(&line.actor))
                                @if let Some(origin) = &line.origin { " " span.muted { "(" (plain(origin)) ")" } }
                            }
                            td data-label="Why" { (plain(line.reason.as_deref().unwrap_or_default())) }
                            td data-label="Revision" { (plain(&line.revision)) }
                        }
                    }
                }
            }
        }
    }
}

fn about(line: &Line) -> String {
    match line.kind == EVERYTHING.name {
        true => EVERYTHING.name.to_owned(),
        false => format!("{}/{}", line.kind, line.name),
    }
}
