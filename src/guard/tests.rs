//! The guard against everything that could lead it astray.

mod disk;
pub(crate) mod hostile;

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;

fn development() -> Guard {
    Guard::new(Policy::built_in(), "development", false).unwrap()
}

fn production() -> Guard {
    Guard::new(Policy::built_in(), "production", true).unwrap()
}

/// The refusal of `url` in development, wherever it falls.
fn refused(url: &str) -> Refusal {
    let guard = development();
    match guard.target(url, Transport::Verified) {
        Err(refusal) => refusal,
        Ok(target) => match guard.admit(&target) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{url} was admitted"),
        },
    }
}

fn admitted(url: &str) -> Target {
    let guard = development();
    let target = guard.target(url, Transport::Verified).unwrap_or_else(|refusal| panic!("{url}: {refusal}"));
    guard.admit(&target).unwrap_or_else(|refusal| panic!("{url}: {refusal}"));
    target
}

fn postgres(url: &str) -> PostgresTarget {
    match admitted(url) {
        Target::Postgres(target) => target,
        Target::Sqlite(_) => panic!("{url} is SQLite's"),
    }
}

#[test]
fn each_environment_reaches_its_own_catalogs_and_no_other() {
    for (guard, own, other) in [
        (development(), ["KSESSIONS_DEV", "KQUR_DEV"], ["KSESSIONS", "KQUR"]),
        (production(), ["KSESSIONS", "KQUR"], ["KSESSIONS_DEV", "KQUR_DEV"]),
    ] {
        for catalog in own {
            for url in [format!("sqlite:/srv/{catalog}.db"), format!("postgres://u@localhost/{catalog}")] {
                guard.admit(&guard.target(&url, Transport::Verified).unwrap()).unwrap();
            }
        }
        for catalog in other {
            for url in [format!("sqlite:/srv/{catalog}.db"), format!("postgres://u@localhost/{catalog}")] {
                let refusal = guard.admit(&guard.target(&url, Transport::Verified).unwrap()).unwrap_err();
                assert_eq!(refusal.fact, Fact::Url);
                assert!(refusal.why.contains("belongs to"), "{refusal}");
            }
        }
    }
}

#[test]
fn an_unknown_catalog_is_refused_with_what_is_allowed() {
    let refusal = refused("postgres://u@localhost/KSESSIONS_DE");
    assert_eq!(refusal.why, "no environment knows the catalog KSESSIONS_DE");
    assert_eq!(refusal.allowed, ["KSESSIONS_DEV", "KQUR_DEV"]);
}

#[test]
fn an_unknown_environment_is_refused() {
    for name in ["", "staging", "Development", "production ", "dévelopment"] {
        let refusal = Guard::new(Policy::built_in(), name, true).unwrap_err();
        assert_eq!(refusal.fact, Fact::Policy, "{name}");
    }
}

#[test]
fn production_must_be_spelled_out() {
    let refusal = Guard::new(Policy::built_in(), "production", false).unwrap_err();
    assert_eq!(refusal.mend, "spell it out: --environment production");
    Guard::new(Policy::built_in(), "production", true).unwrap();
}

#[test]
fn configuration_adds_environments_and_never_takes_production_its_own() {
    let mut policy = Policy::built_in();
    policy.with("staging", ["KSESSIONS_STAGE"]).unwrap();
    policy.with("production", ["ksessions", "KPAY"]).unwrap();
    for stolen in ["KSESSIONS", "kqur", "KSESSIONS_DEV", "ksessions_stage"] {
        let refusal = policy.with("evil", ["FINE", stolen]).unwrap_err();
        assert!(refusal.why.contains("belongs to"), "{refusal}");
    }
    assert!(!policy.protects("FINE"), "nothing of a refused list is kept");
    assert!(policy.protects("kpay"));
    assert_eq!(policy.catalogs(&Environment::new("production").unwrap()).len(), 3);
    for odd in ["", " KX", "KX ", "KX.", ".KX", "K\u{425}", "K\nX", "K/X", "K%X", &"K".repeat(64)] {
        assert!(policy.with("staging", [odd]).is_err(), "{odd:?}");
    }
}

#[test]
fn other_case_is_the_same_catalog() {
    admitted("postgres://u@localhost/ksessions_dev");
    assert!(refused("postgres://u@localhost/kSessions").why.contains("belongs to production"));
    assert!(refused("sqlite:/srv/kqur.db").why.contains("belongs to production"));
}

