//! The main job: the daemon, `--plan`, `--once`, `--apply`.

use std::time::Duration;

use super::args::{Format, Global, Mode};
use super::print::{Terminal, out, out_json, working};
use super::{limited, only};
use crate::change::{ResourceId, Width, hanging, printable};
use crate::daemon;
use crate::daemon::signals::Signals;
use crate::failure::{Failure, Result};
use crate::log;
use crate::plan::budget::Force;
use crate::plan::render::{self, Looks, PlanLine, sentence};
use crate::plan::{Held, Summary};
use crate::store::Context;
use crate::store::lease::{self, Lease, Patience};
use crate::turn::saved::{self, SavedPlan};
use crate::turn::{Request, Turned, World};

/// Changes that a plan shows of each sort unless `--all` is given.
const MOST: usize = 200;
/// How long giving the lease back may take when the rest is given up.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is done under a lease that is taken for it alone.
enum Job {
    Turn(Request),
    Saved(Box<SavedPlan>, Option<Force>),
}

impl Job {
    async fn carry_out(&self, world: &World, lease: &Lease) -> Result<Turned> {
        match self {
            Self::Turn(request) => world.turn(lease, request).await,
            Self::Saved(saved, force) => world.apply_saved(lease, saved, force.clone()).await,
        }
    }
}

pub async fn run(world: World, mode: &Mode, global: &Global, terminal: Terminal) -> Result<u8> {
    let format = global.format;
    let reason = mode.reason.clone().filter(|_| mode.force);
    let force = reason.map(|reason| Force { reason });
    let request = Request { target: mode.target.clone(), force, ..Request::everything() };
    if let Some(target) = &mode.target {
        declared(&world, target).await?;
    }
    match (mode.plan, mode.once, &mode.apply) {
        (true, ..) => preview(&world, mode, &request, format, terminal).await,
        (_, true, _) => once(&world, mode, global, terminal, Job::Turn(request)).await,
        (_, _, Some(file)) => {
            let saved = Box::new(saved::read(file)?);
            once(&world, mode, global, terminal, Job::Saved(saved, request.force)).await
        }
        (false, false, None) => match (&mode.target, &request.force, mode.detailed_exitcode) {
            (None, None, false) => {
                only(format, &[Format::Text])?;
                let tell = |turned: &Turned| log::to_stdout(told(turned, terminal.width).as_bytes());
                daemon::serve::serve(world, &tell).await.map(|()| 0)
            }
            _ => Err(Failure::error("--target, --force and --detailed-exitcode go with --plan, --once or --apply")),
        },
    }
}

/// A target that no file names would otherwise be a plan without changes, as if all were well.
async fn declared(world: &World, target: &ResourceId) -> Result<()> {
    match world.read().await?.desired.place(target) {
        Some(_) => Ok(()),
        None => Err(Failure::error(format!("no file in {} declares {target}", world.config.state.display()))
            .hint(format!("`reconcile explain {target}` tells what is known of it"))),
    }
}

async fn preview(world: &World, mode: &Mode, request: &Request, format: Format, terminal: Terminal) -> Result<u8> {
    only(format, &[Format::Text, Format::Json, Format::Markdown])?;
    let plan = match &mode.out {
        None => {
            let (plan, wanted) = working("planning", &world.progress, world.preview(request)).await?;
            terminal.warned(&wanted.warnings);
            plan
        }
        Some(file) if file.as_os_str() == "-" => {
            return Err(Failure::error("--out wants a file, which --apply reads")
                .hint("`--plan --format json` prints the plan; to save one in a file of that name: --out ./-"));
        }
        Some(file) => {
            let (plan, saved) = working("planning", &world.progress, world.save(request)).await?;
            world.save_to(file, &saved)?;
            plan
        }
    };
    let most = if mode.all { usize::MAX } else { MOST };
    match format {
        Format::Json => out_json(&render::json(&plan))?,
        Format::Markdown => out(&render::markdown(&plan, most))?,
        Format::Text | Format::Csv => {
            out(&render::text(&plan, Looks { color: terminal.color, width: terminal.width, most }))?
        }
    }
    Ok(code(mode, &plan.summary(), plan.changes.len() as u64, &plan.held))
}

async fn once(world: &World, mode: &Mode, global: &Global, terminal: Terminal, job: Job) -> Result<u8> {
    only(global.format, &[Format::Text, Format::Json])?;
    let context = world.by_user(None);
    let mut lease = None;
    let mut signals = Signals::catch()?;
    let work = until_told(&mut signals, carry_out(world, &context, &job, &mut lease));
    let ended = limited(global.timeout, work).await;
    if let Some(lease) = lease {
        let release = async {
            tokio::select! {
                released = tokio::time::timeout(FAREWELL, lease.release(&world.database, &context)) => Some(released),
                () = signals.end() => None,
            }
        };
        let Some(released) = release.await else {
            return Err(
                Failure::error("ended before the lease was given back").hint("it passes on when it has expired")
            );
        };
        match (&ended, released) {
            (Ok(_), Ok(released)) => released?,
            (_, Ok(Ok(()))) => {}
            // Why it ended is said by the other error.
            (_, Ok(Err(error))) => tracing::debug!("the lease could not be released: {}", error.chain()),
            (_, Err(_)) => tracing::warn!("the lease could not be released in time; it passes on when it has expired"),
        }
    }
    let turned = ended?;
    terminal.warned(&turned.warnings);
    match global.format {
        Format::Json => out_json(&render::json(&turned.plan))?,
        _ => out(&told(&turned, terminal.width))?,
    }
    finish(mode, &turned)
}

