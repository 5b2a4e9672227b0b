//! How things stand, for people: the worst of each sort by name, and the rest as a number.

use chrono::{DateTime, Utc};

use super::{Known, Status};
use crate::change::{Width, hanging, moment, printable};
use crate::resource::server;
use crate::store::enforced::Unfollowed;
use crate::store::ledger::Suspension;
use crate::store::outbox::Waiting as Undelivered;

/// Lines of each sort in `status`: all of it is to fit on a screen.
const SHOWN: usize = 3;

/// A line: its name, and what it says.
type Line = (&'static str, String);

impl Status {
    /// For people, in lines of that width.
    pub fn text(&self, width: Width) -> String {
        let Self { environment, catalog, driver, repository, known } = self;
        let header = format!("environment {environment} · catalog {catalog} · {driver}");
        let mut text = format!("{}\n", hanging("", &header, 2, width));
        if let Some(repository) = repository {
            text.push_str(&format!("{}\n", hanging("  repository ", &printable(repository), 13, width)));
        }
        let Some(known) = known else {
            text.push_str("  nothing was applied yet: there is no schema\n");
            return text;
        };
        for (name, about) in runs(known).into_iter().chain(stock(known)) {
            text.push_str(&hanging(&format!("  {name:<10} "), &about, 13, width));
            text.push('\n');
        }
        text
    }
}

/// Who applies, how the last run went, and what is wrong.
fn runs(known: &Known) -> Vec<Line> {
    let Known { lease, last, unfollowed, failures: (failures, failing), suspensions, .. } = known;
    let holder = lease.holder.as_ref().map(|holder| format!("{} (fencing {})", printable(holder), lease.fencing));
    let mut lines = vec![("applier", holder.unwrap_or_else(|| "nobody".to_owned()))];
    match last {
        None => lines.push(("last turn", "none yet".to_owned())),
        Some(turn) => {
            let (at, revision) = (moment(turn.finished_at), printable(&turn.revision));
            lines.push(("last turn", format!("{at} @ {revision}: {}", printable(&turn.outcome))));
            let summary = turn.summary.as_str().filter(|summary| !summary.is_empty());
            lines.extend(summary.map(|summary| ("its plan", printable(summary))));
            lines.push(("last good", turn.good_at.map_or_else(|| "never".to_owned(), moment)));
        }
    }
    lines.extend(unfollowed.iter().flat_map(files_lines));
    lines.extend(failures.iter().map(|(kind, name, failed)| {
        ("failed", format!("{}/{}: {}", printable(kind), printable(name), failed.sentence()))
    }));
    if let more @ 1.. = failing - failures.len() as i64 {
        lines.push(("failed", format!("and {more} more; `reconcile list --only failed` names them")));
    }
    lines.extend(suspensions.iter().take(SHOWN).map(|suspension| {
        let Suspension { kind, name, actor, reason, suspended_at } = suspension;
        let what = if kind.is_empty() { "everything".to_owned() } else { format!("{kind}/{}", printable(name)) };
        let (actor, reason) = (printable(actor), printable(reason));
        ("suspended", format!("{what} by {actor} since {}: {reason}", moment(*suspended_at)))
    }));
    lines.extend(and_more(suspensions.len()).map(|more| ("suspended", more)));
    lines
}

/// The servers and instances, and what waits for somebody.
fn stock(known: &Known) -> Vec<Line> {
    let Known { servers, phases, handoff_trouble, waiting, notifications, .. } = known;
    let mut lines: Vec<Line> = worst(servers).take(SHOWN).map(|server| ("server", pool_line(server))).collect();
    lines.extend(and_more(servers.len()).map(|more| ("server", more)));
    if !phases.is_empty() {
        let counts: Vec<String> = phases.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
        lines.push(("instances", counts.join(", ")));
    }
    let trouble = handoff_trouble.as_ref();
    lines.extend(trouble.map(|trouble| ("handoff", format!("cannot be asked: {}", printable(trouble)))));
    lines.extend(waits(waiting).map(|waits| ("handoff", waits)));
    lines.extend(notifications.iter().take(SHOWN).map(|Undelivered { target, messages, last_error }| {
        let count = if *messages == 1 { "1 message waits".to_owned() } else { format!("{messages} messages wait") };
        let why = last_error.as_ref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
        ("notify", format!("{}: {count}{why}", printable(target)))
    }));
    lines.extend(and_more(notifications.len()).map(|more| ("notify", more)));
    lines
}

/// What is enforced while the files cannot be followed, and the first of their problems.
fn files_lines(unfollowed: &Unfollowed) -> Vec<Line> {
    /// What fits on a screen beside the rest.
    const MOST: usize = 5;
    let Unfollowed { problems, count, .. } = unfollowed;
    let mut lines = vec![("files", unfollowed.line())];
    lines.extend(problems.iter().take(MOST).map(|problem| ("problem", printable(problem))));
    let shown = problems.len().min(MOST) as u64;
    if *count > shown {
        lines.push(("problem", format!("and {} more; `reconcile validate` shows all", count - shown)));
    }
    lines
}

/// The secrets that wait, as one line: who would read a thousand?
fn waits(waiting: &[(String, DateTime<Utc>)]) -> Option<String> {
    let first = waiting.iter().map(|(_, until)| *until).min().map(moment)?;
    Some(match waiting {
        [(address, _)] => format!("{address} waits to be claimed until {first}"),
        many => format!("{} secrets wait to be claimed, the first until {first}", many.len()),
    })
}

/// The servers, those first that are not well, then by how full they are.
fn worst(servers: &[server::Observed]) -> impl Iterator<Item = &server::Observed> {
    let rank = |server: &&server::Observed| {
        let max = server.profile.max_instances.max(1);
        (server.health.last_error.is_none(), -(server.allocated.saturating_mul(100) / max))
    };
    let mut sorted: Vec<&server::Observed> = servers.iter().collect();
    sorted.sort_by_key(rank);
    sorted.into_iter()
}

/// What there is no room for.
fn and_more(all: usize) -> Option<String> {
    all.checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!("and {more} more"))
}

/// `postgres-pool-1  ██████████░░░░░░░░░░  25/50  healthy`
fn pool_line(server: &server::Observed) -> String {
    const CELLS: i64 = 20;
    let (fill, max) = (server.allocated, server.profile.max_instances.max(1));
    // Of what is not empty at least one cell shows, and of what is not full at least one does not.
    let cells = (fill * CELLS / max).clamp(i64::from(fill > 0), if fill < max { CELLS - 1 } else { CELLS });
    let bar: String = (0..CELLS).map(|cell| if cell < cells { '█' } else { '░' }).collect();
    let condition = server.health.condition.word();
    let mut line = format!("{} {bar} {fill}/{max} {condition}", server.profile.name);
    if server.profile.status == server::Status::Maintenance {
        line.push_str(", in maintenance");
    }
    if let Some(error) = &server.health.last_error {
        line.push_str(&format!(": {}", printable(error)));
    }
    line
}
