//! Layers, places, secrets, and everything that is wrong at once.

pub(crate) mod hostile;
mod in_force;
mod told;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const KEY: &str = "reconcile-test-key-0123456789abcdef0123456789abcdef";

/// A working directory, its `reconcile.toml`, variables and flags.
#[derive(Default)]
struct World {
    file: Option<&'static str>,
    variables: Vec<(&'static str, &'static str)>,
    flags: Vec<(&'static str, &'static str, &'static str)>,
}

impl World {
    fn file(text: &'static str) -> Self {
        Self { file: Some(text), ..Self::default() }
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn flag(mut self, key: &'static str, value: &'static str, flag: &'static str) -> Self {
        self.flags.push((key, value, flag));
        self
    }

    fn load_in(&self, cwd: &Path, named: Option<&str>) -> Result<Config, ConfigError> {
        if let Some(text) = self.file {
            fs::write(cwd.join(named.unwrap_or("reconcile.toml")), text).unwrap();
        }
        let mut overrides = Overrides::default();
        for (key, value, flag) in &self.flags {
            overrides.set(key, *value, flag);
        }
        let env = |name: &str| {
            let found = self.variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        load(named.map(Path::new), &overrides, env, cwd, Secrets::Read)
    }

    fn load(&self) -> Result<Config, ConfigError> {
        self.load_in(tempfile::tempdir().unwrap().path(), None)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    fn problems(&self) -> String {
        self.load().err().expect("something is wrong").to_string()
    }
}

fn line(config: &Config, key: &str) -> (String, String) {
    let entry = config.report().iter().find(|entry| entry.key == key).unwrap();
    (entry.value.clone(), entry.origin.clone())
}

fn shown(value: &str, origin: &str) -> (String, String) {
    (value.to_owned(), origin.to_owned())
}

#[test]
fn nothing_said_is_development_with_the_documented_defaults() {
    let config = World::default().config();
    assert_eq!((config.environment.as_str(), config.environment_spelled_out), ("development", false));
    assert_eq!(config.state, Path::new("desired-state"));
    assert_eq!(config.embedded_database(), Path::new(".reconcile/KSESSIONS_DEV.db"));
    assert!(config.database_url.is_none() && config.journal_retention.is_none() && !config.allow_insecure);
    assert_eq!((config.schema.as_str(), config.source), ("canvas", Source::Worktree));
    let seconds = |duration: Duration| duration.as_secs_f64();
    assert_eq!([config.debounce, config.debounce_max, config.connect_timeout].map(seconds), [0.02, 0.25, 5.0]);
    assert_eq!([config.interval, config.lease, config.claim_life].map(seconds), [60.0, 15.0, 3600.0]);
    assert_eq!([config.budget_percent, config.budget_from, config.schedule_limit], [30, 10, 100]);
    assert_eq!(config.file_limit, 16 * 1024 * 1024);
    assert!(matches!(&config.host_keys, KeySource::Made(path) if path == Path::new(".reconcile/host.key")));
    assert!(config.report().iter().all(|entry| entry.origin == "default"));
    assert_eq!(config.report().len(), TABLE.len());
    assert!(config.file.is_none() && config.warnings.is_empty());
}

#[test]
fn the_file_gives_way_to_variables_and_those_to_flags() {
    let world = World::file("state = \"a\"\ninterval = \"1m 30s\"\n[budget]\nfrom = 20\n[log]\nlevel = \"warn\"\n")
        .variable("RECONCILE_STATE", "b")
        .variable("RECONCILE_BUDGET_FROM", "30")
        .flag("state", "ignored", "--state")
        .flag("state", "c", "--state");
    let config = world.config();
    assert_eq!(config.state, Path::new("c"));
    assert_eq!(config.budget_from, 30);
    assert_eq!(config.interval, Duration::from_secs(90));
    assert_eq!(config.log_level, tracing::Level::WARN);
    assert_eq!(line(&config, "state"), shown("c", "--state"));
    assert_eq!(line(&config, "budget.from"), shown("30", "RECONCILE_BUDGET_FROM"));
    assert_eq!(line(&config, "interval"), shown("1m 30s", "reconcile.toml:2"));
    assert_eq!(line(&config, "lease"), shown("15s", "default"));
}

#[test]
fn production_is_spelled_out_by_anyone_but_the_default_and_a_file_that_was_found() {
    let home = tempfile::tempdir().unwrap();
    let named = World::file("environment = \"production\"").load_in(home.path(), Some("own.toml")).unwrap();
    assert!(named.environment_spelled_out);
    let found = World::file("environment = \"production\"").config();
    assert!(!found.environment_spelled_out);
    assert!(World::file("environment = \"staging\"").config().environment_spelled_out);
    for world in [
        World::default().variable("RECONCILE_ENVIRONMENT", "production"),
        World::default().flag("environment", "production", "--environment"),
    ] {
        let config = world.config();
        assert!(config.environment_spelled_out);
        assert_eq!(config.source, Source::Head);
        assert!(matches!(&config.host_keys, KeySource::Missing { environment } if environment == "production"));
    }
    let config = World::file("environment = \"production\"\nsource = \"worktree\"").config();
    assert_eq!(config.source, Source::Worktree);
}

#[test]
fn paths_in_a_named_file_are_relative_to_it() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("conf")).unwrap();
    let world = World::file("state = \"a\"\ndata_dir = \"/srv/data\"\n[host]\nkeys_file = \"../key\"\n")
        .variable("RECONCILE_DATA_DIR", "data");
    let config = world.load_in(home.path(), Some("conf/own.toml")).unwrap();
    assert_eq!((config.state.as_path(), config.data_dir.as_path()), (Path::new("conf/a"), Path::new("data")));
    assert!(matches!(&config.host_keys, KeySource::File(path) if path == Path::new("conf/../key")));
    assert!(config.file_named && config.file.as_deref() == Some(Path::new("conf/own.toml")));
    assert_eq!(line(&config, "state"), shown("a", "conf/own.toml:1"));

    let missing = load(Some(Path::new("conf/none.toml")), &Overrides::default(), |_| None, home.path(), Secrets::Read);
    assert!(missing.err().unwrap().to_string().starts_with("conf/none.toml: the configuration file cannot be read: "));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let world = World::file(
        "enviroment = \"production\"\ninterval = 60\nallow_insecure = \"yes\"\nstate = [\"a\"]\nlog = 3\n\
         [database]\nsechma = \"x\"\nkeys_file = \"k\"\nconnect_timeout = \"1h\"\n[budget]\npercent = 130\nfrom = \"10\"\n\
         [nonsense]\na = 1\n",
    )
    .variable("RECONCILE_FILE_LIMIT", "16 MB")
    .variable("RECONCILE_LOG_FORMAT", "xml")
    .flag("data_dir", "", "--data-dir")
    .flag("nothing", "x", "--nothing");
    insta::assert_snapshot!(world.problems(), @r#"
    reconcile.toml:1:1: there is no setting "enviroment"; did you mean environment?
    reconcile.toml:2:12: interval must be a duration with its unit (ms, s, m, h, d, w) from 1s to 1d; it is 60
    reconcile.toml:3:18: allow_insecure must be true or false; it is the text "yes"
    reconcile.toml:4:9: state must be a path; it is of the type array
    reconcile.toml:5:7: log must be a section: [log]
    reconcile.toml:7:1: there is no setting "database.sechma"; did you mean database.schema?
    reconcile.toml:8:1: there is no setting "database.keys_file"; did you mean host.keys_file?
    reconcile.toml:9:19: database.connect_timeout must be a duration with its unit (ms, s, m, h, d, w) from 100ms to 5m; it is the text "1h"
    reconcile.toml:11:11: budget.percent must be a number from 0 to 100; it is 130
    reconcile.toml:12:8: budget.from must be a number from 0 to 1000000; it is the text "10"
    reconcile.toml:13:2: there is no setting "nonsense"
    RECONCILE_FILE_LIMIT: file_limit must be a size in bytes, or in B, KiB, MiB or GiB, from 1024 to 1073741824 bytes; it is "16 MB"
    RECONCILE_LOG_FORMAT: log.format must be one of text, json; it is "xml"
    --nothing: there is no setting nothing
    --data-dir: data_dir must be a path; it is ""
    "#);
}

#[test]
fn a_file_that_does_not_parse_is_not_quoted() {
    let problems = World::file("state = \"a\"\n[database]\nurl = postgres://noor:hush@db/KQUR_DEV\n").problems();
    assert!(problems.starts_with("reconcile.toml:3:"), "{problems}");
    assert!(!problems.contains("hush"), "{problems}");
    assert!(World::file("state = \"a\"\nstate = \"b\"").problems().starts_with("reconcile.toml:2:1: duplicate key"));
}

#[test]
fn secrets_come_by_variable_or_by_a_file_of_their_own() {
    let in_file = World::file("database.url = \"postgres://noor:hush@db/KQUR_DEV\"\nhost.keys = \"hush\"\n");
    insta::assert_snapshot!(in_file.problems(), @"
    reconcile.toml:1:16: database.url holds a password, which may not stand in this file: put the URL into a file that only this user can read and name it as database.url_file, or set RECONCILE_DATABASE_URL
    reconcile.toml:2:13: host.keys is a secret and may not stand in this file: name a file in host.keys_file, or set RECONCILE_HOST_KEYS
    ");

    let world = World::file("database.url = \"postgres://noor@db/KQUR_DEV\"\n");
    assert_eq!(line(&world.config(), "database.url"), shown("postgres://noor@db/KQUR_DEV", "reconcile.toml:1"));

    let world = world.variable("RECONCILE_DATABASE_URL", "postgres://noor:hush@db/KQUR_DEV");
    let config = world.variable("RECONCILE_HOST_KEYS", KEY).config();
    assert_eq!(config.database_url.as_ref().unwrap().expose(), "postgres://noor:hush@db/KQUR_DEV");
    assert_eq!(line(&config, "database.url"), shown("postgres://noor:********@db/KQUR_DEV", "RECONCILE_DATABASE_URL"));
    assert_eq!(line(&config, "host.keys"), shown("********", "RECONCILE_HOST_KEYS"));
    let KeySource::Given { keys, origin } = &config.host_keys else { panic!("the keys are given") };
    assert_eq!((keys.expose(), origin.as_str()), (KEY, "RECONCILE_HOST_KEYS"));
    assert!(config.warnings.is_empty());

    let by_flag = World::default().flag("database.url", "postgres://noor:hush@db/KQUR_DEV", "--database").config();
    assert!(by_flag.warnings[0].starts_with("--database holds a password") && !by_flag.warnings[0].contains("hush"));
}

#[test]
fn a_url_may_stand_in_a_private_file() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("url");
    let world = World::file("database.url_file = \"url\"\n");
    let problem = || world.load_in(home.path(), None).err().unwrap().to_string();
    assert_eq!(
        problem(),
        "reconcile.toml:1:21: database.url_file names url, which does not exist; it should hold the database URL"
    );
    fs::write(&path, "postgres://noor:hush@db/KQUR_DEV\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(problem().contains("chmod 600"), "{}", problem());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let config = world.load_in(home.path(), None).unwrap();
    assert_eq!(config.database_url.unwrap().expose(), "postgres://noor:hush@db/KQUR_DEV");

    let mistaken = World::default().variable("RECONCILE_DATABASE_URL_FILE", "postgres://noor:hush@db/KQUR_DEV");
    assert!(!mistaken.problems().contains("hush"), "{}", mistaken.problems());
    let stronger = World::file("database.url_file = \"none\"\n").flag("database.url", "sqlite:a.db", "--database");
    let config = stronger.config();
    assert_eq!(config.database_url.as_ref().unwrap().expose(), "sqlite:a.db");
    assert_eq!(line(&config, "database.url_file"), shown("(none)", "default"));
    let both = World::default().variable("RECONCILE_HOST_KEYS", KEY).variable("RECONCILE_HOST_KEYS_FILE", "k");
    assert_eq!(
        both.problems(),
        "RECONCILE_HOST_KEYS_FILE: host.keys and host.keys_file are both given; keep one of them"
    );
}

#[test]
fn environments_are_listed_with_their_catalogs() {
    let config = World::file(
        "[environments.staging]\ncatalogs = [\"KSESSIONS_STAGING\", \"KQUR_STAGING\"]\n[environments]\ntest = { catalogs = [\"T\"] }\n",
    )
    .config();
    let expected = [("staging", vec!["KSESSIONS_STAGING", "KQUR_STAGING"]), ("test", vec!["T"])];
    let expected =
        expected.map(|(name, catalogs)| (name.to_owned(), catalogs.iter().map(ToString::to_string).collect()));
    assert_eq!(config.environments, expected);
    let (value, origin) = line(&config, "environments.staging.catalogs");
    assert_eq!((value.as_str(), origin.as_str()), ("KSESSIONS_STAGING, KQUR_STAGING", "reconcile.toml:2"));

    let wrong = World::file(
        "[environments.\"a b\"]\ncatalogs = [\"X\"]\n[environments.none]\n[environments.empty]\ncatalogs = []\n\
         [environments.blank]\ncatalogs = [\" \"]\ncatalog = [\"Y\"]\n[environments]\nword = 3\n",
    );
    insta::assert_snapshot!(wrong.problems(), @r#"
    reconcile.toml:1:15: the environment's name "a b" must consist of letters, digits, - and _
    reconcile.toml:3:15: environments.none has no catalogs: catalogs = ["…"]
    reconcile.toml:5:12: environments.empty.catalogs must be a list of names, such as ["A", "B"]
    reconcile.toml:7:12: environments.blank.catalogs must be a list of names, such as ["A", "B"]
    reconcile.toml:8:1: "catalog" is not a key of [environments.blank]; it has only catalogs
    reconcile.toml:10:8: environments.word must be a section with catalogs = ["…"]
    "#);
}

#[test]
fn the_table_names_each_setting_by_one_rule() {
    for setting in TABLE.iter() {
        let rule = format!("RECONCILE_{}", setting.key.to_ascii_uppercase().replace('.', "_"));
        assert_eq!(setting.variable, rule);
        assert_eq!(TABLE.iter().filter(|other| other.key == setting.key).count(), 1, "{}", setting.key);
        assert!(setting.about.ends_with('.') && !setting.about.contains('|'), "{}", setting.key);
    }
    let manual = markdown();
    assert_eq!(manual.lines().count(), TABLE.len() + 2);
    assert!(manual.contains("| `lease` | `RECONCILE_LEASE` | `15s` | "));
}

#[test]
fn sizes_durations_and_counts_keep_to_their_ranges() {
    for (text, size) in [("1024", 1024), ("2 KiB", 2048), ("1mib", 1 << 20), ("1 GiB", 1 << 30), ("4096 B", 4096)] {
        assert_eq!(World::default().variable("RECONCILE_FILE_LIMIT", text).config().file_limit, size, "{text}");
    }
    let refused = |name, value| World::default().variable(name, value).load().is_err();
    for value in ["0", "1023", "2 GiB", "-1", "1.5 MiB", "MiB", "99999999999999999999", "18446744073709551615 GiB"] {
        assert!(refused("RECONCILE_FILE_LIMIT", value), "{value}");
    }
    for value in ["0s", "60", "2d", "1 fortnight", "-5s", ""] {
        assert!(refused("RECONCILE_INTERVAL", value), "{value}");
    }
    for value in ["101", "-1", "1.5", "many"] {
        assert!(refused("RECONCILE_BUDGET_PERCENT", value), "{value}");
    }
    for value in ["", "1abc", "pg_canvas", "a b", "a\"b", "Größe"] {
        assert!(refused("RECONCILE_DATABASE_SCHEMA", value), "{value}");
    }
    assert!(refused("RECONCILE_HOST_KEYS", " \n"));
    let too_long = World::default().variable("RECONCILE_DEBOUNCE_MAX", "10ms");
    assert_eq!(too_long.problems(), "RECONCILE_DEBOUNCE_MAX: debounce must not be longer than debounce_max");
    let kept = World::default().variable("RECONCILE_JOURNAL_RETENTION", "90d").config().journal_retention;
    assert_eq!(kept, Some(Duration::from_secs(90 * 24 * 3600)));
}
