//! One secret, one reader: raced for, killed between, tampered with, looked at by those who may not read it.

pub(crate) mod hostile;
mod whereabouts;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use uuid::Uuid;

use super::*;
use crate::file;
use crate::guard::Environment;
use crate::port::keys::SHORTEST;

const KEY: &str = "host:215:0190c2f4-7f6a-7c1e-9a53-2f6f0f6f4f01";
const CLEAR: &str = "51179767-693b-49a1-b753-380ca3bb39f7";
const HOUR: Duration = Duration::from_secs(3600);

fn ring(keys: &[char]) -> Arc<KeyRing> {
    let keys = keys.iter().map(|key| Secret::new(key.to_string().repeat(SHORTEST))).collect();
    Arc::new(KeyRing::new(keys).unwrap())
}

fn owner() -> Owner {
    Owner::new(Environment::new("development").unwrap(), Uuid::from_u128(7))
}

/// As an entry is called.
fn name(key: &str) -> String {
    format!("{}/{key}", owner().identity())
}

fn with(home: &Path, keys: &[char]) -> HandOff {
    HandOff::embedded(home, &owner(), ring(keys))
}

fn store(home: &TempDir) -> HandOff {
    with(home.path(), &['a'])
}

fn entry(key: &str, life: Duration) -> Entry {
    Entry { key: key.to_owned(), secret: Secret::new(CLEAR.to_owned()), life }
}

async fn put(store: &HandOff, key: &str, life: Duration) {
    store.put(vec![entry(key, life)]).await.remove(0).unwrap();
}

async fn waits(store: &HandOff, key: &str) -> bool {
    store.waiting(&[key.to_owned()]).await.unwrap()[0].is_some()
}

