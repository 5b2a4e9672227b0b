//! The command line as its users meet it: exit codes, formats, streams, and an answer in time.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::fixture::{Database, World, both, own_mounts};

const WEEK: &str = "sessions: [{id: 215, title: Al-Fatiha}]\n";

fn ready(world: &World) {
    world.write("desired-state/week.yaml", WEEK);
    world.run(&["migrate"]).expect_code(0);
    world.run(&["--once"]).expect_code(0);
}

both! {
    fn the_exit_code_tells_what_the_plan_holds(world) {
        ready(world);
        let plan = |arguments: &[&str]| world.run(&[&["--plan"], arguments].concat()).code;
        assert_eq!(plan(&["--detailed-exitcode"]), 0, "nothing to do");
        world.sql("UPDATE sessions SET title = 'Theirs' WHERE session_id = 215");
        assert_eq!(plan(&["--detailed-exitcode"]), 5, "only drift");
        world.write("desired-state/more.yaml", "sessions: [{id: 216}]");
        assert_eq!(plan(&["--detailed-exitcode"]), 2, "changes pending");
        assert_eq!(plan(&[]), 0, "unless it is asked for, a plan is a success");
        world.write("desired-state/host.yaml", "hosts: [{session: 999}]");
        assert_eq!(plan(&["--detailed-exitcode"]), 4, "something blocked, before changes");
        assert_eq!(world.run(&["--once", "--detailed-exitcode"]).code, 4);
        world.write("desired-state/bad.yaml", "sessions: [{id: x}]");
        assert_eq!(plan(&["--detailed-exitcode"]), 1, "an error, before all");
        assert_eq!(plan(&["--database", "sqlite:KSESSIONS.db"]), 3, "refused, before anything is read");
    }

    fn an_approval_is_good_for_a_day(world) {
        let sessions = |title: &str| (1..=12).map(|id| format!("  - {{id: {id}, title: {title}}}\n")).collect::<String>();
        world.write("desired-state/week.yaml", &format!("sessions:\n{}", sessions("Before")));
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        world.write("desired-state/week.yaml", &format!("sessions:\n{}", sessions("After")));
        world.run(&["--once"]).expect_code(1);
        let plan: serde_json::Value = serde_json::from_str(&world.run(&["--plan", "--format", "json"]).stdout).unwrap();
        let digest = plan["held"][0]["digest"].as_str().unwrap();
        let approve = || world.run(&["approve", digest, "--reason", "Meant"]).expect_code(0);
        approve();
        world.sql("UPDATE reconcile_approvals SET approved_at = '2020-01-01T00:00:00.000000+00:00'");
        let held = world.run(&["--once"]).expect_code(1);
        assert!(held.stderr.contains("not applied: "), "{}", held.text());
        approve();
        world.run(&["--once"]).expect_code(0);
        assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_approvals"), "0\n");
    }

    fn an_explanation_of_a_revoked_host_says_so_and_moves_no_cursor(world) {
        ready(world);
        world.write("desired-state/host.yaml", "hosts: [{session: 215}]");
        world.run(&["--once"]).expect_code(0);
        world.run(&["host", "revoke", "--session-id", "215", "--revoked-by", "\u{1b}[2JNoor"]).expect_code(0);
        for verdict in ["in sync: the database matches the file", "blocked: it was revoked"] {
            let text = world.run(&["explain", "host/215"]).expect_code(0).stdout;
            assert!(text.contains("it was revoked by \\u{1b}[2JNoor at ") && text.contains(verdict), "{text:?}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
            world.write("desired-state/host.yaml", "hosts: [{session: 215, active: true}]");
        }
    }

    fn history_is_text_json_and_inert_csv(world) {
        world.write("desired-state/week.yaml", "sessions: [{id: 215, title: '=cmd|calc!A1'}]\n");
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        world.run(&["suspend", "--reason", "=HYPERLINK(\"http://x\")"]).expect_code(0);
        world.run(&["resume", "--reason", "\u{1b}[2J\u{9b}2J\u{202e}"]).expect_code(0);
        let text = world.run(&["history"]).expect_code(0).stdout;
        assert!(text.contains("create") && text.contains("session/215") && !text.contains('\u{1b}'), "{text}");
        let json: serde_json::Value = serde_json::from_str(&world.run(&["history", "--format", "json"]).stdout).unwrap();
        assert_eq!(json[2]["after"]["title"], "=cmd|calc!A1");
        assert_eq!(json[0]["reason"], "\u{1b}[2J\u{9b}2J\u{202e}");
        let csv = world.run(&["history", "--format", "csv"]).expect_code(0).stdout;
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        for record in reader.records().map(Result::unwrap) {
            assert!(record.iter().all(|field| !field.starts_with(['=', '+', '-', '@'])), "{record:?}");
        }
        assert!(csv.contains("'=HYPERLINK"), "{csv}");
        for printed in [&text, &csv, &world.run(&["history", "--format", "json"]).stdout] {
            assert!(!printed.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{printed:?}");
        }
        let newest = world.run(&["history", "--limit", "1"]).stdout;
        assert_eq!(newest.lines().filter(|line| line.starts_with("20")).count(), 1, "{newest}");
        assert_eq!(world.run(&["history", "session/999"]).stdout, "The journal has nothing of session/999.\n");
    }
}

#[test]
fn data_goes_to_stdout_and_logs_to_stderr() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", WEEK);
    let output = world.run(&["--once", "-vv", "--log-format", "json", "--format", "json"]).expect_code(0);
    let plan: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(plan["format_version"], "1.0");
    assert_eq!(plan["resource_changes"][0]["address"], "session/215");
    for line in output.stderr.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(entry["level"].is_string() && entry["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    for format in ["text", "json"] {
        let world = World::on(Database::Sqlite);
        world.write("desired-state/week.yaml", WEEK);
        let applied = world.sh(&format!("reconcile --once --log-format {format} 2>/dev/full")).expect_code(0);
        assert!(applied.stdout.contains("Applied: 1 change."), "{}", applied.text());
    }
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let mut world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", WEEK);
    let coloured = |world: &World, arguments: &[&str]| world.run(arguments).expect_code(0).stdout.contains('\u{1b}');
    assert!(!coloured(&world, &["--plan"]));
    assert!(coloured(&world, &["--plan", "--color", "always"]));
    world.env("NO_COLOR", "1");
    assert!(!coloured(&world, &["--plan", "--color", "auto"]));
}

#[test]
fn a_reader_that_leaves_early_is_no_error_of_ours() {
    let world = World::on(Database::Sqlite);
    let items: String = (1..=5_000).map(|id| format!("  - id: {id}\n")).collect();
    world.write("desired-state/week.yaml", &format!("sessions:\n{items}"));
    let output = world.sh("reconcile --plan --all | head -n 1; reconcile --plan --all --format json | head -n 1");
    assert!(!output.stderr.contains("panicked") && !output.stderr.contains("rror"), "{}", output.text());
    assert!(output.stdout.starts_with("environment development"), "{}", output.text());
}

#[test]
fn what_is_typed_wrong_is_said_so() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", WEEK);
    for (arguments, code, wanted) in [
        (&["--plam"][..], 1, "--plan"),
        (&["--plan", "--once"], 1, "cannot be used with"),
        (&["--once", "--force"], 1, "--reason"),
        (&["--plan", "--target", "sesion/215"], 1, "write KIND/NAME"),
        (&["--plan", "--target", "session/x"], 1, "a whole number above zero"),
        (&["explain", "session"], 1, "write KIND/NAME"),
        (&["--plan", "status"], 1, "stand alone"),
        (&["--target", "session/215", "suspend", "--reason", "R"], 1, "stand alone"),
        (&["--detailed-exitcode", "status"], 1, "stand alone"),
        (&["--detailed-exitcode"], 1, "go with --plan"),
        (&["status", "--format", "csv"], 1, "no format csv"),
        (&["approve", "nonsense", "--reason", "R"], 1, "32 hexadecimal digits"),
        (&["--plan", "--state", "elsewhere"], 1, "`elsewhere` does not exist"),
        (&["--plan", "--environment", "moon"], 3, "moon"),
        (&["host", "claim", "0"], 1, "0"),
        (&["suspend", "--reason", " "], 1, "it is blank"),
        (&["approve", "766007e0de814cae2a2d368d8f8a8736", "--reason", ""], 1, "it is empty"),
        (&["--once", "--force", "--reason", ""], 1, "it is empty"),
        (&["migrate", "--restamp", "--reason", &"x".repeat(501)], 1, "500 are allowed"),
    ] {
        let output = world.run(arguments);
        assert_eq!(output.code, code, "{arguments:?}: {}", output.text());
        assert!(output.stderr.contains(wanted), "{arguments:?} does not say {wanted:?}: {}", output.text());
    }
}

#[test]
fn the_configuration_says_where_each_value_came_from_and_hides_secrets() {
    let mut world = World::on(Database::Sqlite);
    world.write("reconcile.toml", "interval = \"5m\"\n[budget]\npercent = 50\n");
    world.env("RECONCILE_HOST_KEYS", "canary-key-0123456789abcdef0123456789abcdef");
    let output = world.run(&["config", "--state", "elsewhere"]).expect_code(0);
    let line = |key: &str| {
        let line = output.stdout.lines().find(|line| line.split_whitespace().next() == Some(key));
        line.unwrap_or_else(|| panic!("no {key} in {}", output.stdout)).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("interval"), "interval 5m reconcile.toml:1");
    assert_eq!(line("budget.percent"), "budget.percent 50 reconcile.toml:3");
    assert_eq!(line("state"), "state elsewhere --state");
    assert_eq!(line("host.keys"), "host.keys ******** RECONCILE_HOST_KEYS");
    assert!(!output.text().contains("canary"));
    world.write("reconcile.toml", "intervall = \"5m\"\n");
    let wrong = world.run(&["config"]).expect_code(1);
    assert!(
        wrong.stderr.contains("reconcile.toml:1:1") && wrong.stderr.contains("did you mean interval?"),
        "{}",
        wrong.text()
    );
}

#[test]
fn a_data_directory_that_cannot_be_made_is_no_server_that_is_down() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", WEEK);
    let told = world.run(&["--once", "--data-dir", "/proc/nowhere"]).expect_code(1).stderr;
    assert!(told.contains("the data directory /proc/nowhere cannot be written"), "{told}");
    assert!(!told.contains("host and port"), "{told}");
}

