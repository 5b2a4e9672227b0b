//! `reconcile list`: every resource with its states, streamed, and nothing written anywhere.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::fixture::{Database, World, both};

const AT: &str = "'2020-01-01T00:00:00+00:00'";

/// Sessions that nobody declares, by statement.
fn strange(ids: &[i64], title: &str) -> String {
    let row = |id: &i64| format!("({id}, {title}, 'active', 'Amina', {AT}, {AT})");
    let rows = ids.iter().map(row).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO sessions (session_id, title, status, created_by, created_at, updated_at) VALUES {rows}")
}

#[track_caller]
fn listed(world: &World, arguments: &[&str]) -> Json {
    let output = world.run(&[&["list", "--format", "json"], arguments].concat()).expect_code(0);
    serde_json::from_str(&output.stdout).unwrap_or_else(|why| panic!("{why}: {}", output.stdout))
}

/// `session/1 in_sync`, with all states.
#[track_caller]
fn states(world: &World, arguments: &[&str]) -> Vec<String> {
    let list = listed(world, arguments);
    let words = |row: &Json| {
        let states: Vec<_> = row["states"].as_array().unwrap().iter().map(|state| state.as_str().unwrap()).collect();
        assert_eq!(row["state"], *states.first().expect("a state"));
        format!("{} {}", row["address"].as_str().unwrap(), states.join(" "))
    };
    list["resources"].as_array().unwrap().iter().map(words).collect()
}

const WEEK: &str = "
sessions:
  - {id: 10, title: Ten}
  - {id: 20, title: Twenty}
  - {id: 30, title: Thirty, protect: true}
  - {id: 40, title: Forty}
hosts:
  - {session: 10}
";

const MORE: &str = "
sessions: [{id: 50, title: Fifty}]
hosts: [{session: 999}]
servers: [{name: pool-1, host: 10.0.0.11, max_instances: 5, admin: pool-1}]
";

