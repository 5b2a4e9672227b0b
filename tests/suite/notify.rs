//! Notifications, from what happens to a real receiver: signed, each at least once, a repeat marked as such, and never
//! with a secret in one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use rustix::process::Signal;
use serde_json::Value as Json;
use sha2::Sha256;

use crate::daemon::{LATE, end, prepare, settle, start};
use crate::fixture::receiver::{Manner, Message, Receiver};
use crate::fixture::{Database, World, both};
use crate::instances::{Estate, id, instance};

const KEY: [u8; 32] = [9; 32];

/// Whoever reads our own JSON, under the name `ops`.
fn ops(world: &mut World) -> Receiver {
    let receiver = Receiver::start();
    world.write("reconcile.toml", "[notify.ops]\n");
    world.env("RECONCILE_NOTIFY_OPS_URL", &receiver.url());
    world.env("RECONCILE_NOTIFY_OPS_KEYS", &format!("whsec_{}", BASE64.encode(KEY)));
    receiver
}

fn kind(message: &Message) -> String {
    message.json()["type"].as_str().expect("a type").trim_start_matches("reconcile.").to_owned()
}

/// What the message tells of: resource, and text.
fn items(message: &Message) -> Vec<(String, String)> {
    let said = message.json();
    let items = said["data"]["items"].as_array().expect("items");
    let text = |item: &Json, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (text(item, "about"), text(item, "text"))).collect()
}

#[track_caller]
fn wait_for(receiver: &Receiver, event: &str, about: &str) -> Message {
    receiver.wait_for(|message| kind(message) == event && items(message).iter().any(|(what, _)| what == about))
}

#[track_caller]
fn is_signed(message: &Message) {
    let (id, timestamp) = (message.header("webhook-id"), message.header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.{}", message.body).as_bytes());
    assert_eq!(message.header("webhook-signature"), format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())));
}