#[test]
fn what_works_on_files_alone_wants_no_secret() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", WEEK);
    let settings = "[database]\nurl_file = \"no-url\"\n[redis]\nurl_file = \"no-redis\"\n[notify.team]\nurl_file = \"no-team\"\nformat = \"slack\"\n";
    world.write("reconcile.toml", settings);
    for arguments in [&["validate"][..], &["schema"], &["alerts"], &["completions", "bash"]] {
        world.run(arguments).expect_code(0);
    }
    let wrong = world.run(&["--plan"]).expect_code(1).stderr;
    let lines: Vec<&str> = wrong.lines().collect();
    assert_eq!(lines[0], "error: the settings have 3 problems", "{wrong}");
    for (line, file) in lines[1..].iter().zip(["no-url", "no-redis", "no-team"]) {
        assert!(line.starts_with("  because: reconcile.toml:") && line.contains(file), "{wrong}");
    }
    assert_eq!(lines.len(), 4, "{wrong}");
}

#[test]
fn a_log_that_cannot_be_written_is_named_by_the_doctor() {
    let world = World::on(Database::Sqlite);
    ready(&world);
    let mut daemon = world.spawn(&[]);
    daemon.wait_for("watching", Duration::from_secs(10));
    let index = ".reconcile/KSESSIONS_DEV.db-shm";
    let doctor = format!("mount --bind {index} {index} && mount -o remount,bind,ro {index} && reconcile doctor");
    let told = world.sh(&format!("{} sh -c '{doctor}'", own_mounts().join(" "))).expect_code(1);
    assert!(told.stdout.contains("FAIL  rights") && told.stdout.contains("db-shm"), "{}", told.text());
    world.run(&["doctor"]).expect_code(0);
}

