//! Printing: data to stdout, the rest to stderr; a closed pipe is no error of ours.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios::tcgetwinsize;
use zeroize::Zeroizing;

use super::args::{Color, Global};
use crate::change::{Width, is_unseen, printable};
use crate::config::LogFormat;
use crate::failure::{Class, Failure, Result};
use crate::log;
use crate::progress::Progress;
use crate::yaml::{Problems, WIDEST};

/// How this terminal wants it.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Colour on stdout.
    pub color: bool,
    /// Colour on stderr.
    pub color_err: bool,
    /// How wide lines on stdout may be.
    pub width: Width,
    /// How wide lines on stderr may be.
    pub width_err: Width,
    /// How stderr is written: where machines read it, all of it is log lines.
    pub log: LogFormat,
}

impl Terminal {
    /// Before the configuration is known, people are taken to read.
    pub fn of(global: &Global) -> Self {
        let wanted = |is_terminal: bool| match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self {
            color: wanted(std::io::stdout().is_terminal()),
            color_err: wanted(std::io::stderr().is_terminal()),
            width: width(std::io::stdout()),
            width_err: width(std::io::stderr()),
            log: LogFormat::Text,
        }
    }

    /// Says why the command failed; nothing where that is not to be told.
    pub fn failed(self, failure: &Failure) {
        match self.log {
            LogFormat::Text => err(&failure.report(self.color_err, self.width_err)),
            LogFormat::Json if failure.class == Class::Silent => {}
            LogFormat::Json => tracing::error!(
                because = failure.causes.join(": "),
                hint = failure.hints.join("; "),
                problems = failure.problems().and_then(|problems| serde_json::to_string(problems).ok()),
                "{}",
                failure.message
            ),
        }
    }

    /// Shows what the files warn of, if anything.
    pub fn warned(self, warnings: &Problems) {
        match self.log {
            _ if warnings.is_empty() => {}
            LogFormat::Text => err(&warnings.render(self.color_err, self.width_err.columns_or(WIDEST))),
            LogFormat::Json => warnings.iter().for_each(|warning| {
                tracing::warn!(place = warning.place.to_string(), hint = warning.hint, "{}", warning.message);
            }),
        }
    }

    /// Tells people something on stderr, beside the data on stdout.
    pub fn note(self, text: &str) {
        match self.log {
            LogFormat::Text => err(text),
            LogFormat::Json => text.lines().for_each(|line| tracing::info!("{}", line.trim())),
        }
    }
}

/// As wide as the terminal: what `COLUMNS` says of it, or else what it says itself.
fn width(stream: impl IsTerminal + AsFd) -> Width {
    /// Of a terminal that does not know.
    const USUAL: usize = 80;
    if !stream.is_terminal() {
        return Width::UNLIMITED;
    }
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let told = || tcgetwinsize(&stream).ok().map(|size| usize::from(size.ws_col));
    Width::of_terminal(set.or_else(told).filter(|columns| *columns > 0).unwrap_or(USUAL))
}

/// Writes to stdout, all of it at once.
pub fn out(text: &str) -> Result<()> {
    match print(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::error(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes JSON to stdout. What could move a terminal's cursor is escaped in it, as JSON does with some of that anyway.
pub fn out_json(value: &serde_json::Value) -> Result<()> {
    out(&harmless_json(format!("{value:#}\n")))
}

/// JSON, with what could move a terminal's cursor escaped.
pub fn harmless_json(text: String) -> String {
    let moves = |letter: char| letter != '\n' && is_unseen(letter);
    if !text.contains(moves) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match moves(letter) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => shown.push(letter),
        }
    }
    shown
}

/// A field as a spreadsheet shows it, never as one that it computes: a leading `=`, `+`, `-`, `@`, tab or return would
/// make it a formula (OWASP, CSV injection). Nor does it do anything to a terminal.
pub fn inert(field: &str) -> String {
    let shown = printable(field);
    match field.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{shown}"),
        _ => shown,
    }
}

