//! Input that means harm: drawn, spoilt, and handed to what reads it, under limits.
//!
//! A usual run reads so many inputs of a kept corpus, always the same ones, and takes seconds. `tests/harm` has others
//! read, for so many rounds or minutes, and prints a row per target. An input that makes the reader say what none
//! before it did is kept for the rest of the run and spoilt further: so it comes to what lies behind the first check,
//! without a compiler that counts branches.

pub mod spoil;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// The longest that one input may take, in the better of three attempts: others use this machine too.
const SLOW: Duration = Duration::from_millis(500);
/// An input that takes as long as this ends the run, and is left in a file.
const HANGING: Duration = Duration::from_secs(20);
/// So many inputs are read between two looks at memory, and by so many bytes may they let it grow at its highest.
const BATCH: usize = 64;
/// Inputs in one round of the long form.
const ROUND: u64 = 1_000;
const GROWTH: u64 = 64 * 1024 * 1024;
/// No input that is spoilt is longer, in bytes.
const LONGEST: usize = 16 * 1024;
/// So many inputs are kept beside the corpus.
const KEPT: usize = 4_000;
/// So many findings are shown.
const SHOWN: usize = 5;

/// What became of an input that was read as it should be.
pub struct Answer {
    pub taken: bool,
    /// All that was said about it.
    pub said: String,
}

impl Answer {
    pub fn taken() -> Self {
        Self { taken: true, said: String::new() }
    }

    pub fn refused(said: impl Into<String>) -> Self {
        Self { taken: false, said: said.into() }
    }
}

/// One reader to be tried.
pub struct Hunt<'h> {
    pub name: &'static str,
    /// Read as they are, and then spoilt.
    pub corpus: Vec<Vec<u8>>,
    /// What is put in where something is spoilt.
    pub fragments: &'h [&'static str],
    /// Draws a new input where it can; `None` for another of the corpus.
    pub draw: &'h dyn Fn(&mut Rng) -> Option<String>,
    /// How many inputs a usual run reads.
    pub usual: usize,
}

/// What an input did that none may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    Crash,
    Hang,
    Memory,
    /// A property does not hold: what was said does not explain it, or what was taken means something else.
    Unexplained,
}

#[derive(Default)]
struct Findings {
    found: Vec<(Harm, Vec<u8>, String)>,
}

/// A whole number that the long form asks for.
#[track_caller]
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no whole number: {text}")))
}

/// Adds a row to the table of harms, where one is wanted: name, rounds, lost, doubled, unexplained, seconds.
fn row(row: &str) {
    let Some(table) = std::env::var_os("RECONCILE_TEST_TABLE") else { return };
    let written = fs::OpenOptions::new().create(true).append(true).open(table);
    written.and_then(|mut file| file.write_all(row.as_bytes())).expect("the table of harms can be written");
}

