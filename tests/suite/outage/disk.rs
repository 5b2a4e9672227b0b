//! The disk of the data directory is full, and the desired state lies on one that cannot be written at all.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::{CAUGHT_UP, Watched, short};
use crate::daemon::{LATE, sessions, settle};
use crate::fixture::{Database, World, mounts_of, own_mounts};

/// Before the daemon's words: its data directory on a small disk of its own, its desired state where nobody may write.
const MOUNTS: &str = "
    mkdir -p room
    mount -t tmpfs -o size=$1,mode=700 disk room
    mount --bind desired-state desired-state
    mount -o remount,bind,ro desired-state
    exec reconcile -v
";

/// A daemon whose data directory is on a disk so large, and that disk as the test sees it.
fn on_small_disk(world: &mut World, size: &str) -> (Watched, PathBuf) {
    world.env("RECONCILE_DATA_DIR", "room/data");
    let mut words = own_mounts();
    words.extend(["sh", "-ec", MOUNTS, "mounts", size]);
    let watched = Watched::of(world.start(words[0], &words[1..]));
    let room = format!("/proc/{}/root{}/room", watched.daemon.pid(), world.path().display());
    (watched, room.into())
}

/// Takes all the room that there is. Gives the file that takes it.
fn fill(room: &std::path::Path) -> PathBuf {
    let path = room.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    let piece = [0; 4096];
    let full =
        std::iter::repeat_with(|| file.write_all(&piece)).take(100_000).find_map(Result::err).expect("a small disk");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    path
}

#[test]
fn a_secret_that_does_not_fit_is_made_when_there_is_room() {
    let mut world = World::on(Database::Sqlite);
    short(&mut world);
    let url = world.url();
    world.env("RECONCILE_DATABASE_URL", &url);
    let (mut watched, room) = on_small_disk(&mut world, "1m");
    let filler = fill(&room);
    let week = sessions(&[(1, "Uno")]).replace("title: Uno", "title: Uno\n    status: active");
    // Not even the key that seals it can be written, nor what keeps Git from its directory.
    world.write("desired-state/a.yaml", &format!("{week}hosts: [{{session: 1}}]\n"));
    watched.daemon.wait_for("No space left on device", LATE);
    watched.catches_up(&world, &["Uno"]);
    watched.endures(Duration::from_secs(4));
    fs::remove_file(&filler).unwrap();
    settle(CAUGHT_UP, &"1\n".to_owned(), || world.sql("SELECT count(*) FROM host_sessions"));

    assert_eq!(fs::read_to_string(room.join("data/.gitignore")).unwrap(), "*\n");

    // The same where there is a key already.
    let opens = |world: &World| {
        let directory = room.join("data").display().to_string();
        let claimed = world.run(&["--data-dir", &directory, "host", "claim", "1"]).expect_code(0).stdout;
        world.run_with(&["--data-dir", &directory, "host", "verify", "--session-id", "1"], &claimed).expect_code(0);
    };
    opens(&world);
    let filler = fill(&room);
    world.write("desired-state/a.yaml", &format!("{week}hosts: [{{session: 1, rotation: 2}}]\n"));
    let failures = "No space left on device";
    let before = watched.daemon.stderr().matches(failures).count();
    settle(LATE, &true, || watched.daemon.stderr().matches(failures).count() > before);
    fs::remove_file(&filler).unwrap();
    settle(CAUGHT_UP, &"2\n".to_owned(), || world.sql("SELECT rotation FROM host_sessions"));
    opens(&world);
    let left = fs::read_dir(room.join("data/handoff")).unwrap().flatten().map(|file| file.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
    watched.end();
}

#[test]
fn a_file_that_cannot_grow_is_made_good_when_there_is_room() {
    let mut world = World::on(Database::Sqlite);
    short(&mut world);
    world.env("RECONCILE_BUDGET_PERCENT", "100");
    let all = |title| sessions(&(1..=3_000).map(|id| (id, title)).collect::<Vec<_>>());
    world.write("desired-state/a.yaml", &all("A title"));
    let (mut watched, room) = on_small_disk(&mut world, "16m");
    // SQLite takes a file by its name alone, which says something else outside.
    let (mounts, file) = (mounts_of(watched.daemon.pid()), world.path().join("room/data/KSESSIONS_DEV.db"));
    let ask = |query: &str| world.sh(&format!("{mounts} sqlite3 {} \"{query}\"", file.display())).stdout;
    let filler = fill(&room);
    world.write("desired-state/a.yaml", &all(&"Another title, which takes more room. ".repeat(5)));
    watched.daemon.wait_for("disk is full", LATE);
    watched.endures(Duration::from_secs(4));
    fs::remove_file(&filler).unwrap();
    let renamed = "SELECT count(*) FROM sessions WHERE title LIKE 'Another title%'";
    settle(CAUGHT_UP, &"3000\n".to_owned(), || ask(renamed));
    let done =
        "SELECT count(*), count(DISTINCT name) FROM reconcile_journal WHERE kind = 'session' AND action = 'update'";
    assert_eq!(ask(done), "3000|3000\n");
    watched.end();
}
