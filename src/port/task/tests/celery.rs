//! Against the real Celery: its `send_task` writes what we write, and its worker runs what we send.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use super::*;
use crate::port::task::Results;

/// Python with Celery, which `tests/run` installs beside the build.
fn python() -> Command {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let program = target.join("tmp/python/bin/python3");
    assert!(program.exists(), "no Python environment here: run `tests/run`, which makes it");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Sends as an application would, with the representations that a careful one gives.
const SEND: &str = r#"
import sys, json, celery
url, prefix, queue, name, id, args, kwargs, argsrepr, kwargsrepr = sys.argv[1:]
app = celery.Celery(broker=url)
app.conf.broker_transport_options = {"global_keyprefix": prefix}
app.send_task(name, json.loads(args), json.loads(kwargs), queue=queue, task_id=id, argsrepr=argsrepr, kwargsrepr=kwargsrepr)
"#;

#[tokio::test]
async fn the_message_is_what_send_task_writes() {
    let server = Server::start();
    let given: Json = serde_json::from_str(&credentials(1)).unwrap();
    let about = instance(1).to_string();
    let name = format!("hand:{}", key(1));
    let masked = format!("('{about}', '<redacted>')");
    let reference = Credentials::Reference { life: 3 * HOUR };
    for (round, (arguments, carried, args, kwargs, representations)) in [
        (Arguments::Keyword, Credentials::Inline, json!([about]), json!({"db_credentials": given}), None),
        (Arguments::Keyword, reference, json!([about]), json!({"db_credentials_key": name}), None),
        (Arguments::Positional, Credentials::Inline, json!([about, given]), json!({}), Some((masked.as_str(), "{}"))),
        (Arguments::Positional, reference, json!([about, name]), json!({}), Some((masked.as_str(), "{}"))),
    ]
    .into_iter()
    .enumerate()
    {
        server.run(&["FLUSHALL"]);
        // Names that want to be escaped, from the second round on.
        let odd = if round == 0 { "" } else { "\"\\ü/\u{7}" };
        let mut style = style(arguments, carried);
        style.queue.push_str(odd);
        style.task.push_str(odd);
        let single = format!("('{about}',)");
        let (argsrepr, kwargsrepr) = representations.unwrap_or((&single, "<redacted>"));
        let (queue, task_name) = (style.queue.clone(), style.task.clone());
        let (args, kwargs) = (args.to_string(), kwargs.to_string());
        let script = ["-c", SEND, &server.url(), "noor:", &queue, &task_name, &id(1).to_string()];
        let sent = python().args(script).args([&args, &kwargs, argsrepr, kwargsrepr]).output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        let waiting = owned(&server, "hand:");
        let style = Style { prefix: "noor:".to_owned(), ..style };
        let dispatcher = Dispatcher::new(owned(&server, "hand:"), style, Some(&waiting)).unwrap();
        put(&HandOff::redis(waiting), 1).await;
        assert_eq!(send(&dispatcher, task(1)).await, Sent::Now);

        let list = format!("noor:{queue}");
        assert_eq!(server.run(&["LLEN", &list]), "2", "in one and the same list");
        let (mut ours, body) = message(&server, &list);
        server.run(&["LPOP", &list]);
        let (mut theirs, their_body) = message(&server, &list);
        assert_eq!(body, their_body);
        // Base64 of the same, but for the blanks in it.
        assert!(ours["body"].take().is_string() && theirs["body"].take().is_string());
        let own = |message: &mut Json, place: &str| message.pointer_mut(place).unwrap().take();
        assert_ne!(own(&mut ours, "/properties/delivery_tag"), own(&mut theirs, "/properties/delivery_tag"));
        let header = ours["headers"].as_object_mut().unwrap().remove("reconcile_environment");
        assert_eq!(header, Some(json!(owner().to_string())));
        assert_eq!(own(&mut ours, "/headers/origin"), "reconcile");
        assert!(own(&mut theirs, "/headers/origin").is_string());
        assert_eq!(own(&mut ours, "/properties/reply_to"), "", "nobody waits for an answer");
        assert!(own(&mut theirs, "/properties/reply_to").is_string());
        assert_eq!(ours, theirs);
    }
}

/// Its task writes down what it was given. By the last letter of the instance's id, it may also fail with the password
/// in its message, try again later, make up a state, or not come to an end the first time.
const WORKER: &str = r#"
import json, os, time, celery
app = celery.Celery(broker=os.environ["URL"], backend=os.environ["URL"])
app.conf.broker_transport_options = {"global_keyprefix": "noor", "visibility_timeout": int(os.environ["VISIBILITY"])}
app.conf.result_backend_transport_options = {"global_keyprefix": "noor"}
app.conf.task_track_started = True
app.conf.worker_hijack_root_logger = True

@app.task(bind=True, name="instance.provision_instance", max_retries=3, acks_late=True)
def provision(self, instance_id, db_credentials):
    if instance_id.endswith("2"):
        raise ValueError("cannot log in with " + db_credentials["db_password"])
    if instance_id.endswith("3"):
        raise self.retry(countdown=600, exc=ValueError(db_credentials["db_password"]))
    if instance_id.endswith("4"):
        self.update_state(state="PROGRESS", meta=db_credentials["db_password"])
        raise celery.exceptions.Ignore()
    if instance_id.endswith("6") and not os.path.exists("begun"):
        os.mkdir("begun")
        time.sleep(600)
    with open(instance_id + ".part", "w") as out:
        json.dump([instance_id, db_credentials, self.request.id, self.request.argsrepr, self.request.kwargsrepr, self.request.reconcile_environment], out)
    os.rename(instance_id + ".part", instance_id)
"#;

struct Worker {
    home: PathBuf,
    process: Child,
}

impl Worker {
    /// One that works in `home`. A message that it has not acknowledged after `visibility` is anybody's again.
    fn start(server: &Server, home: &Path, visibility: Duration) -> Self {
        fs::write(home.join("worker.py"), WORKER).unwrap();
        let log = fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
        let mut worker = python();
        worker.args(["-m", "celery", "-A", "worker", "worker", "--pool", "solo", "--loglevel", "INFO", "-Q", QUEUE]);
        worker.args(["--without-gossip", "--without-mingle", "--without-heartbeat"]);
        worker.current_dir(home).env("URL", server.url()).env("PYTHONPATH", home);
        worker.env("VISIBILITY", visibility.as_secs().to_string());
        // As root, too, on a machine that builds and tests and does nothing else.
        worker.env("C_FORCE_ROOT", "1");
        let process = worker.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { home: home.to_owned(), process }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

#[tokio::test]
async fn a_worker_runs_what_was_sent_and_its_results_are_read() {
    let server = Server::start();
    let waiting = owned(&server, "noor:");
    let dispatching = |style| {
        let style = Style { prefix: "noor".to_owned(), ..style };
        Dispatcher::new(owned(&server, "noor:"), style, Some(&waiting)).unwrap()
    };
    let keyword = dispatching(inline());
    let positional = dispatching(style(Arguments::Positional, Credentials::Inline));
    for number in 1..=5 {
        put(&HandOff::redis(waiting.clone()), number).await;
    }
    for (number, dispatcher) in [(1, &keyword), (2, &keyword), (3, &keyword), (4, &keyword), (5, &positional)] {
        assert_eq!(send(dispatcher, task(number)).await, Sent::Now);
    }
    let results = Results::new(redis(&server, "noor"));
    let ids: Vec<Uuid> = (1..=6).map(id).collect();
    assert_eq!(results.outcomes(&ids).await.unwrap(), [const { Outcome::Pending }; 6]);

    let home = tempfile::tempdir().unwrap();
    let worker = Worker::start(&server, home.path(), HOUR);
    let failed = Outcome::Failure { exception: "ValueError".to_owned() };
    let expected = [Outcome::Success, failed, Outcome::Retry, Outcome::Started, Outcome::Success, Outcome::Pending];
    let begun = Instant::now();
    while results.outcomes(&ids).await.unwrap() != expected {
        let now = results.outcomes(&ids).await.unwrap();
        assert!(!format!("{now:?}").contains("staple"));
        assert!(begun.elapsed() < Duration::from_secs(50), "{now:?}\n{}", worker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (number, argsrepr, kwargsrepr) in
        [(1, format!("('{}',)", instance(1)), "<redacted>"), (5, format!("('{}', '<redacted>')", instance(5)), "{}")]
    {
        let received = received(&worker.file(&instance(number).to_string()));
        let credentials: Json = serde_json::from_str(&credentials(number)).unwrap();
        assert_eq!(
            received,
            json!([instance(number), credentials, id(number), argsrepr, kwargsrepr, owner().to_string()])
        );
        assert!(!worker.log().contains(&format!("staple{number}")), "{}", worker.log());
    }
}

#[tokio::test]
async fn a_task_whose_worker_was_killed_comes_again_under_its_id() {
    let server = Server::start();
    let waiting = owned(&server, "noor:");
    let style = Style { prefix: "noor".to_owned(), ..inline() };
    let dispatcher = Dispatcher::new(owned(&server, "noor:"), style, Some(&waiting)).unwrap();
    put(&HandOff::redis(waiting), 6).await;
    assert_eq!(send(&dispatcher, task(6)).await, Sent::Now);
    let home = tempfile::tempdir().unwrap();
    let visibility = Duration::from_secs(5);
    let worker = Worker::start(&server, home.path(), visibility);
    wait_for(&worker, "begun").await;
    drop(worker);
    // It is nobody's for as long as the killed one may still be at it.
    tokio::time::sleep(visibility + Duration::from_millis(500)).await;
    assert_eq!(send(&dispatcher, task(6)).await, Sent::Before);
    let worker = Worker::start(&server, home.path(), visibility);
    let done = instance(6).to_string();
    wait_for(&worker, &done).await;
    let received = received(&worker.file(&done));
    let credentials: Json = serde_json::from_str(&credentials(6)).unwrap();
    assert_eq!((&received[1], &received[2]), (&credentials, &json!(id(6))));
    let results = Results::new(redis(&server, "noor"));
    // The worker writes its result before it acknowledges the message.
    let left = || server.run(&["EXISTS", &format!("noor{QUEUE}"), "noorunacked"]);
    let begun = Instant::now();
    while results.outcomes(&[id(6)]).await.unwrap() != [Outcome::Success] || left() != "0" {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", worker.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn wait_for(worker: &Worker, file: &str) {
    let begun = Instant::now();
    while !worker.file(file).exists() {
        assert!(begun.elapsed() < Duration::from_secs(40), "{file}\n{}", worker.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn received(path: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}
