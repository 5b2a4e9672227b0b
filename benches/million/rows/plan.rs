//! Previews: of very many sessions that are in sync, and of fewer that are all new.

use std::process::Command;

use super::Group;
use crate::data::{self, COLUMNS, Style};
use crate::lab::{self, Lab};
use crate::program::{self, Run};
use crate::project::{Database, Project};
use crate::report::{Bar, Row, Unit, median, milliseconds};

/// The most memory that a plan of a million sessions may take.
pub const PEAK: f64 = 150.0;

const COPY: &str = "`psql`: binary `COPY` of the managed columns";

pub const PLAIN: Group = Group { works: &[IN_SYNC, IN_SYNC_PEAK, FIRST_BYTE, GROWTH], measure: plain };
const IN_SYNC: &str = "`--plan` in sync";
const IN_SYNC_PEAK: &str = "`--plan` in sync: peak memory";
const FIRST_BYTE: &str = "`--plan` in sync: first byte of output";
const GROWTH: &str = "`--plan` in sync: growth from a hundredth";

fn plain(lab: &Lab) -> Vec<Row> {
    let (count, project) = (lab.options.sessions, lab.million());
    let few = count.div_ceil(100);
    let small = lab.in_sync("hundredth", few);
    let mut took_few = Vec::new();
    let pairs = lab.in_turns(
        || lab.copy_out(),
        || {
            took_few.push(small.plan(&lab::unchanged(few)).took);
            project.plan(&lab::unchanged(count))
        },
    );
    let (took, yardstick) = pairs.medians();
    let first_bytes: Option<Vec<_>> = pairs.runs.iter().map(|run| run.first_byte).collect();
    let first_byte = first_bytes.map(|times| milliseconds(median(times)));
    let exponent = (took.as_secs_f64() / median(took_few).as_secs_f64()).ln() / 100_f64.ln();
    vec![
        Row::time(IN_SYNC, took, COPY, yardstick, Bar::times(1.2)),
        Row::memory(IN_SYNC_PEAK, pairs.peak(), PEAK),
        Row::limited(FIRST_BYTE, Unit::Milliseconds, first_byte, 200.0),
        Row::limited(GROWTH, Unit::Exponent, Some(exponent), 1.05),
    ]
}

pub const OTHER_STYLES: Group = Group { works: &[STYLES, STYLES_PEAK], measure: other_styles };
const STYLES: &str = "`--plan` in sync, flow style and quotes";
const STYLES_PEAK: &str = "`--plan` in sync, flow style and quotes: peak memory";

fn other_styles(lab: &Lab) -> Vec<Row> {
    let count = lab.options.sessions;
    let project = lab.million().beside("styles");
    data::write_sessions(&project.state(), count, Style::Other, 0);
    project.commit();
    let pairs = lab.in_turns(|| lab.copy_out(), || project.plan(&lab::unchanged(count)));
    let (took, yardstick) = pairs.medians();
    vec![Row::time(STYLES, took, COPY, yardstick, Bar::times(6.0)), Row::memory(STYLES_PEAK, pairs.peak(), PEAK)]
}

pub const SQLITE: Group = Group { works: &[ON_SQLITE, ON_SQLITE_PEAK], measure: sqlite };
const ON_SQLITE: &str = "`--plan` in sync, SQLite";
const ON_SQLITE_PEAK: &str = "`--plan` in sync, SQLite: peak memory";

fn sqlite(lab: &Lab) -> Vec<Row> {
    let count = lab.options.sessions;
    let project = Project::new(&lab.home(), "sqlite", &Database::Sqlite);
    data::write_sessions(&project.state(), count, Style::Plain, 0);
    project.commit();
    project.once(&lab::applied(count));
    let (against, read_all) = reader(&project);
    let pairs = lab.in_turns(|| program::time(read_all()), || project.plan(&lab::unchanged(count)));
    let (took, yardstick) = pairs.medians();
    vec![
        Row::time(ON_SQLITE, took, against, yardstick, Bar::times(3.0)),
        Row::memory(ON_SQLITE_PEAK, pairs.peak(), PEAK),
    ]
}

/// What reads the managed columns of a project's SQLite file: the shell `sqlite3`, or Python where there is none.
fn reader(project: &Project) -> (&'static str, impl Fn() -> Command) {
    let shell = Command::new("sqlite3").arg("--version").output().is_ok_and(|shown| shown.status.success());
    let path = project.home().join("KSESSIONS_DEV.db");
    let query = format!("SELECT {COLUMNS} FROM sessions");
    let read_all = move || {
        if shell {
            let mut command = Command::new("sqlite3");
            command.arg("-readonly").arg(&path).arg(&query);
            return command;
        }
        let code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()";
        let mut command = Command::new("python3");
        command.args(["-c", code]).arg(&path).arg(&query);
        command
    };
    (if shell { "`sqlite3`: the managed columns" } else { "Python's `fetchall` of the managed columns" }, read_all)
}

pub const ALL_NEW: Group = Group { works: &[NEW, NEW_PEAK], measure: all_new };
const NEW: &str = "`--plan`, all new";
const NEW_PEAK: &str = "`--plan`, all new: peak memory";

fn all_new(lab: &Lab) -> Vec<Row> {
    let count = lab.options.new;
    let project = lab.sessions("all_new", count);
    let words = format!("Plan: {count} to create. 0 unchanged");
    let runs: Vec<Run> = (0..lab.options.runs).map(|_| project.plan(&words)).collect();
    let took = milliseconds(median(runs.iter().map(|run| run.took).collect()));
    let peak = runs.iter().map(|run| run.peak).max().unwrap_or(0);
    vec![Row::limited(NEW, Unit::Milliseconds, Some(took), 160.0), Row::memory(NEW_PEAK, peak, 65.0)]
}