fn files(home: &TempDir) -> Vec<PathBuf> {
    let files = fs::read_dir(home.path().join("handoff")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| !path.ends_with(".id")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_secret_is_put_seen_and_taken_once() {
    let home = tempfile::tempdir().unwrap();
    let store = store(&home);
    let before = Utc::now();
    let done = store.put(vec![entry(KEY, HOUR), entry("host:216:x", 2 * HOUR)]).await;
    assert!(done.len() == 2 && done.iter().all(Result::is_ok));
    let keys = ["host:216:x".to_owned(), "host:217:y".to_owned(), KEY.to_owned()];
    let waiting = store.waiting(&keys).await.unwrap();
    let hours = |place: usize| waiting[place].map(|until: DateTime<Utc>| (until - before).num_minutes());
    assert_eq!([hours(0), hours(1), hours(2)], [Some(120), None, Some(60)]);

    let taken = store.take(KEY).await.unwrap().unwrap();
    assert_eq!(taken.secret().expose(), CLEAR);
    assert!(!waits(&store, KEY).await && store.take(KEY).await.unwrap().is_none());
    taken.finish().await.unwrap();
    assert_eq!(files(&home).len(), 1, "only the other one is left");
}

#[tokio::test]
async fn a_secret_goes_back_with_the_rest_of_its_life() {
    let home = tempfile::tempdir().unwrap();
    let store = store(&home);
    put(&store, KEY, HOUR).await;
    let until = store.waiting(&[KEY.to_owned()]).await.unwrap();
    store.take(KEY).await.unwrap().unwrap().restore().await.unwrap();
    assert_eq!(store.waiting(&[KEY.to_owned()]).await.unwrap(), until);

    let taken = store.take(KEY).await.unwrap().unwrap();
    put(&store, KEY, 2 * HOUR).await;
    taken.restore().await.unwrap();
    assert!(store.waiting(&[KEY.to_owned()]).await.unwrap() > until, "the newer one stays");
    assert_eq!(files(&home).len(), 1);
    store.discard(KEY).await.unwrap();
    store.discard(KEY).await.unwrap();
    assert!(files(&home).is_empty());
}

#[tokio::test]
async fn two_databases_in_one_directory_do_not_meet() {
    let home = tempfile::tempdir().unwrap();
    let ours = store(&home);
    let other = Owner::new(Environment::new("development").unwrap(), Uuid::from_u128(8));
    let theirs = HandOff::embedded(home.path(), &other, ring(&['a']));
    put(&ours, KEY, HOUR).await;
    assert!(!waits(&theirs, KEY).await && theirs.read(KEY).await.unwrap().is_none());
    assert!(theirs.take(KEY).await.unwrap().is_none());
    theirs.discard(KEY).await.unwrap();
    put(&theirs, KEY, 2 * HOUR).await;
    assert_eq!(files(&home).len(), 2);
    theirs.take(KEY).await.unwrap().unwrap().finish().await.unwrap();
    assert!(waits(&ours, KEY).await);
    // Nor does a file that was given the other's name open.
    let (Probe::Embedded(here), Probe::Embedded(there)) = (ours.probe(), theirs.probe()) else { unreachable!() };
    fs::copy(here.path(&name(KEY)), there.path(&format!("{}/{KEY}", other.identity()))).unwrap();
    assert!(matches!(theirs.take(KEY).await, Err(HandOffError::Damaged { .. })));
}

/// Writes an entry as versions did whose names held no identity.
fn put_as_before(home: &TempDir, key: &str, life: i64) {
    let Probe::Embedded(shelf) = store(home).probe() else { unreachable!() };
    let until = Utc::now() + chrono::TimeDelta::seconds(life);
    file::make_subdirectory(&home.path().join("handoff")).unwrap();
    let sealed = seal::seal(&ring(&['a']), key, until, &entry(key, HOUR).secret).ok().unwrap();
    fs::write(shelf.path(key), sealed).unwrap();
    fs::set_permissions(shelf.path(key), fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn what_an_older_version_sealed_waits_until_its_life_is_over() {
    let home = tempfile::tempdir().unwrap();
    let store = store(&home);
    put_as_before(&home, KEY, 3600);
    assert!(waits(&store, KEY).await);
    assert_eq!(store.read(KEY).await.unwrap().unwrap().expose(), CLEAR);
    let taken = store.take(KEY).await.unwrap().unwrap();
    assert!(taken.secret().expose() == CLEAR && store.take(KEY).await.unwrap().is_none());
    taken.restore().await.unwrap();
    assert!(waits(&store, KEY).await, "it goes back where it was");
    // What is put under its key replaces it, so that it is not taken as a second one.
    put(&store, KEY, HOUR).await;
    assert_eq!(files(&home).len(), 1);
    store.take(KEY).await.unwrap().unwrap().finish().await.unwrap();
    assert!(store.take(KEY).await.unwrap().is_none());
    put_as_before(&home, KEY, 3600);
    store.discard(KEY).await.unwrap();
    assert!(files(&home).is_empty());
    put_as_before(&home, KEY, -1);
    assert!(!waits(&store, KEY).await && store.read(KEY).await.unwrap().is_none());
    assert!(store.take(KEY).await.unwrap().is_none() && files(&home).is_empty());
}

#[tokio::test]
async fn of_what_two_versions_put_side_by_side_the_last_is_taken_and_the_other_is_gone() {
    for older_is_last in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home);
        let newer = Entry { secret: Secret::new("newer".to_owned()), ..entry(KEY, HOUR) };
        store.put(vec![newer]).await.pop().unwrap().unwrap();
        // It knows nothing of our names, and so leaves what waits there.
        put_as_before(&home, KEY, if older_is_last { 3700 } else { 3500 });
        let last = if older_is_last { CLEAR } else { "newer" };
        assert_eq!(files(&home).len(), 2);
        let until = store.waiting(&[KEY.to_owned()]).await.unwrap()[0].unwrap();
        assert_eq!(until > Utc::now() + HOUR, older_is_last);
        assert_eq!(store.read(KEY).await.unwrap().unwrap().expose(), last);
        let taken = store.take(KEY).await.unwrap().unwrap();
        assert_eq!(taken.secret().expose(), last);
        assert!(store.take(KEY).await.unwrap().is_none(), "a secret that was replaced is good for nothing");
        taken.finish().await.unwrap();
        assert!(files(&home).is_empty());
    }
}

#[tokio::test]
async fn reading_takes_nothing_away() {
    let home = tempfile::tempdir().unwrap();
    let store = store(&home);
    assert!(store.read(KEY).await.unwrap().is_none());
    put(&store, KEY, HOUR).await;
    let before = files_with_bytes(home.path());
    for _ in 0..2 {
        assert_eq!(store.read(KEY).await.unwrap().unwrap().expose(), CLEAR);
    }
    let stranger = with(home.path(), &['b']);
    assert!(matches!(stranger.read(KEY).await, Err(HandOffError::UnknownKey { .. })));
    assert_eq!(files_with_bytes(home.path()), before);
    store.take(KEY).await.unwrap().unwrap().finish().await.unwrap();
    assert!(store.read(KEY).await.unwrap().is_none());
    put(&store, KEY, Duration::from_micros(1)).await;
    assert!(store.read(KEY).await.unwrap().is_none(), "its life is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_who_race_one_wins() {
    let home = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let key = format!("host:{round}:x");
        put(&store(&home), &key, HOUR).await;
        let racers: Vec<_> = (0..16)
            .map(|_| {
                let (store, key) = (store(&home), key.clone());
                tokio::spawn(async move { store.take(&key).await.unwrap().is_some() })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            winners += usize::from(racer.await.unwrap());
        }
        assert_eq!(winners, 1, "round {round}");
    }
}

/// Where this test finds its hand-off when it is started again, as one of the processes that race.
const RACE: &str = "RECONCILE_TEST_HANDOFF";

#[tokio::test]
async fn of_processes_that_are_killed_between_one_has_read() {
    if let Some(home) = std::env::var_os(RACE) {
        let store = with(Path::new(&home), &['a']);
        if store.take(KEY).await.unwrap().is_some() {
            // As if killed after reading and before deleting.
            std::process::abort();
        }
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let store = store(&home);
    put(&store, KEY, HOUR).await;
    let myself = std::thread::current().name().unwrap().to_owned();
    let spawn = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &myself])
            .env(RACE, home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let processes: Vec<_> = (0..8).map(|_| spawn()).collect();
    let ended: Vec<_> = processes.into_iter().map(|mut process| process.wait().unwrap().code()).collect();
    assert_eq!(ended.iter().filter(|code| code.is_none()).count(), 1, "exactly one has read it: {ended:?}");
    assert_eq!(ended.iter().filter(|code| **code == Some(0)).count(), 7, "and the others ended in order: {ended:?}");
    assert!(!waits(&store, KEY).await && store.take(KEY).await.unwrap().is_none(), "and nobody can again");
    assert_eq!(store.sweep().await.unwrap(), 0, "what was taken goes when its life is over");
    assert_eq!(files(&home).len(), 1);
}

#[tokio::test]
async fn what_has_expired_is_gone_and_swept() {
    let home = tempfile::tempdir().unwrap();
    let store = store(&home);
    put(&store, KEY, HOUR).await;
    let Probe::Embedded(shelf) = store.probe() else { unreachable!() };
    let just_now = Utc::now() - chrono::TimeDelta::milliseconds(1);
    let expired = |key: &str| seal::seal(&ring(&['a']), &name(key), just_now, &entry(key, HOUR).secret).ok().unwrap();
    for key in ["taken", "left"] {
        fs::write(shelf.path(&name(key)), expired(key)).unwrap();
        fs::set_permissions(shelf.path(&name(key)), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let lost = shelf.path(&name("lost")).with_extension("0123456789abcdef.claimed");
    fs::write(&lost, expired("lost")).unwrap();
    fs::set_permissions(&lost, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!waits(&store, "taken").await);
    assert!(store.take("taken").await.unwrap().is_none());
    for (name, age) in [("0123456789abcdef.tmp", 2 * HOUR), ("fedcba9876543210.tmp", Duration::ZERO)] {
        let unfinished = fs::File::create(home.path().join("handoff").join(name)).unwrap();
        unfinished.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    assert_eq!(store.sweep().await.unwrap(), 3, "the lost claim, the one left, and the one cut short");
    assert_eq!(files(&home).len(), 2);
    assert!(waits(&store, KEY).await);
    let forever = store.put(vec![entry("forever", Duration::MAX)]).await.remove(0);
    assert!(matches!(forever, Err(HandOffError::Life { .. })));
}

#[tokio::test]
async fn every_changed_byte_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let store = store(&home);
    put(&store, KEY, HOUR).await;
    let path = files(&home).remove(0);
    // Until 2255, a number in which every flipped bit means later: what has expired would be gone before it is opened.
    let until = DateTime::from_timestamp_micros(1 << 53).unwrap();
    let whole = seal::seal(&ring(&['a']), &name(KEY), until, &entry(KEY, HOUR).secret).ok().unwrap();
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        fs::write(&path, changed).unwrap();
        let taken = store.take(KEY).await;
        assert!(matches!(taken, Err(HandOffError::Damaged { .. } | HandOffError::UnknownKey { .. })), "byte {place}");
    }
    // What is shown of it is a key's name, and nothing that a terminal would obey.
    let named = |name: &[u8; 12]| [&whole[..16], name, &whole[28..]].concat();
    for (name, is_one) in [(b"0123456789ab", true), (b"\x1b[2J        ", false), (b"not a key id", false)] {
        fs::write(&path, named(name)).unwrap();
        let refused = store.take(KEY).await.err().unwrap();
        assert_eq!(matches!(refused, HandOffError::UnknownKey { .. }), is_one, "{refused}");
    }
    for length in [0, 8, 27, 28, 52, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(store.take(KEY).await, Err(HandOffError::Damaged { .. })), "{length} bytes");
    }
    fs::write(&path, &whole).unwrap();
    let elsewhere = store.probe();
    let Probe::Embedded(shelf) = &elsewhere else { unreachable!() };
    fs::copy(&path, shelf.path(&name("host:1:x"))).unwrap();
    assert!(matches!(store.take("host:1:x").await, Err(HandOffError::Damaged { .. })), "the name is bound");
    assert_eq!(store.take(KEY).await.unwrap().unwrap().secret().expose(), CLEAR, "errors took nothing away");
}

#[tokio::test]
async fn only_the_ring_that_sealed_it_opens_it() {
    let home = tempfile::tempdir().unwrap();
    put(&store(&home), KEY, HOUR).await;
    let stranger = with(home.path(), &['b']);
    let refused = stranger.take(KEY).await.err().unwrap();
    assert!(matches!(&refused, HandOffError::UnknownKey { key_id, .. } if key_id == ring(&['a']).current_id()));
    assert!(refused.hint().unwrap().contains("back into the ring"));
    let successor = with(home.path(), &['b', 'a']);
    assert_eq!(successor.take(KEY).await.unwrap().unwrap().secret().expose(), CLEAR);
}

#[tokio::test]
async fn the_clear_text_is_in_no_file_and_the_files_are_private() {
    let home = tempfile::tempdir().unwrap();
    let store = store(&home);
    put(&store, KEY, HOUR).await;
    put(&store, "claimed", HOUR).await;
    let _claimed = store.take("claimed").await.unwrap().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.path().join("handoff")), 0o700);
    let files = files(&home);
    assert_eq!(files.len(), 2);
    for file in files {
        assert_eq!(mode(&file), 0o600);
        let bytes = fs::read(&file).unwrap();
        for hidden in [CLEAR, &CLEAR.replace('-', ""), KEY] {
            assert!(!bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes()));
        }
    }
}

#[tokio::test]
async fn looking_leaves_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let data_dir = home.path().join("none");
    let probe = Probe::embedded(&data_dir, &owner());
    assert_eq!(probe.waiting(&[KEY.to_owned()]).await.unwrap(), [None]);
    let store = with(&data_dir, &['a']);
    assert!(store.take(KEY).await.unwrap().is_none());
    assert_eq!(store.sweep().await.unwrap(), 0);
    store.discard(KEY).await.unwrap();
    assert!(!data_dir.exists());

    put(&store, KEY, HOUR).await;
    let before = files_with_bytes(&data_dir);
    assert!(probe.waiting(&[KEY.to_owned()]).await.unwrap()[0].is_some());
    assert_eq!(files_with_bytes(&data_dir), before);
}

fn files_with_bytes(data_dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(data_dir.join("handoff")).unwrap().map(|file| file.unwrap().path());
    files.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}
