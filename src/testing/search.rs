//! The long form: libFuzzer, which is told of every branch and comparison that an input comes to, and goes on from those
//! that came to a new one.
//!
//! It is a program of its own, made of the same tests: `tests/harm` builds it, and `hostile.rs` says what it does. Here
//! it is given its seeds and its words, run, and asked what it found.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use fastrand::Rng;

use super::{HANGING, Hunt, kept, left, shown};

/// Inputs in one round.
const ROUND: u64 = 1_000;
/// So many spoilt inputs are among the seeds, beside all that a usual run begins with.
const SPOILT: usize = 500;
/// No input is longer, in bytes, and longer seeds are cut: each is read thousands of times.
const LONGEST: usize = 8 * 1024;
/// As much memory may the whole program have, in MiB. What one input may have is less, and held by [`Hunt::read`].
const MEMORY: usize = 2048;
/// What the program is told which hunt it is for by.
pub const HUNT: &str = "RECONCILE_TEST_HUNT";

/// What was asked for.
pub struct Long {
    /// The program.
    fuzzer: OsString,
    /// Where it ends, as arguments of its own.
    end: Vec<String>,
    /// Whether what it comes to is kept for usual runs.
    keeps: bool,
}

impl Long {
    /// `None`: a usual run.
    #[track_caller]
    pub fn asked() -> Option<Self> {
        let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        let rounds = number("RECONCILE_TEST_ROUNDS").map(|rounds| format!("-runs={}", rounds * ROUND));
        let minutes = number("RECONCILE_TEST_MINUTES").map(|minutes| format!("-max_total_time={}", minutes * 60));
        let end: Vec<String> = rounds.into_iter().chain(minutes).collect();
        if end.is_empty() {
            return None;
        }
        let fuzzer = env::var_os("RECONCILE_TEST_FUZZER").expect("tests/harm says where the fuzzer lies");
        Some(Self { fuzzer, end, keeps: env::var_os("RECONCILE_TEST_KEEP").is_some() })
    }

    /// The same for so many inputs, whatever was asked for.
    pub fn of(self, inputs: u64) -> Self {
        Self { end: vec![format!("-runs={inputs}")], ..self }
    }

    /// Has the program do what `arguments` say with `directories`, in `place`: whether all went well, and its log.
    fn start(&self, hunt: &Hunt, place: &Path, arguments: &[String], directories: &[&str]) -> (bool, String) {
        let log = place.join("log");
        let done = Command::new(&self.fuzzer)
            .args(arguments)
            .args([format!("-timeout={}", HANGING.as_secs()), format!("-rss_limit_mb={MEMORY}")])
            .args(directories)
            .env(HUNT, hunt.name)
            .env("RUST_BACKTRACE", "0")
            // It ends without a farewell, and leaves its temporary files.
            .env("TMPDIR", place)
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .status()
            .expect("the fuzzer can be run");
        (done.success(), String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned())
    }
}

/// Searches for so long, adds a row to the table, and fails where an input does what none may do.
#[track_caller]
pub fn run(hunt: &Hunt, long: &Long) {
    let begun = Instant::now();
    let found = search(hunt, long);
    let (inputs, findings) = (found.as_ref().map_or_else(|found| found.inputs, |inputs| *inputs), found.is_err());
    let seconds = begun.elapsed().as_secs();
    row(&format!("hostile: {}\t{}\t-\t-\t{}\t{seconds}\n", hunt.name, inputs / ROUND, u8::from(findings)));
    if let Err(Found { inputs: _, told }) = found {
        panic!("{told}");
    }
}

/// An input that does what none may do.
pub struct Found {
    /// As many were read before it.
    inputs: u64,
    /// What it is, where it lies, and what it did.
    pub told: String,
}

/// Searches, and keeps what there was to find where that is wanted: how many inputs were read. Errors: the first one that
/// does what none may do.
pub fn search(hunt: &Hunt, long: &Long) -> Result<u64, Found> {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let (corpus, kept) = (place.join("corpus"), place.join("kept"));
    fill(&corpus, hunt.corpus.iter());
    fill(&kept, kept::read(hunt.name).iter());
    let rng = &mut Rng::new();
    fill(&place.join("spoilt"), (0..SPOILT).map(|_| hunt.spoilt(rng)).collect::<BTreeSet<_>>().iter());
    fill(&place.join("grown"), [].iter());
    fs::write(place.join("words"), words(hunt.fragments)).unwrap();
    let prefix = left(hunt.name);
    fs::create_dir_all(prefix.parent().unwrap()).unwrap();
    let mut arguments = long.end.clone();
    arguments.extend([
        format!("-artifact_prefix={}", prefix.display()),
        format!("-max_len={LONGEST}"),
        "-dict=words".to_owned(),
        "-print_final_stats=1".to_owned(),
        "-reload=0".to_owned(),
    ]);
    let (is_well, log) = long.start(hunt, place, &arguments, &["grown", "corpus", "kept", "spoilt"]);
    let inputs = behind(&log, "stat::number_of_executed_units:").and_then(|text| text.parse().ok()).unwrap_or_default();
    if !is_well {
        return Err(Found { inputs, told: told(&log) });
    }
    println!("{}: {inputs} inputs; {}; {}", hunt.name, reached(&log, "INITED"), reached(&log, "DONE"));
    if long.keeps {
        keep(hunt, long, place);
    }
    Ok(inputs)
}

