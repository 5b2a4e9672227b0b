//! What a terminal, a pipe and a container make of the program: how wide lines are, logs that nobody can read, signals.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal};

use crate::fixture::http::{get, try_get};
use crate::fixture::process::Running;
use crate::fixture::{Database, World};

const LIMIT: Duration = Duration::from_secs(20);
/// What only reads ends within this time of a signal; a busy machine gets as much again.
const AT_ONCE: Duration = Duration::from_secs(2);

const BLOCKED: &str =
    "hosts: [{session: 215, reason: Suspected compromise of the account of the person who opens it}]\n";

/// What a terminal that is so wide shows of a command.
fn shown(world: &World, columns: u16, command: &str) -> Vec<String> {
    let output = world.sh_on_terminal(&format!("reconcile {command} --color never"), columns).expect_code(0);
    output.stdout.lines().map(str::to_owned).collect()
}

fn widest(lines: &[String]) -> usize {
    lines.iter().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn lines_are_as_wide_as_the_terminal_and_a_pipe_is_not_wrapped() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\n");
    world.run(&["--once"]).expect_code(0);
    world.run(&["suspend", "session/1", "--reason", &"Exams of the whole term ".repeat(6)]).expect_code(0);
    world.write("desired-state/week.yaml", &format!("sessions: [{{id: 1, title: Another}}]\n{BLOCKED}"));
    for command in ["--plan", "explain host/215", "status", "history", "explain session/1"] {
        let piped: Vec<String> =
            world.run(&command.split(' ').collect::<Vec<_>>()).stdout.lines().map(str::to_owned).collect();
        for columns in [60, 100, 160] {
            let lines = shown(&world, columns, command);
            let columns = usize::from(columns);
            assert!(widest(&lines) <= columns, "{command} at {columns}:\n{}", lines.join("\n"));
            let least = columns.min(widest(&piped)) * 3 / 4;
            assert!(
                widest(&lines) >= least,
                "{command} at {columns} uses {} only:\n{}",
                widest(&lines),
                lines.join("\n")
            );
            // The same words, however they are laid out.
            let words = |lines: &[String]| lines.join(" ").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&lines), words(&piped), "{command}");
        }
    }
    let plan = world.run(&["--plan"]).expect_code(0).stdout;
    let line = plan.lines().find(|line| line.contains("host/215")).unwrap();
    assert!(line.contains("session 215 does not exist") && line.contains("missing_session: create"), "{plan}");
    assert!(widest(&shown(&world, 40, "--plan")) <= 80, "an address of its own takes its room");
    let told = world.sh_on_terminal("COLUMNS=50 reconcile --plan --color never", 100).expect_code(0).stdout;
    assert!(told.lines().all(|line| line.chars().count() <= 50), "{told}");
}

#[test]
fn errors_are_as_wide_as_the_terminal_too() {
    let world = World::on(Database::Sqlite);
    let message = "--database sqlite:KSESSIONS.db --plan";
    let inside = |columns| format!("script -qec 'stty cols {columns}; exec reconcile {message}' /dev/null");
    for columns in [60, 100] {
        let refused = world.sh(&inside(columns)).expect_code(3).stdout;
        let widest = refused.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert_eq!(widest, columns, "{refused}");
    }
}

/// A daemon with a file to apply, whose stderr is what `redirect` says; where its HTTP is.
fn daemon(world: &mut World, redirect: &str) -> (Running, SocketAddr) {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    world.env("RECONCILE_HTTP_LISTEN", &free.to_string());
    world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\n");
    let daemon = world.start("sh", &["-c", &format!("exec reconcile -vv {redirect}")]);
    wait(|| try_get(free, "/readyz", Duration::from_secs(1)).is_some_and(|answer| answer.status == 200));
    (daemon, free)
}

#[track_caller]
fn wait(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "not so within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// That it goes on: what is saved is applied, and it ends in order.
#[track_caller]
fn goes_on(world: &World, daemon: Running) {
    world.write("desired-state/week.yaml", "sessions: [{id: 1, title: Two}]\n");
    wait(|| world.sql("SELECT title FROM sessions") == "Two\n");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.finish(LIMIT).code, 0);
    assert_eq!(
        world.sql("SELECT COUNT(*) FROM reconcile_lease WHERE holder IS NULL"),
        "1\n",
        "the lease is given back"
    );
}

