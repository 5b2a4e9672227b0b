//! What the values of flags may be, as far as more than their type decides.

use std::time::Duration;

use crate::change::span;
use crate::credential;
use crate::resource::host::{LONGEST_LIFE, SHORTEST_LIFE};

/// Who asks: what the column takes.
pub(super) fn name(text: &str) -> Result<String, String> {
    text_up_to(128, text)
}

/// Why: as much as a file may say.
pub(super) fn reason(text: &str) -> Result<String, String> {
    text_up_to(500, text)
}

fn text_up_to(most: usize, text: &str) -> Result<String, String> {
    if let Some(what) = credential::first(text) {
        return Err(format!("it holds {what}, which the journal would keep and show: say it without, and change it"));
    }
    match text.chars().count() {
        0 => Err("it is empty".to_owned()),
        count if count > most => Err(format!("it has {count} characters; {most} are allowed")),
        _ if text.trim().is_empty() => Err("it is blank".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// How long a GUID may be valid: the same as in a file.
pub(super) fn life(text: &str) -> Result<Duration, String> {
    let life = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match SHORTEST_LIFE <= life && life <= LONGEST_LIFE {
        true => Ok(life),
        false => Err(format!("it is not between {} and {}", span(SHORTEST_LIFE), span(LONGEST_LIFE))),
    }
}
