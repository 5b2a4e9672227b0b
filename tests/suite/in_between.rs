//! What comes in between: a turn is planned, somebody changes the host, and only then the turn is applied.

use reconcile::apply::{Applier, Report};
use reconcile::config::{self, Overrides, Secrets};
use reconcile::progress::Progress;
use reconcile::store::Authority;
use reconcile::turn::{Focus, Request, World as Turn};

use crate::fixture::{Database, World, both};

/// The program's own world, on this project and its database.
pub async fn opened(world: &World) -> Turn {
    let env = |name: &str| match name {
        "RECONCILE_STATE" => Some(world.path().join("desired-state").display().to_string()),
        "RECONCILE_DATA_DIR" => Some(world.path().join(".reconcile").display().to_string()),
        "RECONCILE_DATABASE_URL" => (world.database() == Database::Postgres).then(|| world.url()),
        _ => None,
    };
    Turn::open(config::load(None, &Overrides::default(), env, world.path(), Secrets::Read).unwrap()).await.unwrap()
}

/// Plans one turn, lets `meanwhile` happen, and applies what was planned.
fn planned_before(world: &World, meanwhile: impl FnOnce()) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let turn = opened(world).await;
        let request = Request::everything();
        let wanted = turn.read().await.unwrap();
        let picture = turn.look(Focus::Everything(&wanted.desired), request.now).await.unwrap();
        let plan = turn.plan(&wanted, &picture, &request);
        assert_eq!((plan.changes.len(), plan.blocked.len()), (1, 0));
        let approved = plan.approve(None);
        meanwhile();
        let (database, context, authority) = (&turn.database, turn.by_user(None), Authority::ByHand);
        let ports = turn.ports(approved.plan(), &authority, &picture).await.unwrap();
        let progress = Progress::default();
        let applier = Applier { database, authority, context, ports: &ports, progress: &progress };
        applier.apply(&approved).await.unwrap()
    })
}

#[track_caller]
fn nothing_was_written(report: &Report) {
    let conflicts: Vec<String> = report.conflicts.iter().map(ToString::to_string).collect();
    assert!(report.applied == 0 && report.failed.is_empty(), "{report:?}");
    assert_eq!(conflicts, ["host/215"]);
}

fn declare(world: &World, host: &str) {
    world.write("desired-state/week.yaml", &format!("sessions: [{{id: 215, title: Al-Fatiha}}]\nhosts: [{host}]\n"));
}

/// A claimed host of rotation 1; then the file asks for more.
fn claimed(world: &World, wish: &str) {
    declare(world, "{session: 215}");
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
    world.run(&["host", "claim", "215"]).expect_code(0);
    declare(world, &format!("{{session: 215, {wish}}}"));
}

fn by_hand(world: &World, verb: &str, rest: &[&str]) -> String {
    world.run(&[&["host", verb, "--session-id", "215"], rest].concat()).expect_code(0).stdout
}

both! {
    fn a_revocation_is_not_undone_by_a_rotation_that_did_not_know_of_it(world) {
        claimed(world, "rotate_every: 30d");
        world.sql("UPDATE reconcile_handoffs SET minted_at = '2020-01-01T00:00:00+00:00'");
        let report = planned_before(world, || drop(by_hand(world, "revoke", &[])));
        nothing_was_written(&report);
        let still = "SELECT COUNT(*) FROM host_sessions WHERE revoked_at IS NOT NULL AND NOT is_active AND generation = 1";
        assert_eq!(world.sql(still).trim(), "1");
    }

    fn a_revocation_is_not_undone_by_an_update_either(world) {
        claimed(world, "expires_in: 90d");
        nothing_was_written(&planned_before(world, || drop(by_hand(world, "revoke", &[]))));
        assert_eq!(world.sql("SELECT COUNT(*) FROM host_sessions WHERE is_active OR expires_at IS NOT NULL").trim(), "0");
    }

    fn a_rotation_by_hand_comes_first_and_its_guid_stays_valid(world) {
        claimed(world, "rotation: 2");
        let mut guid = String::new();
        let report = planned_before(world, || guid = by_hand(world, "create", &["--quiet"]));
        nothing_was_written(&report);
        assert_eq!(world.sql("SELECT is_active, rotation, generation FROM host_sessions"), "true|1|2\n");
        world.run_with(&["host", "verify", "--session-id", "215"], &guid).expect_code(0);
        // The next turn sees it as it is, and does what the file asks for.
        world.run(&["--once"]).expect_code(0);
        assert_eq!(world.sql("SELECT is_active, rotation, generation FROM host_sessions"), "true|2|3\n");
    }

    fn a_row_that_was_put_aside_is_not_woken(world) {
        claimed(world, "rotation: 2");
        let report = planned_before(world, || drop(by_hand(world, "create", &["--force-new", "--quiet"])));
        nothing_was_written(&report);
        let rows = world.sql("SELECT is_active, rotation FROM host_sessions ORDER BY host_session_id");
        assert_eq!(rows, "false|1\ntrue|1\n");
    }

    fn of_two_beginnings_one_is_made(world) {
        declare(world, "");
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        declare(world, "{session: 215}");
        let mut guid = String::new();
        nothing_was_written(&planned_before(world, || guid = by_hand(world, "create", &["--quiet"])));
        assert_eq!(world.sql("SELECT is_active, rotation, generation FROM host_sessions"), "true|0|1\n");
        world.run_with(&["host", "verify", "--session-id", "215"], &guid).expect_code(0);
    }
}
