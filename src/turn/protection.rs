//! What is protected, as far as a run looks: of a million sessions one bit each, and of those that stay as they were
//! nothing is asked.

use std::collections::HashSet;

use super::Focus;
use super::memory::Since;
use crate::change::ResourceId;
use crate::kinds::{self, Desired};
use crate::resource::Resource;
use crate::resource::roll::Marks;
use crate::resource::session::{Session, SessionId};
use crate::store::Snapshot;
use crate::store::error::Result;
use crate::store::protections::{self, Protection};

/// By address, what is protected but for the declared sessions; and these by their number.
pub(super) async fn read(snapshot: &mut Snapshot, focus: Focus<'_>) -> Result<(HashSet<ResourceId>, Marks)> {
    let mut found: HashSet<ResourceId> = protections::others(snapshot).await?.into_iter().filter_map(id).collect();
    let Some(desired) = focus.desired() else { return Ok((found, Marks::default())) };
    let lifted = desired.lifts.keys().filter(|id| id.kind == Session::KIND).map(|id| id.name.clone());
    let lifted: Vec<String> = lifted.collect();
    found.extend(protections::among(snapshot, Session::KIND, &lifted).await?.into_iter().filter_map(id));
    let sessions = match focus {
        Focus::Everything(_) | Focus::ToApply(_) => all(snapshot, desired).await?,
        Focus::Changed(_, since) => some(snapshot, desired, since).await?,
        Focus::Pools(_) | Focus::Session(_) => Marks::default(),
    };
    Ok((found, sessions))
}

/// One resource's protection, where it is protected.
pub(super) async fn of(snapshot: &mut Snapshot, id: &ResourceId) -> Result<Option<Protection>> {
    Ok(protections::among(snapshot, id.kind, std::slice::from_ref(&id.name)).await?.pop())
}

fn id(protection: Protection) -> Option<ResourceId> {
    let Protection { kind, name, actor: _, protected_at: _ } = protection;
    Some(ResourceId { kind: kinds::named(&kind)?, name })
}

async fn all(snapshot: &mut Snapshot, desired: &Desired) -> Result<Marks> {
    let declared = &desired.sessions;
    let (mut marks, mut hint) = (Marks::none(declared.len()), 0);
    let each = |name: &[u8]| {
        let id = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).map(SessionId);
        let number = id.and_then(|id| declared.number_after(&id, &mut hint));
        number.into_iter().for_each(|number| marks.set(number, true));
    };
    protections::sessions(snapshot, each).await?;
    Ok(marks)
}

/// Of the sessions that were looked at before it is known that the database has what their lines say.
async fn some(snapshot: &mut Snapshot, desired: &Desired, since: &Since) -> Result<Marks> {
    let declared = &desired.sessions;
    let mut marks = declared.protects().clone();
    let mut names = Vec::new();
    for id in &since.asked {
        if let Some(number) = declared.number(id) {
            marks.set(number, false);
            names.push(id.to_string());
        }
    }
    for Protection { name, .. } in protections::among(snapshot, Session::KIND, &names).await? {
        let number = name.parse().ok().and_then(|id| declared.number(&SessionId(id)));
        number.into_iter().for_each(|number| marks.set(number, true));
    }
    Ok(marks)
}
