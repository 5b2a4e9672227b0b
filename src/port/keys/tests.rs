//! The published vectors, the ring's rules, and the file that is made once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

const VECTORS: &str = include_str!("../../../tests/data/host_hash_vectors.json");
const LONG: &str = "reconcile-test-key-0123456789abcdef0123456789abcdef";
const PUBLIC: &str = "NOOR-CANVAS-HOST-SECRET-2025";
const OTHER: &str = "another-key-of-this-test-0123456789abcdef";

fn ring(keys: &[&str]) -> KeyRing {
    KeyRing::new(keys.iter().map(|key| Secret::new((*key).to_owned())).collect()).unwrap()
}

fn refusal(keys: &[&str]) -> String {
    KeyRing::new(keys.iter().map(|key| Secret::new((*key).to_owned())).collect()).err().unwrap().to_string()
}

fn text<'a>(vector: &'a serde_json::Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap()
}

#[test]
fn every_published_vector_holds() {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let ring = ring(&[LONG, PUBLIC]);
    let public_id = Key::new(&Secret::new(PUBLIC.to_owned())).unwrap().id;
    let mut current = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let (key, guid, hash) = (text(vector, "key"), text(vector, "guid"), text(vector, "hash"));
        let guid = HostGuid::parse(guid).unwrap();
        assert_eq!(hash.len(), 44);
        let (own, other) =
            if key == LONG { (ring.current_id(), &*public_id) } else { (&*public_id, ring.current_id()) };
        assert!(ring.matches(None, hash, &guid) && ring.matches(Some(own), hash, &guid));
        assert!(!ring.matches(Some(other), hash, &guid));
        if key == LONG {
            assert_eq!(ring.hash(&guid).hash, hash);
            current += 1;
        }
    }
    assert_eq!(current, 3);
    let same = &vectors["same_guid_other_spellings"];
    let expected = ring.hash(&HostGuid::parse(text(same, "guid")).unwrap()).hash;
    for spelling in same["spellings"].as_array().unwrap() {
        assert_eq!(ring.hash(&HostGuid::parse(spelling.as_str().unwrap()).unwrap()).hash, expected);
    }
    let wrong = vectors["not_a_hash_of"].as_array().unwrap();
    assert_eq!(wrong.len(), 2);
    for vector in wrong {
        let guid = HostGuid::parse(text(vector, "guid")).unwrap();
        assert!(!ring.matches(None, text(vector, "hash"), &guid));
        assert!(!ring.matches(Some(&public_id), text(vector, "hash"), &guid));
    }
}

#[test]
fn a_hash_that_is_none_matches_nothing() {
    let ring = ring(&[LONG]);
    let guid = HostGuid::generate().unwrap();
    let hash = ring.hash(&guid).hash;
    assert!(ring.matches(None, &hash, &guid));
    for wrong in ["", "not base64!", &hash[..43], &format!("{hash}\n"), &hash.to_lowercase()] {
        assert!(!ring.matches(None, wrong, &guid), "{wrong:?}");
    }
    assert!(!ring.matches(Some("000000000000"), &hash, &guid), "an unknown key verifies nothing");
}

#[test]
fn a_retired_key_verifies_and_only_the_first_hashes() {
    let guid = HostGuid::generate().unwrap();
    let before = ring(&[OTHER]).hash(&guid);
    let ring = ring(&[LONG, OTHER, PUBLIC, OTHER]);
    assert!(ring.matches(Some(&before.key_id), &before.hash, &guid));
    assert!(ring.knows(&before.key_id) && !ring.is_current(&before.key_id));
    assert!(ring.is_current(&ring.hash(&guid).key_id));
    assert_eq!(ring.retired.len(), 2, "a key that is named twice counts once");
}

#[test]
fn a_key_id_is_short_stable_and_not_the_key() {
    let ring = ring(&[LONG]);
    assert_eq!(ring.current_id(), "de67984c3f31");
    assert_eq!(ring.current_id().len(), ID_LETTERS);
}

#[test]
fn a_weak_key_may_not_be_current() {
    assert_eq!(refusal(&[]), "there is no key in it");
    assert_eq!(
        refusal(&["0123456789abcdef0123456789abcde"]),
        "the current key, which is the first, has 31 bytes; it must have at least 32"
    );
    for published in [PUBLIC, "noor-canvas-host-secret-2025", "NOOR-CANVAS-HOST-SECRET-2025-NOOR-CANVAS"] {
        assert!(refusal(&[published, LONG]).contains("is published"), "{published}");
    }
    ring(&["0123456789abcdef0123456789abcdef", PUBLIC, "short"]);
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_key_file_has_one_key_on_a_line() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keys");
    write(&path, &format!("# made in May\r\n\r\n  {LONG}\r\n{PUBLIC}\r\n"));
    let source = KeySource::File(path.clone());
    let read = source.open_existing().unwrap().unwrap();
    assert_eq!(read.current_id(), ring(&[LONG]).current_id());
    assert_eq!(read.retired.len(), 1);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = source.open_existing().err().unwrap();
    assert!(refused.hint().contains("chmod 600"), "{}", refused.hint());
    write(&path, "# nothing yet\n");
    let empty = source.open_existing().err().unwrap();
    assert_eq!(empty.to_string(), format!("the keys of {} cannot be used", path.display()));
    fs::remove_file(&path).unwrap();
    assert!(source.open_or_create().is_err(), "a file that was named is never made");
    assert!(!path.exists());
}

#[test]
fn keys_may_be_given_in_a_variable() {
    for separator in [",", "\n", " ,\n "] {
        let keys = Secret::new(format!("{LONG}{separator}{OTHER}\n"));
        let source = KeySource::Given { keys, origin: "RECONCILE_HOST_KEYS".to_owned() };
        let opened = source.open_or_create().unwrap();
        assert_eq!(opened.ring.current_id(), ring(&[LONG]).current_id());
        assert!(opened.ring.knows(ring(&[OTHER]).current_id()) && opened.made.is_none());
    }
    let missing = KeySource::Missing { environment: "production".to_owned() };
    let refused = missing.open_existing().err().unwrap();
    assert_eq!(refused.to_string(), "no host key is configured, and in production none is made by itself");
    assert!(refused.hint().contains("RECONCILE_HOST_KEYS"));
    assert!(missing.open_or_create().is_err());
}

#[test]
fn the_first_apply_makes_a_key_once_and_planning_never() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let path = data.join("host.key");
    let source = KeySource::Made(path.clone());
    assert!(source.open_existing().unwrap().is_none());
    assert!(!data.exists(), "planning makes nothing");

    let makers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| source.open_or_create().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(makers.iter().filter(|opened| opened.made.as_deref() == Some(&*path)).count(), 1);
    let id = source.open_existing().unwrap().unwrap().current_id().to_owned();
    assert!(makers.iter().all(|opened| opened.ring.current_id() == id), "all use the one key");
    assert!(source.open_or_create().unwrap().made.is_none());

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&path)), (0o700, 0o600));
    assert_eq!(fs::read_to_string(data.join(".gitignore")).unwrap(), "*\n");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 2, "nothing is left aside");
}
