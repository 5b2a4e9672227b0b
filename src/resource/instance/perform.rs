//! The way of an instance, outside: passwords handed over and set, work on the servers, tasks dispatched.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value as Json;

use super::handoff_key;
use super::names::Names;
use super::steps::{Receipt, Stage, Step, unplaced};
use crate::port::handoff::Record;
use crate::port::pool::{Order, Verifier, password};
use crate::port::task::{Sent, Task};
use crate::port::{Error, Ports, handoff};
use crate::resource::server::ServerName;
use crate::secret::Secret;
use crate::store::sql::now;

/// Performs one stage of each step, in one batch: the servers side by side, hand-offs and tasks in pipelines.
pub async fn perform(steps: &[(&Step, usize)], ports: &Ports) -> Vec<Result<Receipt, Error>> {
    let mut receipts: Vec<Result<Receipt, Error>> = steps.iter().map(|_| Ok(Receipt::Nothing)).collect();
    let stages: Vec<(usize, &Step, &Stage)> = steps
        .iter()
        .enumerate()
        .filter_map(|(place, (step, round))| Some((place, *step, step.stages.get(*round)?)))
        .collect();
    lose(&stages, ports, &mut receipts).await;
    let passwords = hand_over(&stages, ports, &mut receipts).await;
    on_servers(&stages, passwords, ports, &mut receipts).await;
    dispatch(&stages, ports, &mut receipts).await;
    receipts
}

/// Before it is noted that credentials are gone, their place is closed to appliers that were replaced: or one of them
/// might put there what another then sends.
async fn lose(stages: &[(usize, &Step, &Stage)], ports: &Ports, receipts: &mut [Result<Receipt, Error>]) {
    let lost: Vec<_> = stages.iter().filter(|(_, _, stage)| matches!(stage, Stage::Lose)).collect();
    if lost.is_empty() {
        return;
    }
    let keys: Vec<String> = lost.iter().map(|(_, step, _)| handoff_key(step.id)).collect();
    let cleared: Vec<Result<(), Error>> = match ports.handoff() {
        Ok(handoff) => {
            let cleared = handoff.clear_fenced(&keys, ports.fencing()).await;
            cleared.into_iter().map(|cleared| cleared.map_err(Error::from)).collect()
        }
        Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
    };
    for ((place, ..), cleared) in lost.into_iter().zip(cleared) {
        receipts[*place] = cleared.map(|()| Receipt::Nothing);
    }
}

/// A password that was handed over and is to be set.
struct Made {
    verifier: Verifier,
    credentials: Secret,
}

/// Puts new passwords into the hand-off. Set on the server they are afterwards: the other way round, a crash would
/// leave a password that nobody can ever know.
async fn hand_over(
    stages: &[(usize, &Step, &Stage)],
    ports: &Ports,
    receipts: &mut [Result<Receipt, Error>],
) -> HashMap<usize, Made> {
    let mut entries = Vec::new();
    let mut made = HashMap::new();
    let mut order = Vec::new();
    for (place, step, stage) in stages {
        if !matches!(stage, Stage::HandOver { .. }) {
            continue;
        }
        match credentials(step, ports) {
            Ok((entry, verifier)) => {
                made.insert(*place, Made { verifier, credentials: entry.secret.clone() });
                entries.push(entry);
                order.push(*place);
            }
            Err(error) => receipts[*place] = Err(error),
        }
    }
    if entries.is_empty() {
        return made;
    }
    let until = now() + chrono::TimeDelta::from_std(ports.credentials_life()).unwrap_or_default();
    let (put, store) = match ports.handoff() {
        Ok(handoff) => {
            let put = handoff.put_fenced(entries, ports.fencing()).await;
            // A store that cannot say which it is leaves unknown where these are, and has them all the same.
            let store = handoff.probe().home().await.unwrap_or_default();
            (put.into_iter().map(|put| put.map_err(Error::from)).collect(), store)
        }
        Err(error) => (order.iter().map(|_| Err(error.clone())).collect::<Vec<_>>(), None),
    };
    for (place, put) in order.into_iter().zip(put) {
        receipts[place] = put.map(|()| Receipt::HandedOver(Record { store: store.clone(), until: Some(until) }));
    }
    made.retain(|place, _| receipts[*place].is_ok());
    made
}

