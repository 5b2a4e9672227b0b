//! Billing's events, from a real request to a task in a real queue: each releases its own instance, once.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use super::listen;
use super::tokens::make;
use crate::daemon::{LATE, SOON, end, settle, start};
use crate::fixture::http::{Answer, address, ask};
use crate::fixture::{Database, World, both};
use crate::instances::{Estate, flat, id, instance, one, phase};

const KEY: [u8; 32] = [7; 32];

fn subscription(number: u32) -> String {
    format!("{number:08x}-7425-40de-944b-e07fc1f90ae7")
}

/// Instances, each with its own subscription.
fn declare(world: &World, numbers: &[u32], more: &str) {
    let line = |number: &u32| instance(*number, &format!("subscription: {}, {more}", subscription(*number)));
    let lines: String = numbers.iter().map(line).collect();
    world.write("desired-state/instances.yaml", &format!("instances:\n{lines}"));
}

fn trial(number: u32) -> Json {
    json!({ "eventType": "SUBSCRIPTION_CREATION", "objectId": subscription(number), "accountId": "a",
            "metaData": "{\"actionType\":\"EFFECTIVE\",\"phase\":\"TRIAL\"}" })
}

fn payment(number: u32) -> Json {
    json!({ "eventType": "INVOICE_PAYMENT_SUCCESS", "objectId": "0d6b3c4e", "accountId": "a",
            "metaData": { "subscriptionId": subscription(number), "balance": 0 } })
}

