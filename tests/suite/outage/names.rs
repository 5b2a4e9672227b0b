//! The name of the database's host stops resolving, and then resolves again.

use std::time::Duration;

use super::{Watched, journal, short};
use crate::daemon::{LATE, sessions};
use crate::fixture::{Database, World, own_mounts};

/// Before the daemon's words: names from a file of the test's, and nobody who knows others.
const MOUNTS: &str = "
    mount --bind hosts /etc/hosts
    mount --bind resolv.conf /etc/resolv.conf
    exec reconcile -v
";

/// Nobody listens there.
const NOBODY: &str = "nameserver 127.0.0.77\noptions timeout:1 attempts:1\n";

#[test]
fn a_name_that_stops_resolving_is_asked_for_again_with_postgres() {
    let mut world = World::on(Database::Postgres);
    short(&mut world);
    let url = world.url().replace("@127.0.0.1:", "@database.example:") + "?sslmode=disable";
    world.env("RECONCILE_DATABASE_URL", &url).env("RECONCILE_ALLOW_INSECURE", "true");
    world.write("hosts", "127.0.0.1 localhost database.example\n");
    world.write("resolv.conf", NOBODY);
    let mut words = own_mounts();
    words.extend(["sh", "-ec", MOUNTS]);
    let mut watched = Watched::of(world.start(words[0], &words[1..]));

    world.write("hosts", "127.0.0.1 localhost\n");
    world.server().unwrap().guest("KSESSIONS_DEV").put_out();
    world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
    watched.daemon.wait_for("the host's name does not resolve", LATE);
    watched.endures(Duration::from_secs(4));
    world.write("hosts", "127.0.0.1 localhost database.example\n");
    watched.catches_up(&world, &["Uno"]);
    assert_eq!(journal(&world), "create|1\nupdate|1\n");
    watched.end();
}
