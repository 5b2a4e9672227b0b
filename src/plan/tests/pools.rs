//! Servers and instances: registered, placed, resumed, retired, and why not when not.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::port::pool::{Mark, Rights, SeenDatabase, SeenRole, Sight};
use crate::port::task::Outcome;
use crate::resource::instance::phase::Phase;
use crate::resource::instance::{self, Allocation, InstanceId, State, Tier};
use crate::resource::server::health::Condition;
use crate::resource::server::{self, Health, ServerName, ServerType, Status};
use crate::store::sql::Id;

const ACME: &str = "fbaa8c92-0000-4000-8000-000000000001";
const CUSTOMER: &str = "d425c7f2-57b1-439f-8000-000000000002";
const DATABASE: &str = "odoo_d425c7f257b1439f_fbaa8c92";
const POOL: &str = "{name: pool-1, host: 10.0.0.11, max_instances: 50, admin: pool-1}";

fn acme(more: &str) -> String {
    format!("{{id: {ACME}, customer: {CUSTOMER}, name: acme, {more}}}")
}

fn wants(servers: &str, instances: &str) -> Story {
    Story::wants(&format!("servers: [{servers}]\ninstances: [{instances}]\n"))
}

fn sight() -> Sight {
    Sight {
        identity: "7".to_owned(),
        version: 150_018,
        rights: Rights { create_databases: true, create_roles: true, superuser: false },
        roles: BTreeMap::new(),
        databases: BTreeMap::new(),
    }
}

fn id(number: u128) -> Id {
    Id(Uuid::from_u128(number))
}

impl Story {
    /// A registered server that answers, with so many places taken.
    fn has_server(mut self, name: &str, allocated: i64, differs: impl FnOnce(&mut server::Observed)) -> Self {
        let server_name = ServerName(name.to_owned());
        let mut row = server::Observed {
            id: id(self.observed.servers.len() as u128 + 1),
            profile: server::Profile {
                name: server_name.clone(),
                host: "10.0.0.11".to_owned(),
                port: 5432,
                server_type: ServerType::Shared,
                max_instances: 50,
                priority: 100,
                status: Status::Active,
                admin: Some(name.to_owned()),
            },
            counter: allocated,
            allocated,
            health: Health { condition: Condition::Healthy, ..Health::default() },
            identity: Some("7".to_owned()),
        };
        differs(&mut row);
        self.observed.servers.insert(server_name.clone(), row);
        self.observed.sights.insert(server_name, Ok(sight()));
        self
    }

    /// A server of the files that answers, registered or not.
    fn answers(mut self, name: &str) -> Self {
        self.observed.sights.insert(ServerName(name.to_owned()), Ok(sight()));
        self
    }

    fn is_down(mut self, name: &str) -> Self {
        self.observed.sights.insert(ServerName(name.to_owned()), Err("nobody listens there".to_owned()));
        self
    }

    /// The instance of these stories on the first server, in that phase, with what belongs to it there.
    fn has_acme(mut self, phase: Phase, differs: impl FnOnce(&mut instance::Observed)) -> Self {
        let mut row = instance::Observed {
            profile: instance::Profile {
                customer: CUSTOMER.parse().unwrap(),
                subscription: None,
                name: "acme".to_owned(),
                tier: Tier::Standard,
                state: State::Active,
            },
            phase,
            db_host: Some("10.0.0.11".to_owned()),
            db_port: Some(5432),
            server: (phase > Phase::DatabaseCreated).then(|| id(1)),
            allocation: Some(Allocation {
                server: id(1),
                database: DATABASE.to_owned(),
                role: format!("{DATABASE}_user"),
                rotation: 1,
                passwords: 1,
                dispatches: 0,
                released_at: None,
                outcome: None,
            }),
            waiting: true,
            sent: false,
            outcome: None,
        };
        differs(&mut row);
        if phase.has_database() {
            let mark = Mark { environment: "development".to_owned(), instance: ACME.parse().unwrap(), fencing: 1 };
            for sight in self.observed.sights.values_mut().flatten().take(1) {
                let role = SeenRole { mark: Some(mark.clone()), can_login: row.profile.state == State::Active };
                sight.roles.insert(format!("{DATABASE}_user"), role);
                sight.databases.insert(DATABASE.to_owned(), SeenDatabase { owner: format!("{DATABASE}_user") });
            }
        }
        self.observed.instances.insert(InstanceId(ACME.parse().unwrap()), row);
        self
    }
}