both! {
    fn what_happens_is_told_once_and_signed(world) {
        prepare(world);
        let ops = ops(world);
        world.write("desired-state/b.yaml", "hosts: [{session: 1, reason: First GUID}, {session: 9}]\n");
        let daemon = start(world);
        let rotation = wait_for(&ops, "rotation", "host/1");
        is_signed(&rotation);
        assert_eq!((rotation.path.as_str(), rotation.header("content-type")), ("/hooks/secret-path", "application/json"));
        let said = rotation.json();
        assert_eq!((said["attempt"].as_i64(), said["data"]["environment"].as_str()), (Some(1), Some("development")));
        assert_eq!(said["data"]["catalog"], "KSESSIONS_DEV");
        let blocked = wait_for(&ops, "blocked", "host/9");
        assert!(items(&blocked)[0].1.starts_with("session 9 does not exist"), "{}", blocked.body);
        // Somebody else writes, and what was blocked is so no more.
        world.sql("UPDATE sessions SET title = 'Changed' WHERE session_id = 1");
        world.write("desired-state/c.yaml", "sessions: [{id: 9, title: Nine}]\n");
        assert_eq!(items(&wait_for(&ops, "recovery", "host/9"))[0].1, "it is no longer blocked");
        daemon.signal(Signal::HUP);
        wait_for(&ops, "drift", "session/1");
        // A command by hand is told of by the next turn.
        world.run(&["host", "rotate", "--session-id", "1", "--rotation-reason", "Seen on a slide"]).expect_code(0);
        daemon.signal(Signal::HUP);
        ops.wait_for(|message| message.body.contains("Seen on a slide"));
        let guid = world.run(&["host", "claim", "1"]).expect_code(0).stdout.trim().to_owned();
        // Files with problems, and their end.
        world.write("desired-state/d.yaml", "sessions: [{id: one}]\n");
        wait_for(&ops, "failure", "turn");
        world.write("desired-state/d.yaml", "");
        wait_for(&ops, "recovery", "turn");
        settle(LATE, &"0\n".to_owned(), || world.sql("SELECT COUNT(*) FROM reconcile_deliveries"));
        end(daemon);
        let told: Vec<_> = ops.taken().iter().flat_map(|message| items(message).into_iter().map(|(about, text)| (kind(message), about, text))).collect();
        let mut once = told.clone();
        once.sort();
        once.dedup();
        // One GUID for the file, and one by command: the same words for two.
        assert_eq!(once.len() + 1, told.len(), "{told:#?}");
        let all: String = ops.taken().iter().map(|message| message.body.clone()).collect();
        assert!(guid.len() == 36 && !all.contains(&guid), "a GUID was told");
        assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_outbox"), "0\n");
    }

    fn a_message_that_nobody_took_survives_a_kill_and_is_marked_when_it_comes_again(world) {
        prepare(world);
        let ops = ops(world);
        ops.behave(Manner::HangsUp);
        world.env("RECONCILE_LEASE", "1s");
        world.write("desired-state/b.yaml", "hosts: [{session: 1}]\n");
        let daemon = start(world);
        let first = wait_for(&ops, "rotation", "host/1");
        drop(daemon);
        let status = world.run(&["status"]).expect_code(0).stdout;
        assert!(status.contains("notify     ops: 1 message waits"), "{status}");
        ops.behave(Manner::Answers(200));
        let mut daemon = world.spawn(&["-v"]);
        daemon.wait_for("applying as", LATE);
        let id = first.header("webhook-id").to_owned();
        let again = ops.wait_for(|message| message.header("webhook-id") == id && message.json()["attempt"] != 1);
        is_signed(&again);
        assert_eq!(items(&again), items(&first));
        settle(LATE, &"0\n".to_owned(), || world.sql("SELECT COUNT(*) FROM reconcile_deliveries"));
        end(daemon);
    }

    fn instances_and_their_servers_are_told_of(world) {
        let estate = Estate::of(world, 1);
        let ops = ops(world);
        estate.declare_servers(world, "max_instances: 5");
        let lines: String = (1..=4).map(|number| instance(number, "provision: on_billing")).collect();
        world.write("desired-state/instances.yaml", &format!("instances:\n{lines}"));
        // One turn tells, too, before it ends.
        world.run(&["--once"]).expect_code(0);
        let first = format!("instance/{}", id(1));
        let allocated = wait_for(&ops, "allocation", &first);
        assert_eq!(items(&allocated).len(), 4, "together: {}", allocated.body);
        let fill = wait_for(&ops, "pool_fill", "server/postgres-pool-1");
        assert_eq!(items(&fill)[0].1, "it is filling up: 4 of 5 places are taken (80%)");
        world.run(&["instance", "provision", &id(1)]).expect_code(0);
        world.run(&["--once"]).expect_code(0);
        wait_for(&ops, "provisioning", &first);
        let told = ops.taken().len();
        world.run(&["--once"]).expect_code(0);
        assert_eq!(ops.taken().len(), told, "nothing is told twice");
        let password = world.run(&["instance", "claim", &id(2)]).expect_code(0).stdout;
        let password: Json = serde_json::from_str(&password).unwrap();
        let all: String = ops.taken().iter().map(|message| message.body.clone()).collect();
        assert!(!all.contains(password["db_password"].as_str().unwrap()), "a password was told");
    }
}

