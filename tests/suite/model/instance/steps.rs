//! What a turn plans for the instance, and how each stage is performed and recorded.

use super::{Act, Applier, Instance, Phase, Role, Rule, State, Way};

/// The stages that are left, done in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stages(u8);

const RESERVE: Stages = Stages(1);
const CREATE: Stages = Stages(2);
const LOSE: Stages = Stages(4);
const HAND_OVER: Stages = Stages(8);
const DISPATCH: Stages = Stages(16);

impl Stages {
    fn with(self, other: Stages) -> Self {
        Self(self.0 | other.0)
    }

    fn first(self) -> Self {
        Self(self.0 & self.0.wrapping_neg())
    }

    fn rest(self) -> Option<Self> {
        let rest = self.0 & (self.0 - 1);
        (rest != 0).then_some(Self(rest))
    }
}

impl<const N: usize> State<N> {
    /// `place` and `onward`.
    pub(super) fn plan(&self, rule: Rule) -> Option<Way> {
        let to_be_sent = if self.is_due { DISPATCH } else { Stages(0) };
        // The mark is asked for in this phase alone (`ask_broker`).
        let is_sent = self.is_marked && self.phase == Phase::Allocated;
        let is_rotated = self.wanted > self.applied;
        let stages = match self.phase {
            Phase::None => RESERVE.with(CREATE).with(HAND_OVER).with(to_be_sent),
            Phase::Reserved => CREATE.with(HAND_OVER).with(to_be_sent),
            Phase::Created => HAND_OVER.with(to_be_sent),
            Phase::Allocated if is_rotated => HAND_OVER.with(if is_sent { DISPATCH } else { to_be_sent }),
            Phase::Allocated if is_sent => DISPATCH,
            Phase::Allocated if self.is_due && self.shelf.is_none() => {
                if rule == Rule::NotLost {
                    HAND_OVER.with(DISPATCH)
                } else {
                    LOSE.with(HAND_OVER).with(DISPATCH)
                }
            }
            Phase::Allocated => to_be_sent,
            Phase::Provisioning if is_rotated => HAND_OVER,
            Phase::Provisioning => Stages(0),
        };
        let from = match self.phase {
            Phase::Allocated if stages.0 & LOSE.0 == 0 => Phase::Allocated,
            Phase::Provisioning => Phase::Provisioning,
            _ => Phase::Created,
        };
        (stages != Stages(0)).then_some(Way { stages, fresh: true, rotation: self.wanted, from, act: Act::Begun })
    }
}

