//! The one test binary.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should stop at once")]

mod daemon;
mod fixture;
mod scenario;
mod tidy;
