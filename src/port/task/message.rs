//! A task as it lies in the queue: Celery's message protocol 2 over Redis, and what a result looks like.
//!
//! Source of the format: Celery's documentation, "Message Protocol", version 2; kombu's virtual transport for the
//! envelope. An entry of the list named like the queue is
//!
//! ```json
//! {"body": "<base64 of [args, kwargs, embed]>", "content-encoding": "utf-8", "content-type": "application/json",
//!  "headers": {"task": …, "id": …}, "properties": {"correlation_id": …, "delivery_tag": …}}
//! ```
//!
//! Workers log `argsrepr` and `kwargsrepr`: the latter is masked.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Arguments, Credentials, Outcome, Style, Task};
use crate::port::redis::Redis;
use crate::secret::Secret;

/// Dispatches one task.
///
/// `KEYS`: the credentials, the mark, the queue. `ARGV`: the body before and behind the credentials, the message before
/// and behind the body, the life of the mark in seconds, the mode, and what the mode needs: the credentials (`given`), or
/// how long they are to wait (`reference`). Base64 is written here because only here are the credentials known: Redis'
/// Lua has none.
pub(super) const SCRIPT: &str = r#"
local function base64(text)
  local letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  local function letter(n) return string.sub(letters, n % 64 + 1, n % 64 + 1) end
  local out = {}
  for at = 1, #text, 3 do
    local a, b, c = string.byte(text, at, at + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    out[#out + 1] = letter(math.floor(bits / 262144)) .. letter(math.floor(bits / 4096))
      .. (b and letter(math.floor(bits / 64)) or '=') .. (c and letter(bits) or '=')
  end
  return table.concat(out)
end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'before' end
local credentials = ''
if ARGV[6] == 'given' then
  credentials = ARGV[7]
elseif ARGV[6] == 'inline' then
  credentials = redis.call('GET', KEYS[1])
elseif redis.call('EXPIRE', KEYS[1], ARGV[7]) == 0 then
  credentials = false
end
if not credentials then return 'gone' end
redis.call('SET', KEYS[2], '1', 'EX', ARGV[5])
redis.call('LPUSH', KEYS[3], ARGV[3] .. base64(ARGV[1] .. credentials .. ARGV[2]) .. ARGV[4])
if ARGV[6] == 'inline' then redis.call('DEL', KEYS[1]) end
return 'now'
"#;

/// The message with gaps where the credentials and the body go.
pub(super) struct Parts {
    /// The body before and behind the credentials.
    pub head: String,
    pub tail: String,
    /// The message before and behind the body.
    pub envelope: (String, String),
}

pub(super) fn parts(style: &Style, redis: &Redis, task: &Task) -> Parts {
    let Task { id, instance, credentials_key, inline: _ } = task;
    let instance = instance.to_string();
    let embed = json!({ "callbacks": null, "errbacks": null, "chain": null, "chord": null });
    let (args, named) = match style.arguments {
        Arguments::Positional => (json!([instance]), String::new()),
        Arguments::Keyword => (json!([]), format!(r#""instance_id": "{instance}", "#)),
    };
    let (head, tail) = match style.credentials {
        Credentials::Inline => (format!(r#"[{args}, {{{named}"db_credentials": "#), format!("}}, {embed}]")),
        Credentials::Reference { .. } => {
            let key = Json::from(redis.key(credentials_key));
            (format!(r#"[{args}, {{{named}"db_credentials": {key}"#), format!("}}, {embed}]"))
        }
    };
    let headers = json!({
        "lang": "py",
        "task": style.task,
        "id": id,
        "shadow": null,
        "eta": null,
        "expires": null,
        "group": null,
        "group_index": null,
        "retries": 0,
        "timelimit": [null, null],
        "root_id": id,
        "parent_id": null,
        "argsrepr": match style.arguments {
            Arguments::Positional => format!("('{instance}',)"),
            Arguments::Keyword => "()".to_owned(),
        },
        "kwargsrepr": "<redacted>",
        "origin": "reconcile",
        "ignore_result": false,
        "replaced_task_nesting": 0,
        "stamped_headers": null,
        "stamps": {},
    });
    let properties = json!({
        "correlation_id": id,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": { "exchange": "", "routing_key": style.queue },
        "priority": 0,
        "body_encoding": "base64",
        // One for each push, as kombu does: the transport tells deliveries apart by it.
        "delivery_tag": Uuid::new_v4(),
    });
    let rest = format!(
        r#"", "content-encoding": "utf-8", "content-type": "application/json", "headers": {headers}, "properties": {properties}}}"#
    );
    Parts { head, tail, envelope: (r#"{"body": ""#.to_owned(), rest) }
}

/// What the entry of a result backend says. Of a failure only the exception's name is taken.
pub(super) fn outcome(meta: Option<Secret>) -> Outcome {
    let Some(meta) = meta else { return Outcome::Pending };
    let Ok(meta) = serde_json::from_str::<Json>(meta.expose()) else { return Outcome::Pending };
    match meta["status"].as_str() {
        Some("SUCCESS") => Outcome::Success,
        Some("FAILURE" | "REVOKED") => {
            let name = meta["result"]["exc_type"].as_str().unwrap_or("an exception");
            let plain = |letter: &char| letter.is_alphanumeric() || "._".contains(*letter);
            Outcome::Failure { exception: name.chars().filter(plain).take(100).collect() }
        }
        _ => Outcome::Pending,
    }
}