fn seconds() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn signature(id: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

/// Sends an event that was signed `ago` seconds ago.
#[track_caller]
fn send_signed(there: SocketAddr, id: &str, event: &Json, ago: i64) -> Answer {
    let (timestamp, body) = (seconds() - ago, event.to_string());
    let signature = signature(id, timestamp, &body);
    let timestamp = timestamp.to_string();
    let headers = [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
    ask(there, "POST", "/webhooks/billing", &headers, &body)
}

#[track_caller]
fn outcome(answer: Answer) -> String {
    answer.expect(200).json()["outcome"].as_str().expect("an outcome").to_owned()
}

/// A daemon of this world may be told of events signed with the key.
fn open(world: &mut World) -> Estate {
    let estate = Estate::of(world, 1);
    listen(world);
    world.env("RECONCILE_BILLING_KEYS", &format!("whsec_{}", BASE64.encode(KEY)));
    estate.declare_servers(world, "max_instances: 10");
    estate
}

fn queued(estate: &Estate) -> i64 {
    estate.redis.ask(&["LLEN", crate::instances::QUEUE])
}

both! {
    fn an_event_releases_the_instance_of_its_subscription_and_no_other(world) {
        let estate = open(world);
        declare(world, &[1, 2], "provision: on_billing");
        let daemon = start(world);
        let there = address(&daemon);
        settle(LATE, &"allocated".to_owned(), || phase(world, 2));
        assert_eq!(outcome(send_signed(there, "evt_1", &payment(1), 0)), "released");
        settle(LATE, &"provisioning".to_owned(), || phase(world, 1));
        assert_eq!((phase(world, 2).as_str(), queued(&estate)), ("allocated", 1));
        // The same again, and another of the same: nothing more comes of it.
        assert_eq!(outcome(send_signed(there, "evt_1", &payment(1), 0)), "known");
        assert_eq!(outcome(send_signed(there, "evt_2", &trial(1), 0)), "released_before");
        let other = json!({ "eventType": "PAYMENT_FAILED", "objectId": subscription(2), "metaData": null });
        let ignored = send_signed(there, "evt_3", &other, 0).expect(200).json();
        assert_eq!((ignored["outcome"].as_str(), ignored["reason"].as_str()),
                   (Some("ignored"), Some("events of this type release nothing")));
        world.run(&["--once"]);
        assert_eq!((phase(world, 2).as_str(), queued(&estate)), ("allocated", 1));
        let by = one(world, "SELECT released_by FROM reconcile_allocations WHERE released_at IS NOT NULL");
        assert_eq!(by, "billing: INVOICE_PAYMENT_SUCCESS");
        let told = "SELECT kind, name, action, actor, reason FROM reconcile_journal
                    WHERE kind IN ('subscription', 'billing-event') ORDER BY journal_id";
        let sub = subscription(1);
        assert_eq!(world.sql(told), format!(
            "subscription|{sub}|release|billing|\nsubscription|{sub}|ignore|billing|it was released before\n\
             billing-event|evt_3|ignore|billing|events of this type release nothing\n"
        ));
        end(daemon);
    }

    fn an_event_that_comes_before_its_instance_counts_and_a_hold_stays_a_hold(world) {
        let estate = open(world);
        let daemon = start(world);
        let there = address(&daemon);
        // A payment before the trial that it ends, and both before anybody has declared the instance.
        assert_eq!(outcome(send_signed(there, "evt_2", &payment(3), 0)), "released");
        assert_eq!(outcome(send_signed(there, "evt_1", &trial(3), 200)), "released_before");
        assert_eq!(outcome(send_signed(there, "evt_3", &trial(4), 0)), "released");
        end(daemon);
        declare(world, &[3], "provision: on_billing");
        world.run(&["--once"]).expect_code(0);
        assert_eq!((phase(world, 3).as_str(), queued(&estate)), ("provisioning", 1));
        let plan = world.run(&["--plan"]).expect_code(0).stdout;
        assert!(plan.contains("No changes."), "{plan}");
        declare(world, &[3, 4], "provision: hold");
        world.run(&["--once"]).expect_code(0);
        assert_eq!((phase(world, 4).as_str(), queued(&estate)), ("allocated", 1));
        let explained = world.run(&["explain", &format!("instance/{}", id(4))]).expect_code(0).stdout;
        assert!(explained.contains("it is on hold"), "{explained}");
        declare(world, &[3, 4], "provision: on_billing");
        let plan = flat(&world.run(&["--plan"]).expect_code(0).stdout);
        assert!(plan.contains("released by billing: SUBSCRIPTION_CREATION"), "{plan}");
        world.run(&["--once"]).expect_code(0);
        assert_eq!((phase(world, 4).as_str(), queued(&estate)), ("provisioning", 2));
    }
}

#[test]
fn what_is_not_signed_as_it_should_be_is_refused_and_leaves_no_trace() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.env("RECONCILE_BILLING_KEYS", &format!("whsec_{}", BASE64.encode(KEY)));
    let daemon = start(&world);
    let there = address(&daemon);
    let event = payment(1).to_string();
    let now = seconds();
    for ago in [301, -301] {
        let stale = send_signed(there, "evt_1", &payment(1), ago).expect(401).json();
        assert!(stale["detail"].as_str().is_some_and(|why| why.contains("more than 5 minutes")), "{stale}");
    }
    let (good, time) = (signature("evt_1", now, &event), now.to_string());
    let wrong = |id: &str, time: &str, signature: &str, body: &str| {
        let headers = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
        ask(there, "POST", "/webhooks/billing", &headers, body).expect(401)
    };
    wrong("evt_2", &time, &good, &event);
    wrong("evt_1", &(now - 1).to_string(), &good, &event);
    wrong("evt_1", &time, &good, &event.replace("0d6b3c4e", "0d6b3c4f"));
    wrong("evt_1", &time, "v1,AAAA", &event);
    ask(there, "POST", "/webhooks/billing", &[("webhook-signature", &good)], &event).expect(401);
    // Neither signed nor with a token.
    let nobody = ask(there, "POST", "/webhooks/billing", &[], &event).expect(401);
    assert!(nobody.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")));
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_billing_events"), "0\n");
    // Signed, and yet no event.
    send_signed(there, "evt_1", &json!({ "objectId": "x" }), 0).expect(400);
    ask(there, "GET", "/webhooks/billing", &[("webhook-signature", &good)], "").expect(405);
    end(daemon);
}

#[test]
fn a_sender_that_cannot_sign_shows_a_token() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let (operate, read) = (make(&world, "billing-system", "operate"), make(&world, "reader", "read"));
    let daemon = start(&world);
    let there = address(&daemon);
    let send = |token: &str, event: &Json| {
        let bearer = format!("Bearer {token}");
        ask(there, "POST", "/webhooks/billing", &[("authorization", bearer.as_str())], &event.to_string())
    };
    send(&read, &payment(1)).expect(403);
    assert_eq!(outcome(send(&operate, &payment(1))), "released");
    assert_eq!(outcome(send(&operate, &payment(1))), "known", "the same said again");
    assert_eq!(outcome(send(&operate, &trial(1))), "released_before");
    let actors = world.sql("SELECT DISTINCT actor FROM reconcile_journal WHERE kind = 'subscription'");
    assert_eq!(actors, "token billing-system\n");
    // No key is configured, so nobody's signature is believed.
    let signed = send_signed(there, "evt_1", &payment(2), 0).expect(401).json();
    assert!(signed["detail"].as_str().is_some_and(|why| why.contains("billing.keys_file")), "{signed}");
    // What was read long ago is forgotten, and harmless when it comes again.
    world.sql("UPDATE reconcile_billing_events SET received_at = '2001-01-01T00:00:00.000000Z'");
    settle(SOON, &"released_before".to_owned(), || outcome(send(&operate, &payment(1))));
    end(daemon);
}
