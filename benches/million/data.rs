//! What the benchmark works on: the same sessions as state files, in several styles, and as rows for `COPY`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Days, TimeDelta, Utc};

/// Sessions in one state file.
pub const PER_FILE: usize = 1_000;

/// The columns of `sessions` that a state file speaks of.
pub const COLUMNS: &str = "session_id, title, status, created_by, starts_at, expires_at";

/// How a state file is written.
#[derive(Clone, Copy)]
pub enum Style {
    /// A line for each field, as most people write it, with comments and blank lines between sessions.
    Plain,
    /// What YAML allows besides: half of the sessions in flow style, the others in block style; all texts quoted.
    Other,
}

/// The title of a session in an edition of the files: another edition has another title everywhere.
pub fn title(id: usize, edition: usize) -> String {
    match edition {
        0 => format!("Session number {id}"),
        _ => format!("Session number {id} in edition {edition}"),
    }
}

fn starts_at(id: usize) -> DateTime<Utc> {
    let minutes = i64::try_from(id % 500_000).expect("a small number");
    DateTime::UNIX_EPOCH + Days::new(20_790) + TimeDelta::minutes(minutes)
}

/// A third of the sessions come to an end.
fn expires_at(id: usize) -> Option<DateTime<Utc>> {
    id.is_multiple_of(3).then(|| starts_at(id) + Days::new(90))
}

fn time(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The state file of this number, counted from 0, where there are `count` sessions in all.
pub fn file(number: usize, count: usize, style: Style, edition: usize) -> String {
    let mut text = "# Sessions of the course, in the order of their numbers.\nsessions:\n".to_owned();
    for id in number * PER_FILE + 1..=count.min((number + 1) * PER_FILE) {
        // Writing to a string cannot fail.
        let _ = match style {
            Style::Plain => plain(&mut text, id, edition),
            Style::Other => other(&mut text, id, edition),
        };
    }
    text
}

fn plain(out: &mut String, id: usize, edition: usize) -> std::fmt::Result {
    writeln!(out, "\n  # The teacher of group {} asked for it.", id % 97)?;
    writeln!(out, "  - id: {id}\n    title: {}\n    status: active", title(id, edition))?;
    writeln!(out, "    created_by: Noor Team\n    starts_at: {}", time(starts_at(id)))?;
    expires_at(id).map_or(Ok(()), |moment| writeln!(out, "    expires_at: {}", time(moment)))
}

fn other(out: &mut String, id: usize, edition: usize) -> std::fmt::Result {
    let (title, starts_at) = (title(id, edition), time(starts_at(id)));
    if id.is_multiple_of(2) {
        write!(out, "  - {{id: {id}, title: \"{title}\", status: active, created_by: 'Noor Team', ")?;
        write!(out, "starts_at: \"{starts_at}\"")?;
        expires_at(id).map_or(Ok(()), |moment| write!(out, ", expires_at: \"{}\"", time(moment)))?;
        writeln!(out, "}}")
    } else {
        writeln!(out, "  - \"id\": {id}\n    \"title\": '{title}'\n    \"status\": \"active\"")?;
        writeln!(out, "    \"created_by\": \"Noor Team\"\n    \"starts_at\": '{starts_at}'")?;
        expires_at(id).map_or(Ok(()), |moment| writeln!(out, "    \"expires_at\": '{}'", time(moment)))
    }
}

/// The name of the state file of this number.
pub fn file_name(number: usize) -> String {
    format!("{number:04}.yaml")
}

/// Writes `count` sessions into `directory`, [`PER_FILE`] to a file.
pub fn write_sessions(directory: &Path, count: usize, style: Style, edition: usize) {
    for number in 0..count.div_ceil(PER_FILE) {
        fs::write(directory.join(file_name(number)), file(number, count, style, edition)).expect("write a state file");
    }
}

/// Writes `count` hosts at this rotation into `directory`; their sessions are made along with them.
pub fn write_hosts(directory: &Path, count: usize, rotation: usize) {
    for number in 0..count.div_ceil(PER_FILE) {
        let mut text = "hosts:\n".to_owned();
        for session in number * PER_FILE + 1..=count.min((number + 1) * PER_FILE) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  - session: {session}\n    rotation: {rotation}\n    missing_session: create\n");
        }
        fs::write(directory.join(file_name(number)), text).expect("write a state file");
    }
}

/// Writes the rows of `count` sessions below `directory` as `COPY` reads them: all columns of the table, in its order.
pub fn write_rows(directory: &Path, count: usize, edition: usize) -> PathBuf {
    let path = directory.join(format!("rows-{edition}.tsv"));
    let mut out = BufWriter::new(File::create(&path).expect("make the file of rows"));
    for id in 1..=count {
        let (title, starts_at) = (title(id, edition), time(starts_at(id)));
        let expires_at = expires_at(id).map_or("\\N".to_owned(), time);
        writeln!(out, "{id}\t{title}\tactive\tNoor Team\t{starts_at}\t{expires_at}\t{starts_at}\t{starts_at}")
            .expect("write the rows");
    }
    out.flush().expect("write the rows");
    path
}
