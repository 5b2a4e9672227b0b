//! Harm in the long form: a Redis that an enemy has spoilt at random, and whatever command comes to it.
//!
//! What holds of any: nothing hangs, nothing crashes, what belongs to nobody of ours stays as it was, and a GUID that is
//! given out opens its session.

use fastrand::Rng;

use super::{MARK, WEEK, WITNESS};
use crate::fixture::harm::Harm;
use crate::fixture::redis::Redis;
use crate::fixture::{Database, World};

/// Rounds among all the other tests.
const FEW: u32 = 6;
/// What is spoilt in one round, at most; and how many commands come to it.
const SPOILT: usize = 4;
const COMMANDS: usize = 4;

const COMMANDS_THERE_ARE: &[&[&str]] = &[
    &["--plan"],
    &["--once"],
    &["status"],
    &["doctor"],
    &["explain", "host/215"],
    &["host", "claim", "215"],
    &["host", "rotate", "--session-id", "215"],
    &["host", "revoke", "--session-id", "215"],
    &["handoff", "rebind", "--reason", "R"],
];

/// What belongs to nobody of ours.
const FOREIGN: &str = "somebody:else";

/// Spoils one key; those that are there, and those that could be.
fn spoil(redis: &Redis, dice: &mut Rng) -> String {
    let mut names = redis.keys();
    names.retain(|name| name != FOREIGN);
    names.extend([MARK, WITNESS, "host:215:x", "reconcile:fencing:host:215", "reconcile:queue:x"].map(str::to_owned));
    let name = names[dice.usize(..names.len())].as_str();
    let noise: String = (0..dice.usize(1..200)).map(|_| dice.char('\u{1}'..'\u{2fff}')).collect();
    let huge = "x".repeat(1 << 20);
    let acts: &[&[&str]] = &[
        &["DEL", name],
        &["SET", name, ""],
        &["SET", name, &noise],
        &["SET", name, &huge],
        &["SET", name, "production 51179767-693b-49a1-b753-380ca3bb39f7"],
        &["APPEND", name, "\u{1b}[2J"],
        &["LPUSH", name, "x"],
        &["HSET", name, "x", "1"],
        &["ZADD", name, "1", "x"],
        &["PEXPIRE", name, "1"],
        &["PEXPIRE", name, "600000"],
        &["PERSIST", name],
        &["COPY", name, "host:215:copy"],
    ];
    let act = acts[dice.usize(..acts.len())];
    // Of another type than the command wants: then it stays as it is, which is as good.
    let script = "return redis.pcall(unpack(ARGV)) and 1";
    redis.ask::<redis::Value>(&[&["EVAL", script, "0"], act].concat());
    format!("{:?}", act.iter().map(|word| word.chars().take(40).collect::<String>()).collect::<Vec<_>>())
}

/// Whether a GUID that was given out opens the session, where nothing that came after has ended it.
fn opens(world: &World, guid: &str) -> bool {
    world.run_with(&["host", "verify", "--session-id", "215"], guid).code == 0
}

#[test]
fn whatever_an_enemy_does_to_redis_tells_nothing_untrue_and_holds_nothing_up() {
    let mut harm = Harm::of("an enemy prepares Redis", FEW);
    let mut dice = harm.dice();
    let redis = Redis::start();
    while harm.again() {
        redis.ask::<String>(&["FLUSHALL"]);
        redis.ask::<String>(&["SET", FOREIGN, "theirs"]);
        let mut world = World::on(Database::Sqlite);
        world.env("RECONCILE_REDIS_URL", &redis.url());
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["--once"]).expect_code(0);
        let mut done = Vec::new();
        for _ in 0..COMMANDS {
            for _ in 0..dice.usize(..=SPOILT) {
                done.push(spoil(&redis, &mut dice));
            }
            let command = COMMANDS_THERE_ARE[dice.usize(..COMMANDS_THERE_ARE.len())];
            println!("seed {}, round {}: {done:?}; {command:?}", harm.seed(), harm.rounds);
            let output = world.run_with(command, "");
            assert!(matches!(output.code, 0 | 1 | 3), "{done:?}, {command:?}: {}", output.text());
            assert!(!output.text().contains("panicked") && !output.text().contains('\u{1b}'), "{}", output.text());
            if command[..] == ["host", "claim", "215"] && output.code == 0 {
                assert!(opens(&world, &output.stdout), "{done:?}: a GUID that opens nothing was given out");
            }
        }
        assert_eq!(redis.ask::<String>(&["GET", FOREIGN]), "theirs", "{done:?}");
    }
}
