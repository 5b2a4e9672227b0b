//! Short cuts to what [`Field::check`](super::field::Field) finds out, for values as nearly every file spells them.

use chrono::{DateTime, NaiveDate, Utc};

/// The length of a time that [`time`] knows, in bytes.
pub const TIME: usize = 20;
/// So many digits are below `i64::MAX`, whatever they are.
const DIGITS: usize = 18;

/// The whole number that `text` begins with, and how many digits it has: no sign, no zero before it. What follows the
/// digits may make something else of it.
pub fn int(text: &[u8]) -> Option<(i64, usize)> {
    let mut value = 0;
    let mut length = 0;
    while let Some(digit) = text.get(length).filter(|byte| byte.is_ascii_digit()) {
        if length == DIGITS {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
        length += 1;
    }
    (length > 0 && (length == 1 || text[0] != b'0')).then_some((value, length))
}

/// The time that `text` begins with, where it is in UTC and in whole seconds: `2026-12-31T23:59:59Z`.
pub fn time(text: &[u8]) -> Option<DateTime<Utc>> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'Z'] =
        text.first_chunk::<TIME>()?
    else {
        return None;
    };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    if year == 0 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, two(*m1, *m2)?, two(*d1, *d2)?)?;
    Some(date.and_hms_opt(two(*h1, *h2)?, two(*n1, *n2)?, two(*s1, *s2)?)?.and_utc())
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    digits.then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::field::Field;
    use crate::yaml::item::Value;
    use crate::yaml::suspect::Guids;
    use crate::yaml::value::Written;

    /// What the definition says of a text without quotes.
    fn slowly(field: Field, text: &str) -> Option<Value<'_>> {
        field.check(Written { text, plain: true, guids: Guids::Secret }).ok()
    }

    #[test]
    fn whole_numbers_are_those_of_the_definition() {
        let mut texts: Vec<String> = (0..2_000).map(|number: i64| number.to_string()).collect();
        texts.extend((0..=20).map(|digits| "9".repeat(digits)));
        texts.extend(
            ["00", "01", "010", "1_0", "1.0", "1e5", "+1", "-1", "0x1", "1 ", " 1", "1a", "٣"].map(str::to_owned),
        );
        let mut known = 0;
        for text in &texts {
            // Only where nothing follows is it the whole value.
            if let Some((value, _)) = int(text.as_bytes()).filter(|(_, length)| *length == text.len()) {
                assert_eq!(slowly(Field::int("id", 0, i64::MAX), text), Some(Value::Int(value)), "{text}");
                known += 1;
            }
        }
        assert_eq!(known, 2_000 + 18);
    }

    #[test]
    fn times_are_those_of_the_definition() {
        let mut known = 0;
        for year in ["0000", "0001", "1900", "2000", "2026", "2028", "9999", "+202", "20x6"] {
            for (month, day) in [("00", "01"), ("01", "00"), ("01", "31"), ("02", "28"), ("02", "29"), ("02", "30")] {
                for hour in ["00:00:00", "23:59:59", "24:00:00", "12:60:00", "12:00:60", "1:000:00", "12-00-00"] {
                    for end in ["Z", "z", " ", "+"] {
                        let text = format!("{year}-{month}-{day}T{hour}{end}");
                        let quick = time(text.as_bytes());
                        assert_eq!(quick.map(Value::Time), slowly(Field::time("at"), &text), "{text}");
                        known += usize::from(quick.is_some());
                    }
                }
            }
        }
        // Of six years that exist, each has two days, and two a third; of each day two times.
        assert_eq!(known, (6 * 2 + 2) * 2);
    }
}
