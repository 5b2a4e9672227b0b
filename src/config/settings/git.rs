//! The settings of Git: which commits may follow one another.

use super::{Fallback, Secrecy, Setting};

pub(super) static GIT: [Setting; 2] = [
    Setting {
        key: "lineage",
        variable: "RECONCILE_LINEAGE",
        fallback: Fallback::Value("default"),
        secrecy: Secrecy::Open,
        about: "The name under which applied commits are recorded. Two repositories for one database need two names.",
        take: |draft, given| {
            let name = given.string()?;
            let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
            if !(1..=64).contains(&name.len()) || !name.chars().all(is_plain) {
                return Err("must be 1 to 64 letters, digits, dots, underscores and hyphens".to_owned());
            }
            draft.config.lineage = name;
            Ok(())
        },
    },
    Setting {
        key: "git.lineage",
        variable: "RECONCILE_GIT_LINEAGE",
        fallback: Fallback::Value("note"),
        secrecy: Secrecy::Open,
        about: "A commit whose history is cut off (a shallow clone): `note` applies it with a note, `strict` holds it.",
        take: |draft, given| {
            given.word(&[("note", false), ("strict", true)]).map(|strict| draft.config.lineage_strict = strict)
        },
    },
];
