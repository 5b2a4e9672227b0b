//! What is opened and what is not, and why.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::data_dir::is_roots_link;
use super::{
    DataDir, Facts, Fault, Found, MarkError, Place, Rules, SaveError, Us, list, look, make_directory, open, read,
    replace, rewrite, save, secret, settle, write_aside,
};

/// A service's user.
const NOOR: u32 = 1000;
/// Its primary group, and one that a platform gave it.
const STAFF: u32 = 50;
const FS_GROUP: u32 = 2000;

fn service() -> Us {
    Us { user: NOOR, group: STAFF, groups: vec![STAFF, FS_GROUP] }
}

fn root() -> Us {
    Us { user: 0, group: 0, groups: vec![0] }
}

fn facts(mode: u32, owner: u32, group: u32) -> Facts {
    Facts { sort: Found::File, mode, is_sticky: false, owner, group, names: 1 }
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_secret_is_taken_as_platforms_hand_it_over_and_not_otherwise() {
    let rules = Rules::secret(100);
    let taken = |us: &Us, facts: Facts, place| rules.judge(&facts, us, place).is_ok();
    for (mode, owner, group) in [
        (0o600, NOOR, STAFF),
        (0o400, NOOR, STAFF),
        // Kubernetes: fsGroup, with defaultMode 0440 or 0600.
        (0o440, 0, FS_GROUP),
        (0o640, 0, FS_GROUP),
        (0o440, 0, STAFF),
    ] {
        assert!(taken(&service(), facts(mode, owner, group), Place::Elsewhere), "{mode:o} {owner}:{group}");
    }
    for (mode, owner, group) in [
        (0o644, NOOR, STAFF),
        (0o640, NOOR, STAFF),
        (0o440, NOOR, FS_GROUP),
        (0o444, 0, FS_GROUP),
        (0o660, 0, FS_GROUP),
        (0o644, 0, STAFF),
        // Of a group that is not ours, though we might read it as somebody else.
        (0o440, 0, 4),
        // Another user's, who may read whatever is put there.
        (0o600, 1001, STAFF),
        (0o440, 1001, FS_GROUP),
    ] {
        assert!(!taken(&service(), facts(mode, owner, group), Place::Elsewhere), "{mode:o} {owner}:{group}");
    }
    // systemd gives the right by an access list, which shows as the group's.
    assert!(taken(&service(), facts(0o440, 0, 0), Place::Credentials));
    assert!(!taken(&service(), facts(0o444, 0, 0), Place::Credentials));
    assert!(!taken(&service(), facts(0o440, 1001, 0), Place::Credentials));
    // As root: what the platform made read-only, and not what a person left open to a group.
    assert!(taken(&root(), facts(0o440, 0, 0), Place::Elsewhere));
    assert!(!taken(&root(), facts(0o640, 0, 0), Place::Elsewhere));
    assert!(!taken(&root(), facts(0o440, 0, FS_GROUP), Place::Elsewhere));
    assert!(!taken(&root(), facts(0o600, NOOR, STAFF), Place::Elsewhere));
}

#[test]
fn the_configuration_is_ours_or_roots_and_nobody_elses_to_change() {
    let taken = |us: &Us, facts: Facts| Rules::settings(100).judge(&facts, us, Place::Elsewhere).is_ok();
    for (mode, owner, group) in [(0o644, NOOR, STAFF), (0o664, NOOR, STAFF), (0o644, 0, 0), (0o664, 0, STAFF)] {
        assert!(taken(&service(), facts(mode, owner, group)), "{mode:o} {owner}:{group}");
    }
    for (mode, owner, group) in [(0o646, NOOR, STAFF), (0o664, NOOR, FS_GROUP), (0o644, 1001, STAFF), (0o666, 0, 0)] {
        assert!(!taken(&service(), facts(mode, owner, group)), "{mode:o} {owner}:{group}");
    }
    assert!(!taken(&root(), facts(0o644, NOOR, STAFF)));
}

#[test]
fn the_data_directory_is_ours_and_nobody_else_may_write_there() {
    let directory = |mode, owner| Facts { sort: Found::Directory, ..facts(mode, owner, STAFF) };
    let judged = |facts: Facts| Rules::data_directory().judge(&facts, &service(), Place::Elsewhere);
    assert!(judged(directory(0o700, NOOR)).is_ok());
    assert!(matches!(judged(directory(0o770, NOOR)), Err(Fault::Writable { mode: 0o770 })));
    assert!(matches!(judged(directory(0o702, NOOR)), Err(Fault::Writable { .. })));
    assert!(matches!(judged(directory(0o777, 0)), Err(Fault::Owner { owner: 0 })));
    assert!(matches!(judged(facts(0o700, NOOR, STAFF)), Err(Fault::NotADirectory)));
}

#[test]
fn nobody_else_can_put_a_file_in_the_place_of_the_database() {
    let judged = |mode, is_sticky, owner| {
        let facts = Facts { sort: Found::Directory, is_sticky, ..facts(mode, owner, STAFF) };
        Rules::database_directory().judge(&facts, &service(), Place::Elsewhere)
    };
    for (mode, is_sticky, owner) in [(0o755, false, NOOR), (0o775, false, NOOR), (0o755, false, 0), (0o777, true, 0)] {
        assert!(judged(mode, is_sticky, owner).is_ok(), "{mode:o} {is_sticky} {owner}");
    }
    assert!(matches!(judged(0o777, false, NOOR), Err(Fault::Writable { .. })));
    assert!(matches!(judged(0o755, false, 1001), Err(Fault::Owner { owner: 1001 })));
}

#[test]
fn a_data_directory_may_be_behind_a_link_that_only_root_can_have_made() {
    let link = |owner| Facts { sort: Found::Link, ..facts(0o777, owner, STAFF) };
    assert!(is_roots_link(&link(0), &service()));
    assert!(!is_roots_link(&link(NOOR), &service()), "a repository may bring it");
    assert!(!is_roots_link(&link(0), &root()));
    assert!(!is_roots_link(&facts(0o777, 0, 0), &service()));
}

#[test]
fn what_lies_beside_the_database_is_by_one_name_ours() {
    let judged = |facts: Facts| Rules::database().judge(&facts, &service(), Place::Elsewhere);
    assert!(judged(facts(0o600, NOOR, STAFF)).is_ok());
    assert!(judged(Facts { names: 0, ..facts(0o600, NOOR, STAFF) }).is_ok(), "its writer has just removed it");
    assert!(matches!(judged(Facts { names: 2, ..facts(0o600, NOOR, STAFF) }), Err(Fault::Names { count: 2 })));
    assert!(matches!(judged(facts(0o600, 1001, STAFF)), Err(Fault::Owner { owner: 1001 })));
    for sort in [Found::Directory, Found::Other] {
        assert!(matches!(judged(Facts { sort, ..facts(0o600, NOOR, STAFF) }), Err(Fault::NotAFile)));
    }
    assert!(matches!(judged(Facts { sort: Found::Link, ..facts(0o777, NOOR, STAFF) }), Err(Fault::Link)));
}

#[test]
fn what_others_can_read_is_refused_with_the_way_out() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key");
    fs::write(&path, "secret").unwrap();
    for mode in [0o644, 0o640, 0o604, 0o620] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let refused = read(&path, &Rules::secret(100)).unwrap_err();
        assert!(matches!(refused, Fault::Exposed { mode: seen } if seen == mode));
        let hint = refused.hint(&path);
        assert!(hint.contains(&format!("chmod 600 {}", path.display())), "{hint}");
        assert!(hint.contains("fsGroup with defaultMode: 0440"), "{hint}");
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&path, &Rules::secret(6)).unwrap().unwrap(), b"secret");
    }
    assert!(matches!(read(&path, &Rules::secret(5)), Err(Fault::TooLarge { size: 6, limit: 5 })));
}

