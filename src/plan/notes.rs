//! What a reader should know and that asks for no change: keys and GUIDs that went out of use, and what cannot be known
//! from here. What concerns many for one reason is said once.

use std::collections::BTreeMap;

use super::{Keys, Terms};
use crate::change::ResourceId;
use crate::kinds::{Desired, Observed};
use crate::resource::instance::phase::Phase;
use crate::resource::session::SessionId;
use crate::resource::{host, instance};

/// So many are named of those that a note concerns.
const NAMED: usize = 3;

/// Notes in the order of the resources that they stand at.
pub(super) fn all(desired: &Desired, observed: &Observed, terms: &Terms) -> Vec<(ResourceId, String)> {
    let mut notes = Notes::default();
    let is_meant = |id: &ResourceId| terms.target.as_ref().is_none_or(|target| target == id);
    for (session, host) in desired.hosts.keys().filter_map(|id| Some((id, observed.hosts.get(id)?))) {
        let id = ResourceId::new(host::KIND, session);
        if !is_meant(&id) || !host.is_active || host.revoked_at.is_some() {
            continue;
        }
        notes.of_key(&id, host, &terms.keys);
        if let Some(why) = host.unknown() {
            notes.once(why, id.clone());
        }
        notes.each.extend(expired(*session, host, desired, terms).map(|note| (id, note)));
    }
    if let Some(trouble) = &observed.results_trouble {
        let waits = observed.instances.iter().filter(|(_, instance)| instance.phase == Phase::Provisioning);
        let ids = waits.map(|(key, _)| ResourceId::new(instance::KIND, key)).filter(|id| is_meant(id));
        ids.for_each(|id| notes.once(format!("unknown from here whether the worker is done: {trouble}"), id));
    }
    notes.told()
}

/// That its GUID has expired, and what gives another.
fn expired(session: SessionId, host: &host::Observed, desired: &Desired, terms: &Terms) -> Option<String> {
    if host.expires_at.is_none_or(|expires| terms.now < expires) {
        return None;
    }
    let expiry = desired.hosts.get(&session).and_then(|declared| declared.value.expiry.flatten());
    let way_out = match expiry {
        // Another GUID would have expired as well.
        Some(host::Expiry::At(at)) if at <= terms.now => "write a later expires_at",
        _ => "raise rotation for a new one",
    };
    Some(format!("its GUID has expired; {way_out}"))
}

#[derive(Default)]
struct Notes {
    each: Vec<(ResourceId, String)>,
    /// Those that a note concerns, by its text.
    shared: BTreeMap<String, Vec<ResourceId>>,
}

impl Notes {
    fn once(&mut self, text: String, id: ResourceId) {
        self.shared.entry(text).or_default().push(id);
    }

    /// A hash that was made with another key than the current one, or whose key is not here.
    fn of_key(&mut self, id: &ResourceId, host: &host::Observed, keys: &Keys) {
        match (keys, &host.key_id) {
            (Keys::Unusable { reason, hint }, _) => {
                self.once(format!("its GUID cannot be verified here: {reason}; {hint}"), id.clone());
            }
            (Keys::Known(keys), Some(key)) if keys.first() != Some(key) && keys.contains(key) => {
                let current = keys.first().map_or("", String::as_str);
                let text = format!("its hash was made with the retired key {key}; the next rotation uses {current}");
                self.each.push((id.clone(), text));
            }
            (Keys::Known(keys), Some(key)) if !keys.contains(key) => {
                let text = format!("its key {key} is not in the ring: its GUID cannot be verified until it is");
                self.once(text, id.clone());
            }
            (Keys::Known(_) | Keys::Made, _) => {}
        }
    }

    fn told(self) -> Vec<(ResourceId, String)> {
        let Notes { each: mut told, shared } = self;
        for (text, mut ids) in shared {
            let first = ids.remove(0);
            let named: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
            let more = if ids.len() > NAMED { ", …" } else { "" };
            told.push(match ids.len() {
                0 => (first, text),
                count => (first, format!("{text}; the same of {count} more: {}{more}", named.join(", "))),
            });
        }
        told
    }
}
