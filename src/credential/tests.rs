//! Each form, published examples, and what only resembles them.

use super::*;

/// One credential of each form, drawn.
pub(crate) fn samples(rng: &mut fastrand::Rng) -> Vec<String> {
    let letters = |of: fn(u8) -> bool| (0..=127).filter(|byte| of(*byte)).map(char::from).collect::<Vec<char>>();
    let mut samples = Vec::new();
    for Form { prefix, what: _, least, most, alphabet, fits } in &FORMS {
        let (known, plain) = (letters(*alphabet), letters(plain));
        let length = if *most == usize::MAX { least + rng.usize(0..20) } else { *most };
        let body = loop {
            let mut body: String = (0..length).map(|_| known[rng.usize(..known.len())]).collect();
            if *prefix == "eyJ" {
                let part = |rng: &mut fastrand::Rng| (0..20).map(|_| plain[rng.usize(..62)]).collect::<String>();
                body = format!("{}.eyJ{}.{}", part(rng), part(rng), part(rng));
            }
            if *prefix == "SG." {
                let part =
                    |rng: &mut fastrand::Rng, count| (0..count).map(|_| plain[rng.usize(..62)]).collect::<String>();
                body = format!("{}.{}", part(rng, 22), part(rng, 43));
            }
            let ends = |letter: char| letter.is_ascii_alphanumeric();
            if fits(&body) && body.ends_with(ends) && body.starts_with(ends) {
                break body;
            }
        };
        samples.push(format!("{prefix}{body}"));
    }
    samples
}

#[test]
fn each_form_is_found_wherever_it_stands_and_nothing_of_it_is_shown() {
    let rng = &mut fastrand::Rng::with_seed(215);
    for _ in 0..20 {
        for sample in samples(rng) {
            assert!(sample.len() >= SHORTEST && sample.bytes().all(may_be_part), "{sample}");
            for (before, behind) in
                [("", ""), ("see ", ", please"), ("(", ")"), ("é", "é"), ("key_", " "), ("\"", "\"."), ("token=", "&x")]
            {
                let text = format!("{before}{sample}{behind}");
                assert!(first(&text).is_some(), "{text}");
                let shown = masked(&text);
                assert!(!shown.contains(&sample[sample.len() - 8..]), "{text}: {shown}");
                assert!(shown.starts_with(before) && shown.contains(MASK), "{text}: {shown}");
            }
        }
    }
}

#[test]
fn published_examples_are_found() {
    for (text, what) in [
        ("AKIAIOSFODNN7EXAMPLE", "an AWS access key"),
        ("ASIAIOSFODNN7EXAMPLE", "an AWS access key"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "a GitHub token"),
        (
            "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456",
            "a GitHub token",
        ),
        ("glpat-ABCdef-12345_67890zz", "a GitLab token"),
        ("xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy", "a Slack token"),
        ("xapp-1-A012ABCDEFG-1234567890123-abc", "a Slack token"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "a Stripe key"),
        ("rk_live_4eC39HqLyj", "a Stripe key"),
        ("AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe", "a Google key"),
        ("sk-ant-api03-R2D2c3poR2D2c3po", "an Anthropic key"),
        (
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
            "a JSON Web Token",
        ),
        ("AGE-SECRET-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQY", "an age key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "a private key"),
        ("-----BEGIN EC PRIVATE KEY-----", "a private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "a private key"),
        ("postgres://admin:hunter2@10.0.0.1/postgres", "a URL with a password"),
    ] {
        assert_eq!(first(text), Some(what), "{text}");
    }
}

#[test]
fn what_only_begins_so_is_none() {
    for text in [
        "AKIA",
        "ghp_ is a prefix",
        "ghp_…",
        "AKIA and ASIA are prefixes",
        "AKIAIOSFODNN7EXAMPLES are longer",
        "TAKIAIOSFODNN7EXAMPLE",
        "ghp_short1",
        "glpat-is-the-prefix-of-all-tokens",
        "xoxb-and-xoxp-are-prefixes",
        "sk_live_environment",
        "sk_test_environment of Stripe",
        "risk-assessment-of-the-project-in-many-words",
        "sk-proj-ect-with-many-words-in-it",
        "npm_config_registry",
        "hf_transformers",
        "age1",
        "age123",
        "eyJ",
        "eyJhbGciOiJIUzI1NiJ9",
        "SG. Fatiha, Singapore",
        "SG.first.and.second.of.many.short.ones",
        "key-value-pairs",
        "Surah Al-Fatiha",
        "Auto-Generated-Session-For-Surah-Al-Baqara-215-And-More",
        "pypi-project-with-a-very-long-name-that-goes-on-and-on-for-long",
        "https://example.org:8080/a@b",
        "-----BEGIN CERTIFICATE-----",
        "سورة الفاتحة",
    ] {
        assert_eq!((first(text), masked(text).as_ref()), (None, text), "{text}");
    }
}

#[test]
fn prefixes_stand_once() {
    for (place, form) in FORMS.iter().enumerate() {
        assert!(FORMS[place + 1..].iter().all(|other| other.prefix != form.prefix), "{}", form.prefix);
        // Of two that fit, the longer prefix stands first.
        let hides = |other: &&Form| form.prefix != other.prefix && other.prefix.starts_with(form.prefix);
        assert!(FORMS[place + 1..].iter().find(hides).is_none(), "{}", form.prefix);
    }
}
