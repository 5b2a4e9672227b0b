//! A Redis, or the part of it that begins with a prefix, that is one database's alone: it bears a mark of whose it is,
//! which is compared in the same script as whatever is written, pushed, deleted or taken.
//!
//! ```text
//! {redis.prefix}reconcile:environment   development 51179767-693b-49a1-b753-380ca3bb39f7
//! {redis.prefix}reconcile:owner         the same, its witness: a server that evicts may lose one of them alone
//! ```
//!
//! The first write sets both; so does the first after the server has lost them, by a flush or an eviction. What was set is
//! told by [`Bindings`], for the journal.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use redis::{Pipeline, Script, ScriptInvocation, Value};

use super::{Cause, Redis, RedisError, TOGETHER};
use crate::guard::{LONGEST_MARK, Owner};

/// Under which a store bears whose it is, twice.
const MARKS: [&str; 2] = ["reconcile:environment", "reconcile:owner"];

/// A script of ours, with the comparison before it. The file is named from where the macro is used.
macro_rules! owned_script {
    ($file:literal) => {
        redis::Script::new(concat!(
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/port/redis/owned.lua")),
            include_str!($file)
        ))
    };
}
pub(in crate::port) use owned_script;

/// The servers that were marked since this was last asked.
#[derive(Clone, Default)]
pub struct Bindings(Arc<Mutex<BTreeSet<String>>>);

impl Bindings {
    /// Gives what there is, and forgets it.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes one.
    pub fn add(&self, server: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server.to_owned());
    }
}

/// What a store bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Borne {
    Nothing,
    Ours,
    /// As much of it as a mark of ours would have, or what it is instead of a text.
    Other(String),
}

/// A Redis as its owner uses it. Clones share the connection.
#[derive(Clone)]
pub struct Owned {
    redis: Redis,
    owner: Owner,
    bindings: Bindings,
}

impl Owned {
    pub fn new(redis: Redis, owner: Owner, bindings: Bindings) -> Self {
        Self { redis, owner, bindings }
    }

    /// The same server, for another owner.
    #[must_use]
    pub fn owned_by(&self, owner: &Owner) -> Self {
        Self { owner: owner.clone(), ..self.clone() }
    }

    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Where both write to the same mark.
    pub fn same_store(&self, other: &Self) -> bool {
        self.redis.same_server(&other.redis) && self.marks() == other.marks()
    }

    /// What the store bears. Leaves no trace.
    ///
    /// Errors: the server cannot be used.
    pub async fn borne(&self) -> Result<Borne, RedisError> {
        self.judged(&mut self.redis.ask(&self.asking()).await?.into_iter())
    }

    /// Sends commands that only read, after a look at whose the store is; gives their answers in order.
    ///
    /// Errors: [`RedisError::Refused`] where it is another's; the server cannot be used.
    pub(in crate::port) async fn ask(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let mut all = self.asking();
        for command in commands.cmd_iter() {
            all.add_command(command.clone());
        }
        let mut answers = self.redis.ask(&all).await?.into_iter();
        match self.judged(&mut answers)? {
            Borne::Nothing | Borne::Ours => Ok(answers.collect()),
            Borne::Other(borne) => Err(self.refused(&borne)),
        }
    }

    /// Looks whether the store may be used, and is. Leaves no trace.
    ///
    /// Errors: as [`Owned::ask`].
    pub async fn look(&self) -> Result<(), RedisError> {
        self.ask(&Pipeline::new()).await.map(drop)
    }

