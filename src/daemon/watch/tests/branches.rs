//! What moves `HEAD`, and what does not.

use super::*;

/// A repository with the branches `main`, `other` (a commit further) and `twin` (the same commit as `main`).
async fn repository(init: &str) -> (Place, Watch) {
    let place = Place::temporary();
    place.git(init);
    place.write("s/a.yaml", "");
    place.commit("one");
    place.git("branch twin");
    place.git("checkout -q -b other");
    place.write("s/a.yaml", "# other\n");
    place.commit("two");
    place.git("checkout -q main");
    let watch = watch(Source::Head, &place.path("s")).await;
    (place, watch)
}

#[tokio::test]
async fn what_moves_head_wakes() {
    for init in ["init -q -b main", "init -q -b main --ref-format=reftable"] {
        let (place, mut watch) = repository(init).await;
        let commands = [
            "commit -q --allow-empty -m three",
            "commit -q --amend --allow-empty -m four",
            "checkout -q other",
            "checkout -q --detach main",
            "checkout -q main",
            "reset -q --hard HEAD~1",
            "merge -q other",
        ];
        for command in commands {
            let before = place.git("rev-parse HEAD");
            place.git(command);
            if before != place.git("rev-parse HEAD") {
                hints(&mut watch).await;
            }
        }
    }
}

#[tokio::test]
async fn what_does_not_move_head_does_not_wake() {
    let (place, mut watch) = repository("init -q -b main").await;
    place.write("s/a.yaml", "# half saved");
    place.write("s/b.yaml", "");
    place.git("add -A");
    place.git("branch -f twin other");
    place.git("tag v1");
    place.git("update-ref refs/remotes/origin/main other");
    place.git("stash -q");
    no_hint(&mut watch).await;
    // The same commit in another file.
    place.git("pack-refs --all --prune");
    no_hint(&mut watch).await;
}

#[tokio::test]
async fn a_packed_branch_wakes() {
    let (place, mut watch) = repository("init -q -b main").await;
    place.git("pack-refs --all --prune");
    assert!(!place.path(".git/refs/heads/main").exists());
    no_hint(&mut watch).await;
    place.git("commit -q --allow-empty -m three");
    one_hint(&mut watch).await;
    place.git("pack-refs --all --prune");
    place.git("checkout -q other");
    hints(&mut watch).await;
}

