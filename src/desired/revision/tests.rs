//! Revisions of real repositories.

use std::sync::Arc;

use super::*;
use crate::change::Source;
use crate::desired::testing::Place;
use crate::desired::tree::{self, FileProblem, Limits};

/// As reading the files gives it, with what is worth saying about it.
async fn told(source: Source, dir: &Path) -> (Revision, Vec<FileProblem>) {
    let tree = tree::read(source, dir, &Limits::default(), Arc::from([]), |_| ()).await.unwrap();
    (tree.revision, tree.warnings)
}

async fn revision(place: &Place) -> Revision {
    told(Source::Worktree, &place.path("state")).await.0
}

async fn compared(place: &Place) -> Compared {
    revision(place).await.compared
}

/// With one state file in it, committed.
fn usual() -> Place {
    let place = Place::repository();
    place.write("state/a.yaml", "sessions: []\n");
    place.commit("one");
    place
}

#[tokio::test]
async fn a_clean_tree_is_its_authors() {
    for init in ["init -q -b main", "init -q -b main --object-format=sha256", "init -q -b main --ref-format=reftable"] {
        let place = Place::temporary();
        place.git(init);
        place.write("state/a.yaml", "sessions: []\n");
        place.write("elsewhere.txt", "one\n");
        let commit = place.commit("one");
        place.write("elsewhere.txt", "two\n");
        place.write("state/notes.txt", "untracked, and not read\n");
        let revision = revision(&place).await;
        let committed_at = place.git("log -1 --format=%cI").parse().ok();
        let (commit, author) = (Some(commit), Some("Noor Team".into()));
        assert_eq!(
            revision,
            Revision { commit, committed_at, author, compared: Compared::Clean, user: user() },
            "{init}"
        );
        assert_eq!(revision.actor(), "Noor Team");
    }
}

#[tokio::test]
async fn whatever_is_read_and_not_committed_is_dirty() {
    let place = Place::repository();
    place.write("state/a.yaml", "sessions: []\n");
    place.write(".gitignore", "ignored.yaml\n");
    place.commit("one");
    let check = async |expected| assert_eq!(compared(&place).await, expected);
    check(Compared::Clean).await;
    place.write("state/a.yaml", "sessions: [1]\n");
    check(Compared::Dirty).await;
    place.git("add -A");
    check(Compared::Dirty).await;
    place.git("reset -q --hard");
    check(Compared::Clean).await;
    place.write("state/week/new.yaml", "");
    check(Compared::Dirty).await;
    place.git("clean -qfd");
    place.write("state/ignored.yaml", "");
    check(Compared::Dirty).await;
    place.git("clean -qfdx");
    place.sh("rm state/a.yaml; mkdir state/x");
    check(Compared::Dirty).await;
}

#[tokio::test]
async fn what_git_is_told_not_to_look_at_is_looked_at() {
    for hide in ["update-index --assume-unchanged state/a.yaml", "update-index --skip-worktree state/a.yaml"] {
        let place = usual();
        place.git(hide);
        assert_eq!(compared(&place).await, Compared::Clean, "{hide}");
        place.write("state/a.yaml", "sessions: {}\n");
        assert_eq!(place.git("status --porcelain"), "", "{hide}");
        assert_eq!(compared(&place).await, Compared::Dirty, "{hide}");
    }
}

#[tokio::test]
async fn a_work_tree_that_the_configuration_names_elsewhere_does_not_count() {
    let place = usual();
    place.write("elsewhere/state/a.yaml", "sessions: []\n");
    place.git(&format!("config core.worktree {}", place.path("elsewhere").display()));
    assert_eq!(compared(&place).await, Compared::Clean);
    place.write("state/a.yaml", "sessions: {}\n");
    assert_eq!(compared(&place).await, Compared::Dirty);
}

#[tokio::test]
async fn a_repository_within_belongs_to_no_commit() {
    let place = usual();
    place.sh("git init -q state/team");
    place.write("state/team/b.yaml", "");
    assert_eq!(compared(&place).await, Compared::Dirty);
    place.sh("rm -r state/team; cd state; git init -q; cd ..; git -C state add a.yaml");
    // The nearest repository has no commit, whatever the one above has.
    assert_eq!(revision(&place).await, Revision { user: user(), ..Revision::default() });
}

