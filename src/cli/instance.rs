//! `reconcile instance …`: what people do with one customer's instance by hand.

use super::args::InstanceVerb;
use super::handoff::ask;
use super::print::{Terminal, out, out_once, working};
use crate::failure::Result;
use crate::resource::instance::InstanceId;
use crate::resource::instance::by_hand::{Intent, Wish};
use crate::turn::World;
use crate::turn::instances::Left;

pub async fn instance(world: &World, verb: &InstanceVerb, terminal: Terminal) -> Result<u8> {
    world.require().await?;
    match verb {
        InstanceVerb::Provision { id, by } => {
            carry_out(world, Intent { id: *id, by: by.clone(), wish: Wish::Provision }, terminal).await
        }
        InstanceVerb::Retry { id, by } => {
            carry_out(world, Intent { id: *id, by: by.clone(), wish: Wish::Retry }, terminal).await
        }
        InstanceVerb::Forget { id, by, name } => {
            let left = working("connecting", &world.progress, world.left_behind(*id)).await?;
            confirm(&left, name.as_deref(), terminal)?;
            let told = carry_out(world, Intent { id: *id, by: by.clone(), wish: Wish::Forget }, terminal).await?;
            out(&left.text(terminal.width))?;
            Ok(told)
        }
        InstanceVerb::Claim { id } => {
            let credentials = working("claiming", &world.progress, world.claim_credentials(*id, None)).await?;
            out_once(credentials.expose(), "a higher credentials_rotation").map(|()| 0)
        }
    }
}

async fn carry_out(world: &World, intent: Intent, terminal: Terminal) -> Result<u8> {
    match working("applying", &world.progress, world.instance_by_hand(&intent)).await? {
        Some(done) => out(&done.told.text(terminal.width))?,
        None => out(&format!("  {} is so already\n", intent.address()))?,
    }
    Ok(0)
}

/// What cannot be undone wants the name typed again.
fn confirm(left: &Left, name: Option<&str>, terminal: Terminal) -> Result<()> {
    let typed = match name {
        Some(name) => name.to_owned(),
        None => ask(&format!("Type the name of {} to give its place back: ", left.id), terminal)?,
    };
    left.confirm(&typed)
}

/// An instance's id, bare or as an address.
pub fn parse(text: &str) -> std::result::Result<InstanceId, String> {
    let bare = text.strip_prefix("instance/").unwrap_or(text);
    uuid::Uuid::try_parse(bare).map(InstanceId).map_err(|_| "it is not the id of an instance: a UUID".to_owned())
}