#[test]
fn percent_encoding_is_undone_once_before_the_comparison() {
    assert!(refused("postgres://u@localhost/%4BSESSIONS").why.contains("KSESSIONS belongs to production"));
    assert!(refused("postgres://u@localhost/%254BSESSIONS_DEV").why.contains('%'));
    assert!(refused("sqlite:/srv/%4BSESSIONS_DEV.db").why.contains("percent-encoding"));
    let target = postgres("postgres://u@localhost/KSESSIONS%5FDEV");
    assert_eq!(target.catalog.as_str(), "KSESSIONS_DEV");
}

#[test]
fn an_encoded_control_character_smuggles_nothing() {
    for url in [
        "postgres://u%00options%00-crole=x@localhost/KSESSIONS_DEV",
        "postgres://u@localhost/KSESSIONS_DEV%00",
        "postgres://u@localhost/KSESSIONS_DEV?application_name=x%00options%00-crole=x",
        "postgres://u:p%0A@localhost/KSESSIONS_DEV",
    ] {
        assert!(refused(url).why.contains("control character"), "{url}");
    }
    assert!(refused("postgres://u@localhost/KSESSIONS_DEV\n").why.contains("control character"));
}

#[test]
fn an_address_that_programs_read_in_different_ways_is_refused_with_its_readings() {
    let refusal = refused("postgres://u@010.0.0.1:5432/KSESSIONS_DEV?sslmode=verify-full");
    assert_eq!(refusal.why, "the host 010.0.0.1 is read as 8.0.0.1 by some programs and as 10.0.0.1 by others");
    assert!(refusal.mend.contains("without leading zeros"), "{}", refusal.mend);
    for host in ["127.1", "0x7f.0.0.1", "2130706433", "10.0.0.256"] {
        assert!(refused(&format!("postgres://u@{host}/KSESSIONS_DEV")).why.contains(host), "{host}");
    }
}

#[test]
fn dbname_in_the_query_is_refused_by_name() {
    assert!(refused("postgres://u@localhost/KSESSIONS_DEV?dbname=KSESSIONS").why.contains("dbname"));
    assert!(refused("postgres://u@localhost/KSESSIONS_DEV?%64bname=KSESSIONS").why.contains("dbname"));
}

#[test]
fn options_in_the_query_are_refused_by_name() {
    let refusal = refused("postgres://u@localhost/KSESSIONS_DEV?options=-c%20search_path%3Dproduction");
    assert!(refusal.why.contains("options"), "{refusal}");
}

#[test]
fn unknown_parameters_are_refused_by_name_and_harmless_ones_read() {
    for name in ["user", "service", "passfile", "hostaddr", "target_session_attrs", "search_path", "sslcert"] {
        let refusal = refused(&format!("postgres://u@localhost/KSESSIONS_DEV?{name}=x"));
        assert!(refusal.why.contains(name), "{refusal}");
    }
    assert!(refused("postgres://u@localhost/KSESSIONS_DEV?sslmode=prefer&sslmode=disable").why.contains("twice"));
    let target =
        postgres("postgres://u@localhost/KSESSIONS_DEV?application_name=a%20b&connect_timeout=7&sslmode=disable");
    assert_eq!(target.application_name.as_deref(), Some("a b"));
    assert_eq!(target.connect_timeout.map(|limit| limit.as_secs()), Some(7));
    assert_eq!(target.ssl_mode, SslMode::Disable);
}

#[test]
fn trailing_blanks_and_dots_are_refused() {
    for url in [
        "postgres://u@localhost/KSESSIONS_DEV ",
        "postgres://u@localhost/KSESSIONS_DEV%20",
        "postgres://u@localhost/KSESSIONS_DEV.",
        "postgres://u@localhost/KSESSIONS_DEV/",
        "postgres://u@localhost/x/../KSESSIONS_DEV",
        " postgres://u@localhost/KSESSIONS_DEV",
        "sqlite:/srv/KSESSIONS_DEV .db",
        "sqlite:/srv/KSESSIONS_DEV..db",
        "sqlite:/srv/KSESSIONS_DEV.db ",
        "sqlite:/srv/KSESSIONS_DEV.db.",
        "sqlite:/srv/KSESSIONS_DEV.db/",
        "sqlite:/srv/KSESSIONS_DEV",
        "sqlite:/srv/KSESSIONS_DEV.DB",
    ] {
        refused(url);
    }
}

