//! The plan of the house: which room may import which.

use std::collections::BTreeSet;

use super::Finding;
use super::source::Source;

/// A room of `src`, and the rooms that it may import.
struct Room {
    name: &'static str,
    may: &'static [&'static str],
}

const fn room(name: &'static str, may: &'static [&'static str]) -> Room {
    Room { name, may }
}

/// The whole table. A room may always import itself.
const ROOMS: &[Room] = &[
    room("credential", &[]),
    room("change", &["credential"]),
    room("address", &[]),
    room("log", &[]),
    room("loopback", &[]),
    room("secret", &[]),
    room("token", &["secret"]),
    room("webhook", &["secret"]),
    room("notice", &[]),
    room("parallel", &[]),
    room("progress", &[]),
    room("file", &[]),
    room("testing", &[]),
    room("guard", &["address", "change", "file", "loopback", "secret"]),
    room("yaml", &["change", "credential"]),
    room("driver", &["file", "guard", "secret"]),
    room("store", &["change", "driver", "file", "guard", "notice", "secret", "token"]),
    room("port", &["address", "change", "driver", "file", "guard", "loopback", "secret"]),
    room("resource", &["address", "change", "notice", "port", "secret", "store", "yaml"]),
    room("kinds", &["change", "port", "resource", "store", "yaml"]),
    room("desired", &["change", "file", "kinds", "parallel", "yaml"]),
    room("plan", &["change", "kinds", "parallel", "resource"]),
    room("apply", &["change", "kinds", "notice", "plan", "port", "progress", "resource", "store"]),
    room("config", &["change", "file", "guard", "notice", "port", "secret", "webhook"]),
    room(
        "turn",
        &[
            "apply", "change", "config", "desired", "failure", "file", "guard", "kinds", "notice", "plan", "port",
            "progress", "resource", "secret", "store", "token", "webhook", "yaml",
        ],
    ),
    room("failure", &["change", "config", "desired", "guard", "port", "store", "yaml"]),
    room(
        "http",
        &[
            "change",
            "config",
            "credential",
            "failure",
            "file",
            "kinds",
            "log",
            "loopback",
            "plan",
            "port",
            "resource",
            "secret",
            "store",
            "token",
            "turn",
            "webhook",
        ],
    ),
    room(
        "daemon",
        &[
            "change", "config", "desired", "failure", "file", "guard", "http", "kinds", "log", "plan", "port",
            "resource", "secret", "store", "turn", "yaml",
        ],
    ),
    room(
        "cli",
        &[
            "change",
            "config",
            "credential",
            "daemon",
            "desired",
            "failure",
            "guard",
            "http",
            "kinds",
            "log",
            "plan",
            "port",
            "progress",
            "resource",
            "secret",
            "store",
            "token",
            "turn",
            "yaml",
        ],
    ),
    room("main", &["cli", "failure"]),
];

/// Rooms that decide and do nothing else: the world outside, and the clock, are not within their reach.
const PURE: &[&str] = &["plan"];

/// What a pure room may not name. A path matches when it begins so.
const WORLD: &[&str] =
    &["tokio", "sqlx", "notify", "rustix", "fastrand", "getrandom", "std::fs", "std::net", "std::process", "std::env"];

/// As [`WORLD`], for what a path ends with.
const CLOCK: &[&str] = &["Utc::now", "Local::now", "Instant::now", "SystemTime::now"];

/// The imports of `source` that the table does not grant.
pub fn check(source: &Source) -> Vec<Finding> {
    let Some(row) = ROOMS.iter().find(|row| Some(row.name) == source.room().as_deref()) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut find = |line: usize, what: String| findings.push(Finding { file: source.file.clone(), line, what });
    for path in source.paths() {
        if let Some(target) = source.resolve(&path.segments) {
            if target != row.name && ROOMS.iter().any(|room| room.name == target) && !row.may.contains(&target.as_str())
            {
                let may = if row.may.is_empty() { "nothing of ours".to_owned() } else { row.may.join(", ") };
                find(path.line, format!("`{}` may not import `{target}`; it may import {may}", row.name));
            }
        } else if PURE.contains(&row.name) {
            let name = path.segments.join("::");
            // Bounded by `::`, so that no part of a word matches.
            let bounded = format!("::{name}::");
            let begins = WORLD.iter().any(|word| bounded.starts_with(&format!("::{word}::")));
            let ends = CLOCK.iter().any(|word| bounded.ends_with(&format!("::{word}::")));
            if begins || ends {
                find(
                    path.line,
                    format!("`{}` is pure, and may not use `{name}`: take the answer as an argument", row.name),
                );
            }
        }
    }
    // One line may name a room more than once.
    findings.dedup();
    findings
}

/// Rooms without a row, and rows without a room.
pub fn unlisted(sources: &[Source]) -> Vec<Finding> {
    let built: BTreeSet<String> = sources.iter().filter_map(Source::room).collect();
    let listed: BTreeSet<String> = ROOMS.iter().map(|row| row.name.to_owned()).collect();
    let finding = |name: &String, what: &str| Finding {
        file: "src".into(),
        line: 0,
        what: format!("{what}: `{name}`; the table is in {}", file!()),
    };
    let roomless = built.difference(&listed).map(|name| finding(name, "a room without a row"));
    let rowless = listed.difference(&built).map(|name| finding(name, "a row without a room"));
    roomless.chain(rowless).collect()
}