fn dropped(there: SocketAddr) -> u64 {
    let page = get(there, "/metrics").expect(200).body;
    let line = page.lines().find_map(|line| line.strip_prefix("reconcile_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("no such series:\n{page}")).parse().unwrap()
}

#[test]
fn a_daemon_whose_log_finds_no_room_goes_on_and_counts_its_lines() {
    // The last is a pipe whose reader is gone.
    for redirect in ["2>/dev/full", ">/dev/full 2>/dev/full", "3<>log >log 2>log 3<&-"] {
        let mut world = World::on(Database::Sqlite);
        world.sh("mkfifo log").expect_code(0);
        let (daemon, there) = daemon(&mut world, redirect);
        wait(|| dropped(there) > 5);
        goes_on(&world, daemon);
    }
}

#[test]
fn a_daemon_whose_log_nobody_reads_goes_on() {
    let mut world = World::on(Database::Sqlite);
    world.sh("mkfifo log").expect_code(0);
    // Both ends are open, so that the pipe stays, and it is full.
    let path: PathBuf = world.path().join("log");
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut full: File = OpenOptions::new().read(true).write(true).custom_flags(nonblock).open(path).unwrap();
    let stuck = loop {
        if let Err(why) = full.write(&[b'x'; 4096]) {
            break why.kind();
        }
    };
    assert_eq!(stuck, ErrorKind::WouldBlock);
    let (daemon, _) = daemon(&mut world, "2>log >log");
    goes_on(&world, daemon);
}

#[test]
fn a_daemon_whose_terminal_closes_goes_on() {
    let mut world = World::on(Database::Sqlite);
    let inside = "echo $$ >pid; exec reconcile -vv";
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    world.env("RECONCILE_HTTP_LISTEN", &free.to_string());
    world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\n");
    let terminal = world.start("script", &["-qefc", inside, "/dev/null"]);
    wait(|| try_get(free, "/readyz", Duration::from_secs(1)).is_some_and(|answer| answer.status == 200));
    let pid: i32 = world.read("pid").trim().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    terminal.signal(Signal::KILL);
    terminal.finish(LIMIT);
    world.write("desired-state/week.yaml", "sessions: [{id: 1, title: Two}]\n");
    wait(|| world.sql("SELECT title FROM sessions") == "Two\n");
    assert!(dropped(free) > 0, "nobody reads its lines");
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    wait(|| !PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero())).exists());
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_lease WHERE holder IS NULL"), "1\n");
}

#[test]
fn one_run_whose_output_nobody_reads_applies_and_gives_the_lease_back() {
    for command in [
        "reconcile --once 2>&1 | true",
        "reconcile --once -vv 2>/dev/full",
        "reconcile --once 2>&-",
        "reconcile --once >&-",
    ] {
        let world = World::on(Database::Sqlite);
        world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\n");
        let ended = world.sh(command);
        assert!(!ended.text().contains("panicked"), "{}", ended.text());
        assert_eq!(ended.code, 0, "{command}: {}", ended.text());
        assert_eq!(world.sql("SELECT title FROM sessions"), "One\n", "{command}");
        assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_lease WHERE holder IS NULL"), "1\n", "{command}");
    }
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\n");
    let ended = world.sh("reconcile --once >/dev/full").expect_code(1);
    assert!(ended.stderr.contains("stdout cannot be written"), "{}", ended.text());
    assert_eq!(world.sql("SELECT title FROM sessions"), "One\n", "what is applied is applied");
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_lease WHERE holder IS NULL"), "1\n");
}

#[test]
fn a_stream_that_does_not_block_is_waited_for() {
    let world = World::on(Database::Sqlite);
    let items: String = (1..=3_000).map(|id| format!("  - id: {id}\n")).collect();
    world.write("desired-state/week.yaml", &format!("sessions:\n{items}"));
    // `O_NONBLOCK` belongs to the open file, which whoever started us may share with us: here a reader that is slow.
    let script = "import os,subprocess,sys,time\n\
                  ours,theirs=os.pipe(); os.set_blocking(theirs,False)\n\
                  child=subprocess.Popen(['reconcile','--plan','--all'],stdout=theirs); os.close(theirs); time.sleep(0.5)\n\
                  text=b''\n\
                  while part:=os.read(ours,65536): text+=part\n\
                  print(text.count(b'\\n'), child.wait())\n";
    world.write("slow.py", script);
    let counted = world.sh("python3 slow.py").expect_code(0);
    let (lines, code) = counted.stdout.trim().split_once(' ').unwrap();
    assert!(lines.parse::<u32>().unwrap() > 3_000 && code == "0", "{}", counted.text());
}

