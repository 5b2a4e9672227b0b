//! Real directories, real editors' ways, the real `git`. Looking without an event is put off for an hour here, so
//! that nothing but the event under test can have woken the watch.

use std::fs;
use std::io::Write;
use std::time::Instant;

use super::*;
use crate::desired::load::load;
use crate::desired::testing::Place;

mod branches;
mod folders;

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than in use, so that a slow machine does not make two bursts of one.
const QUIET: Duration = Duration::from_millis(60);

/// Long enough for a hint that should not come.
const STILL: Duration = Duration::from_millis(250);

const PACE: Pace = Pace { quiet: QUIET, at_most: Duration::from_secs(5), poll: HOUR, blind_poll: HOUR };

async fn watch(source: Source, dir: &Path) -> Watch {
    Watch::at_pace(source, dir, PACE, Eyes::new).await.unwrap()
}

/// Waits for a hint, and for the end of all that follow at once; says how many came.
async fn hints(watch: &mut Watch) -> usize {
    let first = tokio::time::timeout(PATIENCE, watch.changed()).await;
    assert_eq!(first, Ok(Hint::Event), "no hint");
    let mut count = 1;
    while tokio::time::timeout(STILL, watch.changed()).await.is_ok() {
        count += 1;
        assert!(count < 50, "hints without end");
    }
    count
}

async fn one_hint(watch: &mut Watch) {
    assert_eq!(hints(watch).await, 1);
}

async fn no_hint(watch: &mut Watch) {
    assert!(tokio::time::timeout(STILL, watch.changed()).await.is_err(), "a hint where nothing changed");
}

/// A state directory with one file, watched.
async fn usual() -> (Place, Watch) {
    let place = Place::temporary();
    place.write("s/a.yaml", "sessions: []\n");
    let watch = watch(Source::Worktree, &place.path("s")).await;
    (place, watch)
}

