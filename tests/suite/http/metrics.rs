//! The metrics page: what a turn has done is on it, and Prometheus' own tool finds nothing to say against it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use super::listen;
use crate::daemon::{LATE, SOON, end, sessions, settle, start, titled};
use crate::fixture::http::{address, ask, get};
use crate::fixture::process::{Running, finish};
use crate::fixture::{Database, World, both};

/// Whether the page has this very line.
fn has(daemon: &Running, line: &str) -> bool {
    get(address(daemon), "/metrics").expect(200).body.lines().any(|found| found == line)
}

fn promtool(arguments: &[&str], input: &str) -> String {
    finish(Command::new("promtool").args(arguments), input, Duration::from_secs(30)).expect_code(0).text()
}

both! {
    fn what_a_turn_does_is_counted(world) {
        listen(world);
        let daemon = start(world);
        let page = get(address(&daemon), "/metrics").expect(200);
        assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let info = "reconcile_info{version=\"0.1.0\",environment=\"development\",catalog=\"KSESSIONS_DEV\",revision=\"no commit\"} 1";
        for line in [
            info,
            "reconcile_turns_total{outcome=\"done\"} 1",
            "reconcile_turns_total{outcome=\"failed\"} 0",
            "reconcile_turn_duration_seconds_count 1",
            "reconcile_changes_total{kind=\"session\",action=\"create\"} 1",
            "reconcile_drift 0",
            "reconcile_files 1",
            "reconcile_parse_problems 0",
            "reconcile_lease_held 1",
            "reconcile_lease_fencing 1",
            "reconcile_handoffs_waiting 0",
        ] {
            assert!(page.body.lines().any(|found| found == line), "{line}\n{}", page.body);
        }
        assert!(page.body.contains("\nreconcile_last_success_timestamp_seconds 1"), "{}", page.body);
        assert_eq!(promtool(&["check", "metrics"], &page.body), "");

        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
        titled(world, SOON, &["Uno"]);
        settle(SOON, &true, || has(&daemon, "reconcile_changes_total{kind=\"session\",action=\"update\"} 1"));
        world.sql("UPDATE sessions SET title = 'Drifted'");
        // PostgreSQL tells of it, and a second turn would find nothing any more.
        if world.database() == Database::Sqlite {
            daemon.signal(rustix::process::Signal::HUP);
        }
        settle(LATE, &true, || has(&daemon, "reconcile_drift 1"));
        // The first turn found no row, the second looked at the one whose file had changed, the third at all.
        assert!(has(&daemon, "reconcile_rows_compared_total 2"), "{}", get(address(&daemon), "/metrics").body);
        // A file that was written a moment ago is read again; one that has stood for a while is not.
        settle(LATE, &false, || {
            daemon.signal(rustix::process::Signal::HUP);
            std::thread::sleep(Duration::from_millis(200));
            has(&daemon, "reconcile_files_reused_total 0")
        });
        end(daemon);
    }
}

#[test]
fn what_is_blocked_and_full_and_waits_is_on_the_page() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.write(
        "desired-state/b.yaml",
        "hosts: [{session: 1}, {session: 7}]\nservers: [{name: pool-1, host: 127.0.0.1, port: 1, max_instances: 4, admin: pool-1}]\n",
    );
    world.run(&["suspend", "session/1", "--reason", "Looked at"]).expect_code(0);
    let daemon = start(&world);
    for line in [
        "reconcile_blocked{kind=\"session\",reason_class=\"suspended\"} 1",
        "reconcile_pool_used_ratio{server=\"pool-1\"} 0.0",
        "reconcile_pool_places{server=\"pool-1\"} 4",
        "reconcile_pool_places_taken{server=\"pool-1\"} 0",
    ] {
        assert!(has(&daemon, line), "{line}\n{}", get(address(&daemon), "/metrics").body);
    }
    let page = get(address(&daemon), "/metrics").body;
    assert!(page.contains("reconcile_blocked{kind=\"host\",reason_class=\"missing\"} "), "{page}");
    assert_eq!(promtool(&["check", "metrics"], &page), "");
    // What no page has, no rule can see.
    let rules = names(&world.run(&["alerts"]).expect_code(0).stdout);
    assert!(rules.len() > 4 && rules.is_subset(&names(&page)), "{rules:?}\n{page}");
    let modern = [("accept", "application/openmetrics-text; version=1.0.0")];
    let page = ask(address(&daemon), "GET", "/metrics", &modern, "").expect(200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    assert!(page.body.ends_with("# EOF\n") && page.body.contains("# TYPE reconcile_turns counter\n"), "{}", page.body);
    end(daemon);
}

/// Words that name one of our series.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("reconcile_")).map(str::to_owned).collect()
}

#[test]
fn the_alert_rules_hold_what_they_promise() {
    let world = World::on(Database::Sqlite);
    let printed = world.run(&["alerts"]).expect_code(0).stdout;
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/alerts.yaml");
    assert_eq!(printed, std::fs::read_to_string(rules).unwrap());
    promtool(&["check", "rules", rules], "");
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alerts.yaml");
    let told = promtool(&["test", "rules", tests], "");
    assert!(told.contains("SUCCESS"), "{told}");
}
