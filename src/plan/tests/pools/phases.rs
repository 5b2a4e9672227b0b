//! Instances that are there: resumed, released, rotated, retired, and left alone.

use super::*;

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
    insta::assert_snapshot!(story("", released).told(), @"
      > instance/fbaa8c92-0000-4000-8000-000000000001
                                  resume at allocated on pool-1

    Plan: 1 to resume. 1 unchanged, 0 unmanaged.
    ");
    let lost = |row: &mut instance::Observed| {
        released(row);
        row.waiting = false;
    };
    insta::assert_snapshot!(story("", lost).told(), @"
      > instance/fbaa8c92-0000-4000-8000-000000000001
                                  resume at allocated on pool-1: the credentials
                                  were no longer in the hand-off, so a new password
                                  is set

    Plan: 1 to resume. 1 unchanged, 0 unmanaged.
    ");
    let unknown = |row: &mut instance::Observed| {
        released(row);
        (row.waiting, row.unknown) = (false, Some(Unknown::NoRedis));
    };
    let told = story("", unknown).flat();
    assert!(told.contains("unknown from here whether its credentials wait: no handoff is configured"), "{told}");
    assert!(told.contains("1 blocked"), "no new password is set: {told}");
    let unreleased = |row: &mut instance::Observed| (row.waiting, row.unknown) = (false, Some(Unknown::NoRedis));
    assert_eq!(story("", unreleased).plan().summary().unchanged, 2, "what is not needed blocks nothing");
    let sent = |row: &mut instance::Observed| {
        released(row);
        (row.waiting, row.sent) = (false, true);
    };
    let plan = story("", sent).plan();
    let Step::Instance(step) = &plan.changes[0].change.step else { panic!("not an instance") };
    assert_eq!(step.stages.len(), 1, "what was sent is recorded, and gets no new password: {:?}", step.stages);
}

#[test]
fn results_that_cannot_be_read_are_one_note_and_block_nothing() {
    let mut story = wants(POOL, &acme("")).has_server("pool-1", 1, |_| ()).has_acme(Phase::Provisioning, |_| ());
    story.observed.results_trouble = Some("Redis does not answer".to_owned());
    let told = story.flat();
    assert_eq!(
        told.matches("unknown from here whether the worker is done: Redis does not answer").count(),
        1,
        "{told}"
    );
    assert!(told.contains("No changes."), "{told}");
}

#[test]
fn billing_releases_what_waits_for_it_whichever_comes_first() {
    const SUBSCRIPTION: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let paid = |more: &str| {
        let mut story =
            wants(POOL, &acme(&format!("subscription: {SUBSCRIPTION}, {more}"))).has_server("pool-1", 0, |_| ());
        story.observed.releases.insert(SUBSCRIPTION.parse().unwrap(), "INVOICE_PAYMENT_SUCCESS".to_owned());
        story
    };
    let stages = |story: Story| {
        let plan = story.plan();
        let Some(Step::Instance(step)) = plan.changes.first().map(|planned| planned.change.step.clone()) else {
            return Vec::new();
        };
        step.stages
            .iter()
            .skip_while(|stage| stage.is_on_server() || matches!(stage, Stage::Reserve))
            .cloned()
            .collect()
    };
    let by = "billing: INVOICE_PAYMENT_SUCCESS".to_owned();
    let onward = vec![Stage::Release { by }, Stage::Dispatch { number: 1 }];
    assert_eq!(stages(paid("")), onward, "the event came first");
    assert_eq!(stages(paid("provision: hold")), []);
    assert_eq!(stages(paid("provision: at_once")), [Stage::Dispatch { number: 1 }]);
    let subscribes = |row: &mut instance::Observed| row.profile.subscription = SUBSCRIPTION.parse().ok();
    assert_eq!(stages(paid("").has_acme(Phase::Allocated, subscribes)), onward);
    assert_eq!(stages(paid("provision: hold").has_acme(Phase::Allocated, subscribes)), []);
    assert_eq!(stages(paid("").has_acme(Phase::Reserved, subscribes)), onward);
    assert_eq!(stages(paid("").has_acme(Phase::Provisioning, subscribes)), []);
    insta::assert_snapshot!(paid("").has_acme(Phase::Allocated, subscribes).told(), @"
      > instance/fbaa8c92-0000-4000-8000-000000000001
                                  resume at allocated on pool-1; released by
                                  billing: INVOICE_PAYMENT_SUCCESS

    Plan: 1 to resume. 1 unchanged, 0 unmanaged.
    ");
    let other = |story: &mut Story| {
        story.observed.releases = [(id(9).0, "INVOICE_PAYMENT_SUCCESS".to_owned())].into();
    };
    let mut story = paid("").has_acme(Phase::Allocated, subscribes);
    other(&mut story);
    assert_eq!(stages(story), [], "of another subscription");
}

#[test]
fn the_worker_s_word_ends_the_provisioning() {
    let story = |phase, outcome| {
        let differs = |row: &mut instance::Observed| row.outcome = outcome;
        wants(POOL, &acme("")).has_server("pool-1", 1, |_| ()).has_acme(phase, differs)
    };
    assert_eq!(story(Phase::Provisioning, Some(Outcome::Pending)).plan().summary().unchanged, 2);
    insta::assert_snapshot!(story(Phase::Provisioning, Some(Outcome::Success)).told(), @"
      > instance/fbaa8c92-0000-4000-8000-000000000001
                                  the worker says that it is ready

    Plan: 1 to resume. 1 unchanged, 0 unmanaged.
    ");
    let failed = Outcome::Failure { exception: "OperationalError".to_owned() };
    insta::assert_snapshot!(story(Phase::Provisioning, Some(failed)).told(), @"
      > instance/fbaa8c92-0000-4000-8000-000000000001
                                  the worker says that it failed

    Plan: 1 to resume. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(story(Phase::Failed, None).told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  the worker could not provision it: an error; see
                                  the worker's log, then `reconcile instance retry
                                  fbaa8c92-0000-4000-8000-000000000001`

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
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
    insta::assert_snapshot!(story("credentials_rotation: 2", |_| ()).told(), @"
      ± instance/fbaa8c92-0000-4000-8000-000000000001
                                  credentials_rotation 1 -> 2

    Plan: 1 to rotate. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(story("credentials_rotation: 2", rotated).told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  credentials_rotation 2 is below 3, which was
                                  applied already; an old commit is no wish to go
                                  back: write a higher number

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(story("state: retired", |_| ()).told(), @"
      ~ instance/fbaa8c92-0000-4000-8000-000000000001
                                  state active -> retired

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
    let retired = |row: &mut instance::Observed| row.profile.state = State::Retired;
    assert_eq!(story("state: retired", retired).plan().summary().unchanged, 2);
    insta::assert_snapshot!(story("state: active", retired).told(), @"
      ~ instance/fbaa8c92-0000-4000-8000-000000000001
                                  state retired -> active

    Plan: 1 to update. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn what_never_changes_is_said() {
    let story = |instance: &str| wants(POOL, instance).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, |_| ());
    let theirs = acme("").replace(CUSTOMER, "e425c7f2-57b1-439f-8000-000000000002");
    insta::assert_snapshot!(story(&theirs).told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  its customer is
                                  d425c7f2-57b1-439f-8000-000000000002, and that
                                  never changes; write that customer; for another
                                  one, declare an instance with an id of its own

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(story(&acme("tier: premium")).told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  premium does not fit pool-1, where its database
                                  lies; nothing moves a database by itself: take the
                                  tier back

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    insta::assert_snapshot!(story(&acme("server: pool-2")).told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  it is pinned to pool-2, but its database lies on
                                  pool-1; nothing moves a database by itself: take
                                  the pin back

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn a_server_that_is_down_blocks_what_needs_it_and_nothing_else() {
    let story = wants(POOL, &acme("credentials_rotation: 2"))
        .has_server("pool-1", 1, |_| ())
        .has_acme(Phase::Ready, |_| ())
        .down("pool-1");
    insta::assert_snapshot!(story.told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  pool-1 cannot be used now: nobody listens there;
                                  it goes on by itself when the server answers; see
                                  `reconcile doctor`
      i server/pool-1             it cannot be used now: nobody listens there

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    let mut retiring = story;
    retiring.desired = wants(POOL, &acme("state: retired")).desired;
    assert_eq!(retiring.plan().blocked.len(), 1, "the row must not say what the role does not");
    let calm = wants(POOL, &acme("")).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, |_| ()).down("pool-1");
    insta::assert_snapshot!(calm.told(), @"
      i server/pool-1  it cannot be used now: nobody listens there

    No changes. The database matches the desired state. 2 unchanged.
    ");
    let mut without_redis = wants(POOL, &acme("")).has_server("pool-1", 0, |_| ());
    without_redis.observed.handoff_trouble = Some("nobody listens there".to_owned());
    insta::assert_snapshot!(without_redis.told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  the hand-off cannot be used now: nobody listens
                                  there; it goes on by itself when that answers; see
                                  `reconcile doctor`

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn a_database_that_is_gone_or_somebody_else_s_is_left_to_people() {
    let mut gone = wants(POOL, &acme("")).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, |_| ());
    gone.observed.sights.insert(ServerName("pool-1".to_owned()), Ok(sight()));
    insta::assert_snapshot!(gone.told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  its database odoo_d425c7f257b1439f_fbaa8c92 is
                                  gone from pool-1, or its role is; restore it
                                  there; or give it up: `reconcile instance forget
                                  fbaa8c92-0000-4000-8000-000000000001`

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
    let mut foreign = wants(POOL, &acme("")).has_server("pool-1", 0, |_| ());
    let mut seen = sight();
    seen.databases.insert(DATABASE.to_owned(), SeenDatabase { owner: "postgres".to_owned() });
    foreign.observed.sights.insert(ServerName("pool-1".to_owned()), Ok(seen));
    insta::assert_snapshot!(foreign.told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  there is a database odoo_d425c7f257b1439f_fbaa8c92
                                  on pool-1, and it is not this instance's; it is
                                  left alone: rename or remove it there, or pin
                                  another server

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
}

#[test]
fn a_server_in_no_file_keeps_what_it_has() {
    let story =
        wants("", &acme("credentials_rotation: 2")).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, |_| ());
    insta::assert_snapshot!(story.told(), @"
      ± instance/fbaa8c92-0000-4000-8000-000000000001
                                  credentials_rotation 1 -> 2
      i server/pool-1             no file names it, and it holds 1: it keeps them,
                                  and takes no more

    Plan: 1 to rotate. 0 unchanged, 1 unmanaged.
    ");
}

#[test]
fn what_an_older_tool_allocated_keeps_its_address() {
    let older = |row: &mut instance::Observed| {
        row.allocation = None;
        row.db_host = Some("db.example.org".to_owned());
    };
    let story = |more: &str| wants(POOL, &acme(more)).has_server("pool-1", 1, |_| ()).has_acme(Phase::Ready, older);
    assert_eq!(story("").plan().summary().unchanged, 2);
    insta::assert_snapshot!(story("credentials_rotation: 2").told(), @"
      ! instance/fbaa8c92-0000-4000-8000-000000000001
                                  it was not allocated here, so its role is not ours
                                  to change; change it where it was made

    Plan: nothing to change; 1 blocked. 1 unchanged, 0 unmanaged.
    ");
}
