//! The daemon: how soon it follows a save, and what it takes while nothing happens.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Group;
use super::plan::PEAK;
use crate::daemon::{Daemon, OVER, PLANNED};
use crate::data::{self, PER_FILE, Style};
use crate::lab::Lab;
use crate::program;
use crate::project::Project;
use crate::report::{Bar, Row, Unit, median, megabytes, milliseconds, percentile};
use crate::sql::Session;

/// The waiting for quiet is not counted, so there is none.
const NO_DEBOUNCE: &[(&str, &str)] = &[("RECONCILE_DEBOUNCE", "0s"), ("RECONCILE_DEBOUNCE_MAX", "0s")];

/// Turns begin by a save and by nothing else, and say how far they are.
const BY_SAVES: &[(&str, &str)] = &[("RECONCILE_INTERVAL", "1d"), ("RECONCILE_LOG_LEVEL", "debug")];

/// How long the daemon must be silent to be called at rest.
const QUIET: Duration = Duration::from_millis(500);

/// The same, where it has little to do.
const BREATH: Duration = Duration::from_millis(50);

/// No save may take longer to arrive.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Sessions of a daemon of ordinary size: one file.
const FEW: usize = PER_FILE;

fn start(project: &Project) -> Daemon {
    let mut command = project.command(&[]);
    command.envs(NO_DEBOUNCE.iter().chain(BY_SAVES).copied());
    let mut daemon = Daemon::start(command);
    daemon.settle(QUIET);
    daemon
}

/// Puts a state file into place as editors do: whole, by renaming. `text` is written before, and not counted.
fn save(project: &Project, number: usize, text: &str) -> impl FnOnce() + use<> {
    let (draft, place) = (project.home().join("draft"), project.state().join(data::file_name(number)));
    fs::write(&draft, text).expect("write the draft");
    move || rename(&draft, &place)
}

fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).expect("put the file into place");
}

/// The state file of this number with another title for its first session.
fn retitled(number: usize, count: usize, title: &str) -> String {
    let id = number * PER_FILE + 1;
    let before = format!("title: {}\n", data::title(id, 0));
    data::file(number, count, Style::Plain, 0).replacen(&before, &format!("title: {title}\n"), 1)
}

pub const ONE_FILE: Group = Group { works: &[ONE, ONE_PEAK], measure: one_file };
const ONE: &str = "daemon: a save of one file, to its plan";
const ONE_PEAK: &str = "daemon over all of them: peak memory";

fn one_file(lab: &Lab) -> Vec<Row> {
    let (count, project) = (lab.options.sessions, lab.million());
    let mut session = lab.session();
    let mut daemon = start(project);
    let files = (0..count.div_ceil(PER_FILE)).cycle().take(lab.options.runs);
    let samples: Vec<Option<Duration>> = files
        .map(|number| {
            let title = format!("Saved at {}", Utc::now().timestamp_micros());
            let put = save(project, number, &retitled(number, count, &title));
            let begun = Utc::now();
            put();
            let planned = planned(&mut daemon, &mut session, number * PER_FILE + 1, &title);
            daemon.settle(QUIET);
            planned.map(|at| (at - begun).to_std().expect("planned after the save"))
        })
        .collect();
    let peak = daemon.memory("VmHWM");
    daemon.stop();
    session.close();
    let took: Option<Vec<Duration>> = samples.into_iter().collect();
    vec![
        Row::limited(ONE, Unit::Milliseconds, took.map(median).map(milliseconds), 100.0),
        Row::memory(ONE_PEAK, peak, PEAK),
    ]
}

/// When the turn had planned that gave this session its title; `None` where the daemon does not say.
fn planned(daemon: &mut Daemon, session: &mut Session, id: usize, title: &str) -> Option<DateTime<Utc>> {
    let (mut at, deadline) = (None, Instant::now() + LIMIT);
    loop {
        let line = daemon.wait_for_any(&[PLANNED, OVER]);
        if line.message.contains(PLANNED) {
            at = Some(line.at);
            continue;
        }
        let there = session.text(&format!("SELECT title FROM million.sessions WHERE session_id = {id}"));
        if there.as_deref() == Some(title) {
            return at;
        }
        // Something else had woken it, just before.
        assert!(Instant::now() < deadline, "the save of {title:?} did not arrive");
        at = None;
    }
}

pub const IDLE: Group = Group { works: &[IDLE_MEMORY, IDLE_PROCESSOR], measure: idle };
const IDLE_MEMORY: &str = "idle daemon, 1,000 sessions: memory";
const IDLE_PROCESSOR: &str = "idle daemon, 1,000 sessions: one processor";

fn idle(lab: &Lab) -> Vec<Row> {
    let project = lab.in_sync("idle", FEW);
    // As people run it: with its own interval, and no more log than it writes by itself.
    let mut daemon = Daemon::start(project.command(&[]));
    daemon.settle(4 * QUIET);
    let (before, since) = (daemon.processor(), Instant::now());
    thread::sleep(lab.options.idle);
    let share = (daemon.processor() - before).as_secs_f64() / since.elapsed().as_secs_f64();
    let memory = daemon.memory("VmRSS");
    daemon.stop();
    vec![
        Row::limited(IDLE_MEMORY, Unit::Megabytes, Some(megabytes(memory)), 30.0),
        Row::limited(IDLE_PROCESSOR, Unit::Percent, Some(100.0 * share), 0.2),
    ]
}

pub const SAVES: Group = Group { works: &[SAVE_MEDIAN, SAVE_95], measure: saves };
const SAVE_MEDIAN: &str = "a save, to its commit in the database: median";
const SAVE_95: &str = "a save, to its commit in the database: 95 %";

fn saves(lab: &Lab) -> Vec<Row> {
    let project = lab.in_sync("saves", FEW);
    let mut session = lab.session();
    // Apart from the daemon's own, and without its trigger, so that the yardstick never wakes the daemon.
    session.run("CREATE TABLE saves.bare (LIKE saves.sessions INCLUDING ALL)");
    session.run("INSERT INTO saves.bare SELECT * FROM saves.sessions");
    let mut daemon = start(&project);
    let (mut took, mut yardstick) = (Vec::new(), Vec::new());
    for sample in 0..lab.options.saves {
        let title = format!("Saved as number {sample}");
        let put = save(&project, 0, &retitled(0, FEW, &title));
        let begun = Instant::now();
        put();
        while session.text("SELECT title FROM saves.sessions WHERE session_id = 1").as_deref() != Some(&title) {
            assert!(begun.elapsed() < LIMIT, "save {sample} did not arrive");
            thread::sleep(Duration::from_millis(1));
        }
        took.push(begun.elapsed());
        daemon.wait_for(OVER);
        daemon.settle(BREATH);
        let update = format!("UPDATE saves.bare SET title = '{title}', updated_at = now() WHERE session_id = 1");
        yardstick.push(program::time(lab.psql(&update)));
    }
    daemon.stop();
    session.close();
    let against = "`psql`: one `UPDATE`";
    let at_95 = (percentile(took.clone(), 95), percentile(yardstick.clone(), 95));
    vec![
        Row::time(SAVE_MEDIAN, median(took), against, median(yardstick), Bar::times(1.0).plus(30.0)),
        Row::time(SAVE_95, at_95.0, against, at_95.1, Bar::times(3.0).plus(20.0)),
    ]
}
