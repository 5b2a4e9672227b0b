//! Receivers of notifications, as the file and the environment name them.

use super::*;
use crate::notice::Event;

const KEYS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn receivers_are_read_with_their_secrets_from_the_environment() {
    let world = World::file(
        "[notify.ops]\n[notify.the-team]\nformat = \"slack\"\nevents = [\"drift\", \"rotation\", \"drift\"]\n",
    )
    .variable("RECONCILE_NOTIFY_OPS_URL", "https://ops.example/hook")
    .variable("RECONCILE_NOTIFY_OPS_KEYS", KEYS)
    .variable("RECONCILE_NOTIFY_THE_TEAM_URL", "https://hooks.example/services/secret");
    let config = world.config();
    let [ops, team] = &config.receivers[..] else { panic!("two receivers") };
    assert_eq!((ops.name.as_str(), ops.events.as_slice()), ("ops", &Event::ALL[..]));
    assert!(matches!(ops.language, Language::Json(_)) && matches!(team.language, Language::Slack));
    assert_eq!(team.events, [Event::Rotation, Event::Drift]);
    let shown: Vec<_> = config.report().iter().filter(|entry| entry.key.starts_with("notify.")).collect();
    assert_eq!((shown[0].value.as_str(), shown[0].origin.as_str()), (HIDDEN, "RECONCILE_NOTIFY_OPS_URL"));
    let keys = shown.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>();
    assert_eq!(keys, ["notify.ops.url", "notify.ops.keys", "notify.the-team.url"]);
}

#[test]
fn all_that_is_wrong_with_receivers_is_said_without_a_word_of_their_secrets() {
    let file = "[notify.ops]\nurl_file = 5\nevents = [\"rotation\", \"everything\"]\n\
                [notify.Ops]\nformat = \"xml\"\nurls = \"x\"\n\
                [notify.team]\nformat = \"slack\"\nkeys_file = \"x\"\n\
                [notify.plain]\nformat = \"slack\"\n[notify.short]\n[notify]\nflat = 1\n";
    let said = World::file(file)
        .variable("RECONCILE_NOTIFY_PLAIN_URL", "http://hooks.example/secret")
        .variable("RECONCILE_NOTIFY_SHORT_URL", "https://short.example/secret")
        .variable("RECONCILE_NOTIFY_SHORT_KEYS", "whsec_c2VjcmV0")
        .problems();
    insta::assert_snapshot!(said, @r#"
    reconcile.toml:1:9: notify.ops has no keys_file: keys_file = "…", or RECONCILE_NOTIFY_OPS_KEYS
    reconcile.toml:1:9: notify.ops has no url_file: url_file = "…", or RECONCILE_NOTIFY_OPS_URL
    reconcile.toml:2:12: notify.ops.url_file must be the name of a file
    reconcile.toml:3:10: notify.ops.events must be a list of some of rotation, allocation, provisioning, blocked, failure, recovery, pool_fill, drift
    reconcile.toml:4:9: the receiver's name "Ops" must be at most 63 lower-case letters, digits and `-`
    reconcile.toml:4:9: notify.Ops has no keys_file: keys_file = "…", or RECONCILE_NOTIFY_OPS_KEYS
    reconcile.toml:4:9: notify.Ops has no url_file: url_file = "…", or RECONCILE_NOTIFY_OPS_URL
    reconcile.toml:5:10: notify.Ops.format must be json or slack
    reconcile.toml:6:1: "urls" is not a key of [notify.Ops]; it has url_file, format, keys_file and events
    reconcile.toml:7:9: notify.team has keys_file, and Slack checks no signatures
    reconcile.toml:7:9: notify.team has no url_file: url_file = "…", or RECONCILE_NOTIFY_TEAM_URL
    reconcile.toml:10:9: notify.plain must hold an https:// URL beyond this machine, unless allow_insecure says otherwise
    reconcile.toml:12:9: notify.short must be `whsec_` and the Base64 of 24 to 64 bytes: `echo whsec_$(openssl rand -base64 32)`
    reconcile.toml:14:8: notify.flat must be a section with url_file = "…"
    "#);
    assert!(!said.contains("secret") && !said.contains("c2VjcmV0"));
}
