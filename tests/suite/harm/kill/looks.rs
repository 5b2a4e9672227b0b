//! Looks at a world after a kill and a clean turn: rows, pool servers, tasks, GUIDs and the journal.

use std::fmt;

use super::wanted::{Session, Stand, Wanted};
use crate::fixture::World;
use crate::fixture::worker::Worker;
use crate::instances::{Estate, QUEUE, id, names, one};

/// What is not as it should be.
#[derive(Default)]
pub struct Found {
    lost: Vec<String>,
    doubled: Vec<String>,
    unexplained: Vec<String>,
}

impl Found {
    pub fn lost(&self) -> u32 {
        count(&self.lost)
    }

    pub fn doubled(&self) -> u32 {
        count(&self.doubled)
    }

    pub fn unexplained(&self) -> u32 {
        count(&self.unexplained)
    }

    pub fn odd(&mut self, what: String) {
        self.unexplained.push(what);
    }

    fn same(&mut self, what: &str, is: &str, should: &str) {
        if is != should {
            self.odd(format!("{what} are\n{is}and should be\n{should}"));
        }
    }

    #[track_caller]
    pub fn assert_nothing(&self) {
        assert!(self.lost() + self.doubled() + self.unexplained() == 0, "before any harm:\n{self}");
    }
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, unexplained } = self;
        for (what, all) in [("lost", lost), ("doubled", doubled), ("unexplained", unexplained)] {
            all.iter().try_for_each(|one| writeln!(out, "{what}: {one}"))?;
        }
        Ok(())
    }
}

