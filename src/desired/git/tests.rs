//! What `git` is given, and what it is never given.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::desired::testing::Place as Dir;

async fn opened(dir: &Path) -> Result<Git, GitError> {
    Git::open(Place::find(dir)?).await
}

fn find(dir: &Path) -> Result<(PathBuf, PathBuf), GitError> {
    Place::find(dir).map(|place| (place.repository.top, place.inside))
}

#[test]
fn only_commands_of_the_table_are_asked() {
    let names =
        [OPEN, COMMIT, ROOT, BASE, THERE, LIST, SIZES, ENTRIES, CONTENTS, ATTRIBUTES, SAFE].map(|verb| verb.name);
    let table =
        include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | `")?.split([' ', '`']).next());
    let table: Vec<&str> = table.collect();
    assert_eq!(table, ["rev-parse", "rev-list", "merge-base", "ls-tree", "cat-file", "check-attr", "config"]);
    assert!(names.iter().all(|name| table.contains(name)), "{names:?}");
}

#[tokio::test]
async fn nothing_of_this_processs_environment_is_passed_on() {
    let dir = Dir::repository();
    let git = opened(&dir.root).await.unwrap();
    let command = git.command(&LIST).unwrap();
    let known: Vec<&str> =
        KEPT.iter().chain(ALWAYS.iter().chain(&OWN_SETTINGS).map(|(name, _)| name)).copied().collect();
    for (name, _) in command.as_std().get_envs() {
        let name = name.to_str().unwrap();
        assert!(known.contains(&name) || matches!(name, "GIT_CEILING_DIRECTORIES" | "GIT_INDEX_FILE"), "{name}");
    }
}

#[test]
fn a_program_that_begins_where_this_process_stands_is_not_taken() {
    let dir = Dir::temporary();
    let file = dir.write("bin/git", "#!/bin/sh\n");
    dir.write("plain/git", "");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let of = |path: &str| program(Some(path.replace("ROOT", dir.root.to_str().unwrap()).into()));
    assert_eq!(of("bin:.::ROOT/plain:ROOT/none:ROOT/bin"), Some(file));
    assert_eq!(of("bin:.::ROOT/plain"), None);
}

#[test]
fn the_nearest_git_directory_or_file_counts() {
    let dir = Dir::repository();
    dir.write("s/a.yaml", "");
    dir.commit("one");
    dir.git("worktree add -q linked -b other");
    dir.git("init -q --separate-git-dir elsewhere.git apart");
    let (root, linked) = (dir.root.clone(), dir.path("linked"));
    assert_eq!(find(&dir.path("s")).unwrap(), (root.clone(), "s".into()));
    assert_eq!(find(&dir.path("s/none/at/all")).unwrap(), (root.clone(), "s/none/at/all".into()));
    assert_eq!(find(&root).unwrap(), (root.clone(), "".into()));
    assert_eq!(find(&linked.join("s")).unwrap(), (linked, "s".into()));
    assert_eq!(find(&dir.path("apart/s")).unwrap(), (dir.path("apart"), "s".into()));
    let apart = Place::find(&dir.path("apart")).unwrap().repository;
    assert_eq!((apart.own.clone(), apart.common.clone()), (dir.path("elsewhere.git"), dir.path("elsewhere.git")));
    let named = format!("{} (its repository is {})", dir.path("apart").display(), dir.path("elsewhere.git").display());
    assert_eq!(apart.named(), named);
    // As Git does: a directory of that name that is no repository is passed over.
    dir.dir("s/.git");
    assert_eq!(find(&dir.path("s")).unwrap(), (root, "s".into()));
}

#[test]
fn a_bare_repository_that_somebody_has_committed_is_not_found() {
    let dir = Dir::repository();
    dir.git("init -q --bare s");
    dir.git("init -q --bare s/below");
    for state in ["s", "s/below", "s/none"] {
        assert_eq!(find(&dir.path(state)).unwrap(), (dir.root.clone(), state.into()));
    }
    dir.sh("rm -r .git");
    for state in ["s", "s/below"] {
        assert!(matches!(find(&dir.path(state)), Err(GitError::NoRepository(_))), "{state}");
    }
    // Nothing could be planted at a path that leads into one.
    assert_eq!(find(&dir.path("s/none")).unwrap(), (dir.path("s"), "none".into()));
}

#[test]
fn a_git_file_that_leads_to_no_repository_is_told() {
    let dir = Dir::temporary();
    for text in ["gitdir: none\n", "elsewhere\n", &"gitdir: x\n".repeat(10_000)] {
        dir.write("s/.git", text);
        let error = find(&dir.path("s")).unwrap_err();
        assert!(matches!(error, GitError::Broken { .. }), "{error}");
    }
    dir.sh("rm s/.git; mkfifo s/.git");
    assert!(matches!(find(&dir.path("s")), Err(GitError::NoRepository(_))));
}

