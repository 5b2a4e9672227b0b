//! What a page is made from, and small pieces that several of its parts show.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::change::{ResourceId, moment, printable};
use crate::failure::Result;
use crate::http::asked::Asked;
use crate::http::gate::Caller;
use crate::kinds::parse_id;
use crate::store::journal::Line;
use crate::store::turns::Turn;
use crate::token::Scope;
use crate::turn::list::Page;
use crate::turn::status::Known;
use crate::turn::survey::Survey;

/// What the address asks for.
pub struct Query {
    pub asked: Asked,
    /// The resource whose history is wanted; all, where there is none.
    pub of: Option<ResourceId>,
    /// What could not be read, and what would do. The page is shown without it.
    pub wrong: Option<String>,
}

impl Query {
    pub fn read(query: &str) -> Self {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let (of, rest): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| name == "of");
        let mut wrong = None;
        let of = of.iter().map(|(_, value)| value.trim()).rfind(|value| !value.is_empty());
        let of = of.and_then(|value| parse_id(value).map_err(|what| wrong = Some(what)).ok());
        let asked = Asked::from_pairs(rest.into_iter()).unwrap_or_else(|what| {
            wrong = Some(what);
            Asked::default()
        });
        Self { asked, of, wrong }
    }

    /// The address of the same page with the resources from after `after` on.
    pub fn link(&self, after: Option<&ResourceId>) -> String {
        let mut query = self.asked.query(after);
        if let Some(of) = &self.of {
            let of = url::form_urlencoded::Serializer::new(String::new()).append_pair("of", &of.to_string()).finish();
            query = if query.is_empty() { of } else { format!("{query}&{of}") };
        }
        format!("?{query}#resources")
    }
}

/// Everything that one page shows.
pub struct View<'a> {
    pub survey: &'a Survey,
    pub query: &'a Query,
    /// The resources that are asked for.
    pub list: &'a Result<Page>,
    pub lines: &'a Result<Vec<Line>>,
    pub caller: &'a Caller,
    /// The daemon's own: `starting`, `leader` or `follower`.
    pub role: &'static str,
    /// Why the daemon is not ready.
    pub reason: Option<&'static str>,
    /// What the board had counted.
    pub news: u64,
}

impl View<'_> {
    pub fn known(&self) -> Option<&Known> {
        self.survey.status.as_ref().ok().and_then(|status| status.known.as_ref())
    }

    pub fn last(&self) -> Option<&Turn> {
        self.known().and_then(|known| known.last.as_ref())
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.caller.scope >= scope
    }
}

/// A button that opens a dialog, for whoever may. Without the script it is not seen.
pub fn action(name: &str, resource: Option<&ResourceId>, label: &str) -> Markup {
    let resource = resource.map(ResourceId::to_string);
    html! {
        button.act type="button" data-act=(name) data-resource=[resource.as_deref()] {
            (label)
            @if let Some(resource) = &resource { span.unseen { " " (resource) } }
        }
    }
}

/// A moment, for people and for machines.
pub fn time(at: DateTime<Utc>) -> Markup {
    let text = moment(at);
    html! { time datetime=(text) { (text.replace('T', " ").replace('Z', " UTC")) } }
}

/// Text from data, with whatever could turn the direction of writing made visible; maud makes the rest harmless.
pub fn plain(text: &str) -> Markup {
    html! { (printable(text)) }
}

/// As [`plain`], with what stands between backticks as the words of a program that they are.
pub fn prose(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (printable(part)) } } @else { (printable(part)) }
        }
    }
}

/// A resource's address.
pub fn address(id: &ResourceId) -> Markup {
    html! { code.address { (printable(&id.to_string())) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_data_stays_text() {
        let hostile = "<b>\u{202e}`a<i>`&\"";
        assert_eq!(plain(hostile).into_string(), "&lt;b&gt;\\u{202e}`a&lt;i&gt;`&amp;&quot;");
        assert_eq!(prose(hostile).into_string(), "&lt;b&gt;\\u{202e}<code>a&lt;i&gt;</code>&amp;&quot;");
    }

    #[test]
    fn a_wrong_query_is_told_and_the_rest_is_kept() {
        let query = Query::read("of=host%2F1&state=good");
        assert_eq!(query.of.as_ref().map(ToString::to_string).as_deref(), Some("host/1"));
        assert_eq!(
            query.wrong.as_deref(),
            Some("state must be one of failed, blocked, drifted, pending, unmanaged, suspended, in_sync, protected")
        );
        assert_eq!(query.link(None), "?of=host%2F1#resources");
        let query = Query::read("of=nothing&q=a");
        assert!(query.of.is_none() && query.wrong.is_some());
        let next = crate::kinds::parse_id("session/50").unwrap();
        assert_eq!(query.link(Some(&next)), "?q=a&after=session%2F50#resources");
    }
}