#[test]
fn the_marks_of_editors_are_no_part_of_a_secret() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key");
    for text in ["one\ntwo", "one\ntwo\n", "\u{feff}one\ntwo", "one\r\ntwo\r\n", "\u{feff}one\r\ntwo\r\n"] {
        replace(&path, text.as_bytes()).unwrap();
        assert_eq!(secret(&path, &Rules::secret(100)).unwrap().unwrap().as_str(), "one\ntwo", "{text:?}");
    }
    replace(&path, b"\xff\xfeo\0n\0e\0").unwrap();
    assert!(matches!(secret(&path, &Rules::secret(100)), Err(Fault::NotText)));
}

#[test]
fn nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    pipe(&at("pipe"));
    symlink("pipe", at("to-pipe")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    for rules in [Rules::secret(5), Rules::settings(5), Rules::anybodys(5), Rules::state(5), Rules::own(5)] {
        for name in ["pipe", "socket", "directory"] {
            assert!(matches!(read(&at(name), &rules), Err(Fault::NotAFile)), "{name} {rules:?}");
            assert!(matches!(look(&at(name), &rules), Err(Fault::NotAFile)), "{name} {rules:?}");
        }
        assert!(matches!(read(&at("to-pipe"), &rules), Err(Fault::NotAFile | Fault::Link)), "{rules:?}");
        assert!(read(&at("nothing"), &rules).unwrap().is_none());
    }
    // A pipe that somebody reads is none of ours either.
    assert!(matches!(rewrite(&at("pipe"), &Rules::own(5), b"x"), Err(Fault::NotAFile)));
}

