//! Instances by command: provisioned, tried again, forgotten, and their credentials taken.

use std::time::Duration;

use super::by_hand::Done;
use super::{Focus, Picture, Wanted, World};
use crate::change::{Blocked, Change, ResourceId, Revision, Width, hanging};
use crate::failure::{Failure, Result};
use crate::kinds::{Step, protected};
use crate::plan::{self, Plan};
use crate::resource::Resource;
use crate::resource::instance::by_hand::{Intent, Met};
use crate::resource::instance::steps;
use crate::resource::instance::{Instance, InstanceId, KIND, Observed, Provision, handoff_key};
use crate::secret::Secret;
use crate::store::sql::now;
use crate::store::{Authority, Entry, journal};

/// Rows may move under a command; it then looks again, so many times.
const ATTEMPTS: u64 = 6;

/// What a forgotten instance leaves behind.
#[derive(Debug)]
pub struct Left {
    pub id: ResourceId,
    name: String,
    /// Database, owner, server, and its address.
    database: Option<(String, String, String, String)>,
}

impl Left {
    /// What cannot be undone wants the instance's name typed again.
    ///
    /// Errors: it is another name.
    pub fn confirm(&self, typed: &str) -> Result<()> {
        match typed == self.name {
            true => Ok(()),
            false => Err(Failure::conflict(format!("that is not the name of {}, and nothing was done", self.id))
                .hint("it is in its file, and `reconcile explain` shows it; or give it as --name NAME")),
        }
    }

    /// Where the database still is.
    pub fn text(&self, width: Width) -> String {
        match &self.database {
            Some((database, owner, server, address)) => {
                hanging(
                    "",
                    &format!(
                        "Its database {database} still lies on {server} ({address}), owned by {owner}: nothing here drops it."
                    ),
                    0,
                    width,
                ) + "\n"
            }
            None => "No database of it is known here.\n".to_owned(),
        }
    }
}

impl World {
    /// What would be left of an instance that is forgotten.
    ///
    /// Errors: there is no such instance.
    pub async fn left_behind(&self, id: InstanceId) -> Result<Left> {
        let address = ResourceId::new(KIND, id);
        let picture = self.glimpse_of_pools().await?;
        let Some(instance) = picture.observed.instances.get(&id) else {
            return Err(
                Failure::missing(format!("there is no {address}")).hint("`reconcile status` shows what there is")
            );
        };
        let server = instance.server_id();
        let server = picture.observed.servers.values().find(|row| Some(row.id) == server);
        let database = instance.allocation.as_ref().zip(server).map(|(allocation, row)| {
            let profile = &row.profile;
            let address = format!("{}:{}", profile.host, profile.port);
            (allocation.database.clone(), allocation.role.clone(), profile.name.to_string(), address)
        });
        Ok(Left { id: address, name: instance.profile.name.clone(), database })
    }

    /// Carries the intent out; `None`: it was fulfilled already.
    ///
    /// Errors: why it cannot be done, and the way out.
    pub async fn instance_by_hand(&self, intent: &Intent) -> Result<Option<Done>> {
        let context = self.by_user(Some(intent.by.clone()));
        for attempt in 0..ATTEMPTS {
            // As the database has it, whatever the files say, and before they are read.
            self.may_work_on(&intent.address()).await?;
            let wanted = self.read().await?;
            let picture = self.look(Focus::Pools(&wanted.desired), now()).await?;
            let Some(change) = self.intended(intent, &wanted, &picture)? else { return Ok(None) };
            let action = change.action;
            let change = change.map_step(|step| Step::Instance(Box::new(step)));
            let mut report = self.apply_by_hand(change, &context, &picture).await?;
            if let Some((id, why)) = report.failed.pop() {
                return Err(Failure::unavailable(format!("{id}: {why}")));
            }
            if report.conflicts.is_empty() {
                return Ok(report.lines.pop().map(|told| Done { action, told, attempt: None }));
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..40) * (attempt + 1))).await;
        }
        Err(Failure::conflict(format!("{} kept changing while it was to be written", intent.address()))
            .hint("try again"))
    }

    /// What a command begins, runs would have to go on with.
    ///
    /// Errors: they may not: it is suspended, or protected.
    async fn may_work_on(&self, id: &ResourceId) -> Result<()> {
        let picture = self.glimpse_of_pools().await?;
        let exists = picture.observed.has(id);
        let protected = || (exists && picture.ledger.protected.contains(id)).then(|| protected(id.clone(), None));
        match picture.ledger.suspension(id).or_else(protected) {
            Some(Blocked { id, obstacle, reason, hint }) => {
                let reason = format!("{id}: {reason}");
                Err(Blocked { id, obstacle, reason, hint }.into())
            }
            None => Ok(()),
        }
    }

    fn intended(&self, intent: &Intent, wanted: &Wanted, picture: &Picture) -> Result<Option<Change<steps::Step>>> {
        let observed = picture.observed.instances.get(&intent.id);
        let declared = wanted.desired.instances.get(&intent.id);
        let empty = Plan::of_nothing(self.header(Revision::default(), picture.is_new), now());
        let servers = plan::pools::candidates(&empty, &wanted.desired, &picture.observed);
        let server = observed.and_then(Observed::server_id);
        let declared = declared.map(|declared| &declared.value);
        let met = Met {
            observed,
            server: servers.iter().find(|candidate| server.is_some() && candidate.id == server),
            environment: self.guard.environment().as_str(),
            has_broker: self.dispatcher.is_some(),
            is_held: declared.is_some_and(|instance| instance.provision == Some(Provision::Hold)),
        };
        let trouble = [("hand-off", &picture.observed.handoff_trouble), ("broker", &picture.observed.broker_trouble)];
        let change = intent.plan(&met)?;
        let needs = change.as_ref().map(|change| Instance::needs(&change.step));
        let needs = needs.unwrap_or_default();
        for ((what, trouble), needed) in trouble.into_iter().zip([needs.handoff, needs.broker]) {
            if let (true, Some(trouble)) = (needed, trouble) {
                return Err(Failure::unavailable(format!("the {what} cannot be used now: {trouble}"))
                    .hint("try again when it answers; see `reconcile doctor`"));
            }
        }
        Ok(change)
    }

    /// Takes an instance's credentials out of the hand-off, exactly once, as the JSON that was put there.
    ///
    /// Errors: there are none: they were taken, or have expired; or there is no such instance.
    pub async fn claim_credentials(&self, id: InstanceId, actor: Option<String>) -> Result<Secret> {
        let handoff = self.handoff().await?;
        let taken = handoff.take(&handoff_key(id)).await;
        self.note_bindings_by_hand(actor.clone()).await;
        let Some(taken) = taken? else {
            self.left_behind(id).await?;
            return Err(Failure::conflict(format!("no credentials of instance {id} wait in the hand-off"))
                .hint("raise credentials_rotation for new ones"));
        };
        let noted = async {
            let mut tx = self.database.begin(&Authority::ByHand, &self.by_user(actor)).await?;
            let id = ResourceId::new(KIND, id);
            let entry =
                Entry { id, actor: None, action: "claim", before: None, after: None, reason: None, origin: None };
            journal::write(&mut tx, &entry).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            taken.restore().await?;
            return Err(error.into());
        }
        let secret = taken.secret().clone();
        if let Err(error) = taken.finish().await {
            tracing::warn!("claimed credentials could not be deleted from the hand-off: {error}");
        }
        Ok(secret)
    }
}
