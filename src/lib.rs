//! `reconcile`: what Git says should exist, made so, once, safely.
//!
//! ```text
//! files ──► desired ─┐
//!                    ├─► plan (pure) ─► approve ─► apply: perform, then record ─► journal
//! database ► observed┘
//! ```

// What libFuzzer runs begins in its own `main`.
#![cfg_attr(all(test, libfuzzer), no_main)]

pub mod address;
pub mod apply;
pub mod change;
pub mod cli;
pub mod config;
pub mod credential;
pub mod daemon;
pub mod desired;
pub mod driver;
pub mod failure;
pub mod file;
pub mod guard;
pub mod http;
pub mod kinds;

pub mod log;
pub mod loopback;
pub mod notice;
pub mod parallel;
pub mod plan;
pub mod port;
pub mod progress;
pub mod resource;
pub mod secret;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod token;
pub mod turn;
pub mod webhook;
pub mod yaml;
