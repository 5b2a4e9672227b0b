//! How to mend a value or a key, where what was meant can be told from what was written.

use uuid::Uuid;

use super::core::Core;
use super::suspect::Guids;

/// A value of so many bytes may be written out again in a hint.
pub const SHORT: usize = 40;

/// For a whole number written otherwise; `plain` without quotes.
pub fn whole_number(text: &str, plain: bool) -> String {
    const DIGITS: &str = "write it in digits alone";
    let text = text.trim();
    if text.len() > SHORT {
        return DIGITS.to_owned();
    }
    match Core::of(text) {
        Core::Decimal if !plain => format!("write {text} by itself, without quotes"),
        Core::OtherBase => "write it in decimal digits".to_owned(),
        _ => digits(text).map_or_else(|| DIGITS.to_owned(), |digits| format!("write it in digits alone: {digits}")),
    }
}

/// The digits of a number that was grouped, closed with a comma, given a fraction of nothing, or written with the
/// digits of another script.
fn digits(text: &str) -> Option<String> {
    /// Where the digits of other scripts begin: Arabic, Persian, Devanagari, and those as wide as a Chinese letter.
    const ZEROS: [u32; 4] = [0x660, 0x6f0, 0x966, 0xff10];
    let digit = |letter: char| {
        let number = u32::from(letter);
        let zero = ZEROS.into_iter().find(|zero| (*zero..zero + 10).contains(&number))?;
        char::from_digit(number - zero, 10)
    };
    let text: String = text.chars().map(|letter| digit(letter).unwrap_or(letter)).collect();
    let text = text.strip_suffix(',').unwrap_or(&text);
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0') => whole,
        _ => text,
    };
    let mut groups = whole.split(['_', ',', '\'', ' ']);
    let first = groups.next().filter(|first| (1..=18).contains(&first.len()))?;
    let mut digits = first.to_owned();
    for group in groups {
        (group.len() == 3).then(|| digits.push_str(group))?;
    }
    (digits.bytes().all(|digit| digit.is_ascii_digit()) && !digits.starts_with('0')).then_some(digits)
}

/// For a UUID written otherwise. One that may open a session is not repeated.
pub fn uuid(text: &str, guids: Guids) -> String {
    match Uuid::try_parse(text).ok().filter(|_| guids == Guids::Names) {
        Some(uuid) => format!("write it with hyphens alone: {uuid}"),
        None => "write 8-4-4-4-12 hexadecimal digits: fbaa8c92-0000-4000-8000-000000000001".to_owned(),
    }
}

/// For a key that is not known; none where nothing but the key itself seems wrong.
pub fn key(name: &str, known: &[&'static str]) -> Option<String> {
    if let Some(key) = blank_after_colon(name, known) {
        return Some(format!("put a blank behind the colon: `{key}: …`"));
    }
    if name.starts_with("//") || name.starts_with("/*") {
        return Some("a comment begins with `#`".to_owned());
    }
    let odd = name.chars().next().filter(|letter| !letter.is_ascii() && !letter.is_alphanumeric())?;
    Some(format!("it begins with U+{:04X}, which is no blank: indent with blanks", u32::from(odd)))
}

/// The key of `id:215`, where it is one of those that are known.
pub fn blank_after_colon(text: &str, known: &[&'static str]) -> Option<&'static str> {
    let (key, _) = text.split_once(':')?;
    known.iter().copied().find(|known| *known == key)
}

/// For a list or map where one value is wanted. `rest` is the file's text from there.
pub fn one_value(rest: &str) -> &'static str {
    match rest.starts_with("{{") {
        true => "this looks like a template: fill it in before the file is read, or put the text in quotes",
        false => "write one value behind the colon",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_were_meant() {
        for (text, digits) in [
            ("1_000", "1000"),
            ("1,000", "1000"),
            ("1'000'000", "1000000"),
            ("215,", "215"),
            ("215.0", "215"),
            ("٢١٥", "215"),
            ("２１５", "215"),
        ] {
            assert_eq!(whole_number(text, true), format!("write it in digits alone: {digits}"), "{text}");
        }
        for text in ["1,5", "1.5", "3:35", "twelve", "1,00,000", ".inf", "0_100", "", &"9".repeat(100)] {
            assert_eq!(whole_number(text, true), "write it in digits alone", "{text}");
        }
    }

    #[test]
    fn a_guid_is_not_written_out_again() {
        let text = "fbaa8c9200004000800000000000000f";
        assert!(uuid(text, Guids::Names).ends_with("fbaa8c92-0000-4000-8000-00000000000f"));
        assert!(!uuid(text, Guids::Secret).contains("00000000000f"));
    }
}
