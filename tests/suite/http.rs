//! The door as its callers meet it: real requests to the real daemon.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use crate::daemon::{LATE, SOON, end, prepare, settle, start};
use crate::fixture::http::{Answer, address, get};
use crate::fixture::process::Running;
use crate::fixture::{Database, World, both};

pub mod act;
mod api;
mod billing;
mod hostile;
mod instances;
mod legacy;
mod metrics;
mod once;
mod openapi;
mod reconcile;
mod remote;
mod resources;
mod tls;
pub mod tokens;
mod window;

/// From now on daemons of this world listen on a port of their own.
pub fn listen(world: &mut World) {
    prepare(world);
    world.env("RECONCILE_HTTP_LISTEN", "127.0.0.1:0");
}

/// The reasons for which a daemon is not ready, by their words.
fn reasons(answer: &Answer) -> Vec<String> {
    let reasons = answer.json();
    let reasons = reasons["reasons"].as_array().expect("a list of reasons");
    reasons.iter().map(|reason| reason["code"].as_str().expect("a code").to_owned()).collect()
}

#[track_caller]
fn expect_ready(daemon: &Running, role: &str) {
    let answer = get(address(daemon), "/readyz").expect(200);
    assert_eq!(answer.json(), serde_json::json!({ "ready": true, "role": role, "reasons": [] }));
}

both! {
    fn a_leader_and_a_follower_are_alive_and_ready(world) {
        listen(world);
        let leader = start(world);
        let mut follower = world.spawn(&["-v"]);
        follower.wait_for("following: ", LATE);
        for (daemon, role) in [(&leader, "leader"), (&follower, "follower")] {
            expect_ready(daemon, role);
            let health = get(address(daemon), "/healthz").expect(200);
            assert_eq!((health.body.as_str(), health.header("cache-control")), ("ok\n", Some("no-store")));
        }
        end(leader);
        follower.wait_for("the turn is over", LATE);
        expect_ready(&follower, "leader");
        end(follower);
    }
}

#[test]
fn a_database_that_is_away_is_the_reason_until_it_is_back() {
    let mut world = World::on(Database::Postgres);
    listen(&mut world);
    world.env("RECONCILE_INTERVAL", "1s").env("RECONCILE_LEASE", "2s");
    let daemon = start(&world);
    expect_ready(&daemon, "leader");
    world.server().unwrap().stop();
    let away = vec!["database-away".to_owned()];
    settle(LATE, &away, || reasons(&get(address(&daemon), "/readyz")));
    get(address(&daemon), "/readyz").expect(503);
    // Who restarts a daemon for its database would have none at all.
    get(address(&daemon), "/healthz").expect(200);
    let page = get(address(&daemon), "/metrics").expect(200).body;
    assert!(page.contains("reconcile_turns_total{outcome=\"failed\"}"), "{page}");
    world.server().unwrap().start_again();
    settle(LATE, &Vec::new(), || reasons(&get(address(&daemon), "/readyz")));
    expect_ready(&daemon, "leader");
    end(daemon);
}

#[test]
fn a_missing_schema_is_the_reason_until_it_is_made() {
    let mut world = World::on(Database::Postgres);
    world.write("desired-state/a.yaml", "sessions:\n  - id: 1\n");
    world.env("RECONCILE_INTERVAL", "1s").env("RECONCILE_HTTP_LISTEN", "127.0.0.1:0");
    let daemon = start(&world);
    assert_eq!(reasons(&get(address(&daemon), "/readyz").expect(503)), ["schema-missing"]);
    world.run(&["migrate"]).expect_code(0);
    settle(LATE, &200, || get(address(&daemon), "/readyz").status);
    end(daemon);
}

#[test]
fn a_guard_that_refuses_later_is_the_reason() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.env("RECONCILE_INTERVAL", "1s");
    let daemon = start(&world);
    world.sql("UPDATE reconcile_stamp SET environment = 'production'");
    settle(LATE, &vec!["guard-refused".to_owned()], || reasons(&get(address(&daemon), "/readyz")));
    world.sql("UPDATE reconcile_stamp SET environment = 'development'");
    settle(LATE, &200, || get(address(&daemon), "/readyz").status);
    end(daemon);
}