#[tokio::test]
async fn a_save_by_rename_wakes() {
    let (place, mut watch) = usual().await;
    place.write("s/.a.yaml.tmp", "sessions: [1]\n");
    place.rename("s/.a.yaml.tmp", "s/a.yaml");
    one_hint(&mut watch).await;
    place.write("outside.yaml", "sessions: [2]\n");
    place.rename("outside.yaml", "s/a.yaml");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn a_save_in_place_wakes() {
    let (place, mut watch) = usual().await;
    place.write("s/a.yaml", "sessions: [1]\n");
    one_hint(&mut watch).await;
    let mut file = fs::OpenOptions::new().append(true).open(place.path("s/a.yaml")).unwrap();
    file.write_all(b"# more\n").unwrap();
    one_hint(&mut watch).await;
    drop(file);
    hints(&mut watch).await;
}

#[tokio::test]
async fn the_same_length_at_the_same_time_wakes() {
    let (place, mut watch) = usual().await;
    let file = place.path("s/a.yaml");
    for text in ["sessions: ()\n", "sessions: {}\n"] {
        fs::write(&file, text).unwrap();
        fs::File::open(&file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        one_hint(&mut watch).await;
    }
}

#[tokio::test]
async fn editors_wake() {
    let (place, mut watch) = usual().await;
    place.sh("sed -i s/sessions/hosts/ s/a.yaml");
    one_hint(&mut watch).await;
    // As vim saves: a trial file, the old one to a backup, the new one in its place, the backup removed.
    place.sh("cd s; echo > 4913; rm 4913; mv a.yaml a.yaml~; echo 'servers: []' > a.yaml; rm a.yaml~");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn droppings_and_other_files_do_not_wake() {
    let (place, mut watch) = usual().await;
    place.write("s/.a.yaml.swp", "swap");
    place.link("s/.#a.yaml", "noor@host.1");
    place.write("s/#a.yaml#", "autosave");
    place.write("s/daemon.log", "one\n");
    place.write("s/.reconcile/KSESSIONS_DEV.db", "rows");
    place.write("beside.yaml", "");
    no_hint(&mut watch).await;
    place.write("s/daemon.log", "two\n");
    place.write("s/.reconcile/KSESSIONS_DEV.db", "more rows");
    no_hint(&mut watch).await;
}

#[tokio::test]
async fn reading_does_not_wake() {
    let place = Place::repository();
    place.write("s/a.yaml", "");
    place.write("s/week/b.yaml", "");
    place.commit("one");
    let limits = crate::desired::tree::Limits::default();
    for source in [Source::Worktree, Source::Head] {
        let mut watch = watch(source, &place.path("s")).await;
        for _ in 0..3 {
            load(source, &place.path("s"), &limits, Arc::from([]), || ()).await.unwrap();
        }
        place.sh("cat s/a.yaml s/week/b.yaml; ls -lR s >/dev/null");
        no_hint(&mut watch).await;
    }
}

#[tokio::test]
async fn files_that_come_and_go_wake() {
    let (place, mut watch) = usual().await;
    place.write("s/b.yaml", "");
    one_hint(&mut watch).await;
    fs::remove_file(place.path("s/b.yaml")).unwrap();
    one_hint(&mut watch).await;
    place.rename("s/a.yaml", "a.yaml");
    one_hint(&mut watch).await;
    place.rename("a.yaml", "s/a.yaml");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn rights_wake() {
    use std::os::unix::fs::PermissionsExt;
    let (place, mut watch) = usual().await;
    fs::set_permissions(place.path("s/a.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn a_checkout_of_a_thousand_files_is_one_burst() {
    let place = Place::repository();
    place.write("s/first.yaml", "");
    place.commit("few");
    place.git("checkout -q -b many");
    for number in 0..1000 {
        place.write(&format!("s/{:02}/{number}.yaml", number % 25), "sessions: []\n");
    }
    place.commit("many");
    place.git("checkout -q main");
    let pace = Pace { quiet: Duration::from_millis(300), at_most: Duration::from_secs(30), ..PACE };
    let mut watch = Watch::at_pace(Source::Worktree, &place.path("s"), pace, Eyes::new).await.unwrap();
    for branch in ["many", "main", "many"] {
        place.git(&format!("checkout -q {branch}"));
        let first = tokio::time::timeout(PATIENCE, watch.changed()).await;
        assert_eq!(first, Ok(Hint::Event));
        assert!(tokio::time::timeout(Duration::from_secs(1), watch.changed()).await.is_err(), "a second burst");
    }
    place.write("s/24/24.yaml", "hosts: []\n");
    assert_eq!(tokio::time::timeout(PATIENCE, watch.changed()).await, Ok(Hint::Event));
}

#[tokio::test]
async fn a_burst_that_does_not_end_is_told_in_between() {
    let place = Place::temporary();
    place.write("s/a.yaml", "");
    let pace = Pace { quiet: HOUR, at_most: Duration::from_millis(50), ..PACE };
    let mut watch = Watch::at_pace(Source::Worktree, &place.path("s"), pace, Eyes::new).await.unwrap();
    place.write("s/a.yaml", "# one\n");
    assert_eq!(tokio::time::timeout(PATIENCE, watch.changed()).await, Ok(Hint::Event));
}

#[tokio::test]
async fn a_change_while_nobody_waits_is_told_later() {
    let (place, mut watch) = usual().await;
    for text in ["# one\n", "# two\n"] {
        place.write("s/a.yaml", text);
        // Given up half-way, as in a `select!` that something else has won.
        tokio::time::timeout(Duration::from_millis(1), watch.changed()).await.ok();
        tokio::time::sleep(QUIET * 3).await;
    }
    // The first may have been taken; the second has not.
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn from_save_to_hint_takes_little_more_than_the_quiet_time() {
    let (place, _) = usual().await;
    let (quiet, at_most) = (Duration::from_millis(20), Duration::from_millis(250));
    let mut watch = Watch::start(Source::Worktree, &place.path("s"), quiet, at_most).await.unwrap();
    let mut best = HOUR;
    for number in 0..5 {
        let saved = Instant::now();
        place.write("s/a.yaml", &format!("# {number}\n"));
        tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap();
        best = best.min(saved.elapsed());
    }
    assert!((quiet..Duration::from_millis(200)).contains(&best), "{best:?}");
}

#[tokio::test]
async fn without_events_looking_finds_every_change() {
    let place = Place::repository();
    place.write("s/a.yaml", "");
    place.commit("one");
    let pace = Pace { blind_poll: Duration::from_millis(20), ..PACE };
    let blind: Open = |_| Err(notify::Error::generic("no inotify here"));
    let mut files = Watch::at_pace(Source::Worktree, &place.path("s"), pace, blind).await.unwrap();
    let mut head = Watch::at_pace(Source::Head, &place.path("s"), pace, blind).await.unwrap();
    let polled = async |watch: &mut Watch| tokio::time::timeout(PATIENCE, watch.changed()).await;
    place.write("s/a.yaml", "# changed\n");
    assert_eq!(polled(&mut files).await, Ok(Hint::Poll));
    no_hint(&mut files).await;
    no_hint(&mut head).await;
    place.commit("two");
    assert_eq!(polled(&mut head).await, Ok(Hint::Poll));
    place.rename("s", "away");
    assert_eq!(polled(&mut files).await, Ok(Hint::Poll));
}

#[tokio::test]
async fn a_change_that_no_event_told_of_sets_all_watches_anew() {
    let place = Place::temporary();
    place.write("top/mid/s/a.yaml", "");
    let pace = Pace { poll: Duration::from_millis(50), ..PACE };
    let dir = place.path("top/mid/s");
    let mut watch = Watch::at_pace(Source::Worktree, &dir, pace, Eyes::new).await.unwrap();
    // Two levels above the directory nothing is watched.
    place.write("new/mid/s/a.yaml", "# new\n");
    place.sh("mv top old; mv new top");
    assert_eq!(tokio::time::timeout(PATIENCE, watch.changed()).await, Ok(Hint::Poll));
    no_hint(&mut watch).await;
    // Which of the two sees the next change first is not said; but the event is there.
    let begun = Instant::now();
    loop {
        place.write("top/mid/s/a.yaml", &format!("# {:?}\n", begun.elapsed()));
        match tokio::time::timeout(PATIENCE, watch.changed()).await {
            Ok(Hint::Event) => break,
            Ok(Hint::Poll) => assert!(begun.elapsed() < PATIENCE, "no event"),
            Err(_) => panic!("no hint"),
        }
    }
}

#[tokio::test]
async fn looking_at_thousands_of_files_is_cheap() {
    let place = Place::temporary();
    for number in 0..2000 {
        place.write(&format!("s/{:02}/{number}.yaml", number % 50), "");
    }
    let best = (0..5).map(|_| {
        let begun = Instant::now();
        assert_eq!(view::of_worktree(&place.path("s")).dirs.len(), 51);
        begun.elapsed()
    });
    // Generous, for a build without optimisation on a busy machine.
    let best = best.min().unwrap();
    assert!(best < Duration::from_millis(250), "{best:?}");
}