fn count(all: &[String]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

/// Sessions, hosts, instances and the servers' counters.
pub fn at_rows(wanted: &Wanted, world: &World, found: &mut Found) {
    let sessions = wanted.sessions.iter().map(|(number, session)| format!("{number}|{}|active\n", session.title()));
    let rows = world.sql("SELECT session_id, title, status FROM sessions ORDER BY 1");
    found.same("the sessions", &rows, &sessions.collect::<String>());

    let host =
        |(number, session): (&u32, &Session)| format!("{number}|1|{}|{}\n", session.rotation, session.generation);
    let rows = world.sql(
        "SELECT session_id, COUNT(*), SUM(rotation), SUM(generation) FROM host_sessions WHERE is_active
         GROUP BY session_id ORDER BY session_id",
    );
    found.same("the active hosts", &rows, &wanted.sessions.iter().map(host).collect::<String>());

    let instances = wanted.customers.iter().map(|(number, customer)| {
        let (status, phase) = match customer.stand {
            Stand::Waits => ("active", "allocated"),
            Stand::Released => ("active", "ready"),
            Stand::Retired => ("retired", "ready"),
        };
        format!("{}|{status}|{phase}|{}|{}\n", id(*number), customer.rotation, names(*number).0)
    });
    let rows = world.sql(
        "SELECT i.id, i.status, i.provisioning_status, a.credentials_rotation, a.db_name
         FROM instances i LEFT JOIN reconcile_allocations a ON a.instance_id = i.id
         WHERE i.status <> 'forgotten' ORDER BY i.id",
    );
    found.same("the instances", &rows, &instances.collect::<String>());

    let counters = world.sql("SELECT name, current_instances FROM db_servers ORDER BY name");
    let counted = world.sql(
        "SELECT s.name, (SELECT COUNT(*) FROM reconcile_allocations a WHERE a.server_id = s.id)
         FROM db_servers s ORDER BY s.name",
    );
    found.same("the counters", &counters, &counted);
}

/// One role and one database for each instance, on the server that its row names, and whoever may log in can.
pub fn at_pools(wanted: &Wanted, world: &World, estate: &Estate, found: &mut Found) {
    let rows = world.sql(
        "SELECT s.name || ' dat ' || a.db_name FROM reconcile_allocations a JOIN db_servers s ON s.id = a.server_id
         UNION ALL
         SELECT s.name || ' rol ' || a.db_user FROM reconcile_allocations a JOIN db_servers s ON s.id = a.server_id",
    );
    found.same("what lies on the servers", &sorted(&estate.inventory()), &sorted(&rows));
    for (number, customer) in wanted.customers.iter().filter(|(_, customer)| customer.stand != Stand::Retired) {
        match estate.credentials(*number) {
            Some(credentials) if customer.waits => {
                if let Err(why) = estate.log_in(&credentials) {
                    found.lost.push(format!("the password of instance {number}: {why}"));
                }
            }
            None if customer.waits => found.lost.push(format!("the credentials of instance {number}")),
            Some(_) => found.doubled.push(format!("the credentials of instance {number}, which went with its task")),
            None => {}
        }
    }
}

fn sorted(lines: &str) -> String {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Each task was sent once, and done once.
pub fn at_tasks(wanted: &Wanted, world: &World, estate: &Estate, worker: &Worker, found: &mut Found) {
    let log = worker.log();
    for (number, customer) in &wanted.customers {
        let begun = log.matches(&format!("instance {}: begun", id(*number))).count();
        let should = usize::from(customer.stand != Stand::Waits);
        let sent = format!("SELECT dispatches FROM reconcile_allocations WHERE instance_id = '{}'", id(*number));
        let sent = one(world, &sent);
        match begun.cmp(&should) {
            std::cmp::Ordering::Greater => found.doubled.push(format!("the task of instance {number}: {begun}")),
            std::cmp::Ordering::Less => found.lost.push(format!("the task of instance {number}")),
            std::cmp::Ordering::Equal if sent != should.to_string() => {
                found.odd(format!("instance {number} has {sent} tasks by its row, and the worker took {begun}"));
            }
            std::cmp::Ordering::Equal => {}
        }
    }
    let waiting: i64 = estate.redis.ask(&["LLEN", QUEUE]);
    if waiting > 0 || worker.done() > wanted.tasks() {
        let (done, should) = (worker.done(), wanted.tasks());
        found.doubled.push(format!("{done} tasks were done where {should} were wanted, and {waiting} wait"));
    }
    // What nobody ever takes is gone by itself.
    for key in estate.redis.keys().iter().filter(|key| key.starts_with("host:") || key.starts_with("instance:")) {
        if estate.redis.ask::<i64>(&["PTTL", key]) == -1 {
            found.odd(format!("{key} would stay for ever"));
        }
    }
}

/// Each new GUID can be claimed once, and it alone opens its session; those of others still do.
pub fn at_guids(wanted: &mut Wanted, dice: &mut fastrand::Rng, world: &World, found: &mut Found) {
    let opens = |number: &u32, guid: &str| {
        let verified = world.run_with(&["host", "verify", "--session-id", &number.to_string()], guid);
        assert!(matches!(verified.code, 0 | 1), "{}", verified.text());
        verified.code == 0
    };
    let others: Vec<(&u32, &Session)> =
        wanted.sessions.iter().filter(|(_, session)| session.claimed() == session.generation).collect();
    if let Some((number, Some((_, guid)))) = dice.choice(others).map(|(number, session)| (number, &session.guid))
        && !opens(number, guid)
    {
        found.lost.push(format!("the GUID of host {number}, which nobody has rotated"));
    }
    for (number, session) in wanted.sessions.iter_mut().filter(|(_, session)| session.claimed() != session.generation) {
        let claimed = world.run(&["host", "claim", &number.to_string()]);
        if claimed.code != 0 {
            found.lost.push(format!("the GUID of host {number}: {}", claimed.text()));
            continue;
        }
        session.claims += 1;
        let before = session.guid.replace((session.generation, claimed.stdout.clone()));
        if !opens(number, &claimed.stdout) {
            found.lost.push(format!("the GUID of host {number}, which opens nothing"));
        }
        if before.is_some_and(|(_, guid)| opens(number, &guid)) {
            found.doubled.push(format!("the GUID of host {number}: the old one opens its session too"));
        }
    }
}

/// Every change has its one line, and there is no line for what was not done.
pub fn at_the_journal(wanted: &Wanted, world: &World, found: &mut Found) {
    let mut should = Vec::new();
    let mut line = |kind: &str, name: &str, action: &str, count: u64| {
        should.extend((count > 0).then(|| format!("{kind}|{name}|{action}|{count}\n")));
    };
    for (number, session) in &wanted.sessions {
        let name = number.to_string();
        line("session", &name, "create", 1);
        line("session", &name, "update", session.edits);
        line("host", &name, "create", 1);
        line("host", &name, "rotate", session.generation - 1);
        line("host", &name, "claim", session.claims);
    }
    for (number, customer) in &wanted.customers {
        line("instance", &id(*number), "create", 1);
        line("instance", &id(*number), "rotate", customer.rotation - 1);
        // reserved, database_created, allocated; then provisioning, ready.
        line("instance", &id(*number), "resume", if customer.stand == Stand::Waits { 2 } else { 4 });
    }
    // What retires an instance is not counted: its row and its login are two lines, or one. Nor is what concerns all, such
    // as the mark of a store.
    let rows = world.sql(
        "SELECT j.kind, j.name, j.action, COUNT(*) FROM reconcile_journal j
         WHERE j.kind IN ('session', 'host') OR (j.kind = 'instance' AND j.action <> 'update' AND
               j.name IN (SELECT CAST(i.id AS TEXT) FROM instances i WHERE i.status <> 'forgotten'))
         GROUP BY j.kind, j.name, j.action",
    );
    found.same("the journal's lines", &sorted(&rows), &sorted(&should.concat()));
}
