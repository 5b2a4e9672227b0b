//! What a store says of what was put into it, and what it leaves unsaid.

use super::*;

#[tokio::test]
async fn a_directory_knows_itself_again_and_no_other() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let probe = |home: &TempDir| Probe::embedded(home.path(), &owner());
    assert_eq!(probe(&homes[0]).home().await.unwrap(), None, "nothing was ever put there");
    let mut names = Vec::new();
    for home in &homes {
        put(&with(home.path(), &['a']), KEY, HOUR).await;
        let name = probe(home).home().await.unwrap().unwrap();
        put(&with(home.path(), &['b']), "another", HOUR).await;
        assert_eq!(probe(home).home().await.unwrap(), Some(name.clone()));
        names.push(name);
    }
    assert!(names[0] != names[1] && names[0].starts_with(EMBEDDED), "{names:?}");
}

#[tokio::test]
async fn only_the_store_that_a_secret_was_put_into_can_say_that_it_is_lost() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for home in &homes {
        put(&with(home.path(), &['a']), "another", HOUR).await;
    }
    let [here, there] = homes.each_ref().map(|home| Probe::embedded(home.path(), &owner()));
    let now = Utc::now();
    let (later, past) = (Some(now + HOUR), Some(now - HOUR));
    let mine = here.home().await.unwrap();
    let record = |store: Option<&str>, until| Record { store: store.map(str::to_owned), until };
    use Unknown::{NoRedis, OtherMachine, Unrecorded};
    for (probe, key, record, right) in [
        (&here, "another", record(mine.as_deref(), later), Whereabouts::Waiting),
        (&here, KEY, record(mine.as_deref(), later), Whereabouts::Lost),
        (&here, KEY, record(mine.as_deref(), past), Whereabouts::Expired),
        (&there, KEY, record(mine.as_deref(), later), Whereabouts::Unknown(OtherMachine)),
        (&here, KEY, record(Some(REDIS), later), Whereabouts::Unknown(NoRedis)),
        (&here, KEY, record(None, later), Whereabouts::Unknown(Unrecorded)),
        // Its time is over wherever it was.
        (&there, KEY, record(mine.as_deref(), past), Whereabouts::Expired),
        (&here, KEY, record(None, past), Whereabouts::Expired),
    ] {
        let (found, answer) = probe.whereabouts(&[(key.to_owned(), record.clone())]).await;
        answer.unwrap();
        assert_eq!(found, [right], "{key} {record:?}");
    }
    // A store that does not answer makes nothing lost.
    fs::set_permissions(homes[0].path().join("handoff"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(homes[0].path().join("handoff/.id"), [0xff]).unwrap();
    let (found, answer) = here.whereabouts(&[(KEY.to_owned(), record(mine.as_deref(), later))]).await;
    assert!(answer.is_err() && matches!(found[0], Whereabouts::Unknown(Unknown::Silent(_))), "{found:?}");
}

#[tokio::test]
async fn what_waits_says_which_key_opens_it() {
    let home = tempfile::tempdir().unwrap();
    put(&with(home.path(), &['a']), KEY, HOUR).await;
    put(&with(home.path(), &['b']), "one", HOUR).await;
    put(&with(home.path(), &['b']), "two", HOUR).await;
    let probe = Probe::embedded(home.path(), &owner());
    let under = probe.sealed_under().await.unwrap();
    assert_eq!(under.values().copied().collect::<std::collections::BTreeSet<_>>(), [1, 2].into());
    assert!(under.keys().all(|key| key.len() == 12), "{under:?}");
}
