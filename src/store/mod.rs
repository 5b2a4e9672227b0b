//! Our database: connecting, reading a snapshot, writing in guarded transactions.

pub mod sql;