/// Writes one part of much to stdout, from where nothing else waits for its reader. Gives whether there is one still.
pub async fn stream(part: String) -> Result<bool> {
    let printed = tokio::task::spawn_blocking(move || print(&part)).await;
    match printed.unwrap_or_else(|ended| Err(std::io::Error::other(ended))) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::error(format!("stdout cannot be written: {error}"))),
    }
}

/// Writes to stdout what is printed once and never again: a closed pipe is an error too, because it is lost. `another`
/// says how to make another, such as `reconcile host rotate`.
pub fn out_once(secret: &str, another: &str) -> Result<()> {
    print(&Zeroizing::new(format!("{secret}\n"))).map_err(|error| {
        Failure::error(format!("stdout cannot be written, so the secret is lost: {error}"))
            .hint(format!("nobody has it: make another, with {another}, and read it from the output"))
    })
}

fn print(text: &str) -> std::io::Result<()> {
    log::flush(FLUSH);
    log::write(std::io::stdout().lock(), text.as_bytes(), None)
}

/// How long stdout waits for stderr, so that a terminal shows in order what came in order.
const FLUSH: Duration = Duration::from_millis(100);

/// Writes to stderr, after what was logged before. If that fails, there is nobody left to tell.
pub fn err(text: &str) {
    log::to_stderr(text.as_bytes());
}

/// Shows that we work, when it takes longer than a moment: on a terminal, with how far it has come and how long it will
/// take; one line elsewhere, and nothing where only warnings are wanted.
pub async fn working<T>(what: &str, progress: &Progress, work: impl Future<Output = T>) -> T {
    const MOMENT: Duration = Duration::from_millis(150);
    const TICK: Duration = Duration::from_millis(100);
    tokio::pin!(work);
    if let Ok(done) = tokio::time::timeout(MOMENT, &mut work).await {
        return done;
    }
    if !tracing::enabled!(tracing::Level::INFO) {
        return work.await;
    }
    if !std::io::stderr().is_terminal() {
        tracing::info!("{what} …");
        return work.await;
    }
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.tick();
    let mut pace = Pace::default();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            done = &mut work => {
                bar.finish_and_clear();
                return done;
            }
            _ = tick.tick() => {
                bar.set_message(pace.told(what, progress.stage()));
                bar.tick();
            }
        }
    }
}

/// How fast the present stage goes.
#[derive(Default)]
struct Pace {
    stage: Option<(&'static str, Instant, u64)>,
}

impl Pace {
    /// `planning: 412000 of 1000000 rows compared, 3s left`.
    fn told(&mut self, what: &str, stage: Option<(&'static str, u64, u64)>) -> String {
        let Some((name, done, whole)) = stage else { return what.to_owned() };
        let (since, from) = match self.stage {
            Some((known, since, from)) if known == name => (since, from),
            _ => {
                self.stage = Some((name, Instant::now(), done));
                (Instant::now(), done)
            }
        };
        let left = match done.saturating_sub(from) {
            moved @ 1.. if whole > done => since.elapsed().mul_f64((whole - done) as f64 / moved as f64).as_secs(),
            _ => 0,
        };
        let of = if whole > 0 { format!(" of {whole}") } else { String::new() };
        let left = if left > 0 { format!(", {left}s left") } else { String::new() };
        format!("{what}: {done}{of} {name}{left}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_tells_what_is_done_and_what_is_left() {
        let mut pace = Pace::default();
        assert_eq!(pace.told("planning", None), "planning");
        assert_eq!(pace.told("planning", Some(("files read", 3, 0))), "planning: 3 files read");
        assert_eq!(pace.told("planning", Some(("rows compared", 10, 100))), "planning: 10 of 100 rows compared");
        std::thread::sleep(Duration::from_millis(300));
        let told = pace.told("planning", Some(("rows compared", 11, 100)));
        assert!(told.starts_with("planning: 11 of 100 rows compared, ") && told.ends_with("s left"), "{told}");
        assert_eq!(pace.told("planning", Some(("rows compared", 100, 100))), "planning: 100 of 100 rows compared");
    }
}
