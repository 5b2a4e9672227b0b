//! Histories as Git makes them, and as somebody writes them by hand.

use super::*;
use crate::desired::testing::Place as Dir;

async fn judged(dir: &Dir, last: &str, root: Option<&str>) -> Result<History, GitError> {
    let commit = dir.git("rev-parse HEAD");
    history(&dir.root, &commit, Recorded { commit: last, root }).await
}

fn commits(dir: &Dir, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| {
            dir.write("a.yaml", &format!("# {number}\n"));
            dir.commit("more")
        })
        .collect()
}

/// A clone of `dir` with the newest commits alone.
fn shallow(dir: &Dir, depth: usize) -> Dir {
    let clone = Dir::temporary();
    clone.git(&format!("clone -q --depth {depth} file://{} .", dir.root.display()));
    clone
}

#[tokio::test]
async fn what_was_made_later_contains_what_was_made_before() {
    for format in ["sha1", "sha256"] {
        let dir = Dir::temporary();
        dir.git(&format!("init -q -b main --object-format={format}"));
        let made = commits(&dir, 3);
        assert_eq!(root(&dir.root, &made[2]).await.unwrap().as_ref(), Some(&made[0]));
        for last in &made {
            assert_eq!(judged(&dir, last, None).await.unwrap(), History::Contains, "{format}");
        }
        dir.git("reset -q --hard HEAD~1");
        assert_eq!(judged(&dir, &made[2], None).await.unwrap(), History::Lacks, "{format}");
        // The start of an id is none, and the id of a tree neither.
        let tree = dir.git("rev-parse HEAD^{tree}");
        for no_commit in [&made[1][..39], &tree, "HEAD", "--all", ""] {
            assert_eq!(judged(&dir, no_commit, Some(&made[0])).await.unwrap(), History::Lacks, "{no_commit}");
        }
    }
}

#[tokio::test]
async fn the_times_of_commits_do_not_matter() {
    let dir = Dir::repository();
    let mut made = Vec::new();
    for (number, time) in ["@4102444800 +0000", "@1 +0000", "@1767225600 +0000", "@915148800 +0000"]
        .into_iter()
        .cycle()
        .take(20)
        .enumerate()
    {
        dir.write("a.yaml", &format!("# {number}\n"));
        dir.git("add -A");
        dir.git_at(time, "commit -q -m more");
        made.push(dir.git("rev-parse HEAD"));
    }
    for last in &made {
        assert_eq!(judged(&dir, last, None).await.unwrap(), History::Contains);
    }
    dir.git("reset -q --hard HEAD~1");
    assert_eq!(judged(&dir, &made[19], None).await.unwrap(), History::Lacks);
}

#[tokio::test]
async fn a_history_that_begins_elsewhere_is_another() {
    let dir = Dir::repository();
    let made = commits(&dir, 2);
    dir.git("checkout -q --orphan other");
    dir.write("a.yaml", "# another\n");
    dir.commit("another");
    // Whether its commits are here or not.
    assert_eq!(judged(&dir, &made[1], Some(&made[0])).await.unwrap(), History::Another);
    let clone = Dir::temporary();
    clone.git(&format!("clone -q --single-branch -b other file://{} .", dir.root.display()));
    assert_eq!(judged(&clone, &made[1], Some(&made[0])).await.unwrap(), History::Another);
    // Of the same beginning, but what was applied was never pushed here.
    dir.git("checkout -q main");
    assert_eq!(judged(&dir, &"a".repeat(40), Some(&made[0])).await.unwrap(), History::Lacks);
    // Another hash function names other commits, and never by a part of an id.
    assert_eq!(judged(&dir, &"a".repeat(64), Some(&"b".repeat(64))).await.unwrap(), History::Another);
    // A beginning that came in by a merge is one of its beginnings.
    dir.git("merge -q --allow-unrelated-histories -s ours -m both other");
    let other = dir.git("rev-parse other");
    assert_eq!(judged(&dir, &"a".repeat(40), Some(&other)).await.unwrap(), History::Lacks);
}

#[tokio::test]
async fn where_history_is_cut_off_only_what_is_here_counts() {
    let dir = Dir::repository();
    let made = commits(&dir, 4);
    let clone = shallow(&dir, 2);
    for last in &made[2..] {
        assert_eq!(judged(&clone, last, Some(&made[0])).await.unwrap(), History::Contains);
    }
    for last in &made[..2] {
        assert_eq!(judged(&clone, last, Some(&made[0])).await.unwrap(), History::Cut);
    }
    assert_eq!(root(&clone.root, &made[3]).await.unwrap(), None);
}

#[tokio::test]
async fn a_cut_a_graft_and_a_replacement_that_were_made_by_hand_hide_nothing() {
    let dir = Dir::repository();
    let made = commits(&dir, 3);
    dir.git("checkout -q -b older HEAD~1");
    dir.write("a.yaml", "# aside\n");
    let aside = dir.commit("aside");
    // As if history began here: what was applied is not contained, and the clone is not shallow.
    dir.write(".git/shallow", &format!("{aside}\n"));
    assert_eq!(judged(&dir, &made[2], Some(&made[0])).await.unwrap(), History::Lacks);
    assert_eq!(judged(&dir, &"a".repeat(40), Some(&made[0])).await.unwrap(), History::Lacks);
    assert_eq!(judged(&dir, &made[1], Some(&made[0])).await.unwrap(), History::Contains);
    dir.write(".git/shallow", "nonsense\n");
    assert!(matches!(judged(&dir, &made[2], None).await, Err(GitError::Failed { .. }) | Ok(History::Cut)));
    std::fs::remove_file(dir.path(".git/shallow")).unwrap();
    // As if this commit came after the one that was applied.
    dir.write(".git/info/grafts", &format!("{aside} {}\n", made[2]));
    assert_eq!(judged(&dir, &made[2], Some(&made[0])).await.unwrap(), History::Lacks);
    std::fs::remove_file(dir.path(".git/info/grafts")).unwrap();
    let tree = dir.git("rev-parse HEAD^{tree}");
    let claimed = dir.git(&format!("commit-tree -p {} -m claimed {tree}", made[2]));
    dir.git(&format!("replace {aside} {claimed}"));
    assert_eq!(judged(&dir, &made[2], Some(&made[0])).await.unwrap(), History::Lacks);
}

#[tokio::test]
async fn a_partial_clone_fetches_nothing() {
    let dir = Dir::repository();
    let made = commits(&dir, 3);
    let clone = Dir::temporary();
    clone.git(&format!(
        "-c protocol.file.allow=always clone -q --filter=blob:none --no-checkout file://{} .",
        dir.root.display()
    ));
    dir.rename(".git", "gone");
    assert_eq!(judged(&clone, &made[0], None).await.unwrap(), History::Contains);
    assert_eq!(judged(&clone, &"a".repeat(40), Some(&made[0])).await.unwrap(), History::Lacks);
}
