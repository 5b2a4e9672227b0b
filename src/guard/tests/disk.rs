//! What the file system says of a SQLite file must be what its name says.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// What the file system says of `written`, compared as fact 2.
fn on_disk(written: &Path) -> Result<(), String> {
    let guard = development();
    let target = guard.target(&format!("sqlite:{}", written.display()), Transport::Verified).unwrap();
    let proof = guard.admit(&target).unwrap();
    let Target::Sqlite(file) = target else { panic!("not SQLite's") };
    let place = file.locate()?;
    guard.agree(&proof, &place.reported()).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_symlink_to_the_production_file_is_refused() {
    let directory = TempDir::new().unwrap();
    let (production, link) = (directory.path().join("KSESSIONS.db"), directory.path().join("KSESSIONS_DEV.db"));
    symlink(&production, &link).unwrap();
    assert!(on_disk(&link).unwrap_err().contains("leads nowhere"));
    fs::write(&production, "").unwrap();
    assert!(on_disk(&link).unwrap_err().contains("leads to `KSESSIONS`"));
}

#[test]
fn a_hard_link_to_the_production_file_is_refused() {
    let directory = TempDir::new().unwrap();
    let (production, link) = (directory.path().join("KSESSIONS.db"), directory.path().join("KSESSIONS_DEV.db"));
    fs::write(&production, "").unwrap();
    fs::hard_link(&production, &link).unwrap();
    assert!(on_disk(&link).unwrap_err().contains("hard links"));
}

#[test]
fn a_link_at_the_log_beside_the_file_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("KSESSIONS_DEV.db");
    fs::write(&file, "").unwrap();
    on_disk(&file).unwrap();
    for suffix in ["-wal", "-shm", "-journal", "-bell"] {
        let beside = companion(&file, suffix);
        symlink(directory.path().join(format!("KSESSIONS.db{suffix}")), &beside).unwrap();
        assert!(on_disk(&file).unwrap_err().contains("is a symbolic link"), "{suffix}");
        fs::remove_file(beside).unwrap();
    }
}

#[test]
fn the_real_path_decides_also_through_directories() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("real")).unwrap();
    symlink(directory.path().join("real"), directory.path().join("link")).unwrap();
    on_disk(&directory.path().join("link/KSESSIONS_DEV.db")).unwrap();
    fs::write(directory.path().join("real/KSESSIONS_DEV.db"), "").unwrap();
    on_disk(&directory.path().join("link/../real/KSESSIONS_DEV.db")).unwrap();
    assert!(on_disk(&directory.path().join("missing/../KSESSIONS_DEV.db")).unwrap_err().contains("does not exist"));
    fs::create_dir(directory.path().join("KQUR_DEV.db")).unwrap();
    assert!(on_disk(&directory.path().join("KQUR_DEV.db")).unwrap_err().contains("not a regular file"));
}
