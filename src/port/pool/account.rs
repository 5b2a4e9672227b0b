//! Names that may stand in a statement on a pool server: nothing else is ever put into one.

use std::fmt;

use uuid::Uuid;

use crate::port::Error;

/// The name of a role or database of ours: `[a-z][a-z0-9_]{0,62}`. It needs no escaping, and is quoted nevertheless.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbName(String);

impl DbName {
    /// Errors: what is odd about the name.
    pub fn new(name: &str) -> Result<Self, Error> {
        let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        let begins = name.starts_with(|letter: char| letter.is_ascii_lowercase());
        match begins && name.len() <= 63 && name.chars().all(plain) {
            true => Ok(Self(name.to_owned())),
            false => Err(Error::Name(format!("\"{}\" cannot be the name of a role or database", name.escape_debug()))),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a statement names it.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for DbName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One instance's role and database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub instance: Uuid,
    pub database: DbName,
    pub role: DbName,
}

impl Account {
    /// Errors: a name is odd.
    pub fn new(instance: Uuid, database: &str, role: &str) -> Result<Self, Error> {
        Ok(Self { instance, database: DbName::new(database)?, role: DbName::new(role)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        assert!(DbName::new("odoo_d425c7f257b1439f_fbaa8c92_user").is_ok());
        for odd in ["", "Odoo", "1x", "a-b", "a\"b", "a b", "_a", &"a".repeat(64), "ä"] {
            assert!(DbName::new(odd).is_err(), "{odd}");
        }
    }
}