#[test]
fn a_file_that_is_bad_from_the_start_is_no_plan_and_one_that_turns_bad_changes_nothing() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    world.write("desired-state/a.yaml", "sessions:\n  - id: one\n");
    let daemon = start(&world);
    assert_eq!(reasons(&get(address(&daemon), "/readyz").expect(503)), ["no-plan"]);
    world.write("desired-state/a.yaml", "sessions:\n  - id: 1\n");
    settle(SOON, &200, || get(address(&daemon), "/readyz").status);
    world.write("desired-state/a.yaml", "sessions:\n  - id: one\n");
    let problems = || get(address(&daemon), "/metrics").body.contains("\nreconcile_parse_problems 1\n");
    settle(SOON, &true, problems);
    expect_ready(&daemon, "leader");
    end(daemon);
}

#[test]
fn a_loop_that_is_stopped_shows_in_its_health() {
    // A stopped process answers nothing at all: what hangs here is everything, and nobody is told that all is well.
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let daemon = start(&world);
    let there = address(&daemon);
    get(there, "/healthz").expect(200);
    daemon.signal(Signal::STOP);
    settle(LATE, &true, || is_stopped(daemon.pid()));
    let silent = crate::fixture::http::try_get(there, "/healthz", Duration::from_secs(1));
    assert!(silent.is_none(), "{silent:?}");
    daemon.signal(Signal::CONT);
    get(there, "/healthz").expect(200);
    end(daemon);
}

/// Whether all threads of a process stand still, which takes a moment where they are at work.
fn is_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut stats = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
    stats.all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
}

#[test]
fn a_port_that_is_taken_is_an_error_only_when_it_was_asked_for() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let first = start(&world);
    let there = address(&first).to_string();
    world.env("RECONCILE_HTTP_LISTEN", &there);
    let refused = world.run(&[]).expect_code(1).stderr;
    assert!(refused.contains(&format!("http.listen: {there} cannot be listened on")), "{refused}");
    end(first);
}

#[test]
fn two_daemons_by_default_do_not_fail_each_other() {
    let (mut one, mut other) = (World::on(Database::Sqlite), World::on(Database::Sqlite));
    prepare(&mut one);
    prepare(&mut other);
    let (one, other) = (start(&one), start(&other));
    // Whoever else on this machine has the port, at most one of the two has it.
    let said = format!("{}{}", one.stderr(), other.stderr());
    assert!(said.contains("no HTTP: 127.0.0.1:7326 cannot be listened on"), "{said}");
    assert!(said.matches("listening on http://127.0.0.1:7326").count() <= 1, "{said}");
    end(one);
    end(other);
}

#[test]
fn it_can_be_off() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    world.env("RECONCILE_HTTP_LISTEN", "off");
    let daemon = start(&world);
    assert!(!end(daemon).stderr.contains("HTTP"));
    world.env("RECONCILE_HTTP_LISTEN", "localhost");
    let refused = world.run(&[]).expect_code(1).stderr;
    assert!(refused.contains("http.listen must be off, or an address with its port"), "{refused}");
}

#[test]
fn the_end_finishes_what_was_asked_and_hears_nothing_more() {
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let daemon = start(&world);
    let there = address(&daemon);
    // A connection that is open and silent does not hold up the end.
    let idle = TcpStream::connect(there).unwrap();
    let begun = std::time::Instant::now();
    end(daemon);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(there).is_err());
    drop(idle);
}

#[test]
fn every_path_and_series_that_the_manual_names_is_there() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = manual.split("## Over HTTP").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let mut world = World::on(Database::Sqlite);
    listen(&mut world);
    let daemon = start(&world);
    let there = address(&daemon);
    let named = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let routes = named.flat_map(|routes| routes.split(", ")).filter_map(|route| {
        let (method, path) = route.trim_matches('`').split_once(' ')?;
        Some((method.to_lowercase(), path.split('?').next()?.to_owned()))
    });
    let document = get(there, "/api/v1/openapi.json").expect(200).json();
    let described =
        document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone()))
        });
    assert_eq!(routes.collect::<BTreeSet<_>>(), described.collect::<BTreeSet<_>>());
    let series = |text: &str| -> BTreeSet<String> {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        words.filter(|word| word.starts_with("reconcile_")).map(str::to_owned).collect()
    };
    let named = series(section);
    let page = get(there, "/metrics").body;
    let declared = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in declared.filter(|name| name.starts_with("reconcile_")) {
        assert!(named.contains(name), "the manual does not name {name}");
    }
    end(daemon);
}
