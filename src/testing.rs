//! Input that means harm: drawn, spoilt, and handed to what reads it, under limits.
//!
//! A usual run reads so many inputs, always the same ones, and takes seconds: what stands in the source, what was kept
//! in `tests/data/hostile`, and the first of them spoilt. `tests/harm` has libFuzzer look for others instead, for so many
//! rounds or minutes, guided by the branches that each input takes: see [`search`].

mod hostile;
pub mod kept;
pub mod search;
pub mod spoil;

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

/// The longest that one input may take of a processor, in the better of three attempts: others use this machine too.
const SLOW: Duration = Duration::from_millis(500);
/// An input that takes as long as this ends the run, and is left in a file.
const HANGING: Duration = Duration::from_secs(20);
/// By so many bytes may an input let memory grow at its highest, in the better of two attempts.
const GROWTH: u64 = 64 * 1024 * 1024;
/// No input that is spoilt is longer, in bytes.
const LONGEST: usize = 16 * 1024;
/// So many findings are shown.
const SHOWN: usize = 5;

/// How long this thread has had a processor so far.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// What became of an input that was read as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Taken,
    Refused,
}

/// Reads one input. Errors: a property that does not hold.
pub type Judge = Box<dyn Fn(&[u8]) -> Result<Answer, String>>;

/// One reader to be tried.
pub struct Hunt {
    pub name: &'static str,
    /// Read as they are, and then spoilt; a usual run reads what was kept between the two. What did harm once has its
    /// place here.
    pub corpus: Vec<Vec<u8>>,
    /// What is put in where something is spoilt.
    pub fragments: &'static [&'static str],
    /// Draws a new input where it can; `None` for another of the corpus.
    pub draw: fn(&mut Rng) -> Option<String>,
    /// How many inputs a usual run reads.
    pub usual: usize,
    pub judge: Judge,
}

/// What an input did that none may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    Crash,
    Hang,
    Memory,
    /// A property does not hold: what was said does not explain it, or what was taken means something else.
    Unexplained,
}

impl Hunt {
    /// Hands one input after the other to the judge. Fails when one does what none may do.
    #[track_caller]
    pub fn run(self) {
        if let Some(long) = search::Long::asked() {
            return search::run(&self, &long);
        }
        let found = self.usual(&kept::read(self.name));
        assert!(found.is_empty(), "{}", told(self.name, found));
    }

    /// What a usual run finds, always the same.
    fn usual(&self, kept: &[Vec<u8>]) -> Vec<(Harm, Vec<u8>, String)> {
        let rng = &mut Rng::with_seed(215);
        let watch = Watch::start(self.name);
        let (mut found, mut taken) = (Vec::new(), 0);
        let whole: Vec<&Vec<u8>> = self.corpus.iter().chain(kept).collect();
        let inputs = self.usual.max(whole.len());
        for number in 0..inputs {
            // What was kept is strange enough; what is nearly right gets further.
            let input = whole.get(number).map_or_else(|| self.spoilt(rng), |input| input.to_vec());
            match watch.over(&input, || self.read(&input)) {
                Ok(Answer::Taken) => taken += 1,
                Ok(Answer::Refused) => {}
                Err((harm, why)) => found.push((harm, input, why)),
            }
        }
        let (name, findings) = (self.name, found.len());
        println!("{name}: {inputs} inputs, {taken} taken, {findings} findings");
        found
    }

    fn spoilt(&self, rng: &mut Rng) -> Vec<u8> {
        let drawn = if rng.bool() { (self.draw)(rng).map(String::into_bytes) } else { None };
        let mut input = drawn.unwrap_or_else(|| self.corpus[rng.usize(..self.corpus.len())].clone());
        for _ in 0..1 + rng.usize(..4) / 3 + rng.usize(..8) / 7 * 4 {
            input.truncate(LONGEST);
            input = match String::from_utf8(input) {
                Ok(mut text) if rng.u8(0..8) > 0 => {
                    spoil::text(rng, &mut text, self.fragments);
                    text.into_bytes()
                }
                Ok(text) => spoil::bytes(rng, text.into_bytes(), &self.corpus),
                Err(error) => spoil::bytes(rng, error.into_bytes(), &self.corpus),
            };
        }
        input
    }

    /// Reads one input under all limits but that of an input without an end. Errors: what it did that none may do.
    pub fn read(&self, input: &[u8]) -> Result<Answer, (Harm, String)> {
        let attempt = || {
            let before = Memory::highest_from_now();
            self.timed(input).map(|answer| (answer, before.growth()))
        };
        let (answer, first) = attempt()?;
        let growth = if first > GROWTH { first.min(attempt()?.1) } else { first };
        match growth > GROWTH {
            true => Err((Harm::Memory, format!("memory grew by {growth} bytes"))),
            false => Ok(answer),
        }
    }

