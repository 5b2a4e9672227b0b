//! Our database: connecting, reading a snapshot, writing in guarded transactions.

mod adopt;
pub mod ahead;
pub mod billing;
pub mod bulk;
pub mod connect;
mod diverted;
pub mod doctor;
pub mod enforced;
pub mod error;
pub mod failures;
mod file;
pub mod held;
pub mod idempotency;
pub mod identity;
pub mod journal;
pub mod lease;
pub mod ledger;
pub mod lineage;
pub mod listen;
pub mod migrate;
pub mod outbox;
pub mod protections;
pub mod requests;
mod rights;
pub mod scan;
pub mod schema;
mod session;
mod spare;
pub mod sql;
pub mod stamp;
pub mod tokens;
pub mod turns;
mod tx;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use journal::Entry;
pub use tx::{Authority, Context, Snapshot, Tx};
