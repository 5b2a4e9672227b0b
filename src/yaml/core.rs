//! YAML 1.2's core schema: what a value written without quotes is.

/// The type of a value without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    Null,
    /// In any of the three spellings of the core schema: `true`, `True`, `TRUE`.
    Flag,
    /// `[-+]?[0-9]+`
    Decimal,
    /// `0o17`, `0x1F`
    OtherBase,
    Float,
    Text,
}

impl Core {
    pub fn of(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Core::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Core::Flag,
            ".nan" | ".NaN" | ".NAN" => return Core::Float,
            _ => {}
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            return Core::Text;
        }
        let all =
            |digits: &str, wanted: fn(&u8) -> bool| !digits.is_empty() && digits.bytes().all(|byte| wanted(&byte));
        if all(unsigned, u8::is_ascii_digit) {
            Core::Decimal
        } else if text.strip_prefix("0x").is_some_and(|rest| all(rest, u8::is_ascii_hexdigit))
            || text.strip_prefix("0o").is_some_and(|rest| all(rest, |byte| (b'0'..=b'7').contains(byte)))
        {
            Core::OtherBase
        } else if is_float(unsigned) {
            Core::Float
        } else {
            Core::Text
        }
    }

    /// With its article, as a message names it.
    pub fn name(self) -> &'static str {
        match self {
            Core::Null => "nothing",
            Core::Flag => "true or false",
            Core::Decimal => "a number",
            Core::OtherBase => "a number in another base",
            Core::Float => "a number with a fraction",
            Core::Text => "text",
        }
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, or infinity.
fn is_float(unsigned: &str) -> bool {
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let a_number = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    a_number && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use super::Core;

    #[test]
    fn values_without_quotes() {
        for (core, texts) in [
            (Core::Null, &["", "~", "null", "Null", "NULL"][..]),
            (Core::Flag, &["true", "True", "TRUE", "false", "False", "FALSE"]),
            (Core::Decimal, &["0", "-19", "+5", "0123", "99999999999999999999"]),
            (Core::OtherBase, &["0o14", "0x3A"]),
            (Core::Float, &["0.", "-0.0", ".5", "+12e03", "-2E+05", ".inf", "-.Inf", ".NAN", "1e5"]),
            (
                Core::Text,
                &[
                    "yes",
                    "on",
                    "No",
                    "nULL",
                    "tRue",
                    "1_000",
                    "0b1",
                    "0o8",
                    "0x",
                    "-0x1",
                    "12:30",
                    "1.2.3",
                    ".",
                    "-",
                    "e5",
                    "1e",
                    "90d",
                    "2026-12-01",
                    "٣",
                    "+",
                    ".e1",
                    "-.nan",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(Core::of(text), core, "{text}");
            }
        }
    }
}
