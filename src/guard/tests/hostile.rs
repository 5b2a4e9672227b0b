//! Database URLs and names that mean harm: what the guard takes, a slow and simple check must take too.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::*;
use crate::driver;
use crate::testing::{Answer, Hunt, PASSWORD, is_printable, keeps_the_password};

/// What each environment may touch, written out once more.
const OWNED: [(&str, &[&str]); 3] = [
    ("development", &["KSESSIONS_DEV", "KQUR_DEV"]),
    ("production", &["KSESSIONS", "KQUR"]),
    ("staging", &["STAGE.1"]),
];

const URLS: &[&str] = &[
    "postgres://noor:hunter2canary@localhost:5432/KSESSIONS_DEV",
    "postgresql://noor:hunter2canary@10.0.0.1/KSESSIONS_DEV?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    "postgres://noor:hunter2%63anary@[::1]:5433/kqur_dev?connect_timeout=5&application_name=a%20b",
    "postgres://noor@localhost/K%53ESSIONS_DEV?password=hunter2canary",
    "postgres://noor:hunter2canary@/KSESSIONS?host=/run/postgresql",
    "POSTGRES://noor:hunter2canary@db.example.org/STAGE.1?sslmode=require",
    "postgres://noor:hunter2canary/x@localhost/KQUR_DEV",
    "postgres://admin:hunter2canary@localhost/postgres",
    "sqlite:/srv/KSESSIONS_DEV.db",
    "sqlite:///srv/noor/KSESSIONS.db",
    "sqlite://noor:hunter2canary@localhost/KSESSIONS_DEV.db",
    "noor:hunter2canary@localhost/KSESSIONS_DEV.db",
    "data/STAGE.1.db",
    "sqlite::memory:",
    "file:/srv/KSESSIONS_DEV.db?mode=rw",
    "POSTGRES://noor:hunter2canary@d%62.example.org/STAGE.1?sslmode=require",
    "postgres://noor:x@localhost/a%20bpassword=hunter2canary",
];

#[rustfmt::skip] // So many on a line as there is room for.
const PIECES: &[&str] = &[
    "/", "//", ":", "@", "?", "#", "&", "=", "%", "%2F", "%40", "%00", "%0a", "%25", "%C0%AF", "%D0%95", ",", ";", " ",
    "\t", "\n", "\r", "\0", "\\", "'", "\"", "[", "]", "..", ".", ".db", ".db-wal", "./", "../", "localhost", "127.0.0.1",
    "evil.example.org", "host=/tmp", "host=evil", "hostaddr=10.6.6.6", "port=6432", "user=root", "dbname=KSESSIONS",
    "options=-c%20search_path=x", "sslmode=disable", "sslmode=verify-full", "service=x", "password=hunter2canary",
    "sslpassword=hunter2canary", ":hunter2canary@", "hunter2canary", "KSESSIONS", "KSESSIONS_DEV", "KQUR", "ksessions",
    "KSESSIONS_DEV.db", "STAGE.1", "postgres", "postgres://", "postgresql://", "sqlite:", "sqlite://", "file:", "?mode=ro",
    "\u{202e}", "\u{200b}", "\u{feff}", "ＫＱＵＲ", "КSESSIONS", "K\u{212a}", "ſ", "ı", "é", "\u{1b}[2J", "@@", "::1", "[::1]",
    "0x7f.1", "2130706433", "１２７.0.0.1", "%31", "%4b", "~", "$HOME", "`id`", "*", "+", "xn--80ak6aa92e",
    "a very long part that goes on and on and on and on and on and on and on and on and on and on and on and on and on",
];

fn guards() -> Vec<Guard> {
    let mut policy = Policy::built_in();
    policy.with("staging", ["STAGE.1"]).unwrap();
    OWNED.iter().map(|(environment, _)| Guard::new(policy.clone(), environment, true).unwrap()).collect()
}

pub fn urls() -> Hunt {
    let corpus = URLS.iter().map(|url| url.as_bytes().to_vec()).collect();
    let guards = guards();
    let judge = Box::new(move |bytes: &[u8]| judge_url(&guards, &String::from_utf8_lossy(bytes)));
    Hunt { name: "database URLs", corpus, fragments: PIECES, draw: |_| None, usual: 2_000, judge }
}

