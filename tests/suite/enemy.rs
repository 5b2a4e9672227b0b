//! Whoever means harm, against the real program: what an attacker can reach or prepare, and what must hold there.

mod credentials;
mod files;
mod git;
mod handoff;
mod harm;
mod http;
mod tables;
mod traps;