fn released(row: &mut instance::Observed) {
    if let Some(allocation) = &mut row.allocation {
        allocation.released_at = Some(at("2026-11-01T12:00:00Z"));
    }
}

#[test]
fn a_server_is_registered_and_its_first_instance_placed_in_one_plan() {
    let story = wants(POOL, &acme("provision: at_once")).answers("pool-1");
    insta::assert_snapshot!(story.told(), @"");
}

#[test]
fn a_counter_that_disagrees_with_the_rows_is_drift() {
    let story = wants(POOL, "").has_server("pool-1", 3, |row| row.counter = 7);
    insta::assert_snapshot!(story.told(), @"");
}

#[test]
fn a_server_is_changed_and_renamed() {
    let renamed = "{name: pool-9, formerly: pool-1, host: 10.0.0.12, max_instances: 60, admin: pool-1}";
    let story = wants(renamed, "").has_server("pool-1", 3, |_| ());
    insta::assert_snapshot!(story.told(), @"");
    let both = wants(renamed, "").has_server("pool-1", 3, |_| ()).has_server("pool-9", 0, |_| ());
    insta::assert_snapshot!(both.told(), @"");
}

#[test]
fn what_a_server_holds_must_have_room_in_it() {
    let smaller = "{name: pool-1, host: 10.0.0.11, max_instances: 40, admin: pool-1}";
    insta::assert_snapshot!(wants(smaller, "").has_server("pool-1", 45, |_| ()).told(), @"");
    let dedicated = "{name: pool-1, host: 10.0.0.11, type: dedicated, admin: pool-1}";
    insta::assert_snapshot!(wants(dedicated, "").has_server("pool-1", 1, |_| ()).told(), @"");
}

#[test]
fn every_server_that_does_not_take_an_instance_says_why() {
    let servers = "{name: a-full, host: h, max_instances: 2, admin: a}, {name: b-asleep, host: h, max_instances: 2, state: maintenance, admin: a},
        {name: c-own, host: h, type: dedicated, admin: a}, {name: d-ill, host: h, max_instances: 2, admin: a}, {name: e-down, host: h, max_instances: 2, admin: a}";
    let small = |row: &mut server::Observed| {
        row.profile.max_instances = 2;
        row.profile.host = "h".to_owned();
        row.profile.admin = Some("a".to_owned());
    };
    let story = wants(servers, &acme(""))
        .has_server("a-full", 2, small)
        .has_server("b-asleep", 0, |row| {
            small(row);
            row.profile.status = Status::Maintenance;
        })
        .has_server("c-own", 0, |row| {
            small(row);
            row.profile.server_type = ServerType::Dedicated;
            row.profile.max_instances = 1;
        })
        .has_server("d-ill", 0, |row| {
            small(row);
            row.health.condition = Condition::Degraded;
        })
        .has_server("e-down", 0, small)
        .is_down("e-down")
        .has_server("f-undeclared", 0, small);
    insta::assert_snapshot!(story.told(), @"");
}

