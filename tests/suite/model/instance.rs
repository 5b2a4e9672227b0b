//! An instance on its way: what is done on a pool server, in the hand-off and with the broker, and recorded after it.
//!
//! The stages and their order are those of `onward` and `place` (`src/resource/instance`); what each does outside is in
//! `perform` (`hand_over`, `on_servers`, `withdraw`, `dispatch`), in `Session::alter` with the mark on a role, and in
//! `send.lua`; what each records, and expects, is in `instance::rows::record`. Several daemons apply, of whom any may
//! take the lease from any at any time.
//!
//! The hand-off and the broker are one Redis here. What compares no fencing number is not part of the model: the
//! embedded hand-off, a broker elsewhere, and commands by hand, which bear the present applier's number.

use super::checker::{Model, Sort, Step, WORLD};

mod steps;

use steps::Stages;

/// How it is done, or broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    AsItIs,
    /// Whoever puts credentials into the hand-off replaces what a later applier has put there.
    PutUnfenced,
    /// The record first, password and hand-off second.
    RecordedFirst,
    /// Whoever sends a task sends whatever credentials lie there.
    SendUnfenced,
    /// The server is not asked who worked on the role last.
    UnfencedServer,
    /// A task is pushed without a mark of its id.
    Unmarked,
    /// The mark goes as soon as the dispatch is recorded.
    Unmarks,
    /// Whoever finds itself too late takes away what lies in the hand-off, whoever put it there.
    WithdrawsAnything,
    /// It takes out what lies there, looks at it, and puts it back.
    WithdrawsInTurns,
    /// The place is counted in a transaction of its own.
    CountedApart,
    /// Credentials that are gone are made anew without going back a phase first.
    NotLost,
    /// That they are gone is noted in the row alone.
    LostUnfenced,
}

/// One instance, and so many daemons.
pub struct Instance<const N: usize> {
    pub rule: Rule,
    /// The file may ask for a new password, at any time, once.
    pub rotates: bool,
    /// It begins where the instance is allocated, and its credentials wait.
    pub is_allocated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    None,
    Reserved,
    Created,
    Allocated,
    Provisioning,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State<const N: usize> {
    /// The lease's number. Numbers are compared and no more, so they are kept as small as their order allows.
    fencing: u8,
    phase: Phase,
    /// Places that are counted as taken.
    places: u8,
    role: Option<Role>,
    /// The credentials in the hand-off, and the fencing number of whoever put there last.
    shelf: Option<u8>,
    put_by: u8,
    /// The credentials in the first task, and how many there are.
    task: Option<u8>,
    tasks: u8,
    /// The task's id is marked as sent.
    is_marked: bool,
    /// It has been released.
    is_due: bool,
    /// `credentials_rotation`, in the file and in the row.
    wanted: u8,
    applied: u8,
    /// A password was asked for after the task had been sent.
    is_superseded: bool,
    appliers: [Applier; N],
    fault: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Role {
    /// The fencing number in its mark.
    mark: u8,
    password: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Applier {
    /// Its fencing number; 0: it has no lease.
    term: u8,
    way: Option<Way>,
}

/// A step of the plan, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Way {
    stages: Stages,
    /// The count of passwords is the one that the plan saw.
    fresh: bool,
    /// What a new password is recorded with: the number, and the phase that it is expected in.
    rotation: u8,
    from: Phase,
    act: Act,
}

/// How far the present stage has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Begun,
    /// Done outside; to be recorded.
    Performed,
    /// In the hand-off, and not yet set on the server.
    HandedOver(u8),
    Set(u8),
    /// Not set: to be taken back.
    Refused(u8),
    /// Taken out of the hand-off, where somebody else had put it.
    Holds(u8),
    /// Recorded, and there is still something to do outside.
    Recorded,
}

impl<const N: usize> State<N> {
    fn credentials(&mut self) -> impl Iterator<Item = &mut u8> {
        let held = self.appliers.iter_mut().filter_map(|applier| match &mut applier.way.as_mut()?.act {
            Act::HandedOver(held) | Act::Set(held) | Act::Refused(held) | Act::Holds(held) => Some(held),
            Act::Begun | Act::Performed | Act::Recorded => None,
        });
        let password = self.role.iter_mut().filter_map(|role| role.password.as_mut());
        password.chain(&mut self.shelf).chain(&mut self.task).chain(held)
    }

    /// Credentials that nobody has had.
    fn make(&mut self) -> u8 {
        let used: Vec<u8> = self.credentials().map(|one| *one).collect();
        (0..).find(|one| !used.contains(one)).unwrap_or_default()
    }

    /// Names credentials by who knows them, and numbers by their order: worlds that differ in names alone are one.
    fn named(mut self) -> Self {
        let mut names: Vec<u8> = Vec::new();
        for one in self.credentials() {
            let place = names.iter().position(|known| known == one).unwrap_or(names.len());
            if place == names.len() {
                names.push(*one);
            }
            *one = u8::try_from(place).expect("few credentials");
        }
        let mark = self.role.as_mut().map(|role| &mut role.mark);
        let terms = self.appliers.iter_mut().map(|applier| &mut applier.term);
        let mut numbers: Vec<&mut u8> = terms.chain(mark).chain([&mut self.put_by, &mut self.fencing]).collect();
        let mut order: Vec<u8> = numbers.iter().map(|number| **number).filter(|number| *number > 0).collect();
        order.sort_unstable();
        order.dedup();
        for number in numbers.iter_mut().filter(|number| ***number > 0) {
            let place = order.iter().position(|known| known == *number).unwrap_or_default();
            **number = u8::try_from(place + 1).expect("few numbers");
        }
        self
    }

