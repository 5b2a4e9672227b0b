//! Problems as a terminal shows them: the place, the line, the caret, the hint.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use anstyle::{AnsiColor, Style};

use super::problem::{Problem, Problems, Severity};

/// Columns for a reader that is no terminal: an excerpt has no more.
pub const WIDEST: usize = 160;
/// More than this many at once help nobody.
const SHOWN: usize = 50;

impl Problems {
    /// All of them as text: each begins with `file:line:column: message`, its line, caret and hint below. `width` is
    /// the reader's, in columns.
    pub fn render(&self, color: bool, width: usize) -> String {
        let mut out = String::new();
        for problem in self.kept().iter().take(SHOWN) {
            one(&mut out, problem, color, width);
            out.push('\n');
        }
        if let Some(rest) = self.len().checked_sub(SHOWN).filter(|rest| *rest > 0) {
            out.push_str(&format!("and {rest} more problem{}\n", if rest == 1 { "" } else { "s" }));
        }
        out
    }
}

fn one(out: &mut String, problem: &Problem, color: bool, width: usize) {
    let Problem { place, severity, message, hint, also, excerpt } = problem;
    let (level, tint, prefix) = match severity {
        Severity::Error => (Level::ERROR, AnsiColor::BrightRed, ""),
        Severity::Warning => (Level::WARNING, AnsiColor::Yellow, "warning: "),
    };
    let (bold, tint) =
        if color { (Style::new().bold(), tint.on_default().bold()) } else { (Style::new(), Style::new()) };
    out.push_str(&format!("{bold}{place}:{bold:#} {tint}{prefix}{message}{tint:#}\n"));

    let mut group = Group::with_level(level);
    if let Some(excerpt) = excerpt {
        group = group.element(
            Snippet::source(excerpt.line.as_str())
                .line_start(place.line as usize)
                .annotation(AnnotationKind::Primary.span(excerpt.caret())),
        );
    }
    if let Some((place, what)) = also {
        group = group.element(Level::NOTE.message(format!("{what}: {place}")));
    }
    if let Some(hint) = hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    if !group.is_empty() {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        out.push_str(&renderer.term_width(width).render(&[group]));
        out.push('\n');
    }
}
