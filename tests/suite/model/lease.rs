//! The lease, in time: replicas that beat, follow, take over, write, crash, and are paused in the middle of it.
//!
//! What the program does is in `src/store/lease.rs` (`acquire`, `take`, `Lease::beat`, `Lease::release`), in
//! `Database::begin_on` and `Tx::commit_and_keep`, which compare the fencing number when a writing transaction begins and,
//! with the row locked, when it ends, and in `src/daemon/heart.rs`.
//! The numbers themselves grow without end; but all that is ever asked of them is whether they are the row's, so a bit
//! stands for each, and the model is finite however often the lease changes hands.

use super::checker::{Model, Sort, Step, WORLD};

/// The heart beats once in so many ticks, unless its replica is paused: `Heart` beats five times in the life.
const BEAT: u8 = 1;
/// A heartbeat that stood still for so long is a dead one: three quarters of the life.
const SILENCE: u8 = 3;

/// How the lease is kept, or broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    AsItIs,
    /// No transaction asks for the fencing number.
    Unfenced,
    /// It is asked for, in a transaction before the one that writes.
    CheckedOutside,
    /// The row says until when it is held, by the holder's wall clock, and followers compare it with theirs.
    WallClock,
    /// The server waits for ever for a client that fell silent in a transaction.
    Endless,
    /// Whoever waits counts from its first look, whether or not the heart has beaten since.
    BeatUnheard,
}

