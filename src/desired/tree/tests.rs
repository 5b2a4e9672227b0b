//! Directories as editors, links and hostile hands leave them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::*;
use crate::desired::testing::Place;

/// The files as they are, of which nothing was known.
async fn read(source: Source, dir: &Path, limits: &Limits) -> Result<Tree<Vec<u8>>, TreeError> {
    super::read(source, dir, limits, Arc::from([]), |file| file.bytes).await
}

async fn read_all(source: Source, dir: &Path) -> Tree<Vec<u8>> {
    read(source, dir, &Limits::default()).await.unwrap()
}

/// The paths below `dir` that were read, and the problems as one line each.
fn below(tree: &Tree<Vec<u8>>, dir: &Path) -> (Vec<String>, Vec<String>) {
    let short = |path: &str| path.strip_prefix(dir.to_str().unwrap()).unwrap().trim_start_matches('/').to_owned();
    (
        tree.files.iter().map(|file| short(&file.path)).collect(),
        tree.problems.iter().map(|problem| format!("{}: {}", short(&problem.path), problem.message)).collect(),
    )
}

async fn look(source: Source, dir: &Path) -> (Vec<String>, Vec<String>) {
    below(&read_all(source, dir).await, dir)
}

fn text<'a>(tree: &'a Tree<Vec<u8>>, end: &str) -> &'a str {
    let file = tree.files.iter().find(|file| file.path.ends_with(end)).unwrap();
    std::str::from_utf8(&file.made).unwrap()
}

#[tokio::test]
async fn every_state_file_is_read_and_nothing_else() {
    let place = Place::temporary();
    for name in ["s/b.yaml", "s/week/a.yml", "s/week/deep/er/c.yaml", "s/.hidden.yaml", "s/.git/d.yaml", "s/a.yaml~"] {
        place.write(name, name);
    }
    for name in
        ["s/.#a.yaml", "s/#a.yaml#", "s/4913", "s/.a.yaml.swp", "s/a.yaml.orig", "s/README.md", "s/x.tmp/a.yaml"]
    {
        place.write(name, name);
    }
    let dir = place.path("s");
    let tree = read_all(Source::Worktree, &dir).await;
    assert_eq!(below(&tree, &dir), (vec!["b.yaml".into(), "week/a.yml".into(), "week/deep/er/c.yaml".into()], vec![]));
    assert_eq!(text(&tree, "a.yml"), "s/week/a.yml");
}

#[tokio::test]
async fn paths_are_shown_below_the_directory_as_it_was_given() {
    let place = Place::temporary();
    place.write("real/a.yaml", "");
    let link = place.link("state", "real");
    let tree = read_all(Source::Worktree, &link).await;
    assert_eq!(tree.files.first().map(|file| &*file.path), link.join("a.yaml").to_str());
}

#[tokio::test]
async fn a_directory_that_is_missing_is_not_an_empty_one() {
    let place = Place::temporary();
    let limits = Limits::default();
    let missing = read(Source::Worktree, &place.path("none"), &limits).await.unwrap_err();
    assert!(matches!(missing, TreeError::Missing(_)) && missing.hint().contains("--state"), "{missing}");
    let broken = read(Source::Worktree, &place.link("broken", "none"), &limits).await;
    assert!(matches!(broken, Err(TreeError::Missing(_))));
    let file = read(Source::Worktree, &place.write("file", ""), &limits).await;
    assert!(matches!(file, Err(TreeError::NotADirectory(_))));
    let empty = read(Source::Worktree, &place.dir("empty"), &limits).await.unwrap();
    assert!(empty.files.is_empty() && empty.problems.is_empty());
}

