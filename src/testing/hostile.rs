//! All that reads what others write, each tried with input that means harm; and the program that libFuzzer runs.

use super::{Answer, Hunt, search};

/// A test for each, and the list that libFuzzer's program looks in.
macro_rules! hunts {
    ($($name:ident: $hunt:path,)*) => {
        $(#[test] fn $name() { $hunt().run(); })*

        #[cfg(libfuzzer)]
        const ALL: &[fn() -> Hunt] = &[canary, $($hunt),*];
    };
}

hunts! {
    billing_events: crate::http::tests::events,
    configuration: crate::config::tests::hostile::hunt,
    database_urls: crate::guard::tests::hostile::urls,
    guarded_names: crate::guard::tests::hostile::names,
    host_guids: crate::port::guid::tests::hunt,
    queries: crate::http::tests::queries,
    redis_urls: crate::port::redis::tests::hostile::hunt,
    request_bodies: crate::http::tests::bodies,
    saved_plans: crate::turn::saved::tests::hunt,
    sealed_entries: crate::port::handoff::tests::hostile::hunt,
    signed_webhooks: crate::webhook::tests::hunt,
    state_files: crate::desired::load::tests::hostile::hunt,
    task_results: crate::port::task::tests::hostile::hunt,
}

/// A reader that stumbles over four bytes, which chance would take years to come to.
fn canary() -> Hunt {
    let corpus = vec![b"a canary in a coal mine".to_vec()];
    let judge = |input: &[u8]| {
        let magic = *b"\x7fRC\x01";
        let right = input.iter().zip(magic).take_while(|(one, other)| **one == *other).count();
        assert!(right < magic.len(), "the canary sings");
        Ok(Answer::Refused)
    };
    Hunt { name: "canary", corpus, fragments: &["x"], draw: |_| None, usual: 1_000, judge: Box::new(judge) }
}

#[test]
fn what_is_broken_is_found_by_its_branches_and_not_by_chance() {
    let Some(long) = search::Long::asked() else { return canary().run() };
    let found = search::search(&canary(), &long.of(5_000_000)).expect_err("libFuzzer finds four bytes");
    assert!(found.told.contains("the canary sings") && found.told.contains("\\x7fRC\\x01"), "{}", found.told);
}

/// libFuzzer brings its own `main`; see `lib.rs`.
#[cfg(libfuzzer)]
mod program {
    use std::env;

    use super::{ALL, Hunt, search};

    thread_local! {
        static HUNT: Hunt = {
            let name = env::var(search::HUNT).expect(search::HUNT);
            let hunt = ALL.iter().map(|hunt| hunt()).find(|hunt| hunt.name == name);
            hunt.unwrap_or_else(|| panic!("no hunt is called {name}"))
        };
    }

    libfuzzer_sys::fuzz_target!(|input: &[u8]| HUNT.with(|hunt| {
        if let Err((harm, why)) = hunt.read(input) {
            panic!("{harm:?}: {why}");
        }
    }));
}
