//! The one definition of what an item may hold. The reader and the JSON Schema both follow it.

use std::time::Duration;

use super::suspect::Guids;
use crate::change::Kind;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A decimal whole number, both bounds included.
    Int { min: i64, max: i64 },
    /// Text of `min..=max` characters, without control characters other than tab and line break.
    Text { min: usize, max: usize },
    /// One of a closed set of words.
    Word(&'static [&'static str]),
    /// An RFC 3339 time with its offset, kept in UTC and cut to microseconds.
    Time,
    /// A number with a unit, such as `90d` or `1h 30m`, both bounds included.
    Duration { min: Duration, max: Duration },
    /// `true` or `false`.
    Flag,
    /// A hyphenated UUID in any case.
    Uuid,
    /// A name of ours: `[a-z0-9][a-z0-9._-]{0,62}`.
    Name,
}

/// One field of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    /// The item is wrong without it.
    pub required: bool,
    /// `null` may be written, and means something.
    pub nullable: bool,
    /// What a resource is created with where the field is left out, as it would be written. For readers only: an
    /// item never holds a value that its file does not.
    pub default: Option<&'static str>,
    /// What the section wants of the text beside its shape, as a regular expression of JSON Schema's dialect that lets
    /// pass whatever the section does.
    pub pattern: Option<&'static str>,
    /// One sentence for whoever writes the file.
    pub about: &'static str,
}

impl Field {
    const fn new(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, required: false, nullable: false, default: None, pattern: None, about: "" }
    }

    pub const fn int(name: &'static str, min: i64, max: i64) -> Self {
        Self::new(name, Shape::Int { min, max })
    }

    pub const fn text(name: &'static str, min: usize, max: usize) -> Self {
        Self::new(name, Shape::Text { min, max })
    }

    pub const fn word(name: &'static str, words: &'static [&'static str]) -> Self {
        Self::new(name, Shape::Word(words))
    }

    pub const fn time(name: &'static str) -> Self {
        Self::new(name, Shape::Time)
    }

    pub const fn duration(name: &'static str, min: Duration, max: Duration) -> Self {
        Self::new(name, Shape::Duration { min, max })
    }

    pub const fn flag(name: &'static str) -> Self {
        Self::new(name, Shape::Flag)
    }

    pub const fn uuid(name: &'static str) -> Self {
        Self::new(name, Shape::Uuid)
    }

    pub const fn name(name: &'static str) -> Self {
        Self::new(name, Shape::Name)
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// The default as it would be written in a file.
    pub const fn default(mut self, written: &'static str) -> Self {
        self.default = Some(written);
        self
    }

    pub const fn pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }

    pub const fn about(mut self, sentence: &'static str) -> Self {
        self.about = sentence;
        self
    }
}

/// Accepted by every section, beside its own fields.
pub const PROTECT: Field = Field::flag("protect")
    .about("true blocks every change to this resource until a line says false; false alone, beside the key, lifts it.");

/// One kind's list in a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    pub kind: Kind,
    /// One sentence for whoever writes the file.
    pub about: &'static str,
    pub fields: &'static [Field],
    /// Pairs of fields that may not both stand in one item.
    pub exclusive: &'static [(&'static str, &'static str)],
}

impl Section {
    /// Every field that an item may hold, `protect` last.
    pub fn all_fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.fields.iter().chain(std::iter::once(&PROTECT))
    }

    /// The field that names the resource.
    pub fn key(&self) -> Option<&'static Field> {
        self.fields.first()
    }

    /// The field of that name and its number in [`Section::all_fields`].
    pub(super) fn field(&self, name: &str) -> Option<(usize, &'static Field)> {
        self.all_fields().enumerate().find(|(_, field)| field.name == name)
    }

    /// Where UUIDs name this kind's resources, they may be shown. Where they do not, a GUID in a file is a host's
    /// secret.
    pub(super) fn guids(&self) -> Guids {
        let speaks_in_uuids = self.fields.iter().any(|field| field.shape == Shape::Uuid);
        if speaks_in_uuids { Guids::Names } else { Guids::Secret }
    }
}