#[test]
fn a_link_is_not_followed_where_it_may_lead_to_anothers_file() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    replace(&at("victim"), b"precious").unwrap();
    symlink("victim", at("link")).unwrap();
    symlink("none", at("dangling")).unwrap();
    fs::hard_link(at("victim"), at("second")).unwrap();
    for name in ["link", "dangling"] {
        assert!(matches!(open(&at(name), &Rules::own(100)), Err(Fault::Link)), "{name}");
        assert!(matches!(look(&at(name), &Rules::database()), Err(Fault::Link)), "{name}");
        assert!(matches!(rewrite(&at(name), &Rules::own(100), b"x"), Err(Fault::Link)), "{name}");
    }
    assert!(matches!(rewrite(&at("second"), &Rules::own(100), b"x"), Err(Fault::Names { count: 2 })));
    assert!(matches!(open(&at("second"), &Rules::own(100)), Err(Fault::Names { count: 2 })));
    // To replace is to take the name, and not what it leads to.
    replace(&at("link"), b"new").unwrap();
    assert_eq!(fs::read(at("victim")).unwrap(), b"precious");
    assert!(!at("none").exists());
}

#[test]
fn a_state_file_is_not_reached_by_a_link_that_took_a_directorys_place() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("state/team")).unwrap();
    fs::create_dir(root.join("theirs")).unwrap();
    let path = root.join("state/team/a.yaml");
    for place in [path.clone(), root.join("theirs/a.yaml")] {
        replace(&place, b"precious").unwrap();
    }
    assert_eq!(read(&path, &Rules::state(100)).unwrap().unwrap(), b"precious");
    fs::rename(root.join("state/team"), root.join("state/before")).unwrap();
    symlink("../theirs", root.join("state/team")).unwrap();
    let refused = read(&path, &Rules::state(100)).unwrap_err();
    assert!(matches!(&refused, Fault::Io(error) if error.kind() == std::io::ErrorKind::NotADirectory), "{refused}");
    assert!(look(&path, &Rules::state(100)).is_err());
}

#[test]
fn what_is_read_of_a_file_that_grows_has_a_limit_too() {
    // It says that it is empty.
    assert!(matches!(
        read(Path::new("/proc/self/status"), &Rules::anybodys(10)),
        Err(Fault::TooLarge { limit: 10, .. })
    ));
    let whole = open(Path::new("/proc/self/status"), &Rules::anybodys(65_536)).unwrap();
    assert_eq!(whole.head(&mut [0; 5]).unwrap(), b"Name:");
}

#[test]
fn a_taken_name_stays_with_its_first_owner() {
    let home = tempfile::tempdir().unwrap();
    let name = home.path().join("name");
    let (first, second) = (write_aside(home.path(), b"1").unwrap(), write_aside(home.path(), b"2").unwrap());
    assert!(settle(&first, &name).unwrap());
    assert!(!settle(&second, &name).unwrap());
    assert_eq!(fs::read(&name).unwrap(), b"1");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left aside");
}

#[test]
fn a_directory_that_is_made_tells_git_to_leave_it_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/b");
    make_directory(&path).unwrap();
    assert_eq!(fs::read_to_string(path.join(".gitignore")).unwrap(), "*\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(path.join(".gitignore"), "mine").unwrap();
    make_directory(&path).unwrap();
    assert_eq!(fs::read_to_string(path.join(".gitignore")).unwrap(), "mine", "one that is there stays as it is");
}