#[tokio::test]
async fn links_that_lead_out_are_refused() {
    let place = Place::temporary();
    let secret = place.write("outside/secret.yaml", "secret");
    // A directory whose name only begins as the state directory's does.
    place.write("state-2/a.yaml", "");
    place.link("state/absolute.yaml", &secret);
    place.link("state/relative.yaml", "../outside/secret.yaml");
    place.link("state/dir", "../outside");
    place.link("state/sibling", "../state-2");
    place.link("state/through.yaml", "dir/secret.yaml");
    place.link("state/nowhere.yaml", "none.yaml");
    place.link("state/circle.yaml", "circle.yaml");
    let (files, problems) = look(Source::Worktree, &place.path("state")).await;
    assert_eq!(files, Vec::<String>::new());
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert!(
        problems[0].starts_with("absolute.yaml: is a link to `/")
            && problems[0].ends_with("out of the state directory")
    );
    assert_eq!(
        problems[1],
        "circle.yaml: is a link to `circle.yaml`, which cannot be followed: too many levels of symbolic links"
    );
    assert_eq!(problems[2], "nowhere.yaml: is a link to `none.yaml`, which does not exist");
}

#[tokio::test]
async fn links_inside_are_followed_once() {
    let place = Place::temporary();
    place.write("s/week/a.yaml", "a");
    place.write("s/b.txt", "b");
    place.write("s/.stock/c.yaml", "c");
    place.link("s/0.yaml", "week/a.yaml");
    place.link("s/again", "week");
    place.link("s/week/up", "..");
    place.link("s/self", ".");
    place.link("s/named.yaml", "b.txt");
    place.link("s/other.yaml", "b.txt");
    place.link("s/stock", ".stock");
    place.link("s/notes", "b.txt");
    let (files, problems) = look(Source::Worktree, &place.path("s")).await;
    assert_eq!(files, ["named.yaml", "stock/c.yaml", "week/a.yaml"]);
    assert_eq!(problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_mounted_volume_is_read_through_its_links() {
    let place = Place::temporary();
    place.write("v/..2026_01/hosts.yaml", "one");
    place.write("v/..2026_02/hosts.yaml", "two");
    place.link("v/..data", "..2026_01");
    place.link("v/hosts.yaml", "..data/hosts.yaml");
    let dir = place.path("v");
    assert_eq!(text(&read_all(Source::Worktree, &dir).await, "v/hosts.yaml"), "one");
    place.link("v/..data_tmp", "..2026_02");
    place.rename("v/..data_tmp", "v/..data");
    assert_eq!(text(&read_all(Source::Worktree, &dir).await, "v/hosts.yaml"), "two");
}

#[tokio::test]
async fn what_is_not_a_file_is_never_opened() {
    let place = Place::temporary();
    place.dir("s/folder.yaml");
    place.sh("mkfifo s/pipe.yaml s/pipe.txt");
    let _socket = UnixListener::bind(place.path("s/socket.yml")).unwrap();
    place.link("s/device.yaml", "/dev/zero");
    let (files, problems) = look(Source::Worktree, &place.path("s")).await;
    assert!(files.is_empty());
    assert_eq!(problems[0], "device.yaml: is a link to `/dev/zero`, which leads out of the state directory");
    assert_eq!(problems[1..], ["pipe.yaml: is a named pipe, not a file", "socket.yml: is a socket, not a file"]);
}

#[tokio::test]
async fn names_that_cannot_be_shown_are_problems() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::temporary();
    let dir = place.dir("s");
    fs::write(dir.join(std::ffi::OsStr::from_bytes(b"\xff.yaml")), "").unwrap();
    let (_, problems) = look(Source::Worktree, &dir).await;
    assert_eq!(problems, ["\u{fffd}.yaml: the name is not valid UTF-8"]);
}

#[tokio::test]
async fn a_file_without_the_right_to_read_is_a_problem() {
    if rustix::process::getuid().is_root() {
        // To root everything is readable; a test of the words is left.
        assert_eq!(walk::reason(&io::Error::from_raw_os_error(13)), "permission denied");
        return;
    }
    let place = Place::temporary();
    let file = place.write("s/a.yaml", "");
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    let (_, problems) = look(Source::Worktree, &place.path("s")).await;
    assert_eq!(problems, ["a.yaml: the file cannot be read: permission denied"]);
}

#[tokio::test]
async fn limits_hold() {
    let place = Place::repository();
    place.write("s/a.yaml", "12345");
    place.write("s/b.yaml", "1234567890");
    place.write("s/c.yaml", "1234567890");
    place.commit("all");
    let dir = place.path("s");
    let usual = Limits::default();
    for source in [Source::Worktree, Source::Head] {
        let fits = read(source, &dir, &Limits { file: 10, files: 3, total: 25, ..usual }).await.unwrap();
        assert_eq!((fits.files.len(), fits.problems.len()), (3, 0));
        let large = read(source, &dir, &Limits { file: 5, ..usual }).await.unwrap();
        let (files, problems) = below(&large, &dir);
        assert_eq!(files, ["a.yaml"]);
        assert_eq!(problems[0], "b.yaml: the file has 10 bytes, more than the limit of 5");
        for (limits, what) in [
            (Limits { files: 2, ..usual }, "more than 2 state files"),
            (Limits { total: 24, ..usual }, "more than 24 bytes in state files"),
            (Limits { entries: 2, ..usual }, "more than 2 files and directories"),
        ] {
            let error = read(source, &dir, &limits).await.unwrap_err().to_string();
            assert!(error.ends_with(what), "{error}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_all_the_time_is_never_read_half() {
    let place = Place::temporary();
    let file = place.write("s/a.yaml", &"a".repeat(100_000));
    let dir = place.path("s");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut letter = b'a';
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            letter = if letter == b'z' { b'a' } else { letter + 1 };
            fs::write(file.with_extension("tmp"), [letter].repeat(100_000)).unwrap();
            fs::rename(file.with_extension("tmp"), &file).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    for _ in 0..50 {
        let tree = read_all(Source::Worktree, &dir).await;
        for file in &tree.files {
            assert_eq!(file.made.len(), 100_000);
            assert!(file.made.iter().all(|byte| *byte == file.made[0]));
        }
        assert_eq!(tree.files.len() + tree.problems.len(), 1);
    }
    stop.send(()).unwrap();
    writer.join().unwrap();
}

/// As git-sync does it, between the look for the repository and the reading of the files.
#[tokio::test]
async fn a_link_that_is_turned_meanwhile_leads_to_the_other_commit() {
    let place = Place::repository();
    place.write("s/a.yaml", "one");
    place.commit("one");
    place.git("worktree add -q A");
    place.write("s/a.yaml", "two");
    place.git("add s");
    place.git("commit -q -m two");
    place.git("worktree add -q B");
    let before = super::Place::find(&place.path("A/s"));
    let dir = place.link("link", "B").join("s");
    let tree = lying(before, &dir, &Limits::default(), Arc::from([]), |file: SourceFile| file.bytes).await.unwrap();
    let revision = (tree.revision.commit, tree.revision.compared);
    assert_eq!(revision, (Some(place.git("rev-parse B")), crate::change::Compared::Clean));
}

mod committed {
    use super::*;

    #[tokio::test]
    async fn what_lies_in_the_working_tree_does_not_count() {
        let place = Place::repository();
        place.write("s/week/a.yaml", "committed");
        place.write("s/b.yaml", "");
        place.write("s/.hidden/c.yaml", "");
        place.write("s/README.md", "");
        place.write("other/d.yaml", "");
        let commit = place.commit("one");
        place.write("s/week/a.yaml", "half sav");
        place.write("s/new.yaml", "untracked");
        place.sh("rm s/b.yaml");
        let dir = place.path("s");
        let tree = read_all(Source::Head, &dir).await;
        assert_eq!(below(&tree, &dir), (vec!["b.yaml".into(), "week/a.yaml".into()], vec![]));
        assert_eq!(text(&tree, "a.yaml"), "committed");
        assert_eq!((tree.revision.commit, tree.revision.compared), (Some(commit), crate::change::Compared::Clean));
    }

    #[tokio::test]
    async fn the_directory_need_not_be_checked_out() {
        let place = Place::repository();
        place.write("deep/s/a.yaml", "a");
        place.commit("one");
        // In no other repository: there it could be one that somebody has committed as plain files.
        let outside = Place::temporary();
        place.git(&format!("clone -q --bare . {}", outside.path("bare.git").display()));
        place.sh("rm -r deep");
        for dir in [place.path("deep/s"), outside.path("bare.git/deep/s")] {
            assert_eq!(look(Source::Head, &dir).await.0, ["a.yaml"], "{}", dir.display());
        }
    }

    #[tokio::test]
    async fn the_repository_may_be_the_directory_itself_and_empty() {
        let place = Place::repository();
        place.write("a.yaml", "a");
        place.commit("one");
        assert_eq!(look(Source::Head, &place.root).await.0, ["a.yaml"]);
        place.git("rm -q a.yaml");
        place.commit("none");
        assert_eq!(look(Source::Head, &place.root).await.0, Vec::<String>::new());
    }

    #[tokio::test]
    async fn links_and_submodules_are_problems() {
        let place = Place::repository();
        place.write("s/a.yaml", "");
        place.link("s/b.yaml", "a.yaml");
        let commit = place.commit("one");
        place.git(&format!("update-index --add --cacheinfo 160000,{commit},s/module"));
        place.git("commit -q -m two");
        let (files, problems) = look(Source::Head, &place.path("s")).await;
        assert_eq!(files, ["a.yaml"]);
        assert_eq!(
            problems,
            [
                "b.yaml: is a link, and what it leads to is not part of the commit's own tree",
                "module: is a submodule, and what it leads to is not part of the commit's own tree",
            ]
        );
    }

    #[tokio::test]
    async fn without_anything_committed_it_says_what_to_do() {
        let place = Place::temporary();
        place.write("s/a.yaml", "");
        let dir = place.path("s");
        let error = async |dir: &Path| read(Source::Head, dir, &Limits::default()).await.unwrap_err();
        let outside = error(&dir).await;
        assert!(matches!(outside, TreeError::Git { source: GitError::NoRepository(_), .. }));
        assert!(outside.hint().contains("git init") && outside.hint().contains("source: worktree"));
        place.git("init -q");
        assert!(matches!(error(&dir).await, TreeError::Git { source: GitError::NoCommit(_), .. }));
        place.git("commit -q --allow-empty -m one");
        let untracked = error(&dir).await;
        assert!(matches!(&untracked, TreeError::NotCommitted { .. }) && untracked.hint().contains("git add"));
        assert!(matches!(error(&place.path("none")).await, TreeError::NotCommitted { .. }));
        place.commit("two");
        assert!(matches!(error(&dir.join("a.yaml")).await, TreeError::NotADirectory(_)));
    }

    #[tokio::test]
    async fn names_are_taken_as_they_are() {
        let place = Place::repository();
        for name in ["s/[a]*.yaml", "s/two words.yaml", "s/ü\n\"q\".yaml", ":(glob)/a.yaml"] {
            place.write(name, name);
        }
        place.commit("one");
        let tree = read_all(Source::Head, &place.path("s")).await;
        assert_eq!(tree.files.len(), 3);
        assert!(tree.files.iter().all(|file| file.path.ends_with(std::str::from_utf8(&file.made).unwrap())));
        assert_eq!(look(Source::Head, &place.path(":(glob)")).await.0, ["a.yaml"]);
    }

    #[tokio::test]
    async fn a_thousand_files_come_in_one_reading() {
        let place = Place::repository();
        for number in 0..1000 {
            place.write(&format!("s/{:02}/{number:04}.yaml", number % 20), &format!("{number}\n").repeat(100));
        }
        place.commit("all");
        let tree = read_all(Source::Head, &place.path("s")).await;
        assert_eq!(tree.files.len(), 1000);
        assert!(tree.files.is_sorted_by(|one, other| one.path < other.path));
        assert_eq!(text(&tree, "0999.yaml"), "999\n".repeat(100));
    }
}
