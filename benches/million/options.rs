//! What the command line asks for.

use std::time::Duration;

use crate::report::Strictness;

/// Said where an argument is not understood.
const USAGE: &str = "usage: cargo bench --bench million -- [--small] [--only WORD] [--sessions N] [--runs N]";

/// How much is measured.
#[derive(Clone)]
pub struct Options {
    /// Rows of the table whose names contain this; all where it is empty.
    pub only: String,
    /// Sessions that are in sync.
    pub sessions: usize,
    /// Sessions that are created, and updated.
    pub bulk: usize,
    pub hosts: usize,
    /// Sessions that are all new.
    pub new: usize,
    /// Single saves.
    pub saves: usize,
    /// How long the daemon is watched while nothing happens.
    pub idle: Duration,
    /// Runs of each side, of which the median counts.
    pub runs: usize,
    pub strictness: Strictness,
}

impl Options {
    const LONG: Self = Self {
        only: String::new(),
        sessions: 1_000_000,
        bulk: 100_000,
        hosts: 10_000,
        new: 10_000,
        saves: 200,
        idle: Duration::from_secs(60),
        runs: 5,
        strictness: Strictness { factor: 1.0, floor: 0.0 },
    };

    /// For every change of the code, on machines that others use too.
    const SMALL: Self = Self {
        only: String::new(),
        sessions: 20_000,
        bulk: 50_000,
        hosts: 300,
        new: 10_000,
        saves: 20,
        idle: Duration::from_secs(10),
        runs: 3,
        strictness: Strictness { factor: 2.0, floor: 50.0 },
    };

    /// Errors: an argument that is not understood.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        // Cargo adds `--bench` to what was asked.
        let mut words: Vec<String> = words.filter(|word| word != "--bench").collect();
        let before = words.len();
        words.retain(|word| word != "--small");
        let mut options = if words.len() == before { Self::LONG } else { Self::SMALL };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word}?\n{USAGE}"))?;
            let number = || value.parse().ok().filter(|number| *number > 0).ok_or(format!("{word} {value}?\n{USAGE}"));
            match word.as_str() {
                "--only" => options.only = value,
                "--sessions" => options.sessions = number()?,
                "--runs" => options.runs = number()?,
                _ => return Err(format!("{word}?\n{USAGE}")),
            }
        }
        Ok(options)
    }
}
