//! A task as it lies in the queue: Celery's protocol 2, all but the credentials.
//!
//! What follows is what Celery 5.7 writes. The credentials are spliced in between `body_head` and `body_tail`, and the
//! Base64 of the whole between `envelope_head` and `envelope_tail`.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Arguments, Credentials, Style};
use crate::guard::Owner;

/// Stands where the credentials would, in what a worker logs and a monitor shows.
const MASKED: &str = "<redacted>";

/// One message, around its credentials.
pub(super) struct Message {
    pub(super) envelope_head: &'static str,
    pub(super) body_head: String,
    pub(super) body_tail: String,
    pub(super) envelope_tail: String,
}

impl Message {
    /// The message for the task `id`, about `instance`, from `owner`.
    pub(super) fn new(style: &Style, owner: &Owner, id: Uuid, instance: Uuid) -> Self {
        let Style { task, queue, prefix: _, arguments, credentials } = style;
        let name = match credentials {
            Credentials::Inline => "db_credentials",
            Credentials::Reference { life: _ } => "db_credentials_key",
        };
        let options = json!({"callbacks": null, "errbacks": null, "chain": null, "chord": null});
        // A UUID is plain in JSON as in Python.
        let (body_head, body_tail, argsrepr, kwargsrepr) = match arguments {
            Arguments::Keyword => (
                format!("[[\"{instance}\"], {{\"{name}\": "),
                format!("}}, {options}]"),
                format!("('{instance}',)"),
                MASKED.to_owned(),
            ),
            Arguments::Positional => (
                format!("[[\"{instance}\", "),
                format!("], {{}}, {options}]"),
                format!("('{instance}', '{MASKED}')"),
                "{}".to_owned(),
            ),
        };
        let rest = json!({
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers(task, owner, id, &argsrepr, &kwargsrepr),
            "properties": {
                "correlation_id": id,
                // Nobody waits for an answer: results are read from the backend.
                "reply_to": "",
                "argsrepr": argsrepr,
                "kwargsrepr": kwargsrepr,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": Uuid::new_v4(),
            },
        });
        let rest = rest.to_string();
        let members = rest.strip_prefix('{').unwrap_or(&rest);
        Self { envelope_head: r#"{"body":""#, body_head, body_tail, envelope_tail: format!("\",{members}") }
    }
}

fn headers(task: &str, owner: &Owner, id: Uuid, argsrepr: &str, kwargsrepr: &str) -> Value {
    json!({
        "lang": "py",
        "task": task,
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
        "argsrepr": argsrepr,
        "kwargsrepr": kwargsrepr,
        "origin": "reconcile",
        // Ours: a worker finds it as `self.request.reconcile_environment`, and may refuse another environment's task.
        "reconcile_environment": owner.to_string(),
        "ignore_result": null,
        "replaced_task_nesting": 0,
        "stamped_headers": null,
        "stamps": {},
    })
}
