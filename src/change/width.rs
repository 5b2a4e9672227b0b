//! How wide lines may be, and how what is longer goes on below.

/// `text` in lines of at most `room` columns, `first` in the first of them, broken between words alone: a word that is
/// longer than a line stays whole. At least one line.
pub fn wrapped(text: &str, first: usize, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut line, mut used, mut limit) = (String::new(), 0, first);
    for word in text.split(' ') {
        let columns = word.chars().count();
        if used > 0 && used + 1 + columns > limit {
            lines.push(std::mem::take(&mut line));
            (used, limit) = (0, room);
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += columns;
    }
    lines.push(line);
    lines
}

/// How wide lines may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width(Option<usize>);

impl Width {
    /// No terminal shows the lines, so that nothing is wrapped.
    pub const UNLIMITED: Self = Self(None);

    /// As wide as a terminal of so many columns, and at least 20.
    pub const fn of_terminal(columns: usize) -> Self {
        Self(Some(if columns < 20 { 20 } else { columns }))
    }

    /// The terminal's columns, or `otherwise` where there is none.
    pub fn columns_or(self, otherwise: usize) -> usize {
        self.0.unwrap_or(otherwise)
    }

    /// Columns that are left beside so many.
    pub fn beside(self, used: usize) -> usize {
        self.0.map_or(usize::MAX, |columns| columns.saturating_sub(used))
    }
}

/// `lead` and `text` in a row, as wide as `width` where words allow it: what does not fit stands below, `indent` blanks
/// from the left.
pub fn hanging(lead: &str, text: &str, indent: usize, width: Width) -> String {
    let lines = wrapped(text, width.beside(lead.chars().count()), width.beside(indent));
    format!("{lead}{}", lines.join(&format!("\n{:indent$}", "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_hang() {
        assert_eq!(wrapped("one two three", 7, 9), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 6, 9), ["one", "two three"]);
        assert_eq!(wrapped("unbreakable", 3, 3), ["unbreakable"]);
        assert_eq!(wrapped("", 3, 3), [""]);
        let text = "word ".repeat(20);
        let shown = hanging("  lead  ", text.trim_end(), 4, Width::of_terminal(80));
        insta::assert_snapshot!(shown, @r"
          lead  word word word word word word word word word word word word word word
            word word word word word word
        ");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert_eq!(hanging("  lead  ", text.trim_end(), 4, Width::of_terminal(40)).lines().count(), 3);
        assert_eq!(hanging("  lead  ", text.trim_end(), 4, Width::UNLIMITED), format!("  lead  {}", text.trim_end()));
    }
}