fn judge_url(guards: &[Guard], url: &str) -> Result<Answer, String> {
    let mut answer = Answer::Refused;
    let mut seen: Option<Refusal> = None;
    let mut once = |refusal: Refusal| {
        let is_new = seen.as_ref().is_none_or(|seen| (&seen.why, &seen.server) != (&refusal.why, &refusal.server));
        let judged = if is_new { explained(url, &refusal) } else { Ok(()) };
        seen = Some(refusal);
        judged
    };
    for (guard, (_, owned)) in guards.iter().zip(OWNED) {
        for transport in [Transport::Verified, Transport::Unverified] {
            match guard.target(url, transport).and_then(|target| guard.admit(&target).map(|_| target)) {
                Ok(target) => {
                    admitted_rightly(url, &target, owned)?;
                    answer = Answer::Taken;
                }
                Err(refusal) => once(refusal)?,
            }
            match guard.admit_pool(url, "postgres", transport) {
                Ok(target) if named(url).as_deref() != Some("postgres") => {
                    return Err(format!("a pool server's URL leads to {}", target.postgres().catalog));
                }
                Ok(target) => keeps_the_password(url, &target.server())?,
                Err(refusal) => once(refusal)?,
            }
        }
    }
    Ok(answer)
}

/// Whether the target is one of `owned`, as this test, the driver, and the driver's own reader of URLs see it.
fn admitted_rightly(url: &str, target: &Target, owned: &[&str]) -> Result<(), String> {
    keeps_the_login(url, &target.server())?;
    let named = named(url).ok_or_else(|| format!("no catalog is named, and {} is taken", target.catalog()))?;
    if !owned.iter().any(|known| known.eq_ignore_ascii_case(&named)) {
        return Err(format!("it names {named}, which is none of {owned:?}"));
    }
    let Target::Postgres(postgres) = target else {
        return match target {
            Target::Sqlite(file) if file.path().ends_with(format!("{named}.db")) => Ok(()),
            _ => Err(format!("it names {named}, and leads to {}", target.server())),
        };
    };
    // An authority whose file is not there.
    let Ok(options) = driver::options(postgres, "test") else { return Ok(()) };
    let read = PgConnectOptions::from_str(url).map_err(|error| format!("the driver cannot read it: {error}"))?;
    let same_host = postgres.socket().is_some()
        || postgres.host.contains(':')
        || read.get_host().eq_ignore_ascii_case(&postgres.host);
    let same = options.get_database() == Some(named.as_str())
        && read.get_database() == Some(named.as_str())
        && read.get_username() == options.get_username()
        && read.get_port() == options.get_port()
        && same_host;
    if same { Ok(()) } else { Err(format!("the driver reads another target: {read:?}")) }
}

/// The catalog, found the slow way: one letter after the other, from the right.
fn named(url: &str) -> Option<String> {
    let lower = url.to_ascii_lowercase();
    if lower.starts_with("postgres://") || lower.starts_with("postgresql://") {
        let whole: String = url.chars().take_while(|letter| !matches!(letter, '?' | '#')).collect();
        return decoded(whole.rsplit('/').next()?.as_bytes());
    }
    let name = url.rsplit(['/', ':']).next()?;
    name.strip_suffix(".db").map(str::to_owned)
}

fn decoded(written: &[u8]) -> Option<String> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while let Some(byte) = written.get(at) {
        let pair = written.get(at + 1..at + 3).and_then(|pair| str::from_utf8(pair).ok());
        let pair = pair.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *byte == b'%') {
            Some(meant) => {
                bytes.push(meant);
                at += 3;
            }
            None => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether a refusal says what and how to mend it, fits its box, and keeps the password.
fn explained(url: &str, refusal: &Refusal) -> Result<(), String> {
    let boxed = refusal.boxed(60);
    is_printable(&boxed)?;
    keeps_the_login(url, &format!("{refusal}\n{refusal:?}\n{}", boxed.replace(['\n', '│', ' '], "")))?;
    if refusal.why.is_empty() || refusal.mend.is_empty() || refusal.environment.is_none() {
        return Err(format!("a refusal without a reason or a way out: {refusal:?}"));
    }
    match boxed.lines().find(|line| line.chars().count() != 60) {
        Some(line) => Err(format!("a line of the box has another width: {line}")),
        None => Ok(()),
    }
}

/// What may be shown of a path holds no login; only its first part could be one.
fn keeps_the_login(url: &str, said: &str) -> Result<(), String> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    if ["postgres", "postgresql"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return keeps_the_password(url, said);
    }
    let path = if scheme.eq_ignore_ascii_case("sqlite") { &url[7..] } else { url };
    let first = path.strip_prefix("//").unwrap_or(path).split('/').next().unwrap_or_default();
    keeps_the_password(first, said)
}

