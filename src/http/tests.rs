//! What comes over HTTP and means harm: bodies, events of a billing system, queries.

use axum::http::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::act::{hosts, instances, ledger, legacy, reconcile};
use super::asked::Asked;
use super::billing::event;
use super::body::{Nothing, read};
use crate::testing::{Answer, Hunt, PASSWORD};

#[rustfmt::skip] // So many on a line as there is room for.
const JSON: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\ud800", "\\u001b", "null", "true", "0", "-1", "1.5", "1e400",
    "9223372036854775808", "\"\"", "[]", "{}", "\0", "\u{feff}", "\u{202e}", "é", "\n", " ", "\"hunter2canary\"", "\"host/215\"",
    "\"session\":", "\"resource\":", "\"reason\":", "\"created_by\":", "\"expires_in\":", "\"force_new\":", "\"guid\":", "\"90d\"",
    "\"digest\":", "\"name\":", "\"eventType\":", "\"objectId\":", "\"metaData\":", "\"SUBSCRIPTION_CREATION\"", "\"balance\":",
    "\"INVOICE_PAYMENT_SUCCESS\"", "\"subscriptionId\":", "\"actionType\":", "\"EFFECTIVE\"", "\"phase\":", "\"TRIAL\"",
    "7c9e6679-7425-40de-944b-e07fc1f90ae7", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

const BODIES: &[&str] = &[
    "",
    "{}",
    "\"hunter2canary\"",
    r#"{"session": 215, "created_by": "Noor", "reason": "hunter2canary", "expires_in": "90d", "force_new": true}"#,
    r#"{"reason": "hunter2canary", "rotated_by": "Noor", "expires_in": "12h"}"#,
    r#"{"guid": "hunter2canary"}"#,
    r#"{"resource": "host/215", "reason": "because"}"#,
    r#"{"digest": "20be114c28b75ed55ec5131ff3ff92d9", "reason": "hunter2canary"}"#,
    r#"{"name": "acme"}"#,
];

const EVENTS: &[&str] = &[
    r#"{"eventType": "SUBSCRIPTION_CREATION", "objectId": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "accountId": "a",
        "metaData": {"actionType": "EFFECTIVE", "phase": "TRIAL"}}"#,
    r#"{"eventType": "SUBSCRIPTION_CREATION", "objectId": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "metaData": "{\"actionType\": \"EFFECTIVE\", \"phase\": \"TRIAL\"}"}"#,
    r#"{"eventType": "INVOICE_PAYMENT_SUCCESS", "objectId": "x", "metaData":
        {"subscriptionId": "7C9E667974254 0DE944BE07FC1F90AE7", "balance": "0.00"}}"#,
    r#"{"eventType": "PAYMENT_FAILED", "metaData": "hunter2canary"}"#,
    "\"hunter2canary\"",
    "[\"PAYMENT_FAILED\", null, null, \"hunter2canary\"]",
];

const QUERIES: &[&str] = &[
    "kind=host&state=drift&q=a%26b&limit=500&after=host%2F215",
    "kind=&state=&q=&after=&limit=",
    "q=+x+&after=instance/7C9E667974254 0DE944BE07FC1F90AE7",
    "after=sessions/%2B007&after=server/a.b",
];

#[rustfmt::skip] // So many on a line as there is room for.
const PARTS: &[&str] = &[
    "&", "=", "%", "%26", "%00", "%0a", "%C0%AF", "+", " ", "/", "kind=", "state=", "q=", "after=", "limit=", "host", "hosts",
    "server", "instance", "session/", "215", "0", "-1", "+1", "501", "in_sync", "changed", "drift", "blocked", "suspended", "é",
    "\u{a0}", "\u{202e}", "\0", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "{7c9e6679-7425-40de-944b-e07fc1f90ae7}", "urn:uuid:",
];

fn hunt(
    name: &'static str,
    corpus: &[&str],
    fragments: &'static [&'static str],
    judge: fn(&[u8]) -> Result<Answer, String>,
) -> Hunt {
    let corpus = corpus.iter().map(|text| text.as_bytes().to_vec()).collect();
    Hunt { name, corpus, fragments, draw: |_| None, usual: 4_000, judge: Box::new(judge) }
}

pub(crate) fn bodies() -> Hunt {
    hunt("request bodies", BODIES, JSON, judge_body)
}

pub(crate) fn events() -> Hunt {
    hunt("billing events", EVENTS, JSON, judge_event)
}

pub(crate) fn queries() -> Hunt {
    hunt("queries", QUERIES, PARTS, judge_query)
}

/// Whether a refusal may be sent: it repeats no value. The name of a field may be repeated.
fn keeps_values(body: &[u8], said: &str) -> Result<(), String> {
    fn names_it(json: &Json) -> bool {
        match json {
            Json::Object(fields) => fields.iter().any(|(name, value)| name.contains(PASSWORD) || names_it(value)),
            Json::Array(items) => items.iter().any(names_it),
            _ => false,
        }
    }
    // Where the rest is no JSON, a name may have been refused before that showed.
    let is_named = serde_json::from_slice(body).map_or(true, |json| names_it(&json));
    match said.contains(PASSWORD) && !is_named {
        true => Err(format!("a value is repeated: {said}")),
        false => Ok(()),
    }
}

fn judge_body(bytes: &[u8]) -> Result<Answer, String> {
    fn one<T: DeserializeOwned>(bytes: &[u8]) -> Result<bool, String> {
        match read::<T>(bytes) {
            Ok(_) => Ok(true),
            Err(problem) => keeps_values(bytes, &format!("{problem:?}")).map(|()| false),
        }
    }
    let all = [
        one::<hosts::Create>(bytes)?,
        one::<hosts::Rotate>(bytes)?,
        one::<hosts::Revoke>(bytes)?,
        one::<hosts::Verify>(bytes)?,
        one::<instances::Forget>(bytes)?,
        one::<ledger::Switch>(bytes)?,
        one::<ledger::Approve>(bytes)?,
        one::<legacy::Generate>(bytes)?,
        one::<reconcile::Reconcile>(bytes)?,
        one::<Nothing>(bytes)?,
    ];
    Ok(if all.contains(&true) { Answer::Taken } else { Answer::Refused })
}

fn judge_event(bytes: &[u8]) -> Result<Answer, String> {
    let heard = match event(&HeaderMap::new(), bytes) {
        Ok(heard) => heard,
        Err(problem) => {
            keeps_values(bytes, &format!("{problem:?}"))?;
            return Ok(Answer::Refused);
        }
    };
    // The same, written otherwise, does the same. What is left alone need not be text.
    let Ok(json) = serde_json::from_slice::<Json>(bytes) else { return Ok(Answer::Taken) };
    match event(&HeaderMap::new(), format!("{json:#}").as_bytes()) {
        Ok(twin) if (&twin.event_type, &twin.releases) == (&heard.event_type, &heard.releases) => Ok(Answer::Taken),
        Ok(twin) => Err(format!("written otherwise it does {:?}, and not {:?}", twin.releases, heard.releases)),
        Err(problem) => Err(format!("written otherwise it is refused: {problem:?}")),
    }
}

fn judge_query(bytes: &[u8]) -> Result<Answer, String> {
    let text = String::from_utf8_lossy(bytes);
    let Ok(asked) = Asked::read(&text) else { return Ok(Answer::Refused) };
    let query = asked.query(asked.after.as_ref());
    match Asked::read(&query) {
        Ok(twin) if twin == asked => Ok(Answer::Taken),
        twin => Err(format!("as a query again it is {query}, which is read as {twin:?}")),
    }
}