#[test]
fn look_alike_letters_are_refused_and_shown_for_what_they_are() {
    let cyrillic = "\u{41a}SESSIONS_DEV";
    let refusal = refused(&format!("sqlite:/srv/{cyrillic}.db"));
    assert!(refusal.why.contains("\\u{41a}SESSIONS_DEV"), "{refusal}");
    refused(&format!("postgres://u@localhost/{cyrillic}"));
    let encoded = refused("postgres://u@localhost/%D0%9ASESSIONS_DEV");
    assert!(encoded.why.contains("\\u{41a}SESSIONS_DEV"), "{encoded}");
}

#[test]
fn memory_file_uris_and_modes_are_refused() {
    for url in ["sqlite::memory:", "sqlite://:memory:", "sqlite:", "sqlite://", "sqlite::MEMORY:"] {
        assert!(refused(url).why.contains("memory"), "{url}");
    }
    for url in ["file:KSESSIONS_DEV.db", "sqlite:file:KSESSIONS_DEV.db", "sqlite://FILE:/srv/KSESSIONS_DEV.db"] {
        assert!(refused(url).why.contains("file:"), "{url}");
    }
    for url in ["sqlite:KSESSIONS_DEV.db?mode=memory", "KSESSIONS.db?/KSESSIONS_DEV.db", "sqlite:a#/KSESSIONS_DEV.db"] {
        assert!(refused(url).why.contains("path holds"), "{url}");
    }
}

#[test]
fn several_hosts_and_hidden_hosts_are_refused() {
    assert!(refused("postgres://u@one,two/KSESSIONS_DEV").why.contains("several hosts"));
    assert!(refused("postgres://u@one:1,two:2/KSESSIONS_DEV").why.contains("several hosts"));
    assert!(refused("postgres://u@localhost/KSESSIONS_DEV?host=10.0.0.1").why.contains("host="));
    assert!(refused("postgres://u@localhost/KSESSIONS_DEV?host=/run").why.contains("socket"));
    assert!(refused("postgres://u@/KSESSIONS_DEV").why.contains("malformed"));
    assert!(refused("postgres:///KSESSIONS_DEV").why.contains("no user"));
    assert!(refused("postgres://u@one\\two/KSESSIONS_DEV").why.contains("backslash"));
}

