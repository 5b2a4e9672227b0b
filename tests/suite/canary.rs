//! A canary: secrets that are run through everything are found nowhere but where their one reader takes them.

use std::fs;
use std::time::Duration;

use crate::fixture::{World, both};
use crate::preview::dump;

const LIMIT: Duration = Duration::from_secs(20);
const KEY: &str = "canary-key-4b7f1d6e2a9c8053f1e7d6c5b4a39281";
const WEEK: &str = "
sessions: [{id: 1, title: One}, {id: 2, title: Two}, {id: 3, title: Three}]
hosts: [{session: 1}, {session: 2, overlap: 1h}, {session: 3}]
";

/// Runs a command that shows no secret; keeps what it printed.
fn keep(world: &World, heard: &mut String, arguments: &[&str]) {
    for log in ["text", "json"] {
        let all = [arguments, &["-vv", "--log-format", log]].concat();
        heard.push_str(&world.run(&all).text());
    }
}

/// A daemon that rotates a host, told at every level, and then crashes: all that it has printed.
fn crash(world: &World) -> String {
    let program = "ulimit -c unlimited 2>/dev/null || ulimit -c $(ulimit -H -c); exec reconcile -vv --log-format json";
    let mut daemon = world.start("sh", &["-c", program]);
    daemon.wait_for("watching desired-state", LIMIT);
    world.write("desired-state/week.yaml", &WEEK.replace("{session: 2,", "{session: 2, rotation: 3,"));
    daemon.wait_for("rotation 2 -> 3", LIMIT);
    let about = |what: &str| fs::read(format!("/proc/{}/{what}", daemon.pid())).unwrap();
    let limits = String::from_utf8(about("limits")).unwrap();
    let core: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().split("  ").collect();
    assert_eq!(core.iter().filter(|word| word.trim() == "0").count(), 2, "{limits}");
    assert!(!holds(&about("cmdline"), KEY) && holds(&about("cmdline"), "reconcile"));
    daemon.signal(rustix::process::Signal::ABORT);
    let ended = daemon.finish(LIMIT);
    assert_eq!(ended.code, 128 + 6, "{}", ended.text());
    assert_eq!(world.sh("find . -name 'core*'").stdout, "", "a core dump");
    ended.text()
}

/// The GUIDs that nobody has claimed yet: they are taken now, and must have been nowhere before.
fn waiting(world: &World) -> Vec<String> {
    let claimed = world.run(&["host", "claim", "2"]).expect_code(0);
    vec![guid_of(&claimed.stdout)]
}

fn guid_of(output: &str) -> String {
    let guid = output.trim();
    assert_eq!(guid.len(), 36, "one GUID and nothing else: {output}");
    guid.to_owned()
}

/// Every byte below the project, but for the key file.
fn everything_on_disk(world: &World) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut waiting = vec![world.path().to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with("keys") {
            bytes.extend(fs::read(&path).unwrap());
        }
    }
    bytes
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

both! {
    fn secrets_show_nowhere(world) {
        world.write("keys", &format!("{KEY}\n"));
        world.sh("chmod 600 keys");
        world.env("RECONCILE_HOST_KEYS_FILE", "keys");
        world.write("desired-state/week.yaml", WEEK);
        let mut heard = String::new();
        keep(world, &mut heard, &["migrate"]);
        keep(world, &mut heard, &["--plan"]);
        keep(world, &mut heard, &["--once"]);
        // The readers take theirs: these alone may show a GUID, on stdout.
        let mut guids = Vec::new();
        for session in ["1", "2"] {
            let output = world.run(&["host", "claim", session, "-vv"]).expect_code(0);
            guids.push(guid_of(&output.stdout));
            heard.push_str(&output.stderr);
        }
        let by_hand = world.run(&["host", "create", "--session-id", "3", "-vv", "--log-format", "json"]).expect_code(0);
        guids.push(guid_of(&by_hand.stdout));
        heard.push_str(&by_hand.stderr);
        let verified = world.run_with(&["host", "verify", "--session-id", "2", "-vv"], &guids[1]).expect_code(0);
        heard.push_str(&verified.text());
        heard.push_str(&world.run_with(&["host", "verify", "--session-id", "1", "-vv"], &guids[1]).expect_code(1).text());
        world.write("desired-state/week.yaml", &WEEK.replace("{session: 2,", "{session: 2, rotation: 2,"));
        for arguments in [
            &["--plan", "--format", "json", "--out", "saved.plan"][..],
            &["--plan", "--format", "markdown"],
            &["--once"],
            &["explain", "host/2"],
            &["status"],
            &["status", "--format", "json"],
            &["history", "--format", "json"],
            &["history", "--format", "csv"],
            &["config"],
            &["doctor"],
            &["host", "claim", "1"],
            &["host", "revoke", "--session-id", "1"],
            &["host", "consolidate"],
        ] {
            keep(world, &mut heard, arguments);
        }
        heard.push_str(&crash(world));
        guids.extend(waiting(world));
        let password = world.url().split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| {
            user.split_once(':').expect("a password").1.to_owned()
        });
        let rows = dump(world);
        let disk = everything_on_disk(world);
        let log = world.server().map(|server| server.log()).unwrap_or_default();
        assert!(heard.len() > 10_000 && disk.len() > 1_000, "there is something to search");
        let bare = |guid: &String| guid.replace('-', "");
        let mut secrets: Vec<String> = guids.iter().cloned().chain(guids.iter().map(bare)).collect();
        secrets.push(KEY.to_owned());
        secrets.extend(password);
        for secret in secrets {
            assert!(!holds(heard.as_bytes(), &secret), "a secret was printed:\n{heard}");
            assert!(!holds(rows.as_bytes(), &secret), "a secret is in a table:\n{rows}");
            assert!(!holds(&disk, &secret), "a secret lies on the disk");
            assert!(!holds(log.as_bytes(), &secret), "the server's log has a secret:\n{log}");
        }
    }
}
