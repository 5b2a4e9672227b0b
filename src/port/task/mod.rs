//! Celery tasks over Redis: one message for each, dispatched once, and what became of it.
//!
//! A task is pushed together with a marker of its id, in one step, so that a dispatch that was cut off before it was
//! recorded is not repeated: whoever tries again with the same id is told that it was sent before. A new password wants
//! a new id.

mod message;
mod result;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use redis::{Pipeline, Script, ScriptInvocation, Value};
use uuid::Uuid;

use super::handoff;
use super::redis::{Cause, Owned, RedisError, TOGETHER, owned_script};
use crate::guard::{LONGEST_MARK, Owner, Refusal};
use crate::secret::Secret;

use message::Message;
pub use result::{Outcome, Results};

/// How long a marker tells of a dispatch, recorded or not: longer than any outage that recovers by itself, and than any
/// applier is paused that then goes on where it was.
const MARKED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many scripts travel together: each keeps the server for a fraction of a millisecond.
const SCRIPTS: usize = 200;

/// How tasks are written and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// The name that the worker knows the task by, such as `instance.provision_instance`.
    pub task: String,
    /// The queue that the worker consumes, such as `instance_provisioning`.
    pub queue: String,
    /// What stands before the queue's name, and before those of results: Celery's `global_keyprefix`.
    pub prefix: String,
    pub arguments: Arguments,
    pub credentials: Credentials,
}

/// How the credentials, or their reference, are given to the task beside the instance's id, which comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// `task(instance_id, credentials)`.
    Positional,
    /// `task(instance_id, db_credentials=credentials)`; a reference is `db_credentials_key`.
    Keyword,
}

/// What of the credentials a task carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The credentials themselves.
    Inline,
    /// The name of the Redis key that they wait under, for the worker to take.
    Reference {
        /// How long they wait from the dispatch on, at least: longer than a task may wait in the queue and be
        /// redelivered.
        life: Duration,
    },
}

/// One task to dispatch.
pub struct Task {
    /// The task's id, the same for every attempt at the same dispatch.
    pub id: Uuid,
    pub instance: Uuid,
    /// What the credentials are called in the hand-off.
    pub credentials_key: String,
    /// The credentials as JSON, where [`Dispatcher::wants_credentials`]; elsewhere they are not looked at.
    pub inline: Option<Secret>,
    /// The applier's number: credentials that a later one has put are not for it to send.
    pub fencing: i64,
}

/// What became of an attempt to dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The task is in the queue since now.
    Now,
    /// It was pushed by an earlier attempt; nothing was done.
    Before,
    /// The credentials are not there, or a later applier has put them there; nothing was done.
    NoCredentials,
}

/// Why a task was not dispatched, or nothing is known about it. No message holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("the credentials under {key} are not a JSON object")]
    Malformed { key: String },
    #[error("the embedded hand-off cannot be referred to: no worker can take credentials from it")]
    Unreachable,
    #[error("the result of task {id} cannot be read")]
    Result { id: Uuid },
}

impl TaskError {
    /// The guard's no, where that is what it is.
    pub fn refusal(&self) -> Option<&Refusal> {
        if let TaskError::Redis(error) = self { error.refusal() } else { None }
    }

    /// How to mend it, where the operator can.
    pub fn hint(&self) -> Option<String> {
        match self {
            TaskError::Redis(error) => error.hint(),
            TaskError::Malformed { key: _ } => {
                Some("rotate the credentials, and find out who else writes to the hand-off".to_owned())
            }
            TaskError::Unreachable => {
                Some("send the credentials inline, or keep the hand-off in a Redis that the worker reaches".to_owned())
            }
            TaskError::Result { id: _ } => Some(
                "check that the worker's result backend writes JSON (`result_serializer`), and this Redis".to_owned(),
            ),
        }
    }
}

/// Where the credentials wait, as seen from the broker.
#[derive(Clone)]
enum Waiting {
    /// In the same database.
    Here,
    /// In another Redis.
    There(Owned),
    Embedded,
}

/// Pushes tasks to a broker, which bears whose it is as the hand-off does.
#[derive(Clone)]
pub struct Dispatcher {
    broker: Owned,
    style: Style,
    waiting: Waiting,
}