#[test]
fn a_head_that_is_none_makes_no_repository() {
    let dir = Dir::repository();
    for text in ["", "ref: other\n", "7898\n"] {
        dir.write(".git/HEAD", text);
        assert!(matches!(find(&dir.root), Err(GitError::NoRepository(_))), "{text}");
    }
    // Git would read it whole.
    std::fs::File::create(dir.path(".git/HEAD")).unwrap().set_len(3 << 30).unwrap();
    let error = find(&dir.root).unwrap_err();
    assert!(error.to_string().ends_with("HEAD` is no file of at most 16384 bytes"), "{error}");
    dir.sh("rm .git/HEAD; mkfifo .git/HEAD");
    assert!(matches!(find(&dir.root), Err(GitError::Broken { .. })));
    for name in ["refs/heads/main", "packed-refs"] {
        dir.sh("rm -r .git; git init -q -b main");
        std::fs::File::create(dir.path(".git").join(name)).unwrap().set_len(3 << 30).unwrap();
        let error = find(&dir.root).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn objects_from_outside_are_refused() {
    let dir = Dir::repository();
    dir.write("one/a.yaml", "");
    dir.commit("one");
    dir.git("clone -q --shared . shared");
    let error = find(&dir.path("shared")).unwrap_err();
    assert!(matches!(error, GitError::ForeignObjects { .. }), "{error}");
    let hint = error.hint();
    assert!(hint.contains("repack -a -d") && hint.contains("objects/info/alternates"), "{hint}");
    dir.sh("cd shared; git repack -q -a -d; rm .git/objects/info/alternates");
    assert!(find(&dir.path("shared")).is_ok());
    for way in [
        "rm -r objects; ln -s $THEIRS/objects objects",
        "rm -r objects/pack; ln -s $THEIRS/objects/pack objects/pack",
        "for theirs in $THEIRS/objects/??; do ln -s $theirs objects/; done",
        "mkdir objects/78; ln -s $THEIRS/HEAD objects/78/98",
        "ln -s $THEIRS/HEAD objects/pack/pack-78.pack",
        "mkdir inner; ln -s $THEIRS/HEAD inner/98; ln -s ../inner objects/78",
        // By way of a store inside, and of a path that Git and the system understand differently.
        "mkdir -p inner/info; echo ../inner >objects/info/alternates; echo $THEIRS/objects >inner/info/alternates",
        "mkdir -p a/b/x; ln -s ../a/b objects/l; ln -s $THEIRS/objects objects/x; echo l/../b/x >objects/info/alternates",
    ] {
        dir.sh(&format!("rm -rf one/.git; git init -q one; THEIRS=$(realpath .git); cd one/.git; {way}"));
        assert!(matches!(find(&dir.path("one")), Err(GitError::ForeignObjects { .. })), "{way}");
    }
}

#[test]
fn another_repository_is_not_taken_for_the_one_that_keeps_a_work_tree() {
    let dir = Dir::repository();
    dir.write("one/a.yaml", "");
    dir.commit("one");
    dir.git("init -q two");
    dir.sh("realpath .git >two/.git/commondir");
    let error = find(&dir.path("two")).unwrap_err();
    assert!(matches!(error, GitError::Broken { .. }) && error.to_string().contains("commondir"), "{error}");
}

#[test]
fn work_that_moves_head_is_told() {
    let dir = Dir::repository();
    let at_rest = || Place::find(&dir.root).unwrap().repository.at_rest();
    assert!(at_rest().is_ok());
    for (mark, what, verb) in [
        ("rebase-merge", "a rebase", "rebase --abort"),
        ("rebase-apply", "a rebase", "rebase --abort"),
        ("BISECT_LOG", "a bisection", "bisect reset"),
    ] {
        let mark = dir.write(&format!(".git/{mark}"), "");
        let error = at_rest().unwrap_err();
        assert!(error.to_string().starts_with(what) && error.hint().contains(verb), "{error}");
        std::fs::remove_file(mark).unwrap();
    }
}

#[tokio::test]
async fn a_repository_that_is_not_the_one_found_is_refused() {
    let dir = Dir::repository();
    dir.git("init -q other");
    let mut place = Place::find(&dir.path("other")).unwrap();
    place.repository.own = dir.path(".git");
    assert!(matches!(Git::open(place).await, Err(GitError::Another { .. })));
}

#[tokio::test]
async fn both_hash_functions_are_known() {
    for (init, format) in [("init -q", Format::Sha1), ("init -q --object-format=sha256", Format::Sha256)] {
        let dir = Dir::temporary();
        dir.git(init);
        assert_eq!(opened(&dir.root).await.unwrap().format, format);
    }
}

#[test]
fn entries_are_read_as_they_are_printed() {
    let listed =
        b"100644 blob 7898\ta b.yaml\x00100644 blob 6178     BAD\tc\nd\x00120000 blob 0123      12\t\xff\0nonsense\0";
    let read: Vec<_> = entries(listed).map(|entry| (entry.mode, entry.object, entry.size, entry.path)).collect();
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    assert_eq!(
        read,
        [
            ("100644", "7898", None, Path::new("a b.yaml")),
            ("100644", "6178", None, Path::new("c\nd")),
            ("120000", "0123", Some(12), Path::new(odd)),
        ]
    );
}