/// An address that accepts and never answers.
fn black_hole(world: &mut World) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://noor@127.0.0.1:{}/KSESSIONS_DEV", listener.local_addr().unwrap().port());
    world.env("RECONCILE_DATABASE_URL", &url).env("RECONCILE_DATABASE_CONNECT_TIMEOUT", "60s");
    world.limit(Duration::from_secs(90));
    world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\n");
    listener
}

/// Starts `reconcile` as the first process of a container: the system ends that by no signal that it does not mind.
fn as_first(world: &World, arguments: &[&str]) -> (Running, Pid) {
    let user = if rustix::process::geteuid().is_root() { &[][..] } else { &["--map-current-user"] };
    let words = [&["--pid", "--fork", "--kill-child"], user, &["reconcile"], arguments].concat();
    let outer = world.start("unshare", &words);
    let children = format!("/proc/{0}/task/{0}/children", outer.pid());
    let first = || fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok().and_then(Pid::from_raw);
    wait(|| first().is_some());
    (outer, first().unwrap())
}

#[test]
fn what_only_reads_ends_at_once_as_the_first_process_of_a_container() {
    let mut world = World::on(Database::Sqlite);
    for arguments in
        [&["--plan"][..], &["status"], &["history"], &["doctor"], &["explain", "session/1"], &["token", "list"]]
    {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            // Another each time: a connection that is left over says nothing of the next command.
            let listener = black_hole(&mut world);
            let (outer, first) = as_first(&world, arguments);
            // It waits for an answer now.
            let (_open, _) = listener.accept().unwrap();
            let begun = Instant::now();
            rustix::process::kill_process(first, signal).unwrap();
            let ended = outer.finish(LIMIT);
            assert!(begun.elapsed() < AT_ONCE, "{arguments:?}: {:?} after {signal:?}", begun.elapsed());
            assert_eq!(ended.code, code, "{arguments:?}: {}", ended.text());
        }
    }
}

#[test]
fn the_daemon_and_one_run_end_as_the_first_process_before_they_have_begun() {
    let mut world = World::on(Database::Sqlite);
    let listener = black_hole(&mut world);
    for arguments in [&[][..], &["--once"]] {
        let (outer, first) = as_first(&world, arguments);
        let (_open, _) = listener.accept().unwrap();
        let begun = Instant::now();
        rustix::process::kill_process(first, Signal::TERM).unwrap();
        outer.finish(LIMIT);
        assert!(begun.elapsed() < AT_ONCE, "{arguments:?}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_change_is_finished_first_and_a_second_signal_ends_it_at_once() {
    let mut world = World::on(Database::Sqlite);
    let listener = black_hole(&mut world);
    for arguments in [&["suspend", "--reason", "Exams"][..], &["host", "rotate", "--session-id", "1"], &["migrate"]] {
        let mut change = world.spawn(arguments);
        let (_open, _) = listener.accept().unwrap();
        change.signal(Signal::INT);
        change.wait_for("finishing what was begun", LIMIT);
        let begun = Instant::now();
        change.signal(Signal::INT);
        let ended = change.finish(LIMIT);
        assert!(
            ended.code == 130 && begun.elapsed() < AT_ONCE,
            "{arguments:?}: {:?}, {}",
            begun.elapsed(),
            ended.text()
        );
    }
}

#[test]
fn a_question_is_no_work_that_would_have_to_be_finished() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", "sessions: [{id: 1, title: One}]\nhosts: [{session: 1}]\n");
    world.run(&["--once"]).expect_code(0);
    // Its input is a pipe that nobody writes to.
    let asked = world.start("sh", &["-c", "mkfifo silent; exec reconcile host verify --session-id 1 -vv <>silent"]);
    let reads =
        |pid: u32| fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|call| call.starts_with("0 0x0 "));
    wait(|| reads(asked.pid()));
    let begun = Instant::now();
    asked.signal(Signal::INT);
    let ended = asked.finish(LIMIT);
    assert!(ended.code == 130 && begun.elapsed() < AT_ONCE, "{:?}, {}", begun.elapsed(), ended.text());
}
