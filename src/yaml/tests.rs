//! What the reader takes, what it reports, and how that looks.

mod awkward;
mod hostile;
mod rendered;
mod taken;

use std::sync::Arc;
use std::time::Duration;

use super::field::{Field, Section};
use super::{Read, read};
use crate::change::Kind;

const DAY: Duration = Duration::from_secs(86_400);

/// Sections in the likeness of the real ones.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        kind: Kind { name: "session", plural: "sessions" },
        about: "Live teaching sessions.",
        fields: &[
            Field::int("id", 1, i64::MAX).required().about("The natural key."),
            Field::text("title", 1, 20).about("What it is called."),
            Field::word("status", &["active", "inactive", "ended"]).default("active").about("Whether it is held."),
            Field::time("expires_at").nullable().about("When it ends; null for never."),
        ],
        exclusive: &[],
    },
    Section {
        kind: Kind { name: "host", plural: "hosts" },
        about: "The one secret that opens a session.",
        fields: &[
            Field::int("session", 1, i64::MAX).required().about("The session's id."),
            Field::int("rotation", 1, 1_000).default("1").about("Raise it to rotate."),
            Field::text("reason", 0, 200).about("Why."),
            Field::duration("expires_in", Duration::from_secs(60), DAY.saturating_mul(365))
                .about("Counted from the rotation."),
            Field::time("expires_at").about("Instead of expires_in."),
            Field::word("missing_session", &["error", "create"]).nullable().about("What to do without its session."),
            Field::flag("active").default("true").about("Whether it opens."),
        ],
        exclusive: &[("expires_in", "expires_at")],
    },
    Section {
        kind: Kind { name: "instance", plural: "instances" },
        about: "Customers' databases.",
        fields: &[
            Field::uuid("id").required().about("The natural key."),
            Field::name("name").about("Its name."),
            Field::text("note", 0, 200).about("For people."),
        ],
        exclusive: &[],
    },
];

pub(crate) const LIMIT: usize = 16 * 1024 * 1024;

fn reading(text: impl AsRef<[u8]>) -> Read {
    read(Arc::from("state/a.yaml"), text.as_ref().to_vec(), LIMIT, SECTIONS)
}

/// The problems of a file as a terminal shows them.
fn rendered(text: impl AsRef<[u8]>) -> String {
    reading(text).problems.render(false, 120)
}
