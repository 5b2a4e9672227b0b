//! `POST /webhooks/billing`: what a billing system tells, in the shape of Kill Bill's push notifications.
//!
//! Signed as Standard Webhooks has it, or with a token for a sender that cannot sign. Two events release a subscription:
//! `SUBSCRIPTION_CREATION`, in force (`actionType` `EFFECTIVE`) and in its trial (`phase` `TRIAL`), by its `objectId`;
//! and `INVOICE_PAYMENT_SUCCESS` with nothing left to pay (`balance` 0), by the `subscriptionId` of its `metaData`.
//! Every other is acknowledged, and stands in the journal with the reason why it releases nothing.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::gate::Caller;
use super::problem::Problem;
use super::route::Route;
use super::routes::answer;
use crate::change::hex;
use crate::store::sql::now;
use crate::turn::World;
use crate::turn::billing::{Event, Heard};
use crate::webhook::Envelope;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
pub const SIGNATURE: &str = "webhook-signature";

/// The longest id of an event, and the longest name of its type.
const LONGEST: (usize, usize) = (255, 100);

type Refused<T> = std::result::Result<T, Problem>;

/// What is sent. What else stands there is left alone.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Notice {
    #[schema(min_length = 1, max_length = 100, pattern = "^[!-~]+$")]
    event_type: String,
    #[serde(default)]
    object_id: Option<String>,
    #[serde(default)]
    account_id: Option<String>,
    /// An object, or the text of one, as Kill Bill sends it.
    #[serde(default)]
    meta_data: Json,
}

/// Those that take events.
pub fn routes() -> [Route<Arc<World>>; 1] {
    [Route::post("/webhooks/billing", hear)]
}

/// Takes an event of a billing system: signed (`webhook-signature`), or with a token.
#[utoipa::path(post, path = "/webhooks/billing", tag = "webhooks", operation_id = "billing",
    request_body = Notice,
    responses((status = 200, description = "It is noted, or was known", body = serde_json::Value)))]
pub async fn hear(
    State(world): State<Arc<World>>,
    // Whoever has shown a token; without one, the event has to be signed.
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let heard = async {
        let actor = match caller {
            Some(Extension(caller)) => caller.actor(),
            None => signed(&world, &headers, &body)?,
        };
        let event = event(&headers, &body)?;
        let heard = world.hear_billing(&event, actor).await.map_err(|failure| Problem::of(&failure))?;
        let (outcome, why) = match (heard, &event.releases) {
            (Heard::Known, _) => ("known", None),
            (Heard::Released, _) => ("released", None),
            (Heard::ReleasedBefore, _) => ("released_before", None),
            (Heard::Ignored, why) => ("ignored", why.as_ref().err()),
        };
        Ok(json!({ "event": event.id, "outcome": outcome, "reason": why }))
    };
    match heard.await {
        Ok(told) => answer(StatusCode::OK, "application/json", format!("{told:#}\n")),
        Err::<_, Problem>(problem) => problem.answer(),
    }
}

/// Believes a signed event, and gives the actor that the journal names.
fn signed(world: &World, headers: &HeaderMap, body: &[u8]) -> Refused<String> {
    let refused = |why: &str| Problem::new(StatusCode::UNAUTHORIZED, why);
    let Some(keys) = &world.config.billing_keys else {
        return Err(refused("no key is configured that an event could be signed with: see billing.keys_file"));
    };
    let envelope =
        Envelope { id: text(headers, ID)?, timestamp: text(headers, TIMESTAMP)?, signature: text(headers, SIGNATURE)? };
    keys.check(envelope, body, now().timestamp()).map_err(|why| refused(&why.to_string()))?;
    Ok("billing".to_owned())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Refused<&'h str> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, format!("a signed event has the header {name}")))
}

pub(super) fn event(headers: &HeaderMap, body: &[u8]) -> Refused<Event> {
    let unfit = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    // A type with fields could also be read from a list, and of anything else the error would repeat what it was.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(unfit("a billing event is a JSON object".to_owned()));
    }
    let mut notice: Notice =
        serde_json::from_slice(body).map_err(|error| unfit(format!("this is no billing event: {error}")))?;
    if !is_visible(&notice.event_type, LONGEST.1) {
        return Err(unfit(format!("eventType must be 1 to {} visible ASCII characters", LONGEST.1)));
    }
    if let Some(Ok(read)) = notice.meta_data.as_str().map(serde_json::from_str) {
        notice.meta_data = read;
    }
    let id = match headers.get(ID) {
        Some(id) => {
            let id = id.to_str().ok().filter(|id| is_visible(id, LONGEST.0));
            id.ok_or_else(|| unfit(format!("{ID} must be 1 to {} visible ASCII characters", LONGEST.0)))?.to_owned()
        }
        None => notice.digest(),
    };
    Ok(Event { id, releases: notice.releases(), event_type: notice.event_type })
}

