//! One run of a program: how long it took, when it first said something, and how much memory it had at most.

use std::fs;
use std::io::Read;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No single run may take longer; whatever does is killed, and the benchmark fails.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// How often the memory of a running program is looked at. The system keeps the peak, so that only what is reached in
/// the last moments before the end can be missed.
const LOOK: Duration = Duration::from_millis(5);

/// What a run was like.
pub struct Run {
    /// From before its start to after its end.
    pub took: Duration,
    /// From before its start to the first byte on either stream; `None` where it printed nothing.
    pub first_byte: Option<Duration>,
    /// The most memory that it had resident, in bytes.
    pub peak: u64,
    /// All it printed, on both streams.
    pub text: String,
}

/// Runs `command` to its end, and reads what it prints. Fails unless it succeeds.
pub fn run(mut command: Command) -> Run {
    let (mut reader, writer) = std::io::pipe().expect("make a pipe");
    command.stdout(writer.try_clone().expect("share the pipe")).stderr(writer);
    let shown = format!("{command:?}");
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|why| panic!("start {shown}: {why}"));
    // It holds the pipe's other end, whose last copy must close with the child.
    drop(command);
    let pid = Pid::from_child(&child);
    let (over, watched) = mpsc::channel::<()>();
    let watcher = thread::spawn(move || watch(pid, &watched));

    let (mut text, mut first_byte, mut buffer) = (Vec::new(), None, [0; 1 << 16]);
    loop {
        let count = reader.read(&mut buffer).expect("read what the program prints");
        if count == 0 {
            break;
        }
        first_byte.get_or_insert_with(|| started.elapsed());
        text.extend_from_slice(&buffer[..count]);
    }
    let status = child.wait().expect("wait for the program");
    let took = started.elapsed();
    drop(over);
    let peak = watcher.join().expect("watch the program");
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(status.success(), "{shown}: {status}\n{text}");
    Run { took, first_byte, peak, text }
}

/// Runs `command` to its end, its standard output thrown away by the system. Fails unless it succeeds.
pub fn time(mut command: Command) -> Duration {
    let started = Instant::now();
    let status = command.stdout(std::process::Stdio::null()).status().expect("start the yardstick");
    assert!(status.success(), "{command:?}: {status}");
    started.elapsed()
}

/// Follows a program until told that it is over, and kills it at the limit. Returns its peak memory in bytes.
fn watch(pid: Pid, over: &mpsc::Receiver<()>) -> u64 {
    let (started, mut peak) = (Instant::now(), 0);
    loop {
        peak = memory(pid, "VmHWM").unwrap_or(peak);
        match over.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) if started.elapsed() > LIMIT => {
                // It may have ended at this very moment.
                let _ = kill_process(pid, Signal::KILL);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return peak,
        }
    }
}

/// What the system says of a running program's memory, in bytes: `VmRSS` now, `VmHWM` at most. `None` after its end.
pub fn memory(pid: Pid, line: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
