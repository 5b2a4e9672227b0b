//! The one test binary.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should stop at once")]

mod awkward;
mod canary;
mod cli;
mod daemon;
mod enemy;
mod fixture;
mod harm;
mod hosts;
mod http;
mod in_between;
mod instances;
mod interleaved;
mod keys;
mod list;
mod many;
mod model;
mod notify;
mod one_reader;
mod origin;
mod outage;
mod power_cut;
mod preview;
mod protect;
mod races;
mod rights;
mod saved;
mod scenario;
mod schema;
mod settle;
mod supply;
mod terminal;
mod tidy;
mod unknown;
mod upgrade;
