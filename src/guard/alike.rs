//! Names that a person takes for another: with blanks or dots around, other case, letters that nobody sees, and letters
//! of other alphabets that look the same.
//!
//! What a server hosts may be called anything, so a name there is not refused for being odd, as a catalog of our own
//! would be; it is folded, and then compared.

/// Whether `name` reads as `catalog`, which is plain ASCII.
///
/// A letter of another alphabet whose likeness is not known here may be any letter, as long as more than half of the name
/// is known: so that no table of look-alikes has to be complete, and a name in another script is still another name.
pub(super) fn reads_as(name: &str, catalog: &str) -> bool {
    let known: Vec<char> = catalog.chars().map(plain).collect();
    let shown: Vec<Option<char>> = trimmed(name).chars().filter(|letter| !is_unseen(*letter)).map(folded).collect();
    let fits = |(shown, known): (&Option<char>, &char)| shown.is_none_or(|shown| shown == *known);
    let unknown = shown.iter().filter(|letter| letter.is_none()).count();
    shown.len() == known.len() && shown.iter().zip(&known).all(fits) && unknown * 2 < known.len()
}

/// Without what stands around it unnoticed.
fn trimmed(name: &str) -> &str {
    let is_edge = |letter: char| {
        is_unseen(letter) || letter.is_whitespace() || ".,;:'\"`\u{2024}\u{3002}\u{ff0e}\u{ff61}".contains(letter)
    };
    name.trim_matches(is_edge)
}

/// Letters that take no room, or change the one before: controls, marks, joiners, directions, variation selectors, tags.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(u32::from(letter),
            0xad | 0x34f | 0x61c | 0x300..=0x36f | 0x483..=0x489 | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
            | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0x20d0..=0x20ff
            | 0x3164 | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0xe0000..=0xe0fff)
}

/// The plain letter that it reads as; `None` where that is not known.
fn folded(letter: char) -> Option<char> {
    if letter.is_ascii() {
        return Some(plain(letter));
    }
    let code = u32::from(letter);
    let ascii = |code: u32| char::from_u32(code).filter(char::is_ascii).map(plain);
    match code {
        // Full width.
        0xff01..=0xff5e => ascii(code - 0xff01 + 0x21),
        // Mathematical letters, in alphabets of 52, and digits, in tens.
        0x1d400..=0x1d6a3 => {
            let place = (code - 0x1d400) % 52;
            ascii(if place < 26 { 0x41 + place } else { 0x61 + place - 26 })
        }
        0x1d7ce..=0x1d7ff => ascii(0x30 + (code - 0x1d7ce) % 10),
        // In circles, squares and flags.
        0x24b6..=0x24e9 => ascii(0x41 + (code - 0x24b6) % 26),
        0x1f130..=0x1f189 => ascii(0x41 + (code - 0x1f130) % 32 % 26),
        0x1f1e6..=0x1f1ff => ascii(0x41 + (code - 0x1f1e6)),
        _ => {
            let alike = ALIKE.iter().find(|(_, letters)| letters.contains(letter)).map(|(plain, _)| *plain);
            // A letter with a mark on it: its capital may be one that is known, as for ı and ſ.
            alike.or_else(|| letter.to_uppercase().next().filter(char::is_ascii).map(plain))
        }
    }
}

/// Small, and one letter for those that many typefaces draw alike.
fn plain(letter: char) -> char {
    match letter.to_ascii_lowercase() {
        '0' => 'o',
        '1' | 'l' | '|' | '!' => 'i',
        '5' => 's',
        letter => letter,
    }
}

