//! What the files want, how it changes from round to round, and what a program that was never killed makes of it.

use std::collections::BTreeMap;

use crate::fixture::World;
use crate::instances::{Estate, id, instance, key, names, one};

/// So many sessions are enough to go on with.
const SESSIONS: usize = 60;
/// So many instances at once, below which no budget counts their share.
const INSTANCES: usize = 8;

pub struct Session {
    /// How often its title was changed; the title says so too.
    pub edits: u64,
    /// The file's number.
    pub rotation: u64,
    /// How many GUIDs it has had: by number, by hand and by schedule.
    pub generation: u64,
    /// How many of them were claimed.
    pub claims: u64,
    /// The GUID that was claimed last, and to which generation it belongs.
    pub guid: Option<(u64, String)>,
}

impl Session {
    pub fn title(&self) -> String {
        format!("Title {}", self.edits)
    }

    pub fn claimed(&self) -> u64 {
        self.guid.as_ref().map_or(0, |(generation, _)| *generation)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It waits to be released; its credentials wait with it.
    Waits,
    /// Its task was sent, with its credentials.
    Released,
    /// It was released, and nobody may log in any more.
    Retired,
}

pub struct Customer {
    pub stand: Stand,
    /// The file's number for its credentials.
    pub rotation: u64,
    /// Credentials of it wait for their reader.
    pub waits: bool,
}

#[derive(Default)]
pub struct Wanted {
    pub sessions: BTreeMap<u32, Session>,
    pub customers: BTreeMap<u32, Customer>,
    /// Numbers of instances are not used again.
    last: u32,
    /// Tasks that were ever to be sent.
    tasks: usize,
}

impl Wanted {
    /// What there is before the first kill.
    pub fn begin(&mut self, dice: &mut fastrand::Rng) {
        for _ in 0..4 {
            self.add_session();
        }
        self.add_customer();
        self.add_customer();
        self.release(dice);
    }

    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// The next round's wishes. What is done by hand, or by time, is done at once.
    pub fn change(&mut self, dice: &mut fastrand::Rng, world: &World, estate: &Estate) {
        self.forget(world, estate);
        let mut hosts: Vec<u32> = self.sessions.keys().copied().collect();
        dice.shuffle(&mut hosts);
        // Different hosts: who is rotated for two reasons at once is rotated once or twice.
        let mut hosts = hosts.into_iter();
        if let Some(number) = hosts.next() {
            self.of(number, |session| {
                (session.rotation, session.generation) = (session.rotation + 1, session.generation + 1)
            });
        }
        if let Some(number) = hosts.next().filter(|_| dice.bool()) {
            world.run(&["host", "rotate", "--session-id", &number.to_string()]).expect_code(0);
            self.of(number, |session| session.generation += 1);
        }
        if let Some(number) = hosts.next().filter(|_| dice.bool()) {
            is_due(world, number);
            self.of(number, |session| session.generation += 1);
        }
        if let Some(number) = dice.choice(self.sessions.keys()).copied() {
            self.of(number, |session| session.edits += 1);
        }
        if self.sessions.len() < SESSIONS {
            self.add_session();
        }
        match dice.u8(..4) {
            0 => self.retire(dice),
            1 => self.rotate_credentials(dice),
            _ => self.release(dice),
        }
        if self.customers.len() < INSTANCES {
            self.add_customer();
        }
    }

    fn of(&mut self, number: u32, change: impl FnOnce(&mut Session)) {
        change(self.sessions.get_mut(&number).expect("a session that is wanted"));
    }

    fn add_session(&mut self) {
        let number = 1 + u32::try_from(self.sessions.len()).expect("few sessions");
        self.sessions.insert(number, Session { edits: 0, rotation: 1, generation: 1, claims: 0, guid: None });
    }

    fn add_customer(&mut self) {
        self.last += 1;
        self.customers.insert(self.last, Customer { stand: Stand::Waits, rotation: 1, waits: true });
    }

    /// One of those that stand so.
    fn one_that(&mut self, dice: &mut fastrand::Rng, stand: Stand) -> Option<&mut Customer> {
        let those: Vec<&mut Customer> =
            self.customers.values_mut().filter(|customer| customer.stand == stand).collect();
        dice.choice(those)
    }

    fn release(&mut self, dice: &mut fastrand::Rng) {
        if let Some(customer) = self.one_that(dice, Stand::Waits) {
            (customer.stand, customer.waits) = (Stand::Released, false);
            self.tasks += 1;
        }
    }

    fn rotate_credentials(&mut self, dice: &mut fastrand::Rng) {
        let stand = if dice.bool() { Stand::Waits } else { Stand::Released };
        if let Some(customer) = self.one_that(dice, stand) {
            (customer.rotation, customer.waits) = (customer.rotation + 1, true);
        }
    }

    fn retire(&mut self, dice: &mut fastrand::Rng) {
        if let Some(customer) = self.one_that(dice, Stand::Released) {
            customer.stand = Stand::Retired;
        }
    }

    /// Whoever is retired is forgotten, and his database is dropped by whoever looks after it.
    fn forget(&mut self, world: &World, estate: &Estate) {
        let retired = |_: &u32, customer: &mut Customer| customer.stand == Stand::Retired;
        for (number, _) in self.customers.extract_if(.., retired) {
            let pool = estate.pool_of(world, number);
            world.run(&["instance", "forget", &id(number), "--name", &format!("customer {number}")]).expect_code(0);
            let (database, role) = names(number);
            pool.psql("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"));
            pool.psql("postgres", &format!("DROP ROLE {role}"));
            let _: i64 = estate.redis.ask(&["DEL", &key(number)]);
        }
    }

    pub fn write(&self, world: &World) {
        let mut sessions = "sessions:\n".to_owned();
        let mut hosts = "hosts:\n".to_owned();
        for (number, session) in &self.sessions {
            sessions += &format!("  - {{id: {number}, title: {}}}\n", session.title());
            hosts += &format!("  - {{session: {number}, rotation: {}, rotate_every: 30d}}\n", session.rotation);
        }
        let customers = self.customers.iter().map(|(number, customer)| {
            let more = match customer.stand {
                Stand::Waits => "provision: on_billing",
                Stand::Released => "provision: at_once",
                Stand::Retired => "provision: at_once, state: retired",
            };
            instance(*number, &format!("{more}, credentials_rotation: {}", customer.rotation))
        });
        let customers: String = customers.collect();
        world.write("desired-state/week.yaml", &format!("{sessions}{hosts}"));
        world.write("desired-state/instances.yaml", &format!("instances:\n{customers}"));
    }
}

/// The host's schedule is due: its GUID is said to be old.
fn is_due(world: &World, number: u32) {
    let attempt = one(world, &format!("SELECT attempt FROM host_sessions WHERE session_id = {number} AND is_active"));
    world.sql(&format!(
        "UPDATE reconcile_handoffs SET minted_at = '2020-01-01T00:00:00+00:00' WHERE attempt = '{attempt}'"
    ));
}
