//! Every resource and its state: made from a plan, and kept small enough to be kept.
//!
//! A plan of a million changes is as large as a run. Of each resource no more than a few bytes are kept here, and what is
//! to be said of those that are not as declared up to a number; the files' own pages are shared with the reader of the
//! files, and sessions that no file names stay in the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::list::{Filter, Row};
use super::{Picture, Request, World};
use crate::change::{Blocked, ResourceId};
use crate::failure::Result;
use crate::kinds::{self, Desired, Key, Listed};
use crate::plan::lineage::Lineage;
use crate::plan::render::details;
use crate::plan::states::{self, Standing, Standings, State, States, Told};
use crate::plan::{Header, Held, Ledger, Plan, Planned};
use crate::resource::Resource;
use crate::resource::roll::Marks;
use crate::resource::session::Session;
use crate::store::ledger::Suspension;
use crate::yaml::Problems;

/// Notes of the plan that are kept.
const NOTES: usize = 1_000;

/// Every resource, at one moment.
pub struct Inventory {
    pub header: Header,
    /// Whether the commit may follow the one that was applied last.
    pub lineage: Lineage,
    pub made_at: DateTime<Utc>,
    /// Resources that the database has and no file names.
    pub unmanaged: u64,
    pub notes: Vec<(ResourceId, String)>,
    pub(super) desired: Desired,
    standings: Standings,
    changes: Vec<Planned>,
    held: Vec<Held>,
    blocked: Vec<Blocked>,
    /// What no file names, but for the sessions.
    others: Vec<Listed>,
    /// Of all that is known beside rows, what concerns single resources now.
    ledger: Ledger,
    /// Since when each is suspended, and everything.
    suspended: BTreeMap<ResourceId, DateTime<Utc>>,
    all_suspended: Option<DateTime<Utc>>,
    failed: BTreeSet<ResourceId>,
    /// How many there are in each state, in the order of [`State::ALL`].
    counts: [u64; State::ALL.len()],
}

impl World {
    /// Looks at everything, and writes nothing anywhere. Of so many resources that are to be changed it is kept how, and
    /// of so many that are blocked it is kept why. With what the files were read with.
    pub async fn inventory(&self, most: usize) -> Result<(Inventory, Problems)> {
        let (plan, wanted, picture) = self.preview_from(&Request::everything()).await?;
        Ok((Inventory::new(plan, wanted.desired, picture, most), wanted.warnings))
    }
}

impl Inventory {
    /// As much as a daemon keeps for its readers.
    pub const KEPT: usize = 10_000;

    fn new(plan: Plan, desired: Desired, picture: Picture, most: usize) -> Self {
        let Picture { observed, ledger, suspensions, .. } = picture;
        let failed = observed.failed().chain(ledger.failures.keys().cloned()).collect();
        let id = |row: &Suspension| Some(ResourceId::new(kinds::named(&row.kind)?, &row.name));
        let suspended = suspensions.iter().filter_map(|row| Some((id(row)?, row.suspended_at))).collect();
        let all_suspended = suspensions.iter().find(|row| row.kind.is_empty()).map(|row| row.suspended_at);
        let standings = Standings::new(&plan, &desired, &ledger, &failed);
        let others = observed.unmanaged(&desired);
        let Plan { header, lineage, now, mut changes, mut blocked, mut notes, unmanaged, held, .. } = plan;
        changes.truncate(most);
        changes.shrink_to_fit();
        blocked.truncate(most);
        blocked.shrink_to_fit();
        notes.truncate(NOTES);
        let ledger = Ledger { applied: HashMap::new(), flaps: HashMap::new(), unnoted: Marks::default(), ..ledger };
        let mut counts = standings.counts();
        if let Some(count) = counts.get_mut(State::Unmanaged as usize) {
            *count = unmanaged;
        }
        Self {
            header,
            lineage,
            made_at: now,
            unmanaged,
            notes,
            desired,
            standings,
            changes,
            held,
            blocked,
            others,
            ledger,
            suspended,
            all_suspended,
            failed,
            counts,
        }
    }

    /// How many resources are in this state.
    pub fn count(&self, state: State) -> u64 {
        self.counts.get(state as usize).copied().unwrap_or_default()
    }

    /// How many resources are declared.
    pub fn len(&self) -> usize {
        self.standings.len()
    }

    pub fn is_empty(&self) -> bool {
        self.standings.is_empty()
    }

