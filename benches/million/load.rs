//! Callers of the daemon: so many requests a second, each timed from when it was due, and those who mean harm.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Callers with a connection of their own.
const CALLERS: u32 = 4;
/// Requests a second, of all callers together.
const RATE: u32 = 200;
/// Whoever waits longer than this is not answered.
const LIMIT: Duration = Duration::from_secs(30);
/// Callers that send a head letter by letter, and one that sends a body which is too large, again and again.
const SLOW: usize = 8;

/// Calls until it is stopped.
pub struct Load {
    over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<Duration>>>,
    harm: Vec<JoinHandle<()>>,
}

impl Load {
    /// Asks for metrics and status in turns, with this token.
    pub fn begin(there: SocketAddr, token: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let callers = (0..CALLERS).map(|caller| {
            let (over, token) = (Arc::clone(&over), token.to_owned());
            thread::spawn(move || call(there, &token, caller, &over))
        });
        let callers = callers.collect();
        let mut harm: Vec<_> = (0..SLOW)
            .map(|_| {
                let over = Arc::clone(&over);
                thread::spawn(move || dawdle(there, &over))
            })
            .collect();
        let end = Arc::clone(&over);
        harm.push(thread::spawn(move || overfill(there, &end)));
        Self { over, callers, harm }
    }

    /// How long each request took, from when it was due to the end of its answer.
    pub fn end(self) -> Vec<Duration> {
        self.over.store(true, Ordering::Relaxed);
        let took = self.callers.into_iter().flat_map(|caller| caller.join().expect("a caller")).collect();
        self.harm.into_iter().for_each(|one| one.join().expect("one who means harm"));
        took
    }
}

fn call(there: SocketAddr, token: &str, caller: u32, over: &AtomicBool) -> Vec<Duration> {
    let (pause, mut took, mut line) = (Duration::from_secs(1) * CALLERS / RATE, Vec::new(), Caller::new(there));
    let mut due = Instant::now() + pause * caller / CALLERS;
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let path = if number % 2 == 0 { "/metrics" } else { "/api/v1/status" };
        line.ask(path, token);
        // Not from when it was sent: one that waits for the one before it waits too.
        took.push(due.elapsed());
        due += pause;
    }
    took
}

/// A connection that is kept.
struct Caller {
    there: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Caller {
    fn new(there: SocketAddr) -> Self {
        let stream = connect(there);
        Self { there, stream: BufReader::new(stream) }
    }

    /// Fails unless it is answered well.
    fn ask(&mut self, path: &str, token: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n", self.there);
        self.stream.get_mut().write_all(head.as_bytes()).expect("send a request");
        let (mut status, mut length) = (String::new(), 0);
        self.stream.read_line(&mut status).expect("an answer");
        assert!(status.starts_with("HTTP/1.1 200 "), "{path}: {status}");
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a head");
            let line = line.trim_end().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().expect("a length");
            }
        }
        self.stream.read_exact(&mut vec![0; length]).expect("a body");
    }
}

fn connect(there: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&there, LIMIT).expect("connect");
    stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
    stream.set_nodelay(true).expect("send at once");
    stream
}

/// One letter of a head after the other, for as long as it is borne.
fn dawdle(there: SocketAddr, over: &AtomicBool) {
    const BREATH: Duration = Duration::from_millis(100);
    while !over.load(Ordering::Relaxed) {
        let mut stream = connect(there);
        for letter in b"GET /healthz HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'x')) {
            if over.load(Ordering::Relaxed) || stream.write_all(&[*letter]).is_err() {
                break;
            }
            thread::sleep(BREATH);
        }
    }
}

/// Bodies that are larger than any may be.
fn overfill(there: SocketAddr, over: &AtomicBool) {
    const BREATH: Duration = Duration::from_millis(250);
    let body = vec![b'x'; 8 * 1024 * 1024];
    while !over.load(Ordering::Relaxed) {
        let mut stream = connect(there);
        let head = format!("POST /api/v1/suspend HTTP/1.1\r\nhost: {there}\r\ncontent-length: {}\r\n\r\n", body.len());
        // It is refused, and hung up on, before all of it is sent.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        thread::sleep(BREATH);
    }
}