fn is_visible(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Notice {
    /// An id for an event that came without one: the same when the same is sent again.
    fn digest(&self) -> String {
        let Self { event_type, object_id, account_id, meta_data } = self;
        let said = json!([event_type, object_id, account_id, meta_data]).to_string();
        hex(&Sha256::digest(said))
    }

    /// The subscription that it releases; or why none.
    fn releases(&self) -> std::result::Result<Uuid, String> {
        let said = |name: &str| self.meta_data.get(name);
        let word = |name: &str| said(name).and_then(Json::as_str).unwrap_or_default();
        let is = |name: &str, wanted: &str| match word(name).eq_ignore_ascii_case(wanted) {
            true => Ok(()),
            false => Err(format!("its {name} is not {wanted}")),
        };
        let (name, subscription) = match self.event_type.as_str() {
            "SUBSCRIPTION_CREATION" => {
                is("actionType", "EFFECTIVE")?;
                is("phase", "TRIAL")?;
                ("objectId", self.object_id.as_deref().unwrap_or_default())
            }
            "INVOICE_PAYMENT_SUCCESS" => {
                let balance = said("balance").and_then(amount);
                if balance != Some(0.0) {
                    return Err("its balance is not 0".to_owned());
                }
                ("subscriptionId", word("subscriptionId"))
            }
            _ => return Err("events of this type release nothing".to_owned()),
        };
        Uuid::try_parse(subscription).map_err(|_| format!("its {name} is not the UUID of a subscription"))
    }
}

/// An amount, as a number or as its text.
fn amount(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

    fn read(body: &Json) -> Event {
        event(&HeaderMap::new(), body.to_string().as_bytes()).unwrap_or_else(|why| panic!("{body}: {why:?}"))
    }

    fn created(meta: Json) -> Json {
        json!({ "eventType": "SUBSCRIPTION_CREATION", "objectId": SUBSCRIPTION, "accountId": "a", "metaData": meta })
    }

    fn paid(meta: Json) -> Json {
        json!({ "eventType": "INVOICE_PAYMENT_SUCCESS", "objectId": "invoice", "accountId": "a", "metaData": meta })
    }

    #[test]
    fn a_trial_and_a_payment_release_their_subscription() {
        let subscription = Ok(SUBSCRIPTION.parse().unwrap());
        let trial = json!({ "actionType": "EFFECTIVE", "phase": "TRIAL", "more": [1] });
        assert_eq!(read(&created(trial.clone())).releases, subscription);
        assert_eq!(read(&created(json!(trial.to_string()))).releases, subscription, "as text");
        for balance in [json!(0), json!(0.0), json!("0"), json!("0.00")] {
            assert_eq!(
                read(&paid(json!({ "subscriptionId": SUBSCRIPTION, "balance": balance }))).releases,
                subscription
            );
        }
    }

    #[test]
    fn everything_else_releases_nothing_and_says_why() {
        let why = |body: Json| read(&body).releases.unwrap_err();
        assert_eq!(
            why(created(json!({ "actionType": "REQUESTED", "phase": "TRIAL" }))),
            "its actionType is not EFFECTIVE"
        );
        assert_eq!(why(created(json!({ "actionType": "EFFECTIVE", "phase": "EVERGREEN" }))), "its phase is not TRIAL");
        assert_eq!(why(created(Json::Null)), "its actionType is not EFFECTIVE");
        assert_eq!(why(created(json!("no JSON"))), "its actionType is not EFFECTIVE");
        for balance in [Json::Null, json!(0.01), json!("-1"), json!("none"), json!([0]), json!("NaN")] {
            let body = paid(json!({ "subscriptionId": SUBSCRIPTION, "balance": balance }));
            assert_eq!(why(body), "its balance is not 0", "{balance}");
        }
        let none = "its subscriptionId is not the UUID of a subscription";
        assert_eq!(why(paid(json!({ "balance": 0 }))), none);
        assert_eq!(why(paid(json!({ "balance": 0, "subscriptionId": 7 }))), none);
        assert_eq!(why(json!({ "eventType": "PAYMENT_FAILED" })), "events of this type release nothing");
    }

    #[test]
    fn the_same_said_again_has_the_same_id_and_anything_else_another() {
        let one = paid(json!({ "balance": 0, "subscriptionId": SUBSCRIPTION }));
        let again = paid(json!({ "subscriptionId": SUBSCRIPTION, "balance": 0 }));
        let other = paid(json!({ "balance": 0, "subscriptionId": "7c9e6679-7425-40de-944b-e07fc1f90ae8" }));
        assert_eq!(read(&one).id, read(&again).id);
        assert_ne!(read(&one).id, read(&other).id);
        let mut headers = HeaderMap::new();
        headers.insert(ID, "evt_1".parse().unwrap());
        assert_eq!(event(&headers, one.to_string().as_bytes()).unwrap().id, "evt_1");
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for body in
            ["", "[]", "{}", "{\"eventType\": 7}", "{\"eventType\": \"\"}", "{\"eventType\": \"A\\u0007B\"}", "\u{0}"]
        {
            assert!(event(&HeaderMap::new(), body.as_bytes()).is_err(), "{body}");
        }
        for text in ["\"hush\"", " [\"PAYMENT_FAILED\", null, null, \"hush\"]"] {
            let problem = event(&HeaderMap::new(), text.as_bytes()).unwrap_err();
            assert!(format!("{problem:?}").contains("a billing event is a JSON object"), "{text}: {problem:?}");
        }
        let long = json!({ "eventType": "E".repeat(101) }).to_string();
        assert!(event(&HeaderMap::new(), long.as_bytes()).is_err());
    }
}
