//! How close the program comes to the limits of the machine, with a million sessions: `cargo bench --bench million`.
//!
//! It makes its data, starts its own PostgreSQL and Redis, runs the program and a yardstick in turns, and prints one
//! table: medians of both, their ratio, and the most that it may be. It fails where a bar is missed, or not measured.
//! The database commits durably; vacuum and checkpoints happen between the runs, never within.
//!
//! `-- --only WORD` measures the rows whose names contain `WORD`, in either case. `--sessions N` and `--runs N` change
//! the sizes. `--small` is for every change of the code: 20,000 sessions, a few runs, and a failure only where a figure
//! is worse than twice its bar; at that size starting a process costs as much as the work, so times may also be 50 ms
//! more than that.
#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that fails should stop at once")]

mod daemon;
mod data;
mod fixture;
mod lab;
mod load;
mod options;
mod program;
mod project;
mod report;
mod rows;
mod sql;

use std::process::ExitCode;

use lab::Lab;
use options::Options;
use report::{Row, Table};
use rows::GROUPS;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let Options { only, sessions, bulk, hosts, new, saves, idle, runs, strictness } = options.clone();
    let only = only.to_lowercase();
    let asked = |work: &str| work.to_lowercase().contains(&only);
    let lab = Lab::open(options);
    let mut rows: Vec<Row> = Vec::new();
    for group in GROUPS.iter().filter(|group| group.works.iter().any(|work| asked(work))) {
        eprintln!("measuring: {}", group.works.join("; "));
        let measured = (group.measure)(&lab);
        assert!(measured.iter().map(|row| row.work).eq(group.works.iter().copied()), "a group gives the rows it names");
        // Shown at once as well, so that a later failure takes no figure away.
        measured.iter().for_each(|row| eprintln!("  {row}"));
        rows.extend(measured.into_iter().filter(|row| asked(row.work)));
    }
    println!(
        "{sessions} sessions in sync; {bulk} created and updated; {new} all new; {hosts} hosts rotated; {saves} saves; \
         idle for {} s. Medians of {runs} interleaved runs.\n",
        idle.as_secs()
    );
    if strictness.factor > 1.0 {
        println!("Small form: held up to {} x the bar, and {} ms.\n", strictness.factor, strictness.floor);
    }
    print!("{}", Table { rows: &rows, strictness });
    if !rows.is_empty() && rows.iter().all(|row| row.holds(strictness)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
