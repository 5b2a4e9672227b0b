//! Revisions of real repositories.

use super::*;
use crate::desired::testing::Place;

async fn revision(place: &Place) -> Revision {
    of_worktree(&place.path("state")).await.unwrap()
}

#[tokio::test]
async fn a_clean_tree_is_its_authors() {
    let place = Place::repository();
    place.write("state/a.yaml", "sessions: []\n");
    place.write("elsewhere.txt", "one\n");
    let commit = place.commit("one");
    place.write("elsewhere.txt", "two\n");
    place.write("state/notes.txt", "untracked, and not read\n");
    let revision = revision(&place).await;
    assert_eq!(
        revision,
        Revision { commit: Some(commit), author: Some("Noor Team".into()), dirty: false, user: user() }
    );
    assert_eq!(revision.actor(), "Noor Team");
}

#[tokio::test]
async fn whatever_is_read_and_not_committed_is_dirty() {
    let place = Place::repository();
    place.write("state/a.yaml", "sessions: []\n");
    place.write(".gitignore", "ignored.yaml\n");
    place.commit("one");
    let check = async |dirty| assert_eq!(revision(&place).await.dirty, dirty);
    check(false).await;
    place.write("state/a.yaml", "sessions: [1]\n");
    check(true).await;
    place.git("add -A");
    check(true).await;
    place.git("reset -q --hard");
    check(false).await;
    place.write("state/week/new.yaml", "");
    check(true).await;
    place.git("clean -qfd");
    place.write("state/ignored.yaml", "");
    check(true).await;
    place.git("clean -qfdx");
    place.sh("rm state/a.yaml; mkdir state/x");
    check(true).await;
}

#[tokio::test]
async fn without_a_commit_it_is_the_users() {
    let place = Place::temporary();
    place.dir("state");
    assert_eq!(revision(&place).await, Revision { user: user(), ..Revision::default() });
    place.git("init -q");
    assert_eq!(revision(&place).await, Revision { user: user(), ..Revision::default() });
    assert!(matches!(head(&place.path("state")).await, Err(GitError::NoCommit(_))));
}

#[tokio::test]
async fn a_linked_work_tree_has_a_head_of_its_own() {
    let place = Place::repository();
    place.write("state/a.yaml", "");
    let first = place.commit("one");
    place.git("worktree add -q linked -b other");
    place.write("state/a.yaml", "# two\n");
    place.git("add state");
    place.git("commit -q -m two");
    let linked = of_worktree(&place.path("linked/state")).await.unwrap();
    assert_eq!((linked.commit, linked.dirty), (Some(first), false));
}

#[tokio::test]
async fn looking_takes_no_lock_and_writes_no_index() {
    let place = Place::repository();
    let file = place.write("state/a.yaml", "");
    place.commit("one");
    // A new time of change is what makes `git status` want to refresh the index.
    std::fs::File::open(&file).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let index = || std::fs::metadata(place.path(".git/index")).unwrap().modified().unwrap();
    let before = index();
    assert!(!revision(&place).await.dirty);
    assert_eq!(index(), before);
}

#[test]
fn users_are_found_by_number() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\n\nnoor:x:1000:1000:Noor,,,:/home/noor:/bin/sh\n";
    assert_eq!(named(passwd, 1000).as_deref(), Some("noor"));
    assert_eq!(named(passwd, 10), None);
    assert_eq!(named(":x:7::", 7), None);
    assert!(!user().is_empty());
}
