//! A canary for what instances need: passwords go through Redis, under the keys that are agreed on, and nowhere else.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Estate, LIMIT, QUEUE, declare, id, key, phase};
use crate::fixture::worker::Worker;
use crate::fixture::{World, both};
use crate::preview::dump;

/// Whether `secret` is in the text as it is, or in something that is Base64 there.
fn holds(text: &str, secret: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || ['+', '/', '='].contains(&letter);
    let hidden = |word: &str| {
        word.len() >= 40 && STANDARD.decode(word).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(secret))
    };
    text.contains(secret) || text.split(|letter| !is_letter(letter)).any(hidden)
}

/// The commands that carried `secret`, each with the key that it names first.
fn carriers(heard: &str, secret: &str) -> BTreeSet<String> {
    let carrier = |line: &str| {
        let words: Vec<&str> = line.split_once("] ").unwrap().1.split('"').skip(1).step_by(2).collect();
        // A script's name and the number of its keys come before them.
        let place = if words[0].starts_with("EVAL") { 3 } else { 1 };
        format!("{} {}", words[0], words[place])
    };
    heard.lines().filter(|line| holds(line, secret)).map(carrier).collect()
}

/// Every command line of this machine: what anybody who may log in can read.
fn command_lines() -> String {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect::<Vec<_>>().join("\n")
}

fn files(world: &World) -> String {
    let files = world.snapshot_files().into_values();
    files.map(|entry| String::from_utf8_lossy(&entry.content).into_owned()).collect()
}

both! {
    fn passwords_go_through_redis_by_their_keys_and_nowhere_else(world) {
        let estate = Estate::of(world, 1);
        let monitor = estate.redis.monitor();
        estate.declare_servers(world, "max_instances: 5");
        declare(world, [1, 2], "");
        world.env("RECONCILE_INTERVAL", "1s");
        let mut daemon = world.spawn(&["-vv", "--log-format", "json"]);
        super::eventually(|| [1, 2].iter().all(|number| phase(world, *number) == "allocated"));
        let password = |number| estate.credentials(number).unwrap()["db_password"].as_str().unwrap().to_owned();
        let (first, second) = (password(1), password(2));
        let worker = Worker::start(&estate.redis.url());
        let mut told = world.run(&["instance", "provision", &id(1), "-vv", "--log-format", "json"]).expect_code(0).text();
        worker.wait_for(": done", 1, LIMIT);
        let lines = command_lines();
        daemon.wait_for("the worker says that it is ready", LIMIT);
        for arguments in [&["--plan", "--format", "json"][..], &["status", "--format", "json"], &["history"], &["config"], &["doctor"]] {
            told += &world.run(arguments).text();
        }
        daemon.signal(rustix::process::Signal::ABORT);
        told += &daemon.finish(LIMIT).text();
        let heard = monitor.stop();

        let waits = |number| ["EVALSHA", "SET"].map(|command| format!("{command} {}", key(number)));
        let sent = [format!("LPUSH {QUEUE}"), "HSET unacked".to_owned()];
        assert_eq!(carriers(&heard, &first), waits(1).into_iter().chain(sent).collect());
        assert_eq!(carriers(&heard, &second), waits(2).into());
        let pool = &estate.pools[0];
        let (admin, redis) = (pool.admin_password().to_owned(), estate.redis.url());
        let redis = redis.split(['@', ':']).nth(2).unwrap().to_owned();
        assert!(redis.len() == 32 && carriers(&heard, &admin).is_empty() && carriers(&heard, &redis).is_empty());
        let log = pool.log() + &world.server().map(|server| server.log()).unwrap_or_default();
        assert!(log.contains("PASSWORD 'SCRAM-SHA-256$"), "every statement is logged");
        assert!(told.contains("\"level\":\"TRACE\"") || told.contains("\"level\":\"DEBUG\""), "{told}");
        let (rows, kept) = (dump(world), files(world));
        for secret in [first, second, admin, redis] {
            for (place, text) in [("the output", &told), ("a server's log", &log), ("a table", &rows), ("a file", &kept),
                ("the worker's log", &worker.log()), ("a command line", &lines)] {
                assert!(!holds(text, &secret), "{place} has a secret:\n{text}");
            }
        }
    }
}
