//! What should exist: the state files, from where they lie to the text that is read.

pub mod git;
pub mod revision;
pub mod tree;

#[cfg(test)]
pub mod testing;
