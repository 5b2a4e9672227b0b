//! The hunt itself: what it must find, it finds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{Answer, Hunt, holds_a_password, worked};

/// What a hunt says of a reader that stumbles over inputs that begin so.
fn found(begin: &'static [u8], stumble: fn() -> Result<Answer, String>) -> String {
    let corpus = vec![b"plain".to_vec(), [begin, b" and more"].concat(), b"plain".to_vec()];
    let judge = Box::new(move |input: &[u8]| if input.starts_with(begin) { stumble() } else { Ok(Answer::Taken) });
    let hunt = Hunt { name: "the hunt itself", corpus, fragments: &["x"], draw: |_| None, usual: 3, judge };
    let failed = catch_unwind(AssertUnwindSafe(|| hunt.run())).unwrap_err();
    failed.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn each_sort_of_harm_is_found_and_its_input_shown() {
    let crash = found(b"crash", || panic!("stumbled"));
    assert!(crash.contains("Crash") && crash.contains("stumbled") && crash.contains("crash and more"), "{crash}");
    let slow = found(b"slow", || {
        let begun = worked();
        while worked() - begun < Duration::from_millis(600) {}
        Ok(Answer::Taken)
    });
    assert!(slow.contains("Hang") && slow.contains("slow and more"), "{slow}");
    let heavy = found(b"heavy", || {
        assert_eq!(vec![b'x'; 80 << 20].len(), 80 << 20);
        Ok(Answer::Refused)
    });
    assert!(heavy.contains("Memory") && heavy.contains("heavy and more"), "{heavy}");
    let wrong = found(b"wrong", || Err("this means something else".to_owned()));
    assert!(wrong.contains("Unexplained") && wrong.contains("this means something else"), "{wrong}");
}

#[test]
fn a_password_stands_behind_a_user_and_not_in_its_name() {
    for url in ["postgres://noor:hunter2canary@db/K", "noor:hunter2canary@db", "redis://r/0?password=hunter2canary"] {
        assert!(holds_a_password(url), "{url}");
    }
    let host = "redis://noor:x@hunter2canary/0?ca=a@b";
    for url in ["postgres://nohunter2canary@db/K", "postgres://noor@db/hunter2canary", host, "noor"] {
        assert!(!holds_a_password(url), "{url}");
    }
}