    /// At most `most` of the declared resources that pass the filter, from after `after` on, which need not be declared
    /// any more.
    pub fn declared(&self, filter: &Filter, after: Option<&ResourceId>, most: usize) -> Vec<Row> {
        let within = filter.kind.map_or(0..self.len(), |kind| self.desired.numbers(kind));
        let from = after.map_or(0, |id| self.desired.number_behind(id)).max(within.start);
        let is_sought = |number: &usize| {
            let standing = self.standings.get(*number);
            standing.is_some_and(|standing| filter.states.is_empty() || standing.states.meets(filter.states))
        };
        // Sessions may be a million, and each is found by its number; the others are walked through.
        let middle = self.desired.numbers(Session::KIND).end;
        let sessions = (from..within.end.min(middle)).filter(is_sought);
        let sessions = sessions.filter_map(|number| Some((number, self.desired.listed(number).next()?)));
        let others = (from.max(middle)..within.end).zip(self.desired.listed(from.max(middle)));
        let numbered = sessions.chain(others.filter(|(number, _)| is_sought(number)));
        let text = filter.text.to_lowercase();
        let passing = numbered.filter(|(_, listed)| listed.holds(&text));
        passing.filter_map(|(number, listed)| self.row(number, listed)).take(most).collect()
    }

    /// What no file names, but for the sessions: those that pass the filter, between two resources.
    pub(super) fn others(&self, filter: &Filter, after: Option<&Key>, upto: Option<&Key>, most: usize) -> Vec<Row> {
        let is_sought = |listed: &&Listed| filter.kind.is_none_or(|kind| kind == listed.id.kind);
        let from = after.map_or(0, |after| self.others.partition_point(|listed| Key::of(&listed.id) <= *after));
        let rest =
            self.others.iter().skip(from).take_while(|listed| upto.is_none_or(|end| Key::of(&listed.id) <= *end));
        let rows = rest.filter(is_sought).map(|listed| self.unmanaged_row(listed.clone()));
        rows.filter(|row| filter.passes(row)).take(most).collect()
    }

    /// Whether sessions that no file names may pass the filter: those are in the database alone.
    pub fn has_strangers(&self, filter: &Filter) -> bool {
        let possible: States = [State::Unmanaged, State::Suspended, State::Failed].into_iter().collect();
        filter.kind.is_none_or(|kind| kind == Session::KIND)
            && (filter.states.is_empty() || filter.states.meets(possible))
            && self.unmanaged > self.others.len() as u64
    }

    /// The row of one resource; `None`: no file declares it, and it is no other than a session that the database has.
    pub(super) fn find(&self, id: &ResourceId) -> Option<Row> {
        let number = self.desired.number_behind(id).checked_sub(1);
        let declared = number.and_then(|number| self.row(number, self.desired.listed(number).next()?));
        let other = || self.others.iter().find(|listed| listed.id == *id).cloned();
        declared.filter(|row| row.id == *id).or_else(|| other().map(|listed| self.unmanaged_row(listed)))
    }

    fn row(&self, number: usize, listed: Listed) -> Option<Row> {
        let Standing { states, action } = self.standings.get(number)?;
        let mut row = self.begun(listed, states);
        row.action = action;
        match self.standings.told(number) {
            Some(Told::Change(place)) => {
                if let Some(Planned { change, held, .. }) = self.changes.get(place as usize) {
                    let held = held.and_then(|number| self.held.get(number)).map(Held::line);
                    row.details = details(change);
                    row.notes = change.notes.iter().cloned().chain(held).collect();
                    row.notes.retain(|note| row.reason.as_ref() != Some(note));
                }
            }
            Some(Told::Blocked(place)) => {
                if let Some(Blocked { reason, hint, .. }) = self.blocked.get(place as usize) {
                    row.hint = Some(hint.clone());
                    match &row.reason {
                        // What it fails at says more than what it waits for since.
                        Some(_) if self.ledger.failures.contains_key(&row.id) => row.notes = vec![reason.clone()],
                        _ => row.reason = Some(reason.clone()),
                    }
                }
            }
            None => {}
        }
        Some(row)
    }

    /// The row of a resource that no file names.
    pub(super) fn unmanaged_row(&self, listed: Listed) -> Row {
        let states = states::unmanaged(&listed.id, &self.ledger, &self.failed);
        self.begun(listed, states)
    }

    /// What is said of a resource for its own sake, whatever the plan has of it.
    fn begun(&self, listed: Listed, states: States) -> Row {
        let Listed { id, title, place } = listed;
        let suspension = states.has(State::Suspended).then(|| self.ledger.suspension(&id)).flatten();
        let (mut reason, hint) = suspension.map(|Blocked { reason, hint, .. }| (reason, hint)).unzip();
        let since = self.suspended.get(&id).copied().or(self.all_suspended);
        let mut since = since.filter(|_| states.has(State::Suspended));
        let (details, mut notes) = (Vec::new(), Vec::new());
        if let Some(failed) = self.ledger.failures.get(&id) {
            since = Some(failed.first_at);
            notes.extend(reason.replace(failed.sentence()));
        }
        Row { id, title, place, states, action: None, since, details, notes, reason, hint }
    }
}
