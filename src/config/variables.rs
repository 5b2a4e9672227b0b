//! Variables that bear our prefix: one that cannot be read, and one that is probably misspelt, are told of.
//!
//! What a variable that is passed over was to say would not be in force, and nobody would know.

use std::ffi::{OsStr, OsString};

use super::{ConfigError, Problem, TABLE};

const PREFIX: &str = "RECONCILE_";

/// What the environment holds of ours that is probably misspelt, each as a warning. What resembles no setting is left
/// alone: service managers make variables with our name too, such as `RECONCILE_PORT`.
///
/// Errors: a variable of ours is not text, each named without its value.
pub fn check(environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<String>, ConfigError> {
    let is_ours = |name: &OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for (name, value) in environment.filter(|(name, _)| is_ours(name)) {
        let at = name.to_string_lossy().into_owned();
        if let Some(meant) = similar(&at) {
            warnings.push(format!("{at} is no variable of ours, and does nothing: did you mean {meant}?"));
        }
        if value.to_str().is_none() {
            problems.push(Problem {
                at,
                what: "the value is not valid UTF-8".to_owned(),
                order: (0, 0, 0),
                refusal: None,
            });
        }
    }
    problems.sort_by(|one, other| one.at.cmp(&other.at));
    warnings.sort();
    if problems.is_empty() { Ok(warnings) } else { Err(ConfigError(problems)) }
}

/// The variable that was probably meant by one that is none.
fn similar(name: &str) -> Option<&'static str> {
    const FAR: usize = 2;
    let near =
        TABLE.iter().map(|setting| (strsim::damerau_levenshtein(setting.variable, name), setting.variable)).min()?;
    (1..=FAR).contains(&near.0).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn checked(variables: &[(&str, &[u8])]) -> Result<Vec<String>, String> {
        let variables =
            variables.iter().map(|(name, value)| (OsString::from(name), OsString::from_vec(value.to_vec())));
        check(variables).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_misspelt_is_told_of_and_what_others_make_is_not() {
        let warnings = checked(&[("RECONCILE_ENVIRONMEN", b"production"), ("RECONCILE_DATABSE_URL", b"sqlite:x")]);
        let wanted = [
            "RECONCILE_DATABSE_URL is no variable of ours, and does nothing: did you mean RECONCILE_DATABASE_URL?",
            "RECONCILE_ENVIRONMEN is no variable of ours, and does nothing: did you mean RECONCILE_ENVIRONMENT?",
        ];
        assert_eq!(warnings.unwrap(), wanted);
        for name in TABLE.iter().map(|setting| setting.variable).chain([
            "RECONCILE_PORT",
            "RECONCILE_SERVICE_HOST",
            "RECONCILE_PORT_7326_TCP_ADDR",
            "RECONCILE_POOL_POOL_1_URL",
            "RECONCILE_NOTIFY_OPS_KEYS",
            "ENVIRONMENT",
        ]) {
            assert_eq!(checked(&[(name, b"x")]), Ok(Vec::new()), "{name}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_and_not_shown() {
        let told = checked(&[("RECONCILE_REDIS_URL", b"redis://:canary\xff@x"), ("LS_COLORS", b"\xff")]).unwrap_err();
        assert_eq!(told, "RECONCILE_REDIS_URL: the value is not valid UTF-8");
    }
}
