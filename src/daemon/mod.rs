//! What wakes the daemon, and what it does then.

pub mod watch;
