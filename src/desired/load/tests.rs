//! Several files at once.

pub(crate) mod hostile;

use std::sync::Arc;

use super::{Loaded, load};
use crate::change::Source;
use crate::desired::testing::Place;
use crate::desired::tree::Limits;

async fn read(place: &Place) -> Loaded {
    load(Source::Worktree, &place.path("s"), &Limits::default(), Arc::from([]), || ()).await.unwrap()
}

fn shown(loaded: &Loaded, place: &Place) -> String {
    loaded.problems.render(false, 200).replace(&*place.root.to_string_lossy(), "")
}

#[tokio::test]
async fn two_files_claim_one_resource() {
    let place = Place::temporary();
    place.write("s/b.yaml", "sessions:\n  - id: 216\n  - id: 215\n    title: again\n");
    place.write("s/a.yaml", "sessions:\n  - id: 215\nhosts:\n  - session: 3\n  - session: 3\n");
    let loaded = read(&place).await;
    insta::assert_snapshot!(shown(&loaded, &place), @"
    /s/a.yaml:5:14: host/3 is declared twice
      |
    5 |   - session: 3
      |              ^
      |
      = note: it is declared here too: /s/a.yaml:4:5
      = help: keep one of the two

    /s/b.yaml:3:9: session/215 is declared twice
      |
    3 |   - id: 215
      |         ^^^
      |
      = note: it is declared here too: /s/a.yaml:2:5
      = help: keep one of the two
    ");
}

#[tokio::test]
async fn a_host_that_programs_read_in_different_ways_is_refused_with_its_readings() {
    let place = Place::temporary();
    let servers = "servers:\n  - {name: a, host: 010.0.0.1, max_instances: 5, admin: a}\n  - {name: b, host: 10.0.0.11, max_instances: 5, admin: b}\n";
    place.write("s/a.yaml", servers);
    let loaded = read(&place).await;
    insta::assert_snapshot!(shown(&loaded, &place), @"
    /s/a.yaml:2:21: host 010.0.0.1 is read as 8.0.0.1 by some programs and as 10.0.0.1 by others
      |
    2 |   - {name: a, host: 010.0.0.1, max_instances: 5, admin: a}
      |                     ^^^^^^^^^
      |
      = help: write one of them: an address has four decimal numbers without leading zeros
    ");
}

#[tokio::test]
async fn problems_of_all_files_at_once() {
    let place = Place::temporary();
    place.write("s/b.yaml", "sessions:\n  - id: 0\n");
    place.write("s/c.yaml", "sessions: [\n");
    place.write("s/a.yaml", "sesions:\n  - id: 1\n");
    place.write("s/d.yaml", "sessions:\n  - id: 1\n");
    let loaded = read(&place).await;
    insta::assert_snapshot!(shown(&loaded, &place), @"
    /s/a.yaml:1:1: unknown kind `sesions`
      |
    1 | sesions:
      | ^^^^^^^
      |
      = help: did you mean `sessions`?

    /s/b.yaml:2:9: id is out of range: `0`
      |
    2 |   - id: 0
      |         ^
      |
      = help: it must be 1 or more

    /s/c.yaml:1:11: this `[` is not closed
      |
    1 | sessions: [
      |           ^
      |
      = help: what follows in this document is not read until it is
    ");
    assert_eq!(loaded.desired.len(), 1);
}

#[tokio::test]
async fn an_item_with_a_problem_claims_its_resource_all_the_same() {
    let place = Place::temporary();
    place.write("s/a.yaml", "sessions:\n  - {id: 215, titel: A, status: open}\n  - {id: 216, protect: false}\n");
    place.write("s/b.yaml", "sessions:\n  - id: 215\n  - id: 216\n  - {id: 215, colour: red}\nhosts: 5\n");
    place.write("s/c.yaml", "servers:\n  - {name: one, host: a, admin: one}\n  - {name: one, host: 7}\n");
    let loaded = read(&place).await;
    let told: Vec<String> = loaded.problems.iter().map(|one| format!("{}: {}", one.place, one.message)).collect();
    let told = told.join("\n").replace(&*place.root.to_string_lossy(), "");
    insta::assert_snapshot!(told, @"
    /s/a.yaml:2:15: unknown field `titel`
    /s/a.yaml:2:33: status wants active, inactive or ended, not `open`
    /s/b.yaml:2:9: session/215 is declared twice
    /s/b.yaml:3:9: session/216 is declared twice
    /s/b.yaml:4:10: session/215 is declared twice
    /s/b.yaml:4:15: unknown field `colour`
    /s/b.yaml:5:8: hosts wants a list, not a number
    /s/c.yaml:2:12: max_instances is missing
    /s/c.yaml:3:5: the server lacks admin
    /s/c.yaml:3:12: server/one is declared twice
    /s/c.yaml:3:23: host wants text, not a number
    ");
}

#[tokio::test]
async fn the_order_of_problems_is_that_of_the_paths() {
    let place = Place::temporary();
    for number in 0..200 {
        let text = format!("sessions:\n  - id: {}\n    status: gone\n  - id: 7\n", number + 1);
        place.write(&format!("s/{number:03}.yaml"), &text);
    }
    let (one, other) = (read(&place).await, read(&place).await);
    assert_eq!(one.problems, other.problems);
    // Session 7 is named 201 times, once by an item that is wrong.
    assert_eq!(one.problems.len(), 200 + 200);
}

#[tokio::test]
async fn no_files_no_problems() {
    let place = Place::temporary();
    place.dir("s");
    assert!(read(&place).await.problems.is_empty());
}

#[tokio::test]
async fn only_what_changed_is_read_again() {
    for source in [Source::Worktree, Source::Head] {
        let place = Place::repository();
        for number in 1..=20 {
            place.write(&format!("s/{number:02}.yaml"), &format!("sessions:\n  - id: {number}\n    title: One\n"));
        }
        place.commit("one");
        // A file that was changed a moment ago is not trusted to stay as it is.
        place.sh("touch -d '1 hour ago' s/*.yaml; sleep 2.1");
        let limits = Limits::default();
        let dir = place.path("s");
        let first = load(source, &dir, &limits, Arc::from([]), || ()).await.unwrap();
        assert_eq!((first.desired.len(), first.reused), (20, 0));
        let same = load(source, &dir, &limits, Arc::clone(&first.leaves), || ()).await.unwrap();
        assert_eq!((same.desired.len(), same.reused), (20, 20));
        place.write("s/07.yaml", "sessions:\n  - id: 7\n    title: Two\n");
        place.sh("rm s/08.yaml; mv s/09.yaml s/10.yaml");
        place.commit("two");
        let after = load(source, &dir, &limits, same.leaves, || ()).await.unwrap();
        let title = |id: i64| after.desired.sessions.get(&crate::resource::session::SessionId(id))?.value.title;
        assert_eq!((after.desired.len(), after.reused), (18, 16), "{source:?}");
        assert_eq!((title(7).as_deref(), title(8), title(9).as_deref()), (Some("Two"), None, Some("One")));
        assert_eq!(title(10), None);
    }
}
