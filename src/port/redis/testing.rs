//! A Redis of the test's own: in a temporary directory, on a free port, gone with the test.
//!
//! It needs nothing of the crate, so that tests of the whole program may take this file too.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub struct Server {
    directory: TempDir,
    pub port: u16,
    settings: Vec<String>,
    process: Child,
}

impl Server {
    /// A running, empty server that keeps nothing on the disk.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings of its own, such as `--requirepass hush`.
    pub fn start_with(settings: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        // Another process may take the port before the server does.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(process) = spawn(directory.path(), port, &settings) {
                return Self { directory, port, settings, process };
            }
        }
        panic!("Redis did not start: {}", fs::read_to_string(directory.path().join("log")).unwrap_or_default());
    }

    /// With TLS on its port, and no other way to it but the socket. Its certificate is for `localhost`, signed by
    /// [`Server::authority`].
    pub fn start_encrypted() -> Self {
        let directory = TempDir::new().unwrap();
        certify(directory.path());
        let file = |name: &str| directory.path().join(name).display().to_string();
        let (certificate, key, authority) = (file("server.crt"), file("server.key"), file("ca.crt"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = [
            &["--port", "0", "--tls-port", &port.to_string()],
            &["--tls-cert-file", &certificate, "--tls-key-file", &key],
            &["--tls-ca-cert-file", &authority, "--tls-auth-clients", "no"],
        ];
        let settings: Vec<String> = settings.into_iter().flatten().map(|&setting| setting.to_owned()).collect();
        let process = spawn(directory.path(), port, &settings).expect("Redis with TLS");
        Self { directory, port, settings, process }
    }

    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Runs a command as `redis-cli` does, and gives what it prints.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> String {
        let done = cli(self.directory.path(), &self.settings).args(command).output().unwrap();
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    /// How often each command was called since the counts were last reset, by [`Server::forget_calls`].
    #[track_caller]
    pub fn calls(&self, command: &str) -> u64 {
        let all = self.run(&["INFO", "commandstats"]);
        let line = all.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    /// A count of `INFO stats`.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        let all = self.run(&["INFO", "stats"]);
        let line = all.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.expect("a count of that name").trim().parse().unwrap()
    }

    pub fn forget_calls(&self) {
        self.run(&["CONFIG", "RESETSTAT"]);
    }

    /// Lets the server answer nobody until [`Server::thaw`]; the system still takes connections for it.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.process.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Ends the server at once, as a crash does.
    pub fn stop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
        let _removed = fs::remove_file(self.socket());
    }

    /// Starts it again, empty, where it was.
    pub fn again(&mut self) {
        self.stop();
        self.process = spawn(self.directory.path(), self.port, &self.settings).expect("the same port again");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A server that answers; `None` if it did not come up. It is killed when the thread that started it ends.
fn spawn(directory: &Path, port: u16, settings: &[String]) -> Option<Child> {
    let log = fs::File::create(directory.join("log")).unwrap();
    let mut server = Command::new("setpriv");
    server.args(["--pdeathsig", "KILL", "--", "redis-server", "--port", &port.to_string()]);
    server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--unixsocket"]);
    server.arg(directory.join("socket")).arg("--dir").arg(directory).args(settings);
    let mut process = server.stdout(log).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        let answer = cli(directory, settings).arg("PING").output().unwrap();
        if answer.stdout == b"PONG\n" {
            return Some(process);
        }
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        sleep(Duration::from_millis(10));
    }
    let _gone = process.kill();
    let _status = process.wait();
    None
}

/// `redis-cli` at the socket, logged in as the settings ask for.
fn cli(directory: &Path, settings: &[String]) -> Command {
    let mut cli = Command::new("redis-cli");
    cli.arg("-s").arg(directory.join("socket"));
    if let Some(place) = settings.iter().position(|setting| setting == "--requirepass") {
        cli.env("REDISCLI_AUTH", &settings[place + 1]);
    }
    cli
}

/// An authority, and a certificate of it for `localhost`.
fn certify(directory: &Path) {
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let authority = ["req", "-x509", "-subj", "/CN=test authority", "-out", "ca.crt", "-keyout", "ca.key"];
    openssl(&[&authority[..], &key].concat());
    let server = ["req", "-x509", "-CA", "ca.crt", "-CAkey", "ca.key", "-subj", "/CN=localhost"];
    let names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(&[&server[..], &key, &names, &["-out", "server.crt", "-keyout", "server.key"]].concat());
}
