//! What somebody has prepared who wants to be obeyed, or believed, where nobody meant him to be.

mod git;
mod traps;