#[test]
fn a_data_directory_bears_its_environment() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let development = DataDir::new(&path, "development");
    assert_eq!(development.check().unwrap(), None);
    assert!(!path.exists(), "to compare makes nothing");
    development.ready(None).unwrap();
    development.ready(Some("id-1".to_owned())).unwrap();
    development.ready(None).unwrap();
    assert_eq!(fs::read_to_string(path.join("environment")).unwrap(), "development id-1\n");
    let staging = DataDir::new(&path, "staging");
    for refused in [staging.check().map(drop), staging.ready(None)] {
        assert!(
            matches!(refused, Err(MarkError::Another { theirs, ours, .. }) if theirs == "development" && ours == "staging")
        );
    }
    staging.restamp(None).unwrap();
    assert!(matches!(development.check(), Err(MarkError::Another { .. })));
    fs::write(path.join("environment"), "one two three").unwrap();
    assert!(matches!(development.check(), Err(MarkError::Unreadable { .. })));
}

#[test]
fn a_data_directory_that_somebody_else_made_is_kept_from_git_as_far_as_it_is_ours() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let ready = |name: &str| {
        DataDir::new(&at(name), "development").ready(None).unwrap();
        fs::read_to_string(at(name).join(".gitignore")).unwrap()
    };
    fs::create_dir(at("empty")).unwrap();
    assert_eq!(ready("empty"), "*\n");
    // By a repository that would have the key committed.
    fs::create_dir(at("planted")).unwrap();
    fs::write(at("planted/.gitignore"), "!*\n").unwrap();
    assert_eq!(ready("planted"), "*\n");
    // Somebody's project: only what is ours.
    fs::create_dir(at("project")).unwrap();
    fs::write(at("project/notes.txt"), "").unwrap();
    let ignored = ready("project");
    assert!(ignored.contains("/host.key\n") && !ignored.contains("\n*\n") && !ignored.starts_with("*\n"), "{ignored}");
    fs::write(at("project/.gitignore"), "target\n").unwrap();
    let ignored = ready("project");
    assert!(
        ignored.starts_with("target\n") && ignored.contains("/host.key\n"),
        "what its owner wrote stays: {ignored}"
    );
    assert_eq!(ready("project"), ignored);
}

#[test]
fn a_plan_is_saved_over_a_plan_and_over_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let to = |name: &str| save(&at(name), b"plan 2", |head| head.starts_with(b"plan"), |path| path.ends_with("kept"));
    to("new").unwrap();
    to("new").unwrap();
    fs::write(at("empty"), "").unwrap();
    to("empty").unwrap();
    fs::write(at("letter"), "Dear Noor").unwrap();
    assert!(matches!(to("letter"), Err(SaveError::Another)));
    assert_eq!(fs::read(at("letter")).unwrap(), b"Dear Noor");
    assert!(matches!(to("kept"), Err(SaveError::Reserved)));
    fs::create_dir(at("directory")).unwrap();
    assert!(matches!(to("directory"), Err(SaveError::Unfit)));
    let _socket = UnixListener::bind(at("socket")).unwrap();
    assert!(matches!(to("socket"), Err(SaveError::Unfit)));
    pipe(&at("pipe"));
    assert!(matches!(to("pipe"), Err(SaveError::NoReader)));
    // Links are followed, to a file that is there and to one that is not.
    for (link, leads) in
        [("to-new", "new"), ("to-none", "none"), ("to-letter", "letter"), ("circle", "circle"), ("to-kept", "kept")]
    {
        symlink(leads, at(link)).unwrap();
    }
    to("to-new").unwrap();
    to("to-none").unwrap();
    assert_eq!(fs::read(at("none")).unwrap(), b"plan 2");
    assert!(at("to-none").is_symlink());
    assert!(matches!(to("to-letter"), Err(SaveError::Another)));
    assert!(matches!(to("to-kept"), Err(SaveError::Reserved)));
    assert!(to("circle").is_err());
    assert_eq!(list(home.path()).unwrap().count(), 12, "nothing is left aside");
}

#[test]
fn a_plan_is_written_through_a_pipe_that_somebody_reads() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("pipe");
    pipe(&path);
    let plan = vec![b'x'; 300_000];
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read(path).unwrap()
    });
    let saved = loop {
        match save(&path, &plan, |_| true, |_| false) {
            // The reader has not come yet.
            Err(SaveError::NoReader) => std::thread::yield_now(),
            saved => break saved,
        }
    };
    saved.unwrap();
    assert!(reader.join().unwrap() == plan);
    assert!(matches!(save(&path, &plan, |_| true, |_| false), Err(SaveError::NoReader)));
}
