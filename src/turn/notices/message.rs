//! Messages as their receivers read them.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use crate::change::{printable, rfc3339};
use crate::notice::Event;
use crate::store::outbox::{Delivery, Posted};

/// Lines of a message that people read, at most.
const LINES: usize = 20;
/// Characters of one of them, at most: what a resource is called or why may be as long as somebody liked.
const LONGEST: usize = 300;

/// One thing that happened, as it is kept and as JSON tells it.
pub fn item(posted: &Posted) -> Json {
    let Posted { at, event: _, about, actor, reason, text } = posted;
    json!({ "at": rfc3339(*at), "about": about, "actor": actor, "reason": reason, "text": text })
}

/// Where it happened.
pub struct Origin<'a> {
    pub environment: &'a str,
    pub catalog: &'a str,
}

/// Our own JSON, as Standard Webhooks would have it: type, timestamp and data. `attempt` is 1 for the first.
pub fn json(delivery: &Delivery, origin: &Origin<'_>, attempt: i64, now: DateTime<Utc>) -> String {
    let Delivery { id: _, target: _, event, items, made_at, attempts: _ } = delivery;
    let Origin { environment, catalog } = origin;
    json!({
        "type": format!("reconcile.{}", event.word()),
        "timestamp": rfc3339(now),
        "attempt": attempt,
        "data": { "environment": environment, "catalog": catalog, "made_at": rfc3339(*made_at), "items": items },
    })
    .to_string()
}

/// What Slack's incoming webhooks take.
pub fn slack(delivery: &Delivery, origin: &Origin<'_>, attempt: i64) -> String {
    let items = delivery.items.as_array().map(Vec::as_slice).unwrap_or_default();
    let head = match delivery.event {
        Event::Rotation => ":key: new secrets",
        Event::Allocation => ":package: allocated",
        Event::Provisioning => ":gear: provisioning",
        Event::Blocked => ":no_entry: blocked",
        Event::Failure => ":x: failed",
        Event::Recovery => ":white_check_mark: recovered",
        Event::PoolFill => ":battery: filling up",
        Event::Drift => ":twisted_rightwards_arrows: drift",
    };
    let mut text = format!("*{head}* · {} · {}", escaped(origin.environment), escaped(origin.catalog));
    if attempt > 1 {
        text.push_str(&format!(" · sent again ({attempt})"));
    }
    for item in items.iter().take(LINES) {
        let word = |name: &str| item[name].as_str().unwrap_or_default();
        let mut line = format!("{}: {}", word("about"), word("text"));
        match (word("actor"), word("reason")) {
            ("", "") => {}
            (actor, "") => line.push_str(&format!(" (by {actor})")),
            (actor, reason) => line.push_str(&format!(" (by {actor}: {reason})")),
        }
        text.push_str(&format!("\n• {}", escaped(&line)));
    }
    if items.len() > LINES {
        text.push_str(&format!("\n… and {} more; `reconcile history` has all", items.len() - LINES));
    }
    json!({ "text": text }).to_string()
}

/// As Slack wants what is not its own markup: three letters escaped. Markup within words stays what it looks like.
fn escaped(text: &str) -> String {
    let mut short: String = printable(text).chars().take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        short.push('…');
    }
    short.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::sql::Id;

    const ORIGIN: Origin<'_> = Origin { environment: "production", catalog: "KSESSIONS" };

    fn delivery(count: usize) -> Delivery {
        let at: DateTime<Utc> = "2026-11-21T20:00:00Z".parse().unwrap();
        let posted = |number: usize| Posted {
            at,
            event: Event::Rotation,
            about: format!("host/{number}"),
            actor: "Security <Team>".to_owned(),
            reason: (number == 0).then(|| "a & b\u{7}".to_owned()),
            text: "it has a new GUID".to_owned(),
        };
        Delivery {
            id: Id(Uuid::nil()),
            target: "ops".to_owned(),
            event: Event::Rotation,
            items: (0..count).map(|number| item(&posted(number))).collect(),
            made_at: at,
            attempts: 0,
        }
    }

    #[test]
    fn people_read_what_happened_and_no_markup_of_others() {
        let said: Json = serde_json::from_str(&slack(&delivery(2), &ORIGIN, 1)).unwrap();
        insta::assert_snapshot!(said["text"].as_str().unwrap(), @"
        *:key: new secrets* · production · KSESSIONS
        • host/0: it has a new GUID (by Security &lt;Team&gt;: a &amp; b\\u{7})
        • host/1: it has a new GUID (by Security &lt;Team&gt;)
        ");
        let said: Json = serde_json::from_str(&slack(&delivery(23), &ORIGIN, 3)).unwrap();
        let said = said["text"].as_str().unwrap();
        assert!(said.lines().next().unwrap().ends_with("KSESSIONS · sent again (3)"), "{said}");
        assert!(said.lines().count() == 22 && said.ends_with("… and 3 more; `reconcile history` has all"), "{said}");
    }

    #[test]
    fn programs_read_the_same_and_all_of_it() {
        let at = "2026-11-21T20:00:01Z".parse().unwrap();
        let said: Json = serde_json::from_str(&json(&delivery(23), &ORIGIN, 2, at)).unwrap();
        assert_eq!((said["type"].as_str(), said["attempt"].as_i64()), (Some("reconcile.rotation"), Some(2)));
        assert_eq!(said["timestamp"], "2026-11-21T20:00:01Z");
        assert_eq!(said["data"]["items"].as_array().unwrap().len(), 23);
        assert_eq!(said["data"]["items"][0]["reason"], "a & b\u{7}");
    }
}