    /// One attempt, or three where the first is slow.
    fn timed(&self, input: &[u8]) -> Result<Answer, (Harm, String)> {
        let mut fastest = Duration::MAX;
        loop {
            let begun = worked();
            let judged = catch_unwind(AssertUnwindSafe(|| (self.judge)(input)));
            let took = worked().saturating_sub(begun);
            let answer = match judged {
                Err(panic) => {
                    let said = panic.downcast_ref::<String>().cloned();
                    let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                    return Err((Harm::Crash, said.unwrap_or_default()));
                }
                Ok(Err(why)) => return Err((Harm::Unexplained, why)),
                Ok(Ok(answer)) => answer,
            };
            if took <= SLOW {
                return Ok(answer);
            }
            // Twice slower, or no faster than before: it is the input.
            if fastest != Duration::MAX && took > fastest / 2 {
                return Err((Harm::Hang, format!("it took {:?}", took.min(fastest))));
            }
            fastest = fastest.min(took);
        }
    }
}

/// Leaves the inputs in files, and says where, and what they did.
fn told(name: &str, mut found: Vec<(Harm, Vec<u8>, String)>) -> String {
    found.sort_by_key(|(harm, input, _)| (*harm, input.len()));
    let mut text = format!("{} findings\n", found.len());
    for (number, (harm, input, why)) in found.iter().take(SHOWN).enumerate() {
        let file = leave(name, &number.to_string(), input);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{harm:?} in {}: {why}\n  {}", file.display(), shown(input));
    }
    text
}

fn shown(input: &[u8]) -> String {
    input.escape_ascii().to_string().chars().take(600).collect()
}

/// What begins the name of every file that is left of the hunt `name`.
fn left(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hostile").join(format!("{}-", name.replace(' ', "-")))
}

/// Where an input lies that is to be looked at.
fn leave(name: &str, number: &str, input: &[u8]) -> PathBuf {
    let file = PathBuf::from(format!("{}{number}", left(name).display()));
    // Best effort: what matters is printed too.
    let _ = file.parent().map(fs::create_dir_all);
    let _ = fs::write(&file, input);
    file
}

/// Ends the process over an input that does not end.
struct Watch {
    next: mpsc::Sender<Option<Vec<u8>>>,
}

impl Watch {
    fn start(name: &'static str) -> Self {
        let (next, events) = mpsc::channel::<Option<Vec<u8>>>();
        thread::spawn(move || {
            while let Ok(event) = events.recv() {
                let Some(input) = event else { continue };
                if events.recv_timeout(HANGING) == Err(RecvTimeoutError::Timeout) {
                    println!("{name} hangs over {}: {}", leave(name, "hangs", &input).display(), shown(&input));
                    std::process::exit(1);
                }
            }
        });
        Self { next }
    }

    fn over<T>(&self, input: &[u8], act: impl FnOnce() -> T) -> T {
        // It ends with the run, and not before.
        let _ = self.next.send(Some(input.to_vec()));
        let done = act();
        let _ = self.next.send(None);
        done
    }
}

/// The process' memory: how much there was, and how much there was at most since then. In bytes.
struct Memory {
    before: u64,
}

impl Memory {
    /// Forgets the highest mark so far.
    fn highest_from_now() -> Self {
        // Where the kernel does not let us, the mark is that of the whole run, which is stricter.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { before: field("VmRSS:") }
    }

    fn growth(&self) -> u64 {
        field("VmHWM:").saturating_sub(self.before)
    }
}

/// A line of this process' status, in bytes; zero where it is not told.
fn field(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// What `text` may not hold wherever a terminal shows it. Errors: that it does.
pub fn is_printable(text: &str) -> Result<(), String> {
    match text.chars().find(|letter| letter.is_control() && *letter != '\n') {
        Some(control) => Err(format!("a message holds {}: {text:?}", control.escape_unicode())),
        None => Ok(()),
    }
}

/// The password of every URL in a corpus.
pub const PASSWORD: &str = "hunter2canary";

/// Whether `text` holds [`PASSWORD`], and only as one: behind the colon after a user's name and before an `@`, or as a
/// parameter of that name. One that stands elsewhere too, such as in a host's name, may well be shown.
pub fn holds_a_password(text: &str) -> bool {
    let mut all = text.match_indices(PASSWORD).map(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + PASSWORD.len()..]);
        let behind_scheme = before.split_once("//").map_or(before, |(_, behind)| behind);
        // Behind an `@` the host begins, unless another comes before it ends.
        let end = if behind_scheme.contains('@') { after.find(['/', '?', '#']) } else { None };
        let is_login = behind_scheme.contains(':') && after[..end.unwrap_or(after.len())].contains('@');
        before.to_ascii_lowercase().ends_with("password=") || is_login
    });
    text.contains(PASSWORD) && all.all(|is_password| is_password)
}

/// What `said` of an input may not hold: its password, also where the input has it behind percent-encoding. Errors:
/// that it does.
pub fn keeps_the_password(input: &str, said: &str) -> Result<(), String> {
    let decoded = percent_encoding::percent_decode_str(input).decode_utf8_lossy();
    let is_password = holds_a_password(if input.contains(PASSWORD) { input } else { &decoded });
    match is_password && said.contains(PASSWORD) {
        true => Err(format!("the password is shown: {said}")),
        false => Ok(()),
    }
}

/// Every file of `tests/data/awkward`.
pub fn awkward() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/awkward");
    let mut files: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

mod tests;
