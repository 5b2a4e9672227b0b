//! Directories that come, go and turn.

use super::*;

#[tokio::test]
async fn a_new_directory_with_files_at_once_wakes() {
    let (place, mut watch) = usual().await;
    place.write("s/one/two/three/b.yaml", "");
    hints(&mut watch).await;
    place.write("s/one/two/three/b.yaml", "# again\n");
    one_hint(&mut watch).await;
    place.write("s/one/two/c.yaml", "");
    one_hint(&mut watch).await;
    place.sh("rm -r s/one");
    one_hint(&mut watch).await;
    place.write("s/one/two/three/b.yaml", "");
    hints(&mut watch).await;
    place.write("s/one/two/three/b.yaml", "# at last\n");
    one_hint(&mut watch).await;
}

/// Directories are made while the watches of those above them are being set up, so that neither the events nor one
/// single listing can know of all.
#[tokio::test]
async fn directories_made_during_a_look_are_watched() {
    let place = Place::temporary();
    place.dir("s");
    let hasty = Pace { quiet: Duration::from_millis(1), at_most: Duration::from_millis(2), ..PACE };
    let mut watch = Watch::at_pace(Source::Worktree, &place.path("s"), hasty, Eyes::new).await.unwrap();
    for number in 0..40u64 {
        let mut dir = place.path(&format!("s/{number}"));
        let maker = tokio::task::spawn_blocking(move || {
            for level in 0..12 {
                dir.push(format!("{level}"));
                fs::create_dir_all(&dir).unwrap();
                std::thread::sleep(Duration::from_micros(number * 7 + 100));
            }
            dir.join("a.yaml")
        });
        let file = maker.await.unwrap();
        while tokio::time::timeout(Duration::from_millis(20), watch.changed()).await.is_ok() {}
        fs::write(&file, "sessions: []\n").unwrap();
        let told = tokio::time::timeout(PATIENCE, watch.changed()).await;
        assert_eq!(told, Ok(Hint::Event), "nothing told of {}", file.display());
    }
}

#[tokio::test]
async fn a_directory_moved_in_wakes_and_is_watched() {
    let (place, mut watch) = usual().await;
    place.write("ready/deep/b.yaml", "");
    place.rename("ready", "s/ready");
    one_hint(&mut watch).await;
    place.write("s/ready/deep/b.yaml", "# changed\n");
    one_hint(&mut watch).await;
    place.rename("s/ready", "s/steady");
    one_hint(&mut watch).await;
    place.write("s/steady/deep/b.yaml", "# changed again\n");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn a_directory_moved_out_is_watched_no_more() {
    let (place, mut watch) = usual().await;
    place.write("s/week/b.yaml", "");
    hints(&mut watch).await;
    place.rename("s/week", "week");
    one_hint(&mut watch).await;
    place.write("week/b.yaml", "# elsewhere\n");
    no_hint(&mut watch).await;
}

#[tokio::test]
async fn the_state_directory_deleted_and_made_again_wakes() {
    let (place, mut watch) = usual().await;
    for text in ["# one\n", "# two\n"] {
        place.sh("rm -r s");
        one_hint(&mut watch).await;
        place.write("s/a.yaml", text);
        hints(&mut watch).await;
        place.write("s/a.yaml", "# and is watched\n");
        one_hint(&mut watch).await;
    }
    // Within one burst, where the new directory may well get the old one's inode.
    place.sh("rm -r s; mkdir s; echo > s/b.yaml");
    one_hint(&mut watch).await;
    place.write("s/b.yaml", "# and is watched\n");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn the_state_directory_moved_away_and_back_wakes() {
    let (place, mut watch) = usual().await;
    place.rename("s", "away");
    one_hint(&mut watch).await;
    place.write("away/a.yaml", "# changed while it was away\n");
    no_hint(&mut watch).await;
    place.rename("away", "s");
    one_hint(&mut watch).await;
    place.write("s/a.yaml", "# back\n");
    one_hint(&mut watch).await;
    // And at once.
    place.sh("mv s away; mv away s");
    one_hint(&mut watch).await;
    place.write("s/a.yaml", "# back again\n");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn a_state_directory_that_does_not_exist_yet_wakes_when_it_does() {
    let place = Place::temporary();
    place.dir("one");
    let mut watch = watch(Source::Worktree, &place.path("one/two/s")).await;
    place.write("one/other.yaml", "");
    no_hint(&mut watch).await;
    place.write("one/two/s/a.yaml", "");
    hints(&mut watch).await;
    place.write("one/two/s/a.yaml", "# changed\n");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn a_link_to_the_state_directory_that_is_turned_wakes() {
    let place = Place::temporary();
    place.write("releases/1/s/a.yaml", "one");
    place.write("releases/2/s/a.yaml", "two");
    place.link("current", "releases/1");
    place.link("s", "current/s");
    let mut watch = watch(Source::Worktree, &place.path("s")).await;
    for (number, other) in [(2, 1), (1, 2)] {
        place.link("next", format!("releases/{number}"));
        place.rename("next", "current");
        one_hint(&mut watch).await;
        place.write(&format!("releases/{number}/s/a.yaml"), "changed");
        one_hint(&mut watch).await;
        place.write(&format!("releases/{other}/s/a.yaml"), "out of force");
        no_hint(&mut watch).await;
    }
    fs::remove_file(place.path("current")).unwrap();
    one_hint(&mut watch).await;
    place.link("current", "releases/2");
    one_hint(&mut watch).await;
}

#[tokio::test]
async fn a_mounted_volume_that_is_swapped_wakes() {
    let place = Place::temporary();
    place.write("v/..2026_01/hosts.yaml", "same");
    place.link("v/..data", "..2026_01");
    place.link("v/hosts.yaml", "..data/hosts.yaml");
    let mut watch = watch(Source::Worktree, &place.path("v")).await;
    for number in 2..4 {
        place.write(&format!("v/..2026_{number:02}/hosts.yaml"), "same");
        no_hint(&mut watch).await;
        place.link("v/..data_tmp", format!("..2026_{number:02}"));
        place.rename("v/..data_tmp", "v/..data");
        one_hint(&mut watch).await;
    }
    place.write("v/..2026_03/hosts.yaml", "changed in place");
    one_hint(&mut watch).await;
}

/// As Kubernetes publishes a ConfigMap, and once more with a link in a directory that nothing lists.
#[tokio::test]
async fn a_link_on_the_way_to_a_file_wakes() {
    let place = Place::temporary();
    for version in ["1", "2"] {
        place.write(&format!("s/..{version}/a.yaml"), &format!("# {version}\n"));
        place.write(&format!("s/.store/v{version}/b.yaml"), &format!("# {version}\n"));
    }
    place.link("s/..data", "..1");
    place.link("s/a.yaml", "..data/a.yaml");
    place.link("s/.store/current", "v1");
    place.link("s/b.yaml", ".store/current/b.yaml");
    let mut watch = watch(Source::Worktree, &place.path("s")).await;
    for (link, target) in [("s/..data", "..2"), ("s/.store/current", "v2"), ("s/..data", "..1")] {
        place.link(&format!("{link}_tmp"), target);
        place.rename(&format!("{link}_tmp"), link);
        hints(&mut watch).await;
        no_hint(&mut watch).await;
    }
}