pub fn names() -> Hunt {
    let lines = ["development\nKSESSIONS_DEV\nksessions_dev\ndevelopment", "staging\nSTAGE.1\nSTAGE.1\nstaging"];
    let more = ["production\nKSESSIONS\nKQUR\nproduction", "moon\nKQUR\n.\n\n", "a_b-1\nA.b_c-9\nKSESSIONS_DEV\nx"];
    let corpus = lines.iter().chain(&more).map(|names| names.as_bytes().to_vec()).collect();
    let judge = Box::new(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let mut names = text.splitn(4, '\n');
        let mut next = || names.next().unwrap_or_default();
        judge_names([next(), next(), next(), next()])
    });
    Hunt { name: "guarded names", corpus, fragments: PIECES, draw: |_| None, usual: 5_000, judge }
}

fn judge_names([environment, catalog, reported, stamped]: [&str; 4]) -> Result<Answer, String> {
    let word = |name: &str, more: &str| {
        (1..=63).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let plain_catalog = word(catalog, "_-.") && !catalog.starts_with('.') && !catalog.ends_with('.');
    let plain_environment = word(environment, "_-") && !environment.contains(|c: char| c.is_ascii_uppercase());
    let mut policy = Policy::built_in();
    let added = policy.with(environment, [catalog]);
    let owner = OWNED[..2].iter().find(|(_, owned)| owned.iter().any(|known| known.eq_ignore_ascii_case(catalog)));
    let may = plain_catalog && plain_environment && owner.is_none_or(|(owner, _)| *owner == environment);
    if added.is_ok() != may {
        return Err(format!("taken: {}; it should be: {may}", added.is_ok()));
    }
    for (owner, owned) in &OWNED[..2] {
        for known in *owned {
            let owners = OWNED[..2].iter().map(|(name, _)| Environment::new(name).unwrap());
            let owners: Vec<Environment> = owners
                .filter(|environment| policy.catalogs(environment).contains(&Catalog::new(known).unwrap()))
                .collect();
            if owners.len() != 1 || owners[0].as_str() != *owner {
                return Err(format!("{known} belongs to {owners:?}"));
            }
        }
    }
    if let Err(refusal) = added {
        is_printable(&format!("{}\n{refusal}", refusal.boxed(40)))?;
        return if refusal.mend.is_empty() { Err(refusal.to_string()) } else { Ok(Answer::Refused) };
    }
    let guard = Guard::new(policy, environment, true).map_err(|refusal| refusal.to_string())?;
    let target = guard.target(&format!("sqlite:/srv/{catalog}.db"), Transport::Verified);
    let target = target.map_err(|refusal| refusal.to_string())?;
    let admitted = guard.admit(&target).map_err(|refusal| refusal.to_string())?;
    if guard.agree(&admitted, reported).is_ok() != reported.eq_ignore_ascii_case(catalog) {
        return Err(format!("{reported:?} is taken for {catalog}, or the other way round"));
    }
    if guard.agree_stamp(&admitted, stamped).is_ok() != (stamped == environment) {
        return Err(format!("the stamp {stamped:?} is taken for {environment}, or the other way round"));
    }
    Ok(Answer::Taken)
}

#[test]
fn a_login_in_the_path_of_a_file_is_refused_unshown() {
    for url in [
        "sqlite://noor:hunter2canary@localhost/KSESSIONS_DEV.db",
        "sqlite:noor:hunter2canary@localhost/KSESSIONS_DEV.db",
        "noor:hunter2canary@localhost/KSESSIONS_DEV.db",
        "host=localhost password=hunter2canary dbname=KSESSIONS_DEV.db",
    ] {
        let refusal = refused(url);
        assert!(refusal.why.contains("looks like a password"), "{refusal}");
        assert!(!format!("{refusal:?}").contains(PASSWORD), "{refusal:?}");
    }
    admitted("sqlite:/srv/a:b@c/KSESSIONS_DEV.db");
}

#[test]
fn a_password_behind_a_lost_question_mark_is_refused_unshown() {
    for rest in ["KSESSIONS_DEV%20PassWord=hunter2canary", "KSESSIONS_DEV?a%20password%3dhunter2canary=1"] {
        let refusal = refused(&format!("postgres://noor@localhost/{rest}"));
        assert!(refusal.why.contains("looks like a password"), "{refusal}");
        assert!(!format!("{refusal:?}").contains(PASSWORD), "{refusal:?}");
    }
}

#[test]
fn a_server_is_named_plainly_since_another_reader_would_look_for_what_is_written() {
    for host in ["%64b.example.org", "db.example%2Eorg", "loc%61lhost"] {
        let refusal = refused(&format!("postgres://u@{host}/KSESSIONS_DEV"));
        assert_eq!(refusal.why, "the host's name is not plain", "{host}");
    }
}
