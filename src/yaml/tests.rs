//! What the reader takes, what it reports, and how that looks.

mod awkward;
pub(crate) mod differential;
mod hostile;
mod rendered;
pub(crate) mod rewritten;
mod secrets;
mod taken;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::field::{Field, Section};
use super::item::Entry;
use super::source::{Mark, Source};
use super::{Item, Problem, Problems, Sheet, read};
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

const FILE: &str = "state/a.yaml";

pub(crate) const LIMIT: usize = 16 * 1024 * 1024;

/// Keeps what it is given, with the place of everything.
#[derive(Debug, Default, PartialEq)]
struct Kept(Vec<Whole>);

#[derive(Clone, Debug, PartialEq)]
struct Whole {
    section: &'static Section,
    mark: Mark,
    entries: Vec<Entry<'static>>,
}

fn owned(entry: &Entry<'_>) -> Entry<'static> {
    let Entry { field, mark, value } = entry.clone();
    Entry { field, mark, value: value.into_owned() }
}

impl Sheet for Kept {
    fn insert(&mut self, section: &'static Section, item: &Item<'_>) -> Vec<Problem> {
        self.0.push(Whole { section, mark: item.mark, entries: item.entries.iter().map(owned).collect() });
        Vec::new()
    }

    fn wrong(&mut self, _: &'static Section, _: &Item<'_>) {}

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// What one file holds.
struct Reading {
    source: Option<Source<'static>>,
    kept: Kept,
    problems: Problems,
}

impl Reading {
    fn items(&self) -> Vec<Item<'_>> {
        let source = self.source.as_ref().unwrap();
        self.kept.0.iter().map(|whole| Item::new(whole.section, source, whole.mark, &whole.entries)).collect()
    }
}

fn reading(text: impl AsRef<[u8]>) -> Reading {
    let mut kept = Kept::default();
    let problems = read(Arc::from(FILE), text.as_ref(), LIMIT, SECTIONS, &mut kept);
    let text =
        str::from_utf8(text.as_ref()).ok().map(|text| Cow::Owned(text.trim_start_matches('\u{feff}').to_owned()));
    Reading { source: text.map(|text| Source { file: Arc::from(FILE), text }), kept, problems }
}

/// The problems of a file as a terminal shows them.
fn rendered(text: impl AsRef<[u8]>) -> String {
    reading(text).problems.render(false, 120)
}