#[test]
fn the_lowest_priority_goes_first_then_the_least_filled_then_the_name() {
    let servers = "{name: a, host: 10.0.0.11, max_instances: 50, admin: a}, {name: b, host: 10.0.0.11, max_instances: 50, admin: b}, {name: c, host: 10.0.0.11, max_instances: 50, priority: 10, admin: c}";
    let instances = (1..=4).map(|number| {
        format!("{{id: 0000000{number}-0000-4000-8000-000000000001, customer: {CUSTOMER}, name: i{number}}}")
    });
    let instances = instances.collect::<Vec<_>>().join(", ");
    let story =
        wants(servers, &instances)
            .has_server("a", 11, |_| ())
            .has_server("b", 10, |_| ())
            .has_server("c", 49, |row| row.profile.priority = 10);
    let plan = story.plan();
    let chosen = plan.changes.iter().map(|planned| match &planned.change.step {
        Step::Instance(step) => step.reserves().unwrap().to_string(),
        other => panic!("{other:?}"),
    });
    assert_eq!(chosen.collect::<Vec<_>>(), ["c", "b", "a", "b"]);
    assert!(plan.notes.iter().any(|(id, note)| id.name == "c" && note.contains("50 of 50")), "{:?}", plan.notes);
}

#[test]
fn a_place_that_is_not_taken_is_free_for_the_next() {
    let one = "{name: pool-1, host: 10.0.0.11, max_instances: 1, admin: pool-1}";
    let other = format!("{{id: 00000001-0000-4000-8000-000000000001, customer: {CUSTOMER}, name: other}}");
    let mut story =
        wants(one, &format!("{other}, {}", acme(""))).has_server("pool-1", 0, |row| row.profile.max_instances = 1);
    let suspended = ("instance".to_owned(), "00000001-0000-4000-8000-000000000001".to_owned());
    story.ledger.suspended.insert(suspended, "by Amina: exams".to_owned());
    let plan = story.plan();
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.changes[0].change.id.name, ACME);
}

#[test]
fn a_premium_instance_wants_a_server_of_its_own_and_a_pin_must_fit() {
    insta::assert_snapshot!(wants(POOL, &acme("tier: premium")).has_server("pool-1", 0, |_| ()).told(), @"");
    insta::assert_snapshot!(wants(POOL, &acme("server: pool-7")).has_server("pool-1", 0, |_| ()).told(), @"");
    let full = wants(POOL, &acme("server: pool-1")).has_server("pool-1", 50, |_| ());
    insta::assert_snapshot!(full.told(), @"");
}

#[test]
fn a_crash_is_resumed_at_the_phase_that_it_left() {
    for (phase, told) in [
        (Phase::Reserved, "resume at reserved on pool-1"),
        (Phase::DatabaseCreated, "resume at database_created on pool-1"),
    ] {
        let plan = wants(POOL, &acme("")).has_server("pool-1", 1, |_| ()).has_acme(phase, |_| ()).plan();
        assert_eq!(plan.changes[0].change.reason.as_deref(), Some(told));
        assert_eq!(plan.changes[0].change.action, Action::Resume);
    }
}

#[test]
fn an_allocated_instance_waits_until_it_is_released() {
    let story = |more: &str, differs: fn(&mut instance::Observed)| {
        wants(POOL, &acme(more)).has_server("pool-1", 1, |_| ()).has_acme(Phase::Allocated, differs)
    };
    assert_eq!(story("", |_| ()).plan().summary().unchanged, 2);
    assert_eq!(story("", |row| row.waiting = false).plan().summary().unchanged, 2, "expiry is no difference");
    assert_eq!(story("provision: hold", released).plan().summary().unchanged, 2);
    insta::assert_snapshot!(story("", released).told(), @"");
    let lost = |row: &mut instance::Observed| {
        released(row);
        row.waiting = false;
    };
    insta::assert_snapshot!(story("", lost).told(), @"");
    let sent = |row: &mut instance::Observed| {
        lost(row);
        row.sent = true;
    };
    let plan = story("", sent).plan();
    let Step::Instance(step) = &plan.changes[0].change.step else { panic!("not an instance") };
    assert_eq!(step.stages.len(), 1, "what was sent is recorded, and gets no new password: {:?}", step.stages);
}