    fn opens(&self, credentials: u8) -> bool {
        self.role.is_some_and(|role| role.password == Some(credentials))
    }

    /// Nobody has anything under way, and a turn would plan nothing.
    fn is_quiet(&self) -> bool {
        self.appliers.iter().all(|applier| applier.way.is_none()) && self.plan(Rule::AsItIs).is_none()
    }
}

impl<const N: usize> Instance<N> {
    fn applier(&self, state: &State<N>, who: usize, take: &mut dyn FnMut(Step, State<N>)) {
        let step = |what, sort| Step { who: u8::try_from(who).expect("a few"), what, sort };
        let Applier { term, way } = state.appliers[who];
        if term == 0 {
            let mut next = state.clone();
            next.fencing = state.fencing + 1;
            next.appliers[who].term = next.fencing;
            return take(step("takes the lease", Sort::Fair), next);
        }
        match way {
            None => {
                if term != state.fencing {
                    // Its heart beats, and every turn ends with a note of it (`World::remember`).
                    let mut next = state.clone();
                    next.appliers[who].term = 0;
                    take(step("has lost the lease", Sort::Fair), next);
                }
                if let Some(way) = state.plan(self.rule) {
                    let mut next = state.clone();
                    next.appliers[who].way = Some(way);
                    take(step("looks and plans", Sort::Fair), next);
                }
            }
            Some(way) => {
                let done = [self.perform(state, who, way), self.record(state, who, way)];
                done.into_iter().flatten().for_each(|(what, next)| take(step(what, Sort::Fair), next));
            }
        }
        let mut next = state.clone();
        next.appliers[who] = Applier { term: 0, way: None };
        take(step("crashes", Sort::Perhaps), next);
    }
}

impl<const N: usize> Model for Instance<N> {
    type State = State<N>;

    fn start(&self) -> State<N> {
        let (fencing, password) = (1, 0);
        State {
            fencing,
            phase: if self.is_allocated { Phase::Allocated } else { Phase::None },
            places: u8::from(self.is_allocated),
            role: self.is_allocated.then_some(Role { mark: fencing, password: Some(password) }),
            shelf: self.is_allocated.then_some(password),
            put_by: if self.is_allocated { fencing } else { 0 },
            task: None,
            tasks: 0,
            is_marked: false,
            is_due: false,
            wanted: 1,
            applied: 1,
            is_superseded: false,
            appliers: [Applier { term: 0, way: None }; N],
            fault: None,
        }
    }

    fn steps(&self, state: &State<N>, take: &mut dyn FnMut(Step, State<N>)) {
        let take = &mut |step, next: State<N>| take(step, next.named());
        for who in 0..N {
            self.applier(state, who, take);
        }
        let mut perhaps = |is_so: bool, what, next: State<N>| {
            if is_so {
                take(Step { who: WORLD, what, sort: Sort::Perhaps }, next);
            }
        };
        perhaps(!state.is_due, "a billing event releases it", State { is_due: true, ..state.clone() });
        perhaps(
            self.rotates && state.wanted == 1,
            "the file asks for a new password",
            State { wanted: 2, ..state.clone() },
        );
        let is_handed_over = state.phase >= Phase::Allocated && state.shelf.is_some();
        perhaps(is_handed_over, "the credentials are claimed, or expire", State { shelf: None, ..state.clone() });
    }

    fn broken(&self, state: &State<N>) -> Option<&'static str> {
        let is = |wrong: bool, what| wrong.then_some(what);
        // Where another password is asked for, it takes the place of the one that was sent.
        let is_to_open = !state.is_superseded && state.wanted == state.applied;
        let dispatched = state.phase == Phase::Provisioning && is_to_open;
        let waits = state.shelf.filter(|_| state.phase == Phase::Allocated);
        let is_open = state.role.is_some_and(|role| role.password.is_some());
        state
            .fault
            .or(is(state.phase >= Phase::Allocated && !is_open, "a password is recorded that was never set"))
            .or(is(state.tasks > 1, "two tasks for one dispatch"))
            .or(is(state.places != u8::from(state.phase != Phase::None), "a counter that is not what there is"))
            .or(is(
                dispatched && !state.task.is_some_and(|credentials| state.opens(credentials)),
                "a task whose password does not open",
            ))
            .or(is(
                state.is_quiet() && waits.is_some_and(|credentials| !state.opens(credentials)),
                "credentials wait that do not open, and nobody is told",
            ))
    }

    fn is_settled(&self, state: &State<N>) -> bool {
        let is_there = state.role.is_some_and(|role| role.password.is_some());
        let has_gone_as_far_as_it_may = match state.phase {
            Phase::Allocated => !state.is_due,
            Phase::Provisioning => state.tasks == 1,
            Phase::None | Phase::Reserved | Phase::Created => false,
        };
        is_there && has_gone_as_far_as_it_may && state.wanted == state.applied
    }

    fn soloists(&self) -> u8 {
        u8::try_from(N).expect("a few")
    }
}
