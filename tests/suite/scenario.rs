//! Pages of the manual that are tests: each file of `tests/scenarios`, on both databases.
//!
//! A page is Markdown, and a reader may follow it by hand. Two kinds of fenced blocks act, in their order; all else is
//! prose. Every page begins in an empty repository beside an empty database; each file that a page writes is committed
//! at once, so that the changes are their author's, whoever runs the tests.
//!
//! ````text
//! ```yaml file=desired-state/a.yaml      writes that file (any language will do)
//! ```console                             runs commands, and compares what they print
//! # a remark before a command is skipped
//! $ reconcile --plan
//! what it prints: standard output, then standard error
//! [exit 1]                               its exit code, where that is not 0
//! ```
//! ````
//!
//! A command is one line of shell, so pipes, redirections and `$NAME` work; a `\` at its end goes on in the next line.
//! Four forms are the runner's own:
//!
//! - `$ NAME=$(command)` keeps what the command prints for all that follows; its errors are what is compared.
//! - `$ export NAME=value` sets a variable for all that follows.
//! - `$ sql "SELECT …"` asks the page's database: one row a line, columns parted by `|`, the same on both.
//! - `$ seed "CREATE …"` does the same to a database that `reconcile` has not seen yet.
//!
//! In what is expected, `...` alone in a line stands for any lines, `[..]` for anything within a line; `[GUID]`,
//! `[HASH]` (44 characters of Base64), `[TIME]` (RFC 3339), `[DIGEST]` and `[COMMIT]` (hexadecimal), `[DURATION]` and
//! `[DRIVER]` for what their names say. The project's path is printed as `[DIR]`, the server's address as `[SERVER]`.
//!
//! `UPDATE_SCENARIOS=1 tests/run scenario` writes what is printed into the pages. Read the difference before you
//! commit it.

use std::path::{Path, PathBuf};

use crate::fixture::{Database, World};

mod matcher;
mod page;
mod readme;
mod tests;

use page::{Block, Page, Step};

/// How wide the terminal is that pages show.
const COLUMNS: u16 = 80;

/// Names each page once, with the databases that it is for: `both`, `sqlite` or `postgres`.
macro_rules! pages {
    ($($databases:ident $page:ident;)*) => {
        const PAGES: &[&str] = &[$(stringify!($page)),*];
        $(
            mod $page {
                pages!(@$databases $page);
            }
        )*
    };
    (@both $page:ident) => {
        pages!(@sqlite $page);

        #[test]
        fn postgres() {
            super::compare(&super::file(stringify!($page)), $crate::fixture::Database::Postgres);
        }
    };
    (@sqlite $page:ident) => {
        #[test]
        fn sqlite() {
            super::follow(&super::file(stringify!($page)), $crate::fixture::Database::Sqlite, super::updating());
        }
    };
    (@postgres $page:ident) => {
        #[test]
        fn postgres() {
            super::follow(&super::file(stringify!($page)), $crate::fixture::Database::Postgres, super::updating());
        }
    };
}

pages! {
    both about_these_pages;
    both adopt;
    both blocked;
    both budget;
    postgres doctor;
    both drift;
    both dry_run;
    both exit_codes;
    both first_tour;
    both list;
    postgres migrate;
    both mistakes;
    both one_guid_per_session;
    both protect;
    both rotation;
    both saved_for_real;
    both saved_plan;
    both session_missing;
    both suspend;
    both tokens;
    both wrong_catalog;
}

#[test]
fn every_page_is_listed() {
    let files = std::fs::read_dir(file("").parent().unwrap()).into_iter().flatten();
    let mut found: Vec<String> = files.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut listed: Vec<String> = PAGES.iter().map(|page| format!("{page}.md")).collect();
    listed.sort();
    assert_eq!(found, listed, "the list of pages is in {}", file!());
}

fn file(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(format!("{page}.md"))
}

