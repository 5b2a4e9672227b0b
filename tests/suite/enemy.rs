//! What somebody else has prepared, or another environment uses: nothing of it is touched, and it is named as what it is.

mod handoff;
mod tables;
