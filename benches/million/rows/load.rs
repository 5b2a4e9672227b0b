//! The daemon's door under load, beside a turn that has much to do.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::Group;
use crate::daemon::{BEGINS, Daemon, OVER};
use crate::lab::Lab;
use crate::load::Load;
use crate::program;
use crate::report::{Bar, Row, Unit, median, megabytes, milliseconds, percentile};

pub const LOAD: Group = Group { works: &[ANSWERS, TURN, PEAK], measure: load };
const ANSWERS: &str = "200 requests a second beside a turn: 95 % of answers";
const TURN: &str = "the turn, 100,000 creates, beside them";
const PEAK: &str = "the daemon's peak memory meanwhile";

/// The most memory that callers may cost, in megabytes: 64 connections with their bodies are the most there can be.
const MOST: f64 = 20.0;

/// One daemon's first turn over an empty database, and what its callers saw.
struct Measured {
    turn: Duration,
    answers: Vec<Duration>,
    peak: u64,
}

fn load(lab: &Lab) -> Vec<Row> {
    let rounds: Vec<(Measured, Measured)> = (0..lab.options.runs)
        .map(|round| (measure(lab, &format!("quiet_{round}"), false), measure(lab, &format!("loud_{round}"), true)))
        .collect();
    let (quiet, loud): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    let turn = |all: &[Measured]| median(all.iter().map(|one| one.turn).collect());
    let answers: Vec<Duration> = loud.iter().flat_map(|one| one.answers.iter().copied()).collect();
    let peak = |all: &[Measured]| all.iter().map(|one| one.peak).max().map(megabytes);
    vec![
        Row::limited(ANSWERS, Unit::Milliseconds, Some(milliseconds(percentile(answers, 95))), 50.0),
        Row::time(TURN, turn(&loud), "the same turn alone", turn(&quiet), Bar::times(1.2)),
        Row {
            work: PEAK,
            against: "the same turn alone",
            unit: Unit::Megabytes,
            measured: peak(&loud),
            yardstick: peak(&quiet),
            bar: Bar::times(1.0).plus(MOST),
        },
    ]
}

fn measure(lab: &Lab, name: &str, is_loud: bool) -> Measured {
    let mut project = lab.sessions(name, lab.options.bulk);
    let there = free();
    project.set("RECONCILE_HTTP_LISTEN", &there.to_string());
    let token = program::run(project.command(&["--quiet", "token", "create", "--name", "bench", "--scope", "read"]));
    lab.tidy_up();
    let mut command = project.command(&[]);
    command.env("RECONCILE_LOG_LEVEL", "debug").env("RECONCILE_INTERVAL", "1d");
    let mut daemon = Daemon::launch(command);
    daemon.wait_for("listening on http://");
    let calling = is_loud.then(|| Load::begin(there, token.text.trim()));
    let begun = daemon.wait_for(BEGINS).at;
    let turn = (daemon.wait_for(OVER).at - begun).to_std().expect("it ends after its beginning");
    let answers = calling.map(Load::end).unwrap_or_default();
    let peak = daemon.memory("VmHWM");
    daemon.stop();
    let mut session = lab.session();
    session.run(&format!("DROP SCHEMA {name} CASCADE"));
    session.close();
    Measured { turn, answers, peak }
}

/// An address that nobody listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}
