//! Giving a store another owner, where a person says so: after a restore, or when the one that used it is gone.

use std::time::{Duration, Instant};

use redis::{Pipeline, Script, Value};
use uuid::Uuid;

use super::owned::owned_script;
use super::{Cause, FENCING, Owned, RedisError, TOGETHER};

/// How long all names of a server may take to be gone through.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each name that we put there begins with, for what waits for a reader; what is kept beside it begins with
/// [`FENCING`].
const WAITING: [&str; 2] = ["host:", "instance:"];

impl Owned {
    /// How many secrets wait there for a reader, whoever has put them there. Leaves no trace.
    ///
    /// Errors: the server cannot be used, or its names cannot be gone through within a minute.
    pub async fn count_waiting(&self) -> Result<usize, RedisError> {
        let mut count = 0;
        for beginning in WAITING {
            count += self.names(beginning).await?.len();
        }
        Ok(count)
    }

    /// Becomes the owner, where the mark still says `former`. `false`: it says something else by now, and stays.
    pub async fn rebind(&self, former: &str) -> Result<bool, RedisError> {
        let script = Script::new(include_str!("rebind.lua"));
        let mut commands = Pipeline::with_capacity(2);
        commands.load_script(&script);
        let mut invocation = script.prepare_invoke();
        let [mark, witness] = self.marks();
        commands.invoke_script(invocation.key(mark).key(witness).arg(self.owner().to_string()).arg(former));
        let answer = self.redis().act(&commands).await?.pop().unwrap_or_default();
        Ok(self.redis().checked(answer)? == Value::Int(1))
    }

    /// Removes all that a former owner has left: its secrets, and what is kept beside them, which would hold up ours.
    ///
    /// Errors: as [`Owned::count_waiting`]; [`RedisError::Refused`] where the store is another's.
    pub async fn clear(&self) -> Result<(), RedisError> {
        let script = owned_script!("remove.lua");
        for beginning in [FENCING].into_iter().chain(WAITING) {
            let names = self.names(beginning).await?;
            let calls: Vec<_> = names.iter().map(|name| self.call(&script, name)).collect();
            for done in self.run(&script, &calls, TOGETHER).await {
                done?;
            }
        }
        Ok(())
    }

    /// The names of ours that begin so, without our prefix.
    async fn names(&self, beginning: &str) -> Result<Vec<String>, RedisError> {
        let (redis, begun) = (self.redis(), Instant::now());
        let (prefix, mut cursor, mut names) = (redis.key(""), "0".to_owned(), Vec::new());
        let pattern = format!("{}*", escaped(&redis.key(beginning)));
        loop {
            let mut scan = Pipeline::new();
            scan.cmd("SCAN").arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let answer = redis.checked(redis.ask(&scan).await?.pop().unwrap_or_default())?;
            let (next, found): (String, Vec<Vec<u8>>) =
                redis::from_redis_value(answer).map_err(|_| redis.unexpected())?;
            // What is no text is no name of ours.
            let found = found.into_iter().filter_map(|name| String::from_utf8(name).ok());
            let found = found.filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned));
            names.extend(found.filter(|name| is_ours(name)));
            if next == "0" {
                // A server may tell one name twice.
                names.sort_unstable();
                names.dedup();
                return Ok(names);
            }
            if begun.elapsed() > PATIENCE {
                return Err(RedisError::failed(redis.shown(), Cause::Timeout));
            }
            cursor = next;
        }
    }
}

/// Whether a name has the form of one that we give. What only begins as ours do is another's, whose prefix begins so.
fn is_ours(name: &str) -> bool {
    let name = name.strip_prefix(FENCING).unwrap_or(name);
    match name.split(':').collect::<Vec<_>>()[..] {
        ["host", session, attempt] => session.parse::<i64>().is_ok() && Uuid::try_parse(attempt).is_ok(),
        ["instance", id, "db_credentials"] => Uuid::try_parse(id).is_ok(),
        _ => false,
    }
}

/// A pattern of Redis that is met by `text` alone.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if r"\*?[]^-".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_begins_as_our_names_do_is_anothers() {
        let id = "51179767-693b-49a1-b753-380ca3bb39f7";
        for ours in [
            format!("host:215:{id}"),
            format!("instance:{id}:db_credentials"),
            format!("reconcile:fencing:instance:{id}:db_credentials"),
        ] {
            assert!(is_ours(&ours), "{ours}");
        }
        for theirs in [
            "host:reconcile:environment".to_owned(),
            format!("host:host:215:{id}"),
            format!("host:215:host:215:{id}"),
            format!("instance:instance:{id}:db_credentials"),
            format!("instance:{id}:db_credentials:host:1:{id}"),
            "host:215:x".to_owned(),
            "reconcile:fencing:reconcile:owner".to_owned(),
            format!("reconcile:fencing:reconcile:fencing:instance:{id}:db_credentials"),
        ] {
            assert!(!is_ours(&theirs), "{theirs}");
        }
    }
}
