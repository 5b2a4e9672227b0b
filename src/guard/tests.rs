//! The guard against everything that could lead it astray.
