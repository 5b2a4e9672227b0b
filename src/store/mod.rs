//! Our database: connecting, reading a snapshot, writing in guarded transactions.

pub mod connect;
pub mod doctor;
pub mod error;
mod file;
pub mod schema;
mod session;
pub mod sql;
pub mod stamp;