/// Letters outside ASCII that read as one inside, from the confusables of Unicode (UTS #39): those of the alphabets that
/// come with a keyboard, and of the letter-like symbols.
const ALIKE: [(char, &str); 28] = [
    ('a', "АаΑαᴀⱭɑꓮᎪ"),
    ('b', "ВвΒβᏴʙꓐЬ"),
    ('c', "СсϹϲᏟᴄⅭⅽꓚℂ"),
    ('d', "ԁᎠᴅⅮⅾꓓⅆ"),
    ('e', "ЕеΕεᎬᴇℯⅇꓰЁёЭэ"),
    ('f', "Ϝϝꓝℱ"),
    ('g', "ԌɡᏀɢꓖ"),
    ('h', "НнΗһᎻʜꓧℋℍ"),
    ('i', "ІіΙιӀӏᎥɪⅠⅰꓲℐℑℓⅬⅼ∣ǀ١۱"),
    ('j', "ЈјϳᎫᴊꓙ"),
    ('k', "КкΚκᏦᴋꓗ\u{212a}Ԟԟ"),
    ('m', "МмΜᎷᴍⅯⅿꓟℳ"),
    ('n', "ΝηɴꓠℕИи"),
    ('o', "ОоΟοσᴏꓳ೦०٥۵ଠⲞⲟ"),
    ('p', "РрΡρᏢᴘꓑℙ"),
    ('q', "ԛԚզℚɋ"),
    ('r', "ᎡʀꓣℛℜℝГгᏒЯя"),
    ('s', "ЅѕᏚꓢſꜱՏ"),
    ('t', "ТтΤτᎢᴛꓔ"),
    ('u', "ՍսυᴜꓴЦц∪"),
    ('v', "ѴѵνᏙᴠⅤⅴꓦ∨"),
    ('w', "ԜԝᎳᴡꓪШш"),
    ('x', "ХхΧχⅩⅹꓫ×"),
    ('y', "УуΥγҮүᎩʏꓬ"),
    ('z', "ΖᏃᴢꓜℤ"),
    ('-', "\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2212}\u{fe63}"),
    ('_', "\u{203f}\u{fe4d}\u{fe4e}\u{fe4f}\u{2017}\u{2cd}"),
    ('.', "\u{2024}\u{b7}\u{6d4}"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_takes_for_the_catalog_is_taken_for_it() {
        for name in [
            "KSESSIONS",
            "ksessions",
            "KSESSIONS ",
            "  KSESSIONS\t",
            "KSESSIONS.",
            ".KSESSIONS..",
            "KSESSIONS\u{a0}",
            "KSESSIONS\u{3000}.",
            "KSES\u{200b}SIONS",
            "\u{feff}KSESSIONS",
            "KSESSIONS\u{202e}",
            "KSES\u{ad}SIONS",
            "K\u{301}SESSIONS",
            "КSESSIONS",
            "KSEЅЅIONS",
            "KSESSІОNS",
            "\u{212a}SESSIONS",
            "K\u{17f}ESSIONS",
            "KSESS\u{131}ONS",
            "ＫＳＥＳＳＩＯＮＳ",
            "𝐊𝐒𝐄𝐒𝐒𝐈𝐎𝐍𝐒",
            "KSESSI0NS",
            "KSESSlONS",
            "K5ES5IONS",
            "ΚЅΕЅЅΙΟΝЅ",
            "KŚEŠSIONS",
            "\"KSESSIONS\"",
        ] {
            assert!(reads_as(name, "KSESSIONS"), "{}", name.escape_unicode());
        }
        assert!(reads_as("ksessions_dev ", "KSESSIONS_DEV") && reads_as("KSESSIONS\u{203f}DEV", "KSESSIONS_DEV"));
    }

    #[test]
    fn another_name_is_another_name() {
        for name in ["", " ", "KSESSION", "KSESSIONSS", "KSESSIONS_DEV", "odoo_d425c7f257b1439f_fbaa8c92", "postgres"] {
            assert!(!reads_as(name, "KSESSIONS"), "{name}");
        }
        for name in ["日本語文", "кафе", "über", "קורא", "QURK"] {
            assert!(!reads_as(name, "KQUR"), "{name}");
        }
    }
}
