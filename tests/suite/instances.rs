//! Instances: a database for every customer, for real: on pool servers, through Redis, to a Celery worker.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::fixture::World;
use crate::fixture::pools::{Pool, Pools};
use crate::fixture::redis::Redis;

mod allocation;
mod canary;
mod cuts;
mod harm;
mod interleaved;
mod placement;
mod provisioning;
mod rights;

pub const LIMIT: Duration = Duration::from_secs(30);
pub const QUEUE: &str = "instance_provisioning";

/// Pool servers and a Redis, which the world's configuration knows.
pub struct Estate {
    pub pools: Pools,
    pub redis: Redis,
}

impl Estate {
    pub fn of(world: &mut World, pools: u8) -> Self {
        Self::with(world, Pools::start(pools), Redis::start())
    }

    fn with(world: &mut World, pools: Pools, redis: Redis) -> Self {
        pools.known_to(world);
        world.env("RECONCILE_REDIS_URL", &redis.url()).env("RECONCILE_CELERY_RESULT_URL", &redis.url());
        // A killed applier is replaced soon.
        world.env("RECONCILE_LEASE", "1s");
        world.run(&["migrate"]).expect_code(0);
        Self { pools, redis }
    }

    /// Writes the servers into the state files, each with `more` fields, such as `max_instances: 5`.
    pub fn declare_servers(&self, world: &World, more: &str) {
        let servers: String = self.pools.iter().map(|pool| pool.declared(more)).collect();
        world.write("desired-state/servers.yaml", &format!("servers:\n{servers}"));
    }

    /// The server on which the instance lies, as the database has it.
    pub fn pool_of(&self, world: &World, number: u32) -> &Pool {
        let name = one(
            world,
            &format!(
                "SELECT s.name FROM instances i JOIN db_servers s ON s.id = i.db_server_id WHERE i.id = '{}'",
                id(number)
            ),
        );
        self.pools.iter().find(|pool| pool.name() == name).unwrap_or_else(|| panic!("no server {name:?}"))
    }

    /// The credentials that wait for the instance's reader; they stay where they are.
    pub fn credentials(&self, number: u32) -> Option<Json> {
        let text: Option<String> = self.redis.ask(&["GET", &key(number)]);
        text.map(|text| serde_json::from_str(&text).expect("JSON"))
    }

    /// The messages in the queue, the oldest first: envelope, and the body that it holds.
    fn messages(&self) -> Vec<(Json, Json)> {
        let mut waiting: Vec<String> = self.redis.ask(&["LRANGE", QUEUE, "0", "-1"]);
        waiting.reverse();
        waiting.iter().map(|text| opened(text)).collect()
    }

    /// Logs in with these credentials, as a worker would, and writes. Errors: what the server says.
    pub fn log_in(&self, credentials: &Json) -> Result<String, String> {
        let text = |field: &str| credentials[field].as_str().unwrap_or_else(|| panic!("no {field}"));
        let pool =
            self.pools.iter().find(|pool| u64::from(pool.port) == credentials["db_port"]).expect("a server's port");
        assert_eq!(text("db_host"), "127.0.0.1");
        let write = "CREATE TABLE IF NOT EXISTS proof (id INT); INSERT INTO proof VALUES (1); SELECT current_user";
        pool.as_role(text("db_user"), text("db_password"), text("db_name"), write)
    }

    /// All databases and roles of instances on all servers, one a line.
    pub fn inventory(&self) -> String {
        let found = self.pools.iter().map(|pool| {
            let of = |what: &str, catalog: &str| {
                let (name, server) = (format!("{what}name"), pool.name());
                pool.psql(
                    "postgres",
                    &format!("SELECT '{server} {what} ' || {name} FROM {catalog} WHERE {name} LIKE 'odoo%' ORDER BY 1"),
                )
            };
            of("dat", "pg_database") + &of("rol", "pg_roles")
        });
        found.collect()
    }