#[test]
fn a_refusal_never_shows_what_may_be_a_password() {
    for url in [
        "postgres://u:hush@x@localhost/KSESSIONS_DEV",
        "postgres://u:hush/x@localhost/KSESSIONS_DEV",
        "postgres://u:hu?hush@localhost/KSESSIONS_DEV",
        "postgres://u:1/hush@localhost/KSESSIONS_DEV",
        "postgres://u:hu#hush@localhost/KSESSIONS_DEV",
        "postgress://u:hush@localhost/KSESSIONS_DEV.db",
        "mysql://u:hush@localhost/KSESSIONS_DEV",
        "u:hush@localhost/KSESSIONS_DEV",
        "postgres://u:hush@localhost/KSESSIONS",
        "postgres://u:hush@10.0.0.1/KSESSIONS_DEV?sslmode=require",
        "postgres://u:hush@localhost:99999/KSESSIONS_DEV",
        "postgres:u:hush@localhost/KSESSIONS_DEV",
    ] {
        let refusal = refused(url);
        let said = format!("{refusal} {refusal:?} {}", refusal.boxed(80));
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn beyond_this_machine_postgres_wants_verified_tls() {
    for local in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
        assert_eq!(postgres(&format!("postgres://u@{local}/KSESSIONS_DEV")).ssl_mode, SslMode::Prefer, "{local}");
    }
    let socket = postgres("postgres://u@%2Frun%2Fpostgresql/KSESSIONS_DEV");
    assert_eq!(socket.socket(), Some(Path::new("/run/postgresql")));
    for beyond in ["10.0.0.1", "db.example.org", "localhost.example.org", "[fe80::1]", "127.0.0.1.example.org"] {
        let url = format!("postgres://u@{beyond}/KSESSIONS_DEV");
        assert_eq!(postgres(&url).ssl_mode, SslMode::VerifyFull, "{beyond}");
        for weak in ["disable", "prefer", "require", "verify-ca"] {
            let url = format!("{url}?sslmode={weak}");
            let refusal = refused(&url);
            assert_eq!(refusal.fact, Fact::Transport);
            assert!(refusal.mend.contains("sslmode=verify-full") && refusal.mend.contains("allow_insecure"));
            assert!(development().target(&url, Transport::Unverified).is_ok());
        }
    }
}

#[test]
fn an_address_is_the_server_of_a_target_without_user_or_password() {
    assert_eq!(admitted("postgres://u:p@10.0.0.1/KSESSIONS_DEV").server(), "10.0.0.1:5432");
    assert_eq!(admitted("postgres://u:p@[::1]:6432/KSESSIONS_DEV").server(), "[::1]:6432");
    let directory = TempDir::new().unwrap();
    let real = directory.path().canonicalize().unwrap().join("KSESSIONS_DEV.db");
    for url in ["sqlite:", "sqlite://", ""] {
        let url = format!("{url}{}/KSESSIONS_DEV.db", directory.path().display());
        assert_eq!(admitted(&url).server(), real.display().to_string());
    }
}

#[test]
fn what_the_server_says_must_be_the_very_catalog() {
    let guard = development();
    let proof = guard.admit(&admitted("postgres://u@localhost/KSESSIONS_DEV")).unwrap();
    guard.agree(&proof, "ksessions_dev").unwrap();
    for other in ["KSESSIONS", "KQUR_DEV", "", "KSESSIONS_DEV ", "postgres", "\u{41a}SESSIONS_DEV"] {
        assert_eq!(guard.agree(&proof, other).unwrap_err().fact, Fact::Answer, "{other}");
    }
}

#[test]
fn the_stamp_of_another_environment_is_refused() {
    let guard = development();
    let proof = guard.admit(&admitted("postgres://u@localhost/KSESSIONS_DEV")).unwrap();
    guard.agree_stamp(&proof, "development").unwrap();
    for other in ["production", "", "Development"] {
        let refusal = guard.agree_stamp(&proof, other).unwrap_err();
        assert_eq!(refusal.fact, Fact::Stamp);
        assert!(refusal.mend.contains("migrate --restamp"));
    }
}

#[test]
fn the_box_tells_everything_and_fits_the_terminal() {
    insta::assert_snapshot!(refused("postgres://u:p@10.0.0.1/KSESSIONS").boxed(80), @"
    ┌─ refused by the guard ───────────────────────────────────────────────────────┐
    │ environment  development                                                     │
    │ server       10.0.0.1:5432                                                   │
    │ catalog      KSESSIONS                                                       │
    │ failed       fact 1 of 3, the database URL                                   │
    │ because      KSESSIONS belongs to production, not to development             │
    │ allowed      KSESSIONS_DEV, KQUR_DEV                                         │
    │ to mend      name a catalog of development, or spell out --environment       │
    │              production if you mean that                                     │
    └──────────────────────────────────────────────────────────────────────────────┘
    ");
    let long = Refusal::new(Fact::Url, "x".repeat(300), "a word ".repeat(60)).server("\u{1b}[31m/very\u{202e}");
    for width in [0, 40, 61, 80, 200] {
        let boxed = long.boxed(width);
        let widths: Vec<usize> = boxed.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&seen| seen == width.max(40)), "{boxed}");
        assert!(!boxed.contains('\u{1b}') && !boxed.contains('\u{202e}'));
    }
}

/// Set in the child process that `the_inherited_variables_are_shed` starts.
const CHILD: &str = "RECONCILE_TEST_CHILD";

#[test]
fn the_inherited_variables_are_shed() {
    if std::env::var_os(CHILD).is_some() {
        shed().unwrap();
        assert!(leaking().is_empty());
        assert_eq!(std::env::var("PGHOST").as_deref(), Ok("kept"), "only what would leak is taken");
        println!("shed by process {}", std::process::id());
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "guard::tests::the_inherited_variables_are_shed", "--nocapture"])
        .envs([(CHILD, "1"), ("PGOPTIONS", "-c role=x"), ("PGSSLCERT", "x"), ("PGSSLKEY", "x"), ("PGHOST", "kept")])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let said = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(&format!("shed by process {pid}")), "{said}");
}
