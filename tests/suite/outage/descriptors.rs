//! No descriptor is left to the daemon: it can open neither a file nor a connection.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{Watched, journal, short};
use crate::daemon::{LATE, sessions};
use crate::fixture::both;

/// Limits how many descriptors a running program may have; those that it has stay. Gives the limits before.
fn limit(watched: &Watched, limits: Rlimit) -> Rlimit {
    let pid = Pid::from_raw(i32::try_from(watched.daemon.pid()).unwrap());
    prlimit(pid, Resource::Nofile, limits).unwrap()
}

both! {
    fn without_a_descriptor_it_waits_until_there_are_some(world) {
        short(world);
        let mut watched = Watched::start(world);
        let most = rustix::process::getrlimit(Resource::Nofile).maximum;
        let before = limit(&watched, Rlimit { current: Some(0), maximum: most });
        world.write("desired-state/a.yaml", &sessions(&[(1, "Uno")]));
        watched.daemon.wait_for("Too many open files", LATE);
        watched.endures(Duration::from_secs(4));
        limit(&watched, before);
        watched.catches_up(world, &["Uno"]);
        assert_eq!(journal(world), "create|1\nupdate|1\n");
        watched.end();
    }
}
