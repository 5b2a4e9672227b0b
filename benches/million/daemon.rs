//! The daemon beside the benchmark: its log as it comes, its memory, its processor time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fixture::process;
use crate::program;

/// How long it may take until a line is logged: a turn over a million sessions, and much more.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How long it may take to end.
const FAREWELL: Duration = Duration::from_secs(30);

/// Logged at the moment when a turn knows what it would change.
pub const PLANNED: &str = "the plan is computed";

/// Logged when a turn has ended well.
pub const OVER: &str = "the turn is over";

/// Logged when a turn begins.
pub const BEGINS: &str = "a turn begins";

/// Linux counts processor time for its users in hundredths of a second, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// A line of the log.
pub struct Line {
    pub at: DateTime<Utc>,
    pub message: String,
}

pub struct Daemon {
    child: Child,
    lines: Receiver<Line>,
    /// A turn has begun and is not over, as far as the log was read. It may be silent for long.
    in_turn: bool,
}

impl Daemon {
    /// Starts it, and waits until its first turn is over. Its log must be JSON.
    pub fn start(command: Command) -> Self {
        let mut daemon = Self::launch(command);
        daemon.wait_for("Ctrl-C ends it");
        daemon
    }

    /// Starts it.
    pub fn launch(mut command: Command) -> Self {
        command.args(["--log-format", "json"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start the daemon");
        let log = BufReader::new(child.stderr.take().expect("the daemon's log"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let Some(line) = parse(&line) else { continue };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, in_turn: false }
    }

    /// The next line that tells of this; what was logged before is passed over. Fails at the limit.
    pub fn wait_for(&mut self, words: &str) -> Line {
        self.wait_for_any(&[words])
    }

    /// The next line that tells of any of these.
    pub fn wait_for_any(&mut self, words: &[&str]) -> Line {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|why| panic!("the daemon never said {words:?}: {why}"));
            self.follow(&line);
            if words.iter().any(|words| line.message.contains(words)) {
                return line;
            }
        }
    }

    /// Lets it come to rest: no turn is under way, and nothing was logged for so long.
    pub fn settle(&mut self, quiet: Duration) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(quiet) {
                Ok(line) => self.follow(&line),
                Err(RecvTimeoutError::Timeout) if !self.in_turn => return,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the daemon has ended"),
            }
            assert!(Instant::now() < deadline, "the daemon does not come to rest");
        }
    }

    fn follow(&mut self, line: &Line) {
        if line.message.contains(BEGINS) {
            self.in_turn = true;
        } else if line.message.contains(OVER) {
            self.in_turn = false;
        }
    }

    /// What the system says of its memory, in bytes: `VmRSS` now, `VmHWM` at most.
    pub fn memory(&self, line: &str) -> u64 {
        program::memory(Pid::from_child(&self.child), line).expect("the daemon runs")
    }

    /// The processor time that it has taken so far, in its own code and in the system.
    pub fn processor(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the daemon runs");
        // Behind the name, which stands in parentheses and may hold anything, `utime` and `stime` are fields 11 and 12.
        let fields = stat.rsplit(") ").next().expect("fields").split(' ').skip(11).take(2);
        TICK * fields.map(|ticks| ticks.parse::<u32>().expect("a number of ticks")).sum::<u32>()
    }

    /// Ends it as a service manager would. Fails unless it ends well.
    pub fn stop(mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let status = process::exited(&mut self.child, FAREWELL);
        assert!(status.is_some_and(|status| status.success()), "the daemon did not end well: {status:?}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already, but where something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Option<Line> {
    let line: Value = serde_json::from_str(line).ok()?;
    let at = DateTime::parse_from_rfc3339(line.get("timestamp")?.as_str()?).ok()?.to_utc();
    Some(Line { at, message: line.get("message")?.as_str()?.to_owned() })
}
