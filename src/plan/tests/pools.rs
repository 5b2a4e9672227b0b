//! Servers and instances: registered, placed, resumed, retired, and why not when not.

mod phases;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::port::pool::{Mark, Rights, SeenDatabase, SeenRole, Sight};
use crate::port::task::Outcome;
use crate::resource::instance::phase::Phase;
use crate::resource::instance::steps::Stage;
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

    fn down(mut self, name: &str) -> Self {
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
                last_task: None,
                released_at: None,
                handoff: Record::default(),
                outcome: None,
            }),
            waiting: true,
            unknown: None,
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
    insta::assert_snapshot!(story.told(), @r#"
      + server/pool-1             host 10.0.0.11, port 5432, type shared,
                                  max_instances 50, priority 100, state active,
                                  admin pool-1
      + instance/fbaa8c92-0000-4000-8000-000000000001
                                  name "acme", tier standard, server pool-1,
                                  database odoo_d425c7f257b1439f_fbaa8c92

    Plan: 2 to create. 0 unchanged, 0 unmanaged.
    "#);
}

#[test]
fn a_counter_that_disagrees_with_the_rows_is_drift() {
    let story = wants(POOL, "").has_server("pool-1", 3, |row| row.counter = 7);
    insta::assert_snapshot!(story.told(), @"
      ~ server/pool-1  current_instances 7 -> 3                                drift

    Plan: 1 to update. 0 unchanged, 0 unmanaged.
    ");
}

#[test]
fn a_server_is_changed_and_renamed() {
    let renamed = "{name: pool-9, formerly: pool-1, host: 10.0.0.12, max_instances: 60, admin: pool-1}";
    let story = wants(renamed, "").has_server("pool-1", 3, |_| ());
    insta::assert_snapshot!(story.told(), @"
      ~ server/pool-9  name pool-1 -> pool-9, host 10.0.0.11 -> 10.0.0.12,
                       max_instances 50 -> 60
      i server/pool-9  it cannot be used now: it was not asked

    Plan: 1 to update. 0 unchanged, 0 unmanaged.
    ");
    let both = wants(renamed, "").has_server("pool-1", 3, |_| ()).has_server("pool-9", 0, |_| ());
    insta::assert_snapshot!(both.told(), @"
      ! server/pool-9  it is to take over from pool-1, and both exist; take
                       `formerly` away; nothing merges two servers
      i server/pool-1  no file names it, and it holds 3: it keeps them, and takes no
                       more

    Plan: nothing to change; 1 blocked. 0 unchanged, 1 unmanaged.
    ");
}

#[test]
fn of_two_that_want_one_server_neither_has_it() {
    let moved = "{name: pool-9, formerly: pool-1, host: 10.0.0.11, max_instances: 50, admin: pool-1}";
    let anew = "{name: pool-1, host: 10.0.0.12, max_instances: 50, admin: pool-2}";
    let told = |servers: &str| {
        let told = wants(servers, "").has_server("pool-1", 3, |_| ()).told();
        told.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let both = told(&format!("{moved}, {anew}"));
    for line in [
        "! server/pool-1 server/pool-9, in ",
        "is to take over from it; let the renaming be applied first; then another server may be called pool-1",
        "! server/pool-9 it is to take over from pool-1, which ",
        "Plan: nothing to change; 2 blocked.",
    ] {
        assert!(both.contains(line), "{both}");
    }
    let twice = told(&format!("{moved}, {}", moved.replace("pool-9", "pool-8")));
    for line in [
        "! server/pool-8 server/pool-9, in ",
        "! server/pool-9 server/pool-8, in ",
        "is to take over from pool-1 too; take `formerly` away from one of them",
        "Plan: nothing to change; 2 blocked.",
    ] {
        assert!(twice.contains(line), "{twice}");
    }
}

#[test]
fn what_a_server_holds_must_have_room_in_it() {
    let smaller = "{name: pool-1, host: 10.0.0.11, max_instances: 40, admin: pool-1}";
    insta::assert_snapshot!(wants(smaller, "").has_server("pool-1", 45, |_| ()).told(), @"
      ! server/pool-1  it holds 45, and max_instances would be 40; forget retired
                       instances first, or leave it and say `state: maintenance`
      i server/pool-1  it is filling up: 45 of 50 places are taken (90%)

    Plan: nothing to change; 1 blocked. 0 unchanged, 0 unmanaged.
    ");
    let dedicated = "{name: pool-1, host: 10.0.0.11, type: dedicated, admin: pool-1}";
    insta::assert_snapshot!(wants(dedicated, "").has_server("pool-1", 1, |_| ()).told(), @"
      ! server/pool-1  it holds 1 as shared, and would be dedicated; register
                       another server of that type

    Plan: nothing to change; 1 blocked. 0 unchanged, 0 unmanaged.
    ");
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
        .down("e-down")
        .has_server("f-undeclared", 0, small);
    insta::assert_snapshot!(story.told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  no server takes it: b-asleep: it is in
                                  maintenance; c-own: it is dedicated; d-ill: it is
                                  degraded; e-down: nobody listens there;
                                  f-undeclared: no file declares it any more;
                                  a-full: it is full (2/2); see `reconcile doctor`,
                                  or add a server
      i server/a-full             it is nearly out of places: 2 of 2 are taken
                                  (100%)
      i server/e-down             it cannot be used now: nobody listens there

    Plan: nothing to change; 1 blocked. 5 unchanged, 1 unmanaged.
    ");
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
    let suspended = ResourceId::new(instance::KIND, "00000001-0000-4000-8000-000000000001");
    story.ledger.suspended.insert(suspended, "by Amina: exams".to_owned());
    let plan = story.plan();
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.changes[0].change.id.name, ACME);
}

#[test]
fn a_premium_instance_wants_a_server_of_its_own_and_a_pin_must_fit() {
    insta::assert_snapshot!(wants(POOL, &acme("tier: premium")).has_server("pool-1", 0, |_| ()).told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  no server takes it: pool-1: it is shared, and
                                  premium wants a dedicated server; add a server of
                                  type dedicated

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(wants(POOL, &acme("server: pool-7")).has_server("pool-1", 0, |_| ()).told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  it is pinned to pool-7, which is not known;
                                  declare it under servers:

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    let away = wants(POOL, &acme("server: pool-1")).has_server("pool-1", 0, |_| ()).down("pool-1");
    let (why, hint) =
        ("it is pinned to pool-1, and nobody listens there", "see `reconcile doctor`, or take the pin away");
    assert!(away.plan().blocked.iter().any(|blocked| blocked.reason == why && blocked.hint == hint));
    let full = wants(POOL, &acme("server: pool-1")).has_server("pool-1", 50, |_| ());
    insta::assert_snapshot!(full.told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  it is pinned to pool-1, and it is full (50/50);
                                  make room there, or take the pin away
      i server/pool-1             it is nearly out of places: 50 of 50 are taken
                                  (100%)

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
}