    /// One call of an [`owned_script`], for the entry `name`; its own keys and arguments follow.
    pub(in crate::port) fn call<'s>(&self, script: &'s Script, name: &str) -> ScriptInvocation<'s> {
        let mut invocation = script.prepare_invoke();
        let [mark, witness] = self.marks();
        invocation.key(self.redis.key(name)).key(mark).key(witness).arg(self.owner.to_string());
        invocation
    }

    /// Runs calls of one script, in pipelines; the answers are in their order.
    ///
    /// Errors, for each: [`RedisError::Refused`] where the store is another's, and nothing was done; what the script says.
    /// After another error nobody knows whether it was done.
    pub(in crate::port) async fn run(
        &self,
        script: &Script,
        calls: &[ScriptInvocation<'_>],
        together: usize,
    ) -> Vec<Result<Value, RedisError>> {
        let mut done = Vec::with_capacity(calls.len());
        for calls in calls.chunks(together.clamp(1, TOGETHER)) {
            match self.run_together(script, calls).await {
                Ok(answers) => done.extend(answers.into_iter().map(|answer| self.opened(answer))),
                Err(error) => done.extend(calls.iter().map(|_| Err(error.clone()))),
            }
        }
        done
    }

    /// As [`Owned::run`], for one call.
    pub(in crate::port) async fn run_one(
        &self,
        script: &Script,
        call: ScriptInvocation<'_>,
    ) -> Result<Value, RedisError> {
        let mut done = self.run(script, std::slice::from_ref(&call), 1).await;
        done.pop().unwrap_or_else(|| Err(self.redis.unexpected()))
    }

    async fn run_together(&self, script: &Script, calls: &[ScriptInvocation<'_>]) -> Result<Vec<Value>, RedisError> {
        let mut commands = Pipeline::with_capacity(calls.len() + 1);
        // In the same pipeline, so that the server knows the script without another round trip.
        commands.load_script(script);
        for call in calls {
            commands.invoke_script(call);
        }
        let mut answers = self.redis.act(&commands).await?.into_iter();
        self.redis.checked(answers.next().unwrap_or_default())?;
        Ok(answers.collect())
    }

    /// What a script answers, out of what the comparison before it says.
    fn opened(&self, answer: Value) -> Result<Value, RedisError> {
        let Value::Array(answer) = self.redis.checked(answer)? else { return Err(self.redis.unexpected()) };
        let [state, answer] = <[Value; 2]>::try_from(answer).map_err(|_| self.redis.unexpected())?;
        match (state, answer) {
            (Value::Int(-1), Value::BulkString(borne)) => Err(self.refused(&String::from_utf8_lossy(&borne))),
            (Value::Int(set @ 0..=1), answer) => {
                if set == 1 {
                    self.bindings.add(self.redis.shown());
                }
                self.redis.checked(answer)
            }
            _ => Err(self.redis.unexpected()),
        }
    }

    fn asking(&self) -> Pipeline {
        let mut commands = Pipeline::new();
        for mark in self.marks() {
            commands.cmd("GETRANGE").arg(mark).arg(0).arg(LONGEST_MARK - 1);
        }
        commands
    }

    /// What the answers to [`Owned::asking`] say, which come first: the mark, or where it was lost, its witness.
    fn judged(&self, answers: &mut impl Iterator<Item = Value>) -> Result<Borne, RedisError> {
        let mut borne = Borne::Nothing;
        for answer in answers.take(MARKS.len()) {
            match self.judged_one(answer)? {
                Borne::Nothing => {}
                other @ Borne::Other(_) => return Ok(other),
                Borne::Ours => borne = Borne::Ours,
            }
        }
        Ok(borne)
    }

    fn judged_one(&self, answer: Value) -> Result<Borne, RedisError> {
        match self.redis.checked(answer) {
            Ok(Value::BulkString(borne)) if borne.is_empty() => Ok(Borne::Nothing),
            Ok(Value::BulkString(borne)) if borne == self.owner.to_string().as_bytes() => Ok(Borne::Ours),
            Ok(Value::BulkString(borne)) => Ok(Borne::Other(String::from_utf8_lossy(&borne).into_owned())),
            Ok(_) => Err(self.redis.unexpected()),
            Err(error) if error.cause() == Some(&Cause::Foreign) => {
                Ok(Borne::Other("(something that is no text)".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// The guard's no to a store that bears something else.
    pub fn refused(&self, borne: &str) -> RedisError {
        RedisError::Refused(self.owner.refuse(self.redis.shown(), &self.marks()[0], borne))
    }

    pub(super) fn marks(&self) -> [String; 2] {
        MARKS.map(|mark| self.redis.key(mark))
    }
}