#[tokio::test]
async fn a_submodule_is_compared_with_the_commit_that_is_named_for_it() {
    let (place, module) = (usual(), Place::repository());
    module.write("b.yaml", "");
    module.commit("one");
    let url = module.root.display();
    place.git(&format!("-c protocol.file.allow=always submodule --quiet add {url} state/team"));
    place.git("config -f .gitmodules submodule.state/team.ignore all");
    place.commit("two");
    assert_eq!(compared(&place).await, Compared::Clean);
    place.write("state/team/b.yaml", "# changed\n");
    assert_eq!(place.git("status --porcelain"), "");
    assert_eq!(compared(&place).await, Compared::Dirty);
    // Committed there, and not named here.
    place.git("-C state/team add -A");
    place.git("-C state/team commit -q -m two");
    assert_eq!(compared(&place).await, Compared::Dirty);
    place.git("add -A");
    place.git("commit -q -m three");
    assert_eq!(compared(&place).await, Compared::Clean);
    place.sh("rm state/team/b.yaml");
    assert_eq!(compared(&place).await, Compared::Dirty);
    // Nobody knows what is missing then.
    place.git("submodule --quiet deinit --force state/team");
    let (revision, warnings) = told(Source::Worktree, &place.path("state")).await;
    assert_eq!(revision.commit, None);
    assert!(
        warnings[0].message.ends_with("state/team` is a submodule, and the submodule is not initialised"),
        "{warnings:?}"
    );
    place.write("state/team/b.yaml", "");
    assert_eq!(compared(&place).await, Compared::Dirty);
}

#[tokio::test]
async fn a_submodule_that_is_not_here_is_told() {
    let (place, module) = (usual(), Place::repository());
    module.write("deep/b.yaml", "");
    module.commit("one");
    place.git(&format!("-c protocol.file.allow=always submodule --quiet add {} team", module.root.display()));
    place.commit("two");
    place.git("clone -q . clone");
    for (state, made) in [("clone/team", true), ("clone/team/deep", false), ("clone/team/deep", true)] {
        let dir = if made { place.dir(state) } else { place.path(state) };
        let error = tree::read(Source::Head, &dir, &Limits::default(), Arc::from([]), |_| ()).await.unwrap_err();
        let team = place.path("clone/team");
        let tree::TreeError::Git { source, .. } = error else { panic!("{error}") };
        assert_eq!(
            source.to_string(),
            format!("`{}` is a submodule, and the submodule is not initialised", team.display())
        );
        assert!(source.hint().contains("submodule update --init 'team'"), "{}", source.hint());
        if made {
            let (revision, warnings) = told(Source::Worktree, &dir).await;
            assert_eq!((revision.commit, warnings.len()), (None, 1));
            assert!(warnings[0].message.contains("is not initialised"), "{warnings:?}");
        }
    }
}

#[tokio::test]
async fn line_ends_are_compared_as_git_stores_them() {
    let place = usual();
    place.write("state/a.yaml", "sessions: []\r\n");
    assert_eq!(compared(&place).await, Compared::Clean);
    place.write(".gitattributes", "*.yaml text=auto eol=crlf\n");
    assert_eq!(compared(&place).await, Compared::Clean);
    place.write("state/.gitattributes", "*.yaml -text\n");
    assert_eq!(compared(&place).await, Compared::Dirty);
    place.sh("rm state/.gitattributes");
    place.write("state/a.yaml", "sessions: []\r\n\r\n");
    assert_eq!(compared(&place).await, Compared::Dirty);
    place.write("state/a.yaml", "sessions: []\r");
    assert_eq!(compared(&place).await, Compared::Dirty);
}

#[tokio::test]
async fn what_has_a_filter_is_not_compared_and_runs_nothing() {
    for attributes in ["state/.gitattributes", ".gitattributes", ".git/info/attributes"] {
        let place = usual();
        place.git("config filter.lfs.required true");
        for way in ["clean", "smudge", "process"] {
            place.sh(&format!("git config filter.lfs.{way} 'touch {}; false'", place.path("trap").display()));
        }
        place.write(attributes, "*.yaml filter=lfs\n");
        place.write("state/a.yaml", "sessions: {}\n");
        let revision = revision(&place).await;
        assert_eq!((revision.compared, revision.commit.is_some()), (Compared::Filtered, true), "{attributes}");
        assert_eq!(revision.actor(), format!("uncommitted ({})", user()));
        place.write("state/b.yaml", "untracked");
        assert_eq!(compared(&place).await, Compared::Dirty, "{attributes}");
        assert!(!place.path("trap").exists());
    }
}