#[test]
fn a_receiver_chooses_its_language_and_its_events_and_one_that_is_down_holds_up_no_other() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    let (slack, dead) = (Receiver::start(), Receiver::start());
    dead.behave(Manner::Answers(500));
    world.write("slack.url", &slack.url());
    world.write("dead.url", &dead.url());
    world.sh("chmod 600 slack.url dead.url").expect_code(0);
    world.write(
        "reconcile.toml",
        "[notify.dead]\nurl_file = \"dead.url\"\nformat = \"slack\"\n\
         [notify.team]\nurl_file = \"slack.url\"\nformat = \"slack\"\nevents = [\"rotation\"]\n",
    );
    world.write("desired-state/b.yaml", "hosts: [{session: 1, reason: A <b> & c}, {session: 9}]\n");
    let daemon = start(&world);
    let message = slack.wait_for(|_| true);
    let text = message.json()["text"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("*:key: new secrets* · development · KSESSIONS_DEV\n• host/1: "), "{text}");
    assert!(text.contains("A &lt;b&gt; &amp; c"), "{text}");
    dead.wait_for(|_| true);
    // The dead one is asked again after some seconds, not at once; the other is told of nothing else.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((slack.taken().len(), dead.taken().len()), (1, 1));
    let status = world.run(&["status", "--format", "json"]).expect_code(0).stdout;
    let status: Json = serde_json::from_str(&status).unwrap();
    assert_eq!(status["notifications"][0]["last_error"], "the receiver answers 500");
    let log = end(daemon).stderr;
    assert!(log.contains("dead does not take a message (attempt 1): the receiver answers 500"), "{log}");
    assert!(!log.contains("secret-path"), "the URL is a secret");
}

#[test]
fn one_that_takes_nothing_hides_no_message_to_another_and_leaves_none_behind() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    let (dead, good) = (Receiver::start(), Receiver::start());
    dead.behave(Manner::Answers(500));
    // What the good one answers never comes to its end, which is its own affair.
    good.behave(Manner::Trails(200));
    world.env("RECONCILE_NOTIFY_DEAD_URL", &dead.url()).env("RECONCILE_NOTIFY_GOOD_URL", &good.url());
    world.write("reconcile.toml", "[notify.dead]\nformat = \"slack\"\n[notify.good]\nformat = \"slack\"\n");
    world.run(&["--once"]).expect_code(0);
    world.sql(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200)
         INSERT INTO reconcile_deliveries (delivery_id, target, event, items, made_at, due_at)
         SELECT printf('01900000-0000-7000-8000-%012d', n), 'dead', 'drift', '[]', at, at
         FROM n, (SELECT strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', 'now') AS at)",
    );
    world.write("desired-state/b.yaml", "hosts: [{session: 1}]\n");
    let daemon = start(&world);
    good.wait_for(|message| message.body.contains("host/1"));
    let waiting = || world.sql("SELECT COUNT(*) FROM reconcile_deliveries WHERE target = 'good'");
    settle(LATE, &"0\n".to_owned(), waiting);
    end(daemon);
    assert_eq!(good.taken().len(), 1);
    // Nobody is told any more: what is young may be another applier's, what is old is nobody's.
    world.write("reconcile.toml", "");
    world.sql("UPDATE reconcile_deliveries SET made_at = '2020-01-01T00:00:00.000000+00:00' WHERE delivery_id < '01900000-0000-7000-8000-000000000200'");
    world.run(&["--once"]).expect_code(0);
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_deliveries"), "2\n");
}

#[test]
fn what_waits_for_approval_mends_nothing_that_had_failed() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    let ops = ops(&mut world);
    let titled = |title: &str| (1..=10).map(|id| format!("- {{id: {id}, title: {title}}}\n")).collect::<String>();
    world.write("desired-state/a.yaml", &format!("sessions:\n{}", titled("One")));
    world.run(&["--once"]).expect_code(0);
    world.sql("INSERT INTO reconcile_told (topic, state) VALUES ('trouble', '{\"session/1\": \"failure\"}')");
    world.write("desired-state/a.yaml", &format!("sessions:\n{}", titled("Two")));
    for _ in 0..2 {
        assert_ne!(world.run(&["--once"]).code, 0, "it waits");
    }
    let told = || ops.taken().iter().map(kind).filter(|kind| kind != "drift").collect::<Vec<_>>();
    assert_eq!(told(), ["blocked"]);
    world.run(&["--once", "--force", "--reason", "New term"]).expect_code(0);
    let over = wait_for(&ops, "recovery", "session/1");
    assert!(items(&over).contains(&("session/1".to_owned(), "it no longer fails".to_owned())), "{}", over.body);
}