pub struct Lease<const N: usize> {
    pub rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State<const N: usize> {
    /// Whose name is in the row. It may come back under the same name, as a container does.
    holder: Option<u8>,
    /// Ticks since the row was written last, as far as anybody cares.
    silent: u8,
    /// Whose open transaction has the row locked.
    locked: Option<u8>,
    replicas: [Replica; N],
    /// Who has written under the present fencing number.
    writer: Writer,
    fault: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Nobody,
    Replica(u8),
    /// It has crashed since: whoever comes back under its name is another.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Replica {
    seat: Seat,
    is_paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Seat {
    Down,
    /// It has not looked at the row yet.
    Up,
    /// It has seen the row, so many ticks ago by its own clock; `same`: the row is as it saw it.
    Following {
        since: u8,
        same: bool,
    },
    /// `current`: its fencing number is the row's.
    Leading {
        current: bool,
        tx: Tx,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tx {
    None,
    /// The number was compared; another may still take over.
    Open,
    /// It was compared again, and the row is locked until the commit.
    Held,
    /// The server has ended the transaction of a client that fell silent.
    Ended,
}

const UP: Seat = Seat::Up;

impl<const N: usize> Lease<N> {
    /// How far the wall clock of each replica is ahead.
    fn skew(who: u8) -> u8 {
        if who == 1 { 3 } else { 0 }
    }

    /// Whether `who` believes, at its look, that the holder is dead.
    fn is_dead(&self, state: &State<N>, who: u8, since: u8, same: bool) -> bool {
        let Some(holder) = state.holder else { return true };
        match self.rule {
            Rule::WallClock => state.silent + Self::skew(who) >= SILENCE + Self::skew(holder),
            Rule::BeatUnheard => since >= SILENCE,
            _ => same && since >= SILENCE,
        }
    }

    /// Time goes on, but not past the beat of a heart that beats.
    fn tick(&self, state: &State<N>) -> Option<State<N>> {
        let beats = |replica: &Replica| {
            !replica.is_paused
                && matches!(replica.seat, Seat::Leading { current: true, tx: Tx::None | Tx::Open | Tx::Held })
        };
        if state.silent >= BEAT && state.replicas.iter().any(beats) {
            return None;
        }
        let mut next = state.clone();
        next.silent = (state.silent + 1).min(2 * SILENCE);
        for replica in &mut next.replicas {
            if let Seat::Following { since, same: _ } = &mut replica.seat {
                *since = (*since + 1).min(SILENCE);
            }
        }
        Some(next)
    }

    /// `acquire`: one look, and `take` in the same transaction, which waits for whoever has the row locked and then
    /// compares number and heartbeat again.
    fn look(&self, state: &State<N>, who: u8) -> State<N> {
        let mut next = state.clone();
        let (since, same) = match state.replicas[usize::from(who)].seat {
            Seat::Following { since, same } => (since, same),
            _ => (0, false),
        };
        if !self.is_dead(state, who, since, same) {
            let since = if same || (self.rule == Rule::BeatUnheard && since > 0) { since } else { 0 };
            next.replicas[usize::from(who)].seat = Seat::Following { since, same: true };
            return next;
        }
        let Some(()) = state.locked.is_none().then_some(()) else { return next };
        let beats = |holder: u8| {
            let Replica { seat, is_paused } = state.replicas[usize::from(holder)];
            !is_paused && matches!(seat, Seat::Leading { current: true, .. })
        };
        if state.silent <= BEAT && state.holder.is_some_and(beats) {
            next.fault = Some("a holder that beats in time was deposed");
        }
        for replica in &mut next.replicas {
            if let Seat::Leading { current, tx: _ } = &mut replica.seat {
                *current = false;
            }
        }
        next.touch();
        next.holder = Some(who);
        next.writer = Writer::Nobody;
        next.replicas[usize::from(who)].seat = Seat::Leading { current: true, tx: Tx::None };
        next
    }

    /// Whether the fencing number counts where it should.
    fn is_fenced(&self) -> bool {
        !matches!(self.rule, Rule::Unfenced | Rule::CheckedOutside)
    }

    /// `begin_on`: holder and number are compared, and nothing is locked.
    fn begin(&self, state: &State<N>, who: u8) -> Option<State<N>> {
        let Seat::Leading { current, tx: Tx::None } = state.replicas[usize::from(who)].seat else { return None };
        let is_held = self.rule == Rule::Unfenced || (current && state.holder == Some(who));
        let mut next = state.clone();
        next.replicas[usize::from(who)].seat = if is_held { Seat::Leading { current, tx: Tx::Open } } else { UP };
        Some(next)
    }

    /// The first half of `commit_and_keep`: the heartbeat is raised where holder and number are the row's, which locks
    /// it, once nobody else has it locked.
    fn hold(&self, state: &State<N>, who: u8) -> Option<State<N>> {
        let Seat::Leading { current, tx: Tx::Open } = state.replicas[usize::from(who)].seat else { return None };
        if !self.is_fenced() || state.locked.is_some() {
            return None;
        }
        let mut next = state.clone();
        let is_held = current && state.holder == Some(who);
        next.replicas[usize::from(who)].seat = if is_held { Seat::Leading { current, tx: Tx::Held } } else { UP };
        next.locked = is_held.then_some(who);
        Some(next)
    }

    fn commit(&self, state: &State<N>, who: u8) -> Option<State<N>> {
        let Seat::Leading { current, tx } = state.replicas[usize::from(who)].seat else { return None };
        let mut next = state.clone();
        next.replicas[usize::from(who)].seat = Seat::Leading { current, tx: Tx::None };
        match tx {
            Tx::None => return None,
            Tx::Open if self.is_fenced() => return None,
            Tx::Ended => return Some(next),
            Tx::Open | Tx::Held => {}
        }
        if state.locked == Some(who) {
            next.locked = None;
        }
        next.touch();
        if !current {
            next.fault = Some("an applier that was replaced has written");
        } else if !matches!(state.writer, Writer::Nobody) && state.writer != Writer::Replica(who) {
            next.fault = Some("two have written under one fencing number");
        }
        next.writer = Writer::Replica(who);
        Some(next)
    }

    /// The heart's, or a farewell: a transaction that goes through at once.
    fn at_once(&self, state: &State<N>, who: u8, is_farewell: bool) -> Option<State<N>> {
        let Seat::Leading { current, tx: _ } = state.replicas[usize::from(who)].seat else { return None };
        if state.locked.is_some_and(|by| by != who) || (is_farewell && state.locked.is_some()) {
            return None;
        }
        let mut next = state.clone();
        if !current || state.holder != Some(who) {
            next.replicas[usize::from(who)].seat = UP;
            if state.locked == Some(who) {
                next.locked = None;
            }
        } else {
            next.touch();
            if is_farewell {
                next.holder = None;
                next.replicas[usize::from(who)].seat = Seat::Down;
                next.bury(who);
            }
        }
        Some(next)
    }

    fn of_one(&self, state: &State<N>, who: u8, take: &mut dyn FnMut(Step, State<N>)) {
        let Replica { seat, is_paused } = state.replicas[usize::from(who)];
        let [fair, perhaps, stands] =
            [Sort::Fair, Sort::Perhaps, Sort::Stands].map(|sort| move |what| Step { who, what, sort });
        let mut set = |step, replica| {
            let mut next = state.clone();
            next.replicas[usize::from(who)] = replica;
            take(step, next);
        };
        if is_paused {
            return set(fair("is woken"), Replica { seat, is_paused: false });
        }
        match seat {
            Seat::Down => return set(fair("starts"), Replica { seat: UP, is_paused: false }),
            Seat::Up | Seat::Following { .. } => {
                set(stands("is paused"), Replica { seat, is_paused: true });
                take(fair("looks at the lease"), self.look(state, who));
            }
            Seat::Leading { .. } => {
                set(stands("is paused"), Replica { seat, is_paused: true });
                self.begin(state, who).into_iter().for_each(|next| take(fair("begins to write"), next));
                self.hold(state, who).into_iter().for_each(|next| take(fair("compares again"), next));
                self.commit(state, who).into_iter().for_each(|next| take(fair("commits"), next));
                self.at_once(state, who, false).into_iter().for_each(|next| take(fair("beats"), next));
                self.at_once(state, who, true).into_iter().for_each(|next| take(perhaps("gives the lease back"), next));
            }
        }
        let mut next = state.clone();
        next.replicas[usize::from(who)] = Replica { seat: Seat::Down, is_paused: false };
        next.bury(who);
        take(perhaps("crashes"), next);
    }
}

impl<const N: usize> State<N> {
    /// The row was written: whoever has seen it before sees another.
    fn touch(&mut self) {
        self.silent = 0;
        for replica in &mut self.replicas {
            if let Seat::Following { since: _, same } = &mut replica.seat {
                *same = false;
            }
        }
    }

    /// With its connection goes what it had locked.
    fn bury(&mut self, who: u8) {
        if self.locked == Some(who) {
            self.locked = None;
        }
        if self.writer == Writer::Replica(who) {
            self.writer = Writer::Dead;
        }
    }
}

impl<const N: usize> Model for Lease<N> {
    type State = State<N>;

    fn start(&self) -> State<N> {
        let replicas = [Replica { seat: UP, is_paused: false }; N];
        State { holder: None, silent: 0, locked: None, replicas, writer: Writer::Nobody, fault: None }
    }

    fn steps(&self, state: &State<N>, take: &mut dyn FnMut(Step, State<N>)) {
        for who in 0..self.soloists() {
            self.of_one(state, who, take);
        }
        let fair = |what| Step { who: WORLD, what, sort: Sort::Fair };
        if let Some(next) = self.tick(state) {
            take(fair("time passes"), next);
        }
        if let Some(who) = state.locked
            && self.rule != Rule::Endless
            && state.replicas[usize::from(who)].is_paused
            && let Seat::Leading { current, tx: Tx::Held } = state.replicas[usize::from(who)].seat
        {
            let mut next = state.clone();
            next.locked = None;
            next.replicas[usize::from(who)].seat = Seat::Leading { current, tx: Tx::Ended };
            take(fair("the server ends a transaction that stands still"), next);
        }
    }

    fn broken(&self, state: &State<N>) -> Option<&'static str> {
        state.fault
    }

    /// There is an applier, and it has written.
    fn is_settled(&self, state: &State<N>) -> bool {
        let is_so = |(who, replica): (u8, &Replica)| {
            let leads = matches!(replica.seat, Seat::Leading { current: true, tx: Tx::None });
            leads && state.holder == Some(who) && state.writer == Writer::Replica(who)
        };
        (0..).zip(&state.replicas).any(is_so)
    }

    fn soloists(&self) -> u8 {
        u8::try_from(N).expect("a few replicas")
    }
}
