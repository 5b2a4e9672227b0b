//! What an enemy has prepared, and what it comes to: nothing outside is written, nothing hangs, nothing untrue is told.

mod files;