/// Whether the page is to be rewritten rather than compared.
fn updating() -> bool {
    std::env::var_os("UPDATE_SCENARIOS").is_some_and(|value| value == "1")
}

/// As [`follow`], of a page that another database's answers are written into: they must be the same, which the next run
/// without `UPDATE_SCENARIOS` shows.
fn compare(path: &Path, database: Database) {
    if updating() {
        eprintln!("updated on SQLite alone; run again without UPDATE_SCENARIOS to compare");
        return;
    }
    follow(path, database, false);
}

/// Does what the page says, and fails where something else is printed than it promises; when `update`, what is printed
/// is written into the page instead.
fn follow(path: &Path, database: Database, update: bool) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("read {}: {why}", path.display()));
    let page = Page::parse(&text).unwrap_or_else(|why| panic!("{}:{why}", path.display()));
    let mut world = World::on(database);
    world.git_init();
    let mut answers = Vec::new();
    for block in &page.blocks {
        match block {
            Block::File { path, content } => {
                world.write(path, content);
                world.commit(path);
            }
            Block::Console(steps) => {
                for step in steps {
                    answers.push(take(&mut world, step));
                }
            }
        }
    }
    let steps = page.blocks.iter().flat_map(Block::steps);
    let wrong: Vec<(&Step, &Vec<String>)> =
        steps.zip(&answers).filter(|(step, answer)| !matcher::matches(&step.expected, answer)).collect();
    if update {
        std::fs::write(path, page::rewritten(&text, &wrong, matcher::generalised)).expect("write the page");
        return;
    }
    let report = |(step, answer): &(&Step, &Vec<String>)| {
        let place = format!("{}:{} on {}", path.display(), step.line, database.name());
        format!("{place}: $ {}\n{}", step.command, matcher::difference(&step.expected, answer))
    };
    let reports: Vec<String> = wrong.iter().map(report).collect();
    assert!(reports.is_empty(), "not what the page promises (- expected, + printed):\n{}", reports.join("\n"));
}

/// Runs one command, and gives the lines that it prints.
fn take(world: &mut World, step: &Step) -> Vec<String> {
    let command = step.command.trim();
    let mut printed = if let Some((name, inner)) = captured(command) {
        let output = world.sh(inner);
        world.env(name, output.stdout.trim_end());
        with_code(output.stderr, output.code)
    } else if let Some((name, value)) = command.strip_prefix("export ").and_then(|rest| rest.split_once('=')) {
        world.env(name, unquoted(value));
        String::new()
    } else if let Some(statements) = command.strip_prefix("sql ") {
        world.try_sql(unquoted(statements)).unwrap_or_else(|why| format!("{why}\n[exit 1]"))
    } else if let Some(statements) = command.strip_prefix("seed ") {
        world.seed(unquoted(statements));
        String::new()
    } else {
        // As a person sees it. Colours are for the eye alone.
        let output = world.env("NO_COLOR", "1").sh_on_terminal(command, COLUMNS);
        with_code(output.text(), output.code)
    };
    printed = printed.replace(&world.path().display().to_string(), "[DIR]");
    if let Some(server) = world.server() {
        printed = printed.replace(&format!("127.0.0.1:{}", server.port), "[SERVER]");
    }
    // Whether a command tells that it is still at work depends on the machine.
    let lines = printed.lines().map(str::trim_end).filter(|line| !line.ends_with(" …"));
    page::without_blank_end(lines.map(str::to_owned).collect())
}

/// `NAME` and `command` of `NAME=$(command)`.
fn captured(command: &str) -> Option<(&str, &str)> {
    let (name, rest) = command.split_once("=$(")?;
    let named = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    named.then_some((name, rest.strip_suffix(')')?))
}

fn unquoted(text: &str) -> &str {
    let inside = |mark| text.strip_prefix(mark).and_then(|text| text.strip_suffix(mark));
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

fn with_code(mut printed: String, code: i32) -> String {
    if code != 0 {
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        printed.push_str(&format!("[exit {code}]"));
    }
    printed
}