impl Hunt<'_> {
    /// Hands one input after the other to `judge`, whose error is a property that does not hold. Fails on the first
    /// finding of each sort, once all inputs are read, and leaves them in files.
    #[track_caller]
    pub fn run(self, judge: &dyn Fn(&[u8]) -> Result<Answer, String>) {
        let (rounds, minutes) = (asked("RECONCILE_TEST_ROUNDS"), asked("RECONCILE_TEST_MINUTES"));
        let begun = Instant::now();
        let is_long = rounds.is_some() || minutes.is_some();
        let seed = asked("RECONCILE_TEST_SEED").unwrap_or_else(|| if is_long { fastrand::u64(..) } else { 215 });
        let rng = &mut Rng::with_seed(seed);
        let most = match (rounds, minutes) {
            (Some(rounds), _) => rounds.saturating_mul(ROUND),
            (None, Some(_)) => u64::MAX,
            (None, None) => self.usual as u64,
        };
        let limit = minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
        let over = |inputs: usize| inputs as u64 >= most || limit.is_some_and(|limit| begun.elapsed() >= limit);
        let watch = Watch::start(self.name);
        let (mut findings, mut heard, mut pool) = (Findings::default(), HashSet::new(), self.corpus.clone());
        let (mut inputs, mut taken) = (0, 0);
        while !over(inputs) {
            let batch: Vec<Vec<u8>> = (inputs..inputs + BATCH).map(|number| self.input(rng, number, &pool)).collect();
            inputs += batch.len();
            let before = Memory::highest_from_now();
            for input in &batch {
                match watch.over(input, || try_once(judge, input)) {
                    Ok(answer) => {
                        taken += usize::from(answer.taken);
                        if heard.insert(gist(&answer.said)) && pool.len() < self.corpus.len() + KEPT {
                            pool.push(input.clone());
                        }
                    }
                    Err((harm, why)) => findings.found.push((harm, input.clone(), why)),
                }
            }
            if before.growth() > GROWTH {
                findings.found.extend(batch.iter().filter_map(|input| heavy(judge, input)));
            }
        }
        let (name, found, share) = (self.name, findings.found.len(), taken as f64 * 100.0 / inputs as f64);
        println!("{name}: {inputs} inputs, {share:.1} % taken, {} messages, {found} findings", heard.len());
        row(&format!("hostile: {name}\t{}\t-\t-\t{found}\t{}\n", inputs as u64 / ROUND, begun.elapsed().as_secs()));
        assert!(findings.found.is_empty(), "seed {seed}\n{}", told(self.name, findings));
    }

    fn input(&self, rng: &mut Rng, number: usize, pool: &[Vec<u8>]) -> Vec<u8> {
        if let Some(kept) = self.corpus.get(number) {
            return kept.clone();
        }
        let drawn = if rng.bool() { (self.draw)(rng).map(String::into_bytes) } else { None };
        let mut input = drawn.unwrap_or_else(|| pool[rng.usize(..pool.len())].clone());
        for _ in 0..1 + rng.usize(..4) / 3 + rng.usize(..8) / 7 * 4 {
            input.truncate(LONGEST);
            input = match String::from_utf8(input) {
                Ok(mut text) if rng.u8(0..8) > 0 => {
                    spoil::text(rng, &mut text, self.fragments);
                    text.into_bytes()
                }
                Ok(text) => spoil::bytes(rng, text.into_bytes(), pool),
                Err(error) => spoil::bytes(rng, error.into_bytes(), pool),
            };
        }
        input
    }
}

/// One attempt, or three where the first is slow.
fn try_once(judge: &dyn Fn(&[u8]) -> Result<Answer, String>, input: &[u8]) -> Result<Answer, (Harm, String)> {
    let mut fastest = Duration::MAX;
    loop {
        let begun = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| judge(input)));
        let took = begun.elapsed();
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

/// Whether this input alone lets memory grow too far.
fn heavy(judge: &dyn Fn(&[u8]) -> Result<Answer, String>, input: &[u8]) -> Option<(Harm, Vec<u8>, String)> {
    let before = Memory::highest_from_now();
    // What else is wrong with it was found before.
    let _ = try_once(judge, input);
    let growth = before.growth();
    (growth > GROWTH).then(|| (Harm::Memory, input.to_vec(), format!("memory grew by {growth} bytes")))
}

/// What was said without what differs from input to input: numbers, and what is quoted.
fn gist(said: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in said.split('`').step_by(2) {
        let letters = part.chars().filter(|letter| !letter.is_ascii_digit());
        letters.for_each(|letter| letter.hash(&mut hasher));
    }
    hasher.finish()
}

/// Leaves the inputs in files, and says where, and what they did.
fn told(name: &str, mut findings: Findings) -> String {
    findings.found.sort_by_key(|(harm, input, _)| (*harm, input.len()));
    let mut text = format!("{} findings\n", findings.found.len());
    for (number, (harm, input, why)) in findings.found.iter().take(SHOWN).enumerate() {
        let file = leave(name, &number.to_string(), input);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{harm:?} in {}: {why}\n  {}", file.display(), shown(input));
    }
    text
}

fn shown(input: &[u8]) -> String {
    input.escape_ascii().to_string().chars().take(600).collect()
}

/// Where an input lies that is to be looked at.
fn leave(name: &str, number: &str, input: &[u8]) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hostile");
    let file = directory.join(format!("{}-{number}", name.replace(' ', "-")));
    // Best effort: what matters is printed too.
    let _ = fs::create_dir_all(directory).and_then(|()| fs::write(&file, input));
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
/// parameter of that name. One that stands elsewhere too may well be shown.
pub fn holds_a_password(text: &str) -> bool {
    let mut all = text.match_indices(PASSWORD).map(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + PASSWORD.len()..]);
        let behind_scheme = before.split_once("//").map_or(before, |(_, behind)| behind);
        before.to_ascii_lowercase().ends_with("password=") || (behind_scheme.contains(':') && after.contains('@'))
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

/// Every file below `tests/data` in that directory.
pub fn kept(directory: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(directory);
    let mut files: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

mod tests;
