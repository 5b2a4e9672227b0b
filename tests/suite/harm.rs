//! Harm that is done again and again, in one world: some rounds of it here, and by `tests/harm` as many as one likes.
//!
//! A test joins the table by one call: [`crate::fixture::harm::Harm::of`].

mod kill;
