//! Tasks: telling a Celery worker to provision an instance, exactly once, and what it says afterwards.
//!
//! A task is an entry of a Redis list (see [`message`]). Whether it was pushed is marked beside the queue in the same
//! step: so a dispatch that was not recorded is seen, and repeated without a second push.

mod message;

use std::time::Duration;

use uuid::Uuid;

use super::redis::{Redis, RedisError};
use crate::secret::Secret;

/// What went wrong with the broker, or with its results.
pub type TaskError = RedisError;

/// Commands in one round trip.
const CHUNK: usize = 500;
/// A mark outlives every trouble that keeps a dispatch from being recorded.
const MARK_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How the task's arguments are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// `args [instance_id]`.
    Positional,
    /// `kwargs {"instance_id": …}`.
    Keyword,
}

/// How the worker gets the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// In the task: `kwargs {"db_credentials": {…}}`.
    Inline,
    /// By the name of the key under which they wait: `kwargs {"db_credentials": "…"}`. They wait so long from then on.
    Reference { life: Duration },
}

/// What the worker expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    pub task: String,
    pub queue: String,
    pub arguments: Arguments,
    pub credentials: Credentials,
}

impl Style {
    /// Whether the worker looks for the credentials where the queue is.
    pub fn needs_shared_handoff(&self) -> bool {
        matches!(self.credentials, Credentials::Reference { .. })
    }
}

/// One task to be dispatched.
pub struct Task {
    /// The same for the same dispatch, however often it is tried.
    pub id: Uuid,
    pub instance: Uuid,
    /// Where the credentials wait, without the prefix.
    pub credentials_key: String,
    /// The credentials as JSON, where the broker cannot see the hand-off.
    pub inline: Option<Secret>,
}

/// How a dispatch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in the queue.
    Now,
    /// It was pushed before.
    Before,
    /// Its credentials are gone: nothing was pushed.
    NoCredentials,
}

/// What a worker has made of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is known yet, or it is under way.
    Pending,
    Success,
    /// The name of the exception. What it says stays with the worker: it may hold a secret.
    Failure {
        exception: String,
    },
}

/// The broker.
#[derive(Clone)]
pub struct Dispatcher {
    redis: Redis,
    style: Style,
    shares_handoff: bool,
}

impl Dispatcher {
    /// `shares_handoff`: credentials wait in this very database, under this prefix.
    pub fn new(redis: Redis, style: Style, shares_handoff: bool) -> Self {
        Self { redis, style, shares_handoff }
    }

    /// Whether credentials wait where the broker can see them; else they are passed in [`Task::inline`].
    pub fn shares_handoff(&self) -> bool {
        self.shares_handoff
    }

    /// `127.0.0.1:6379/0`.
    pub fn server(&self) -> String {
        self.redis.server()
    }

    /// Its version. Errors: as [`Redis::version`].
    pub async fn version(&self) -> Result<String, TaskError> {
        self.redis.version().await
    }

    /// Pushes each task that was not pushed before; the answers are in the order of `tasks`.
    ///
    /// One script for each task, many in a round trip: it looks for the mark, reads the credentials, pushes, marks and
    /// deletes, and nobody sees anything in between.
    pub async fn send(&self, tasks: Vec<Task>) -> Vec<Result<Sent, TaskError>> {
        let mut answers = Vec::with_capacity(tasks.len());
        for chunk in tasks.chunks(CHUNK) {
            let mut batch = redis::pipe();
            batch.cmd("SCRIPT").arg("LOAD").arg(message::SCRIPT).ignore();
            let script = redis::Script::new(message::SCRIPT);
            for task in chunk {
                self.add(&mut batch, script.get_hash(), task);
            }
            let sent: Result<Vec<String>, TaskError> = self.redis.run("take tasks", &batch).await;
            match sent {
                Ok(words) => answers.extend(words.iter().map(|word| {
                    Ok(match word.as_str() {
                        "now" => Sent::Now,
                        "before" => Sent::Before,
                        _ => Sent::NoCredentials,
                    })
                })),
                Err(error) => answers.extend(chunk.iter().map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    fn add(&self, batch: &mut redis::Pipeline, script: &str, task: &Task) {
        let message::Parts { head, tail, envelope } = message::parts(&self.style, &self.redis, task);
        let (mode, given) = match (&self.style.credentials, &task.inline) {
            (Credentials::Reference { life }, _) => ("reference", Secret::new(life.as_secs().to_string())),
            (Credentials::Inline, Some(credentials)) => ("given", credentials.clone()),
            (Credentials::Inline, None) => ("inline", Secret::new(String::new())),
        };
        batch
            .cmd("EVALSHA")
            .arg(script)
            .arg(3)
            .arg(self.redis.key(&task.credentials_key))
            .arg(self.mark(task.id))
            .arg(&self.style.queue)
            .arg(head)
            .arg(tail)
            .arg(envelope.0)
            .arg(envelope.1)
            .arg(MARK_LIFE.as_secs())
            .arg(mode)
            .arg(given.expose());
    }

    /// Where it is marked that the task was pushed.
    fn mark(&self, task: Uuid) -> String {
        self.redis.key(&format!("task:{task}:sent"))
    }

    /// Which of the tasks were pushed and are not settled yet. Has no side effect.
    pub async fn sent(&self, ids: &[Uuid]) -> Result<Vec<bool>, TaskError> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut batch = redis::pipe();
            for id in chunk {
                batch.cmd("EXISTS").arg(self.mark(*id));
            }
            let answers: Vec<i64> = self.redis.run("say which tasks were sent", &batch).await?;
            found.extend(answers.into_iter().map(|count| count > 0));
        }
        Ok(found)
    }

    /// Removes the marks of tasks whose dispatch is recorded.
    pub async fn settled(&self, ids: &[Uuid]) -> Result<(), TaskError> {
        for chunk in ids.chunks(CHUNK) {
            let mut batch = redis::pipe();
            for id in chunk {
                batch.cmd("DEL").arg(self.mark(*id)).ignore();
            }
            self.redis.run::<()>("forget which tasks were sent", &batch).await?;
        }
        Ok(())
    }
}

/// Where workers leave their results: Celery's Redis backend.
#[derive(Clone)]
pub struct Results {
    redis: Redis,
}

impl Results {
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// `127.0.0.1:6379/0`.
    pub fn server(&self) -> String {
        self.redis.server()
    }

    /// Its version. Errors: as [`Redis::version`].
    pub async fn version(&self) -> Result<String, TaskError> {
        self.redis.version().await
    }

    /// What became of each task. Has no side effect.
    pub async fn outcomes(&self, ids: &[Uuid]) -> Result<Vec<Outcome>, TaskError> {
        let mut outcomes = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut batch = redis::pipe();
            for id in chunk {
                batch.cmd("GET").arg(self.redis.key(&format!("celery-task-meta-{id}")));
            }
            let found: Vec<Option<String>> = self.redis.run("say what became of tasks", &batch).await?;
            outcomes.extend(found.into_iter().map(|meta| message::outcome(meta.map(Secret::new))));
        }
        Ok(outcomes)
    }
}