both! {
    fn every_resource_is_listed_with_its_states_in_one_order(world) {
        world.write("desired-state/week.yaml", WEEK);
        world.run(&["migrate"]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        world.sql("UPDATE sessions SET title = 'Drift' WHERE session_id IN (20, 30)");
        world.sql(&strange(&[5, 25, 99], "'=cmd' || chr(27) || '[31m'".replace("chr", char_of(world)).as_str()));
        world.run(&["suspend", "session/40", "--reason", "Exams"]).expect_code(0);
        world.write("desired-state/more.yaml", MORE);
        let all = [
            "session/5 unmanaged", "session/10 in_sync", "session/20 drifted pending", "session/25 unmanaged",
            "session/30 blocked drifted protected", "session/40 suspended in_sync", "session/50 pending",
            "session/99 unmanaged", "host/10 in_sync", "host/999 blocked", "server/pool-1 pending",
        ];
        assert_eq!(states(world, &[]), all);

        // The numbers are those of the plan.
        let plan = world.run(&["--plan", "--format", "json"]).expect_code(0).stdout;
        let plan: Json = serde_json::from_str(&plan).unwrap();
        let (of, numbers) = (listed(world, &[])["summary"].clone(), plan["summary"].clone());
        let changes = plan["resource_changes"].as_array().unwrap().len();
        assert_eq!((&of["in_sync"], &of["blocked"], &of["unmanaged"], &of["pending"]),
                   (&numbers["unchanged"], &numbers["blocked"], &numbers["unmanaged"], &json!(changes)));
        assert_eq!(of["resources"], all.len());

        // As other commands point to it, and each form of it.
        for state in ["failed", "blocked", "drifted", "pending", "unmanaged", "suspended", "in_sync", "protected"] {
            let some: Vec<_> = all.iter().filter(|line| line.split(' ').skip(1).any(|word| word == state)).collect();
            assert_eq!(states(world, &["--only", state]), some.into_iter().copied().collect::<Vec<_>>(), "{state}");
        }
        let two = ["session/5 unmanaged", "session/25 unmanaged", "session/40 suspended in_sync", "session/99 unmanaged"];
        assert_eq!(states(world, &["--only", "suspended,unmanaged"]), two);
        assert_eq!(states(world, &["sessions", "--only", "suspended", "--only", "unmanaged"]), two);
        assert_eq!(states(world, &["host"]), &all[8..10]);
        assert_eq!(states(world, &["--target", "host/999", "--target", "session/5"]), [all[0], all[9]]);
        let missing = world.run(&["list", "--target", "session/1234"]).expect_code(1);
        assert!(missing.stderr.contains("session/1234 is in no state file, and not in the database"), "{}", missing.text());

        let row = |id: &str| listed(world, &["--target", id])["resources"][0].clone();
        let drifted = row("session/20");
        assert_eq!((&drifted["action"], &drifted["details"], &drifted["declared"], &drifted["title"]),
                   (&json!("update"), &json!(["title \"Drift\" -> \"Twenty\""]), &json!("desired-state/week.yaml:4:5"), &json!("Twenty")));
        let suspended = row("session/40");
        assert!(suspended["reason"].as_str().is_some_and(|reason| reason.contains("Exams")), "{suspended}");
        assert!(suspended["since"].as_str().is_some_and(|since| since.starts_with("20")), "{suspended}");
        assert!(row("host/999")["hint"].as_str().is_some_and(|hint| hint.contains("missing_session")));

        // Neither a terminal nor a spreadsheet does what a row says.
        for format in ["text", "json", "csv"] {
            let output = world.run(&["list", "--format", format]).expect_code(0).stdout;
            assert!(!output.contains('\u{1b}'), "{output}");
        }
        let csv = world.run(&["list", "--format", "csv", "--only", "unmanaged"]).expect_code(0).stdout;
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines[0], "address,kind,name,title,state,states,declared,since,action,details,notes,reason,hint");
        assert_eq!(lines[1], "session/5,session,5,'=cmd\\u{1b}[31m,unmanaged,unmanaged,,,,,,,");
        assert_eq!(lines.len(), 4);

        world.write("desired-state/broken.yaml", "sessions: [{id: one}]\n");
        let broken = world.run(&["list"]).expect_code(1);
        assert!(broken.stdout.is_empty() && broken.stderr.contains("desired-state/broken.yaml:1:"), "{}", broken.text());
    }

    fn what_is_unmanaged_is_streamed_between_what_is_declared(world) {
        world.limit(Duration::from_secs(120));
        world.run(&["migrate"]).expect_code(0);
        // More than one page of each, and than one look at the database takes.
        let ids = 1..=13_000;
        let declared = |id: &i64| id % 3 == 0 || (5_000..=9_000).contains(id);
        let files: String = ids.clone().filter(declared).map(|id| format!("  - {{id: {id}, title: T{id}}}\n")).collect();
        world.write("desired-state/many.yaml", &format!("sessions:\n{files}hosts: [{{session: 7}}]\n"));
        let strangers: Vec<i64> = ids.clone().filter(|id| !declared(id)).collect();
        strangers.chunks(4_000).for_each(|ids| drop(world.sql(&strange(ids, "'Stranger'"))));
        let expected: Vec<String> = ids.clone()
            .map(|id| format!("session/{id} {}", if declared(&id) { "pending" } else { "unmanaged" }))
            .chain(["host/7 pending".to_owned()])
            .collect();
        assert!(states(world, &[]) == expected, "each once, in the order of the keys");
        let unmanaged: Vec<String> = strangers.iter().map(|id| format!("session/{id} unmanaged")).collect();
        assert!(states(world, &["--only", "unmanaged"]) == unmanaged);
        assert!(states(world, &["sessions", "--only", "pending"]).iter().all(|line| line.ends_with(" pending")));
        // A reader that has enough ends it quietly.
        let cut = world.sh("reconcile list -q --format csv | head -n 2; reconcile list -q | head -n 1").expect_code(0);
        assert_eq!((cut.stdout.lines().count(), cut.stderr.as_str()), (3, ""));
    }
}

fn char_of(world: &World) -> &'static str {
    match world.database() {
        Database::Sqlite => "char",
        Database::Postgres => "chr",
    }
}

#[test]
fn a_missing_database_is_an_empty_one() {
    let world = World::on(Database::Sqlite);
    world.write("desired-state/week.yaml", "sessions: []\n");
    assert_eq!(world.run(&["list"]).expect_code(0).stdout, "No resources.\n");
    world.write("desired-state/week.yaml", WEEK);
    assert!(states(&world, &[]).iter().all(|line| line.contains(" pending")));
    assert!(!world.path().join(".reconcile").exists());
}

/// Also where the system passes signals over that nobody catches, and where nobody takes what is written.
#[test]
fn a_list_ends_at_once_when_it_is_told_to() {
    let world = World::on(Database::Sqlite);
    let files: String =
        (1..=20_000).map(|id| format!("  - {{id: {id}, title: A rather long title of {id}}}\n")).collect();
    world.write("desired-state/many.yaml", &format!("sessions:\n{files}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_reconcile"));
    command.args(["list", "--quiet"]).current_dir(world.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut list = command.spawn().expect("start");
    let mut first = [0];
    std::io::Read::read_exact(list.stdout.as_mut().unwrap(), &mut first).expect("it prints");
    // The rest fills the pipe, and nobody reads on.
    let begun = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&list), rustix::process::Signal::TERM).unwrap();
    let status = loop {
        if let Some(status) = list.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(10) {
            list.kill().unwrap();
        }
    };
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!((status.signal(), status.code()), (Some(15), None));
}
