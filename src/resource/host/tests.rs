//! Hosts, one rule at a time.