/// Keeps what comes to branches that nothing of the hunt's own corpus comes to, chosen from what was kept before and what
/// is new; how often a branch is taken does not count.
fn keep(hunt: &Hunt, long: &Long, place: &Path) {
    let own = names(&place.join("corpus"));
    let arguments = ["-merge=1".to_owned(), "-use_counters=0".to_owned()];
    let (is_well, log) = long.start(hunt, place, &arguments, &["corpus", "kept", "grown"]);
    assert!(is_well, "{log}");
    let new = names(&place.join("corpus")).into_iter().filter(|name| !own.contains(name));
    let inputs: Vec<Vec<u8>> = new.map(|name| fs::read(name).unwrap()).collect();
    let found = inputs.len();
    let kept = kept::write(hunt.name, inputs).unwrap();
    println!("{}: {kept} of {found} inputs kept", hunt.name);
}

fn fill<'i>(directory: &Path, inputs: impl Iterator<Item = &'i Vec<u8>>) {
    fs::create_dir(directory).unwrap();
    inputs.enumerate().for_each(|(number, input)| fs::write(directory.join(format!("{number:04}")), input).unwrap());
}

fn names(directory: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A dictionary as libFuzzer reads it.
fn words(fragments: &[&str]) -> String {
    let mut words = String::new();
    for fragment in fragments.iter().filter(|fragment| !fragment.is_empty()) {
        words.push('"');
        for byte in fragment.bytes() {
            match byte {
                b'"' | b'\\' => write!(words, "\\{}", char::from(byte)),
                b' '..=b'~' => write!(words, "{}", char::from(byte)),
                _ => write!(words, "\\x{byte:02x}"),
            }
            .unwrap();
        }
        words.push_str("\"\n");
    }
    words
}

/// The first word behind `name` in the log.
fn behind<'l>(log: &'l str, name: &str) -> Option<&'l str> {
    log.split_once(name)?.1.split_whitespace().next()
}

/// How many branches were reached by then, and how many in different numbers.
fn reached(log: &str, when: &str) -> String {
    let line = log.lines().rfind(|line| line.starts_with('#') && line.contains(when)).unwrap_or_default();
    let number = |name| behind(line, name).unwrap_or("no");
    format!("{when}: {} branches, {} features, {} inputs", number("cov: "), number("ft: "), number("corp: "))
}

/// What the log says after its last line of progress, and the input.
fn told(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let is_progress =
        |line: &&str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let from = lines.iter().rposition(is_progress).map_or(0, |last| last + 1);
    let said = lines[from..].iter().take(40).fold(String::new(), |said, line| format!("{said}{line}\n"));
    match behind(log, "Test unit written to ").map(|file| (file, fs::read(file).unwrap_or_default())) {
        Some((file, input)) => format!("{said}{file}:\n  {}", shown(&input)),
        None => said,
    }
}

/// Adds a row to the table of harms: name, rounds, lost, doubled, unexplained, seconds.
fn row(row: &str) {
    let Some(table) = env::var_os("RECONCILE_TEST_TABLE") else { return };
    let written = fs::OpenOptions::new().create(true).append(true).open(table);
    written.and_then(|mut file| file.write_all(row.as_bytes())).expect("the table of harms can be written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_as_libfuzzer_reads_them() {
        assert_eq!(words(&["a b", "", "\"\\", "é\n"]), "\"a b\"\n\"\\\"\\\\\"\n\"\\xc3\\xa9\\x0a\"\n");
    }

    #[test]
    fn a_log_tells_how_far_it_came_and_what_was_found() {
        let log =
            "#2\tINITED cov: 12 ft: 13 corp: 1/5b exec/s: 0\n#99\tDONE   cov: 14 ft: 21 corp: 7/1Kb lim: 4 exec/s: 9\n";
        assert_eq!(reached(log, "DONE"), "DONE: 14 branches, 21 features, 7/1Kb inputs");
        let log = format!("{log}it fell\n#! over this\nTest unit written to /nowhere/crash-1\n");
        let said = "it fell\n#! over this\nTest unit written to /nowhere/crash-1\n/nowhere/crash-1:\n  ";
        assert_eq!(told(&log), said);
    }
}