#[test]
fn a_turn_for_one_target_tells_nothing_of_the_others_and_answers_nobody() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    let ops = ops(&mut world);
    world.write("desired-state/b.yaml", "hosts: [{session: 1}, {session: 9}]\n");
    world.run(&["--once"]).expect_code(0);
    wait_for(&ops, "blocked", "host/9");
    world.sql(
        "INSERT INTO reconcile_requests (request_id, asked_by, asked_at)
         VALUES ('01900000-0000-7000-8000-000000000001', 'token ops', '2020-01-01T00:00:00.000000+00:00')",
    );
    let told = ops.taken().len();
    world.run(&["--once", "--target", "session/1"]).expect_code(0);
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_requests WHERE handled_at IS NULL"), "1\n");
    world.run(&["--once"]).expect_code(0);
    assert_eq!(world.sql("SELECT COUNT(*) FROM reconcile_requests WHERE handled_at IS NULL"), "0\n");
    assert_eq!(ops.taken().len(), told, "{:#?}", ops.taken());
}

#[test]
fn an_outage_is_told_of_by_whoever_applies_next_and_not_again_by_one_who_follows() {
    let mut world = World::on(Database::Postgres);
    prepare(&mut world);
    let ops = ops(&mut world);
    world.env("RECONCILE_INTERVAL", "8s").env("RECONCILE_LEASE", "16s").hurry(8);
    let leader = start(&world);
    let mut follower = world.spawn(&["-v"]);
    follower.wait_for("following: ", LATE);
    world.server().unwrap().stop();
    // An outage is told of after half a minute.
    std::thread::sleep(Duration::from_secs(40) / 8);
    world.server().unwrap().start_again();
    ops.wait_for(|message| message.body.contains("turns are carried through again; since "));
    // Who has followed for twice the lease leaves the telling to the other.
    std::thread::sleep(Duration::from_secs(48) / 8);
    drop(leader);
    follower.wait_for("the turn is over", LATE);
    let followed = end(follower);
    let is_told = |body: &str| body.contains("carried through again; since") && !body.contains("sent again");
    let told = ops.taken().iter().filter(|message| is_told(&message.body)).count();
    assert_eq!(told, 1, "{}", followed.stderr);
}

#[test]
fn tls_is_checked_against_the_systems_authorities() {
    let mut world = World::on(Database::Sqlite);
    prepare(&mut world);
    world
        .sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2 \
               -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout hook.key -out hook.crt")
        .expect_code(0);
    world.write("hook.py", HOOK);
    let python = crate::fixture::python::program();
    let _hook = Hook(std::process::Command::new(python).arg("hook.py").current_dir(world.path()).spawn().unwrap());
    settle(LATE, &true, || world.path().join("port").exists());
    let port = std::fs::read_to_string(world.path().join("port")).unwrap();
    world.write("reconcile.toml", "[notify.ops]\nformat = \"slack\"\n");
    world.env("RECONCILE_NOTIFY_OPS_URL", &format!("https://localhost:{port}/hook"));
    world.write("desired-state/b.yaml", "hosts: [{session: 1}]\n");
    let said = world.run(&["--once"]).expect_code(0).stderr;
    assert!(said.contains("ops does not take a message (attempt 1): no trusted TLS with localhost"), "{said}");
    // Put off by a clock that has been set back since.
    world.sql("UPDATE reconcile_deliveries SET due_at = '2999-01-01T00:00:00.000000+00:00'");
    world.env("SSL_CERT_FILE", "hook.crt");
    let said = world.run(&["--once"]).expect_code(0).stderr;
    assert!(!said.contains("does not take"), "{said}");
    let taken = std::fs::read_to_string(world.path().join("taken")).unwrap();
    assert!(taken.contains("host/1") && taken.contains("sent again (2)"), "{taken}");
}

/// A process that ends with its test.
struct Hook(std::process::Child);

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes one message after the other over TLS, and keeps them in the file `taken`.
const HOOK: &str = r#"
import http.server, os, ssl

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open("taken", "ab") as taken:
            taken.write(body + b"\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("hook.crt", "hook.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
with open("port.new", "w") as port:
    port.write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
"#;