    /// The instance as an uncut run leaves it before anybody has taken its credentials: on one server one database and
    /// one role, which the handed-over password opens, and nobody else's.
    #[track_caller]
    fn is_allocated(&self, world: &World, number: u32) {
        let (database, role) = names(number);
        let pool = self.pool_of(world, number);
        let server = pool.name();
        let of_this: Vec<String> =
            self.inventory().lines().filter(|line| line.contains(&database)).map(str::to_owned).collect();
        assert_eq!(of_this, [format!("{server} dat {database}"), format!("{server} rol {role}")]);
        let state = format!(
            "SELECT pg_get_userbyid(datdba), datallowconn, has_database_privilege('public', datname, 'CONNECT')
             FROM pg_database WHERE datname = '{database}'"
        );
        assert_eq!(pool.psql("postgres", &state).trim(), format!("{role}|true|false"));
        let credentials =
            self.credentials(number).or_else(|| self.dispatched(number)).expect("handed-over credentials");
        assert_eq!(self.log_in(&credentials), Ok(format!("{role}\n")));
        counters_are_right(world);
    }

    /// The credentials in the instance's one message in the queue.
    fn dispatched(&self, number: u32) -> Option<Json> {
        let messages = self.messages();
        let mut of_this = messages.into_iter().filter(|(_, body)| body[0][0] == id(number).as_str());
        let (_, body) = of_this.next()?;
        assert!(of_this.next().is_none(), "instance {number} was dispatched twice");
        Some(body[1]["db_credentials"].clone())
    }
}

/// A message of Celery's: its envelope, and its body decoded.
fn opened(text: &str) -> (Json, Json) {
    use base64::Engine;
    let envelope: Json = serde_json::from_str(text).expect("an envelope");
    let body = base64::engine::general_purpose::STANDARD.decode(envelope["body"].as_str().expect("a body"));
    (envelope, serde_json::from_slice(&body.expect("base64")).expect("a body"))
}

/// The id of the `number`th instance of these tests.
pub fn id(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-{number:012x}")
}

/// Its key in the hand-off.
pub fn key(number: u32) -> String {
    format!("instance:{}:db_credentials", id(number))
}

/// Its database and role.
pub fn names(number: u32) -> (String, String) {
    let database = format!("odoo_c0{number:06x}57b1439f_{number:08x}");
    (database.clone(), format!("{database}_user"))
}

/// Its line in a state file, with `more` fields.
pub fn instance(number: u32, more: &str) -> String {
    let id = id(number);
    format!("  - {{id: {id}, customer: c0{number:06x}-57b1-439f-8000-000000000002, name: customer {number}, {more}}}\n")
}

/// Writes these instances into the state files, each with `more` fields.
pub fn declare(world: &World, numbers: impl IntoIterator<Item = u32>, more: &str) {
    let lines: String = numbers.into_iter().map(|number| instance(number, more)).collect();
    world.write("desired-state/instances.yaml", &format!("instances:\n{lines}"));
}

pub fn one(world: &World, query: &str) -> String {
    world.sql(query).trim().to_owned()
}

pub fn phase(world: &World, number: u32) -> String {
    one(world, &format!("SELECT provisioning_status FROM instances WHERE id = '{}'", id(number)))
}

/// The counter of each server says what the rows say.
#[track_caller]
fn counters_are_right(world: &World) {
    let wrong = "SELECT s.name, s.current_instances FROM db_servers s WHERE s.current_instances <>
                 (SELECT COUNT(*) FROM reconcile_allocations a WHERE a.server_id = s.id)";
    assert_eq!(world.sql(wrong), "");
}

/// What was printed, on one line: no word is parted from the next by the width of the page.
pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Nothing is left to do.
#[track_caller]
fn is_settled(world: &World) {
    let plan = world.run(&["--plan"]).expect_code(0).stdout;
    assert!(plan.contains("No changes."), "{plan}");
}

#[track_caller]
fn eventually(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "it never came to that");
        std::thread::sleep(Duration::from_millis(30));
    }
}
