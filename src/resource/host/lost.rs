//! A GUID that is gone before anybody claimed it: what its store lost before its time is made anew; what expired waits
//! for a rotation.

use super::diff::{Scope, blocked, changed, mint};
use super::{Expiry, Host, Keep, Mint, Observed, Step};
use crate::change::{Action, Blocked, Change, FieldDiff, Value, moment};
use crate::port::handoff::Whereabouts;
use crate::resource::{Asked, Verdict};

/// Why a GUID is made that nobody asked for.
pub const LOST: &str = "the handoff lost the GUID before anybody claimed it, so a new one is made";

/// What is to be done about a GUID that is gone; `None`: it is not, as far as can be known, or it opens nothing anyway.
pub(super) fn verdict(asked: &Asked<'_, Host>, observed: &Observed, scope: &Scope<'_>) -> Option<Verdict<Step>> {
    match observed.unclaimed()? {
        Whereabouts::Expired => Some(Verdict::Blocked(expired(asked, observed))),
        Whereabouts::Lost if is_valid(asked, observed, scope) => {
            Some(Verdict::Change(Box::new(anew(asked, observed, scope))))
        }
        Whereabouts::Lost | Whereabouts::Waiting | Whereabouts::Unknown(_) => None,
    }
}

/// Whether the lost GUID would still open its session, by what the file says or else by its row.
fn is_valid(asked: &Asked<'_, Host>, observed: &Observed, scope: &Scope<'_>) -> bool {
    let until = match asked.desired.expiry {
        Some(expiry) => expiry.and_then(|expiry| expiry.after(observed.minted_at)),
        None => observed.expires_at,
    };
    until.is_none_or(|until| scope.now < until)
}

/// Another GUID in the place of the lost one. Nobody ever had that, so nobody has to sign in again.
fn anew(asked: &Asked<'_, Host>, observed: &Observed, scope: &Scope<'_>) -> Change<Step> {
    let generation = observed.generation;
    let (before, after) = (Value::Int(generation), Value::Int(generation.saturating_add(1)));
    let fields = vec![FieldDiff { field: "generation", before, after }];
    let keep = Keep::Former { overlap_until: observed.overlap_until };
    let step = match mint(asked, scope, None, keep, None) {
        Step::Mint(minted) => {
            // What no file manages stays: a GUID that was made by hand for a day is not made anew for ever.
            let expiry = match asked.desired.expiry {
                Some(expiry) => expiry,
                None => observed.expires_at.map(Expiry::At),
            };
            Step::Mint(Mint { expiry, ..minted })
        }
        step => step,
    };
    changed(asked, Action::Resume, fields, Some(LOST.to_owned()), Vec::new(), step)
}

fn expired(asked: &Asked<'_, Host>, observed: &Observed) -> Blocked {
    let reason = format!(
        "the GUID minted at {} expired in the hand-off before anybody claimed it{}",
        moment(observed.minted_at),
        if observed.previous_valid { "; the one before it is still valid" } else { "" }
    );
    let hint = format!("raise rotation, or `reconcile host rotate --session-id {}`", asked.key);
    blocked(asked, reason, hint)
}
