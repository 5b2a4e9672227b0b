//! `reconcile host …`: the console tool's work, by hand.

use std::io::Read;

use super::args::HostVerb;
use super::interrupt::asking;
use super::print::{Terminal, out, out_once, working};
use crate::change::{Blocked, Width, moment};
use crate::failure::{Failure, Result};
use crate::plan::render::PlanLine;
use crate::port::guid::HostGuid;
use crate::resource::host::by_hand::{Intent, Wish};
use crate::resource::session::SessionId;
use crate::secret::Secret;
use crate::turn::World;
use crate::turn::by_hand::Done;
use crate::turn::hosts::Duplicates;

pub async fn host(world: &World, verb: &HostVerb, terminal: Terminal) -> Result<u8> {
    if !matches!(verb, HostVerb::Create { .. }) {
        world.require().await?;
    }
    match verb {
        HostVerb::Create { session_id, created_by, dry_run, force_new, rotation_reason, expires_in } => {
            let wish = Wish::Create { expires_in: *expires_in, force_new: *force_new };
            let intent = intent(*session_id, created_by, rotation_reason, wish);
            match dry_run {
                true => preview(world, &intent, terminal).await,
                false => create(world, &intent, terminal).await,
            }
        }
        HostVerb::Rotate { session_id, rotated_by, rotation_reason, expires_in } => {
            let wish = Wish::Rotate { expires_in: *expires_in };
            let intent = intent(*session_id, rotated_by, rotation_reason, wish);
            let told = told(&intent, by_hand(world, &intent).await?, terminal.width);
            out(&format!("{told}The new GUID waits to be claimed: reconcile host claim {session_id}\n"))?;
            Ok(0)
        }
        HostVerb::Revoke { session_id, revoked_by, reason } => {
            let intent = intent(*session_id, revoked_by, reason, Wish::Revoke);
            out(&told(&intent, by_hand(world, &intent).await?, terminal.width))?;
            Ok(0)
        }
        HostVerb::Claim { session_id } => {
            let guid = working("claiming", &world.progress, world.claim(SessionId(*session_id), None)).await?;
            show(&guid)
        }
        HostVerb::Verify { session_id } => verify(world, SessionId(*session_id)).await,
        HostVerb::Consolidate { dry_run } => consolidate(world, *dry_run).await,
    }
}

fn intent(session: i64, by: &str, reason: &Option<String>, wish: Wish) -> Intent {
    Intent { session: SessionId(session), by: by.to_owned(), actor: by.to_owned(), reason: reason.clone(), wish }
}

fn where_to(world: &World) -> String {
    let (environment, database) = (world.guard.environment(), &world.database);
    format!("environment {environment} · catalog {} · {}", database.catalog(), database.driver())
}

async fn preview(world: &World, intent: &Intent, terminal: Terminal) -> Result<u8> {
    let change = working("connecting", &world.progress, world.preview_by_hand(intent)).await?;
    out(&format!("{}\n", where_to(world)))?;
    match change {
        Some(change) => out(&format!(
            "{}Dry run: nothing was changed, and no GUID was made.\n",
            PlanLine::of_change(&change).text(terminal.width)
        ))?,
        None => out("Nothing to do.\n")?,
    }
    Ok(0)
}

async fn by_hand(world: &World, intent: &Intent) -> Result<Option<Done>> {
    working("writing", &world.progress, world.by_hand(intent)).await
}

fn told(intent: &Intent, done: Option<Done>, width: Width) -> String {
    done.map_or_else(|| format!("  {} is so already\n", intent.id()), |done| done.told.text(width))
}

async fn create(world: &World, intent: &Intent, terminal: Terminal) -> Result<u8> {
    if let Some(migrated) = world.prepare().await? {
        super::setup::told(&migrated);
    }
    let done = by_hand(world, intent).await?;
    let attempt = done.as_ref().and_then(|done| done.attempt);
    terminal.note(&format!("{}\n{}", where_to(world), told(intent, done, terminal.width_err)));
    let minted = || Failure::error(format!("no GUID was made for session {}", intent.session));
    // Through the same hand-off as every other GUID: if we die here, it can still be claimed.
    let (guid, is_current) = world.claim_own(intent.session, attempt.ok_or_else(minted)?, &intent.actor).await?;
    terminal.note(match is_current {
        true => "This GUID is shown once, and is nowhere else:\n",
        false => "Another command has replaced this GUID already; it opens nothing any more:\n",
    });
    show(&guid)
}

/// The one place where a GUID leaves for its reader.
fn show(guid: &Secret) -> Result<u8> {
    out_once(guid.expose(), "`reconcile host rotate`").map(|()| 0)
}

async fn verify(world: &World, session: SessionId) -> Result<u8> {
    /// Any spelling of a GUID is shorter.
    const MOST: u64 = 256;
    let mut text = zeroize::Zeroizing::new(String::new());
    let read = asking(|| std::io::stdin().lock().take(MOST).read_to_string(&mut text));
    read.map_err(|error| {
        Failure::error(format!("stdin cannot be read: {error}"))
            .hint("echo GUID | reconcile host verify --session-id N")
    })?;
    let guid = HostGuid::parse(&text).ok_or_else(Failure::silent)?;
    match world.verify(session, &guid).await? {
        true => Ok(0),
        false => Err(Failure::silent()),
    }
}

async fn consolidate(world: &World, dry_run: bool) -> Result<u8> {
    let Duplicates { found, left } = match dry_run {
        true => world.duplicates().await?,
        false => world.consolidate().await?,
    };
    let mut text = format!("{}\n", where_to(world));
    for duplicate in &found {
        let is_left = left.contains_key(&duplicate.session);
        let fate = if is_left {
            "is left as it is"
        } else if duplicate.stays {
            "stays active"
        } else {
            "deactivated"
        };
        let (session, id, at) = (duplicate.session, duplicate.host_session_id, moment(duplicate.created_at));
        text.push_str(&format!("  session {session}: host session {id} of {at} {fate}\n"));
    }
    text.push_str(match (found.is_empty(), dry_run, left.is_empty()) {
        (true, ..) => "No session has more than one active host.\n",
        (false, true, _) => "Dry run: nothing was changed.\n",
        (false, false, true) => "Done. The index that allows one active host per session is in place.\n",
        (false, false, false) => "The index that allows one active host per session waits for those that are left.\n",
    });
    out(&text)?;
    if left.is_empty() {
        return Ok(0);
    }
    let hints = left.values().map(|Blocked { id, reason, hint, .. }| format!("{id}: {reason}; {hint}"));
    Err(Failure::conflict(format!("{} left as they are", left.len())).hints(hints))
}