#[test]
fn the_worker_s_word_ends_the_provisioning() {
    let story = |phase, outcome| {
        let differs = |row: &mut instance::Observed| row.outcome = outcome;
        wants(POOL, &acme("")).has_server("pool-1", 1, |_| ()).has_acme(phase, differs)
    };
    assert_eq!(story(Phase::Provisioning, Some(Outcome::Pending)).plan().summary().unchanged, 2);
    insta::assert_snapshot!(story(Phase::Provisioning, Some(Outcome::Success)).told(), @"");
    let failed = Outcome::Failure { exception: "OperationalError".to_owned() };
    insta::assert_snapshot!(story(Phase::Provisioning, Some(failed)).told(), @"");
    insta::assert_snapshot!(story(Phase::Failed, None).told(), @"");
}

#[test]
fn a_password_is_rotated_by_number_and_login_taken_and_given_back() {
    let story = |more: &str, differs: fn(&mut instance::Observed)| {
        wants(POOL, &acme(more)).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, differs)
    };
    let rotated = |row: &mut instance::Observed| {
        if let Some(allocation) = &mut row.allocation {
            allocation.rotation = 3;
        }
    };
    insta::assert_snapshot!(story("credentials_rotation: 2", |_| ()).told(), @"");
    insta::assert_snapshot!(story("credentials_rotation: 2", rotated).told(), @"");
    insta::assert_snapshot!(story("state: retired", |_| ()).told(), @"");
    let retired = |row: &mut instance::Observed| row.profile.state = State::Retired;
    assert_eq!(story("state: retired", retired).plan().summary().unchanged, 2);
    insta::assert_snapshot!(story("state: active", retired).told(), @"");
}

#[test]
fn what_never_changes_is_said() {
    let story = |instance: &str| wants(POOL, instance).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, |_| ());
    let theirs = acme("").replace(CUSTOMER, "e425c7f2-57b1-439f-8000-000000000002");
    insta::assert_snapshot!(story(&theirs).told(), @"");
    insta::assert_snapshot!(story(&acme("tier: premium")).told(), @"");
    insta::assert_snapshot!(story(&acme("server: pool-2")).told(), @"");
}

#[test]
fn a_server_that_is_down_blocks_what_needs_it_and_nothing_else() {
    let story = wants(POOL, &acme("credentials_rotation: 2"))
        .has_server("pool-1", 1, |_| ())
        .has_acme(Phase::Ready, |_| ())
        .is_down("pool-1");
    insta::assert_snapshot!(story.told(), @"");
    let calm = wants(POOL, &acme("")).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, |_| ()).is_down("pool-1");
    insta::assert_snapshot!(calm.told(), @"");
    let mut without_redis = wants(POOL, &acme("")).has_server("pool-1", 0, |_| ());
    without_redis.observed.handoff_trouble = Some("nobody listens there".to_owned());
    insta::assert_snapshot!(without_redis.told(), @"");
}

#[test]
fn a_database_that_is_gone_or_somebody_else_s_is_left_to_people() {
    let mut gone = wants(POOL, &acme("")).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, |_| ());
    gone.observed.sights.insert(ServerName("pool-1".to_owned()), Ok(sight()));
    insta::assert_snapshot!(gone.told(), @"");
    let mut foreign = wants(POOL, &acme("")).has_server("pool-1", 0, |_| ());
    let mut seen = sight();
    seen.databases.insert(DATABASE.to_owned(), SeenDatabase { owner: "postgres".to_owned() });
    foreign.observed.sights.insert(ServerName("pool-1".to_owned()), Ok(seen));
    insta::assert_snapshot!(foreign.told(), @"");
}

#[test]
fn a_server_in_no_file_keeps_what_it_has() {
    let story =
        wants("", &acme("credentials_rotation: 2")).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, |_| ());
    insta::assert_snapshot!(story.told(), @"");
}
