//! Much at once: creates, updates, rotations.

use super::Group;
use crate::data::{self, Style};
use crate::fixture::redis::Redis;
use crate::lab::{self, Lab};
use crate::program;
use crate::report::{Bar, Row, Unit, median, milliseconds};

/// All columns of a session's row, in the order in which the rows are written to files.
const ALL_COLUMNS: &str = "session_id, title, status, created_by, starts_at, expires_at, created_at, updated_at";

/// Empties what creating sessions fills.
fn empty(lab: &Lab, schema: &str) {
    let mut session = lab.session();
    session.run(&format!(
        "TRUNCATE {schema}.sessions, {schema}.host_sessions, {schema}.reconcile_applied, {schema}.reconcile_journal"
    ));
    session.close();
    lab.tidy_up();
}

pub const CREATES: Group = Group { works: &[CREATE], measure: creates };
const CREATE: &str = "`--once`, creates";

fn creates(lab: &Lab) -> Vec<Row> {
    let (count, schema) = (lab.options.bulk, "creates");
    let project = lab.sessions(schema, count);
    let rows = data::write_rows(project.home(), count, 0);
    let copy = || {
        empty(lab, schema);
        let mut psql = lab.psql(&format!("COPY {schema}.sessions ({ALL_COLUMNS}) FROM STDIN"));
        psql.stdin(std::fs::File::open(&rows).expect("open the file of rows"));
        program::time(psql)
    };
    let create = || {
        empty(lab, schema);
        project.once(&lab::applied(count))
    };
    let (took, yardstick) = lab.in_turns(copy, create).medians();
    vec![Row::time(CREATE, took, "`psql`: `COPY FROM STDIN` of the same rows", yardstick, Bar::times(6.0))]
}

pub const UPDATES: Group = Group { works: &[UPDATE], measure: updates };
const UPDATE: &str = "`--once --force`, updates";

fn updates(lab: &Lab) -> Vec<Row> {
    let count = lab.options.bulk;
    let project = lab.in_sync("updates", count);
    lab.project("bare");
    let mut session = lab.session();
    session.run("INSERT INTO bare.sessions SELECT * FROM updates.sessions");
    session.run("CREATE TEMPORARY TABLE wanted AS SELECT * FROM updates.sessions");
    let (mut edition_there, mut edition_here) = (0, 0);
    let pairs = lab.in_turns(
        || {
            edition_there += 1;
            let title = data::title(0, edition_there).replacen('0', "' || session_id || '", 1);
            session.run(&format!("UPDATE wanted SET title = '{title}', updated_at = now()"));
            session.run("VACUUM ANALYZE wanted");
            lab.tidy_up();
            session.run(
                "UPDATE bare.sessions SET title = wanted.title, status = wanted.status, created_by = wanted.created_by,
                 starts_at = wanted.starts_at, expires_at = wanted.expires_at, updated_at = wanted.updated_at
                 FROM wanted WHERE sessions.session_id = wanted.session_id",
            )
        },
        || {
            edition_here += 1;
            data::write_sessions(&project.state(), count, Style::Plain, edition_here);
            project.commit();
            lab.tidy_up();
            project.once(&lab::applied(count))
        },
    );
    let alike = "SELECT COUNT(*)::text FROM bare.sessions JOIN updates.sessions USING (session_id, title, starts_at)";
    assert_eq!(session.text(alike), Some(count.to_string()), "program and yardstick did the same");
    session.close();
    let (took, yardstick) = pairs.medians();
    vec![Row::time(UPDATE, took, "`UPDATE … FROM` of the same rows", yardstick, Bar::times(4.0))]
}

pub const HOSTS: Group = Group { works: &[ROTATE], measure: rotations };
const ROTATE: &str = "rotation of hosts, hand-off in Redis";

fn rotations(lab: &Lab) -> Vec<Row> {
    let (count, redis) = (lab.options.hosts, Redis::start());
    let mut project = lab.project("hosts");
    project.set("RECONCILE_REDIS_URL", &redis.url());
    let turn = |rotation: usize| {
        data::write_hosts(&project.state(), count, rotation);
        project.commit();
        lab.tidy_up();
        project.once(&lab::applied(count))
    };
    turn(1);
    let took = (0..lab.options.runs).map(|run| turn(run + 2).took).collect();
    let waiting: usize = redis.ask(&["DBSIZE"]);
    assert!(waiting >= count, "{waiting} secrets wait for {count} hosts");
    vec![Row::limited(ROTATE, Unit::Milliseconds, Some(milliseconds(median(took))), 5_000.0)]
}
