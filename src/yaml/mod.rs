//! YAML text to checked items: every value with its place, and every problem of every file at once.
//!
//! ```text
//! bytes ─► source ─► plain ───────────► Item
//!               └──► events ─► read ─► Item
//!                                 └──► Problem ─► render
//! ```
//!
//! Two readers, one meaning: [`plain`] reads what nearly every file looks like, fast, and gives up at whatever it is
//! not certain of; [`read`](mod@read) then reads all that YAML allows, and says what is wrong.
//!
//! [`field`] is the one definition of what an item may hold; the reader here and the JSON Schema both follow it.
//! Values are those of YAML 1.2's core schema, taken strictly: `yes` is text, `0x1F` is no number of ours, and no
//! text becomes a number, or a number text, without saying so.

mod advice;
mod class;
mod complaint;
mod core;
mod events;
mod excerpt;
pub mod field;
pub mod item;
mod plain;
pub mod problem;
mod quick;
mod read;
mod render;
mod source;
mod suspect;
mod syntax;
mod value;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

pub use field::{Field, Section};
pub use item::Item;
pub use problem::{Place, Problem, Problems};
pub use read::read;
pub use render::WIDEST;
pub use value::is_name;

/// Takes the items of one file as they are read.
pub trait Sheet {
    /// Takes an item that fits its section. Gives back what only its kind can see: fields that do not go together.
    fn insert(&mut self, section: &'static Section, item: &Item<'_>) -> Vec<Problem>;

    /// Takes what could be read of an item that has a problem: its key, where that is right. It claims its resource all
    /// the same, so that whoever else does is told at once.
    fn wrong(&mut self, section: &'static Section, item: &Item<'_>);

    /// Forgets everything that was taken so far: the file is read again from its beginning.
    fn clear(&mut self);
}