/// It is not searched, and its size and times say enough.
#[tokio::test]
async fn a_branch_in_a_huge_list_wakes() {
    let (place, _) = repository("init -q -b main").await;
    place.git("pack-refs --all --prune");
    let commit = place.git("rev-parse HEAD");
    let line = |number: usize| format!("{commit} refs/tags/v{number:06}\n");
    let list: String = (0..20_000).map(line).collect();
    let mut packed = fs::OpenOptions::new().append(true).open(place.path(".git/packed-refs")).unwrap();
    packed.write_all(list.as_bytes()).unwrap();
    drop(packed);
    let mut watch = watch(Source::Head, &place.path("s")).await;
    no_hint(&mut watch).await;
    // As a fetch or a gc writes it: the branch is another commit then.
    let other = place.git("rev-parse other");
    let text = fs::read_to_string(place.path(".git/packed-refs")).unwrap();
    place.write(
        ".git/packed-refs.new",
        &text.replace(&format!("{commit} refs/heads/main"), &format!("{other} refs/heads/main")),
    );
    place.rename(".git/packed-refs.new", ".git/packed-refs");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn references_that_are_no_files_hold_nothing_up() {
    let (place, _) = repository("init -q -b main").await;
    place.sh("rm .git/refs/heads/main; mkfifo .git/refs/heads/main .git/packed-refs");
    let mut watch = tokio::time::timeout(PATIENCE, watch(Source::Head, &place.path("s"))).await.unwrap();
    no_hint(&mut watch).await;
}

#[tokio::test]
async fn a_branch_in_folders_wakes() {
    let (place, mut watch) = repository("init -q -b main").await;
    place.git("checkout -q -b team/week/one");
    place.git("pack-refs --all --prune");
    no_hint(&mut watch).await;
    assert!(!place.path(".git/refs/heads/team").exists());
    place.git("commit -q --allow-empty -m three");
    one_hint(&mut watch).await;
    place.git("commit -q --allow-empty -m four");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn a_linked_work_tree_wakes_by_its_own_head() {
    for init in ["init -q -b main", "init -q -b main --ref-format=reftable"] {
        let (place, main) = repository(init).await;
        place.git("worktree add -q linked twin");
        drop(main);
        let mut main = watch(Source::Head, &place.path("s")).await;
        let mut linked = watch(Source::Head, &place.path("linked/s")).await;
        place.git("-C linked commit -q --allow-empty -m three");
        hints(&mut linked).await;
        place.git("-C linked checkout -q --detach other");
        hints(&mut linked).await;
        if !init.ends_with("reftable") {
            no_hint(&mut main).await;
            place.git("commit -q --allow-empty -m four");
            one_hint(&mut main).await;
            no_hint(&mut linked).await;
        }
    }
}

#[tokio::test]
async fn a_push_into_a_bare_repository_wakes() {
    let (place, _) = repository("init -q -b main").await;
    let outside = Place::temporary();
    let bare = outside.path("bare.git");
    place.git(&format!("clone -q --bare . {}", bare.display()));
    let mut watch = watch(Source::Head, &bare.join("s")).await;
    place.git("commit -q --allow-empty -m three");
    no_hint(&mut watch).await;
    place.git(&format!("push -q {} main", bare.display()));
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn the_first_commit_wakes() {
    let place = Place::repository();
    place.write("s/a.yaml", "");
    let mut watch = watch(Source::Head, &place.path("s")).await;
    place.commit("one");
    hints(&mut watch).await;
}

#[tokio::test]
async fn a_repository_that_is_lost_and_found_wakes() {
    let (place, mut watch) = repository("init -q -b main").await;
    place.rename(".git", "away");
    one_hint(&mut watch).await;
    place.rename("away", ".git");
    // Nothing tells where a repository might appear: looking finds it.
    drop(watch);
    let pace = Pace { poll: Duration::from_millis(50), ..PACE };
    let mut watch = Watch::at_pace(Source::Head, &place.path("s"), pace, Eyes::new).await.unwrap();
    place.rename(".git", "away");
    tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap();
    place.rename("away", ".git");
    tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap();
    no_hint(&mut watch).await;
}

/// As git-sync publishes a commit: a new work tree beside the old one, and a link that is turned to it.
#[tokio::test]
async fn a_link_that_is_turned_to_another_work_tree_wakes() {
    for source in [Source::Head, Source::Worktree] {
        let place = Place::temporary();
        place.git("init -q -b main");
        place.write("s/a.yaml", "");
        place.commit("one");
        place.git("worktree add -q --detach .worktrees/A HEAD");
        place.link("link", ".worktrees/A");
        let mut watch = watch(source, &place.path("link/s")).await;
        place.write("s/a.yaml", "# two\n");
        place.commit("two");
        place.git("worktree add -q --detach .worktrees/B HEAD");
        no_hint(&mut watch).await;
        for target in [".worktrees/B", ".worktrees/A"] {
            place.link("next", target);
            place.rename("next", "link");
            hints(&mut watch).await;
        }
        // The work tree that is left behind is watched no more, and the one that is shown is.
        place.git("-C .worktrees/B checkout -q --detach HEAD~1");
        no_hint(&mut watch).await;
        place.git("-C .worktrees/A commit -q --allow-empty -m three");
        hints(&mut watch).await;
    }
}

/// A linked work tree is found by a file, which may be turned to another repository.
#[tokio::test]
async fn a_git_file_that_leads_elsewhere_wakes() {
    let place = Place::temporary();
    for name in ["one", "two"] {
        place.git(&format!("init -q -b main {name}"));
        place.git(&format!("-C {name} commit -q --allow-empty -m {name}"));
    }
    place.write("tree/s/a.yaml", "");
    place.write("tree/.git", "gitdir: ../one/.git\n");
    let mut watch = watch(Source::Head, &place.path("tree/s")).await;
    place.write("tree/.git", "gitdir: ../two/.git\n");
    hints(&mut watch).await;
    place.git("-C one commit -q --allow-empty -m more");
    no_hint(&mut watch).await;
    place.git("-C two commit -q --allow-empty -m more");
    hints(&mut watch).await;
    place.rename("two/.git", "two/away");
    hints(&mut watch).await;
    place.rename("two/away", "two/.git");
    hints(&mut watch).await;
}

/// What lies there is put down to another commit.
#[tokio::test]
async fn a_commit_of_what_lies_there_wakes() {
    for init in ["init -q -b main", "init -q -b main --ref-format=reftable"] {
        let place = Place::temporary();
        place.git(init);
        place.write("s/a.yaml", "");
        let mut watch = watch(Source::Worktree, &place.path("s")).await;
        place.commit("one");
        hints(&mut watch).await;
        place.git("tag v1");
        place.git("pack-refs --all");
        if !init.contains("reftable") {
            no_hint(&mut watch).await;
        }
        place.git("commit -q --allow-empty -m two");
        hints(&mut watch).await;
    }
}
