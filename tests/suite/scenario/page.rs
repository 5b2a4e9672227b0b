//! A page, read into what it does; and written again with other answers.

pub struct Page {
    pub blocks: Vec<Block>,
}

pub enum Block {
    File { path: String, content: String },
    Console(Vec<Step>),
}

/// One command, and what it should print.
pub struct Step {
    /// The line in the page where the command stands, counted from 1.
    pub line: usize,
    pub command: String,
    pub expected: Vec<String>,
    /// Where in the page `expected` begins: an index of its lines.
    begin: usize,
}

impl Block {
    pub fn steps(&self) -> &[Step] {
        match self {
            Block::File { .. } => &[],
            Block::Console(steps) => steps,
        }
    }
}

impl Page {
    /// The page of the commands in blocks of `console`. Errors: `line: what is wrong`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_in(text, "console")
    }

    /// As [`Page::parse`], of the blocks in another language.
    pub fn parse_in(text: &str, wanted: &str) -> Result<Self, String> {
        let lines: Vec<&str> = text.lines().collect();
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            let fence = &line[..line.len() - line.trim_start_matches('`').len()];
            at += 1;
            if fence.len() < 3 {
                continue;
            }
            let begin = at;
            let length = lines[begin..].iter().position(|line| line.trim_end() == fence);
            let end = begin + length.ok_or_else(|| format!("{begin}: this block has no end"))?;
            at = end + 1;
            let mut words = line[fence.len()..].split_whitespace();
            let language = words.next().unwrap_or_default();
            if let Some(path) = words.find_map(|word| word.strip_prefix("file=")) {
                let content = lines[begin..end].iter().flat_map(|line| [line, "\n"]).collect();
                blocks.push(Block::File { path: path.to_owned(), content });
            } else if language == wanted {
                blocks.push(Block::Console(console(&lines, begin, end)?));
            }
        }
        if blocks.iter().all(|block| block.steps().is_empty()) {
            return Err("1: the page runs no command".to_owned());
        }
        Ok(Self { blocks })
    }
}

/// The steps between the lines `begin` and `end`.
fn console(lines: &[&str], begin: usize, end: usize) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut at = begin;
    while at < end {
        let line = lines[at];
        if let Some(command) = line.strip_prefix("$ ") {
            let mut command = command.to_owned();
            let number = at + 1;
            while command.ends_with('\\') && at + 1 < end {
                at += 1;
                command = format!("{command}\n{}", lines[at]);
            }
            steps.push(Step { line: number, command, expected: Vec::new(), begin: at + 1 });
        } else if !is_remark(lines, at, end) {
            let step = steps.last_mut().ok_or_else(|| format!("{}: printed before the first command", at + 1))?;
            step.expected.push(line.trim_end().to_owned());
        }
        at += 1;
    }
    for step in &mut steps {
        step.expected = without_blank_end(std::mem::take(&mut step.expected));
    }
    Ok(steps)
}

/// A line that begins with `#` is a remark when only such lines part it from the next command: what a command prints
/// may begin so as well.
fn is_remark(lines: &[&str], at: usize, end: usize) -> bool {
    let next = lines[at..end].iter().position(|line| !line.starts_with("# "));
    next.is_some_and(|below| below > 0 && lines[at + below].starts_with("$ "))
}

pub fn without_blank_end(mut lines: Vec<String>) -> Vec<String> {
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    lines
}

/// The page with these steps' answers, each line as `written`, in place of what it expected.
pub fn rewritten(text: &str, answers: &[(&Step, &Vec<String>)], written: fn(&str) -> String) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (step, answer) in answers.iter().rev() {
        let answer = answer.iter().map(|line| written(line));
        lines.splice(step.begin..step.begin + step.expected.len(), answer);
    }
    lines.join("\n") + "\n"
}