#[tokio::test]
async fn links_count_as_the_commit_has_them() {
    let place = Place::repository();
    place.write("state/.stock/b.yaml", "");
    place.write("state/.stock/c.yaml", "");
    place.link("state/.now.yaml", ".stock/b.yaml");
    place.link("state/a.yaml", ".now.yaml");
    place.commit("one");
    let check = async |expected| assert_eq!(compared(&place).await, expected);
    check(Compared::Clean).await;
    // Read by the same name, all of it committed; and yet not what the commit says.
    place.sh("ln -sfn .stock/c.yaml state/.now.yaml");
    check(Compared::Dirty).await;
    place.git("checkout -q .");
    check(Compared::Clean).await;
    place.link("state/more", ".stock");
    check(Compared::Dirty).await;
    place.sh("rm state/more state/a.yaml");
    check(Compared::Dirty).await;
}

#[tokio::test]
async fn the_way_to_the_directory_is_part_of_the_commit() {
    let place = Place::repository();
    place.write("old/a.yaml", "sessions: [1]\n");
    place.write("new/a.yaml", "sessions: [2]\n");
    place.link("state", "new");
    place.commit("one");
    let dir = place.path("state");
    assert_eq!(compared(&place).await, Compared::Clean);
    let head = async || tree::read(Source::Head, &dir, &Limits::default(), Arc::from([]), |file| file.bytes).await;
    assert_eq!(*head().await.unwrap().files[0].made, b"sessions: [2]\n");
    place.sh("ln -sfn old state");
    assert_eq!(compared(&place).await, Compared::Dirty);
    let error = head().await.unwrap_err();
    assert!(matches!(&error, tree::TreeError::Git { source: GitError::Relinked(link), .. } if *link == dir), "{error}");
}

#[tokio::test]
async fn without_a_commit_it_is_the_users() {
    let place = Place::temporary();
    place.dir("state");
    let nobody = Revision { user: user(), ..Revision::default() };
    assert_eq!(told(Source::Worktree, &place.path("state")).await, (nobody.clone(), vec![]));
    place.git("init -q");
    assert_eq!(told(Source::Worktree, &place.path("state")).await, (nobody, vec![]));
    let git = Git::open(git::Place::find(&place.root).unwrap()).await.unwrap();
    assert!(matches!(head(&git).await, Err(GitError::NoCommit(_))));
}

#[tokio::test]
async fn work_under_way_is_told() {
    let place = usual();
    place.write("state/a.yaml", "# two\n");
    place.commit("two");
    place.sh("GIT_SEQUENCE_EDITOR='sed -i 1s/pick/edit/' GIT_COMMITTER_NAME=N GIT_COMMITTER_EMAIL=n git rebase -q -i HEAD~1 2>/dev/null");
    let (revision, warnings) = told(Source::Worktree, &place.path("state")).await;
    assert!(revision.commit.is_some() && warnings[0].message.contains("a rebase is under way"), "{warnings:?}");
    let head = tree::read(Source::Head, &place.path("state"), &Limits::default(), Arc::from([]), |_| ()).await;
    let error = head.unwrap_err();
    assert!(matches!(error, tree::TreeError::Git { source: GitError::UnderWay { .. }, .. }), "{error}");
    assert!(error.hint().contains("rebase --abort"));
}

#[tokio::test]
async fn a_clone_without_its_files_is_told() {
    let place = usual();
    place.git("config uploadpack.allowFilter true");
    for filter in ["blob:none", "tree:0"] {
        let name = filter.replace(':', "-");
        place.git(&format!("clone -q --no-checkout --filter={filter} file://{} {name}", place.root.display()));
        let dir = place.path(&name).join("state");
        let error = tree::read(Source::Head, &dir, &Limits::default(), Arc::from([]), |_| ()).await.unwrap_err();
        let tree::TreeError::Git { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.to_string(), "the commit's files are not here (partial clone)", "{filter}");
        // As the hint says.
        place.git(&format!("-C {name} checkout HEAD -- ."));
        assert_eq!(told(Source::Head, &dir).await.0.author.as_deref(), Some("Noor Team"));
        assert_eq!(told(Source::Worktree, &dir).await.0.compared, Compared::Clean);
    }
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
    let (linked, _) = told(Source::Worktree, &place.path("linked/state")).await;
    assert_eq!((linked.commit, linked.compared), (Some(first), Compared::Clean));
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
    assert_eq!(compared(&place).await, Compared::Clean);
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
