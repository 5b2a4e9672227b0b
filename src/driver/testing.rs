//! A PostgreSQL of the test's own: in a temporary directory, on a free port, gone with the test.

#[path = "../../tests/suite/fixture/template.rs"]
mod template;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// The password of the superuser `postgres`, asked for over TCP.
pub const PASSWORD: &str = "correct horse";

pub struct Cluster {
    directory: TempDir,
    pub port: u16,
    server: Child,
}

impl Cluster {
    /// A running cluster with no databases but its own.
    pub fn start() -> Self {
        Self::start_as(0)
    }

    /// As [`Cluster::start`]; two clusters have the same system identifier only where they have the same number.
    pub fn start_as(number: u8) -> Self {
        let directory = TempDir::new().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let home = directory.path().join("home");
        fs::create_dir(&home).unwrap();
        own(&home);
        template::copy(&format!("plain-{number}"), &binaries(), &home, init);
        let data = home.join("data");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut postgres = program("postgres");
        postgres.arg("-D").arg(&data).arg("-k").arg(&home).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        postgres.args(["-c", "fsync=off", "-c", "max_connections=20", "-c", "shared_buffers=16MB"]);
        postgres.args(["-c", "log_statement=all"]);
        let server = postgres.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let cluster = Self { directory, port, server };
        let started = Instant::now();
        while !cluster.home().join(format!(".s.PGSQL.{port}.lock")).exists() || !cluster.answers() {
            assert!(started.elapsed() < Duration::from_secs(30), "PostgreSQL did not start");
            sleep(Duration::from_millis(20));
        }
        cluster
    }

    /// The directory of its Unix socket.
    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub fn url(&self, catalog: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{catalog}", PASSWORD.replace(' ', "%20"), self.port)
    }

    /// Everything that the server has logged, each statement among it.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// The first column of what `sql` answers in `catalog`, a line for each row.
    pub fn ask(&self, catalog: &str, sql: &str) -> String {
        let done = self.psql(catalog, sql).args(["-A", "-t"]).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    /// Whether `user` may log in to `catalog` over TCP with this password, and run `sql` there; else why not.
    pub fn login(&self, catalog: &str, user: &str, password: &str, sql: &str) -> Result<(), String> {
        let mut psql = program("psql");
        psql.args(["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        psql.args(["-U", user, "-d", catalog, "-c", sql]).env("PGPASSWORD", password);
        let done = psql.output().unwrap();
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }

    /// Switches TLS on, with a certificate of its own for `localhost`. Returns the certificate.
    pub fn encrypt(&self) -> String {
        let (certificate, key) = (self.home().join("data/server.crt"), self.home().join("data/server.key"));
        let mut openssl = unprivileged(Path::new("openssl"));
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let made = openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&key).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.sql("postgres", "ALTER SYSTEM SET ssl = on");
        self.sql("postgres", "SELECT pg_reload_conf()");
        fs::read_to_string(certificate).unwrap()
    }

    /// Runs `sql` in `catalog` as the superuser.
    pub fn sql(&self, catalog: &str, sql: &str) {
        let done = self.psql(catalog, sql).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A session that stays open in `catalog` until it is killed.
    pub fn open(&self, catalog: &str) -> Child {
        let sleeping = "SELECT pg_sleep(600)";
        let session = self.psql(catalog, sleeping).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        let there =
            format!("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{catalog}' AND query LIKE '%sleep(6%'");
        while self.ask("postgres", &there) == "0" {
            assert!(started.elapsed() < Duration::from_secs(10), "no session was opened");
            sleep(Duration::from_millis(20));
        }
        session
    }

    fn psql(&self, catalog: &str, sql: &str) -> Command {
        let mut psql = program("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", catalog, "-c", sql]);
        psql.args(["-p", &self.port.to_string()]).arg("-h").arg(self.home());
        psql
    }

    fn answers(&self) -> bool {
        self.psql("postgres", "SELECT 1").output().is_ok_and(|done| done.status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.server.id().cast_signed()) {
            // An immediate shutdown: nothing here is worth keeping.
            let _gone = kill_process(pid, Signal::QUIT);
        }
        let _status = self.server.wait();
    }
}

/// A command that the superuser's rights do not reach: PostgreSQL refuses to run with them, and a file's permissions
/// mean nothing to them.
pub fn unprivileged(program: &Path) -> Command {
    let Some(user) = demoted() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--clear-groups", "--pdeathsig", "QUIT", "--reuid", &user.to_string()]).arg("--").arg(program);
    command
}

/// Makes a new cluster in `home`.
fn init(home: &Path) {
    let password = home.join("password");
    fs::write(&password, template::verifier(PASSWORD)).unwrap();
    own(home);
    own(&password);
    let mut initdb = program("initdb");
    initdb.arg("-D").arg(home.join("data")).arg("--pwfile").arg(&password);
    initdb.args(["-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "--wal-segsize=1"]);
    initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
    let made = initdb.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn own(path: &Path) {
    if let Some(user) = demoted() {
        chown(path, Some(user), None).unwrap();
    }
}

/// The user to run as instead of root.
fn demoted() -> Option<u32> {
    if !geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("a user named postgres");
    Some(line.split(':').nth(2).unwrap().parse().unwrap())
}

/// Where the programs of the newest PostgreSQL lie.
fn binaries() -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL's programs")
        .map(|entry| entry.unwrap().path())
        .collect();
    versions.sort();
    versions.last().expect("a version of PostgreSQL").join("bin")
}

fn program(name: &str) -> Command {
    let mut command = unprivileged(&binaries().join(name));
    command.current_dir("/").env_remove("PGOPTIONS");
    command
}
