//! What should exist: the state files, from where they lie to typed resources, and what their editors should know.

pub mod git;
pub mod load;
pub mod revision;
pub mod schema;
pub mod tree;

#[cfg(test)]
pub mod testing;