#[test]
fn completions_are_what_shells_read() {
    let world = World::on(Database::Sqlite);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&["completions", shell]).expect_code(0).stdout;
        assert!(script.contains("reconcile"), "{shell}: {script}");
        world.write(&format!("completion.{shell}"), &script);
    }
    let loaded = world.sh("bash -c '. ./completion.bash && complete -p reconcile'").expect_code(0);
    assert!(loaded.stdout.contains("_reconcile"), "{}", loaded.text());
}

/// What bash offers where the last word of a line is typed and the key is pressed.
fn offered(world: &World, line: &str) -> Vec<String> {
    let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let (words, last) = (words.join(" "), words.len() - 1);
    world.write("completion.bash", &world.run(&["completions", "bash"]).expect_code(0).stdout);
    world.write(
        "press.bash",
        &format!(
            ". ./completion.bash\nCOMP_WORDS=({words}) COMP_CWORD={last} COMP_TYPE=9\n\
             $(complete -p reconcile | sed 's/.*-F \\([^ ]*\\).*/\\1/') reconcile \"${{COMP_WORDS[{last}]}}\" ''\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        ),
    );
    let output = world.sh("bash press.bash");
    assert_eq!(output.stderr, "", "{line}");
    // Options may stand anywhere, and are offered beside all else.
    output.stdout.lines().filter(|word| !word.is_empty() && !word.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn completions_know_kinds_ids_and_environments() {
    let world = World::on(Database::Sqlite);
    let files = "sessions: [{id: 215, title: Al-Fatiha}, {id: 216}, {id: 30}]\nhosts: [{session: 215}]\n\
                 servers: [{name: pool-1, host: 10.0.0.11, max_instances: 5, admin: pool}]\n";
    world.write("elsewhere/week.yaml", files);
    world.write("reconcile.toml", "[environments.staging]\ncatalogs = [\"KSESSIONS_STAGING\"]\n");
    let all = "reconcile --state elsewhere";
    for line in ["explain ", "--plan --target ", "suspend ", "history "] {
        assert_eq!(offered(&world, &format!("{all} {line}")), ["session/", "host/", "server/", "instance/"], "{line}");
    }
    assert_eq!(offered(&world, &format!("{all} explain session/21")), ["session/215", "session/216"]);
    assert_eq!(offered(&world, &format!("{all} explain server/")), ["server/pool-1"]);
    assert_eq!(offered(&world, &format!("{all} host claim 2")), ["215", "216"]);
    assert_eq!(offered(&world, &format!("{all} --environment ")), ["development", "production", "staging"]);
    let verbs = offered(&world, "reconcile ");
    assert!(verbs.iter().any(|verb| verb == "explain") && verbs.iter().any(|verb| verb == "host"), "{verbs:?}");
    assert_eq!(offered(&world, "reconcile --format j"), ["json"]);
    // What cannot be read offers nothing, and says nothing.
    assert_eq!(offered(&world, "reconcile explain session/"), Vec::<String>::new());
    world.write("elsewhere/week.yaml", "sessions: [\n");
    assert_eq!(offered(&world, &format!("{all} explain session/")), Vec::<String>::new());
    assert!(!world.path().join(".reconcile").exists(), "nothing is made for it");
}

#[test]
fn a_port_that_accepts_and_never_answers_is_named_in_seconds() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://noor@127.0.0.1:{}/KSESSIONS_DEV", listener.local_addr().unwrap().port());
    let mut world = World::on(Database::Sqlite);
    world.env("RECONCILE_DATABASE_URL", &url).env("RECONCILE_DATABASE_CONNECT_TIMEOUT", "2s");
    world.write("desired-state/week.yaml", WEEK);
    let begun = Instant::now();
    let mut running = world.spawn(&["--plan"]);
    running.wait_for("planning …", Duration::from_secs(1));
    assert!(begun.elapsed() < Duration::from_millis(600), "the first sign of life came after {:?}", begun.elapsed());
    let output = running.finish(Duration::from_secs(10)).expect_code(1);
    assert!(output.stderr.contains("no answer in time"), "{}", output.text());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let doctor = world.run(&["doctor"]).expect_code(1);
    assert!(doctor.stdout.contains("FAIL  log in"), "{}", doctor.text());
    let limited = world.run(&["--plan", "--timeout", "300ms"]).expect_code(1);
    assert!(limited.stderr.contains("longer than --timeout 300ms"), "{}", limited.text());
}

#[test]
fn by_hand_a_database_is_asked_for() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", WEEK);
    let none = world.run(&["suspend", "--reason", "Not-yet"]).expect_code(1).stderr;
    assert!(none.contains("there is no database") && none.contains("`reconcile migrate`"), "{none}");
    world.run(&["migrate"]).expect_code(0);
    world.run(&["suspend", "--reason", "Not-yet"]).expect_code(0);
    let held = world.run(&["--once", "--detailed-exitcode"]).expect_code(4);
    assert!(held.stdout.contains("applying is suspended") && held.stdout.contains("Not-yet"), "{}", held.text());
    let world = World::on(Database::Postgres);
    for arguments in
        [&["suspend", "--reason", "R"][..], &["host", "create", "--session-id", "1"], &["--once", "--state", "."]]
    {
        let output = world.run(arguments).expect_code(1);
        assert!(
            output.stderr.contains("the schema is missing") && output.stderr.contains("`reconcile migrate`"),
            "{}",
            output.text()
        );
    }
}