/// Takes the lease into `taken`, where it is found however this ends, and does the job.
async fn carry_out(world: &World, context: &Context, job: &Job, taken: &mut Option<Lease>) -> Result<Turned> {
    if let Job::Saved(saved, _) = job {
        world.admit_saved(saved).await?;
    }
    // The files are read before anything is opened for writing: a bad file leaves no trace.
    drop(world.read().await?);
    if let Some(migrated) = world.prepare().await? {
        super::setup::told(&migrated);
    }
    let waiting = |other: &str| tracing::info!("the lease is held by {other}; looking whether it is alive");
    let holder = daemon::holder();
    let lease = lease::acquire(&world.database, context, &holder, world.config.lease, Patience::UntilAlive, waiting);
    let lease = taken.insert(working("taking the lease", &world.progress, lease).await?);
    let turned = working("applying", &world.progress, job.carry_out(world, lease)).await?;
    tell(world, lease, context).await;
    Ok(turned)
}

/// Gives up what is under way at Ctrl-C and at `SIGTERM`. A terminal that hangs up ends nothing.
async fn until_told<T>(signals: &mut Signals, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        ended = work => ended,
        () = signals.end() => Err(Failure::error("interrupted; what was applied by then stays")
            .hint("`reconcile --plan` shows what is left; the next turn goes on there")),
    }
}

/// Tells those who are to be told what has happened. What they do not take now waits for the next turn, or the daemon.
async fn tell(world: &World, lease: &Lease, context: &Context) {
    /// Whoever has typed the command waits for that.
    const LIMIT: Duration = Duration::from_secs(15);
    let authority = lease.authority();
    let telling = tokio::time::timeout(LIMIT, world.deliver(&authority, context));
    if let Ok(Err(failure)) = working("telling", &world.progress, telling).await {
        tracing::warn!("messages could not be delivered: {}", failure.line());
    }
}

fn finish(mode: &Mode, turned: &Turned) -> Result<u8> {
    let (report, held) = (&turned.report, &turned.plan.held);
    if !report.failed.is_empty() || !report.conflicts.is_empty() {
        let undone = report.undone().map(|(id, why)| format!("{id}: {why}"));
        let failure = Failure::error("not everything could be applied; the next run tries again");
        return Err(failure.hints(undone));
    }
    match held.as_slice() {
        [] => Ok(code(mode, &turned.plan.summary(), 0, held)),
        held if mode.detailed_exitcode => Ok(code(mode, &turned.plan.summary(), 0, held)),
        held => {
            let why: Vec<&str> = held.iter().map(|one| one.why.as_str()).collect();
            let approve = held
                .iter()
                .map(|one| format!("or let the daemon do it: `reconcile approve {} --reason R`", one.digest));
            Err(Failure::error(format!("not applied: {}", why.join("; ")))
                .hint("look at it with `reconcile --plan`; if it is meant: --force --reason R")
                .hints(approve))
        }
    }
}

/// What a turn did, as text.
fn told(turned: &Turned, width: Width) -> String {
    let Turned { plan, report, warnings: _, work: _, enforced: _ } = turned;
    let mut text = String::new();
    for line in &report.lines {
        text.push_str(&line.text(width));
    }
    if report.applied > report.lines.len() {
        let more = report.applied - report.lines.len();
        text.push_str(&format!("  … and {more} more; `reconcile history` has all\n"));
    }
    for blocked in plan.blocked.iter().take(MOST) {
        text.push_str(&PlanLine::of_blocked(blocked).text(width));
    }
    if let Some(note) = plan.lineage.note() {
        text.push_str(&format!("{}\n", hanging("", &printable(&note), 2, width)));
    }
    let summary = plan.summary();
    if report.applied == 0 && plan.changes.is_empty() && plan.blocked.is_empty() {
        text.push_str(&format!(
            "No changes. The database matches the desired state. {} unchanged.\n",
            summary.unchanged
        ));
    } else {
        let done = Summary { create: 0, update: 0, rotate: 0, resume: 0, ..summary };
        let rest = sentence(&done);
        let rest = rest.strip_prefix("nothing to change").unwrap_or(&rest);
        text.push_str(&format!("Applied: {} {}{rest}\n", report.applied, plural(report.applied)));
    }
    plan.held.iter().for_each(|held| text.push_str(&render::held_line(held, width)));
    text
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "change" } else { "changes" }
}

/// The exit code of a plan of which `pending` changes are still to be made.
fn code(mode: &Mode, summary: &Summary, pending: u64, held: &[Held]) -> u8 {
    match () {
        () if !mode.detailed_exitcode => 0,
        () if summary.blocked > 0 || !held.is_empty() => 4,
        () if pending > summary.drift => 2,
        () if pending > 0 => 5,
        () => 0,
    }
}