impl Dispatcher {
    /// For the queue of `style` on `broker`, with the credentials that wait in `handoff`; `None`: in the embedded one.
    ///
    /// Errors: the tasks shall refer to credentials that wait where no worker can take them.
    pub fn new(broker: Owned, style: Style, handoff: Option<&Owned>) -> Result<Self, TaskError> {
        let waiting = match handoff {
            Some(store) if store.same_store(&broker) => Waiting::Here,
            Some(store) => Waiting::There(store.clone()),
            None => Waiting::Embedded,
        };
        match (&waiting, style.credentials) {
            (Waiting::Embedded, Credentials::Reference { .. }) => Err(TaskError::Unreachable),
            _ => Ok(Self { broker, style, waiting }),
        }
    }

    /// Where tasks go.
    pub fn broker(&self) -> &Owned {
        &self.broker
    }

    /// The same broker, for another owner.
    #[must_use]
    pub fn owned_by(&self, owner: &Owner) -> Self {
        let waiting = match &self.waiting {
            Waiting::There(store) => Waiting::There(store.owned_by(owner)),
            Waiting::Here => Waiting::Here,
            Waiting::Embedded => Waiting::Embedded,
        };
        Self { broker: self.broker.owned_by(owner), style: self.style.clone(), waiting }
    }

    /// Whether [`Task::inline`] must be given, by [`handoff::HandOff::read`]: the broker cannot see the hand-off. Then
    /// they stay in the hand-off until the caller has recorded the dispatch and discards them.
    pub fn wants_credentials(&self) -> bool {
        matches!((&self.waiting, self.style.credentials), (Waiting::There(_) | Waiting::Embedded, Credentials::Inline))
    }

    /// Pushes each task that was not pushed before, with its marker; the answers are in the order of `tasks`.
    ///
    /// Guarantees: twice equals once, as long as the marker stands (30 days). Where
    /// broker and hand-off are one database, the credentials leave the hand-off in the same step, or, referred to, have
    /// their life lengthened.
    ///
    /// Errors: nobody knows whether a task was sent whose answer did not arrive; to send it again is safe.
    pub async fn send(&self, tasks: Vec<Task>) -> Vec<Result<Sent, TaskError>> {
        let script = owned_script!("send.lua");
        let kept = match self.keep(&tasks).await {
            Ok(kept) => kept,
            Err(error) => return tasks.iter().map(|_| Err(error.clone().into())).collect(),
        };
        let calls: Vec<_> = tasks.iter().zip(kept).map(|(task, kept)| self.call(&script, task, kept)).collect();
        let answers = self.broker.run(&script, &calls, SCRIPTS).await;
        tasks.iter().zip(answers).map(|(task, answer)| self.sent_or_not(task, answer)).collect()
    }

