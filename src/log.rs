//! What people and collectors read beside the data: lines that must never hold up the program, nor end it.
//!
//! A reader may be gone, a disk full, a terminal closed, stopped or lost with its connection. Lines are therefore
//! written by a thread of their own. A line that cannot be written, or that finds too many others waiting, is dropped and
//! counted: `reconcile_log_lines_dropped_total`.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Bytes that may wait to be written to one stream.
const ROOM: usize = 1 << 20;
/// How long a stream that does not block may take no bytes before the line is dropped.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

static DROPPED: AtomicU64 = AtomicU64::new(0);
static STDERR: LazyLock<Option<Arc<Lines>>> = LazyLock::new(|| Lines::start(io::stderr().as_fd()));
static STDOUT: LazyLock<Option<Arc<Lines>>> = LazyLock::new(|| Lines::start(io::stdout().as_fd()));

/// Lines and messages that were dropped since the program began.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Gives a line or a message to stderr, and does not wait for it to be written.
pub fn to_stderr(text: &[u8]) {
    put(&STDERR, text);
}

/// The same for stdout. For whoever goes on whatever becomes of it: data that were asked for are no log.
pub fn to_stdout(text: &[u8]) {
    put(&STDOUT, text);
}

/// Waits until what was given to stderr is written or dropped, for at most `limit`. Gives whether it is.
///
/// To be called before anything is written to stdout and before the program ends, so that a terminal shows both in order.
pub fn flush(limit: Duration) -> bool {
    LazyLock::get(&STDERR).and_then(Option::as_ref).is_none_or(|lines| lines.flush(limit))
}

fn put(lines: &LazyLock<Option<Arc<Lines>>>, text: &[u8]) {
    let taken = lines.as_ref().is_some_and(|lines| lines.put(text));
    if !taken {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// A writer for `tracing`, which hands over each line whole.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        to_stderr(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines on their way to one stream, and the thread that writes them.
#[derive(Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    /// Something has come, or everything has gone.
    moved: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// One line is taken out, and not written yet.
    is_writing: bool,
}

impl Lines {
    /// `None`: the stream cannot be had, or there can be no further thread.
    fn start(stream: BorrowedFd<'_>) -> Option<Arc<Self>> {
        let stream = stream.try_clone_to_owned().ok()?;
        let lines = Arc::new(Self::default());
        let writer = Arc::clone(&lines);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_all_to(&stream)).ok()?;
        Some(lines)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives whether there was room.
    fn put(&self, text: &[u8]) -> bool {
        let mut waiting = self.lock();
        if waiting.bytes > 0 && waiting.bytes + text.len() > ROOM {
            return false;
        }
        waiting.bytes += text.len();
        waiting.lines.push_back(text.to_vec());
        self.moved.notify_all();
        true
    }

    fn flush(&self, limit: Duration) -> bool {
        let waiting = self.lock();
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        let ended = self.moved.wait_timeout_while(waiting, limit, is_busy);
        !ended.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Writes whatever comes, for as long as the program lives.
    fn write_all_to(&self, stream: &OwnedFd) {
        loop {
            let line = self.next();
            if write(stream, &line, Some(&PATIENCE)).is_err() {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
            let mut waiting = self.lock();
            waiting.bytes -= line.len();
            waiting.is_writing = false;
            self.moved.notify_all();
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.is_writing = true;
                return line;
            }
            waiting = self.moved.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Writes all of it. Whoever started the program may have made the stream one that does not block: then it is waited for,
/// for as long as it takes no bytes, or for `patience`.
///
/// Errors: the stream takes no more.
pub fn write(stream: impl AsFd, mut bytes: &[u8], patience: Option<&Timespec>) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&stream, bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let ready = poll(&mut [PollFd::new(&stream, PollFlags::OUT)], patience)?;
                if ready == 0 {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
