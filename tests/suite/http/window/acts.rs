//! What the page's buttons do to the world: each pressed in a real browser, and carried through by the real API.

use super::{tell_of, twelve, world};
use crate::daemon::{LATE, end, start};

/// Has one of the deeds of `tests/page/acts.py` done in a world with twelve sessions and a host, one of them suspended.
#[track_caller]
fn done(deed: &str, journal: &str) {
    let world = world();
    twelve(&world, "");
    world.write("desired-state/h.yaml", "hosts: [{session: 1}]\n");
    world.run(&["suspend", "session/2", "--reason", "Under repair"]).expect_code(0);
    let mut daemon = start(&world);
    if deed == "approve" {
        twelve(&world, "!");
        daemon.wait_for("not applied: ", LATE);
    }
    tell_of(&world, &daemon, "acts.py", deed);
    let lines = world.sql("SELECT actor, action, kind, reason FROM reconcile_journal ORDER BY journal_id");
    assert!(lines.contains(journal), "{lines}");
    end(daemon);
}

#[test]
fn reconcile_now() {
    done("reconcile", "");
}

#[test]
fn suspend_one_and_all() {
    done("suspend", "token operator|suspend|session|Under repair");
}

#[test]
fn resume_one() {
    done("resume", "token operator|resume|session|Mended");
}

#[test]
fn rotate_a_host() {
    done("rotate", "token operator|rotate|host|Left the house");
}

#[test]
fn approve_what_is_held_back() {
    done("approve", "token operator|approve|everything|It is meant");
}

#[test]
fn claim_a_guid_once() {
    done("claim", "token keeper|claim|host|");
}