    /// One call of the script. `kept`: credentials that are referred to wait on in another Redis.
    fn call<'s>(&self, script: &'s Script, task: &Task, kept: bool) -> ScriptInvocation<'s> {
        let Task { id, instance, credentials_key, inline, fencing } = task;
        let message = Message::new(&self.style, self.broker.owner(), *id, *instance);
        let Message { envelope_head, body_head, body_tail, envelope_tail } = message;
        let redis = self.broker.redis();
        // What waits elsewhere is not looked at here: the marker stands in its place.
        let (name, fence) = match &self.waiting {
            Waiting::Here => (credentials_key.clone(), handoff::fence(&self.broker, credentials_key)),
            Waiting::There(_) | Waiting::Embedded => (marker(*id), redis.key(&marker(*id))),
        };
        let reference = match &self.waiting {
            Waiting::There(handoff) => handoff.redis().key(credentials_key),
            Waiting::Here | Waiting::Embedded => redis.key(credentials_key),
        };
        let reference = serde_json::Value::from(reference).to_string();
        let (way, given, life) = match (&self.waiting, self.style.credentials, inline) {
            (Waiting::Here, Credentials::Inline, _) => ("read", "", Duration::ZERO),
            (Waiting::Here, Credentials::Reference { life }, _) => ("lengthen", reference.as_str(), life),
            (Waiting::There(_), Credentials::Reference { life }, _) if kept => ("given", reference.as_str(), life),
            (_, Credentials::Inline, Some(credentials)) => ("given", credentials.expose(), Duration::ZERO),
            // Only to be told whether it was sent before.
            _ => ("look", "", Duration::ZERO),
        };
        let mut call = self.broker.call(script, &name);
        call.key(redis.key(&marker(*id))).key(self.queue()).key(fence).key(self.claim());
        for part in [way, envelope_head, &body_head, given, &body_tail, &envelope_tail] {
            call.arg(part);
        }
        call.arg(millis(MARKED)).arg(millis(life)).arg(*fencing).arg(self.broker.owner().environment().as_str());
        call
    }

    /// Which tasks' credentials, referred to in another Redis, wait there long enough.
    async fn keep(&self, tasks: &[Task]) -> Result<Vec<bool>, RedisError> {
        match (&self.waiting, self.style.credentials) {
            (Waiting::There(store), Credentials::Reference { life }) => {
                let keys: Vec<_> = tasks.iter().map(|task| task.credentials_key.as_str()).collect();
                handoff::lengthen(store, &keys, life).await
            }
            _ => Ok(vec![false; tasks.len()]),
        }
    }

    /// The queue, as it is called at the broker.
    fn queue(&self) -> String {
        format!("{}{}", self.style.prefix, self.style.queue)
    }

    /// Where it is kept whose tasks the queue carries, for all who share it, whatever their prefix.
    fn claim(&self) -> String {
        format!("reconcile:queue:{}", self.queue())
    }

    /// Looks whether the broker and its queue may be used, and are. Leaves no trace.
    ///
    /// Errors: [`RedisError::Refused`] where either is another's; the broker cannot be used.
    pub async fn look(&self) -> Result<(), RedisError> {
        let redis = self.broker.redis();
        let mut commands = Pipeline::new();
        commands.cmd("GETRANGE").arg(self.claim()).arg(0).arg(LONGEST_MARK - 1);
        let claimed = self.broker.ask(&commands).await?.pop().unwrap_or_default();
        match redis.checked(claimed) {
            Ok(Value::BulkString(by)) if by.is_empty() => Ok(()),
            Ok(Value::BulkString(by)) if by == self.broker.owner().environment().as_str().as_bytes() => Ok(()),
            Ok(Value::BulkString(by)) => Err(self.claimed(&by)),
            Err(error) if error.cause() == Some(&Cause::Foreign) => Err(self.claimed(b"(something that is no text)")),
            Ok(_) => Err(redis.unexpected()),
            Err(error) => Err(error),
        }
    }

    /// The guard's no to a queue that carries the tasks of another environment.
    fn claimed(&self, by: &[u8]) -> RedisError {
        let (queue, claim, by) = (self.queue(), self.claim(), String::from_utf8_lossy(by));
        RedisError::Refused(self.broker.owner().refuse_queue(self.broker.redis().shown(), &queue, &claim, &by))
    }

    fn sent_or_not(&self, task: &Task, answer: Result<Value, RedisError>) -> Result<Sent, TaskError> {
        match answer? {
            Value::Array(said) => match &said[..] {
                [Value::BulkString(word), Value::BulkString(by)] if word == b"claimed" => Err(self.claimed(by).into()),
                _ => Err(self.broker.redis().unexpected().into()),
            },
            Value::BulkString(word) => match word.as_slice() {
                b"now" => Ok(Sent::Now),
                b"before" => Ok(Sent::Before),
                b"none" => Ok(Sent::NoCredentials),
                b"malformed" => Err(TaskError::Malformed { key: task.credentials_key.clone() }),
                _ => Err(self.broker.redis().unexpected().into()),
            },
            _ => Err(self.broker.redis().unexpected().into()),
        }
    }

    /// Which of `ids` were sent, in their order. Leaves no trace.
    ///
    /// Errors: the broker cannot be asked, or is another's.
    pub async fn sent(&self, ids: &[Uuid]) -> Result<Vec<bool>, TaskError> {
        let (redis, ours) = (self.broker.redis(), self.broker.owner().to_string());
        let mut sent = Vec::with_capacity(ids.len());
        for ids in ids.chunks(TOGETHER) {
            let mut commands = Pipeline::with_capacity(ids.len());
            for id in ids {
                commands.cmd("GETRANGE").arg(redis.key(&marker(*id))).arg(0).arg(LONGEST_MARK - 1);
            }
            for answer in self.broker.ask(&commands).await? {
                match redis.checked(answer) {
                    // A marker that none of us has set tells of no task of ours; what sends it says so.
                    Ok(Value::BulkString(by)) => sent.push(by == ours.as_bytes()),
                    Err(error) if error.cause() == Some(&Cause::Foreign) => sent.push(false),
                    Ok(_) => return Err(redis.unexpected().into()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(sent)
    }
}

/// Under which it is kept who has sent the task `id`.
fn marker(id: Uuid) -> String {
    format!("reconcile:sent:{id}")
}

/// In milliseconds, which are Redis' smallest.
fn millis(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX)
}
