//! What is shown is what is in force: also where it stands in a file of its own.

use super::*;

/// A directory in which each of these files holds its text, for its owner alone.
fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(home.path().join(name), text).unwrap();
        fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    home
}

const FILES: [(&str, &str); 9] = [
    ("database", "postgres://noor:hush@db/KQUR_DEV\n"),
    ("redis", "rediss://:hush@redis:6379/1"),
    ("broker", "rediss://:hush@broker:6379/2"),
    ("results", "rediss://:hush@results:6379/3"),
    ("billing", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("token", "rct_hush"),
    ("host", "reconcile-test-key-0123456789abcdef0123456789abcdef"),
    ("pool", "postgres://admin:hush@pool/postgres"),
    ("ops", "https://ops.example/hush"),
];

const NAMED: &str = "
[database]
url_file = \"database\"
[redis]
url_file = \"redis\"
[celery]
broker_url_file = \"broker\"
result_url_file = \"results\"
[billing]
keys_file = \"billing\"
[client]
token_file = \"token\"
[host]
keys_file = \"host\"
[pools.pool-1]
url_file = \"pool\"
[notify.ops]
url_file = \"ops\"
keys_file = \"billing\"
";

#[test]
fn what_stands_in_a_file_is_shown_as_being_in_force_with_the_file_and_without_the_secret() {
    let home = home(&FILES);
    let config = World::file(NAMED).load_in(home.path(), None).unwrap();
    for (key, value, origin) in [
        ("database.url", "postgres://noor:********@db/KQUR_DEV", "database, named by reconcile.toml:3"),
        ("redis.url", "rediss://:********@redis:6379/1", "redis, named by reconcile.toml:5"),
        ("celery.broker_url", "rediss://:********@broker:6379/2", "broker, named by reconcile.toml:7"),
        ("celery.result_url", "rediss://:********@results:6379/3", "results, named by reconcile.toml:8"),
        ("billing.keys", HIDDEN, "billing, named by reconcile.toml:10"),
        ("client.token", HIDDEN, "token, named by reconcile.toml:12"),
        ("host.keys", HIDDEN, "host, named by reconcile.toml:14"),
        ("pools.pool-1.url", HIDDEN, "pool, named by reconcile.toml:16"),
        ("notify.ops.url", HIDDEN, "ops, named by reconcile.toml:17"),
        ("notify.ops.keys", HIDDEN, "billing, named by reconcile.toml:17"),
    ] {
        assert_eq!(line(&config, key), shown(value, origin), "{key}");
    }
    // Every setting that has a file of its own is in this test.
    for (key, _) in settings::RIVALS {
        assert!(line(&config, key).1.contains(", named by "), "{key}");
    }
    assert!(config.report().iter().all(|entry| !format!("{entry:?}").contains("hush")));
}

#[test]
fn whatever_wins_over_a_file_is_what_is_shown() {
    let home = home(&FILES);
    let world = World::file(NAMED)
        .variable("RECONCILE_REDIS_URL", "redis://localhost/0")
        .variable("RECONCILE_CLIENT_TOKEN", "rct_hush")
        .variable("RECONCILE_DATABASE_URL_FILE", "redis")
        .variable("RECONCILE_POOL_POOL_1_URL", "postgres://admin:hush@other/postgres")
        .variable("RECONCILE_NOTIFY_OPS_URL", " ")
        .flag("database.url", "sqlite:a.db", "--database");
    let config = world.load_in(home.path(), None).unwrap();
    for (key, value, origin) in [
        ("database.url", "sqlite:a.db", "--database"),
        ("database.url_file", "(none)", "default"),
        ("redis.url", "redis://localhost/0", "RECONCILE_REDIS_URL"),
        ("redis.url_file", "(none)", "default"),
        ("client.token", HIDDEN, "RECONCILE_CLIENT_TOKEN"),
        ("pools.pool-1.url", HIDDEN, "RECONCILE_POOL_POOL_1_URL"),
        // A blank variable says nothing.
        ("notify.ops.url", HIDDEN, "ops, named by reconcile.toml:17"),
    ] {
        assert_eq!(line(&config, key), shown(value, origin), "{key}");
    }
}

#[test]
fn what_a_rule_yields_is_shown_in_its_place() {
    let config = World::default().config();
    for (key, value) in [
        ("database.url", "sqlite:.reconcile/KSESSIONS_DEV.db"),
        ("redis.url", "(none: secrets wait in data_dir)"),
        ("celery.broker_url", "(redis.url)"),
        ("host.keys", "(made at the first apply: .reconcile/host.key)"),
        ("source", "worktree"),
        ("http.trusted_proxies", "(none)"),
    ] {
        assert_eq!(line(&config, key), shown(value, "default"), "{key}");
    }
    let home = home(&FILES);
    let config = World::file("redis.url_file = \"redis\"\n").load_in(home.path(), None).unwrap();
    assert_eq!(line(&config, "celery.broker_url"), shown("rediss://:********@redis:6379/1", "redis.url"));
    let listed = World::file("[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]\n").config();
    assert_eq!(line(&listed, "http.trusted_proxies"), shown("10.0.0.0/8, fd00::/8", "reconcile.toml:2"));
    let all = World::default().variable("RECONCILE_HTTP_TRUSTED_PROXIES", "10.0.0.7,0.0.0.0/0").problems();
    assert!(
        all.starts_with("RECONCILE_HTTP_TRUSTED_PROXIES: http.trusted_proxies must be a list of networks: "),
        "{all}"
    );
}

#[test]
fn no_prefix_in_redis_reaches_into_another() {
    for apart in ["noor:", "reconcile:", "reconcile:fencing", "reconcile:fencing:x", "host:"] {
        assert_eq!(World::default().variable("RECONCILE_REDIS_PREFIX", apart).config().redis_prefix, apart);
    }
    for within in ["reconcile:fencing:", "noor:reconcile:fencing:"] {
        let told = World::default().variable("RECONCILE_REDIS_PREFIX", within).problems();
        assert!(told.contains("must not end with reconcile:fencing:"), "{told}");
    }
}
