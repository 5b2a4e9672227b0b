//! A Rust file, read just far enough: what is code, what is a comment, which paths it names, how long its functions are.

use std::path::{Path, PathBuf};

/// One file in three readings of equal length, so that a line has the same number in each.
#[derive(Clone)]
pub struct Source {
    /// Relative to the crate's root.
    pub file: PathBuf,
    /// As it stands.
    pub text: String,
    /// Comments and the insides of literals blanked.
    pub code: String,
    /// What ships: `code`, with everything under `#[cfg(test)]` blanked too.
    pub product: String,
}

/// A path of two or more segments as the code names it, `use` trees spread out.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedPath {
    pub line: usize,
    pub segments: Vec<String>,
}

pub struct Function {
    pub name: String,
    pub line: usize,
    /// From its `fn` to its closing brace.
    pub lines: usize,
}

/// A word or a sign of the code, and where it stands.
#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
    /// In bytes from the beginning.
    start: usize,
}

impl Source {
    pub fn new(file: &Path, text: String) -> Self {
        let code = blank_literals(&text);
        let product = blank_tests(&code);
        Self { file: file.to_owned(), text, code, product }
    }

    /// A file of tests alone.
    pub fn is_test(&self) -> bool {
        let name = self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.file.starts_with("tests")
            || matches!(name, "tests.rs" | "testing.rs")
            || self.file.iter().any(|part| part == "tests" || part == "testing")
    }

    /// The room of `src` that it stands in; none for `lib.rs`, which is the map of the house.
    pub fn room(&self) -> Option<String> {
        self.module().into_iter().next()
    }

    /// The room of ours that `path` leads to; none when it leads out of the house.
    pub fn resolve(&self, path: &[String]) -> Option<String> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" | "reconcile" => rest.first().cloned(),
            "self" => self.room(),
            "super" => {
                let up = path.iter().take_while(|segment| *segment == "super").count();
                let above = self.module().len().checked_sub(up)?;
                if above > 0 { self.room() } else { path.get(up).cloned() }
            }
            _ => None,
        }
    }

    /// All paths of the code that ships. None of a file of tests.
    pub fn paths(&self) -> Vec<NamedPath> {
        let mut found = Vec::new();
        if !self.is_test() {
            let tokens = tokens(&self.product);
            let mut at = 0;
            while at < tokens.len() {
                at = spread(&tokens, at, &[], &mut found);
            }
        }
        found
    }

    /// The functions of what ships; a test may be a long table.
    pub fn functions(&self) -> Vec<Function> {
        let tokens = tokens(if self.is_test() { "" } else { &self.product });
        let mut found = Vec::new();
        for (at, pair) in tokens.windows(2).enumerate() {
            let [keyword, name] = pair else { continue };
            // `fn(` is a type.
            if keyword.text == "fn"
                && name.text != "("
                && let Some(end) = item_end(&tokens, at).filter(|end| tokens[*end].text == "}")
            {
                let lines = tokens[end].line - keyword.line + 1;
                found.push(Function { name: name.text.to_owned(), line: keyword.line, lines });
            }
        }
        found
    }

    /// The file's place in the tree of modules: `src/store/sql.rs` is `store`, `sql`.
    fn module(&self) -> Vec<String> {
        let below = self.file.strip_prefix("src").unwrap_or(&self.file).with_extension("");
        let names = below.iter().map(|part| part.to_string_lossy().into_owned());
        names.filter(|name| name != "mod" && name != "lib").collect()
    }
}

/// Reads the path that begins at `at` below `prefix`, if one does, with all branches of its tree; gives where to read on.
fn spread(tokens: &[Token<'_>], mut at: usize, prefix: &[String], found: &mut Vec<NamedPath>) -> usize {
    let line = tokens[at].line;
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        at += 1;
        if is_word(token.text) || (token.text == "*" && !segments.is_empty()) {
            segments.push(token.text.to_owned());
        } else if token.text == "{" && !segments.is_empty() {
            while tokens.get(at).is_some_and(|token| token.text != "}") {
                at = spread(tokens, at, &segments, found);
            }
            return at + 1;
        } else {
            break;
        }
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    if segments.len() > prefix.len().max(1) {
        found.push(NamedPath { line, segments });
    }
    at
}

/// A name, which `use` is not: a path that begins with `::` may follow it.
fn is_word(text: &str) -> bool {
    text != "use" && text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The words and signs of blanked code. `::` is one sign; the `$` of `$crate` is dropped.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() && first != '$' {
            found.push(Token { text: &rest[..length], line, start: at });
        }
        line += usize::from(first == '\n');
        at += length;
    }
    found
}

/// Where the item that begins at `start` ends: at its closing brace, or at the semicolon of one without a body.
fn item_end(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let (mut braces, mut others) = (0, 0);
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" => others += 1,
            ")" | "]" => others -= 1,
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                if braces <= 0 && others == 0 {
                    return Some(at);
                }
            }
            ";" if braces == 0 && others == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// `code` with each item under `#[cfg(test)]` blanked.
fn blank_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut shipped = code.to_owned();
    while let Some(start) = shipped.find(MARK) {
        let item = start + MARK.len();
        let tokens = tokens(&shipped[item..]);
        let end =
            item_end(&tokens, 0).map_or(shipped.len(), |last| item + tokens[last].start + tokens[last].text.len());
        let blank = blanked(&shipped[start..end]);
        shipped.replace_range(start..end, &blank);
    }
    shipped
}

/// `text` with comments and the insides of string and character literals blanked, of the same length in bytes.
fn blank_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let after_word = code.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(length) = (!after_word).then(|| raw_string(rest)).flatten() {
            length
        } else if rest.starts_with('"') {
            quoted(rest, '"')
        } else if is_character(rest) {
            quoted(rest, '\'')
        } else {
            let letter = rest.chars().next().map_or(1, char::len_utf8);
            code.push_str(&rest[..letter]);
            at += letter;
            continue;
        };
        code.push_str(&blanked(&rest[..length]));
        at += length;
    }
    code
}

fn blanked(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// The length of the block comment that `text` begins with; they nest.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the raw string that `text` begins with: `r"…"`, `br#"…"#` and their kind.
fn raw_string(text: &str) -> Option<usize> {
    let opened = text.strip_prefix('r').or_else(|| text.strip_prefix("br")).or_else(|| text.strip_prefix("cr"))?;
    let hashes = opened.len() - opened.trim_start_matches('#').len();
    let inside = opened[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(text.len() - inside.len() + length)
}

/// The length of the literal that `text` begins with, up to its closing `mark`.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        if !escaped && letter == mark {
            return at + mark.len_utf8();
        }
        escaped = letter == '\\' && !escaped;
    }
    text.len()
}

/// Whether `text` begins with a character literal, and not with a lifetime.
fn is_character(text: &str) -> bool {
    let letters: Vec<char> = text.chars().take(3).collect();
    matches!(letters[..], ['\'', '\\', _] | ['\'', _, '\''])
}