/// What was done, and where it leads.
type Done<const N: usize> = (&'static str, State<N>);

/// As [`Done`], and how far the stage has come by it; `None`: the plan is given up.
type Outside<const N: usize> = (&'static str, State<N>, Option<Act>);

impl<const N: usize> Instance<N> {
    /// One step outside of the database.
    pub(super) fn perform(&self, state: &State<N>, who: usize, way: Way) -> Option<Done<N>> {
        let (what, mut next, act) = match way.stages.first() {
            CREATE => self.create(state, who, way),
            LOSE => self.lose(state, who, way),
            HAND_OVER => self.hand_over(state, who, way).or_else(|| self.withdraw(state, way)),
            DISPATCH => self.dispatch(state, who, way),
            _ => None,
        }?;
        next.appliers[who].way = act.map(|act| Way { act, ..way });
        Some((what, next))
    }

    /// The server compares the number in the role's mark (`Session::alter`).
    fn is_fenced(&self, state: &State<N>, who: usize) -> bool {
        let is_later = state.role.is_some_and(|role| role.mark > state.appliers[who].term);
        is_later && self.rule != Rule::UnfencedServer
    }

    /// `Session::create`.
    fn create(&self, state: &State<N>, who: usize, way: Way) -> Option<Outside<N>> {
        if way.act != Act::Begun {
            return None;
        }
        if self.is_fenced(state, who) {
            return Some(("is refused by the server", state.clone(), None));
        }
        let password = state.role.and_then(|role| role.password);
        let role = Some(Role { mark: state.appliers[who].term, password });
        Some(("makes role and database", State { role, ..state.clone() }, Some(Act::Performed)))
    }

    /// `HandOff::clear_fenced`.
    fn lose(&self, state: &State<N>, who: usize, way: Way) -> Option<Outside<N>> {
        let term = state.appliers[who].term;
        if way.act != Act::Begun || self.rule == Rule::LostUnfenced {
            return None;
        }
        if state.put_by > term {
            return Some(("is refused by the hand-off", state.clone(), None));
        }
        let next = State { shelf: None, put_by: term, ..state.clone() };
        Some(("closes the hand-off to earlier ones", next, Some(Act::Performed)))
    }

    /// `HandOff::put_fenced`, then `Session::set_password`.
    fn hand_over(&self, state: &State<N>, who: usize, way: Way) -> Option<Outside<N>> {
        let (term, mut next) = (state.appliers[who].term, state.clone());
        match way.act {
            Act::Begun if self.rule == Rule::RecordedFirst => None,
            Act::Begun if state.put_by > term && self.rule != Rule::PutUnfenced => {
                Some(("is refused by the hand-off", next, None))
            }
            Act::Begun => {
                let made = next.make();
                (next.shelf, next.put_by) = (Some(made), term);
                Some(("hands credentials over", next, Some(Act::HandedOver(made))))
            }
            Act::HandedOver(made) if self.is_fenced(state, who) => {
                Some(("is refused by the server", next, Some(Act::Refused(made))))
            }
            Act::HandedOver(made) => {
                next.role = Some(Role { mark: term, password: Some(made) });
                next.is_superseded |= state.tasks > 0 && way.rotation > state.applied;
                Some(("sets the password", next, Some(Act::Set(made))))
            }
            Act::Recorded => {
                let made = next.make();
                (next.shelf, next.put_by) = (Some(made), term);
                next.role = Some(Role { mark: term, password: Some(made) });
                Some(("hands credentials over and sets the password", next, None))
            }
            _ => None,
        }
    }

    /// `HandOff::withdraw`, which removes what was put where it is still there.
    fn withdraw(&self, state: &State<N>, way: Way) -> Option<Outside<N>> {
        let mut next = state.clone();
        match (way.act, self.rule) {
            (Act::Refused(made), Rule::WithdrawsAnything) => {
                if state.shelf.is_some_and(|found| found != made && state.opens(found)) {
                    next.fault = Some("credentials that open were taken away");
                }
                next.shelf = None;
                Some(("withdraws what it finds", next, None))
            }
            (Act::Refused(made), Rule::WithdrawsInTurns) => {
                next.shelf = None;
                let held = state.shelf.filter(|found| *found != made).map(Act::Holds);
                Some(("takes out what it finds", next, held))
            }
            (Act::Refused(made), _) => {
                next.shelf = state.shelf.filter(|found| *found != made);
                Some(("withdraws its credentials", next, None))
            }
            (Act::Holds(found), _) => {
                // Where newer ones wait by now, those stay.
                next.shelf = state.shelf.or(Some(found));
                Some(("puts them back", next, None))
            }
            _ => None,
        }
    }

    /// `Dispatcher::send`, with `send.lua`.
    fn dispatch(&self, state: &State<N>, who: usize, way: Way) -> Option<Outside<N>> {
        let mut next = state.clone();
        let is_fenced = state.put_by > state.appliers[who].term && self.rule != Rule::SendUnfenced;
        match (way.act, state.shelf) {
            (Act::Begun, _) if state.is_marked => Some(("finds the task sent", next, Some(Act::Performed))),
            (Act::Begun, Some(credentials)) if !is_fenced => {
                next.task = state.task.or(Some(credentials));
                next.tasks = (state.tasks + 1).min(2);
                (next.shelf, next.is_marked) = (None, self.rule != Rule::Unmarked);
                Some(("sends the task", next, Some(Act::Performed)))
            }
            (Act::Begun, _) => Some(("finds nothing that it may send", next, None)),
            (Act::Recorded, _) => {
                next.is_marked = false;
                Some(("clears the mark away", next, None))
            }
            _ => None,
        }
    }

    /// One transaction: under the fencing number, and where the row is as expected.
    pub(super) fn record(&self, state: &State<N>, who: usize, way: Way) -> Option<Done<N>> {
        let (stage, mut next) = (way.stages.first(), state.clone());
        let is_performed = match (stage, way.act) {
            (RESERVE, Act::Begun) | (CREATE | LOSE | DISPATCH, Act::Performed) | (HAND_OVER, Act::Set(_)) => true,
            (HAND_OVER, Act::Begun) => self.rule == Rule::RecordedFirst,
            (LOSE, Act::Begun) => self.rule == Rule::LostUnfenced,
            (RESERVE, Act::Performed) => self.rule == Rule::CountedApart,
            _ => false,
        };
        if !is_performed {
            return None;
        }
        if state.appliers[who].term != state.fencing {
            next.appliers[who] = Applier { term: 0, way: None };
            return Some(("has lost the lease", next));
        }
        if stage == RESERVE && self.rule == Rule::CountedApart && way.act == Act::Begun {
            next.places += 1;
            next.appliers[who].way = Some(Way { act: Act::Performed, ..way });
            return Some(("counts the place", next));
        }
        let expects = match stage {
            RESERVE => state.phase == Phase::None,
            CREATE => state.phase == Phase::Reserved,
            HAND_OVER => way.fresh && state.phase == way.from,
            _ => state.phase == Phase::Allocated,
        };
        next.appliers[who].way = None;
        if !expects {
            return Some(("finds another row", next));
        }
        match stage {
            RESERVE => (next.phase, next.places) = (Phase::Reserved, state.places + u8::from(way.act == Act::Begun)),
            CREATE | LOSE => next.phase = Phase::Created,
            HAND_OVER => {
                next.phase = way.from.max(Phase::Allocated);
                next.applied = way.rotation;
                for other in next.appliers.iter_mut().filter_map(|applier| applier.way.as_mut()) {
                    other.fresh = false;
                }
            }
            _ => next.phase = Phase::Provisioning,
        }
        next.appliers[who].way = match (stage, way.stages.rest()) {
            (HAND_OVER, _) if self.rule == Rule::RecordedFirst => Some(Way { act: Act::Recorded, ..way }),
            (DISPATCH, _) if self.rule == Rule::Unmarks => Some(Way { act: Act::Recorded, ..way }),
            (_, rest) => rest.map(|stages| Way { stages, act: Act::Begun, ..way }),
        };
        Some(("records", next))
    }
}