fn credentials(step: &Step, ports: &Ports) -> Result<(handoff::Entry, Verifier), Error> {
    let (_, place) = step.account()?;
    let password = password()?;
    let verifier = Verifier::of(&password)?;
    // Into a buffer that never grows, so that no copy of the password is left behind: a host has 255 letters at most.
    let mut text = String::with_capacity(2048);
    let (host, Names { database, role }) = (Json::from(place.host.as_str()), &place.names);
    text.push_str(&format!(
        r#"{{"db_host": {host}, "db_port": {}, "db_name": "{database}", "db_user": "{role}", "db_password": ""#,
        place.port
    ));
    text.push_str(password.expose());
    text.push_str(r#""}"#);
    let entry = handoff::Entry { key: handoff_key(step.id), secret: Secret::new(text), life: ports.credentials_life() };
    Ok((entry, verifier))
}

/// What is done on the servers, each server's orders in a row over one connection.
async fn on_servers(
    stages: &[(usize, &Step, &Stage)],
    mut passwords: HashMap<usize, Made>,
    ports: &Ports,
    receipts: &mut [Result<Receipt, Error>],
) {
    let mut handed_over = HashMap::new();
    let mut orders: BTreeMap<ServerName, (Vec<usize>, Vec<Order>)> = BTreeMap::new();
    for (place, step, stage) in stages.iter().filter(|(_, _, stage)| stage.is_on_server()) {
        if receipts[*place].is_err() {
            continue;
        }
        let (account, at) = match step.account() {
            Ok(found) => found,
            Err(error) => {
                receipts[*place] = Err(error);
                continue;
            }
        };
        let order = match stage {
            Stage::Create => Order::Create(account),
            Stage::Login { allowed } => Order::SetLogin { account, allowed: *allowed },
            _ => match passwords.remove(place) {
                Some(Made { verifier, credentials }) => {
                    handed_over.insert(*place, credentials);
                    Order::SetPassword { account, verifier }
                }
                None => continue,
            },
        };
        let (places, orders) = orders.entry(at.server.clone()).or_default();
        places.push(*place);
        orders.push(order);
    }
    let mut waiting = BTreeSet::new();
    let mut working = tokio::task::JoinSet::new();
    for (server, (places, orders)) in orders {
        let pool = ports.pool(&server.0);
        for place in &places {
            // Until the answer is there, nothing has been done.
            waiting.insert(*place);
        }
        let fencing = ports.fencing();
        working.spawn(async move {
            let done = match pool {
                Ok(pool) => {
                    pool.carry_out(&orders, fencing).await.into_iter().map(|done| done.map_err(Error::from)).collect()
                }
                Err(error) => orders.iter().map(|_| Err(error.clone())).collect::<Vec<_>>(),
            };
            (places, done)
        });
    }
    let mut unset = Vec::new();
    while let Some(ended) = working.join_next().await {
        let Ok((places, done)) = ended else { continue };
        for (place, done) in places.into_iter().zip(done) {
            waiting.remove(&place);
            if let Err(error) = done {
                unset.extend(handed_over.remove(&place).map(|credentials| (place, credentials)));
                receipts[place] = Err(error);
            }
        }
    }
    for place in waiting {
        receipts[place] = Err(Error::Interrupted);
    }
    withdraw(stages, &unset, ports).await;
}

/// Takes back what was handed over and then not set, but nothing that another applier has handed over since. Where even
/// that fails, the next try overwrites it.
async fn withdraw(stages: &[(usize, &Step, &Stage)], unset: &[(usize, Secret)], ports: &Ports) {
    let Ok(handoff) = ports.handoff() else { return };
    for (place, credentials) in unset {
        let Some((_, step, _)) = stages.iter().find(|(at, _, _)| at == place) else { continue };
        let withdrawn = handoff.withdraw(&handoff_key(step.id), credentials).await;
        if let Err(error) = withdrawn {
            tracing::warn!("credentials that were not set stay in the hand-off until they expire: {error}");
        }
    }
}

async fn dispatch(stages: &[(usize, &Step, &Stage)], ports: &Ports, receipts: &mut [Result<Receipt, Error>]) {
    let mut tasks = Vec::new();
    let mut places = Vec::new();
    for (place, step, stage) in stages {
        let Stage::Dispatch { number } = stage else { continue };
        match task(step, *number, ports).await {
            Ok(Some(task)) => {
                places.push((*place, task.id));
                tasks.push(task);
            }
            Ok(None) => receipts[*place] = Ok(Receipt::Moved),
            Err(error) => receipts[*place] = Err(error),
        }
    }
    if tasks.is_empty() {
        return;
    }
    let sent = match ports.dispatcher() {
        Ok(dispatcher) => dispatcher.send(tasks).await.into_iter().map(|sent| sent.map_err(Error::from)).collect(),
        Err(error) => places.iter().map(|_| Err(error.clone())).collect::<Vec<_>>(),
    };
    for ((place, id), sent) in places.into_iter().zip(sent) {
        receipts[place] = sent.map(|sent| match sent {
            Sent::Now | Sent::Before => Receipt::Dispatched(id),
            Sent::NoCredentials => Receipt::Moved,
        });
    }
}

/// The task, with the credentials in it where the broker cannot see the hand-off. `None`: they are gone.
async fn task(step: &Step, number: i64, ports: &Ports) -> Result<Option<Task>, Error> {
    let id = step.task(ports.owner().identity(), number).ok_or_else(|| unplaced(step.id))?;
    let credentials_key = handoff_key(step.id);
    let dispatcher = ports.dispatcher()?;
    let inline = match dispatcher.wants_credentials() && dispatcher.sent(&[id]).await? != [true] {
        false => None,
        true => match ports.handoff()?.read(&credentials_key).await? {
            Some(secret) => Some(secret),
            None => return Ok(None),
        },
    };
    Ok(Some(Task { id, instance: step.id.0, credentials_key, inline, fencing: ports.fencing() }))
}

/// After the record: credentials that went along and could not be taken out by the broker are cleared away. That it
/// fails hurts nobody, for they expire by themselves. So does the mark of the task, which stays: an applier that was
/// paused before it sent may wake at any time.
pub async fn settle(steps: &[(&Step, usize)], ports: &Ports) {
    let is_sent = |(step, round): &(&Step, usize)| {
        matches!(step.stages.get(*round), Some(Stage::Dispatch { .. })).then(|| handoff_key(step.id))
    };
    let keys: Vec<String> = steps.iter().filter_map(is_sent).collect();
    let (Ok(dispatcher), false) = (ports.dispatcher(), keys.is_empty()) else { return };
    if !dispatcher.wants_credentials() {
        return;
    }
    let Ok(handoff) = ports.handoff() else { return };
    for key in keys {
        if let Err(error) = handoff.discard(&key).await {
            tracing::warn!("credentials that were dispatched stay in the hand-off until they expire: {error}");
        }
    }
}
